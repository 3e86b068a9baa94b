"""Bring a graph of an old opset to a newer one, by ONNX's own converter.

What passes and gradients write is of opset 13 and later (axes as inputs, Einsum); an old file's
operators have to become such before.
"""

from __future__ import annotations

from dataclasses import replace

from onnx import version_converter

from lydite.errors import GraphError
from lydite.graph.graph import Graph
from lydite.graph.onnx_reader import graph_from_model
from lydite.graph.onnx_writer import model_to_proto

OPSET = 13
"""What passes and gradients are written for; operators have kept their form since."""


def upgraded(graph: Graph, opset: int = OPSET) -> Graph:
    """The graph at that opset of the standard, or as it is where it has it already.

    Raises:
        GraphError: an operator of it has no counterpart there.
    """
    old = graph.opsets.get("", 1)
    if old >= opset or not any(not op.domain for op in graph.ops):
        return graph
    # Weights go as inputs: the converter needs numbers of constants alone.
    weights = {name: init for name, init in graph.initializers.items() if init.value is None}
    constants = {n: init for n, init in graph.initializers.items() if n not in weights}
    bare = replace(graph, inputs=(*graph.inputs, *weights), initializers=constants)
    try:
        model = version_converter.convert_version(model_to_proto(bare), opset)
    except (RuntimeError, version_converter.ConvertError, ValueError) as problem:
        raise GraphError(
            f"is of opset {old} and cannot be brought to {opset}: {str(problem).splitlines()[0]}",
            where=graph.name,
            hint="export it again with a newer opset",
        ) from problem
    found = graph_from_model(model, where=graph.name)
    inputs = tuple(name for name in found.inputs if name not in weights)
    return replace(
        found,
        name=graph.name,
        inputs=inputs,
        initializers={**found.initializers, **weights},
        opsets={**graph.opsets, **found.opsets},
    )
