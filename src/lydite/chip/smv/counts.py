"""Aladdin's counts for SMV's invocations: iterations executed, bank accesses, units used.

Loops: harvard-acc/smaug, smv/kernels. The counts of scratchpad accesses follow from them; those of
units and registers are rules that reproduce what gem5-Aladdin printed for 912 invocations (exactly
or nearly: `benchmarks/smv.py` reports how nearly), written so that they scale with the array.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from lydite.chip.smv.array import smv_array
from lydite.chip.smv.invocations import KERNELS, Invocations
from lydite.chip.smv.timing import CONV, NORM, POOL, PRODUCT, kind_of
from lydite.errors import unknown_name
from lydite.hardware.chip import Chip

Columns = np.ndarray

LEVELS = ("no", "low", "medium", "high", "very_high")
"""SMAUG's values of --sample-level, each sampling more than the previous one."""


def kinds_of(invocations: Invocations) -> Columns:
    """`timing.kind_of` for each row."""
    return _KINDS[invocations.kernel]


def _by_kernel(given: Mapping[str, float], others: float) -> Columns:
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


# --- iterations -------------------------------------------------------------------------------


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


_MULTIPLIES = _by_kernel({KERNELS[4]: 2.0, KERNELS[5]: 2.0, KERNELS[7]: 1.0}, 0.0)
"""Multiplications per vector: two in batch norms (deviation and gamma), one in Mul."""


def iterations(invocations: Invocations, chip: Chip, level: str = "no") -> Iterations:
    """Iterations that invocations execute at a sample level."""
    inv, (pes, vectors, lanes) = sampled(invocations, level), _sizes(chip)
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
    channels = np.minimum(_outputs(inv), pes * inv.ofmap_blocks)
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


def _sizes(chip: Chip) -> tuple[int, int, int]:
    array = smv_array(chip)
    return array.pes, array.vectors, array.lanes


def _vectors(dims: Columns, lanes: int) -> Columns:
    """Number of vectors in tiles of this shape, with the innermost dimension padded."""
    return np.prod(dims[:, :3], axis=1) * np.ceil(dims[:, 3] / lanes)


def _outputs(inv: Invocations) -> Columns:
    """Number of output channels of a convolution or product."""
    return np.minimum(inv.weight_dims[:, 0], inv.output_dims[:, 3])


# --- scratchpad accesses ----------------------------------------------------------------------


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


_READS = _by_kernel({KERNELS[12]: 1, KERNELS[13]: 3}, 2)
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
    inv, (pes, vectors, lanes) = sampled(invocations, level), _sizes(chip)
    kinds = kinds_of(inv)
    done = iterations(invocations, chip, level) if done is None else done
    depth = np.minimum(np.ceil(inv.weight_dims[:, 3] / lanes), vectors * inv.channel_blocks)
    channels = np.minimum(_outputs(inv), pes * inv.ofmap_blocks)
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


# --- functional units -------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Units:
    """32-bit functional units that invocations need, as Aladdin counts; float64[invocations].

    Attributes:
        multipliers: Number of multipliers.
        adders: Number of adders.
        bitwise: Number of bitwise units.
        shifters: Number of shifters.
        registers: Number of registers.
    """

    multipliers: Columns
    adders: Columns
    bitwise: Columns
    shifters: Columns
    registers: Columns

    @property
    def columns(self) -> dict[str, Columns]:
        """Columns by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


_COLUMNS = (1.0, 2.0, 4.0, 8.0, 16.0, 24.0)
_BURST = (65.0, 129.0, 155.0, 231.0, 237.0, 238.0)
_PACED = (48.5, 75.0, 98.0, 118.0, 128.0, 140.0)
"""Maximum number of registers that a cycle of a convolution's loop reads (and writes).

