"""Accuracy of predictions: errors against measured times, bias, and calibration of intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lydite.errors import InputError
from lydite.records import dataclass
from lydite.results import OneLine
from lydite.units import format_percent


@dataclass(frozen=True, slots=True)
class Point:
    """One comparison, in seconds.

    Raises:
        InputError: the measured time is zero, negative or missing, so that the error is undefined.
    """

    name: str
    predicted: float
    measured: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.measured > 0 or not np.isfinite(self.measured):
            raise InputError(
                f"a measured time of {self.measured} s", where=self.name, allowed="> 0"
            )

    @property
    def error(self) -> float:
        """Signed relative error: predicted over measured, minus 1."""
        return self.predicted / self.measured - 1

    @property
    def inside(self) -> bool:
        """Whether the measured time lies in the stated interval."""
        return self.low <= self.measured <= self.high


@dataclass(frozen=True, repr=False)
class Accuracy(OneLine):
    """Summary over points: median, mean and worst absolute error, bias, hit rates, calibration."""

    points: tuple[Point, ...]

    @staticmethod
    def of(points: Sequence[Point]) -> Accuracy:
        """Summarise points.

        Raises:
            InputError: there are no points.
        """
        if not points:
            raise InputError("nothing to compare")
        return Accuracy(tuple(points))

    @property
    def _errors(self) -> np.ndarray:
        return np.array([point.error for point in self.points])

    @property
    def median_abs(self) -> float:
        """Median absolute error."""
        return float(np.median(np.abs(self._errors)))

    @property
    def mean_abs(self) -> float:
        """Mean absolute percentage error (MAPE), as a fraction."""
        return float(np.mean(np.abs(self._errors)))

    @property
    def worst(self) -> Point:
        """The point with the largest absolute error."""
        return max(self.points, key=lambda point: abs(point.error))

    @property
    def bias(self) -> float:
        """Mean signed error."""
        return float(np.mean(self._errors))

    @property
    def inside(self) -> float:
        """Share of measured times within the stated interval."""
        return float(np.mean([point.inside for point in self.points]))

    def within(self, limit: float) -> float:
        """Share of points with an absolute error of at most `limit`."""
        return float(np.mean(np.abs(self._errors) <= limit))

    def to_json(self) -> dict[str, Any]:
        """All figures, with errors as fractions."""
        return {
            "points": len(self.points),
            "median_abs_error": self.median_abs,
            "mean_abs_error": self.mean_abs,
            "worst_abs_error": abs(self.worst.error),
            "worst": self.worst.name,
            "bias": self.bias,
            "within_5_percent": self.within(0.05),
            "within_10_percent": self.within(0.10),
            "within_15_percent": self.within(0.15),
            "inside_interval": self.inside,
        }

    def headline(self) -> str:
        """Number of points and their errors."""
        mean, median = format_percent(self.mean_abs), format_percent(self.median_abs)
        return f"{len(self.points)} points, absolute error: median {median}, mean {mean}"
