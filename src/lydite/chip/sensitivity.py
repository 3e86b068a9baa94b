"""Sensitivity of a network's time, energy and area to a 10 % improvement of each part of a chip."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from lydite.chip.figures import figures_of
from lydite.chip.run import run_chip, varied
from lydite.errors import LyditeError
from lydite.graph import Graph
from lydite.hardware.chip import Chip

MORE = 1.1


def _clock(chip: Chip) -> Chip:
    return replace(chip, clock_hz=chip.clock_hz * MORE)


def _dram(chip: Chip) -> Chip:
    return replace(chip, dram=chip.dram.scaled(MORE))


def _port(chip: Chip) -> Chip:
    """More requests in flight; fewer cycles of setup, flush, invalidation and port latency."""
    dma = replace(
        chip.dma,
        requests=math.ceil(chip.dma.requests * MORE),
        setup_cycles=round(chip.dma.setup_cycles / MORE),
    )
    interface = replace(
        chip.interface,
        flush_cycles=round(chip.interface.flush_cycles / MORE),
        invalidate_cycles=round(chip.interface.invalidate_cycles / MORE),
        acp_latency_cycles=round(chip.interface.acp_latency_cycles / MORE),
        acp_requests=math.ceil(chip.interface.acp_requests * MORE),
    )
    return replace(chip, dma=dma, interface=interface)


def _bus(chip: Chip) -> Chip | None:
    if math.isinf(chip.bus_bytes_per_s):
        return None
    return replace(chip, bus_bytes_per_s=chip.bus_bytes_per_s * MORE)


def _noc(chip: Chip) -> Chip | None:
    if chip.noc is None:
        return None
    return replace(chip, noc=replace(chip.noc, link_bytes_per_s=chip.noc.link_bytes_per_s * MORE))


def _cache(chip: Chip) -> Chip | None:
    if chip.cache is None or chip.interface.kind == "dma":
        return None
    return replace(chip, cache=replace(chip.cache, bytes=int(chip.cache.bytes * MORE)))


def _scratchpads(chip: Chip) -> Chip:
    pads = tuple(replace(pad, bytes=int(pad.bytes * MORE)) for pad in chip.scratchpads)
    return replace(chip, scratchpads=pads)


def _vector(chip: Chip) -> Chip | None:
    if not chip.array.has_vector_unit:
        return None
    return replace(chip, vector=replace(chip.vector, lanes=2 * chip.vector.lanes))


def _cpu(chip: Chip) -> Chip:
    return replace(chip, cpu=replace(chip.cpu, clock_hz=chip.cpu.clock_hz * MORE))


def _elements(chip: Chip) -> Chip:
    name = chip.array.doubled
    return varied(chip, **{name: 2 * getattr(chip.array, name)})


DOUBLED = "processing elements (twice as many)"
BETTER: Mapping[str, Callable[[Chip], Chip | None]] = {
    "clock of the accelerator": _clock,
    "DRAM bandwidth": _dram,
    "requests, setup and flushes": _port,
    "bus": _bus,
    "network on chip": _noc,
    "cache": _cache,
    "scratchpads": _scratchpads,
    "processor": _cpu,
    "vector lanes (twice as many)": _vector,
    DOUBLED: _elements,
}
"""Improved chip by part; None if a chip lacks the part or it is no limit."""


def sensitivity(
    graph: Graph, chip: Chip, settings: Mapping[str, Any] | None = None
) -> dict[str, dict[str, float] | None]:
    """Relative changes of time, power, area and energy with 10 % more of each part.

    Changes are fractions: -0.04 is 4 % less. Lanes and processing elements are doubled, because
    tenths of them do not exist. None if the network does not run on the changed chip.

    Args:
        graph: Graph with fixed sizes.
        chip: Chip to vary.
        settings: Keyword arguments of `run_chip`.
    """

    def figures(changed: Chip) -> dict[str, float]:
        return figures_of(run_chip(graph, changed, **(settings or {})))

    before = figures(chip)
    changes: dict[str, dict[str, float] | None] = {}
    for name, better in BETTER.items():
        changed = better(chip)
        if changed is None:
            continue
        try:
            after = figures(changed)
        except LyditeError:
            changes[name] = None
            continue
        changes[name] = {
            what: after[key] / before[key] - 1 if before[key] else 0.0
            for what, key in _FIGURES.items()
        }
    return changes


_FIGURES = {"time": "seconds", "power": "power_w", "area": "area_mm2", "energy": "energy_j"}
