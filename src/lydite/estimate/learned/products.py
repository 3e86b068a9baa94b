"""Products of matrices: in float32 on CUDA cores, and in 16 and 8 bits on tensor cores.

On tensor cores a step of a tile's reduction takes as long as its arithmetic at the sustained rate
or its loads from the cache, and every wave fills and empties its tiles; asynchronous tensor cores
do that beside the next tile. Weights come from memory where they do not stay in the cache between
calls: AIConfigurator's rows, to which the constants were fitted on A100 and L40S, go round six
copies of the weights, so that only what fits six times starts warm.
"""

from __future__ import annotations

import numpy as np

from lydite.estimate.learned.physics import Problem, cache_bandwidth, moved_s, together
from lydite.estimate.learned.sheet import Sheet
from lydite.estimate.learned.tiles import (
    ASYNCHRONOUS,
    SMALL_TILES,
    SYNCHRONOUS,
    TILES,
    Costs,
    best_tiles,
)

FLOAT32_NAMES = (
    *("arithmetic_launch", "memory_launch", "arithmetic_memory", "bytes_l2", "tiled_share"),
    *(f"{what}_{size}" for size in (128, 64, 32) for what in ("waves", "wave_fill", "tile_fill")),
    *("narrow", "depth", "count", "aligned_m", "aligned_n", "aligned_k"),
)
_LAUNCH_S, _FILL, _SMALLER = 4e-6, 8.0, 0.05
_LARGE = 256 * 128


def float32_products(
    count: np.ndarray, m: np.ndarray, n: np.ndarray, k: np.ndarray, sheet: Sheet
) -> Problem:
    """Products in float32: `count` of m x k by k x n each, sizes as float64 [operators]."""
    tiles = np.array((*TILES, *SMALL_TILES), float)
    area = tiles.prod(axis=1)
    step = 2 * area * (area / _LARGE) ** -_SMALLER
    tiled = best_tiles(count, m, n, k, sheet.units, Costs(tiles, step, _FILL * step, 4))
    tiled_s = tiled.time / (sheet.sustained / sheet.units)
    moved = 4 * count * (m * k + k * n + m * n)
    memory_s = moved / sheet.bandwidth
    flops = 2 * count * m * n * k
    columns = [
        np.log2(tiled_s / _LAUNCH_S),
        np.log2(memory_s / _LAUNCH_S),
        np.log2(tiled_s / memory_s),
        np.log2(moved / sheet.l2_bytes),
        np.log2(flops / sheet.sustained / tiled_s),
    ]
    for size in (128, 64, 32):
        number = count * np.ceil(m / size) * np.ceil(n / size)
        waves = number / sheet.units
        columns += [
            np.clip(np.log2(waves), -6, 6),
            waves / np.ceil(waves),
            count * m * n / (number * size * size),
        ]
    columns += [np.log2(np.minimum(m, n)), np.log2(k), np.minimum(np.log2(count), 6)]
    columns += [_aligned(side, (4, 8, 32)) for side in (m, n, k)]
    base_s = np.maximum(tiled_s, memory_s) + _LAUNCH_S
    return Problem(base_s, flops / sheet.peak, np.stack(columns, axis=1))


