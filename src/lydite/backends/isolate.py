"""The graph that measures one operator: copies of it in sequence, as within a network."""

from __future__ import annotations

from dataclasses import replace

from lydite.backends.base import Chain
from lydite.backends.steering import steering
from lydite.graph import Graph, Initializer, Op, OpKey, TensorType
from lydite.graph.keys import graph_of_key

LARGE_BYTES = 8 << 20
"""Activations of at least this size miss the private caches, here as in a network."""
_LIVE_OUTPUTS = 4
_IN_PLACE = {("com.microsoft.nchwc", "Conv"): 3, ("com.microsoft", "FusedConv"): 3}
"""The input that ONNX Runtime's kernel adds to its result, and overwrites if nobody reads it after.

https://github.com/microsoft/onnxruntime, `MayInplace(3, 0)` of both kernels (contrib_ops/cpu,
fused_conv.cc for the second); the kernel copies the input first where it cannot.
"""


def replicated(key: OpKey, copies: int, turns: int = 1) -> Graph:
    """Graph of `copies` calls of the operator.

    The copies alternate between `turns` buffers of inputs, which stand for what a network touches
    before it comes back to them. Large weights are distinct per copy. Each output but the last is
    read by a `Shape` operator, which costs one dispatch and touches no data: without a reader,
    memory planners keep the outputs apart, and copies would write to ever colder memory. Outputs
    that no private cache holds are read late, so that some of them live at once: a network's buffer
    was last used some layers ago.

    An input that the operator overwrites is the output of the copy before it.

    Raises:
        GraphError: the key holds a subgraph that cannot be rebuilt.
    """
    single = _steered(key)
    op = single.ops[0]
    shared = {name for name, init in single.initializers.items() if init.has_data}
    ops: list[Op] = []
    tensors = {name: single.type_of(name) for name in (*single.inputs, *shared)}
    place = overwritten_input(key)
    overwritten = None if place is None else op.inputs[place]
    several = range(1, min(turns, copies))
    buffers = {
        name: [name, *(f"{name}_turn{i}" for i in several if name != overwritten)]
        for name in single.inputs
    }
    tensors |= {turn: single.type_of(name) for name, names in buffers.items() for turn in names}
    initializers: dict[str, Initializer] = {name: single.initializers[name] for name in shared}
    for copy in range(copies):
        renamed = {name: f"{name}_{copy}" for name in single.initializers if name not in shared}
        for name, fresh in renamed.items():
            tensors[fresh] = single.type_of(name)
            initializers[fresh] = single.initializers[name]
        outputs = tuple(f"{name}_{copy}" for name in op.outputs)
        tensors |= {f: single.type_of(n) for n, f in zip(op.outputs, outputs, strict=True)}
        renamed |= {name: names[copy % len(names)] for name, names in buffers.items()}
        if overwritten and copy:
            renamed[overwritten] = f"{op.outputs[0]}_{copy - 1}"
        inputs = tuple(renamed.get(name, name) for name in op.inputs)
        ops.append(Op(f"op_{copy}", op.op_type, inputs, outputs, op.attrs, op.domain))
        if copy < copies - 1:
            read = inputs[:1] if overwritten else _tapped(single, op, inputs, outputs)
            ops.append(Op(f"tap_{copy}", "Shape", read, (f"shape_{copy}",)))
    opsets = {**single.opsets, "": max(single.opsets.get("", 7), 7)}
    made = Graph(
        name=f"{key.op_type}_x{copies}",
        ops=tuple(ops),
        tensors=tensors,
        inputs=tuple(turn for names in buffers.values() for turn in names),
        outputs=tuple(f"{name}_{copies - 1}" for name in op.outputs),
        initializers=initializers,
        opsets=opsets,
    )
    output = single.type_of(op.outputs[0])
    is_large = "(" not in output.dtype and (output.nbytes or 0) >= LARGE_BYTES
    return _read_late(made) if is_large and not overwritten else made


def overwritten_input(key: OpKey) -> int | None:
    """Place of the input that the operator overwrites within a network; None for none."""
    place = _IN_PLACE.get((key.domain, key.op_type), len(key.inputs))
    if place >= len(key.inputs) or key.inputs[place].const:
        return None
    return place if key.inputs[place].type == key.outputs[0] else None


def _read_late(made: Graph) -> Graph:
    """The graph with each output in use until some copies later.

    Runtimes order operators by what they need, so the reader needs the shape of a later output: a
    `Reshape` to it, which is the same buffer. The two further dispatches for each copy are nothing
    beside an operator that writes as much.
    """
    copies = [op for op in made.ops if op.name.startswith("op_")]
    ops, tensors = list(copies), dict(made.tensors)
    for at, op in enumerate(copies[:-1]):
        output = op.outputs[0]
        later = copies[min(at + _LIVE_OUTPUTS, len(copies)) - 1].outputs[0]
        shape, view = f"later_{at}", f"view_{at}"
        tensors[view] = made.type_of(output)
        ops += [
            Op(f"size_{at}", "Shape", (later,), (shape,)),
            Op(f"view_{at}", "Reshape", (output, shape), (view,)),
            Op(f"tap_{at}", "Shape", (view,), (f"shape_{at}",)),
        ]
    return replace(made, ops=tuple(ops), tensors=tensors)


def _steered(key: OpKey) -> Graph:
    """The operator's graph, with the values that its sizes call for."""
    single = graph_of_key(key)
    values = {f"in{index}": array for index, array in steering(key).items()}
    if not values:
        return single
    given = {name: Initializer(single.type_of(name), value=v) for name, v in values.items()}
    return replace(
        single,
        inputs=tuple(name for name in single.inputs if name not in values),
        initializers={**single.initializers, **given},
    )


def _tapped(
    single: Graph, op: Op, inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> tuple[str, ...]:
    """What the operator between two copies reads: the output, or an input if that is no tensor."""
    dtype = single.type_of(op.outputs[0]).dtype
    return outputs[:1] if "(" not in dtype else inputs[:1]


MIXED_TYPES = (
    "Abs",
    "Neg",
    "Relu",
    "Sigmoid",
    "Add",
    "Mul",
    "Floor",
    "Ceil",
    "Tanh",
    "Sub",
    "Exp",
    "Max",
)
"""A dozen types of operators, which no two of a chain share."""
_TWO_OPERANDS = ("Add", "Mul", "Sub", "Max")
_TINY = 64


def calls(copies: int, chain: Chain = "same") -> Graph:
    """Graph of `copies` tiny operators on 64 numbers (of one type: on one)."""
    tiny = TensorType("float32", (1 if chain == "same" else _TINY,))
    ops: list[Op] = []
    tensors: dict[str, TensorType] = {"x": tiny}
    for i in range(copies):
        op_type = "Abs" if chain == "same" else MIXED_TYPES[i % len(MIXED_TYPES)]
        inputs = ("x", "x") if op_type in _TWO_OPERANDS else ("x",)
        ops.append(Op(f"op_{i}", op_type, inputs, (f"y_{i}",)))
        tensors[f"y_{i}"] = tiny
    return Graph("calls", tuple(ops), tensors, ("x",), (f"y_{copies - 1}",), opsets={"": 13})
