"""Base times from physics, and dimensionless features of what they leave open.

A product runs in tiles of its result, in whole waves over the multiprocessors (NVIDIA, Matrix
Multiplication Background, section 4), at a rate that power sustains:

    sustained = peak min(1, ((W - W0) / (e peak)) ** 0.85),   e = 15 pJ sqrt(process / 16 nm)

W is the board's power, W0 = 20 W what memory and leakage take; the exponent is between those of a
voltage that follows the clock and of one at its floor. The three constants were fitted to what five
GPUs sustain in float32 (NeuSight's rows of P4, P100, V100, T4 and A100). Products in 16 bits on
tensor cores take their peak as it is.

Features are ratios only, so that a device cannot be recognised by them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lydite.errors import InputError
from lydite.hardware import Device

TILES = ((256, 128), (128, 256), (128, 128), (128, 64), (64, 128), (64, 64), (32, 128), (128, 32))
SMALL_TILES = ((32, 32), (16, 128), (128, 16), (16, 64))
_ENERGY_J, _PROCESS_M, _IDLE_W, _EXPONENT = 15e-12, 16e-9, 20.0, 0.85
_LARGE = 256 * 128


@dataclass(frozen=True)
class Sheet:
    """What of a device's data sheet the features need.

    Attributes:
        peak: FLOP/s in the type of the arithmetic.
        bandwidth: Memory bandwidth in bytes/s.
        units: Number of multiprocessors.
        l2_bytes: Bytes of the last cache.
        watts: Power limit of the board.
        process_m: Feature size of the process in metres.
    """

    peak: float
    bandwidth: float
    units: int
    l2_bytes: float
    watts: float
    process_m: float

    @property
    def sustained(self) -> float:
        """FLOP/s in float32 that the power sustains."""
        energy = _ENERGY_J * (self.process_m / _PROCESS_M) ** 0.5
        share = (self.watts - _IDLE_W) / (energy * self.peak)
        return self.peak * min(1.0, max(share, 0.01) ** _EXPONENT)


def sheet_of(device: Device, dtype: str) -> Sheet:
    """The sheet of a device.

    Raises:
        InputError: the device lacks a figure; says which.
    """
    l2_bytes = max((cache.size_bytes for cache in device.caches), default=0.0)
    figures = {
        f"a peak for {dtype}": device.peak_flops.get(dtype),
        "power": device.power_w,
        "process": device.process_m,
        "a cache": l2_bytes,
    }
    absent = [name for name, value in figures.items() if not value]
    if absent:
        raise InputError(
            f"states no {', no '.join(absent)}",
            where=device.name,
            hint="the maker's data sheet has them",
        )
    return Sheet(
        float(figures[f"a peak for {dtype}"] or 0),
        device.memory_bandwidth,
        device.units,
        l2_bytes,
        float(device.power_w or 0),
        float(device.process_m or 0),
    )


@dataclass(frozen=True)
class Problem:
    """Base times and features of many operators of one family on one device.

    Attributes:
        base_s: Base time of each.
        bound_s: Time that no operator of the family can beat.
        features: Features [operators, features].
    """

    base_s: np.ndarray
    bound_s: np.ndarray
    features: np.ndarray


PRODUCT_NAMES = (
    *("arithmetic_launch", "memory_launch", "arithmetic_memory", "bytes_l2", "tiled_share"),
    *(f"{what}_{size}" for size in (128, 64, 32) for what in ("waves", "wave_fill", "tile_fill")),
    *("narrow", "depth", "count", "aligned_m", "aligned_n", "aligned_k"),
)


def products(
    count: np.ndarray,
    m: np.ndarray,
    n: np.ndarray,
    k: np.ndarray,
    itemsize: float,
    sheet: Sheet,
    *,
    tensor_cores: bool,
) -> Problem:
    """Products of matrices: `count` of m x k by k x n each.

    Args:
        count, m, n, k: Sizes, float64 [operators].
        itemsize: Bytes of an element.
        sheet: Device.
        tensor_cores: Whether tensor cores run them; their tiles cost more to fill.
    """
    launch_s, fill, smaller = (2e-6, 100.0, 0.03) if tensor_cores else (4e-6, 8.0, 0.05)
    rate = sheet.peak if tensor_cores else sheet.sustained
    tiled_s = _tiled_s(count, m, n, k, sheet.units, rate, fill, smaller)
    moved = itemsize * count * (m * k + k * n + m * n)
    memory_s = moved / sheet.bandwidth
    flops = 2 * count * m * n * k
    columns = [
        np.log2(tiled_s / launch_s),
        np.log2(memory_s / launch_s),
        np.log2(tiled_s / memory_s),
        np.log2(moved / sheet.l2_bytes),
        np.log2(flops / rate / tiled_s),
    ]
    for size in (128, 64, 32):
        tiles = count * np.ceil(m / size) * np.ceil(n / size)
        waves = tiles / sheet.units
        columns += [
            np.clip(np.log2(waves), -6, 6),
            waves / np.ceil(waves),
            count * m * n / (tiles * size * size),
        ]
    columns += [np.log2(np.minimum(m, n)), np.log2(k), np.minimum(np.log2(count), 6)]
    steps = (8, 64, 128) if tensor_cores else (4, 8, 32)
    columns += [sum((side % step == 0) * 1.0 for step in steps) for side in (m, n, k)]
    return Problem(
        np.maximum(tiled_s, memory_s) + launch_s,
        flops / sheet.peak,
        np.stack(columns, axis=1),
    )


def _tiled_s(
    count: np.ndarray,
    m: np.ndarray,
    n: np.ndarray,
    k: np.ndarray,
    units: int,
    rate: float,
    fill: float,
    smaller: float,
) -> np.ndarray:
    """Seconds in whole waves of the best tile, K split where it is long."""
    best = np.full(m.shape, np.inf)
    for rows, columns in (*TILES, *SMALL_TILES):
        tiles = count * np.ceil(m / rows) * np.ceil(n / columns)
        slower = (rows * columns / _LARGE) ** -smaller
        for split in (1, 2, 4, 8, 16):
            depth = k / split + fill
            seconds = np.ceil(tiles * split / units) * 2 * rows * columns * depth * slower
            allowed = (k >= 128 * split) | (split == 1)
            best = np.where(allowed, np.minimum(best, seconds), best)
    return best / (rate / units)


STREAM_NAMES = ("is_norm", "is_softmax", "operands", "memory_launch", "bytes_l2", "width", "rows")
STREAM_KINDS = ("elementwise", "norm", "softmax")
_STREAM_LAUNCH_S, _USUAL_SHARE = 3e-6, 0.8


def streams(
    kind: np.ndarray,
    moved: np.ndarray,
    width: np.ndarray,
    rows: np.ndarray,
    operands: np.ndarray,
    sheet: Sheet,
) -> Problem:
    """Operators that pass over memory once: elementwise ones, normalisations, softmax.

    Args:
        kind: Place in `STREAM_KINDS` of each.
        moved: Bytes read and written.
        width: Elements of a row.
        rows: Number of rows.
        operands: Number of large inputs.
        sheet: Device.
    """
    memory_s = moved / sheet.bandwidth
    columns = [
        (kind == 1) * 1.0,
        (kind == 2) * 1.0,
        np.minimum(operands, 2.0),
        np.log2(memory_s / _STREAM_LAUNCH_S),
        np.log2(moved / sheet.l2_bytes),
        np.minimum(np.log2(width), 14),
        np.minimum(np.log2(rows / sheet.units), 8),
    ]
    cached = np.where(moved < sheet.l2_bytes, 0.0, memory_s)
    return Problem(memory_s / _USUAL_SHARE + _STREAM_LAUNCH_S, cached, np.stack(columns, axis=1))
