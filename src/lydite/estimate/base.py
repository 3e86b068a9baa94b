"""The estimator protocol, and how estimates add up."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from typing import Protocol

from lydite.errors import InputError
from lydite.graph import OpKey
from lydite.hardware import Device
from lydite.records import dataclass

SOURCES = ("measured", "interpolated", "learned", "roofline", "simulated")
CONFIDENCE = 0.9
"""Probability with which the true value lies between `low` and `high`."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimated seconds of one operator call, with its 90 % interval.

    Attributes:
        seconds: Estimated time.
        low, high: Bounds of the 90 % interval in seconds.
        source: One of `SOURCES`.
        detail: Details of the source: rows, neighbours, the limiting resource.
        shared: Estimates with the same mark have correlated errors (one model's bias), which add up
            instead of averaging out; None if the error is independent.

    Raises:
        InputError: not 0 < low <= seconds <= high < inf, or an unknown source.
    """

    seconds: float
    low: float
    high: float
    source: str
    detail: str = ""
    shared: Hashable = None

    def __post_init__(self) -> None:
        if not (0 < self.low <= self.seconds <= self.high < math.inf):
            raise InputError(
                f"an estimate of {self.seconds} s within {self.low} to {self.high} s",
                allowed="0 < low <= seconds <= high",
            )
        if self.source not in SOURCES:
            raise InputError(f"source '{self.source}'", allowed=", ".join(SOURCES))


class Estimator(Protocol):
    """Estimates operator times on a device; None for operators that it cannot estimate."""

    name: str

    def estimate(self, keys: Sequence[OpKey], device: Device) -> list[Estimate | None]:
        """One estimate per key, in order; takes many keys so that it can be vectorised."""
        ...


class Chain:
    """Estimators in order of trust: the first that has an estimate for an operator wins."""

    name = "chain"

    def __init__(self, estimators: Sequence[Estimator]) -> None:
        self.estimators = tuple(estimators)

    def estimate(self, keys: Sequence[OpKey], device: Device) -> list[Estimate | None]:
        """The first estimate for each key."""
        answers: list[Estimate | None] = [None] * len(keys)
        for estimator in self.estimators:
            open_ = [i for i, answer in enumerate(answers) if answer is None]
            if not open_:
                break
            for i, answer in zip(
                open_, estimator.estimate([keys[i] for i in open_], device), strict=True
            ):
                answers[i] = answer
        return answers


@dataclass(frozen=True, slots=True)
class Sum:
    """A sum of estimates with its own 90 % interval, in seconds."""

    seconds: float
    low: float
    high: float


def add_up(parts: Iterable[tuple[Estimate, int, Hashable]], systematic: float = 0.0) -> Sum:
    """Sum of `count` calls of each estimate.

    Errors of calls of one operator (same identity) and of estimates with the same `shared` mark are
    correlated and add linearly; errors of different groups are independent and add as the root of
    the sum of squares, downwards and upwards each by its own half-width.

    Args:
        parts: Tuples (estimate, number of calls, identity of the operator).
        systematic: Relative half-width of an error of the method itself, shared by all.
    """
    total = 0.0
    down: dict[Hashable, float] = {}
    up: dict[Hashable, float] = {}
    for estimate, count, identity in parts:
        group = ("shared", estimate.shared) if estimate.shared is not None else ("own", identity)
        total += count * estimate.seconds
        down[group] = down.get(group, 0.0) + count * (estimate.seconds - estimate.low)
        up[group] = up.get(group, 0.0) + count * (estimate.high - estimate.seconds)
    down["systematic",] = up["systematic",] = systematic * total
    return Sum(
        total,
        max(0.0, total - math.sqrt(sum(v * v for v in down.values()))),
        total + math.sqrt(sum(v * v for v in up.values())),
    )
