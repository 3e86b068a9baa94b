"""Calls of model-local functions, inlined as graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lydite.errors import InputError
from lydite.graph.graph import UNKNOWN, Graph, Initializer, Op
from lydite.graph.shapes.propagate import Values
from lydite.opkey import TensorType

_READERS: list[Callable[[Any], Graph]] = []
"""Reader of an ONNX model. It infers types with this package, so it registers itself here."""


def reads_models(reader: Callable[[Any], Graph]) -> Callable[[Any], Graph]:
    """Register the function that reads an ONNX model in memory as a graph."""
    _READERS[:] = [reader]
    return reader


def is_function_call(op: Op, graph: Graph) -> bool:
    """Whether an operator calls a model-local function."""
    return any(f.name == op.op_type and f.domain == op.domain for f in graph.functions)


def inlined(op: Op, types: Mapping[str, TensorType], values: Values, around: Graph) -> Graph | None:
    """The graph of a function call's body; None if the call does not fit the function."""
    from onnx import checker, inliner

    from lydite.graph.onnx_writer import model_to_proto

    names = [name for name in dict.fromkeys(op.inputs) if name]
    known = {name: value for name in names if (value := values.get(name)) is not None}
    alone = Graph(
        name=op.name,
        ops=(op,),
        tensors={name: types.get(name, UNKNOWN) for name in (*names, *op.outputs) if name},
        inputs=tuple(name for name in names if name not in known),
        outputs=tuple(name for name in op.outputs if name),
        initializers={n: Initializer(types.get(n, UNKNOWN), value=v) for n, v in known.items()},
        opsets=around.opsets,
        functions=around.functions,
    )
    try:
        body = _READERS[0](inliner.inline_local_functions(model_to_proto(alone)))
    except (InputError, checker.ValidationError, RuntimeError, ValueError):
        return None
    return None if any(is_function_call(inner, body) for inner in body.walk()) else body
