"""Plots of the demo's page: roofline, time by operator type, predictions beside measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lydite.estimate import Point
from lydite.hardware import Device
from lydite.report.plot import Axis, Dots, Line, Plot, stacked
from lydite.units import format_seconds, format_si

_COLOURS = (
    "#3366cc",
    "#dc3912",
    "#ff9900",
    "#109618",
    "#990099",
    "#0099c6",
    "#dd4477",
    "#66aa00",
    "#b82e2e",
    "#316395",
)
_OTHER = "#aaaaaa"
_MOST_TYPES = 9
_ROOF = "#444444"


def roofline(
    device: Device, threads: int, dots: Sequence[tuple[str, str, float, float, float]]
) -> Plot:
    """Roofline of the device with every operator.

    Args:
        device: Device whose peak and bandwidth make the roof.
        threads: Number of cores in use.
        dots: One tuple per operator with work: (model, label, FLOP per byte, FLOP/s, seconds).
    """
    share = min(1.0, threads / device.units) if device.kind == "cpu" else 1.0
    peak, bandwidth = device.peak("float32", threads), device.memory_bandwidth * share
    low = min([0.05, *(d[2] for d in dots if d[2] > 0)]) / 2
    high = max([1000.0, *(d[2] for d in dots)]) * 2
    series: list[Line | Dots] = [roof(peak, bandwidth, low, high, "FLOP/s")]
    for number, model in enumerate(dict.fromkeys(d[0] for d in dots)):
        points = [d for d in dots if d[0] == model and d[2] > 0]
        texts = [
            f"{label}: {format_seconds(seconds)}, {format_si(rate, 'FLOP/s')}, "
            f"{intensity:.2f} FLOP/B"
            for _, label, intensity, rate, seconds in points
        ]
        colour = _COLOURS[number % len(_COLOURS)]
        series.append(Dots(model, colour, [d[2] for d in points], [d[3] for d in points], texts))
    return Plot(
        "Roofline: every operator that ran",
        Axis("arithmetic intensity, FLOP per byte", is_log=True),
        Axis("FLOP/s", is_log=True),
        series,
    )


def roof(peak: float, bandwidth: float, low: float, high: float, unit: str) -> Line:
    """The most that a rate can be, between two intensities.

    Args:
        peak: Peak rate, in `unit`.
        bandwidth: Bytes/s.
        low, high: Intensities at the ends, in work per byte.
        unit: Unit of the rate, such as "FLOP/s".
    """
    knee = peak / bandwidth
    x = np.array([low, *([knee] if low < knee < high else []), high])
    name = f"roof: {format_si(peak, unit)}, {format_si(bandwidth, 'B/s')}"
    return Line(name, _ROOF, x, np.minimum(peak, x * bandwidth))


def time_by_type(times: Mapping[str, Mapping[str, float]]) -> Plot:
    """Stacked bars: seconds by operator type, one bar per model (model -> type -> seconds)."""
    totals: dict[str, float] = {}
    for by_type in times.values():
        for op_type, seconds in by_type.items():
            totals[op_type] = totals.get(op_type, 0.0) + seconds
    ordered = sorted(totals, key=lambda op_type: -totals[op_type])
    spans = [
        (op_type, colour, [1e3 * by_type.get(op_type, 0.0) for by_type in times.values()])
        for op_type, colour in zip(ordered[:_MOST_TYPES], _COLOURS, strict=False)
    ]
    rest = ordered[_MOST_TYPES:]
    if rest:
        others = [
            1e3 * sum(by_type.get(op_type, 0.0) for op_type in rest) for by_type in times.values()
        ]
        spans.append(("other", _OTHER, others))
    series = stacked(spans, list(times), "ms")
    return Plot("Time by operator type", Axis("milliseconds"), series=series, rows=list(times))


def predicted_against_measured(points: Sequence[Point]) -> Plot:
    """Predicted over measured, with the 90 % interval; the diagonal is exact."""
    ends = [min(p.measured for p in points) * 0.6e3, max(p.measured for p in points) * 1.6e3]
    models = Dots(
        "models with 90 % interval",
        _COLOURS[0],
        [1e3 * p.measured for p in points],
        [1e3 * p.predicted for p in points],
        [f"{p.name}: {100 * p.error:+.1f} %" for p in points],
        [1e3 * min(p.low, p.predicted) for p in points],
        [1e3 * max(p.high, p.predicted) for p in points],
        [p.name for p in points],
    )
    return Plot(
        "Predicted against measured",
        Axis("measured, ms", is_log=True),
        Axis("predicted, ms", is_log=True),
        [Line("exact", "#888888", ends, ends, is_dashed=True), models],
    )
