"""Plots of a scorecard: scores, what the sensors saw while each model ran, latencies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lydite.report.plot import Axis, Bars, Line, Plot

if TYPE_CHECKING:
    from lydite.measure.telemetry import DeviceTrace, Trace

BLUE, GREY, ORANGE, GREEN = "#3366cc", "#999999", "#ff9900", "#109618"
_OTHERS = ("#dc3912", "#990099", "#0099c6", "#dd4477")
_PHASES = (("load", GREY), ("warm-up", ORANGE), ("timed", BLUE))
_CHANNELS = {
    "utilisation_percent": ("utilisation, %", 1.0),
    "memory_bytes": ("memory in use, GiB", 2.0**30),
    "power_w": ("power, W", 1.0),
    "clock_hz": ("clock, GHz", 1e9),
}
_MOST_POINTS = 240
_BINS = 40


def score_bars(document: Mapping[str, Any], others: Sequence[Mapping[str, Any]] = ()) -> Plot:
    """Scores of the models and of the device, beside the baseline and other results."""
    names = [*document["scores"]["equal"]["models"], "device"]
    results = [document, *others]
    rows: list[str] = []
    for name in names:
        rows += [name, *[""] * (len(results) - 1)]
    series = [_bars(document, names, 0, len(results), BLUE)]
    for place, other in enumerate(others, 1):
        series.append(_bars(other, names, place, len(results), _OTHERS[(place - 1) % 4]))
    rows.append("baseline")
    series.append(Bars("1000 points", GREY, [len(rows) - 1], [0.0], [1000.0], ["baseline: 1000"]))
    return Plot("Latency scores", Axis("points; more is faster"), series=series, rows=rows)


def _bars(
    document: Mapping[str, Any], names: Sequence[str], place: int, stride: int, colour: str
) -> Bars:
    board = document["scores"].get("equal", {"models": {}, "device": {"latency": {}}})
    values = [
        board["device"]["latency"].get("score")
        if name == "device"
        else board["models"].get(name, {}).get("latency")
        for name in names
    ]
    known = [
        (at * stride + place, name, value)
        for at, (name, value) in enumerate(zip(names, values, strict=True))
        if value
    ]
    mark = "" if document["kind"] == "measured" else " (estimated)"
    label = f"{document['environment']['device']}{mark}"
    return Bars(
        label,
        colour,
        [row for row, _, _ in known],
        [0.0] * len(known),
        [value for _, _, value in known],
        [f"{label}, {name}: {value:,.0f}" for _, name, value in known],
    )


def phases_of(row: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """Loading, warming up and timed turns of a model: name, begin and end in ns."""
    phases: list[tuple[str, int, int]] = []
    begin, end = row.get("loaded_ns") or (None, None)
    if begin and end:
        phases.append(("load", begin, end))
    warm = row.get("warm") or {}
    if warm.get("begin_ns"):
        phases.append(("warm-up", warm["begin_ns"], warm["end_ns"]))
    phases += [("timed", turn["begin_ns"], turn["end_ns"]) for turn in row["turns"]]
    return sorted(phases, key=lambda phase: phase[1])


def telemetry_plots(row: Mapping[str, Any], traces: Sequence[Trace], device: str) -> Iterator[Plot]:
    """Utilisation, memory, power and clock of a device while a model ran, by phase.

    Models take turns, so the time axis holds a model's own phases without the pauses.
    """
    phases = phases_of(row)
    found = [trace.devices[device] for trace in traces if device in trace.devices]
    for channel, (title, unit) in _CHANNELS.items():
        series = list(_phase_lines(phases, found, channel, unit))
        if any(len(line.x) > 1 for line in series):
            yield Plot(
                f"{row['key']}: {title}",
                Axis("seconds of this model"),
                Axis(title),
                series,
                height_px=160,
            )


def _phase_lines(
    phases: Sequence[tuple[str, int, int]], traces: Sequence[DeviceTrace], channel: str, unit: float
) -> Iterator[Line]:
    places: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name, _ in _PHASES}
    passed = 0.0
    for name, begin, end in phases:
        for trace in traces:
            times, values = _power(trace) if channel == "power_w" else trace.known(channel)
            inside = (times >= begin) & (times <= end)
            xs, ys = places[name]
            xs += (passed + (times[inside] - begin) * 1e-9).tolist()
            ys += (values[inside] / unit).tolist()
        passed += (end - begin) * 1e-9
    for name, colour in _PHASES:
        xs, ys = places[name]
        step = max(1, len(xs) // _MOST_POINTS)
        if xs:
            yield Line(name, colour, xs[::step], ys[::step])


def _power(trace: DeviceTrace) -> tuple[np.ndarray, np.ndarray]:
    times, watts, _ = trace.power()
    return times, watts


def latency_plot(row: Mapping[str, Any], seconds: np.ndarray) -> Plot:
    """Distribution of the time of a unit, all but the slowest hundredth."""
    milliseconds = seconds[seconds <= np.percentile(seconds, 99)] * 1e3
    counts, edges = np.histogram(milliseconds, bins=_BINS)
    middle = (edges[1:] + edges[:-1]) / 2
    line = Line("samples", BLUE, middle, counts.astype(float), is_stepped=True)
    title = f"{row['key']}: time of {'an' if row['unit'][0] in 'ai' else 'a'} {row['unit']}"
    return Plot(title, Axis("ms"), Axis("samples"), [line], height_px=160)
