"""Aladdin's counts of the functional units and registers that SMV's invocations need.

They are rules that reproduce what gem5-Aladdin printed for 912 invocations (exactly or nearly:
`benchmarks/smv.py` reports how nearly), written so that they scale with the array.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from lydite.chip.smv.counts import LEVELS, Columns, kinds_of, outputs_of, sampled, sizes_of
from lydite.chip.smv.invocations import Invocations
from lydite.chip.smv.timing import CONV, POOL, PRODUCT
from lydite.hardware.chip import Chip
from lydite.records import dataclass


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
    inv, (pes, vectors, lanes) = sampled(invocations, level), sizes_of(chip)
    kinds = kinds_of(inv)
    chosen = [kinds == CONV, kinds == PRODUCT, kinds == POOL]
    loads = (inv.input_load_bytes + inv.weight_load_bytes > 0).astype(float)
    stored = np.ceil(inv.store_bytes / (2 * lanes))
    sends = (stored > 0).astype(float)
    used = np.minimum(pes, outputs_of(inv))
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
    _, vectors, lanes = sizes_of(chip)
    page = chip.dma.page_bytes / (2 * lanes)
    pages = np.ceil(stored / page)
    sent = np.where(pages > 1, page * (pages - 1), stored) + 3 * np.maximum(pages, 2) + 6
    sent = np.where(stored > 0, sent, 0)
    columns = np.where(
        run, np.interp(inv.out_cols, _COLUMNS, _BURST), np.interp(inv.out_cols, _COLUMNS, _PACED)
    )
    loop = np.rint(columns * used / 8 * vectors / 4)
    ragged = np.where(outputs_of(inv) % 8 > 0, 2, 1)
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
    pes, vectors, lanes = sizes_of(chip)
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
