"""Charts: numbers and labels for the one script that draws them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np
from markupsafe import Markup

from lydite.records import dataclass

MOST_POINTS = 4000
FRONTS = {
    "": "none",
    "min-min": "least x, least y",
    "min-max": "least x, most y",
    "max-min": "most x, least y",
    "max-max": "most x, most y",
}
"""Directions of a Pareto front."""


@dataclass(frozen=True, slots=True)
class Series:
    """Values of y for every x of the chart; None where there is none.

    Attributes:
        label: Name.
        values: One value for each x.
        style: "points", "line" or "bars".
    """

    label: str
    values: Sequence[float | None]
    style: str = "points"


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on the x axis with its interval, and what it is."""

    x: float
    label: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """Series over common values of x.

    Attributes:
        caption: What it shows.
        x_label, y_label: Names of the axes.
        x: Values in ascending order.
        series: Values of y.
        x_unit, y_unit: SI units such as "s"; "" for plain numbers.
        x_log, y_log: Whether an axis is logarithmic.
        labels: What to show of the point nearest to the pointer, for each x; () for nothing.
        marks: Places on the x axis.
    """

    caption: str
    x_label: str
    y_label: str
    x: Sequence[float]
    series: Sequence[Series]
    x_unit: str = ""
    y_unit: str = ""
    x_log: bool = False
    y_log: bool = False
    labels: Sequence[str] = ()
    marks: Sequence[Mark] = ()
    kind: str = field(default="chart", init=False)

    def data(self) -> Markup:
        """The chart as JSON that may stand inside a script element of a page."""
        record = {
            "x": _rounded(self.x),
            "series": [
                {"label": s.label, "values": _rounded(s.values), "style": s.style}
                for s in self.series
            ],
            "xUnit": self.x_unit,
            "yUnit": self.y_unit,
            "xLabel": self.x_label,
            "yLabel": self.y_label,
            "xLog": self.x_log,
            "yLog": self.y_log,
            "labels": list(self.labels),
            "marks": [{"x": m.x, "low": m.low, "high": m.high} for m in self.marks],
        }
        return script_json(record)


def script_json(value: Any) -> Markup:
    """JSON that may stand inside a script element of a page."""
    text = json.dumps(value, separators=(",", ":"))
    # So that no text ends the element or begins a comment (HTML, 4.12.1.3).
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def scatter(
    rows: Sequence[Mapping[str, Any]],
    x: str,
    y: str,
    *,
    caption: str,
    front: str = "",
    logs: tuple[bool, bool] = (False, False),
    series: Sequence[Series] = (),
) -> Chart:
    """Two columns of rows as points, each with its row as label.

    Rows without both numbers, or not positive on a logarithmic axis, are left out.

    Args:
        rows: At most 4,000 are drawn.
        x, y: Names of columns.
        caption: What it shows.
        front: Key of `FRONTS`.
        logs: Whether x and y are logarithmic.
        series: More series, over the sorted x of the rows that are drawn.
    """
    fit = [row for row in rows if _fits(row.get(x), logs[0]) and _fits(row.get(y), logs[1])]
    fit = sorted(fit[:MOST_POINTS], key=lambda row: (row[x], row[y]))
    xs, ys = [row[x] for row in fit], [row[y] for row in fit]
    drawn = [Series(y, ys)]
    if front:
        best = pareto(np.array(xs, float), np.array(ys, float), front)
        values = [value if kept else None for value, kept in zip(ys, best.tolist(), strict=True)]
        drawn.append(Series("Pareto front", values, "line"))
    units = (unit_of(x), unit_of(y))
    labels = [label_of(row) for row in fit]
    return Chart(caption, x, y, xs, [*drawn, *series], *units, *logs, labels=labels)


def pareto(x: np.ndarray, y: np.ndarray, front: str) -> np.ndarray:
    """Which points no other beats in both directions; bool[n].

    Args:
        x, y: Coordinates, float64[n].
        front: "min-max" for least x and most y, and so on.
    """
    x_sign, y_sign = (1.0 if word == "min" else -1.0 for word in front.split("-"))
    x, y = x * x_sign, y * y_sign
    order = np.lexsort((y, x))
    kept = np.zeros(x.size, bool)
    least = math.inf
    for place in order.tolist():
        if y[place] < least:
            least = float(y[place])
            kept[place] = True
    # Points equal to one that is kept are as good.
    pairs = set(zip(x[kept].tolist(), y[kept].tolist(), strict=True))
    return np.array([pair in pairs for pair in zip(x.tolist(), y.tolist(), strict=True)], bool)


def unit_of(name: str) -> str:
    """SI unit of a column by the end of its name; "" for plain numbers."""
    ends = {
        "flops_per_s": "FLOP/s",
        "bytes_per_s": "B/s",
        "_per_s": "/s",
        "seconds": "s",
        "_s": "s",
        "_bytes": "B",
        "bytes_moved": "B",
        "_j": "J",
        "_w": "W",
        "_hz": "Hz",
        "flops": "FLOP",
    }
    return next((unit for end, unit in ends.items() if name.endswith(end)), "")


def label_of(row: Mapping[str, Any]) -> str:
    """The row in a line."""
    from lydite.report.view import shown

    parts = [
        f"{name} {shown(name, value).text}"
        for name, value in row.items()
        if value is not None and not isinstance(value, dict | list)
    ]
    return ", ".join(parts[:14])


def _fits(value: Any, is_log: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return value > 0 or not is_log


def _rounded(values: Sequence[float | None]) -> list[float | None]:
    """Six digits are more than a screen shows."""
    return [None if value is None else float(f"{value:.6g}") for value in values]
