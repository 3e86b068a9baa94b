"""Fitting: boosted trees of log(measured / base), and intervals over left-out devices.

Few GPUs teach little about another, so trees are small and few, and all devices count the same. The
interval of a family is what lies between the 5th and 95th percentile of the errors on devices that
were left out, by size, and by whether an operator lies beyond the rows of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lydite.errors import InputError, MissingExtra
from lydite.estimate.learned.families import FAMILIES
from lydite.estimate.learned.model import Family, Reach
from lydite.estimate.learned.trees import Trees, read_trees
from lydite.learn.rows import Rows
from lydite.pool import Pool
from lydite.records import dataclass

EDGES_S = (2e-5, 2e-4, 2e-3)
"""Base times that separate sizes."""
_MOST_ROWS = 40_000
"""Rows of a device that trees are fitted to."""
_ENOUGH = 200
"""Rows of a size from which it has an interval of its own."""
_BEYOND = 1.25
"""Least factor by which intervals widen beyond the rows, as an exponent."""
_SIZES = {
    "product32": (40, 8),
    "product16": (30, 6),
    "product8": (40, 6),
    "experts": (50, 8),
    "attention_prefill": (80, 6),
    "attention_decode": (60, 8),
    "stream": (30, 6),
}
"""Number of trees and of leaves of each family."""

Pairs = tuple[tuple[float, float], ...]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted family.

    Attributes:
        name: Name of the family.
        family: Its trees and intervals.
        digests: Digest of the rows of each device.
    """

    name: str
    family: Family
    digests: Mapping[str, str]


def fit_text(rows: Sequence[Rows], seed: int = 0) -> str:
    """Trees of log(measured / base) as text; the same rows give the same text.

    Raises:
        MissingExtra: LightGBM is not installed.
        InputError: there are no rows.
    """
    if not rows:
        raise InputError("there are no rows to learn from")
    draw = np.random.default_rng(seed)
    parts = [part.taken(_some(part, draw)) for part in rows]
    features = np.concatenate([part.problem.features for part in parts])
    target = np.concatenate([np.log(part.seconds / part.problem.base_s) for part in parts])
    mean = float(np.mean([part.weight.sum() for part in parts]))
    weight = np.concatenate([part.weight * (mean / part.weight.sum()) for part in parts])
    return boosted(rows[0].family, features, target, weight, _SIZES[rows[0].family], seed)


def boosted(
    family: str,
    features: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    size: tuple[int, int],
    seed: int = 0,
) -> str:
    """Boosted trees as text: `size` is their number and that of their leaves.

    Raises:
        MissingExtra: LightGBM is not installed.
    """
    try:
        import lightgbm
    except ImportError:
        raise MissingExtra("lightgbm", "learn") from None
    number, leaves = size
    parameters: dict[str, Any] = {
        "objective": "l1",
        "num_leaves": leaves,
        "learning_rate": 0.1,
        "min_data_in_leaf": 20,
        "feature_fraction": 0.8,
        "lambda_l2": 1.0,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbose": -1,
    }
    names = list(FAMILIES[family].features)
    data = lightgbm.Dataset(features, target, weight=weight, feature_name=names)
    text = lightgbm.train(parameters, data, number).model_to_string()
    # Only the trees are kept: the parameters below them name versions and threads.
    return text.partition("\nend of trees")[0].rstrip() + "\n\nend of trees\n"


def _some(rows: Rows, draw: np.random.Generator) -> np.ndarray:
    """All rows of a test set, and as many others as a device may have."""
    others = np.flatnonzero(~rows.aligned)
    if len(others) > _MOST_ROWS:
        others = np.sort(draw.choice(others, _MOST_ROWS, replace=False))
    own = np.flatnonzero(rows.aligned)
    if not len(others) and len(own) > _MOST_ROWS:
        own = np.sort(draw.choice(own, _MOST_ROWS, replace=False))
    return np.concatenate([others, own])


def predicted_s(trees: Trees, rows: Rows) -> np.ndarray:
    """Predicted seconds, never below the bound."""
    guess = rows.problem.base_s * np.exp(trees.values(rows.problem.features))
    return np.maximum(guess, rows.problem.bound_s)


def left_out(rows: Sequence[Rows]) -> dict[str, np.ndarray]:
    """Predictions for each device from all others, by device.

    Raises:
        InputError: there is only one device.
    """
    if len(rows) < 2:
        raise InputError("one device cannot be left out", allowed="rows of two devices or more")
    return {part.device: left_out_s(part, rows) for part in rows}


def left_out_s(part: Rows, rows: Sequence[Rows]) -> np.ndarray:
    """Predictions for a device from all others among the rows."""
    others = [other for other in rows if other.device != part.device]
    return predicted_s(read_trees(fit_text(others), part.family), part)


def fit(rows: Sequence[Rows]) -> Fitted:
    """Fit a family on all its rows, with intervals over left-out devices.

    Raises:
        InputError, MissingExtra: as `fit_text` and `left_out`.
    """
    return _fitted(rows, fit_text(rows), left_out(rows))


