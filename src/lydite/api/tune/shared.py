"""What the verbs of tuning share: checked options, rows of documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from lydite.errors import InputError, unknown_name
from lydite.exhibits import Curve

if TYPE_CHECKING:
    from lydite.backends.tuned import Machine
    from lydite.tune import Tuned

MOST_TRIALS = 3000
REFUSED_TARGETS = ("arm", "mali", "fpga", "pynq")


OPERATOR_COLUMNS = {
    "op_type": "operator",
    "inputs": "inputs",
    "count": "calls",
    "before_s": "before",
    "after_s": "after",
    "ratio": "after / before",
    "ratio_low": "low",
    "ratio_high": "high",
    "trials": "trials",
    "accepted": "shown faster",
    "tuned_calls": "tuned calls",
    "decision": "decision",
}
TRIAL_COLUMNS = {
    "trial": "trial",
    "config": "schedule",
    "seconds": "time",
    "best_s": "best so far",
    "status": "status",
}
SO_FAR = Curve("trial", {"seconds": "points", "best_s": "line"}, log="y")


class TriedRow(TypedDict):
    """One trial, those that earlier runs had kept first; `best_s` is the least time so far."""

    trial: int
    config: str
    seconds: float | None
    best_s: float | None
    status: str


class TunedRow(TypedDict):
    """One tuned operator.

    `before_s` and `after_s` are per call in a net, from the paired run; `ratio_low` and
    `ratio_high` bound after / before at 95 %. `accepted` says whether that run showed it to be
    faster; `tuned_calls` how many of the model's `count` calls then run tuned, None where the model
    was not looked at.
    """

    op_type: str
    inputs: list[str]
    parameters: list[str]
    count: int
    configurations: int
    trials: int
    known: int
    failed: dict[str, int]
    space: str | None
    factors: dict[str, Any]
    trial_s: float | None
    before_s: float | None
    after_s: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    accepted: bool
    tuned_calls: int | None
    decision: str
    digest: str
    tried: list[TriedRow]


def check_tuning(tuner: str, trials: int, target: str = "llvm") -> Machine:
    """Check the options of tuning, and that this machine can tune.

    Raises:
        InputError: the tuner is unknown, the number of trials is out of range, or the target is not
            supported.
        MissingExtra: TVM is not installed (with the command to add it).
    """
    from lydite.backends.tuned import machine
    from lydite.backends.tuned.toolchain import ABSENT_TARGETS
    from lydite.tune import TUNERS

    if tuner not in TUNERS:
        raise unknown_name("tuner", tuner, TUNERS.names())
    if not 1 <= trials <= MOST_TRIALS:
        raise InputError(f"trials is {trials}", allowed=f"1 to {MOST_TRIALS}")
    if target == "cuda":
        raise InputError(
            "the target cuda has no schedule spaces here",
            allowed="llvm",
            hint="lydite ops MODEL --on h100 lists its operators",
        )
    if target != "llvm":
        needs = ABSENT_TARGETS.get({"pynq": "fpga"}.get(target, target))
        told = f"the target {target} {needs}" if needs else f"unknown target '{target}'"
        raise InputError(told, allowed="llvm")
    return machine()


def tuned_row(tuned: Tuned, count: int = 1, used: Mapping[str, int] | None = None) -> TunedRow:
    """The row of a tuned operator.

    Args:
        tuned: What tuning came to.
        count: Calls of the operator in the model.
        used: Calls that run tuned by digest of the operator; None if the model was not looked at.
    """
    calls = None if used is None else used.get(tuned.task.key.digest, 0)
    key, decision = tuned.task.key, tuned.decision
    types = [(t, o.const) for t, o in zip(key.operand_types(), key.inputs, strict=True) if t]
    before = decision.reference_s if decision else None
    after = decision.seconds if decision else None
    return {
        "op_type": key.qualified_type,
        "inputs": [str(t) for t, const in types if not const],
        "parameters": [str(t) for t, const in types if const],
        "count": count,
        "configurations": tuned.size,
        "trials": tuned.trials,
        "known": tuned.known,
        "failed": dict(tuned.failed),
        "space": tuned.best.space if tuned.best else None,
        "factors": tuned.best.factors if tuned.best else {},
        "trial_s": tuned.best_s,
        "before_s": before,
        "after_s": after,
        "ratio": after / before if after and before else None,
        "ratio_low": decision.ratio_low if decision else None,
        "ratio_high": decision.ratio_high if decision else None,
        "accepted": tuned.accepted,
        "tuned_calls": calls,
        "decision": decision_of(tuned, count, calls),
        "digest": key.digest,
        "tried": _tried(tuned),
    }


def _tried(tuned: Tuned) -> list[TriedRow]:
    rows: list[TriedRow] = []
    best: float | None = None
    for number, (config, outcome) in enumerate(tuned.tried, 1):
        seconds = outcome.seconds
        if seconds is not None:
            best = seconds if best is None else min(best, seconds)
        rows.append(
            {
                "trial": number,
                "config": str(config),
                "seconds": seconds,
                "best_s": best,
                "status": outcome.status,
            }
        )
    return rows


def decision_of(tuned: Tuned, count: int = 1, calls: int | None = None) -> str:
    """What is used from now on, and why; `calls` of `count` run tuned in the model, if known."""
    if tuned.accepted and calls is None:
        return "shown to be faster"
    if tuned.accepted and calls:
        return "tuned" if calls == count else f"tuned in {calls} of {count} calls"
    if tuned.accepted:
        return "keeps ONNX Runtime's: faster by less than a call"
    if tuned.best is None:
        return "keeps ONNX Runtime's: no trial succeeded"
    if tuned.decision is None or tuned.decision.status != "ok":
        return "keeps ONNX Runtime's: no paired run"
    return "keeps ONNX Runtime's: not shown to be faster"
