"""The page of a recording: a table of the devices, and a chart for each channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from lydite.measure.telemetry import CHANNELS, DeviceTrace, Trace
from lydite.report.page import Section, write_page
from lydite.report.plot import Axis, Line, Plot
from lydite.report.text.monitor import monitor_text

COLOURS = ("#3366cc", "#dc3912", "#ff9900", "#109618", "#990099", "#0099c6", "#dd4477", "#66aa00")
MOST_POINTS = 1000
"""Points of a line; of more, the least and the greatest of each stretch are drawn."""
_MARK = "#888888"
_UNITS: Mapping[str, tuple[str, float]] = {
    "power_w": ("W", 1.0),
    "utilisation_percent": ("%", 1.0),
    "memory_bytes": ("MB", 1e-6),
    "clock_hz": ("MHz", 1e-6),
    "memory_clock_hz": ("MHz", 1e-6),
    "temperature_c": ("°C", 1.0),
}
"""Unit of each chart, and the factor to it."""


def write_monitor_page(path: Path, trace: Trace, document: Mapping[str, Any]) -> Path:
    """Write the page; it needs no script and no network."""
    energy = [_energy_row(each) for each in document["devices"]]
    columns = ("device", "energy, J", "source", "uncertainty, J", "counter, J", "polled, J")
    sections = [
        Section("Energy", "What no sensor reads is unknown, never 0.", columns, energy),
        *telemetry_sections(trace),
        Section("In words", pre=monitor_text(document)),
    ]
    return write_page(path, "Telemetry", monitor_text(document).partition("\n")[0], sections)


def telemetry_sections(trace: Trace, marks: Sequence[str] | None = None) -> list[Section]:
    """A section for each channel that any device reads, with one line for each device.

    Args:
        trace: Recorded samples.
        marks: Names of the marks to draw; None for all.
    """
    plots = [plot for channel in _UNITS if (plot := channel_plot(trace, channel, marks))]
    return [Section(plot.title.removesuffix(" over time"), plot=plot) for plot in plots]


def channel_plot(trace: Trace, channel: str, marks: Sequence[str] | None = None) -> Plot | None:
    """A channel of all devices over time, in seconds from the start; None if no device has it."""
    start_ns, _ = trace.span_ns()
    unit, factor = _UNITS[channel]
    lines: list[Line] = []
    highest = 0.0
    for number, (name, each) in enumerate(trace.devices.items()):
        times, values, told = _readings(each, channel)
        if len(times):
            seconds, drawn = thinned((times - start_ns) * 1e-9, values * factor)
            highest = max(highest, float(np.max(drawn)))
            lines.append(Line(f"{name}{told}", COLOURS[number % len(COLOURS)], seconds, drawn))
    if not lines:
        return None
    for mark in trace.marks:
        if marks is None or mark.name in marks:
            at = (mark.time_ns - start_ns) * 1e-9
            name = f"{mark.name}, {at:.3g} s"
            lines.append(Line(name, _MARK, [at, at], [0.0, highest], is_dashed=True))
    title = f"{CHANNELS[channel].title.capitalize()} over time"
    return Plot(title, Axis("seconds"), Axis(unit), lines, height_px=220, can_zoom=True)


def _readings(each: DeviceTrace, channel: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Times, values, and what to add to the device's name in the key."""
    if channel == "power_w":
        times, values, source = each.power()
        return times, values, f" ({source})"
    return *each.known(channel), ""


def thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most MOST_POINTS points that keep the least and the greatest of each stretch."""
    if len(x) <= MOST_POINTS:
        return x, y
    edges = np.linspace(0, len(x), MOST_POINTS // 2 + 1).astype(int)
    kept = sorted(
        {
            int(low + offset)
            for low, high in pairwise(edges.tolist())
            for offset in (np.argmin(y[low:high]), np.argmax(y[low:high]))
        }
    )
    return x[kept], y[kept]


def _energy_row(each: Mapping[str, Any]) -> list[str]:
    energy = each["energy"]
    figures = (energy[name] for name in ("uncertainty_j", "counter_j", "polled_j"))
    return [each["id"], _joules(energy["joules"]), energy["source"], *map(_joules, figures)]


def _joules(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.6g}"
