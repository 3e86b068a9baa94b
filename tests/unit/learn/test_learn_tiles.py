"""Tiles and splits: the search over arrays against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lydite.estimate.learned.attention import _splits
from lydite.estimate.learned.tiles import ASYNCHRONOUS, Costs, best_tiles


def best_by_hand(count, m, n, k, units, costs):
    best = (math.inf, 0, 0, 0)
    for place, (rows, columns) in enumerate(costs.tiles):
        number = count * math.ceil(m / rows) * math.ceil(n / columns)
        for split in (2**power for power in range(costs.splits + 1)):
            if split > 1 and (k < split * 128 or number * split > 8 * units):
                break
            time = math.ceil(number * split / units) * (
                k / split * costs.step[place] + costs.fixed[place]
            )
            if split > 1:
                time += costs.joining + split * count * m * n * costs.element
            if time < best[0]:
                best = (time, place, split, number * split)
    return best


@pytest.mark.parametrize("splits", [0, 5])
def test_the_best_tile_is_that_of_all(splits):
    rng = np.random.default_rng(splits)
    sizes = rng.integers(1, 6000, (4, 60))
    sizes[0] = rng.integers(1, 40, 60)
    tiles = np.array(ASYNCHRONOUS, float)
    costs = Costs(tiles, rng.random(len(tiles)), 50 * rng.random(len(tiles)), splits, 3.0, 1e-5)
    found = best_tiles(*sizes, 132, costs)
    for at, product in enumerate(sizes.T.tolist()):
        answer = (found.time[at], found.tile[at], found.split[at], found.parts[at])
        assert answer == pytest.approx(best_by_hand(*product, 132, costs), rel=1e-12)


def test_no_products_have_no_tiles():
    none = np.empty(0)
    costs = Costs(np.array([[64, 64]]), np.ones(1), np.ones(1), 2)
    assert best_tiles(none, none, none, none, 10, costs).time.shape == (0,)


def split_by_hand(tiles, blocks, units):
    """FlashAttention's `num_splits_heuristic` (hopper/heuristics.h)."""
    if tiles >= 0.8 * units:
        return 1
    most = min(units, 128, blocks)

    def eligible(split):
        return split == 1 or math.ceil(blocks / split) != math.ceil(blocks / (split - 1))

    waves = {s: tiles * s / units for s in range(1, most + 1)}
    fill = {s: w / math.ceil(w) for s, w in waves.items() if eligible(s)}
    return next(s for s, share in fill.items() if share >= 0.85 * max(fill.values()))


def test_keys_are_split_as_flash_attention_does():
    rng = np.random.default_rng(1)
    tiles, blocks = rng.integers(1, 160, 300), rng.integers(1, 400, 300)
    found = _splits(tiles.astype(float), blocks.astype(float), 132.0)
    assert found.tolist() == [
        split_by_hand(int(t), int(b), 132) for t, b in zip(tiles, blocks, strict=True)
    ]
