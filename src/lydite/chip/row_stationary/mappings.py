"""Mappings of a layer that fit a row-stationary array, and how long they take."""

from __future__ import annotations

import numpy as np

from lydite.chip.memory import ELEMENT_BYTES, miss_bytes_per_s
from lydite.chip.row_stationary.array import RowStationaryArray
from lydite.chip.row_stationary.closed_forms import (
    LayerRun,
    LayerShape,
    PassMapping,
    folded,
    rows_in,
)
from lydite.hardware.chip import Chip


def mappings(array: RowStationaryArray, shape: LayerShape, chip: Chip) -> PassMapping:
    """All mappings tried that fit, as columns and possibly with duplicates; empty if none fits."""
    r, s, c = folded(array, shape)
    strips = array.rows // r
    widths = {array.columns // part for part in range(1, array.columns + 1)}
    widths |= {array.columns * part for part in range(1, strips + 1)}
    e = np.array(sorted({-(-shape.e // -(-shape.e // width)) for width in widths}))
    grid = np.meshgrid(
        e,
        _some(array.psum_words),
        _some(max(1, array.ifmap_words // s)),
        _some(strips),
        np.array([1, 2, 4]),
        np.array([1, 2, 4]),
        indexing="ij",
    )
    e, p, q, r_sets, fewer, shorter = (column.ravel() for column in grid)
    high = strips // -(-e // array.columns)  # sets above each other, whose sums are added
    t = high // r_sets * np.maximum(array.columns // e, 1) // fewer
    fits = (t >= 1) & (r_sets <= c) & (p * q * s <= array.filter_words)
    p, q, t = np.minimum(p, shape.m), np.minimum(q, c), np.clip(t, 1, shape.m)
    p = -(-shape.m // (-(-shape.m // (p * t)) * t))  # as even as the passes allow
    q = -(-c // (-(-c // (q * r_sets)) * r_sets))
    size = ELEMENT_BYTES[chip.dtype]
    room = chip.scratchpad("global").bytes // size
    fits &= p * t * q * r_sets * r * s * size <= chip.scratchpad("filter").bytes
    ifmap, sums = rows_in(shape, e) * shape.width * q * r_sets, e * shape.f * p * t
    images = -(-shape.e // e) if shape.flat else shape.n
    n = np.minimum(room // (ifmap + sums) // shorter, images)
    fits &= n >= 1
    n = -(-images // -(-images // np.maximum(n, 1)))
    m = (room - n * ifmap) // np.maximum(n * sums, 1) * p * t
    columns = (e, n, p, q, r_sets, t, np.minimum(m, -(-shape.m // (p * t)) * p * t))
    return PassMapping(*(column[fits] for column in columns))


def _some(most: int) -> np.ndarray:
    """1, 2, 3, 4, 6, 8, 12, ... up to `most`, and `most` itself."""
    powers = [1 << shift for shift in range(most.bit_length())]
    sizes = {*powers, *(3 * power for power in powers), most}
    return np.array(sorted(size for size in sizes if size <= most))


def seconds_of(run: LayerRun, shape: LayerShape, chip: Chip) -> np.ndarray:
    """The longer of array time and transfer time, in seconds."""
    size = ELEMENT_BYTES[chip.dtype]
    stored = shape.n * shape.e * shape.f * shape.m * shape.count * shape.out
    moved = size * (run.ifmap_words + run.filter_words + stored) / miss_bytes_per_s(chip)
    blocks = np.asarray(run.blocks * run.filter_blocks, float)
    busiest = np.ceil(blocks / chip.accelerators) / blocks  # share of the accelerator with most
    return np.maximum(busiest * np.asarray(run.cycles, float) / chip.clock_hz, moved)
