"""Other sizes for a graph: symbolic ones bound, another batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lydite.errors import InputError, unknown_name
from lydite.graph.graph import Graph, Initializer, Op
from lydite.graph.shapes.control import retyped
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


def rebatched(graph: Graph, batch: int) -> Graph:
    """The graph with another batch: the first size that its inputs share.

    Raises:
        InputError: an operator in it holds the old batch (named).
    """
    shapes = [graph.type_of(name).shape for name in graph.inputs]
    sizes = {shape[0] if shape else None for shape in shapes}
    size = sizes.pop() if len(sizes) == 1 else None
    if size is None:
        raise InputError(
            "its inputs share no first size, so that it has no batch", where=graph.name
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
    found = retyped(_reshaping(graph, size, batch), inputs)
    for op in found.ops:
        if _holds_batch(op, found, graph):
            raise InputError(
                f"its batch of {size} is fixed: {op.name} ({op.op_type}) holds it",
                where=graph.name,
                allowed=f"a batch of {size}",
                hint="export it with a symbolic batch",
            )
    return found


def _reshaping(graph: Graph, size: int, batch: int) -> Graph:
    """With the new batch in constants that make (batch, ...) of what moves with the inputs."""
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


def _holds_batch(op: Op, found: Graph, before: Graph) -> bool:
    """Whether an operator did not follow the batch: its types are lost, or elements are."""
    for name in filter(None, op.outputs):
        if found.type_of(name).shape is None and before.type_of(name).shape is not None:
            return True
        if name in before.outputs and found.type_of(name) == before.type_of(name):
            return True
    if op.op_type != "Reshape":
        return False
    source, target = found.type_of(op.inputs[0]), found.type_of(op.outputs[0])
    return source.numel != target.numel