def fit_all(
    families: Mapping[str, Sequence[Rows]],
    pool: Pool,
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> list[Fitted]:
    """Fit families as `fit` does: on all rows, and without each device, wherever there is room.

    Args:
        families: Rows of each family, by device.
        pool: Workers that fit.
        progress: Called with the number of fits, their total and the family.

    Raises:
        InputError, MissingExtra: as `fit`.
    """
    tasks: list[tuple[str, int | None]] = []
    for name, rows in families.items():
        tasks += [(name, None), *((name, place) for place in range(len(rows)))]
    answers: dict[tuple[str, int | None], Any] = {}
    for number, (place, answer) in enumerate(pool.stream(_part_of_fit, families, tasks), 1):
        answers[tasks[place]] = answer
        progress(number, len(tasks), tasks[place][0])
    return [
        _fitted(
            rows,
            answers[name, None],
            {part.device: answers[name, place] for place, part in enumerate(rows)},
        )
        for name, rows in families.items()
    ]


def _part_of_fit(
    families: Mapping[str, Sequence[Rows]], task: tuple[str, int | None]
) -> str | np.ndarray:
    """Trees on all rows, as text; or predictions for a device from all others."""
    name, place = task
    rows = families[name]
    if place is None:
        return fit_text(rows)
    if len(rows) < 2:
        raise InputError("one device cannot be left out", allowed="rows of two devices or more")
    return left_out_s(rows[place], rows)


def _fitted(rows: Sequence[Rows], text: str, guesses: Mapping[str, np.ndarray]) -> Fitted:
    name = rows[0].family
    family = Family(
        text,
        read_trees(text, name),
        EDGES_S,
        (seen_bounds(rows, read_trees(text, name)), *bounds_of(rows, guesses)),
        reach_of(rows),
        tuple(part.device for part in rows),
        sum(len(part.seconds) for part in rows),
    )
    return Fitted(name, family, {part.device: part.digest for part in rows})


def seen_bounds(rows: Sequence[Rows], trees: Trees) -> Pairs:
    """(low, high) of measured over predicted by size, on the devices of the rows themselves.

    The mean of the devices' 5th and 95th percentiles over rows with sizes as models have them.
    Trees are so few beside the rows that they predict these no better than rows left out.
    """
    found = []
    for part in rows:
        chosen = part.aligned
        log = np.log(part.seconds[chosen] / predicted_s(trees, part)[chosen])
        size = np.digitize(part.problem.base_s[chosen], EDGES_S)
        found.append(_by_size(log, size, _weight(part), np.full(len(log), True)))
    return _over_devices(found, 0.0)


def _weight(part: Rows) -> np.ndarray:
    """Weight of aligned rows, by which all kinds of streams count the same."""
    kind = part.kind[part.aligned]
    return 1 / np.bincount(kind)[kind]


def reach_of(rows: Sequence[Rows]) -> Reach:
    """How far rows reach, feature by feature."""
    features = np.concatenate([part.problem.features for part in rows])
    low, high = np.percentile(features, [1, 99], axis=0)
    return Reach(low, high)


def bounds_of(rows: Sequence[Rows], guesses: Mapping[str, np.ndarray]) -> tuple[Pairs, Pairs]:
    """(low, high) of measured over predicted by size: like the rows of others, and beyond them.

    Few devices say little of the next one: each gives its 5th and 95th percentile over rows with
    sizes as models have them, where all kinds of streams count the same, and the interval takes in
    their mean and some of their spread.
    """
    near, wide = [], []
    for part in rows:
        others = [other for other in rows if other.device != part.device] or rows
        chosen = part.aligned
        log = np.log(part.seconds[chosen] / guesses[part.device][chosen])
        size = np.digitize(part.problem.base_s[chosen], EDGES_S)
        beyond = reach_of(others).outside(part.problem.features[chosen])
        weight = _weight(part)
        near.append(_by_size(log, size, weight, ~beyond))
        enough = beyond.sum() >= _ENOUGH
        wide.append(_by_size(log, size, weight, beyond) if enough else near[-1])
    spread = _SPREAD / len(rows)
    inside, outside = _over_devices(near, spread), _over_devices(wide, spread)
    widened = tuple(
        (min(low, near_low**_BEYOND), max(high, near_high**_BEYOND))
        for (low, high), (near_low, near_high) in zip(outside, inside, strict=True)
    )
    return inside, widened


def _by_size(
    log: np.ndarray, size: np.ndarray, weight: np.ndarray, taken: np.ndarray
) -> np.ndarray:
    """5th and 95th percentile of the errors of a device, by size [sizes, 2]."""
    if taken.sum() < _ENOUGH:
        taken = np.full(len(log), True)
    found = np.empty((len(EDGES_S) + 1, 2))
    for number in range(len(found)):
        own = taken & (size == number)
        kept = own if own.sum() >= _ENOUGH else taken
        found[number] = _percentiles(log[kept], weight[kept])
    return found


def _percentiles(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order]) / weights.sum()
    return np.interp([0.05, 0.95], share, values[order])


_SPREAD = 3.0
"""Standard deviations of the devices' percentiles that an interval takes in beyond their mean, over
the number of devices: fewer leave more open."""


def _over_devices(devices: Sequence[np.ndarray], spread: float) -> Pairs:
    """(low, high) by size: the mean of the devices' percentiles, and `spread` deviations more."""
    every = np.array(devices)
    mean, more = every.mean(axis=0), spread * every.std(axis=0)
    low = np.exp(np.minimum(mean[:, 0] - more[:, 0], 0))
    high = np.exp(np.maximum(mean[:, 1] + more[:, 1], 0))
    return tuple(zip(low.tolist(), high.tolist(), strict=True))
