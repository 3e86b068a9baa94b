"""Matrix products: 2 x output elements x contracted length."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lydite.graph.operators import products, split, split_products
from lydite.graph.operators.call import FUNCTION, Call, Cost, NotKnownError, WorkRule, at
from lydite.graph.operators.decompositions import fused, quantised
from lydite.graph.operators.elementwise import GELU_TANH, SIGMOID, activation
from lydite.graph.operators.gradients import linear as gradients
from lydite.graph.operators.missing import (
    NOT_IN_TORCH,
    QUANTISED,
    no_array,
    runtimes,
    usual,
)
from lydite.graph.operators.operator import SAVED_FORM, ZERO, Family, Operator, Saving
from lydite.graph.operators.typing.contrib import (
    as_float,
    fused_matmul,
    like,
    matmul_nbits,
    ordered_matmul,
    quantised_gemm,
    standard,
)

REQUANTISE = 5  # scale, round, shift, two clamps
DEQUANTISE = 2  # subtract the zero point, multiply by the scale
QUANTISE_DYNAMIC = 10  # smallest, largest, then divide, round, shift, two clamps


def inner(call: Call, left: int = 0, *, transposed: bool = False) -> int:
    """Contracted length, from the left operand: its last axis, or the one before if transposed."""
    dims = call.shape(left)
    return dims[-2] if transposed and len(dims) > 1 else at(dims, -1)


def matmul_flops(call: Call, left: int = 0) -> float:
    """FLOPs of numpy's matmul, for a right operand of any shape."""
    return 2 * inner(call, left) * call.out_count()


def _product(extra: float = 0) -> WorkRule:
    def rule(call: Call) -> Cost:
        return Cost(matmul_flops(call) + extra * call.out_count())

    return rule


def _gemm(call: Call) -> Cost:
    """Scaling by alpha and beta counts where they are not 1, C and the activation where given."""
    length = inner(call, transposed=bool(call.integer("transA", 0)))
    each = 2 * length + (call.number("alpha", 1) != 1) + activation(call.text("activation"))
    if call.has(2) and call.number("beta", 1) != 0:
        each += 1 + (call.number("beta", 1) != 1)
    return Cost(each * call.out_count())


def _fused(call: Call) -> Cost:
    """Operands may be transposed; the left operand also in its batch axes."""
    dims = call.shape(0)
    if call.integer("transBatchA", 0):
        dims = (*dims[1:-1], dims[0], dims[-1])
    length = dims[-2] if call.integer("transA", 0) and len(dims) > 1 else at(dims, -1)
    each = 2 * length + (call.number("alpha", 1) != 1) + activation(call.text("activation"))
    return Cost(each * call.out_count())


def _integer(call: Call) -> Cost:
    """Zero points, if given, are subtracted first."""
    shifted = call.has(2) * call.count(0) + call.has(3) * call.count(1)
    return Cost(matmul_flops(call) + shifted)


def _to_float(call: Call) -> Cost:
    return Cost(matmul_flops(call) + (DEQUANTISE + call.has(6)) * call.out_count())


def _dynamic(call: Call) -> Cost:
    """The left operand is quantised first; the product is scaled afterwards."""
    flops = matmul_flops(call) + (DEQUANTISE + call.has(4)) * call.out_count()
    return Cost(flops + QUANTISE_DYNAMIC * call.count(0))


def _blocks(bias: int) -> WorkRule:
    """A weight in low-bit blocks, which every call dequantises."""

    def rule(call: Call) -> Cost:
        length = call.integer("K", call.shape(0)[-1])
        width = call.out_shape()[-1]
        each = 2 * length + (call.has(bias) if bias else 0)
        return Cost(each * call.out_count() + DEQUANTISE * length * width)

    return rule


def _in_blocks(attrs: Mapping[str, Any], index: int, _: int) -> int | None:
    """The weight is input 1; scales and zero points stand beside it."""
    if index == 1:
        return int(attrs.get("K", 0)) * int(attrs.get("N", 0))
    return 0 if index in (2, 3) else None


def _packed_experts(attrs: Mapping[str, Any], index: int, elements: int) -> int | None:
    """Matrices are inputs 2, 5 and 8, each followed by its scales; zero points are 11 to 13."""
    if index in (2, 5, 8):
        return elements * 8 // int(attrs.get("expert_weight_bits", 4))
    return 0 if index in (3, 6, 9, 11, 12, 13) else None


def _quantised_gemm(call: Call) -> Cost:
    length = inner(call, transposed=bool(call.integer("transA", 0)))
    return Cost((2 * length + call.has(6) + REQUANTISE) * call.out_count())


