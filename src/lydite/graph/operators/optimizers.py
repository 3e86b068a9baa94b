"""Losses and optimiser updates."""

from __future__ import annotations

from lydite.graph.operators import split
from lydite.graph.operators.call import DIVIDE, SQRT, Call, Cost, WorkRule, per_input
from lydite.graph.operators.gradients import losses
from lydite.graph.operators.missing import BEHIND_SPLIT, SECOND_ORDER, usual
from lydite.graph.operators.operator import Family, Operator
from lydite.graph.operators.reduce import LOG_SOFTMAX
from lydite.graph.operators.typing.lydite import like, updated


def _likelihood(call: Call) -> Cost:
    """The log-probability of each target is read (weighted if weights are given), then reduced."""
    targets = call.count(1)
    reduced = call.text("reduction", "mean") != "none"
    written = call.all_outputs()
    taken = call.bytes_of(0) * targets / max(1, call.count(0))
    return Cost(targets * (1 + call.has(2) + reduced), taken + call.bytes_of(1, 2), written)


def _cross_entropy(call: Call) -> Cost:
    targets = call.count(1)
    reduced = call.text("reduction", "mean") != "none"
    return Cost(LOG_SOFTMAX * call.count(0) + targets * (1 + call.has(2) + reduced))


def _optimiser(each: float, states: int) -> WorkRule:
    """`each` FLOPs per parameter; inputs are rate, step, then parameters, gradients and states."""

    def rule(call: Call) -> Cost:
        groups = (len(call.ins) - 2) // (2 + states)
        return Cost(each * sum(call.count(2 + i) for i in range(groups)))

    return rule


_TRAINING = "ai.onnx.preview.training:"
_losses = Family("loss", usual())
_updates = Family("optimizer", usual(gradient=SECOND_ORDER, split=BEHIND_SPLIT))

OPERATORS: tuple[Operator, ...] = (
    _losses.row(
        "NegativeLogLikelihoodLoss",
        _likelihood,
        gradient=losses.likelihood,
        split=split.likelihood,
        precision="float32",
    ),
    _losses.row("SoftmaxCrossEntropyLoss", _cross_entropy, precision="float32", special=True),
    _updates.row(
        _TRAINING + "Adam",
        _optimiser(12 + DIVIDE + SQRT, states=2),
        types=updated(2),
        special=True,
    ),
    _updates.row(
        _TRAINING + "Adagrad",
        _optimiser(7 + DIVIDE + SQRT, states=1),
        types=updated(1),
        special=True,
    ),
    _updates.row(_TRAINING + "Momentum", _optimiser(7, states=1), types=updated(1)),
    _updates.row("lydite:GradientDescent", per_input(2, 1), types=like(1)),
)
