"""Type a graph anew: after binding symbolic sizes, or after an operator has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lydite.errors import InputError, unknown_name
from lydite.graph.control import inlined, is_function_call, typed
from lydite.graph.graph import UNKNOWN, Graph, Op
from lydite.graph.propagate import Values
from lydite.opkey import TensorType


def bind_dims(graph: Graph, dims: Mapping[str, int]) -> Graph:
    """The graph with symbolic input sizes bound by name and every type inferred anew.

    Raises:
        InputError: a name that the graph lacks, or a size below 1.
    """
    for name, size in dims.items():
        if name not in graph.open_dims:
            raise unknown_name("symbolic dimension", name, graph.open_dims)
        if size < 1:
            raise InputError(f"--dim {name}={size}: a size is at least 1", where=graph.name)
    if not dims:
        return graph
    inputs = {name: _bound(graph.type_of(name), dims) for name in graph.inputs}
    return retyped(graph, inputs)


def _bound(type_: TensorType, dims: Mapping[str, int]) -> TensorType:
    if type_.shape is None:
        return type_
    return replace(type_, shape=tuple(dims.get(str(d), d) for d in type_.shape))


def retyped(
    graph: Graph,
    inputs: Mapping[str, TensorType],
    *,
    visible: Mapping[str, TensorType] | None = None,
    values: Values | None = None,
) -> Graph:
    """The graph with new input types, and every other type inferred from them.

    Args:
        graph: a graph, or the body of an operator.
        inputs: types of inputs; those that are not named keep theirs.
        visible: types of the graphs around a body.
        values: known values of the graphs around a body.
    """
    tensors = {name: (visible or {}).get(name, UNKNOWN) for name in sorted(graph.outer)}
    tensors |= {name: graph.type_of(name) for name in graph.inputs} | dict(inputs)
    tensors |= {name: init.type for name, init in graph.initializers.items()}
    known = {k: i.value for k, i in graph.initializers.items() if i.value is not None}
    if values is not None:
        outer = {name: values.get(name) for name in graph.outer}
        known |= {name: value for name, value in outer.items() if value is not None}
    own = Values(known, graph.opsets.get("", 1))
    ops: list[Op] = []
    for op in graph.ops:
        if is_function_call(op, graph):
            body = inlined(op, tensors, own, graph)
            found = [body.type_of(n) if body else UNKNOWN for n in op.outputs]
        else:
            op, found = typed(op, tensors, own, graph.opsets)
        tensors |= {name: type_ for name, type_ in zip(op.outputs, found, strict=True) if name}
        own.record(op, tensors)
        ops.append(op)
    return replace(graph, ops=tuple(ops), tensors=tensors)
