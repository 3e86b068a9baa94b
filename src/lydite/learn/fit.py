"""Fitting: boosted trees of log(measured / base), and intervals over left-out devices.

Few GPUs teach little about another, so trees are small and few, and all devices count the same. The
interval of a family is `lydite.learn.spread`'s of the errors on devices that were left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lydite.errors import InputError
from lydite.estimate.learned.model import Family, Reach
from lydite.estimate.learned.trees import Trees, read_trees
from lydite.learn.boost import boosted
from lydite.learn.rows import Rows
from lydite.learn.spread import spread_of
from lydite.pool import Pool
from lydite.records import dataclass

_MOST_ROWS = 40_000
"""Rows of a device that trees are fitted to."""
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
    trees = read_trees(text, name)
    # Trees are so few beside the rows that they predict these no better than rows left out.
    known = {part.device: predicted_s(trees, part) for part in rows}
    family = Family(
        text,
        trees,
        spread_of(rows, known, apart=False),
        spread_of(rows, guesses, apart=True),
        reach_of(rows),
        tuple(part.device for part in rows),
        sum(len(part.seconds) for part in rows),
    )
    return Fitted(name, family, {part.device: part.digest for part in rows})


def reach_of(rows: Sequence[Rows]) -> Reach:
    """How far rows reach, feature by feature."""
    features = np.concatenate([part.problem.features for part in rows])
    low, high = np.percentile(features, [1, 99], axis=0)
    return Reach(low, high)
