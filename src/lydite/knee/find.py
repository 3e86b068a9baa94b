"""The turning point of a measured sweep: curves weighed by Akaike's criterion, and a bootstrap.

1. Every curve is fitted by non-negative least squares on the relative error.
2. Each gets its weight exp(-(AICc - best) / 2) (Burnham and Anderson 2002, sections 2.9 and 7.4).
3. The turning point is the weighted median of theirs; the likeliest curve that has it there names
   the reason.
4. Its interval comes from a parametric bootstrap: a curve is drawn by weight, noise of the size
   of the residuals is put onto it, and the whole procedure is repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lydite.errors import InputError
from lydite.knee.curves import Designs, designs_for, fit
from lydite.knee.turning import GAIN, turning_index
from lydite.records import dataclass
from lydite.results import OneLine

Array = np.ndarray[Any, Any]
CONFIDENCE = 0.9
"""Probability with which the turning point lies within its interval."""
FEWEST = 4
"""Fewest values to which curves are fitted; with fewer, only the measured steps are judged."""
_MASS = 0.75
"""Share of the bootstrap within an interval. The bootstrap adds noise to values that are noisy
already, and an interval ends at whole steps: with this share it holds the turning point in 9 of 10
cases (`benchmarks/knees.py`).
"""
_ROUNDS = 200
_LEAST_NOISE = 1e-4
_MOST_NOISE = 0.15
"""Residuals that a curve may leave if nothing is known of the noise, as a share of the value."""
_LACK_OF_FIT = 3.0
"""Residuals that a curve may leave, over the noise of the values where that is known."""


@dataclass(frozen=True, repr=False)
class TurningPoint(OneLine):
    """The value of a sweep after which more stops paying.

    Attributes:
        x: float[n], values in ascending order.
        y: float[n], median time or cost at each value.
        value: The turning point, one of `x`; None if none of the curves fits.
        low, high: Its 90 % interval, both of `x`; None without a `value`.
        curve: Name of the curve that explains it; "" if none fits or there were too few values.
        reason: Why more stops paying, in words.
        residual: Relative residual of the likeliest curve, as a standard deviation; NaN without.
        weights: Akaike weight of each family of curves.
        fitted: float[n], the likeliest curve; empty without one.
        gain: Share of the time that a step has to save to pay.
    """

    x: Array
    y: Array
    value: float | None
    low: float | None
    high: float | None
    curve: str
    reason: str
    residual: float
    weights: Mapping[str, float]
    fitted: Array
    gain: float

    @property
    def beyond(self) -> bool:
        """Whether even the last step pays: the turning point was not reached."""
        return self.value is not None and bool(self.value == self.x[-1])

    def headline(self) -> str:
        """The turning point in words."""
        first, last = _number(self.x[0]), _number(self.x[-1])
        if self.value is None:
            return f"no turning point is named: {self.reason}"
        if self.beyond:
            return f"no turning point within {first}..{last}: {self.reason}"
        sure = f"{_number(self.low)} to {_number(self.high)}" if self.low != self.high else "sure"
        return f"more than {_number(self.value)} stops paying ({sure}): {self.reason}"


def find_turning_point(
    x: npt.ArrayLike,
    samples: npt.ArrayLike,
    *,
    what: str = "it",
    gain: float = GAIN,
    extent: int | None = None,
    seed: int = 0,
) -> TurningPoint:
    """Find the value after which more stops paying.

    Args:
        x: float[n], positive values in ascending order, such as numbers of threads.
        samples: float[n] or float[n, samples], positive times or costs at each value.
        what: What is varied, for the reason.
        gain: Share of the time that a step has to save to pay.
        extent: Number of equal pieces of work that are dealt out; None where it is not known.
        seed: Random seed of the bootstrap.

    Raises:
        InputError: fewer than two values, values that do not ascend, or times that are not
            positive and finite.
    """
    values, taken = _checked(x, samples, gain)
    y = np.median(taken, axis=1)
    noise = _noise(taken)
    rng = np.random.default_rng(seed)
    if len(values) < FEWEST:
        return _by_steps(values, taken, y, what, gain, rng)
    designs = designs_for(tuple(values.tolist()), extent)
    found = _Estimates.of(designs, y[None], gain)
    at = int(found.median[0])
    likely = int(np.where(found.index[0] == at, found.weight[0], -1).argmax())
    free = max(1, len(values) - int(designs.parameters[likely]))
    residual = float(np.sqrt(found.rss[0, likely] / free))
    weights: dict[str, float] = {}
    for curve, weight in zip(designs.curve, found.weight[0], strict=True):
        weights[curve.name] = weights.get(curve.name, 0.0) + float(weight)
    allowed = _MOST_NOISE if noise is None else max(gain, _LACK_OF_FIT * noise)
    fitted = found.values[0, likely]
    if residual > allowed:
        reason = (
            f"none of the curves fits; the nearest ({designs.curve[likely].name}) misses by "
            f"{residual:.0%}, and {allowed:.0%} would pass"
        )
        return TurningPoint(
            values, y, None, None, None, "", reason, residual, weights, fitted, gain
        )
    spread = max(residual, noise or 0.0, _LEAST_NOISE)
    drawn = rng.choice(len(found.weight[0]), _ROUNDS, p=found.weight[0])
    again = found.values[0, drawn] * np.exp(spread * rng.standard_normal((_ROUNDS, len(values))))
    spots = _Estimates.of(designs, again, gain).median
    low, high = _shortest(np.bincount(spots, minlength=len(values)) / _ROUNDS, at)
    reason = _reason(designs, likely, found.coefficients[0, likely], at, what)
    return TurningPoint(
        values,
        y,
        float(values[at]),
        float(values[low]),
        float(values[high]),
        designs.curve[likely].name,
        reason,
        residual,
        weights,
        fitted,
        gain,
    )


@dataclass(frozen=True)
class _Estimates:
    """Turning points of several series.

    Attributes:
        coefficients, rss, weight, values, index: of each series and design.
        median: int[series], weighted median of the designs' turning points.
    """

    coefficients: Array
    rss: Array
    weight: Array
    values: Array
    index: Array
    median: Array

    @staticmethod
    def of(designs: Designs, y: Array, gain: float) -> _Estimates:
        coefficients, rss = fit(designs, y)
        count, n = y.shape
        k = designs.parameters + 1  # the noise is a parameter as well
        criterion = n * np.log(np.maximum(rss, n * _LEAST_NOISE**2) / n) + 2 * k
        criterion += 2 * k * (k + 1) / np.maximum(n - k - 1, 1)
        weight = np.exp(-(criterion - criterion.min(axis=1, keepdims=True)) / 2)
        weight /= weight.sum(axis=1, keepdims=True)
        values = np.einsum("mnp,smp->smn", designs.matrix, coefficients)
        index = turning_index(np.maximum(values, 1e-300), gain)
        share = np.zeros((count, n))
        np.add.at(share, (np.arange(count)[:, None], index), weight)
        median = (share.cumsum(axis=1) >= 0.5 - 1e-12).argmax(axis=1)
        return _Estimates(coefficients, rss, weight, values, index, median)


def _shortest(share: Array, at: int) -> tuple[int, int]:
    """The interval around `at` whose share comes nearest to `_MASS`, grown step by step."""
    low = high = at
    held = float(share[at])
    while held < _MASS:
        left = share[low - 1] if low > 0 else -1.0
        right = share[high + 1] if high + 1 < len(share) else -1.0
        more = float(max(left, right))
        if more < 0 or abs(held + more - _MASS) > abs(held - _MASS):
            break
        low, high = (low - 1, high) if left >= right else (low, high + 1)
        held += more
    return low, high


def _by_steps(
    x: Array, samples: Array, y: Array, what: str, gain: float, rng: np.random.Generator
) -> TurningPoint:
    """Too few values for curves: judge the measured steps, and resample the samples."""
    at = int(turning_index(y, gain))
    count = samples.shape[1]
    picks = rng.integers(0, count, (_ROUNDS, len(x), count))
    again = np.median(samples[np.arange(len(x))[None, :, None], picks], axis=2)
    spots = turning_index(again, gain)
    low, high = _shortest(np.bincount(spots, minlength=len(x)) / _ROUNDS, at)
    saved = [
        f"{_number(x[i])} changes the time by {y[i] / y[i - 1] - 1:+.0%}" for i in range(1, len(x))
    ]
    reason = f"{len(x)} values of {what} are too few for a curve; {', '.join(saved)}"
    bounds = float(x[at]), float(x[low]), float(x[high])
    return TurningPoint(x, y, *bounds, "", reason, float("nan"), {}, np.zeros(0), gain)


def _reason(designs: Designs, design: int, coefficients: Array, at: int, what: str) -> str:
    curve = designs.curve[design]
    parts = designs.matrix[design, at] * coefficients
    growing = coefficients[2] / designs.scale[design, 2] / parts.sum()
    return curve.reason.format(
        k=_number(designs.k[design]),
        fixed=f"{parts[0] / parts.sum():.0%}",
        what=what,
        growing=f"{growing:.1%}",
    )


def _noise(samples: Array) -> float | None:
    """Relative standard error of the medians, from the spread of the samples; None for few."""
    count = samples.shape[1]
    if count < 3:
        return None
    deviation = np.median(np.abs(samples / np.median(samples, axis=1, keepdims=True) - 1), axis=1)
    return float(1.4826 * 1.2533 * np.median(deviation) / np.sqrt(count))


def _checked(x: npt.ArrayLike, samples: npt.ArrayLike, gain: float) -> tuple[Array, Array]:
    values, taken = np.asarray(x, float), np.asarray(samples, float)
    taken = taken[:, None] if taken.ndim == 1 else taken
    if values.ndim != 1 or len(values) < 2 or len(values) != len(taken):
        raise InputError(
            f"{len(values)} values and {len(taken)} times", where="sweep", allowed="2 or more each"
        )
    if not (np.diff(values) > 0).all() or not (values > 0).all():
        raise InputError("the values do not ascend from above 0", where="sweep")
    if not (np.isfinite(taken) & (taken > 0)).all():
        raise InputError("a time is not a positive number", where="sweep")
    if not 0 < gain < 1:
        raise InputError(f"a gain of {gain:g}", where="--gain", allowed="above 0, below 1")
    return values, taken


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"
