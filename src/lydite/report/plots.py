"""Plots of reports, as plotly figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lydite.errors import MissingExtra
from lydite.estimate import Point
from lydite.hardware import Device
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
Figure = Any


def graph_objects() -> Any:
    """Plotly's module of figures.

    Raises:
        MissingExtra: plotly is not installed.
    """
    try:
        import plotly.graph_objects as go
    except ImportError:
        raise MissingExtra("plotly", "report") from None
    return go


def roofline(
    device: Device, threads: int, dots: Sequence[tuple[str, str, float, float, float]]
) -> Figure:
    """Roofline of the device with every operator.

    Args:
        device: Device whose peak and bandwidth make the roof.
        threads: Number of cores in use.
        dots: One tuple per operator with work: (model, label, FLOP per byte, FLOP/s, seconds).
    """
    go = graph_objects()
    share = min(1.0, threads / device.units) if device.kind == "cpu" else 1.0
    peak, bandwidth = device.peak("float32", threads), device.memory_bandwidth * share
    figure = go.Figure()
    low = min([0.05, *(d[2] for d in dots if d[2] > 0)]) / 2
    high = max([1000.0, *(d[2] for d in dots)]) * 2
    x = np.geomspace(low, high, 200)
    figure.add_scatter(
        x=x,
        y=np.minimum(peak, x * bandwidth),
        mode="lines",
        line={"color": "#444", "width": 2},
        name=f"roof: {format_si(peak, 'FLOP/s')}, {format_si(bandwidth, 'B/s')}",
        hoverinfo="skip",
    )
    for number, model in enumerate(dict.fromkeys(d[0] for d in dots)):
        points = [d for d in dots if d[0] == model and d[2] > 0]
        figure.add_scatter(
            x=[d[2] for d in points],
            y=[d[3] for d in points],
            mode="markers",
            name=model,
            marker={"color": _COLOURS[number % len(_COLOURS)], "size": 8, "opacity": 0.75},
            text=[
                f"{d[1]}<br>{format_seconds(d[4])}, {format_si(d[3], 'FLOP/s')}, {d[2]:.2f} FLOP/B"
                for d in points
            ],
            hoverinfo="text",
        )
    figure.update_xaxes(type="log", title="arithmetic intensity, FLOP per byte")
    figure.update_yaxes(type="log", title="FLOP/s", exponentformat="SI")
    return styled(figure, "Roofline: every operator that ran")


def time_by_type(times: Mapping[str, Mapping[str, float]]) -> Figure:
    """Stacked bars: seconds by operator type, one bar per model (model -> type -> seconds)."""
    go = graph_objects()
    totals: dict[str, float] = {}
    for per_type in times.values():
        for op_type, seconds in per_type.items():
            totals[op_type] = totals.get(op_type, 0.0) + seconds
    figure = go.Figure()
    ordered = sorted(totals, key=lambda op_type: -totals[op_type])
    for number, op_type in enumerate(ordered[:9]):
        figure.add_bar(
            name=op_type,
            y=list(times),
            orientation="h",
            x=[1e3 * times[m].get(op_type, 0.0) for m in times],
            marker_color=_COLOURS[number],
        )
    if ordered[9:]:
        figure.add_bar(
            name="other",
            y=list(times),
            orientation="h",
            marker_color="#aaa",
            x=[1e3 * sum(times[m].get(op_type, 0.0) for op_type in ordered[9:]) for m in times],
        )
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title="milliseconds")
    return styled(figure, "Time by operator type", height=120 + 90 * len(times))


def predicted_against_measured(points: Sequence[Point]) -> Figure:
    """Predicted over measured, with the 90 % interval as an error bar; the diagonal is exact."""
    go = graph_objects()
    figure = go.Figure()
    ends = [min(p.measured for p in points) * 0.6e3, max(p.measured for p in points) * 1.6e3]
    figure.add_scatter(
        x=ends,
        y=ends,
        mode="lines",
        line={"color": "#888", "dash": "dash"},
        name="exact",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[1e3 * p.measured for p in points],
        y=[1e3 * p.predicted for p in points],
        error_y={
            "type": "data",
            "array": [1e3 * max(0.0, p.high - p.predicted) for p in points],
            "arrayminus": [1e3 * max(0.0, p.predicted - p.low) for p in points],
        },
        mode="markers+text",
        text=[p.name for p in points],
        textposition="bottom right",
        marker={"size": 11, "color": _COLOURS[0]},
        name="models with 90 % interval",
        hovertext=[f"{p.name}: {100 * p.error:+.1f} %" for p in points],
        hoverinfo="text",
    )
    figure.update_xaxes(type="log", title="measured, ms")
    figure.update_yaxes(type="log", title="predicted, ms")
    return styled(figure, "Predicted against measured")


def styled(figure: Figure, title: str, height: int = 520) -> Figure:
    """Apply a title, a height in pixels and the common style to a figure."""
    figure.update_layout(
        title=title,
        template="plotly_white",
        height=height,
        margin={"l": 70, "r": 20, "t": 60},
        legend={"orientation": "h", "y": -0.2},
        font={"family": "system-ui, sans-serif"},
    )
    return figure
