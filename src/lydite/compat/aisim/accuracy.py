"""One simulated step of an AISim benchmark beside its measured time."""

from __future__ import annotations

from typing import Any

from lydite.compat.aisim.step import AISimStep
from lydite.records import dataclass


@dataclass(frozen=True, slots=True)
class Cell:
    """One model in one environment.

    Attributes:
        environment, gpus, model: which.
        step: what was simulated.
        sum_s: of the one-GPU graph's operators.
        deviation_s: standard deviation of the step's operators, taken as independent.
        exchange_source: where the exchanges' times come from; "" without any.
        baseline_s: measured; None if it is missing or refused.
        why_not: the reason why it does not count; "" if it does.
    """

    environment: str
    gpus: int
    model: str
    step: AISimStep
    sum_s: float
    deviation_s: float
    exchange_source: str
    baseline_s: float | None
    why_not: str

    @property
    def predicted_s(self) -> float:
        """The step's time; a lower bound if `is_lower_bound`."""
        return self.step.seconds

    @property
    def is_lower_bound(self) -> bool:
        """Whether some node's time is unknown."""
        return bool(self.step.unknown)

    @property
    def error(self) -> float | None:
        """Signed relative error; None where nothing is to compare."""
        if self.why_not or self.baseline_s is None:
            return None
        return self.predicted_s / self.baseline_s - 1

    def to_json(self) -> dict[str, Any]:
        """All figures, units in the keys."""
        return {
            "environment": self.environment,
            "gpus": self.gpus,
            "model": self.model,
            "predicted_s": self.predicted_s,
            "is_lower_bound": self.is_lower_bound,
            "unknown_nodes": list(self.step.unknown),
            "compute_s": self.step.compute_s,
            "exchange_s": self.step.exchange_s,
            "exposed_exchange_s": self.step.exposed_s,
            "exchange_source": self.exchange_source,
            "operators_deviation_s": self.deviation_s,
            "sum_of_operators_s": self.sum_s,
            "baseline_s": self.baseline_s,
            "accuracy": None if self.error is None else 1 + self.error,
            "error": self.error,
            "not_compared": self.why_not,
        }
