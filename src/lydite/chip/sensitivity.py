"""What more of each part of a chip buys: the same network with one of them ten per cent better."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from lydite.chip.network import run_chip, varied
from lydite.errors import LyditeError
from lydite.graph import Graph
from lydite.hardware.chip import Chip, SmvArray

MORE = 1.1


def _clock(chip: Chip) -> Chip:
    return replace(chip, clock_hz=chip.clock_hz * MORE)


def _dram(chip: Chip) -> Chip:
    rate = chip.dram.pins_bytes_per_s * MORE
    return replace(chip, dram=replace(chip.dram, pins_bytes_per_s=rate))


def _dma(chip: Chip) -> Chip:
    """Less to set up, flush and invalidate."""
    dma = replace(chip.dma, setup_cycles=round(chip.dma.setup_cycles / MORE))
    interface = replace(
        chip.interface, flush_cycles=round(chip.interface.flush_cycles / MORE),
        invalidate_cycles=round(chip.interface.invalidate_cycles / MORE),
    )  # fmt: skip
    return replace(chip, dma=dma, interface=interface)


def _scratchpads(chip: Chip) -> Chip:
    pads = tuple(replace(pad, bytes=int(pad.bytes * MORE)) for pad in chip.scratchpads)
    return replace(chip, scratchpads=pads)


def _cpu(chip: Chip) -> Chip:
    return replace(chip, cpu=replace(chip.cpu, clock_hz=chip.cpu.clock_hz * MORE))


def _elements(chip: Chip) -> Chip:
    """Twice as many, as tenths of a PE there are none; the gain is scaled down by the caller."""
    if isinstance(chip.array, SmvArray):
        return varied(chip, pes=2 * chip.array.pes)
    return varied(chip, columns=2 * chip.array.columns)


BETTER: Mapping[str, Callable[[Chip], Chip]] = {
    "clock of the accelerator": _clock,
    "DRAM bandwidth": _dram,
    "DMA and flushes": _dma,
    "scratchpads": _scratchpads,
    "processor": _cpu,
}
DOUBLED = "processing elements (twice as many)"


def sensitivity(graph: Graph, chip: Chip, *, threads: int = 1) -> dict[str, float | None]:
    """By part, the share of the time that ten per cent more of it saves.

    Processing elements are doubled, for there are no tenths of them; None where a network does not
    run on the changed chip.
    """

    def seconds(changed: Chip) -> float | None:
        try:
            return run_chip(graph, changed, threads=threads).seconds
        except LyditeError:
            return None

    before = run_chip(graph, chip, threads=threads).seconds
    found: dict[str, float | None] = {}
    for name, better in {**BETTER, DOUBLED: _elements}.items():
        after = seconds(better(chip))
        found[name] = None if after is None else 1 - after / before
    return found