def _experts(matrices: Sequence[int], biases: Sequence[int], bits: str = "") -> WorkRule:
    """Each token passes through its `k` best experts: an up and a down matrix, possibly a gate.

    Only the weights of experts that some token chooses are read: of E experts, if tokens choose
    alike, E (1 - (1 - k / E) ** tokens) in the mean.
    """

    def rule(call: Call) -> Cost:
        hidden, experts = call.shape(0)[-1], at(call.shape(1), -1)
        tokens = call.count(0) / max(1, hidden)
        routed = tokens * call.integer("k", 1)
        packed = 8 / call.integer(bits, 4) if bits else 1
        elements = [math.prod(call.shape(i)[1:]) * packed for i in matrices if call.has(i)]
        width = elements[1] / max(1, hidden)
        each = 2 * sum(elements) + activation(call.text("activation_type", "relu")) * width
        each += sum(math.prod(call.shape(i)[1:]) for i in biases if call.has(i)) + 2 * hidden
        used = 1 - (1 - min(1, call.integer("k", 1) / max(1, experts))) ** tokens
        weights = call.bytes_of(*range(2, len(call.ins)))
        return Cost(routed * each, call.bytes_of(0, 1) + used * weights)

    return rule


experts_work = _experts((2, 4, 6), (3, 5, 7))
"""Work of com.microsoft:MoE."""


def _einsum(call: Call) -> Cost:
    """Contracts operands from left to right; sums an index once no later operand has it."""
    terms, output = _equation(call)
    size: dict[str, int] = {}
    for index, term in enumerate(terms):
        for label, dim in zip(term, call.shape(index), strict=True):
            size[label] = max(dim, size.get(label, 1))
    kept, flops = terms[0], 0.0
    for position, term in enumerate(terms[1:] or [()], start=1):
        together = list(dict.fromkeys((*kept, *term)))
        later = {label for rest in terms[position + 1 :] for label in rest} | set(output)
        kept = tuple(label for label in together if label in later)
        volume = math.prod(size[label] for label in together)
        flops += volume * ((len(terms) > 1) + (len(kept) < len(together)))
    return Cost(flops)


def _equation(call: Call) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """Labels of each operand and of the output; an ellipsis becomes numbered labels."""
    left, arrow, right = call.text("equation").replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(call.ins):
        raise NotKnownError
    spans = [len(call.shape(i)) - len(part.replace("...", "")) for i, part in enumerate(parts)]
    widest = max((n for n, part in zip(spans, parts, strict=True) if "..." in part), default=0)

    def labels(part: str, span: int) -> tuple[str, ...]:
        before, dots, after = part.partition("...")
        ranks = [f"{widest - span + i}" for i in range(span)] if dots else []
        return (*before, *ranks, *after)

    terms = [labels(part, n) for part, n in zip(parts, spans, strict=True)]
    if any(len(term) != len(call.shape(i)) for i, term in enumerate(terms)):
        raise NotKnownError
    if arrow:
        return terms, labels(right, widest)
    joined = [label for term in terms for label in term]
    once = sorted(x for x in set(joined) if joined.count(x) == 1 and x.isalpha())
    return terms, (*map(str, range(widest)), *once)


def _router(call: Call) -> Cost:
    """Routing scores per token and expert with bias, after a projection if weights are given.

    A score costs a sigmoid and an addition. If the operator chooses the experts, it also costs a
    comparison within its group and log2(kept) among those kept, and a function for each one kept.
    """
    experts = call.count(1)
    if call.has(2):
        tokens, width = call.shape(0)
    else:
        tokens, width = call.count(0) / max(1, experts), 0
    flops = tokens * experts * (2 * width + SIGMOID + 1)
    if len(call.outs) == 1:
        kept = call.integer("top_k", 1)
        flops += tokens * (experts * (1 + math.ceil(math.log2(max(2, kept)))) + FUNCTION * kept)
    return Cost(flops)


def _determinant(call: Call) -> Cost:
    """Gaussian elimination: 2/3 n^3 FLOPs for an n x n matrix."""
    return Cost(2 / 3 * at(call.shape(0), -1) * call.count(0))


def _inverse(call: Call) -> Cost:
    """Gaussian elimination with an appended identity matrix: 2 n^3 FLOPs for an n x n matrix."""
    return Cost(2 * at(call.shape(0), -1) * call.count(0))


def _sparse(call: Call) -> Cost:
    """Counted as dense: the number of zeros is not in the type."""
    length = inner(call, transposed=bool(call.integer("transA", 0)))
    return Cost(2 * length * call.out_count())


