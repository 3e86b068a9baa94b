"""Change of a graph's sizes: bind symbolic ones, or set another batch size."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lydite.errors import InputError, unknown_name
from lydite.graph.graph import Graph, Initializer, Op
from lydite.graph.shapes.control import retyped
from lydite.opkey import Dim, TensorType


def bind_dims(graph: Graph, dims: Mapping[str, int]) -> Graph:
    """The graph with symbolic input sizes bound by name and every type inferred again.

    Raises:
        InputError: the graph has no such symbolic size, or a size is below 1.
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


def renamed_dims(graph: Graph, names: Mapping[str, str]) -> Graph:
    """The graph with other names of its open sizes, also within sums and products of them."""

    def dim(value: Dim) -> Dim:
        if not isinstance(value, str):
            return value
        return re.sub(r"[A-Za-z_]\w*", lambda match: names.get(match[0], match[0]), value)

    tensors = {
        name: replace(type_, shape=tuple(dim(d) for d in type_.shape)) if type_.shape else type_
        for name, type_ in graph.tensors.items()
    }
    return replace(graph, tensors=tensors)


_BATCH_NAMES = ("batch", "batch_size", "batchsize", "batch_dim", "bs", "n", "b")


def _open_sizes(graph: Graph) -> str:
    """How to bind the sizes that are open."""
    return ", ".join(f"--dim {name}=SIZE" for name in graph.open_dims[:5])


def rebatched(graph: Graph, batch: int) -> Graph:
    """The graph with another batch size: the open size of that name, or the first of all inputs.

    Raises:
        InputError: an operator fixes the old batch size; the error names it.
    """
    named = [name for name in graph.open_dims if name.lower().strip("_-") in _BATCH_NAMES]
    if named:
        return bind_dims(graph, dict.fromkeys(named, batch))
    shapes = [graph.type_of(name).shape for name in graph.inputs]
    sizes = {shape[0] if shape else None for shape in shapes}
    size = sizes.pop() if len(sizes) == 1 else None
    if size is None and batch == 1 and not graph.open_dims:
        return graph  # as it was exported: streaming nets with states have no other batch
    if size is None:
        raise InputError(
            "its inputs do not share a first size, so it has no batch",
            where=graph.name,
            allowed=_open_sizes(graph),
        )
    if size == batch:
        return graph
    if isinstance(size, str):
        return bind_dims(graph, {size: batch})
    types = {name: graph.type_of(name) for name in graph.inputs}
    inputs = {
        name: replace(type_, shape=(batch, *(type_.shape or ())[1:]))
        for name, type_ in types.items()
    }
    changed = retyped(_reshaping(graph, size, batch), inputs)
    for op in changed.ops:
        if _holds_batch(op, changed, graph):
            raise InputError(
                f"its batch of {size} is fixed by {op.name} ({op.op_type})",
                where=graph.name,
                allowed=f"a batch of {size}",
                hint="export it with a symbolic batch",
            )
    return changed


def _reshaping(graph: Graph, size: int, batch: int) -> Graph:
    """The graph with the new batch in constants for shapes (batch, ...) that follow the inputs."""
    weights, moving = dict(graph.initializers), set(graph.inputs)
    ops: list[Op] = []
    for op in graph.ops:
        if moving.intersection(op.inputs):
            moving.update(op.outputs)
        target = graph.constant(op.inputs[1]) if op.qualified_type == "Reshape" else None
        source = graph.type_of(op.inputs[0]).shape if target is not None else None
        if (
            target is not None
            and source
            and op.inputs[0] in moving
            and [source[0], *target[:1]] == [size, size]
        ):
            made = np.array([batch, *target[1:]], np.int64)
            name = f"{op.name}.shape"
            weights[name] = Initializer(TensorType("int64", made.shape), value=made)
            op = replace(op, inputs=(op.inputs[0], name))
        ops.append(op)
    tensors = {**graph.tensors, **{n: init.type for n, init in weights.items()}}
    return replace(graph, ops=tuple(ops), initializers=weights, tensors=tensors)


def _holds_batch(op: Op, changed: Graph, before: Graph) -> bool:
    """Whether an operator did not follow the new batch: its types or elements do not match."""
    for name in filter(None, op.outputs):
        if changed.type_of(name).shape is None and before.type_of(name).shape is not None:
            return True
        if name in before.outputs and changed.type_of(name) == before.type_of(name):
            return True
    if op.op_type != "Reshape":
        return False
    source, target = changed.type_of(op.inputs[0]), changed.type_of(op.outputs[0])
    return source.numel != target.numel
