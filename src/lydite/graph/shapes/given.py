"""Inputs with a given value: what follows from it is folded, and branches that it decides go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from lydite.errors import InputError, unknown_name
from lydite.graph.dtypes import numpy_dtype
from lydite.graph.graph import Graph, Initializer
from lydite.graph.op import Op
from lydite.graph.shapes.control import retyped
from lydite.graph.shapes.propagate import Values
from lydite.opkey import TensorType


def with_values(graph: Graph, given: Mapping[str, float]) -> Graph:
    """The graph with some inputs fixed, as a voice detector's sampling rate.

    Args:
        graph: The graph.
        given: Value by name of the input, which must hold a single number.

    Raises:
        InputError: no such input, one that holds more than a number, or a value of another type.
    """
    fixed = {name: _fixed(graph, name, value) for name, value in given.items()}
    inputs = tuple(name for name in graph.inputs if name not in fixed)
    bound = replace(graph, inputs=inputs, initializers={**graph.initializers, **fixed})
    return retyped(decided(bound), {})


def _fixed(graph: Graph, name: str, value: float) -> Initializer:
    if name not in graph.inputs:
        raise unknown_name("input", name, graph.inputs)
    type_ = graph.type_of(name)
    if type_.shape is None or type_.numel != 1:
        raise InputError(
            f"the input '{name}' is {type_}, not a single number", where=f"--value {name}={value}"
        )
    dtype = numpy_dtype(type_.dtype)
    array = np.array(value, dtype).reshape([int(dim) for dim in type_.shape])
    if float(array.reshape(-1)[0]) != value and not np.issubdtype(dtype, np.floating):
        raise InputError(f"{value:g} does not fit {type_.dtype}", where=f"--value {name}={value:g}")
    return Initializer(TensorType(type_.dtype, tuple(array.shape)), value=array)


def decided(graph: Graph) -> Graph:
    """The graph without operators of known outputs, and with the chosen branch of each If."""
    known = {k: i.value for k, i in graph.initializers.items() if i.value is not None}
    values = Values(known, graph.opsets.get("", 1))
    tensors, weights = dict(graph.tensors), dict(graph.initializers)
    names: dict[str, str] = {}
    ops: list[Op] = []

    def add(op: Op) -> None:
        op = replace(op, inputs=tuple(_now(names, name) for name in op.inputs))
        chosen = values.get(op.inputs[0]) if op.qualified_type == "If" else None
        if chosen is not None and chosen.size == 1:
            body = op.attrs["then_branch" if chosen.item() else "else_branch"]
            if isinstance(body, Graph):
                _inline(op, body, names, tensors, weights, values, add)
                return
        if op.subgraphs:
            op = renamed_inside(op, names)
        values.record(op, tensors, every=True)
        found = [values.get(name) for name in op.outputs if name]
        if found and all(value is not None for value in found) and op.outputs[0] not in outputs:
            for name, value in zip(filter(None, op.outputs), found, strict=True):
                assert value is not None
                tensors[name] = TensorType(value.dtype.name, tuple(value.shape))
                weights[name] = Initializer(tensors[name], value=value)
            return
        ops.append(op)

    outputs = set(graph.outputs)
    for op in graph.ops:
        add(op)
    made = tuple(_now(names, name) for name in graph.outputs)
    return replace(graph, ops=tuple(ops), tensors=tensors, initializers=weights, outputs=made)


def _now(names: Mapping[str, str], name: str) -> str:
    """What a tensor is called after every inlining."""
    while name in names:
        name = names[name]
    return name


def _inline(
    op: Op,
    body: Graph,
    names: dict[str, str],
    tensors: dict[str, TensorType],
    weights: dict[str, Initializer],
    values: Values,
    add: Callable[[Op], None],
) -> None:
    """Put the operators of a branch in the place of the If."""
    own = {*body.initializers, *(n for inner in body.ops for n in inner.outputs if n)}
    fresh = {name: f"{op.name}/{name}" for name in own}
    for name, init in body.initializers.items():
        weights[fresh[name]], tensors[fresh[name]] = init, init.type
        if init.value is not None:
            values.learn(fresh[name], init.value)
    tensors |= {fresh[name]: body.type_of(name) for name in own if name not in body.initializers}
    before = dict(names)
    names |= fresh
    for inner in body.ops:
        outputs = tuple(fresh.get(name, name) for name in inner.outputs)
        add(replace(inner, name=f"{op.name}/{inner.name}", outputs=outputs))
    results = [_now(names, name) for name in body.outputs]
    for name in fresh:
        names.pop(name, None)
    names |= {name: before[name] for name in fresh if name in before}
    names |= dict(zip(op.outputs, results, strict=False))


def renamed_inside(op: Op, names: Mapping[str, str]) -> Op:
    """Bodies that read tensors which have other names now."""

    def renamed(body: Graph) -> Graph:
        moved = {name: _now(names, name) for name in body.outer if name in names}
        if not moved:
            return body
        return replace(
            body,
            ops=tuple(
                renamed_inside(
                    replace(inner, inputs=tuple(moved.get(n, n) for n in inner.inputs)), moved
                )
                for inner in body.ops
            ),
            tensors={moved.get(name, name): type_ for name, type_ in body.tensors.items()},
            outputs=tuple(moved.get(name, name) for name in body.outputs),
            outer=frozenset(moved.get(name, name) for name in body.outer),
        )

    attrs = {
        name: renamed(value) if isinstance(value, Graph) else value
        for name, value in op.attrs.items()
    }
    return replace(op, attrs=attrs)