_MS = "com.microsoft:"
SPARSE = "the number of its zeros is not in its type"
_MS = "com.microsoft:"
_standard = Family("matmul", usual())
_runtime = Family("matmul", runtimes())

OPERATORS: tuple[Operator, ...] = (
    _standard.row(
        "MatMul",
        _product(),
        gradient=gradients.matmul,
        split=split_products.matmul,
        array=products.matmul(),
        precision="low",
    ),
    _standard.row(
        "Gemm",
        _gemm,
        gradient=gradients.gemm,
        split=split_products.gemm,
        array=products.gemm,
        precision="low",
    ),
    _standard.row(
        "MatMulInteger",
        _integer,
        gradient=ZERO,
        split=split_products.matmul,
        array=products.matmul(),
    ),
    _standard.row(
        "QLinearMatMul",
        _product(REQUANTISE),
        gradient=QUANTISED,
        array=products.matmul(0, 3),
        operands=(0, 3),
        decomposition=quantised.quantised_matmul,
    ),
    _standard.row(
        "Einsum", _einsum, gradient=gradients.einsum, array=products.einsum, precision="low"
    ),
    _standard.row("Det", _determinant, split=split.rows_alone),
    _runtime.row(_MS + "Inverse", _inverse, types=like(0), split=split.rows_alone),
    _runtime.row(
        _MS + "FusedGemm",
        _gemm,
        types=standard("Gemm", [0, 1, 2]),
        split=split_products.gemm,
        array=products.gemm,
        decomposition=fused.with_activation(fused.fused_gemm),
    ),
    _runtime.row(
        _MS + "GemmFastGelu",
        _product(1 + GELU_TANH),
        types=as_float("MatMul"),
        array=products.matmul(),
        decomposition=fused.gemm_fast_gelu,
    ),
    _runtime.row(_MS + "GemmFloat8", _gemm, array=products.gemm),
    _runtime.row(
        _MS + "FusedMatMul",
        _fused,
        types=fused_matmul,
        array=products.fused_matmul,
        decomposition=lambda call: [fused.fused_matmul(call)],
        precision="low",
    ),
    _runtime.row(
        _MS + "FusedMatMulActivation",
        _fused,
        types=fused_matmul,
        array=products.fused_matmul,
        decomposition=fused.with_activation(fused.fused_matmul),
    ),
    _runtime.row(
        _MS + "TransposeMatMul",
        _fused,
        types=fused_matmul,
        array=products.fused_matmul,
        decomposition=lambda call: [fused.fused_matmul(call)],
    ),
    _runtime.row(_MS + "MatMulInteger16", _product(), array=products.matmul()),
    _runtime.row(
        _MS + "MatMulIntegerToFloat",
        _to_float,
        types=as_float("MatMul"),
        gradient=QUANTISED,
        array=products.matmul(),
        decomposition=quantised.integer_to_float,
    ),
    _runtime.row(
        _MS + "DynamicQuantizeMatMul", _dynamic, types=as_float("MatMul"), array=products.matmul()
    ),
    _runtime.row(
        _MS + "MatMulNBits",
        _blocks(5),
        types=matmul_nbits,
        split=split_products.packed_matmul,
        array=products.packed_weight,
        packed=_in_blocks,
    ),
    _runtime.row(
        _MS + "MatMulBnb4",
        _blocks(0),
        types=matmul_nbits,
        array=products.packed_weight,
        packed=_in_blocks,
    ),
    _runtime.row(_MS + "MatMulFpQ4", _blocks(0), array=products.packed_weight, packed=_in_blocks),
    _runtime.row(
        _MS + "QGemm",
        _quantised_gemm,
        types=quantised_gemm,
        array=products.gemm_of(0),
        operands=(0, 3),
    ),
    _runtime.row(
        _MS + "QOrderedMatMul",
        _product(REQUANTISE),
        types=ordered_matmul,
        array=products.matmul(0, 2),
        operands=(0, 2),
    ),
    _runtime.row(
        _MS + "MoE",
        experts_work,
        types=like(0),
        split=split_products.experts,
        array=products.experts(2, 4, 6),
        saving=Saving("MoETraining", "lydite", 2),
        gradient=SAVED_FORM,
        torch=NOT_IN_TORCH,
    ),
    _runtime.row(
        _MS + "QMoE",
        _experts((2, 5, 8), (4, 7, 10), "expert_weight_bits"),
        types=like(0),
        split=split_products.packed_experts,
        array=products.experts(2, 5, 8, "expert_weight_bits"),
        packed=_packed_experts,
    ),
    _runtime.row(_MS + "MoEGroupRouter", _router),
    _runtime.row(_MS + "SparseToDenseMatMul", _sparse, array=no_array(SPARSE)),
)
