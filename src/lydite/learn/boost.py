"""Boosted trees as text, by LightGBM: the same rows give the same text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lydite.errors import MissingExtra
from lydite.estimate.learned.families import FAMILIES

_PARAMETERS: Mapping[str, Any] = {
    "objective": "l1",
    "learning_rate": 0.1,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.8,
    "lambda_l2": 1.0,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}


def boosted(
    family: str,
    features: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    size: tuple[int, int],
    seed: int = 0,
    **parameters: Any,
) -> str:
    """Boosted trees as text: `size` is their number and that of their leaves.

    Args:
        family: Name of the family.
        features: Features [rows, features].
        target: What the trees learn, by default the median [rows].
        weight: Weight of each row.
        size: Number of trees, and of leaves of each.
        seed: Seed of the draw of features.
        **parameters: LightGBM's, in place of the usual ones.

    Raises:
        MissingExtra: LightGBM is not installed.
    """
    try:
        import lightgbm
    except ImportError:
        raise MissingExtra("lightgbm", "learn") from None
    number, leaves = size
    chosen: dict[str, Any] = {**_PARAMETERS, "num_leaves": leaves, "seed": seed, **parameters}
    names = list(FAMILIES[family].features)
    data = lightgbm.Dataset(features, target, weight=weight, feature_name=names)
    text = lightgbm.train(chosen, data, number).model_to_string()
    # Only the trees are kept: the parameters below them name versions and threads.
    return text.partition("\nend of trees")[0].rstrip() + "\n\nend of trees\n"
