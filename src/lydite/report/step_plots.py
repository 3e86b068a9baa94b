"""Plots of a step: timeline, breakdown of the time, memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import cycle, pairwise

import numpy as np

from lydite.cluster.live import Course
from lydite.cluster.program import CATEGORIES
from lydite.cluster.step_result import StepResult
from lydite.engine import Timeline
from lydite.records import dataclass
from lydite.report import plot
from lydite.report.plot import Axis, Line, Plot
from lydite.units import format_bytes

COLOURS = {
    "forward": "#3366cc",
    "backward": "#109618",
    "weights": "#66aa00",
    "recompute": "#0099c6",
    "optimizer": "#990099",
    "tensor": "#ff9900",
    "data": "#dc3912",
    "pipeline": "#b82e2e",
    "bubble": "#dddddd",
}
_OTHER = "#888888"
_HIDDEN = "#f4b6a8"
_STAGES = ("#3366cc", "#dc3912", "#ff9900", "#109618", "#990099", "#0099c6", "#dd4477", "#66aa00")
MOST_BARS = 4000
MOST_PLACES = 8
MOST_POINTS = 2000


@dataclass(frozen=True)
class Bars:
    """Bars of a timeline, one entry per bar, ordered by row and start.

    Attributes:
        rows: Names of the rows, from top to bottom.
        row, category: Row and category of each bar, as indices of `rows` and `CATEGORIES`.
        start_s, span_s: Start and duration of each bar in seconds.
        names: Label of each bar.
        window_s: Tasks of one row and category that begin within this many seconds are merged into
            one bar; 0 if none are.
        hidden: Number of stages or ranks left out.
    """

    rows: Sequence[str]
    row: np.ndarray
    category: np.ndarray
    start_s: np.ndarray
    span_s: np.ndarray
    names: Sequence[str]
    window_s: float
    hidden: int


def bars_of(result: StepResult, most: int = MOST_BARS) -> Bars:
    """Bars of a step's timeline, one per task; tasks are merged to keep the number below `most`.

    A merged bar is as long as its tasks together and starts with the first of them, so that every
    stream shows the right total for each category; its position is off by at most the window.
    """
    tasks = result.played.tasks
    names, hidden = _row_names(result)
    rows = [name for name in dict.fromkeys(names) if name]
    number = {name: at for at, name in enumerate(rows)}
    row_of = np.array([number.get(name, -1) for name in names])
    row = row_of[tasks.resource * len(CATEGORIES) + tasks.category]
    return bars_in_rows(result.timeline, rows, row, most, hidden)


def bars_in_rows(
    timeline: Timeline, rows: Sequence[str], row: np.ndarray, most: int = MOST_BARS, hidden: int = 0
) -> Bars:
    """Bars of any timeline; see `bars_of`.

    Args:
        timeline: Timeline whose tasks have names and categories.
        rows: Names of rows, from top to bottom; rows without bars are left out.
        row: Index in `rows` of each task; -1 for tasks that are not drawn.
        most: Maximum number of bars.
        hidden: Number of rows that the caller has left out.
    """
    tasks, seconds = timeline.tasks, timeline.makespan_ps * 1e-12
    chosen = np.flatnonzero((timeline.span_ps > 0) & (row >= 0))
    chosen = chosen[np.lexsort((timeline.start_ps[chosen], row[chosen]))]
    row, category = row[chosen], tasks.category[chosen]
    start, span = timeline.start_ps[chosen] * 1e-12, timeline.span_ps[chosen] * 1e-12
    if len(chosen) <= most:
        labels = [tasks.names[int(task)] for task in chosen]
        return _without_empty(Bars(rows, row, category, start, span, labels, 0.0, hidden))
    window = seconds * len(rows) / (4 * most)
    while True:
        joined = _joined(row, category, start, span, window)
        if len(joined[0]) <= most or window > seconds:
            break
        window *= 1.25
    at, span, counts = joined
    labels = [
        f"{count} tasks" if count > 1 else tasks.names[int(chosen[first])]
        for first, count in zip(at.tolist(), counts.tolist(), strict=True)
    ]
    start = _laid_out(row[at], start[at], span, window)
    return _without_empty(Bars(rows, row[at], category[at], start, span, labels, window, hidden))


def _row_names(result: StepResult) -> tuple[list[str], int]:
    """Row names by server and category ("" for none), and the number of places without a row.

    What a compute stream waits for is drawn on a row below it.
    """
    servers = [name.rpartition(" ") for name in result.played.server_names]
    places = list(dict.fromkeys(place for place, _, _ in servers))
    shown = set(places[:: -(-len(places) // MOST_PLACES)])
    names = [
        f"{place} {'tensor' if category == 'tensor' else stream}" if place in shown else ""
        for place, _, stream in servers
        for category in CATEGORIES
    ]
    return names, len(places) - len(shown)


def _joined(
    row: np.ndarray, category: np.ndarray, start: np.ndarray, span: np.ndarray, window: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First task, total span and number of tasks of each (row, window, category)."""
    keys = np.stack([row, np.floor(start / window).astype(np.int64), category])
    _, first, group = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    group = group.ravel()
    order = np.argsort(first, kind="stable")
    spans, counts = np.bincount(group, span), np.bincount(group)
    return first[order], spans[order], counts[order]


