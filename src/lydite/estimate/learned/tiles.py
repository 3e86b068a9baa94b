"""Products in tiles: the best tile and split of each, searched over all of them at once.

A product runs in tiles of its result, in whole waves over the multiprocessors (NVIDIA, Matrix
Multiplication Background, section 4); a long reduction may be split over several of them.
"""

from __future__ import annotations

import numpy as np

from lydite.records import dataclass

TILES = ((256, 128), (128, 256), (128, 128), (128, 64), (64, 128), (64, 64), (32, 128), (128, 32))
SMALL_TILES = ((32, 32), (16, 128), (128, 16), (16, 64))
_SLIM_TILES = ((256, 64), (64, 256), (32, 64), (64, 32), (64, 16))
_SIDES = ((128, 192), (128, 160), (64, 192), (96, 128), (192, 256), (128, 320), (64, 96))
_WIDER_SIDES = ((96, 256), (160, 256), (128, 224))
SYNCHRONOUS = (*TILES, *SMALL_TILES, *_SLIM_TILES)
ASYNCHRONOUS = (
    *SYNCHRONOUS,
    (192, 192),
    *(pair for a, b in (*_SIDES, *_WIDER_SIDES) for pair in ((a, b), (b, a))),
)
"""Tiles of asynchronous tensor cores, whose width goes in steps of eight columns."""
_LEAST_DEPTH = 128.0
_AT_ONCE = 1024
"""Products searched at once: their times under all choices are held in memory."""


@dataclass(frozen=True, eq=False)
class Costs:
    """What tiles cost on a multiprocessor, in one unit of time throughout.

    Attributes:
        tiles: Rows and columns of each tile [tiles, 2].
        step: Time of one step of the reduction [tiles].
        fixed: Time of a tile besides its steps [tiles].
        splits: Powers of two up to which a reduction is split.
        joining: Time to start the sum of a split's parts.
        element: Time for all multiprocessors to write and read an element of a part.
    """

    tiles: np.ndarray
    step: np.ndarray
    fixed: np.ndarray
    splits: int
    joining: float = 0.0
    element: float = 0.0


@dataclass(frozen=True, eq=False)
class Tiled:
    """Products as their best tiles run them.

    Attributes:
        time: Time of each, in the unit of its costs.
        tile: Place of the tile among the costs.
        split: Number of parts of the reduction.
        parts: Number of tiles, times parts.
    """

    time: np.ndarray
    tile: np.ndarray
    split: np.ndarray
    parts: np.ndarray


def best_tiles(
    count: np.ndarray, m: np.ndarray, n: np.ndarray, k: np.ndarray, units: int, costs: Costs
) -> Tiled:
    """The fastest tile and split of `count` products of m x k by k x n each.

    Of equally fast ones, the first tile and its smallest split.
    """
    columns = [column.astype(np.float64) for column in (count, m, n, k)]
    table = np.stack(columns, axis=1)
    found = [
        _search(table[begin : begin + _AT_ONCE], units, costs)
        for begin in range(0, len(table), _AT_ONCE)
    ]
    out = np.concatenate(found) if found else np.empty((0, 4))
    return Tiled(out[:, 0], out[:, 1].astype(np.int64), out[:, 2], out[:, 3])


def _search(products: np.ndarray, units: int, costs: Costs) -> np.ndarray:
    """Time, tile, split and parts [products, 4] of the best of all tiles and splits.

    `products` has their number, m, n and k [products, 4].
    """
    count, m, n, k = (column[:, None, None] for column in products.T)
    split = 2.0 ** np.arange(costs.splits + 1)
    rows, columns = costs.tiles[:, 0, None], costs.tiles[:, 1, None]
    number = count * np.ceil(m / rows) * np.ceil(n / columns)
    parts = number * split
    time = np.ceil(parts / units) * (k / split * costs.step[:, None] + costs.fixed[:, None])
    time = np.where(split > 1, time + (costs.joining + split * count * m * n * costs.element), time)
    refused = (split > 1) & ((k < split * _LEAST_DEPTH) | (parts > 8 * units))
    choices = np.where(refused, np.inf, time).reshape(len(products), -1)
    best = choices.argmin(1)
    here = np.arange(len(products))
    tile, power = np.divmod(best, len(split))
    return np.column_stack([choices[here, best], tile, split[power], parts[here, tile, power]])
