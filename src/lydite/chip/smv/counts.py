"""Aladdin's counts for SMV's invocations: iterations executed, and what is sampled of them.

Loops: harvard-acc/smaug, smv/kernels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lydite.chip.smv.array import smv_array
from lydite.chip.smv.invocations import KERNELS, Invocations
from lydite.chip.smv.timing import CONV, NORM, POOL, PRODUCT, kind_of
from lydite.errors import unknown_name
from lydite.hardware.chip import Chip
from lydite.records import dataclass

Columns = np.ndarray

LEVELS = ("no", "low", "medium", "high", "very_high")
"""SMAUG's values of --sample-level, each sampling more than the previous one."""


def kinds_of(invocations: Invocations) -> Columns:
    """`timing.kind_of` for each row."""
    return _KINDS[invocations.kernel]


def by_kernel(given: Mapping[str, float], others: float) -> Columns:
    """A number of each kernel."""
    return np.array([given.get(kernel, others) for kernel in KERNELS])


_KINDS = np.array([kind_of(kernel) for kernel in range(len(KERNELS))])


def sampled(invocations: Invocations, level: str) -> Invocations:
    """The invocations with the iterations that a sampled run executes (--sample-num 1).

    low: one block of output channels of a convolution; medium: one tap of its window; high: one
    block of input channels; very_high: one row and two columns of it, two steps of an inner
    product, one window of a pooling, one vector of a batch norm. Lines are never sampled.

    Raises:
        InputError: the level is unknown.
    """
    if level not in LEVELS:
        raise unknown_name("sample level", level, LEVELS)
    depth, kinds = LEVELS.index(level), kinds_of(invocations)
    conv, changes = kinds == CONV, {}

    def at_most(name: str, count: int, rows: Columns) -> None:
        column = changes.get(name, getattr(invocations, name))
        changes[name] = np.where(rows, np.minimum(column, count), column)

    for reached, names in (
        (1, ("ofmap_blocks",)),
        (2, ("k_rows", "k_cols")),
        (3, ("channel_blocks",)),
        (4, ("out_rows",)),
    ):
        for name in names if depth >= reached else ():
            at_most(name, 1, conv)
    if depth == 4:
        at_most("out_cols", 2, conv)
        at_most("channel_blocks", 2, kinds == PRODUCT)
        for name in ("out_rows", "out_cols", "channel_blocks"):
            at_most(name, 1, (kinds == POOL) | (kinds == NORM))
    return replace(invocations, **changes)


@dataclass(frozen=True, eq=False)
class Iterations:
    """Iterations that invocations execute; 0 where a kernel has none; float64[invocations].

    Attributes:
        loaded: Vectors loaded and converted.
        stored: Vectors converted and stored.
        positions: Output positions of all passes of a convolution; weight vectors that a product
            reads.
        rows: Output rows of all its passes.
        multiplies: Vector multiplications.
        steps: Vectors that cost registers and adders: multiplications of convolutions and products,
            vectors in the windows of pooling, vectors processed by other kernels.
        activated: Output vectors that pass an activation.
    """

    loaded: Columns
    stored: Columns
    positions: Columns
    rows: Columns
    multiplies: Columns
    steps: Columns
    activated: Columns


_MULTIPLIES = by_kernel({KERNELS[4]: 2.0, KERNELS[5]: 2.0, KERNELS[7]: 1.0}, 0.0)
"""Multiplications per vector: two in batch norms (deviation and gamma), one in Mul."""


def iterations(invocations: Invocations, chip: Chip, level: str = "no") -> Iterations:
    """Iterations that invocations execute at a sample level."""
    inv, (pes, vectors, lanes) = sampled(invocations, level), sizes_of(chip)
    kinds = kinds_of(inv)
    passes = inv.k_rows * inv.k_cols * inv.channel_blocks
    depth = np.minimum(np.ceil(inv.weight_dims[:, 3] / lanes), vectors * inv.channel_blocks)
    positions = np.select(
        [kinds == CONV, kinds == PRODUCT],
        [
            inv.ofmap_blocks * passes * inv.out_rows * inv.out_cols,
            inv.out_rows * inv.weight_dims[:, 0] * depth,
        ],
    )
    channels = np.minimum(outputs_of(inv), pes * inv.ofmap_blocks)
    conv = passes * inv.out_rows * inv.out_cols * channels * vectors
    product = inv.out_rows * inv.ofmap_blocks * pes * inv.channel_blocks * vectors
    windows = inv.out_rows * inv.out_cols * inv.channel_blocks * inv.k_rows * inv.k_cols
    each = _MULTIPLIES[inv.kernel]
    line = _vectors(inv.output_dims, lanes)
    line = np.where(kinds == NORM, inv.out_rows * inv.out_cols * inv.channel_blocks, line)
    known = [kinds == CONV, kinds == PRODUCT]
    loaded = (inv.input_load_bytes + inv.weight_load_bytes) / (2 * lanes)
    return Iterations(
        loaded,
        inv.store_bytes / (2 * lanes),
        positions,
        np.where(kinds == CONV, inv.ofmap_blocks * passes * inv.out_rows, 0),
        np.select([*known, kinds == POOL], [conv, product, 0], each * line),
        np.select([*known, kinds == POOL], [conv, product, windows], line),
        inv.activates * _vectors(inv.output_dims, lanes),
    )


def sizes_of(chip: Chip) -> tuple[int, int, int]:
    """Processing elements, vectors and lanes of the chip's array."""
    array = smv_array(chip)
    return array.pes, array.vectors, array.lanes


def _vectors(dims: Columns, lanes: int) -> Columns:
    """Number of vectors in tiles of this shape, with the innermost dimension padded."""
    return np.prod(dims[:, :3], axis=1) * np.ceil(dims[:, 3] / lanes)


def outputs_of(inv: Invocations) -> Columns:
    """Number of output channels of a convolution or product."""
    return np.minimum(inv.weight_dims[:, 0], inv.output_dims[:, 3])
