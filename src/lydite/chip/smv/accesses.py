"""Aladdin's counts of SMV's accesses to banks of scratchpads, which follow from its loops."""

from __future__ import annotations

import numpy as np

from lydite.chip.smv.counts import (
    Columns,
    Iterations,
    by_kernel,
    iterations,
    kinds_of,
    outputs_of,
    sampled,
    sizes_of,
)
from lydite.chip.smv.invocations import KERNELS, Invocations
from lydite.chip.smv.timing import CONV, NORM, POOL, PRODUCT
from lydite.hardware.chip import Chip
from lydite.records import dataclass


@dataclass(frozen=True, eq=False)
class Accesses:
    """Reads and writes of the scratchpads; float64[invocations].

    Attributes:
        word_reads: Reads of 4 bytes by the DMA.
        word_writes: Writes of 4 bytes by the DMA.
        half_reads: Reads of fp16 vectors during conversion.
        half_writes: Writes of fp16 vectors during conversion.
        vector_reads: Reads of vectors with 32 bits per lane.
        vector_writes: Writes of vectors with 32 bits per lane.
    """

    word_reads: Columns
    word_writes: Columns
    half_reads: Columns
    half_writes: Columns
    vector_reads: Columns
    vector_writes: Columns

    def reads(self, lanes: int | None = None) -> Columns:
        """Word reads; as in Aladdin, a vector counts as one unless `lanes` is given."""
        half, whole = (1, 1) if lanes is None else (lanes / 2, lanes)
        return self.word_reads + half * self.half_reads + whole * self.vector_reads

    def writes(self, lanes: int | None = None) -> Columns:
        """Word writes, counted like `reads`."""
        half, whole = (1, 1) if lanes is None else (lanes / 2, lanes)
        return self.word_writes + half * self.half_writes + whole * self.vector_writes


_READS = by_kernel({KERNELS[12]: 1, KERNELS[13]: 3}, 2)
"""Reads per vector: 1 in activations, 3 in softmax (maximum, sum, quotient), else 2 inputs."""


def accesses(
    invocations: Invocations, chip: Chip, level: str = "no", done: Iterations | None = None
) -> Accesses:
    """Scratchpad accesses of invocations at a sample level: transfers, conversion, loops,
    activations; from `done`, its iterations at that level, if they are known.

    A convolution reads the weights of a pass once, at each position the activation vectors that lie
    inside the image and, except in the first pass over an output, the partial sum, which it writes
    back. A product reads all weights and, for each block, the input.
    """
    inv, (pes, vectors, lanes) = sampled(invocations, level), sizes_of(chip)
    kinds = kinds_of(inv)
    done = iterations(invocations, chip, level) if done is None else done
    depth = np.minimum(np.ceil(inv.weight_dims[:, 3] / lanes), vectors * inv.channel_blocks)
    channels = np.minimum(outputs_of(inv), pes * inv.ofmap_blocks)
    pixels, blocks = inv.out_rows * inv.out_cols, inv.ofmap_blocks
    inside = _inside(inv, invocations, 1) * _inside(inv, invocations, 2)
    first = np.where(inv.accumulates, 0, blocks)
    taps = inv.k_rows * inv.k_cols
    partial = pixels * (blocks * taps * inv.channel_blocks - first)
    line = np.where(kinds == NORM, 1, _READS[inv.kernel])
    chosen = [kinds == CONV, kinds == PRODUCT, kinds == POOL]
    reads = np.select(
        chosen,
        [
            channels * depth * taps + inside * depth * blocks + partial,
            inv.out_rows * depth * blocks + done.positions,
            done.steps,
        ],
        line * done.steps,
    )
    writes = np.select(
        chosen, [done.positions, inv.out_rows * blocks, pixels * inv.channel_blocks], done.steps
    )
    rows = np.where((kinds == CONV) | (kinds == PRODUCT), done.activated, 0)
    return Accesses(
        inv.store_bytes / 4,
        (inv.input_load_bytes + inv.weight_load_bytes) / 4,
        done.loaded,
        done.stored,
        reads + done.stored + rows,
        writes + done.loaded + rows,
    )


def _inside(executed: Invocations, whole: Invocations, axis: int) -> Columns:
    """Positions along rows (1) or columns (2) that lie inside the image, over the taps executed.

    The stride is the longest with which the window fits equally often.
    """
    size, before = whole.input_dims[:, axis], whole.pads[:, 2 * axis - 2]
    rows = axis == 1
    count, taps = (
        (executed.out_rows, executed.k_rows) if rows else (executed.out_cols, executed.k_cols)
    )
    span = size + before + whole.pads[:, 2 * axis - 1] - (whole.k_rows if rows else whole.k_cols)
    stride = np.maximum(1, span // np.maximum(1, (whole.out_rows if rows else whole.out_cols) - 1))
    found = np.zeros(len(whole), np.int64)
    for tap in range(int(taps.max(initial=0))):
        low = np.maximum(0, -((tap - before) // stride))
        high = np.minimum(count - 1, (size - 1 + before - tap) // stride)
        found += np.where(tap < taps, np.maximum(0, high - low + 1), 0)
    return found
