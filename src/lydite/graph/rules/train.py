"""Losses, and the steps of optimisers."""

from __future__ import annotations

from lydite.graph.rules.call import DIVIDE, SQRT, Call, Cost, Rule
from lydite.graph.rules.reduce import LOG_SOFTMAX


def _likelihood(call: Call) -> Cost:
    """The log-probability of each target is taken (and weighed), then reduced."""
    targets = call.count(1)
    reduced = call.text("reduction", "mean") != "none"
    written = call.all_outputs()
    taken = call.bytes_of(0) * targets / max(1, call.count(0))
    return Cost(targets * (1 + call.has(2) + reduced), taken + call.bytes_of(1, 2), written)


def _cross_entropy(call: Call) -> Cost:
    targets = call.count(1)
    reduced = call.text("reduction", "mean") != "none"
    return Cost(LOG_SOFTMAX * call.count(0) + targets * (1 + call.has(2) + reduced))


def _optimiser(each: float, states: int) -> Rule:
    """`each` FLOPs per parameter; inputs are rate, step, then parameters, gradients and states."""

    def rule(call: Call) -> Cost:
        groups = (len(call.ins) - 2) // (2 + states)
        return Cost(each * sum(call.count(2 + i) for i in range(groups)))

    return rule


_TRAINING = "ai.onnx.preview.training:"

RULES: dict[str, Rule] = {
    "NegativeLogLikelihoodLoss": _likelihood,
    "SoftmaxCrossEntropyLoss": _cross_entropy,
    _TRAINING + "Adam": _optimiser(12 + DIVIDE + SQRT, states=2),
    _TRAINING + "Adagrad": _optimiser(7 + DIVIDE + SQRT, states=1),
    _TRAINING + "Momentum": _optimiser(7, states=1),
}
