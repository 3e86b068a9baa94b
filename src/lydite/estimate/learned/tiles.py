"""Products in tiles: the best tile and split of each, searched by a kernel.

A product runs in tiles of its result, in whole waves over the multiprocessors (NVIDIA, Matrix
Multiplication Background, section 4); a long reduction may be split over several of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

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
    """The fastest tile and split of `count` products of m x k by k x n each."""
    out = np.empty((len(m), 4))
    _search(
        count.astype(np.float64),
        m.astype(np.float64),
        n.astype(np.float64),
        k.astype(np.float64),
        float(units),
        costs.tiles,
        costs.step,
        costs.fixed,
        costs.splits,
        costs.joining,
        costs.element,
        out,
    )
    return Tiled(out[:, 0], out[:, 1].astype(np.int64), out[:, 2], out[:, 3])


@njit(cache=True, nogil=True)
def _search(
    count: np.ndarray,
    m: np.ndarray,
    n: np.ndarray,
    k: np.ndarray,
    units: float,
    tiles: np.ndarray,
    step: np.ndarray,
    fixed: np.ndarray,
    splits: int,
    joining: float,
    element: float,
    out: np.ndarray,
) -> None:
    for row in range(len(m)):
        best = np.inf
        for place in range(len(tiles)):
            number = count[row] * np.ceil(m[row] / tiles[place, 0])
            number *= np.ceil(n[row] / tiles[place, 1])
            split = 1.0
            for _ in range(splits + 1):
                if split > 1 and (k[row] < split * _LEAST_DEPTH or number * split > 8 * units):
                    break
                waves = np.ceil(number * split / units)
                time = waves * (k[row] / split * step[place] + fixed[place])
                if split > 1:
                    time += joining + split * count[row] * m[row] * n[row] * element
                if time < best:
                    best = time
                    out[row, 0] = time
                    out[row, 1] = place
                    out[row, 2] = split
                    out[row, 3] = number * split
                split *= 2