def _laid_out(row: np.ndarray, start: np.ndarray, span: np.ndarray, window: float) -> np.ndarray:
    """Starting times at which the bars of one window and row do not overlap."""
    laid = start.copy()
    place = np.floor(start / window)
    for at in range(1, len(start)):
        if row[at] == row[at - 1] and place[at] == place[at - 1]:
            laid[at] = max(start[at], laid[at - 1] + span[at - 1])
    return laid


def _without_empty(bars: Bars) -> Bars:
    used, row = np.unique(bars.row, return_inverse=True)
    return replace(bars, rows=[bars.rows[at] for at in used.tolist()], row=row)


def timeline_plot(
    bars: Bars,
    categories: Sequence[str] = CATEGORIES,
    colours: Mapping[str, str] = COLOURS,
    title: str = "Timeline (modelled)",
) -> Plot:
    """One bar per task, one row per stream, one colour per category."""
    series = []
    for number, category in enumerate(categories):
        selected = np.flatnonzero(bars.category == number)
        if not selected.size:
            continue
        spans = bars.span_s[selected] * 1e3
        texts = [
            f"{bars.names[at]}: {category}, {span:.4g} ms"
            for at, span in zip(selected.tolist(), spans, strict=True)
        ]
        start = bars.start_s[selected] * 1e3
        colour = colours.get(category, _OTHER)
        series.append(plot.Bars(category, colour, bars.row[selected], start, spans, texts))
    return Plot(title, Axis("milliseconds"), series=series, rows=bars.rows, can_zoom=True)


def breakdown_plot(parts: Mapping[str, tuple[str, float]], hidden_s: float) -> Plot:
    """Stacked bar of a step's parts (category -> title, seconds), beside hidden communication."""
    rows = ["the step", "behind computation"] if hidden_s > 0 else ["the step"]
    spans = [
        (title, COLOURS.get(category, _OTHER), [1e3 * seconds, 0.0][: len(rows)])
        for category, (title, seconds) in parts.items()
    ]
    if hidden_s > 0:
        spans.append(("hidden communication", _HIDDEN, [0.0, 1e3 * hidden_s]))
    return Plot(
        "Where the step goes, mean over the stages (modelled)",
        Axis("milliseconds"),
        series=plot.stacked(spans, rows, "ms"),
        rows=rows,
    )


def memory_plot(courses: Mapping[int, Course], capacity_bytes: float) -> Plot:
    """Memory in bytes over the step on one rank of each given stage, with the device's capacity."""
    series = []
    for (stage, course), colour in zip(courses.items(), cycle(_STAGES)):
        seconds, held = thinned(course.seconds, course.bytes)
        series.append(Line(f"stage {stage}", colour, seconds * 1e3, held / 2**30, is_stepped=True))
    ends = [0.0, max(float(course.seconds[-1]) for course in courses.values()) * 1e3]
    capacity = f"a device has {format_bytes(capacity_bytes)}"
    series.append(Line(capacity, "#444444", ends, [capacity_bytes / 2**30] * 2, is_dashed=True))
    return Plot("Memory over the step (modelled)", Axis("milliseconds"), Axis("GiB"), series)


def thinned(
    seconds: np.ndarray, values: np.ndarray, most: int = MOST_POINTS
) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` points: minimum and maximum of each window, plus the first and last point."""
    if len(seconds) <= most:
        return seconds, values
    edges = np.linspace(0, len(values), most // 2, dtype=int)
    keep = {0, len(values) - 1}
    for begin, end in pairwise(edges.tolist()):
        part = values[begin:end]
        keep |= {int(begin + part.argmin()), int(begin + part.argmax())}
    chosen = sorted(keep)
    return seconds[chosen], values[chosen]
