"""Type a graph anew: after binding symbolic sizes, or after an operator has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lydite.errors import InputError, unknown_name
from lydite.graph.graph import UNKNOWN, Graph
from lydite.graph.infer import infer_outputs
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


def retyped(graph: Graph, inputs: Mapping[str, TensorType]) -> Graph:
    """The graph with new input types, and every other type inferred from them."""
    tensors = {**inputs, **{name: init.type for name, init in graph.initializers.items()}}
    values = Values({k: i.value for k, i in graph.initializers.items() if i.value is not None})
    for op in graph.ops:
        types = [tensors.get(name, UNKNOWN) if name else None for name in op.inputs]
        known = [values.get(name) for name in op.inputs]
        found = infer_outputs(op, types, known, graph.opsets)
        tensors |= {name: type_ for name, type_ in zip(op.outputs, found, strict=True) if name}
        values.record(op, tensors)
    return replace(graph, tensors=tensors)
