"""Timelines that lie as files in a folder: a list of them, and one with its rows in a window."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from threading import Lock

import numpy as np

from lydite.api.dashboard import NoSuchRecord
from lydite.errors import InputError
from lydite.report import Levels, read_levels
from lydite.report.view import Bars, Cell, Table, Text, View, shown
from lydite.units import format_percent
from lydite.web.chart import script_json
from lydite.web.pages.parameters import needed, whole
from lydite.web.urls import Urls

MOST_KEPT = 4
MOST_ROWS = 256
_LATEST_PS = 2**49


class Shelf:
    """The .npz files of a folder; the last four that were opened stay in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: OrderedDict[tuple[str, float], Levels] = OrderedDict()
        self._lock = Lock()
        if not folder.is_dir():
            raise InputError("is not a folder", where=str(folder))

    def names(self) -> list[str]:
        """Names of the files, in order."""
        return sorted(path.name for path in self.folder.glob("*.npz") if path.is_file())

    def levels(self, name: str) -> Levels:
        """A timeline.

        Raises:
            NoSuchRecord: the folder has no such file.
            InputError: the file is no timeline.
        """
        key = (name, self.path(name).stat().st_mtime)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = read_levels(self.folder / name)
                if len(self._kept) > MOST_KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    def path(self, name: str) -> Path:
        """The file, which must be among those listed: no name leads out of the folder."""
        if name not in self.names():
            raise NoSuchRecord(f"no timeline '{name}'", where=str(self.folder))
        return self.folder / name

    def trace(self, name: str) -> Path | None:
        """Perfetto's file beside the timeline, if there is one."""
        beside = self.path(name).with_suffix(".pftrace")
        return beside if beside.is_file() else None


def timelines(shelf: Shelf, urls: Urls) -> View:
    """The files."""
    rows = [
        [
            Cell(name, urls.to("timeline", name=name)),
            shown("size_bytes", shelf.path(name).stat().st_size),
        ]
        for name in shelf.names()
    ]
    empty = "None. Write one with: lydite simulate MODEL --trace FILE.npz"
    table = Table("Files", ("timeline", "size"), rows, empty=empty)
    return View("Timelines", [table], str(shelf.folder), "timelines")


def timeline(shelf: Shelf, urls: Urls, *, name="", begin="", end="", chart="") -> View:
    """Busy time of each row in a window, and a viewer of its slices if asked for."""
    levels = shelf.levels(needed("name", name))
    first, last = _limits(levels, begin, end)
    found = levels.window(first, last, 1)
    rows = [
        [
            Cell(row),
            shown("busy_s", 1e-12 * busy),
            Cell(format_percent(busy / (last - first)), is_number=True),
            shown("count", count),
        ]
        for row, busy, count in zip(
            levels.rows, found.busy_ps[:, 0].tolist(), found.count[:, 0].tolist(), strict=True
        )
    ]
    span = f"{shown('_s', 1e-12 * first).text} to {shown('_s', 1e-12 * last).text}"
    links = (
        []
        if chart
        else [Cell("Draw it", urls.to("timeline", name=name, begin=begin, end=end, chart="1"))]
    )
    if shelf.trace(name):
        links.append(Cell("Perfetto's trace", urls.to("timeline_trace", name=name)))
    table = Table(
        f"Rows from {span}", ("row", "busy", "share", "slices that start"), rows[:MOST_ROWS]
    )
    lead = f"{len(levels):,} slices in {len(levels.rows):,} rows"
    drawn = [_bars(levels, urls, name, first, last)] if chart else []
    return View(name, [Text("", links), *drawn, table], lead, "timelines")


def bars(shelf: Shelf, *, name="", begin="", end="", pixels="") -> bytes:
    """Of each row and pixel the share that is busy (float32), then the category (int16)."""
    levels = shelf.levels(needed("name", name))
    first, last = _limits(levels, begin, end)
    found = levels.window(first, last, whole("pixels", pixels))
    widths = np.maximum(np.diff(found.edges_ps), 1)
    share = (found.busy_ps[:MOST_ROWS] / widths).astype("<f4")
    return share.tobytes() + found.category[:MOST_ROWS].astype("<i2").tobytes()


def slice_at(shelf: Shelf, *, name="", row="", time="") -> dict[str, object]:
    """The slice of a row at a time in picoseconds; empty if none runs then."""
    levels = shelf.levels(needed("name", name))
    place = levels.slice_at(whole("row", row), whole("time", time, _LATEST_PS))
    if place is None:
        return {}
    start, end = int(levels.start_ps[place]), int(levels.end_ps[place])
    return {
        "name": levels.names[levels.name[place]],
        "category": levels.categories[levels.category[place]],
        "start": shown("_s", 1e-12 * start).text,
        "length": shown("_s", 1e-12 * (end - start)).text,
    }


def _limits(levels: Levels, begin: str, end: str) -> tuple[int, int]:
    first = whole("begin", begin, _LATEST_PS)
    last = whole("end", end, _LATEST_PS) or max(levels.makespan_ps, first + 1)
    if last <= first:
        raise InputError(f"the window ends at {last} ps", allowed=f"more than {first} ps")
    return first, last


def _bars(levels: Levels, urls: Urls, name: str, begin: int, end: int) -> Bars:
    data = {
        "bars": urls.to("timeline_bars", name=name),
        "slice": urls.to("timeline_slice", name=name),
        "rows": levels.rows[:MOST_ROWS],
        "categories": levels.categories,
        "begin": begin,
        "end": end,
        "makespan": levels.makespan_ps,
    }
    return Bars("Wheel or + and - zoom, dragging or arrows move, 0 shows all", script_json(data))
