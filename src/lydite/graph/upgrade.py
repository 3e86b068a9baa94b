"""Convert a graph of an old opset to a newer one, with ONNX's own converter.

Passes and gradients are written for opset 13 and later (axes as inputs, Einsum), so the operators
of older files have to be converted first.
"""

from __future__ import annotations

from dataclasses import replace

from onnx import version_converter

from lydite.errors import GraphError
from lydite.graph.graph import Graph
from lydite.graph.onnx_reader import graph_from_model
from lydite.graph.onnx_writer import model_to_proto

OPSET = 13
"""Opset that passes and gradients are written for; later ones keep the form of its operators."""


def upgraded(graph: Graph, opset: int = OPSET) -> Graph:
    """The graph at the given opset of the standard; unchanged if it is at it or above already.

    Raises:
        GraphError: an operator has no counterpart at that opset.
    """
    old = graph.opsets.get("", 1)
    if old >= opset or not any(not op.domain for op in graph.ops):
        return graph
    # Weights are passed as inputs: the converter reads only the values of constants.
    weights = {name: init for name, init in graph.initializers.items() if init.value is None}
    constants = {n: init for n, init in graph.initializers.items() if n not in weights}
    bare = replace(graph, inputs=(*graph.inputs, *weights), initializers=constants)
    try:
        model = version_converter.convert_version(model_to_proto(bare), opset)
    except (RuntimeError, version_converter.ConvertError, ValueError) as problem:
        raise GraphError(
            f"has opset {old} and cannot be converted to {opset}: {str(problem).splitlines()[0]}",
            where=graph.name,
            hint="export it again with a newer opset",
        ) from problem
    converted = graph_from_model(model, where=graph.name)
    inputs = tuple(name for name in converted.inputs if name not in weights)
    return replace(
        converted,
        name=graph.name,
        inputs=inputs,
        initializers={**converted.initializers, **weights},
        opsets={**graph.opsets, **converted.opsets},
    )
