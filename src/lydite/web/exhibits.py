"""The tables and charts that a document declares (`lydite.exhibits`), as components."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np

from lydite.exhibits import Found, value_at
from lydite.report.view import Cell, Table, Text, has_format, shown
from lydite.web.chart import FRONTS, MOST_POINTS, Chart, Mark, Series, label_of, pareto, unit_of

Link = Callable[..., str]
"""URL of an exhibit: from its number, its place and parameters such as `start` and `chart`."""

ROWS = 100
ROWS_FIRST = 25
MOST_TABLES = 20
MOST_LINKS = 500


def table(
    found: Found, link: Link, *, start: int = 0, size: int = ROWS_FIRST, is_drawn: bool = False
) -> Table:
    """Rows of an exhibit, from some row on, with links to the others and to its chart."""
    rows = [_row(found, row) for row in found.rows[start : start + size]]
    links: list[Cell] = []
    if start:
        links.append(Cell("Previous rows", _to(found, link, start=max(0, start - ROWS) or "")))
    if start + size < len(found.rows):
        follows = start + size if size == ROWS else ""
        words = "Next" if size == ROWS else "All"
        links.append(Cell(f"{words} of {len(found.rows):,} rows", _to(found, link, start=follows)))
    if can_draw(found) and not is_drawn:
        links.append(Cell(f"Chart of {found.caption}", _to(found, link, chart="1")))
    return Table(found.caption, list(found.columns.values()), rows, links)


def tables(shows: Sequence[Found], link: Link) -> list[Any]:
    """The first exhibits as tables, and links to the others, each on a page of its own."""
    blocks: list[Any] = [table(found, link) for found in shows[:MOST_TABLES]]
    others = shows[MOST_TABLES : MOST_TABLES + MOST_LINKS]
    if others:
        links = [Cell(found.caption, _to(found, link)) for found in others]
        blocks.append(Text(f"{len(shows) - MOST_TABLES:,} more tables:", links))
    return blocks


def page(found: Found, link: Link, *, start: int, is_drawn: bool) -> list[Any]:
    """An exhibit on its own: its chart if it is asked for, then its rows."""
    blocks: list[Any] = []
    if is_drawn and can_draw(found):
        blocks.append(chart(found))
        blocks += [Text(f"{mark.label}.") for mark in _marks(found)]
    return [*blocks, table(found, link, start=start, size=ROWS, is_drawn=is_drawn)]


def can_draw(found: Found) -> bool:
    """Whether the exhibit has a chart with two points."""
    curve = found.declared["curve"]
    return curve is not None and sum(_is_number(row.get(curve["x"])) for row in found.rows) >= 2


def chart(found: Found) -> Chart:
    """The chart of an exhibit that has one; rows without x are left out."""
    curve = found.declared["curve"]
    assert curve is not None
    x, log = curve["x"], curve["log"]
    rows = [row for row in found.rows if _fits(row.get(x), "x" in log)][:MOST_POINTS]
    rows.sort(key=lambda row: row[x])
    xs = [row[x] for row in rows]
    styles = {name: style for name, style in curve["y"] if name in found.columns}
    series = [
        Series(found.columns[name], _values(rows, name, "y" in log), _style(style))
        for name, style in styles.items()
    ]
    if curve["front"] in FRONTS and curve["front"] and series:
        series.append(_front(xs, series[0].values, curve["front"]))
    y = next(iter(styles), "")
    return Chart(
        found.caption,
        found.columns.get(x, x),
        found.columns.get(y, y),
        xs,
        series,
        unit_of(unit_name(x)),
        unit_of(unit_name(y)),
        "x" in log,
        "y" in log,
        [label_of({found.columns.get(n, n): v for n, v in row.items()}) for row in rows],
        _marks(found),
    )


def cell(name: str, value: Any, good: Mapping[str, Any], href: str = "") -> Cell:
    """A value of a column; the end of a name tells the unit, and `good` the tone."""
    if isinstance(value, list):
        plain = not any(isinstance(item, dict | list) for item in value)
        value = ", ".join(map(str, value)) if plain else f"{len(value):,} entries"
    elif isinstance(value, dict):
        value = ", ".join(f"{inner} {item}" for inner, item in value.items())
    made = shown(unit_name(name), value, href)
    if name not in good or value is None:
        return made
    tone = "good" if value == good[name] else "bad"
    return Cell(made.text, made.href, made.value, made.is_number, tone)


def unit_name(path: str) -> str:
    """The part of "latency_s.p99" that tells the unit."""
    parts = path.split(".")
    return next((part for part in reversed(parts) if has_format(part)), parts[-1])


def _row(found: Found, row: Mapping[str, Any]) -> list[Cell]:
    value = found.declared["value"]
    return [
        cell(value if value and place else name, row.get(name), found.declared["good"])
        if row.get(name) is not None
        else Cell("")
        for place, name in enumerate(found.columns)
    ]


def _to(found: Found, link: Link, **given: Any) -> str:
    return link(show=found.number, at=found.place, **given)


def _values(rows: Sequence[Mapping[str, Any]], name: str, is_log: bool) -> list[float | None]:
    return [row[name] if _fits(row.get(name), is_log) else None for row in rows]


def _front(xs: Sequence[float], ys: Sequence[float | None], front: str) -> Series:
    known = [at for at, y in enumerate(ys) if y is not None]
    best = pareto(np.array([xs[at] for at in known]), np.array([ys[at] for at in known]), front)
    values: list[float | None] = [None] * len(xs)
    for at, is_kept in zip(known, best.tolist(), strict=True):
        values[at] = ys[at] if is_kept else None
    return Series("Pareto front", values, "line")


def _marks(found: Found) -> list[Mark]:
    curve = found.declared["curve"]
    if curve is None or not _is_number(at := value_at(found.around, curve["mark"])):
        return []
    low, high = (value_at(found.around, curve[end]) for end in ("low", "high"))
    name = curve["mark"].replace("_", " ")
    label = f"{name} {shown(unit_name(curve['x']), at).text}"
    if _is_number(low) and _is_number(high):
        ends = [shown(unit_name(curve["x"]), end).text for end in (low, high)]
        level = found.around.get("confidence")
        share = f"{100 * float(level):g} % " if _is_number(level) and level else ""
        return [Mark(at, f"{label}, {share}interval {ends[0]} to {ends[1]}", low, high)]
    return [Mark(at, label)]


def _style(text: str) -> str:
    return text if text in ("points", "line", "bars") else "points"


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _fits(value: Any, is_log: bool) -> bool:
    return _is_number(value) and (value > 0 or not is_log)
