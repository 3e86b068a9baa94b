"""Reductions, running sums, softmax, sorting."""

from __future__ import annotations

import math

from lydite.graph.rules.call import DIVIDE, FUNCTION, SQRT, Call, Cost, Rule, at, per_output

SOFTMAX = 3 + FUNCTION + DIVIDE  # maximum, subtract, exp, sum, divide
LOG_SOFTMAX = 4 + FUNCTION  # maximum, subtract, exp, sum, subtract; one logarithm a row left out


def _reduced(each: float, last: float = 0) -> Rule:
    """`each` FLOPs per input element (axes only steer), `last` more per output element."""

    def rule(call: Call) -> Cost:
        return Cost(each * call.count(0) + last * call.out_count(), call.bytes_of(0))

    return rule


def _softmax(each: float) -> Rule:
    def rule(call: Call) -> Cost:
        return Cost(each * call.count(0))

    return rule


def _sorted(call: Call, kept: int) -> float:
    """Comparisons to keep the best `kept` of each element in turn: log2 each."""
    return call.count(0) * math.ceil(math.log2(max(2, kept)))


def _top_k(call: Call) -> Cost:
    return Cost(_sorted(call, at(call.out_shape(), call.integer("axis", -1))))


def _unique(call: Call) -> Cost:
    return Cost(_sorted(call, call.count(0)))


def _multinomial(call: Call) -> Cost:
    """A running sum of probabilities, then a binary search for every sample."""
    rows, classes = call.shape(0)
    samples = call.out_count()
    steps = math.ceil(math.log2(max(2, classes)))
    return Cost(rows * classes * (FUNCTION + 1) + samples * steps)


_REDUCE: dict[str, Rule] = {
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

_MS = "com.microsoft:"

RULES: dict[str, Rule] = {
    **_REDUCE,
    "CumSum": _reduced(1),
    "CumProd": _reduced(1),
    "Softmax": _softmax(SOFTMAX),
    "LogSoftmax": _softmax(LOG_SOFTMAX),
    "Hardmax": _softmax(1),
    "TopK": _top_k,
    "Unique": _unique,
    "Multinomial": _multinomial,
    _MS + "Unique": _unique,
    _MS + "BiasSoftmax": _softmax(1 + SOFTMAX),
    _MS + "ReduceSumInteger": _reduced(1),
    _MS + "QLinearReduceMean": _reduced(2, DIVIDE + 5),
    _MS + "CDist": lambda call: Cost(3 * call.out_count() * call.shape(0)[1]),
    _MS + "SampleOp": per_output(0),
}
