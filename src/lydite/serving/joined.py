"""Operators that serving runtimes run as one kernel, though a graph has several.

Products of one input with several weights (query, key and value; gate and up) are one product with
the weights side by side (vLLM's `QKVParallelLinear` and `MergedColumnParallelLinear`, and their
like in SGLang and TensorRT-LLM); query and key are rotated together; the activation of a gated
feed-forward is part of the multiplication behind it (`SiluAndMul`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from lydite.graph import Graph, Op, OpKey
from lydite.opkey import Operand, TensorType
from lydite.serving.experts import EXPERTS

_PRODUCTS = ("MatMul", "MatMulNBits")
_ACTIVATIONS = ("Swish", "Silu", "Gelu", "QuickGelu", "FastGelu", "BiasGelu")
_ROUTED = 4
"""Most operators between a router's product and its experts."""


def groups_of(graph: Graph) -> list[list[str]]:
    """Names of operators that run as one kernel: each alone, or several together, in order.

    Activations that are part of the multiplication behind them are left out.
    """
    users: dict[str, list[Op]] = defaultdict(list)
    for op in graph.ops:
        for name in op.inputs:
            users[name].append(op)
    groups: dict[object, list[str]] = {}
    turned: Op | None = None
    for op in graph.ops:
        if _is_part_of_product(op, users):
            continue
        identity: object = op.name
        if op.op_type in _PRODUCTS and not _routes(op, users):
            identity = _product(op, graph) or op.name
        elif op.op_type == "RotaryEmbedding":
            if turned is not None and turned.inputs[1:] == op.inputs[1:]:
                identity, turned = ("turned", turned.name), None
            else:
                identity, turned = ("turned", op.name), op
        groups.setdefault(identity, []).append(op.name)
    return list(groups.values())


def _is_part_of_product(op: Op, users: dict[str, list[Op]]) -> bool:
    """Whether an activation is multiplied by another tensor, and by nothing else used."""
    behind = users.get(op.outputs[0], []) if op.op_type in _ACTIVATIONS else []
    return len(behind) == 1 and behind[0].op_type == "Mul"


def _routes(op: Op, users: dict[str, list[Op]]) -> bool:
    """Whether a product's output chooses experts."""
    reached = [op]
    for _ in range(_ROUTED):
        reached = [user for each in reached for name in each.outputs for user in users[name]]
        if any(each.op_type in EXPERTS for each in reached):
            return True
        reached = [each for each in reached if each.op_type not in _PRODUCTS]
    return False


def _product(op: Op, graph: Graph) -> object:
    """What products that run as one have in common; None for one that runs alone."""
    if op.inputs[1] not in graph.initializers:
        return None
    weight = graph.type_of(op.inputs[1])
    shape = weight.shape or ()
    if op.op_type == "MatMul":
        return (op.inputs[0], weight.dtype, shape[0]) if len(shape) == 2 else None
    attrs = tuple(sorted((k, str(v)) for k, v in op.attrs.items() if k != "N"))
    given = tuple(bool(name) for name in op.inputs)
    return op.inputs[0], weight.dtype, attrs, given


def together(keys: Sequence[OpKey]) -> OpKey:
    """The one operator that several of a group are."""
    first, *others = keys
    if not others:
        return first
    if first.op_type == "RotaryEmbedding":
        data = Operand(_wider([key.inputs[0].type for key in keys], -1))
        heads = sum(int(key.attrs.get("num_heads", 0)) for key in keys)
        attrs = {**first.attrs, "num_heads": heads}
        inputs = (data, *first.inputs[1:])
        return replace(first, inputs=inputs, outputs=_output(keys), attrs=attrs)
    if first.op_type == "MatMul":
        weight = _wider([key.inputs[1].type for key in keys], -1)
        inputs = (first.inputs[0], replace(first.inputs[1], type=weight))
        return replace(first, inputs=inputs, outputs=_output(keys))
    packed = [
        operand if operand.type is None else replace(operand, type=_wider(types, 0))
        for operand, *types in (
            (operand, *(key.inputs[place].type for key in keys))
            for place, operand in enumerate(first.inputs[1:], start=1)
        )
    ]
    attrs = {**first.attrs, "N": sum(int(key.attrs["N"]) for key in keys)}
    return replace(first, inputs=(first.inputs[0], *packed), outputs=_output(keys), attrs=attrs)


def _output(keys: Sequence[OpKey]) -> tuple[TensorType, ...]:
    made = _wider([key.outputs[0] for key in keys], -1)
    assert made is not None
    return (made, *keys[0].outputs[1:])


def _wider(types: Sequence[TensorType | None], axis: int) -> TensorType | None:
    """The tensors side by side along an axis."""
    known = [type_ for type_ in types if type_ is not None and type_.shape]
    if not known:
        return None
    dims = list(known[0].shape or ())
    dims[axis] = sum(int((type_.shape or ())[axis]) for type_ in known)
    return TensorType(known[0].dtype, tuple(dims), known[0].layout)
