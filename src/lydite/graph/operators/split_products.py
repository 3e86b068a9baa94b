"""Rules that split products of weights, experts and tables over tensor-parallel ranks.

Weights are split as in Megatron-LM (arXiv:1909.08053), see `lydite.graph.operators.split`.
"""

from __future__ import annotations

from typing import Any

from lydite.graph.operators.split import (
    VOCABULARY,
    Cut,
    Split,
    SplitCall,
    Summed,
    Want,
    Wanted,
    selected,
)


def matmul(call: SplitCall) -> Split | None:
    """A product with a weight [rows, columns], or a batch of products of computed tensors."""
    if not call.is_matrix(1):
        return _batched(call)
    return by_weight(call, len(call.dims(0)) - 1, rows_axis=0)


def gemm(call: SplitCall) -> Split | None:
    """ONNX's Gemm, whose weight may be transposed."""
    if call.attr("transA") or not call.is_matrix(1):
        return None
    return by_weight(call, 1, rows_axis=1 if call.attr("transB") else 0)


def linear(call: SplitCall) -> Split | None:
    """aten's linear, whose weight is [columns, rows]."""
    if not call.is_matrix(1):
        return None
    return by_weight(call, len(call.dims(0)) - 1, rows_axis=1)


_NARROW, _FEW = 8, 64
"""A product with so few columns, and this many times as many rows, is a gate or a router."""


def _stays_whole(rows: int, columns: int, ranks: int) -> bool:
    """Whether a product is a gate or router, of which every rank has all."""
    return (columns % ranks != 0 or columns < _FEW) and columns * _NARROW <= rows


def by_weight(call: SplitCall, last: int, rows_axis: int) -> Split | None:
    """Split by columns where the data are whole, by rows where they are split along axis `last`.

    A gate or router stays whole, as in Megatron-Core and vLLM (`ReplicatedLinear`): one whose
    columns are few or do not divide.
    """
    biases = [index for index in range(2, len(call.op.inputs))]
    parted = call.cuts[0] == last
    held = call.cuts[1]  # of a weight that another operator uses too, such as a tied embedding
    if held == rows_axis or (parted and held is None):
        kept = (Want.KEEP,) * len(biases)
        data = Want.KEEP if parted else last
        return Split((data, rows_axis, *kept), (Summed.SUM,), product=True)
    rows, columns = call.dims(1)[rows_axis], call.dims(1)[1 - rows_axis]
    if _stays_whole(rows, columns, call.ranks):
        return None
    cut: list[Wanted] = [0 if call.has(index) else Want.KEEP for index in biases]
    data = Want.REPLICATE if parted else Want.ENTER
    return Split((data, 1 - rows_axis, *cut), (last,), product=True)


def _batched(call: SplitCall) -> Split | None:
    """Both operands split along the same leading axis, such as the heads; weights are too."""
    first, second = call.cuts[:2]
    if first is not None and call.weights[1]:
        own = first - len(call.dims(0)) + len(call.dims(1))
        if own < 0 or own >= len(call.dims(1)) - 2 or call.dims(1)[own] != call.dims(0)[first]:
            return None
        return Split((Want.KEEP, own), (first,), product=True)
    if first is None or first != second or first >= len(call.out_dims()) - 2:
        return None
    return call.kept(first)


def experts(call: SplitCall) -> Split | None:
    """Each rank has a part of every expert's inner width; the outputs are summed."""
    if any(call.has(i) for i in range(6, len(call.op.inputs))):
        return None
    rest = (Want.KEEP,) * (len(call.op.inputs) - 5)
    bias: Wanted = 1 if call.has(3) else Want.KEEP
    inputs = (Want.ENTER, Want.REPLICATE, 1, bias, 2, *rest)
    return Split(inputs, (Summed.SUM,), product=True)


_QMOE_UP, _QMOE_DOWN = (2, 3, 4), (5, 6)
"""Weights, scales and biases of QMoE's first product, weights and scales of its second."""


def packed_experts(call: SplitCall) -> Split | None:
    """As `experts`, for weights of few bits; whole experts where a rank's part cuts a block.

    A rank that has its share of the experts runs that share of each token's choices, at least one.
    """
    if any(call.has(i) for i in range(8, len(call.op.inputs))):
        return None
    wanted: list[Wanted] = [Want.KEEP] * len(call.op.inputs)
    wanted[:2] = Want.ENTER, Want.REPLICATE
    ups, downs = ([i for i in each if call.has(i)] for each in (_QMOE_UP, _QMOE_DOWN))
    sizes = [call.dims(i)[1] for i in ups] + [call.dims(i)[2] for i in downs]
    attrs: dict[str, Any] = {}
    if not any(size % call.ranks for size in sizes):
        for index in ups:
            wanted[index] = 1
        for index in downs:
            wanted[index] = 2
    else:
        if call.dims(2)[0] % call.ranks:
            return None
        for index in (*ups, *downs, *([7] if call.has(7) else [])):
            wanted[index] = 0
        attrs["k"] = max(1, int(call.attr("k", 1)) // call.ranks)
    return Split(tuple(wanted), (Summed.SUM,), attrs, product=True)


def packed_matmul(call: SplitCall) -> Split | None:
    """MatMulNBits: weight [columns, blocks of rows, bytes of a block], scales [columns, blocks]."""
    last = len(call.dims(0)) - 1
    rows = call.cuts[0] == last
    if not rows and _stays_whole(int(call.attr("K")), int(call.attr("N")), call.ranks):
        return None
    axis = 1 if rows else 0
    name = "K" if rows else "N"
    attrs = {name: int(call.attr(name)) // call.ranks}
    wanted: list[Wanted] = [Want.KEEP if rows else Want.ENTER]
    for index in range(1, len(call.op.inputs)):
        sizes = call.dims(index)
        if rows and len(sizes) > 1 and sizes[1] == 1:  # one block holds the whole row
            attrs["block_size"] = int(call.attr("block_size")) // call.ranks
            wanted.append(2 if len(sizes) == 3 else Want.KEEP)
            continue
        if call.has(index) and (len(sizes) <= axis or sizes[axis] % call.ranks):
            return None
        wanted.append(axis if call.has(index) else Want.KEEP)
    outputs: tuple[Cut | Summed, ...] = (Summed.SUM,) if rows else (last,)
    return Split(tuple(wanted), outputs, attrs, product=True)


BY_WEIGHT = (matmul, gemm, linear, packed_matmul)
"""Rules of products with a weight."""


def embedding(call: SplitCall) -> Split | None:
    """A table split by rows: each rank looks up its own tokens, and the results are summed."""
    large = call.is_matrix(0) and call.attr("axis", 0) == 0 and call.dims(0)[0] >= VOCABULARY
    return Split((0, Want.KEEP), (Summed.SUM,)) if large else selected(call)
