"""The graph that measures one operator: copies of it in a row, as they would stand in a net."""

from __future__ import annotations

from lydite.graph import Graph, Initializer, Op, OpKey, TensorType
from lydite.graph.keys import graph_of_key


def replicated(key: OpKey, copies: int) -> Graph:
    """A graph of `copies` calls of the operator.

    All copies read the same inputs, unless these are so large that a net could not hold them in
    its caches either: then they take turns. Large weights are distinct per copy. Each output but
    the last is read by a `Shape` operator, which costs one dispatch and touches no data: without a
    reader, memory planners keep the outputs apart, and copies would write to ever colder memory.

    Raises:
        GraphError: the key holds a body that cannot be rebuilt.
    """
    one = graph_of_key(key)
    op = one.ops[0]
    shared = {name for name, init in one.initializers.items() if init.has_data}
    ops: list[Op] = []
    tensors = {name: one.type_of(name) for name in (*one.inputs, *shared)}
    turns = {name: _turns(name, one.type_of(name), copies) for name in one.inputs}
    tensors |= {turn: one.type_of(name) for name, names in turns.items() for turn in names}
    initializers: dict[str, Initializer] = {name: one.initializers[name] for name in shared}
    for copy in range(copies):
        own = {name: f"{name}_{copy}" for name in one.initializers if name not in shared}
        for name, fresh in own.items():
            tensors[fresh] = one.type_of(name)
            initializers[fresh] = Initializer(one.type_of(name))
        outputs = tuple(f"{name}_{copy}" for name in op.outputs)
        tensors |= {f: one.type_of(n) for n, f in zip(op.outputs, outputs, strict=True)}
        own |= {name: names[copy % len(names)] for name, names in turns.items()}
        inputs = tuple(own.get(name, name) for name in op.inputs)
        ops.append(Op(f"op_{copy}", op.op_type, inputs, outputs, op.attrs, op.domain))
        if copy < copies - 1:
            ops.append(Op(f"tap_{copy}", "Shape", outputs[:1], (f"shape_{copy}",)))
    opsets = {**one.opsets, "": max(one.opsets.get("", 7), 7)}
    return Graph(
        name=f"{key.op_type}_x{copies}",
        ops=tuple(ops),
        tensors=tensors,
        inputs=tuple(turn for names in turns.values() for turn in names),
        outputs=tuple(f"{name}_{copies - 1}" for name in op.outputs),
        initializers=initializers,
        opsets=opsets,
    )


LARGE_INPUT_BYTES = 8 << 20
"""Inputs from this size on are read from beyond the private caches, in a net as here."""
_TURNS = 4


def _turns(name: str, type_: TensorType, copies: int) -> list[str]:
    large = (type_.nbytes or 0) >= LARGE_INPUT_BYTES
    return [name, *(f"{name}_turn{i}" for i in range(1, min(_TURNS, copies)))] if large else [name]


EVICTED_ELEMENTS = 1 << 19
"""An operator over this many floats reads and writes 2 MiB each: more than a private cache."""


def calls(copies: int, *, cold: bool = False, evict: bool = False) -> Graph:
    """A graph of `copies` operators on one element each.

    Args:
        copies: how many.
        cold: put an operator before each that sweeps the private caches.
        evict: leave the small operators out, so that only the sweepers are left.
    """
    scalar, wide = TensorType("float32", (1,)), TensorType("float32", (EVICTED_ELEMENTS,))
    ops: list[Op] = []
    tensors = {"x": scalar}
    last = "w"
    if cold:
        tensors["w"] = wide
    for i in range(copies):
        if cold:
            ops.append(Op(f"sweep_{i}", "Relu", (last,), (f"w_{i}",)))
            last = f"w_{i}"
            tensors[last] = wide
        if not evict:
            ops.append(Op(f"op_{i}", "Abs", ("x",), (f"y_{i}",)))
            tensors[f"y_{i}"] = scalar
    ends = ([last] if cold else []) + ([] if evict else [f"y_{copies - 1}"])
    inputs = tuple(name for name in ("x", "w") if name in tensors and not (evict and name == "x"))
    return Graph("calls", tuple(ops), tensors, inputs, tuple(ends), opsets={"": 13})