def _aligned(side: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    return np.add.reduce([(side % step == 0) * 1.0 for step in steps])


TENSOR_NAMES = (
    *("tiled_launch", "memory_launch", "tiled_memory", "base_launch", "bytes_l2", "held_l2"),
    *("waves", "wave_fill", "tile_fill", "tiled_share", "rows", "columns", "split", "step_bound"),
    *("narrow", "depth", "waves_128", "wave_fill_128", "aligned_m", "aligned_n", "aligned_k"),
)
_COPIES = 6.0
"""Copies of the weights that a measurement goes round."""
_LAUNCH_CYCLES, _TILE_CYCLES, _JOIN_CYCLES = 3700.0, 1900.0, 3500.0
_ASYNCHRONOUS_TILE = 0.5
"""What of a tile's filling and emptying asynchronous tensor cores leave to wait for."""
_LOADED_PER_CYCLE, _SHARED_LOADS = 40.0, 1.5
"""Bytes that a multiprocessor loads per cycle, and how far clusters that share loads go with it."""
_REACHED, _MEMORY_SHARE, _SHARPNESS = 0.935, 0.83, 2.5
_HELD_LIMITS = (0.4, 1.2)


def tensor_products(
    count: np.ndarray, m: np.ndarray, n: np.ndarray, k: np.ndarray, sheet: Sheet
) -> Problem:
    """Products on tensor cores: `count` of m x k by k x n each, sizes as float64 [operators].

    Operands have the bits of the sheet's type, results 16. Activations are quantised to 8 bits in a
    kernel before.
    """
    itemsize = sheet.bits / 8
    tiles = np.array(ASYNCHRONOUS if sheet.asynchronous else SYNCHRONOUS, float)
    loaded = _LOADED_PER_CYCLE * (_SHARED_LOADS if sheet.asynchronous else 1.0)
    rate = sheet.sustained * _REACHED / (sheet.units * sheet.clock_hz)
    arithmetic, loads = 2 * tiles.prod(axis=1) / rate, itemsize * tiles.sum(axis=1) / loaded
    fixed = _TILE_CYCLES * (_ASYNCHRONOUS_TILE if sheet.asynchronous else 1.0)
    cache = cache_bandwidth(sheet)
    costs = Costs(
        tiles,
        np.maximum(arithmetic, loads),
        np.full(len(tiles), fixed),
        5,
        _JOIN_CYCLES,
        8.0 * sheet.clock_hz / cache,
    )
    tiled = best_tiles(count, m, n, k, sheet.units, costs)
    tiled_s = tiled.time / sheet.clock_hz
    weights = itemsize * count * k * n
    moved = weights + itemsize * count * m * k + 2 * count * m * n
    held = moved + (_COPIES - 1) * weights
    memory_s = moved_s(moved, held, sheet, _MEMORY_SHARE, _HELD_LIMITS)
    launch_s = np.full(m.shape, _LAUNCH_CYCLES / sheet.clock_hz)
    if sheet.bits == 8:
        launch_s = launch_s + _quantised_s(count * m * k, launch_s, sheet)
    base_s = launch_s + together(tiled_s, memory_s, sharpness=_SHARPNESS)
    flops = 2 * count * m * n * k
    rows, columns = tiles[tiled.tile].T
    waves = tiled.parts / sheet.units
    waves_128 = count * np.ceil(m / 128) * np.ceil(n / 128) / sheet.units
    features = [
        np.log2(tiled_s / launch_s),
        np.log2(memory_s / launch_s),
        np.log2(tiled_s / memory_s),
        np.log2(base_s / launch_s),
        np.log2(moved / sheet.l2_bytes),
        np.clip(np.log2(held / sheet.l2_bytes), -3, 3),
        np.clip(np.log2(waves), -6, 6),
        waves / np.ceil(waves),
        count * m * n * tiled.split / (tiled.parts * rows * columns),
        np.log2(flops / sheet.peak / tiled_s),
        np.log2(rows),
        np.log2(columns),
        np.log2(tiled.split),
        np.clip(np.log2(arithmetic / loads)[tiled.tile], -3, 3),
        np.log2(np.minimum(m, n)),
        np.minimum(np.log2(k), 14),
        np.clip(np.log2(waves_128), -6, 6),
        waves_128 / np.ceil(waves_128),
        *(_aligned(side, (8, 64, 128)) for side in (m, n, k)),
    ]
    return Problem(base_s, flops / sheet.peak, np.stack(features, axis=1))


_QUANTISED_SHARE, _QUANTISED_BYTES = 0.5, 3.0
"""Share of the bandwidth that quantising activations reaches, and bytes that it moves of each."""


def _quantised_s(elements: np.ndarray, launch_s: np.ndarray, sheet: Sheet) -> np.ndarray:
    """Seconds of the kernel that turns activations of 16 bits into 8 before a product."""
    moved = _QUANTISED_BYTES * elements
    return launch_s + moved_s(moved, moved, sheet, _QUANTISED_SHARE, _HELD_LIMITS)
