"""LoRA adapters: what they take on a rank, and what their products add to a step.

As in vLLM (`vllm/lora`, kernels `lora_shrink` and `lora_expand` after Punica, Chen et al., MLSys
2024): each adapted product x W becomes x W + x A B with A [K, rank] and B [rank, N], where the
adapters differ by token. Products of one input (query, key and value; gate and up) share the
kernels, but each has an A of its own. All adapters are resident, in slots of the full rank. On
ranks of tensor parallelism A or B is cut as W is, and the other is whole
(`fully_sharded_loras=False`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lydite.graph import Graph, Op, OpKey, keys_of
from lydite.opkey import Operand, TensorType
from lydite.records import dataclass
from lydite.serving.joined import groups_of
from lydite.serving.template import head_ops

TARGETS = ("all", "attention")
_PRODUCTS = ("MatMul", "MatMulNBits", "Gemm")
_SUMS = ("Add", "Gather", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization")
"""Operators that add to the residual, or begin it."""
Seconds = Callable[[Sequence[OpKey]], np.ndarray]
"""Seconds of operators."""


@dataclass(frozen=True)
class Adapters:
    """LoRA adapters of a deployment.

    Attributes:
        rank: Rank of each.
        count: Number that is resident.
        share: Share of the tokens whose requests use one, each as often as the others.
        targets: "all" products but the head, routers and experts, or those of "attention".
    """

    rank: int
    count: int
    share: float
    targets: str = "all"

    def used(self, tokens: int) -> tuple[int, float]:
        """Tokens of a step that use an adapter, and the mean number of different ones.

        n draws of `count` adapters hit count (1 - (1 - 1 / count) ** n) different ones. Tokens of
        one prompt draw the same, so this is an upper bound where prompts are computed.
        """
        adapted = int(np.ceil(tokens * self.share))
        return adapted, self.count * (1 - (1 - 1 / self.count) ** adapted)


@dataclass(frozen=True)
class Adapted:
    """Products of one input that adapters change: how many of these, K, all N, and their type."""

    slices: int
    inner: int
    outer: int
    dtype: str

    def numbers(self, rank: int) -> int:
        """Numbers of an adapter."""
        return rank * (self.slices * self.inner + self.outer)


def adapted(graph: Graph, targets: str) -> list[Adapted]:
    """The products of a rank that adapters change.

    Args:
        graph: A decoding step on a rank.
        targets: One of `TARGETS`.
    """
    keys, ops, head = keys_of(graph), {op.name: op for op in graph.ops}, head_ops(graph)
    near = _of_attention(graph) if targets == "attention" else None
    made = []
    for group in groups_of(graph):
        names = [n for n in group if n in keys and n not in head and _is_dense(ops[n], graph)]
        if near is not None:
            names = [name for name in names if name in near]
        if not names:
            continue
        x, y = keys[names[0]].inputs[0].type, [keys[name].outputs[0] for name in names]
        if x is None or not x.shape:
            continue
        outer = sum(int(each.shape[-1]) for each in y if each is not None and each.shape)
        made.append(Adapted(len(names), int(x.shape[-1]), outer, x.dtype))
    return made


def _is_dense(op: Op, graph: Graph) -> bool:
    """Whether an operator is a product with a weight of two dimensions, but for routers."""
    if op.op_type not in _PRODUCTS or "router" in op.name or op.inputs[1] not in graph.initializers:
        return False
    return op.op_type == "MatMulNBits" or len(graph.type_of(op.inputs[1]).shape or ()) == 2


def _of_attention(graph: Graph) -> set[str]:
    """Names of products between a sum of the residual and attention, or attention and the next."""
    makers = {name: op for op in graph.ops for name in op.outputs}
    users: dict[str, list[Op]] = {}
    for op in graph.ops:
        for name in op.inputs:
            users.setdefault(name, []).append(op)
    names: set[str] = set()
    for op in graph.ops:
        if "Attention" not in op.op_type:
            continue
        names |= _reached(op, lambda each: [makers[n] for n in each.inputs if n in makers])
        names |= _reached(
            op, lambda each: [user for n in each.outputs[:1] for user in users.get(n, [])]
        )
    return names


def _reached(start: Op, following: Callable[[Op], list[Op]]) -> set[str]:
    """Names of operators on the way from one up to sums."""
    seen: set[str] = set()
    front = following(start)
    while front:
        op = front.pop()
        if op.name not in seen and op.op_type not in _SUMS:
            seen.add(op.name)
            front += following(op)
    return seen


def adapter_bytes(products: Sequence[Adapted], adapters: Adapters) -> float:
    """Bytes of all resident adapters on a rank."""
    size = sum(
        each.numbers(adapters.rank) * (TensorType(each.dtype, (1,)).nbytes or 0)
        for each in products
    )
    return float(size * adapters.count)


def adapter_s(
    products: Sequence[Adapted],
    adapters: Adapters,
    seconds: Seconds,
    bandwidth_bytes_per_s: float,
    tokens: np.ndarray,
) -> np.ndarray:
    """Seconds that adapters add to a step by its number of tokens: float64 [tokens].

    The two products of one adapter are estimated as others are; the weights of the other adapters
    of the step, and reading what is added to, take their bytes over the memory's bandwidth.

    Args:
        products: What is adapted.
        adapters: Adapters.
        seconds: Seconds of operators.
        bandwidth_bytes_per_s: Bandwidth of the device's memory.
        tokens: Numbers of tokens, each 1 or more.
    """
    kinds = {each: products.count(each) for each in products}
    found = np.zeros(len(tokens))
    for each, times in kinds.items():
        width = TensorType(each.dtype, (1,)).nbytes or 0
        for place, count in enumerate(tokens):
            rows, different = adapters.used(int(count))
            if not rows:
                continue
            low = each.slices * adapters.rank
            pair = seconds(
                [
                    _product(rows, each.inner, low, each.dtype),
                    _product(rows, adapters.rank, each.outer, each.dtype),
                ]
            )
            moved = max(0.0, different - 1) * each.numbers(adapters.rank) + rows * each.outer
            found[place] += times * (pair.sum() + moved * width / bandwidth_bytes_per_s)
    return found


def _product(rows: int, inner: int, outer: int, dtype: str) -> OpKey:
    x = Operand(TensorType(dtype, (rows, inner)))
    weight = Operand(TensorType(dtype, (inner, outer)), const=True)
    return OpKey("MatMul", (x, weight), (TensorType(dtype, (rows, outer)),), version=13)
