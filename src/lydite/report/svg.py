"""Plots as HTML and SVG that need no script and fit any width.

Places along the x axis are percentages, so text and dots keep their size when the page is narrow.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from markupsafe import escape

from lydite.report.plot import Axis, Bars, Dots, Line, Numbers, Plot
from lydite.units import format_si

_ROW_PX = 22
_TICKS_PX = 24
_WIDE = 1000
"""Units across the box that lines are drawn in, which is stretched to the area's width."""
_MOST_LABEL_CHARACTERS = 34
_ZOOMS = (1, 4, 16)


class _Scale:
    """Places of values along an axis, from 0 to `length`."""

    def __init__(self, axis: Axis, values: Iterable[Numbers], length: float) -> None:
        every = np.concatenate([np.asarray(each, float) for each in values] or [np.zeros(0)])
        every = every[np.isfinite(every) & ((every > 0) | (not axis.is_log))]
        self.is_log, self.length = axis.is_log, length
        low, high = (every.min(), every.max()) if every.size else (1.0, 10.0)
        if self.is_log:
            low, high = np.log10(low), np.log10(high)
            low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
        else:
            low, high = min(0.0, low), max(0.0, high)
            high = high if high > low else low + 1.0
        self.low, self.high = float(low), float(high)

    def places(self, values: Numbers) -> np.ndarray:
        """Where values stand."""
        given = np.asarray(values, float)
        if self.is_log:
            given = np.log10(np.maximum(given, 10.0**self.low))
        return (given - self.low) / (self.high - self.low) * self.length

    def ticks(self) -> list[float]:
        """Round values to mark, at most seven."""
        if self.is_log:
            first, last = int(np.ceil(self.low - 1e-9)), int(np.floor(self.high + 1e-9))
            if last - first < 1:
                return [10.0**self.low, 10.0**self.high]
            return [10.0**power for power in range(first, last + 1, 1 + (last - first) // 6)]
        width = self.high - self.low
        step = 10.0 ** np.floor(np.log10(width / 5))
        step *= next(factor for factor in (1, 2, 5, 10) if width / (step * factor) <= 6)
        first, last = int(np.ceil(self.low / step)), int(np.floor(self.high / step))
        return [float(step * number) for number in range(first, last + 1)]


def html_of(plot: Plot, number: int = 0) -> str:
    """A plot as a `figure` element; `number` tells it from the page's other plots."""
    height = _ROW_PX * len(plot.rows) if plot.rows else plot.height_px
    x = _Scale(plot.x, _along(plot, "x"), 100.0)
    y = _Scale(plot.y, _along(plot, "y"), height)
    drawn = [_ticks(x, height)]
    if plot.rows:
        names = _row_names(plot, height)
    else:
        names = _y_ticks(y, height)
        drawn.append(_grid(y, height))
    drawn += [_series(each, x, y, height) for each in plot.series]
    key = "".join(
        f'<li><i style="background:{escape(each.colour)}"></i>{escape(each.name)}</li>'
        for each in plot.series
    )
    axis = f'<p class="axis">{escape(plot.y.title)}</p>' if plot.y.title else ""
    return (
        f'<figure class="plot"><figcaption>{escape(plot.title)}</figcaption>'
        f'<ul class="key">{key}</ul>{_zoom(number) if plot.can_zoom else ""}{axis}'
        f'<div class="area">{names}<div class="scroll">'
        f'<svg width="100%" height="{height + _TICKS_PX}">{"".join(drawn)}</svg></div></div>'
        f'<p class="axis x">{escape(plot.x.title)}</p></figure>'
    )


def _along(plot: Plot, axis: str) -> list[Numbers]:
    """All values that have to be seen along an axis."""
    values: list[Numbers] = []
    for each in plot.series:
        if isinstance(each, Bars):
            if axis == "x":
                values += [each.start, np.asarray(each.start, float) + np.asarray(each.span, float)]
        elif axis == "x":
            values.append(each.x)
        else:
            values.append(each.y)
            if isinstance(each, Dots):
                values += [each.low, each.high]
    return values


def _zoom(number: int) -> str:
    choices = "".join(
        f'<label><input type="radio" name="zoom{number}" value="{factor}"'
        f"{' checked' if factor == 1 else ''}>{factor}&times;</label>"
        for factor in _ZOOMS
    )
    return f'<p class="zoom">stretched {choices}</p>'


def _row_names(plot: Plot, height: int) -> str:
    return _beside(
        ((name, _ROW_PX * (row + 0.5)) for row, name in enumerate(plot.rows)),
        max(len(name) for name in plot.rows),
        height,
    )


def _y_ticks(y: _Scale, height: int) -> str:
    ticks = [(_short(value), height - float(y.places([value])[0])) for value in y.ticks()]
    return _beside(ticks, max(len(text) for text, _ in ticks), height)


def _beside(texts: Iterable[tuple[str, float]], characters: int, height: int) -> str:
    """Texts beside the area, each at its height in pixels."""
    width = min(characters, _MOST_LABEL_CHARACTERS) * 0.6 + 0.8
    spans = "".join(
        f'<span style="top:{place:.4g}px" title="{escape(text)}">{escape(text)}</span>'
        for text, place in texts
    )
    return f'<div class="names" style="width:{width:.3g}em;height:{height}px">{spans}</div>'


def _ticks(x: _Scale, height: int) -> str:
    marks = []
    for value in x.ticks():
        place = float(x.places([value])[0])
        anchor = "start" if place < 2 else "end" if place > 98 else "middle"
        marks.append(
            f'<line x1="{place:.4g}%" x2="{place:.4g}%" y1="0" y2="{height}" class="grid"/>'
            f'<text x="{place:.4g}%" y="{height + 16}" text-anchor="{anchor}">'
            f"{_short(value)}</text>"
        )
    return "".join(marks)


def _grid(y: _Scale, height: int) -> str:
    places = [height - float(y.places([value])[0]) for value in y.ticks()]
    return "".join(
        f'<line x1="0" x2="100%" y1="{place:.4g}" y2="{place:.4g}" class="grid"/>'
        for place in places
    )


def _series(each: Bars | Line | Dots, x: _Scale, y: _Scale, height: int) -> str:
    if isinstance(each, Bars):
        return _bars(each, x)
    if isinstance(each, Line):
        return _line(each, x, y, height)
    return _dots(each, x, y, height)


def _bars(bars: Bars, x: _Scale) -> str:
    starts = x.places(bars.start)
    spans = x.places(np.asarray(bars.start, float) + np.asarray(bars.span, float)) - starts
    drawn = [
        f'<rect x="{start:.6g}%" width="{span:.5g}%" y="{_ROW_PX * int(row) + 2}" '
        f'height="{_ROW_PX - 4}">'
        f"<title>{escape(text)}</title></rect>"
        for row, start, span, text in zip(bars.row, starts, spans, bars.hover, strict=True)
        if span > 0
    ]
    colour = escape(bars.colour)
    return f'<g class="bars" fill="{colour}" stroke="{colour}">{"".join(drawn)}</g>'


def _line(line: Line, x: _Scale, y: _Scale, height: int) -> str:
    across, up = x.places(line.x) / 100 * _WIDE, height - y.places(line.y)
    known = np.isfinite(across) & np.isfinite(up)
    across, up = across[known], up[known]
    if line.is_stepped:
        across, up = np.repeat(across, 2)[1:], np.repeat(up, 2)[:-1]
    points = " ".join(f"{at:.5g},{to:.5g}" for at, to in zip(across, up, strict=True))
    dashes = ' stroke-dasharray="6 4"' if line.is_dashed else ""
    return (
        f'<svg viewBox="0 0 {_WIDE} {height}" width="100%" height="{height}" '
        f'preserveAspectRatio="none"><polyline points="{points}" '
        f'stroke="{escape(line.colour)}"{dashes}/></svg>'
    )


def _dots(dots: Dots, x: _Scale, y: _Scale, height: int) -> str:
    across, up = x.places(dots.x), height - y.places(dots.y)
    drawn = []
    if len(dots.low):
        ends = zip(across, height - y.places(dots.low), height - y.places(dots.high), strict=True)
        drawn += [
            f'<line x1="{at:.5g}%" x2="{at:.5g}%" y1="{low:.4g}" y2="{high:.4g}" '
            f'stroke="{escape(dots.colour)}"/>'
            for at, low, high in ends
        ]
    drawn += [
        f'<circle cx="{at:.5g}%" cy="{to:.5g}" r="5"><title>{escape(text)}</title></circle>'
        for at, to, text in zip(across, up, dots.hover, strict=True)
        if np.isfinite(at) and np.isfinite(to)
    ]
    if dots.labels:
        drawn += [
            f'<text x="{at:.5g}%" y="{to + 18:.5g}" text-anchor="{"end" if at > 50 else "start"}">'
            f"{escape(text)}</text>"
            for at, to, text in zip(across, up, dots.labels, strict=True)
        ]
    return f'<g class="dots" fill="{escape(dots.colour)}">{"".join(drawn)}</g>'


def _short(value: float) -> str:
    """A tick's value in few characters."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4g}"
    number, _, prefix = format_si(value, "").partition(" ")
    return f"{float(number):g} {prefix}".strip()
