"""Reductions, running sums, softmax and sorting."""

from __future__ import annotations

import math

from lydite.graph.operators import split
from lydite.graph.operators.call import DIVIDE, FUNCTION, SQRT, Call, Cost, WorkRule, at, per_output
from lydite.graph.operators.decompositions import fused
from lydite.graph.operators.gradients import elementwise
from lydite.graph.operators.gradients import move as gradients
from lydite.graph.operators.missing import WHOLE, runtimes, usual
from lydite.graph.operators.operator import HOST, ZERO, Family, Operator
from lydite.graph.operators.typing.contrib import like, pairs_of_rows

SOFTMAX = 3 + FUNCTION + DIVIDE  # maximum, subtract, exp, sum, divide
LOG_SOFTMAX = 4 + FUNCTION  # maximum, subtract, exp, sum, subtract; not the log of each row


def _reduced(each: float, last: float = 0) -> WorkRule:
    """`each` FLOPs per element of the first input, plus `last` per output element."""

    def rule(call: Call) -> Cost:
        return Cost(each * call.count(0) + last * call.out_count(), call.bytes_of(0))

    return rule


def _softmax(each: float) -> WorkRule:
    def rule(call: Call) -> Cost:
        return Cost(each * call.count(0))

    return rule


def _sorted(call: Call, kept: int) -> float:
    """Comparisons that keep the best `kept` elements: log2(kept) for each element."""
    return call.count(0) * math.ceil(math.log2(max(2, kept)))


def _top_k(call: Call) -> Cost:
    return Cost(_sorted(call, at(call.out_shape(), call.integer("axis", -1))))


def _unique(call: Call) -> Cost:
    return Cost(_sorted(call, call.count(0)))


def _multinomial(call: Call) -> Cost:
    """A running sum of the probabilities, then a binary search per sample."""
    rows, classes = call.shape(0)
    samples = call.out_count()
    steps = math.ceil(math.log2(max(2, classes)))
    return Cost(rows * classes * (FUNCTION + 1) + samples * steps)


_REDUCE: dict[str, WorkRule] = {
    "ReduceSum": _reduced(1),
    "ReduceMax": _reduced(1),
    "ReduceMin": _reduced(1),
    "ReduceProd": _reduced(1),
    "ReduceMean": _reduced(1, DIVIDE),
    "ReduceL1": _reduced(2),
    "ReduceL2": _reduced(2, SQRT),
    "ReduceSumSquare": _reduced(2),
    "ReduceLogSum": _reduced(1, FUNCTION),
    "ReduceLogSumExp": _reduced(3 + FUNCTION, 1 + FUNCTION),
    "ArgMax": _reduced(1),
    "ArgMin": _reduced(1),
}


_GRADIENTS = {
    "ReduceSum": gradients.reduce,
    "ReduceMean": gradients.reduce,
    "ReduceMax": gradients.reduce_extreme,
    "ReduceMin": gradients.reduce_extreme,
    **dict.fromkeys(
        (
            "ReduceL1",
            "ReduceL2",
            "ReduceSumSquare",
            "ReduceProd",
            "ReduceLogSum",
            "ReduceLogSumExp",
        ),
        gradients.reduce_nonlinear,
    ),
    "ArgMax": ZERO,
    "ArgMin": ZERO,
}
_MS = "com.microsoft:"
_standard = Family("reduce", usual(split=split.along()))
_runtime = Family("reduce", runtimes(split=split.last_axis))

OPERATORS: tuple[Operator, ...] = (
    *(
        _standard.row(
            name,
            work,
            gradient=_GRADIENTS[name],
            split=split.reduced(sums=name == "ReduceSum"),
            precision="float32" if name in ("ReduceSum", "ReduceMean", "ReduceProd") else "widest",
            folds=name in ("ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum"),
        )
        for name, work in _REDUCE.items()
    ),
    _standard.row(
        "CumSum", _reduced(1), gradient=gradients.running_sum, precision="float32", split=WHOLE
    ),
    _standard.row("CumProd", _reduced(1), split=WHOLE),
    _standard.row(
        "Softmax",
        _softmax(SOFTMAX),
        gradient=elementwise.softmax,
        split=split.softmax,
        precision="float32",
        special=True,
    ),
    _standard.row(
        "LogSoftmax",
        _softmax(LOG_SOFTMAX),
        gradient=elementwise.softmax,
        split=split.softmax,
        precision="float32",
        special=True,
    ),
    _standard.row("Hardmax", _softmax(1), gradient=ZERO),
    _standard.row("TopK", _top_k, gradient=gradients.top_k, array=HOST),
    _standard.row("Unique", _unique, split=WHOLE, array=HOST),
    _standard.row("Multinomial", _multinomial, gradient=ZERO, split=split.rows_alone),
    _runtime.row(_MS + "Unique", _unique, split=WHOLE, array=HOST),
    _runtime.row(
        _MS + "BiasSoftmax",
        _softmax(1 + SOFTMAX),
        types=like(0),
        split=WHOLE,
        special=True,
        decomposition=fused.bias_softmax,
    ),
    _runtime.row(_MS + "ReduceSumInteger", _reduced(1)),
    _runtime.row(_MS + "QLinearReduceMean", _reduced(2, DIVIDE + 5)),
    _runtime.row(
        _MS + "CDist",
        lambda call: Cost(3 * call.out_count() * call.shape(0)[1]),
        types=pairs_of_rows,
    ),
    _runtime.row(_MS + "SampleOp", per_output(0), types=like(0), split=split.pointwise),
)
