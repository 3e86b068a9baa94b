"""Plots of a network on a chip: stalls per layer, roofline, timeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lydite.chip import ChipRun
from lydite.chip.soc_jobs import CATEGORIES
from lydite.hardware.chip import Chip
from lydite.report.plot import Axis, Dots, Plot, stacked
from lydite.report.plots import roof
from lydite.report.step_plots import Bars, bars_in_rows, timeline_plot
from lydite.units import format_si

COLOURS = {
    "compute": "#3366cc",
    "loops": "#3366cc",
    "vector": "#0099c6",
    "weight load": "#ff9900",
    "fill and drain": "#990099",
    "bank conflict": "#b82e2e",
    "convert": "#66aa00",
    "activation": "#0099c6",
    "DRAM": "#109618",
    "bus": "#109618",
    "network on chip": "#109618",
    "load": "#109618",
    "DMA": "#22aa99",
    "store": "#5574a6",
    "cache": "#6633cc",
    "flush": "#dc3912",
    "host": "#dd4477",
    "prepare": "#aaaa11",
    "finish": "#8b6d3f",
    "launch": "#316395",
    "waiting": "#dddddd",
}
_OTHER = "#888888"
MOST_LAYERS = 60
MOST_ROWS = 24


def layers_plot(names: Sequence[str], stalls: Sequence[Mapping[str, float]]) -> Plot:
    """Stacked bars: cycles of each layer, by activity or stall."""
    known = [part for part in COLOURS if any(part in layer for layer in stalls)]
    others = {part for layer in stalls for part in layer} - COLOURS.keys()
    spans = [
        (part, COLOURS.get(part, _OTHER), [layer.get(part, 0.0) for layer in stalls])
        for part in (*known, *sorted(others))
    ]
    series = stacked(spans, names, "cycles")
    title = "What layers wait for (simulated)"
    return Plot(title, Axis("accelerator cycles"), series=series, rows=names)


def reached(chip: Chip) -> float:
    """Bandwidth in bytes/s that all transfers share: the smaller of DRAM's and the bus's."""
    return min(chip.dram.stream_bytes_per_s(chip.interface.line_bytes), chip.bus_bytes_per_s)


def roofline_plot(result: ChipRun, cycles: Sequence[float]) -> Plot:
    """Roofline of the chip with every layer that multiplies.

    Args:
        result: Simulation of the network.
        cycles: Cycles of each layer, waiting included.
    """
    chip = result.chip
    peak, bandwidth = chip.array.macs * chip.clock_hz * chip.accelerators, reached(chip)
    dots = [
        (
            cost.name,
            cost.macs / (cost.load_bytes + cost.store_bytes),
            cost.macs * chip.clock_hz / total,
        )
        for cost, total in zip(result.plan.costs, cycles, strict=True)
        if cost.macs and cost.load_bytes + cost.store_bytes and total
    ]
    low = min([peak / bandwidth / 10, *(dot[1] for dot in dots)]) / 2
    high = max([peak / bandwidth * 10, *(dot[1] for dot in dots)]) * 2
    texts = [
        f"{name}: {format_si(rate, 'MAC/s')}, {intensity:.3g} MAC/B"
        for name, intensity, rate in dots
    ]
    layers = Dots("layers", "#3366cc", [dot[1] for dot in dots], [dot[2] for dot in dots], texts)
    return Plot(
        "The chip's roofline (simulated)",
        Axis("multiply-accumulates per byte moved", is_log=True),
        Axis("MAC/s", is_log=True),
        [roof(peak, bandwidth, low, high, "MAC/s"), layers],
    )


def chip_bars(result: ChipRun) -> Bars:
    """Bars of the timeline, one row per busy server, at most MOST_ROWS rows.

    Raises:
        ValueError: the run has no timeline.
    """
    soc = result.soc
    if soc is None:
        raise ValueError("the run has no timeline")
    timeline, resource = soc.timeline, soc.timeline.tasks.resource
    busy = np.unique(resource[(timeline.span_ps > 0) & (resource >= 0)])
    shown = busy[:: max(1, -(-len(busy) // MOST_ROWS))]
    place = np.full(len(soc.server_names), -1)
    place[shown] = np.arange(len(shown))
    row = np.where(resource < 0, -1, place[resource])
    rows = [soc.server_names[at] for at in shown.tolist()]
    return bars_in_rows(timeline, rows, row, hidden=len(busy) - len(rows))


def chip_timeline(bars: Bars) -> Plot:
    """One bar per task, one row per processor core, accelerator or DMA engine."""
    return timeline_plot(bars, CATEGORIES, COLOURS, "Timeline (simulated)")
