"""How long equal invocations take, one behind the other through launches, transfers and arrays.

The closed form of what `lydite.chip.soc` plays: each accelerator loads the next invocation while
it computes this one, the processor launches one after the other, and all share memory. An interval
between two invocations of an accelerator is the slowest of the stages; the first one's load and the
last one's computation and store come on top.
"""

from __future__ import annotations

import numpy as np

from lydite.chip.memory import miss_bytes_per_s, request_bytes, setup_cycles
from lydite.hardware.chip import Chip
from lydite.records import dataclass

Column = np.ndarray


@dataclass(frozen=True)
class Stages:
    """Invocations, each attribute a column: one element for each way to cut the work.

    Attributes:
        count: Number of invocations.
        each: Number of invocations of the accelerator that has most.
        units: Number of accelerators that share them.
        load_bytes: Bytes loaded by an invocation, the mean.
        compute_s: Seconds of an invocation's computation, the mean.
        store_bytes: Bytes stored by an invocation, the mean.
        first_load_bytes: Bytes loaded by the first invocation.
        last_store_bytes: Bytes stored by the last invocation.
        later_load_bytes: Bytes loaded by the invocations beyond the first `heavy`; None where all
            load the same.
        heavy: Number of invocations that load `load_bytes`.
    """

    count: Column
    each: Column
    units: Column
    load_bytes: Column
    compute_s: Column
    store_bytes: Column
    first_load_bytes: Column
    last_store_bytes: Column
    later_load_bytes: Column | None = None
    heavy: Column | float = np.inf


def pipelined_s(chip: Chip, of: Stages) -> Column:
    """Seconds of all invocations, for each way to cut the work."""
    return pipelined_and_even_s(chip, of)[0]


def pipelined_and_even_s(chip: Chip, of: Stages) -> tuple[Column, Column]:
    """`pipelined_s`, and what it were if later invocations loaded as much as the first ones."""
    launch = chip.cpu.launch_cycles / chip.cpu.clock_hz
    shared = shared_bytes_per_s(chip, of.units)

    def interval(load_bytes: Column) -> Column:
        load, store = alone_s(chip, load_bytes), alone_s(chip, of.store_bytes)
        moved = load + store if chip.dma.channels == 1 else np.maximum(load, store)
        moved = np.maximum(moved, of.units * (load_bytes + of.store_bytes) / shared)
        return np.maximum(np.maximum(moved, of.compute_s), of.units * launch)

    begun, ended = (
        np.maximum(alone_s(chip, size), of.units * size / shared)
        for size in (of.first_load_bytes, of.last_store_bytes)
    )
    each = of.each - 1
    late = launch * np.minimum(of.units, of.count)
    once = late + begun + of.compute_s + ended
    between = interval(of.load_bytes)
    even = np.asarray(once + each * between)
    if of.later_load_bytes is None:
        return even, even
    heavy = np.minimum(each, of.heavy / of.units)
    between = heavy * between + (each - heavy) * interval(of.later_load_bytes)
    return np.asarray(once + between), even


def alone_s(chip: Chip, size: Column) -> Column:
    """Seconds of transfers that have memory to themselves."""
    size = np.asarray(size, float)
    wait = setup_cycles(chip, size) / chip.clock_hz + chip.dram.latency_s * (size > 0)
    return size / miss_bytes_per_s(chip) + wait


def shared_bytes_per_s(chip: Chip, units: Column) -> Column:
    """Bandwidth that so many accelerators get of memory together."""
    request = request_bytes(chip)
    most = int(np.max(units))
    rates = [chip.dram.stream_bytes_per_s(request, 2 * count) for count in range(1, most + 1)]
    rate = np.array(rates, float)[np.asarray(units, int) - 1]
    link = chip.noc.link_bytes_per_s if chip.noc is not None else np.inf
    return np.minimum(np.minimum(rate, chip.bus_bytes_per_s), units * link)


def unit_counts(chip: Chip) -> list[int]:
    """Numbers of accelerators that are tried for one layer: powers of two, and all."""
    most = chip.accelerators
    return sorted({*(1 << shift for shift in range(most.bit_length())), most})


@dataclass(frozen=True)
class Pieces:
    """Work in equal pieces: how many, and on how many accelerators."""

    count: int
    units: int


MOST_PIECES = 64
"""Pieces of an operator that each accelerator gets at most."""


def pieces_of(chip: Chip, load: float, compute_s: float, store: float, most: int) -> Pieces:
    """The fastest way to cut a pass over data into at most so many equal pieces.

    A piece fits half of the scratchpads, so that the next one is loaded meanwhile; where not even
    the smallest does, the smallest are taken.
    """
    units = np.array(unit_counts(chip))
    each = 2 ** np.arange(MOST_PIECES.bit_length())
    units, each = (column.ravel() for column in np.meshgrid(units, each, indexing="ij"))
    count = units * each
    possible = count <= max(1, most)
    count, units = count[possible], units[possible]
    size = (load + store) / count
    fits = size <= chip.scratchpad_bytes / 2
    if not fits.any():
        fits = size <= size.min()
    count, units = count[fits], units[fits]
    parts = Stages(
        count,
        count // units,
        units,
        load / count,
        compute_s / count,
        store / count,
        load / count,
        store / count,
    )
    best = int(np.argmin(pipelined_s(chip, parts)))
    return Pieces(int(count[best]), int(units[best]))
