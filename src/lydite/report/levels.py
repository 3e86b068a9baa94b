"""Timelines of millions of slices, at the level of detail that a screen shows.

A window of time is cut into pixels. Of every row and pixel the busy time is exact, whatever the
zoom; the colour is that of the longest slice in it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from lydite.errors import InputError
from lydite.files import refuse_special, write_atomic
from lydite.records import dataclass

Array = np.ndarray[Any, Any]

MOST_PIXELS = 8192
MOST_FILE_BYTES = 1_000_000_000
_LONGEST_PS = 2**46
_CATEGORIES = 2**15
_SPAN_PS = 2**49
"""Longest window: nine minutes in picoseconds, so that times a pixel number it fits 63 bits."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a timeline in pixels.

    Attributes:
        edges_ps: int64[pixels + 1], times between pixels in picoseconds.
        busy_ps: int64[rows, pixels], sum of the parts of all slices that lie in the pixel.
        count: int64[rows, pixels], number of slices that start in it.
        category: int16[rows, pixels], category of the longest slice in it; -1 where there is none.
    """

    edges_ps: Array
    busy_ps: Array
    count: Array
    category: Array


class Levels:
    """Slices by row, sorted for windows of any size.

    Slices of a row may overlap: busy times add up then, and a slice that began before another one
    may lose its colour to that.

    Args:
        row, category: int[slices], what each belongs to.
        start_ps, end_ps: int64[slices], times in picoseconds, not negative.
        rows, categories: Names of rows and of categories.
        name: int[slices], place of each slice's name in `names`.
        names: Names of slices.

    Raises:
        InputError: columns differ in length, or point outside the names.
    """

    def __init__(
        self,
        row: Array,
        category: Array,
        start_ps: Array,
        end_ps: Array,
        *,
        rows: Sequence[str],
        categories: Sequence[str],
        name: Array,
        names: Sequence[str],
    ) -> None:
        self.rows, self.categories, self.names = tuple(rows), tuple(categories), tuple(names)
        columns = [_integers(column) for column in (row, category, start_ps, end_ps, name)]
        row, category, start_ps, end_ps, name = columns
        if len({column.size for column in columns}) > 1:
            raise InputError("the columns of the timeline differ in length")
        _within("row", row, len(self.rows))
        _within("category", category, min(len(self.categories), _CATEGORIES))
        _within("name", name, len(self.names))
        if row.size and (start_ps.min() < 0 or (end_ps < start_ps).any()):
            raise InputError("a slice of the timeline ends before it starts, or starts before 0")
        order = np.lexsort((start_ps, row))
        self.row, self.category, self.name = row[order], category[order], name[order]
        self.start_ps, self.end_ps = start_ps[order], end_ps[order]
        self._bounds = np.searchsorted(self.row, np.arange(len(self.rows) + 1))
        self._ends = self.end_ps[np.lexsort((self.end_ps, self.row))]
        # Sums may wrap around: differences of them are exact modulo 2**64, and fit.
        self._start_sums, self._end_sums = _sums(self.start_ps), _sums(self._ends)
        lengths = np.minimum(self.end_ps - self.start_ps, _LONGEST_PS)
        self._ranks = (lengths << 16) | self.category

    def __len__(self) -> int:
        return self.row.size

    @property
    def makespan_ps(self) -> int:
        """End of the last slice in picoseconds; 0 without slices."""
        return int(self.end_ps.max(initial=0))

    def window(self, begin_ps: int, end_ps: int, pixels: int) -> Window:
        """The part from `begin_ps` to `end_ps`.

        Raises:
            InputError: the window is empty, longer than nine minutes, or has too many pixels.
        """
        span = end_ps - begin_ps
        if not (0 < span <= _SPAN_PS and begin_ps >= 0 and 1 <= pixels <= MOST_PIXELS):
            raise InputError(
                f"a window of {pixels} pixels from {begin_ps} to {end_ps} ps",
                allowed=f"1 to {MOST_PIXELS} pixels, 1 to {_SPAN_PS} ps",
            )
        edges = begin_ps + span * np.arange(pixels + 1) // pixels
        shape = (len(self.rows), pixels)
        busy, count = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        category = np.full(shape, -1, np.int16)
        for number in range(len(self.rows)):
            low, high = self._bounds[number : number + 2]
            if low < high:
                first = low + np.searchsorted(self.start_ps[low:high], edges)
                busy[number] = self._busy(first, low, high, edges)
                count[number] = np.diff(first)
                category[number] = self._colours(first, low, edges)
        return Window(edges, busy, count, category)

    def slice_at(self, row: int, time_ps: int) -> int | None:
        """Number of the slice of a row that started last and runs at a time; None if none does."""
        if not 0 <= row < len(self.rows):
            return None
        low, high = self._bounds[row : row + 2]
        place = low + np.searchsorted(self.start_ps[low:high], time_ps, "right") - 1
        return int(place) if place >= low and self.end_ps[place] > time_ps else None

    def _busy(self, first: Array, low: int, high: int, edges: Array) -> Array:
        """Of the sum of max(0, t - start) - max(0, t - end), what each pixel adds."""
        last = low + np.searchsorted(self._ends[low:high], edges)
        started = edges * (first - low) - (self._start_sums[first] - self._start_sums[low])
        ended = edges * (last - low) - (self._end_sums[last] - self._end_sums[low])
        return np.diff(started - ended)

    def _colours(self, first: Array, low: int, edges: Array) -> Array:
        """Category of the longest slice that starts in a pixel or runs into it."""
        longest = np.full(first.size - 1, -1, np.int64)
        full = first[:-1] < first[1:]
        if full.any():
            longest[full] = np.maximum.reduceat(self._ranks[: first[-1]], first[:-1][full])
        before = np.maximum(first[:-1] - 1, low)
        runs_in = (first[:-1] > low) & (self.end_ps[before] > edges[:-1])
        longest = np.where(runs_in, np.maximum(longest, self._ranks[before]), longest)
        return np.where(longest < 0, -1, longest & 0xFFFF).astype(np.int16)

    def save(self, path: Path) -> Path:
        """Write the slices as a .npz file."""
        file = BytesIO()
        np.savez_compressed(
            file,
            row=self.row,
            category=self.category,
            start_ps=self.start_ps,
            end_ps=self.end_ps,
            name=self.name,
            rows=np.array(self.rows, dtype=str),
            categories=np.array(self.categories, dtype=str),
            names=np.array(self.names, dtype=str),
        )
        return write_atomic(path, file.getvalue())


_COLUMNS = ("row", "category", "start_ps", "end_ps", "name")
_NAMES = ("rows", "categories", "names")


def read_levels(path: Path) -> Levels:
    """Read what `Levels.save` wrote.

    Raises:
        InputError: the file is no such timeline, or unpacks to more than 1 GB.
    """
    refuse_special(path)
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(item.file_size for item in packed.infolist())
        if size > MOST_FILE_BYTES:
            raise InputError(f"unpacks to {size:,} bytes", where=str(path), allowed="1 GB")
        with np.load(path, allow_pickle=False) as held:
            columns = [held[name] for name in _COLUMNS]
            words = [[str(word) for word in held[name].ravel()] for name in _NAMES]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"is not a timeline: {error}", where=str(path)) from error
    row, category, start, end, name = columns
    return Levels(
        row, category, start, end, rows=words[0], categories=words[1], name=name, names=words[2]
    )


def _integers(column: Array) -> Array:
    if column.ndim != 1 or column.dtype.kind not in "iu":
        raise InputError("a column of the timeline holds something other than integers")
    return column.astype(np.int64)


def _within(what: str, column: Array, count: int) -> None:
    if column.size and not (column.min() >= 0 and column.max() < count):
        raise InputError(f"a {what} of the timeline has no name", allowed=f"0 to {count - 1}")


def _sums(values: Array) -> Array:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(values)])
