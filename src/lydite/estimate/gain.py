"""Which operators to measure: those whose measurement narrows a model's interval most.

An operator's part of the uncertainty is its share of the time times the relative half-width of its
interval. Measuring it removes that part, and much of that of operators of its type and of nearly
its size, which are then interpolated. The sum is submodular, so that choosing one after the other
is within 1 - 1/e of the best choice (Nemhauser, Wolsey and Fisher 1978).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from lydite.estimate.base import Estimate, add_up
from lydite.estimate.roofline import key_dtype
from lydite.graph import OpKey
from lydite.graph.work import work_of_key
from lydite.records import dataclass

MEASURED_WIDTH = 0.02
"""Relative half-width of a measured time."""
_REACH = 1.0
"""Distance in powers of two of arithmetic and traffic at which a neighbour tells 61 % of a time."""


@dataclass(frozen=True)
class Candidate:
    """An operator of a model, or of the model at another size.

    Attributes:
        key: Key of the operator.
        estimate: Estimate of one call; None where there is none.
        count: Calls in the model.
        share: Share of the model's predicted time.
        weight: Weight of its uncertainty: 1 for the model, less for it at other sizes.
    """

    key: OpKey
    estimate: Estimate | None
    count: int
    share: float
    weight: float = 1.0

    @property
    def width(self) -> float:
        """Relative half-width of the interval."""
        if self.estimate is None:
            return 1.0
        return (self.estimate.high - self.estimate.low) / (2 * self.estimate.seconds)

    @property
    def uncertainty(self) -> float:
        """Part of the model's relative uncertainty."""
        return self.weight * self.share * max(0.0, self.width - MEASURED_WIDTH)


@dataclass(frozen=True)
class Choice:
    """An operator to measure, and the part of the model's uncertainty that this removes."""

    candidate: Candidate
    gain: float


def choose(candidates: Sequence[Candidate], number: int) -> tuple[list[Choice], np.ndarray]:
    """Operators to measure, in order, and how much of each candidate's uncertainty they remove.

    Operators without any estimate come first, as the model's time is not known without them.

    Args:
        candidates: Operators that may be measured.
        number: Maximum number to choose.
    """
    alike = _similarity(candidates)
    weights = np.array([each.uncertainty for each in candidates])
    covered = np.zeros(len(candidates))
    chosen: list[Choice] = []
    left = list(range(len(candidates)))
    while left and len(chosen) < number:
        added = np.maximum(alike[left] - covered, 0.0) @ weights
        unknown = [at for at, place in enumerate(left) if candidates[place].estimate is None]
        at = unknown[0] if unknown else int(np.argmax(added))
        if not unknown and added[at] <= 0:
            break
        place = left.pop(at)
        covered = np.maximum(covered, alike[place])
        chosen.append(Choice(candidates[place], float(added[at])))
    return chosen, covered


def relative_width(candidates: Sequence[Candidate], covered: np.ndarray | None = None) -> float:
    """Relative half-width of the sum of the model's operators.

    Args:
        candidates: All operators of the model.
        covered: Share of each one's uncertainty that measuring removes; None for none.
    """
    removed = np.zeros(len(candidates)) if covered is None else covered
    parts: list[tuple[Estimate, int, Hashable]] = []
    for each, share in zip(candidates, removed.tolist(), strict=True):
        if each.estimate is not None:
            parts.append((_narrowed(each.estimate, share), each.count, each.key))
    total = add_up(parts)
    return (total.high - total.low) / (2 * total.seconds) if total.seconds else 0.0


def _narrowed(estimate: Estimate, share: float) -> Estimate:
    """The estimate with part of its interval gone."""
    seconds = estimate.seconds
    low = min(seconds, estimate.low + share * (seconds * (1 - MEASURED_WIDTH) - estimate.low))
    high = max(seconds, estimate.high - share * (estimate.high - seconds * (1 + MEASURED_WIDTH)))
    return replace(estimate, low=low, high=high, shared=None if share >= 1 else estimate.shared)


def _similarity(candidates: Sequence[Candidate]) -> np.ndarray:
    """What a measurement of one (row) tells of another (column): 1 of itself."""
    families = [(each.key.qualified_type, key_dtype(each.key)) for each in candidates]
    known = {family: at for at, family in enumerate(dict.fromkeys(families))}
    family = np.array([known[each] for each in families])
    sizes = np.array([_sizes(each.key) for each in candidates]).reshape(-1, 2)
    far = np.sum((sizes[:, None, :] - sizes[None, :, :]) ** 2, axis=2)
    alike = np.exp(-far / (2 * _REACH**2))
    alike[family[:, None] != family[None, :]] = 0.0
    alike[~np.isfinite(alike)] = 0.0
    np.fill_diagonal(alike, 1.0)
    return alike


def _sizes(key: OpKey) -> tuple[float, float]:
    work = work_of_key(key)
    if work is None:
        return math.nan, math.nan
    return math.log2(work.flops + 1), math.log2(work.bytes_moved + 1)
