"""Accuracy of predicted step times against measured ones, compared with null models.

    accuracy = predicted / baseline,  loss = |1 - accuracy|,  averages are plain means   (AISim's)

The null models: the sum of the operators of the one-GPU graph at every number of devices, and that
sum times a constant, which is fitted in its favour to the same baselines that it is judged by.
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
        """Name of the model."""
        ...

    @property
    def environment(self) -> str:
        """Number of devices, as text."""
        ...

    @property
    def predicted_s(self) -> float:
        """Predicted time of the step in seconds."""
        ...

    @property
    def sum_s(self) -> float:
        """Sum of the step's operator times on one GPU, in seconds."""
        ...

    @property
    def baseline_s(self) -> float | None:
        """Measured time of the step in seconds; None if it is missing or invalid."""
        ...

    @property
    def error(self) -> float | None:
        """Signed relative error of the prediction; None without a measurement."""
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
    """Mean absolute relative error of the cells that have an error; None without any."""
    errors = [abs(cell.error) for cell in cells if cell.error is not None]
    return float(np.mean(errors)) if errors else None


def summary_json(accuracies: Mapping[str, Accuracy]) -> dict[str, Any]:
    """Accuracy of each method as JSON values, as shares of 1; no method has intervals."""
    documents = {name: accuracy.to_json() for name, accuracy in accuracies.items()}
    for document in documents.values():
        del document["inside_interval"]
    return documents


def _constant(cells: Sequence[MeasuredStep]) -> float:
    """The factor on the sums with the least mean absolute error; it makes one of them exact."""
    baselines = np.array([cell.baseline_s for cell in cells], float)
    sums = np.array([cell.sum_s for cell in cells])
    factors = baselines[sums > 0] / sums[sums > 0]
    return min(factors.tolist(), key=lambda f: np.abs(f * sums / baselines - 1).sum(), default=1.0)


def _point(cell: MeasuredStep, seconds: float) -> Point:
    assert cell.baseline_s is not None
    return Point(f"{cell.model} on {cell.environment}", seconds, cell.baseline_s, seconds, seconds)
