"""How far predictions for a device that was left out lie from its rows, beside simple rivals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial import KDTree
from scipy.stats import spearmanr

from lydite.errors import InputError
from lydite.estimate.learned.model import LearnedModel
from lydite.estimate.learned.trees import read_trees
from lydite.learn.fit import fit_text, left_out, predicted_s
from lydite.learn.rows import Rows, stream_name
from lydite.learn.split import Split
from lydite.learn.spread import spread_of

EDGES_S = (2e-5, 2e-4, 2e-3)
"""Base times that separate sizes."""
_NEIGHBOUR_ROWS = 5000
"""Rows of a device among which a nearest one is looked for, and for how many it is."""
_RESAMPLES = 200


def evaluate(rows: Sequence[Rows], split: Split | None = None) -> list[dict[str, Any]]:
    """Errors of one family by device that was left out.

    Only rows with sizes as models have them are judged, where the data tell them apart. Beside the
    learned prediction stand the roofline, the base time of `lydite.estimate.learned.physics`, that
    base times one constant fitted on the other devices, and that base times what the nearest row of
    another device took beside its own, by distance of the features.

    Args:
        rows: Rows of one family, by device.
        split: Devices to learn from and to judge; None to leave out each in turn.

    Raises:
        InputError: there is only one device.
    """
    if split is None and len(rows) < 2:
        raise InputError("one device cannot be left out", allowed="rows of two devices or more")
    found: list[dict[str, Any]] = []
    for part in rows:
        if split is None:
            found += _judged(part, [other for other in rows if other.device != part.device])
        elif part.device in split.test:
            train = [other for other in rows if other.device in split.train]
            found += _judged(part, train) if train else []
    return found


def evaluate_model(
    model: LearnedModel, rows: Sequence[Rows], test: Sequence[str]
) -> list[dict[str, Any]]:
    """Errors of a model on rows of one family, by device; its rivals know all other rows.

    Args:
        model: The model.
        rows: Rows of one family, by device.
        test: Devices to judge.
    """
    family = model.families.get(rows[0].family) if rows else None
    found: list[dict[str, Any]] = []
    for part in rows:
        if family is not None and part.device in test:
            others = [other for other in rows if other.device != part.device]
            guess = predicted_s(family.trees, part)
            interval = family.interval(part.problem, part.device in family.devices)
            found += _compared(part, others, guess, interval)
    return found


def _judged(part: Rows, others: Sequence[Rows]) -> list[dict[str, Any]]:
    """One row for a device, or one for each kind of stream; it changes nothing of its intervals."""
    text = fit_text(others)
    guess = predicted_s(read_trees(text, part.family), part)
    if len(others) > 1:
        known = left_out(others)
    else:  # one device says nothing of another but how far its own rows lie apart
        known = {others[0].device: predicted_s(read_trees(text, part.family), others[0])}
    spread = spread_of(others, known, apart=True)
    return _compared(part, others, guess, spread.factors(part.problem.features))


def _compared(
    part: Rows,
    others: Sequence[Rows],
    predicted: np.ndarray,
    interval: tuple[np.ndarray, np.ndarray],
) -> list[dict[str, Any]]:
    ratios = [np.median(np.log(other.seconds / other.problem.base_s)) for other in others]
    constant = float(np.exp(np.median(ratios))) if others else float("nan")
    base_s = part.problem.base_s
    low, high = interval
    low = np.maximum(low, np.minimum(part.problem.bound_s / predicted, 1))  # as `Learned` does
    found: list[dict[str, Any]] = []
    for kind in np.unique(part.kind[part.aligned]).tolist():
        chosen = part.aligned & (part.kind == kind)
        seconds, guess = part.seconds[chosen], predicted[chosen]
        error = np.abs(guess / seconds - 1)
        inside = (guess * low[chosen] <= seconds) & (seconds <= guess * high[chosen])
        found.append(
            {
                "family": part.family if part.family != "stream" else stream_name(kind),
                "device": part.device,
                "rows": int(chosen.sum()),
                "mean": float(error.mean()),
                "mean_low": _resampled(error)[0],
                "mean_high": _resampled(error)[1],
                "median": float(np.median(error)),
                "p90": float(np.percentile(error, 90)),
                "worst": float(error.max()),
                "bias": float(np.median(guess / seconds)) - 1,
                "rank": _rank(guess, seconds),
                "inside": float(np.mean(inside)),
                "width": float(np.median((high / low)[chosen])),
                "roofline": _mean(part.problem.bound_s[chosen] / seconds),
                "physics": _mean(base_s[chosen] / seconds),
                "constant": _mean(constant * base_s[chosen] / seconds),
                "nearest": _nearest(part.taken(chosen), others) if others else float("nan"),
                "by_size": _by_size(error, base_s[chosen]),
            }
        )
    return found


def _resampled(error: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean error over rows (bootstrap)."""
    draw = np.random.default_rng(0)
    some = error[draw.integers(0, len(error), (_RESAMPLES, min(len(error), 2000)))]
    spread = (some.mean(axis=1) - error.mean()) * (some.shape[1] / len(error)) ** 0.5
    low, high = np.percentile(error.mean() + spread, [2.5, 97.5])
    return float(low), float(high)


def _nearest(part: Rows, others: Sequence[Rows]) -> float:
    """Mean error of the base time, times what it lacked on the nearest row of another device."""
    draw = np.random.default_rng(0)
    known = [other.taken(_drawn(len(other.seconds), draw)) for other in others]
    features = np.concatenate([each.problem.features for each in known])
    ratio = np.concatenate([each.seconds / each.problem.base_s for each in known])
    scale = features.std(axis=0) + 1e-9
    some = part.taken(_drawn(len(part.seconds), draw))
    _, place = KDTree(features / scale).query(some.problem.features / scale)
    return _mean(some.problem.base_s * ratio[place] / some.seconds)


def _drawn(number: int, draw: np.random.Generator) -> np.ndarray:
    return np.sort(draw.permutation(number)[:_NEIGHBOUR_ROWS])


def _by_size(error: np.ndarray, base_s: np.ndarray) -> list[float | None]:
    """Mean error by size of the base time; None where there are no rows."""
    size = np.digitize(base_s, EDGES_S)
    return [
        float(error[size == number].mean()) if (size == number).any() else None
        for number in range(len(EDGES_S) + 1)
    ]


def _rank(guess: np.ndarray, seconds: np.ndarray) -> float:
    """Spearman's correlation of ranks."""
    found: Any = spearmanr(guess, seconds)
    return float(found.statistic)


def _mean(ratio: np.ndarray) -> float:
    return float(np.abs(ratio - 1).mean())
