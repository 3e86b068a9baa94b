"""Base times from physics, and dimensionless features of what they leave open.

Features are ratios and counts only, so that a device cannot be recognised by them. The families:
`lydite.estimate.learned.products` and `attention` for tensor cores, and here whatever passes over
memory once.
"""

from __future__ import annotations

import numpy as np

from lydite.estimate.learned.sheet import Sheet
from lydite.records import dataclass


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

    def taken(self, chosen: np.ndarray) -> Problem:
        """Some of the operators, by mask or place."""
        return Problem(self.base_s[chosen], self.bound_s[chosen], self.features[chosen])


def together(*times: np.ndarray, sharpness: float) -> np.ndarray:
    """Time of parts that overlap: the longest, and more where several take as long.

    The norm of order `sharpness` of the times; infinity would be their maximum.
    """
    longest = np.maximum.reduce(times)
    total = np.zeros_like(longest)
    for time in times:
        total += (time / longest) ** sharpness
    return longest * total ** (1 / sharpness)


def moved_s(
    moved: np.ndarray, held: np.ndarray, sheet: Sheet, share: float, limits: tuple[float, float]
) -> np.ndarray:
    """Seconds of traffic that comes from memory, from the cache, or from both.

    Args:
        moved: Bytes that move.
        held: Bytes that stay in use between them.
        sheet: Device.
        share: Share of the memory's bandwidth that is reached.
        limits: `held` over the cache's size, up to which all traffic is the cache's, and from which
            on none is.
    """
    low, high = limits
    missed = np.clip((held / sheet.l2_bytes - low) / (high - low), 0, 1)
    cached_s = moved / cache_bandwidth(sheet)
    return moved / (sheet.bandwidth * share) * missed + cached_s * (1 - missed)


_CACHE_BYTES_PER_CYCLE = 20.0


def cache_bandwidth(sheet: Sheet) -> float:
    """Bytes/s of the last cache that all multiprocessors together reach."""
    return _CACHE_BYTES_PER_CYCLE * sheet.units * sheet.clock_hz


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