By the columns of the output, with 8 PEs of 4 vectors: read off the rows; the value for 65 is
extrapolated.
"""


def units_of(invocations: Invocations, chip: Chip, level: str = "no") -> Units:
    """Functional units of each invocation.

    The positions of a convolution come in bursts where vectors of zeros need no port: fewer
    channels than vectors, or padding; then all vectors of a PE multiply in the same cycle, else
    one. Conversion adds adders and shifters of its own, and registers for whole pages. Norms and
    lines have no rows to derive rules from: they use pooling's rules, scaled by the one known row
    of a batch norm.
    """
    inv, (pes, vectors, lanes) = sampled(invocations, level), _sizes(chip)
    kinds = kinds_of(inv)
    chosen = [kinds == CONV, kinds == PRODUCT, kinds == POOL]
    loads = (inv.input_load_bytes + inv.weight_load_bytes > 0).astype(float)
    stored = np.ceil(inv.store_bytes / (2 * lanes))
    sends = (stored > 0).astype(float)
    used = np.minimum(pes, _outputs(inv))
    short = np.ceil(inv.weight_dims[:, 3] / lanes) < vectors
    pads = inv.pads if LEVELS.index(level) < 2 else inv.pads * np.array([1, 0, 1, 0])
    padded = pads.any(axis=1)
    run = short | pads[:, :2].any(axis=1)
    burst = run | padded
    # address multiplications that coincide with the vectors'
    many = np.where(padded, run & (inv.out_cols >= 8), inv.out_rows * inv.out_cols > 1)
    index = 1 + loads + sends + np.where(short, 2, many)
    tiny = np.where((stored > 0) & (stored <= 2), 10, 0)
    product = 6 + (inv.input_load_bytes > 0) + 2 * sends
    multipliers = np.select(
        chosen,
        [
            np.maximum(tiny, used * np.where(burst, vectors, 1) + index),
            np.maximum(tiny, product),
            6 + sends,
        ],
        5 * np.ones(len(inv)),
    )
    converts = sends * np.clip(2 * stored, 4, 16)
    # Adders of a PE: its vectors, the lanes of their sum, the partial sum and two addresses.
    tree = vectors - 1 + lanes - 1 + 3
    adders = (
        np.select(chosen, [2 + used * tree + 16 * loads, pes * (tree + 3.0), 23.0], 18.0) + converts
    )
    bitwise = np.select(chosen, [pes + 1 + loads, float(pes * vectors) + 1, 2.0], 2.0) + 2 * sends
    shifters = np.select(chosen, [3 + used + 6 * loads, pes + 6.0, 7.0], 8.0) + 4 * sends
    return Units(
        multipliers, adders, bitwise, shifters, _registers(inv, chip, chosen, run, used, stored)
    )


def _registers(
    inv: Invocations,
    chip: Chip,
    chosen: list[Columns],
    run: Columns,
    used: Columns,
    stored: Columns,
) -> Columns:
    """The maximum that a cycle reads plus the maximum that a cycle writes.

    Conversion before a store reads all pages but the last at once.
    """
    _, vectors, lanes = _sizes(chip)
    page = chip.dma.page_bytes / (2 * lanes)
    pages = np.ceil(stored / page)
    sent = np.where(pages > 1, page * (pages - 1), stored) + 3 * np.maximum(pages, 2) + 6
    sent = np.where(stored > 0, sent, 0)
    columns = np.where(
        run, np.interp(inv.out_cols, _COLUMNS, _BURST), np.interp(inv.out_cols, _COLUMNS, _PACED)
    )
    loop = np.rint(columns * used / 8 * vectors / 4)
    ragged = np.where(_outputs(inv) % 8 > 0, 2, 1)
    return np.select(
        chosen,
        [
            np.maximum(loop, sent) + loop,
            ragged * (np.maximum(39, sent) + 15),
            np.maximum(20, sent),
        ],
        np.maximum(20, sent),
    )


def units_built(chip: Chip) -> Units:
    """Functional units of an accelerator, counting every lane; scalars.

    This is the largest need of any kernel. Registers are those of the convolution's loop at full
    rate, with all lanes of a vector; converting several pages at once is an artefact of Aladdin's
    counting and not built.
    """
    pes, vectors, lanes = _sizes(chip)
    products = pes * vectors * lanes
    tree = (vectors - 1) * lanes + lanes - 1 + 3
    loop = 2 * _BURST[-1] * pes / 8 * vectors / 4
    found = (
        products + 5,
        2 + pes * tree + 32,
        max(pes + 4, pes * vectors + 3),
        pes + 13,
        loop * lanes,
    )
    return Units(*(np.array(float(one)) for one in found))
