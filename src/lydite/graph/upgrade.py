"""Convert a graph of an old opset to a newer one, with ONNX's own converter.

Passes and gradients are written for opset 13 and later (axes as inputs, Einsum), so the operators
of older files have to be converted first.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import lru_cache

import onnx

from lydite.errors import GraphError
from lydite.graph.graph import Graph
from lydite.graph.onnx_reader import graph_from_model
from lydite.graph.onnx_writer import model_to_proto

OPSET = 13
"""Opset that passes and gradients are written for; later ones keep the form of its operators."""


_CHILD = """
import sys
import onnx
from onnx import version_converter
model = onnx.ModelProto.FromString(sys.stdin.buffer.read())
try:
    made = version_converter.convert_version(model, int(sys.argv[1]))
except Exception as problem:
    lines = str(problem).strip().splitlines()
    sys.exit(lines[0] if lines else type(problem).__name__)
sys.stdout.buffer.write(made.SerializeToString())
"""
_LONGEST_S = 300.0


@lru_cache(maxsize=32)
def _converted(model: bytes, opset: int, name: str) -> onnx.ModelProto:
    """A model at another opset, converted in a child: native code may crash on a broken one."""
    old = max((item.version for item in onnx.ModelProto.FromString(model).opset_import), default=0)
    where = {"where": name, "hint": "export it again with a newer opset"}
    start = f"has opset {old} and cannot be converted to {opset}"
    command = [sys.executable, "-c", _CHILD, str(opset)]
    try:
        done = subprocess.run(
            command, input=model, capture_output=True, timeout=_LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise GraphError(f"{start}: ONNX's converter does not end", **where) from error
    if done.returncode < 0:
        raise GraphError(f"{start}: ONNX's converter crashes on it", **where)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise GraphError(f"{start}: {lines[0] if lines else 'unknown reason'}", **where)
    return onnx.ModelProto.FromString(done.stdout)


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
    model = _converted(model_to_proto(bare).SerializeToString(), opset, graph.name)
    converted = graph_from_model(model, where=graph.name)
    inputs = tuple(name for name in converted.inputs if name not in weights)
    return replace(
        converted,
        name=graph.name,
        inputs=inputs,
        initializers={**converted.initializers, **weights},
        opsets={**graph.opsets, **converted.opsets},
    )
