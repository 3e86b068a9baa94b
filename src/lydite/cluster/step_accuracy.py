"""Predicted against measured step times, beside what needs no simulator at all.

    accuracy = predicted / baseline,  loss = |1 - accuracy|,  averages are plain means   (AISim's)

The null models: the sum of the operators of the one-GPU graph at every count, and that sum times
one constant, which is fitted to the very baselines it is judged by, in its favour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from lydite.estimate import Accuracy, Point

SIMULATED, SUM, CONSTANT = "simulated", "sum of operators", "one constant efficiency"


class MeasuredStep(Protocol):
    """A step as it was simulated and measured."""

    @property
    def model(self) -> str:
        """Which."""
        ...

    @property
    def environment(self) -> str:
        """Where."""
        ...

    @property
    def predicted_s(self) -> float:
        """The step's time."""
        ...

    @property
    def sum_s(self) -> float:
        """Of its operators on one GPU."""
        ...

    @property
    def baseline_s(self) -> float | None:
        """Measured; None if it is missing or refused."""
        ...

    @property
    def error(self) -> float | None:
        """Signed and relative; None where nothing is to compare."""
        ...


def summaries(cells: Sequence[MeasuredStep]) -> dict[str, Accuracy]:
    """Accuracy of the simulation and of both null models over the same cells; {} without any."""
    counted = [cell for cell in cells if cell.error is not None]
    if not counted:
        return {}
    factor = _constant(counted)
    predicted = {
        SIMULATED: [cell.predicted_s for cell in counted],
        SUM: [cell.sum_s for cell in counted],
        CONSTANT: [factor * cell.sum_s for cell in counted],
    }
    return {
        name: Accuracy.of([_point(c, s) for c, s in zip(counted, seconds, strict=True)])
        for name, seconds in predicted.items()
    }


def average_loss(cells: Sequence[MeasuredStep]) -> float | None:
    """Mean absolute error of the cells that count; None without any."""
    errors = [abs(cell.error) for cell in cells if cell.error is not None]
    return float(np.mean(errors)) if errors else None


def summary_json(found: Mapping[str, Accuracy]) -> dict[str, Any]:
    """Each method's figures, as shares of 1; these predictions have no intervals."""
    documents = {name: accuracy.to_json() for name, accuracy in found.items()}
    for document in documents.values():
        del document["inside_interval"]
    return documents


def _constant(cells: Sequence[MeasuredStep]) -> float:
    """The factor on the sums with the least mean absolute error: it makes one of them exact."""
    baselines = np.array([cell.baseline_s for cell in cells], float)
    sums = np.array([cell.sum_s for cell in cells])
    factors = baselines[sums > 0] / sums[sums > 0]
    return min(factors.tolist(), key=lambda f: np.abs(f * sums / baselines - 1).sum(), default=1.0)


def _point(cell: MeasuredStep, seconds: float) -> Point:
    assert cell.baseline_s is not None
    return Point(f"{cell.model} on {cell.environment}", seconds, cell.baseline_s, seconds, seconds)
