"""Fitting: boosted trees of log(measured / base), and intervals over left-out devices.

Few GPUs teach little about another, so trees are small, and the interval of a family is what lies
between the 5th and 95th percentile of the errors on devices that were left out, by size.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lydite.errors import InputError, MissingExtra
from lydite.estimate.learned.model import FAMILIES, MANIFEST, VERSION
from lydite.estimate.learned.trees import Trees, read_trees
from lydite.files import write_atomic
from lydite.learn.rows import Rows

_EDGES_S = (2e-5, 2e-4, 2e-3)
"""Base times that separate sizes."""
_MOST_ROWS = 40_000
"""Rows of a device, so that no device outweighs the others."""
_SIZES = {"product32": (40, 8), "product16": (120, 15), "stream": (30, 6)}
"""Number of trees and of leaves of each family."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted family.

    Attributes:
        family: Name of the family.
        text: The trees as text.
        trees: The same, read.
        bounds: (low, high) factors of the interval by size.
        devices: Devices that it was fitted on.
        rows: Number of rows.
        digest: Digest of the rows.
    """

    family: str
    text: str
    trees: Trees
    bounds: tuple[tuple[float, float], ...]
    devices: tuple[str, ...]
    rows: int
    digest: str


def fit_text(rows: Sequence[Rows], seed: int = 0) -> str:
    """Trees of log(measured / base) as text; the same rows give the same text.

    Raises:
        MissingExtra: LightGBM is not installed.
        InputError: there are no rows.
    """
    try:
        import lightgbm
    except ImportError:
        raise MissingExtra("lightgbm", "learn") from None
    if not rows:
        raise InputError("there are no rows to learn from")
    draw = np.random.default_rng(seed)
    parts = [part.taken(_some(part, draw)) for part in rows]
    features = np.concatenate([part.problem.features for part in parts])
    target = np.concatenate([np.log(part.seconds / part.problem.base_s) for part in parts])
    weight = np.concatenate([part.weight for part in parts])
    number, leaves = _SIZES[rows[0].family]
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
    data = lightgbm.Dataset(
        features, target, weight=weight, feature_name=list(FAMILIES[rows[0].family])
    )
    booster = lightgbm.train(parameters, data, number)
    text = booster.model_to_string()
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
    found: dict[str, np.ndarray] = {}
    for part in rows:
        others = [other for other in rows if other.device != part.device]
        found[part.device] = predicted_s(read_trees(fit_text(others), part.family), part)
    return found


def fit(rows: Sequence[Rows]) -> Fitted:
    """Fit a family on all its rows, with intervals over left-out devices.

    Raises:
        InputError, MissingExtra: as `fit_text` and `left_out`.
    """
    family = rows[0].family if rows else ""
    text = fit_text(rows)
    guesses = left_out(rows)
    _, bounds = bounds_of(rows, guesses)
    digest = hashlib.sha256("".join(part.digest for part in rows).encode()).hexdigest()[:16]
    return Fitted(
        family,
        text,
        read_trees(text, family),
        bounds,
        tuple(part.device for part in rows),
        sum(len(part.seconds) for part in rows),
        digest,
    )


def bounds_of(
    rows: Sequence[Rows], guesses: Mapping[str, np.ndarray]
) -> tuple[tuple[float, ...], tuple[tuple[float, float], ...]]:
    """Base times that separate sizes, and (low, high) of measured over predicted for each size.

    The 5th and 95th percentile over rows with sizes as models have them; every device counts the
    same, however many rows it has.
    """
    logs, sizes, weights = [], [], []
    for part in rows:
        chosen = part.aligned
        log = np.log(part.seconds[chosen] / guesses[part.device][chosen])
        logs.append(log)
        sizes.append(np.digitize(part.problem.base_s[chosen], _EDGES_S))
        weights.append(np.full(len(log), 1 / max(1, len(log))))
    log, size, weight = (np.concatenate(each) for each in (logs, sizes, weights))
    made: list[tuple[float, float]] = []
    for number in range(len(_EDGES_S) + 1):
        near = np.abs(size - number) <= (0 if (size == number).sum() >= 200 else len(_EDGES_S))
        low, high = _quantiles(log[near], weight[near])
        made.append((min(1.0, float(np.exp(low))), max(1.0, float(np.exp(high)))))
    return _EDGES_S, tuple(made)


def _quantiles(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / weights.sum()
    low, high = np.interp([0.05, 0.95], share, values[order])
    return float(low), float(high)


def write_model(fitted: Sequence[Fitted], folder: Path, about: Mapping[str, Any]) -> Path:
    """Write a model: a text file of trees for each family, and manifest.json.

    Raises:
        LyditeError: the folder cannot be written.
    """
    families: dict[str, Any] = {}
    for each in fitted:
        write_atomic(folder / f"{each.family}.txt", each.text)
        families[each.family] = {
            "sha256": hashlib.sha256(each.text.encode()).hexdigest(),
            "features": list(each.trees.names),
            "edges_s": list(_EDGES_S),
            "bounds": [list(pair) for pair in each.bounds],
            "devices": list(each.devices),
            "rows": each.rows,
            "rows_digest": each.digest,
        }
    manifest = {"version": VERSION, "families": families, **about}
    return write_atomic(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
