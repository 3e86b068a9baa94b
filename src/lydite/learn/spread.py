"""Intervals: percentiles of errors by operator, and what few devices leave open beyond them.

Small trees learn the 5th and 95th percentile of log(measured / predicted) from the features
(conformalised quantile regression: Romano, Patterson and Candes, 2019), so that operators that are
well known get a narrow interval and others a wide one. What makes these hold on the next device is
one number per family, added on both sides: errors of one device go together, so that devices count
and not rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lydite.estimate.learned.model import Spread
from lydite.estimate.learned.trees import Trees, read_trees
from lydite.learn.boost import boosted
from lydite.learn.rows import Rows

LEVELS = (0.05, 0.95)
"""Percentiles between which an interval lies."""
_SIZE, _RATE = (3, 6), 0.5
"""Number of trees and of leaves of each side, and the share of what is left that each takes."""
_LEAST_SHARE = 0.02
"""Least share of the rows in a leaf."""
_ALIKE = 0.85
"""What one device leaves open of the next one, over half the width of its own interval; several
that agree may do so by chance, and leave open as much over their number. Devices that were left
out are 89 % inside with about 0.85 from one device, 0.1 to 0.45 from two, 0 to 0.45 from four."""


def spread_of(rows: Sequence[Rows], guesses: Mapping[str, np.ndarray], apart: bool) -> Spread:
    """The interval of errors over rows with sizes as models have them.

    All devices count the same, and so do all kinds of streams.

    Args:
        rows: Rows of one family, by device.
        guesses: Predicted seconds of all rows of each device.
        apart: Whether the interval is for another device than these.

    Raises:
        MissingExtra: LightGBM is not installed.
    """
    family = rows[0].family
    parts = [part.taken(part.aligned) for part in rows]
    errors = [
        np.log(part.seconds / guesses[whole.device][whole.aligned])
        for part, whole in zip(parts, rows, strict=True)
    ]
    features = np.concatenate([part.problem.features for part in parts])
    error, weight = np.concatenate(errors), np.concatenate([_weight(part) for part in parts])
    texts = [_side(family, features, error, weight * len(weight) / len(parts), p) for p in LEVELS]
    low, high = (read_trees(text, family) for text in texts)
    extra = left_open(parts, errors, (low, high), apart)
    both = low.values(features) - extra, high.values(features) + extra
    down, up = (quantile(side, weight, 0.5) for side in both)
    usual = float(np.exp(min(down, 0.0))), float(np.exp(max(up, 0.0)))
    return Spread((texts[0], texts[1]), (low, high), extra, usual)


def _side(
    family: str, features: np.ndarray, error: np.ndarray, weight: np.ndarray, level: float
) -> str:
    return boosted(
        family,
        features,
        error,
        weight,
        _SIZE,
        objective="quantile",
        alpha=level,
        learning_rate=_RATE,
        feature_fraction=1.0,
        min_data_in_leaf=max(20, int(_LEAST_SHARE * len(error))),
    )


def left_open(
    parts: Sequence[Rows], errors: Sequence[np.ndarray], sides: tuple[Trees, Trees], apart: bool
) -> float:
    """What devices leave open beyond both sides, as a logarithm.

    A share of half the width, over the number of devices; and of another device also the standard
    error of the mean of what their own percentiles lie off both sides: the root of the sum of both
    squares.

    Args:
        parts: Rows of each device.
        errors: log(measured / predicted) of the rows of each.
        sides: Trees of the low and the high side.
        apart: Whether the interval is for another device than these.
    """
    number = len(parts)
    off, half = [], []
    kinds = set.intersection(*(set(part.kind.tolist()) for part in parts))
    for part, error in zip(parts, errors, strict=True):
        low, high = (trees.values(part.problem.features) for trees in sides)
        half.append(float(np.sum(_weight(part) * (high - low)) / 2))
        beyond = zip((error - low, error - high), LEVELS, strict=True)
        off.append(
            [np.quantile(v[part.kind == kind], p) for v, p in beyond for kind in sorted(kinds)]
        )
    alone = _ALIKE * float(np.mean(half)) / number
    if number == 1 or not apart or not kinds:
        return alone
    return float(np.hypot(alone, np.std(off, axis=0).mean() / np.sqrt(number - 1)))


def _weight(part: Rows) -> np.ndarray:
    """Weight of each row, 1 together, by which all kinds of streams count the same."""
    weight = 1 / np.bincount(part.kind)[part.kind]
    return weight / weight.sum()


def quantile(values: np.ndarray, weight: np.ndarray, level: float) -> float:
    """The least value that with those below it has a share `level` of the weight."""
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order]) / weight.sum()
    return float(values[order][np.searchsorted(share, level - 1e-12)])
