"""Boosted trees: both ways of walking them give the same sums, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from lydite.estimate.learned import trees
from lydite.estimate.learned.trees import Trees


def grown(rng: np.random.Generator, number: int, depth: int, features: int) -> Trees:
    """Full trees of random splits, laid out breadth first, one behind another."""
    size = 2 ** (depth + 1) - 1
    inner = np.arange(size) < 2**depth - 1
    columns = [np.where(inner, 2 * np.arange(size) + step, -1) for step in (1, 2)]
    shift = np.repeat(np.arange(number) * size, size)
    left, right = (
        np.where(np.tile(inner, number), np.tile(c, number) + shift, -1) for c in columns
    )
    feature = np.where(np.tile(inner, number), rng.integers(0, features, number * size), -1)
    names = tuple(f"f{i}" for i in range(features))
    return Trees(
        names, feature, rng.normal(size=number * size), left, right, np.arange(number) * size
    )


def by_hand(forest: Trees, row: np.ndarray) -> float:
    total = 0.0
    for node in forest.roots:
        while forest.feature[node] >= 0:
            left = row[forest.feature[node]] <= forest.threshold[node]
            node = (forest.left if left else forest.right)[node]
        total += forest.threshold[node]
    return total


@pytest.mark.parametrize("few", [0, 1000])
def test_sums_of_trees(few, monkeypatch):
    monkeypatch.setattr(trees, "_FEW", few)
    rng = np.random.default_rng(3)
    forest = grown(rng, 40, 5, 6)
    rows = rng.normal(size=(60, 6))
    rows[0] = forest.threshold[0]  # equal goes left
    assert forest.values(rows).tolist() == [by_hand(forest, row) for row in rows]


def test_no_rows_have_no_sums():
    assert grown(np.random.default_rng(0), 3, 2, 2).values(np.empty((0, 2))).shape == (0,)
