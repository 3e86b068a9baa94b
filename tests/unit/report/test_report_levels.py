"""Windows of timelines against sums over every slice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.errors import InputError
from lydite.report.levels import Levels, read_levels


def levels(slices, rows=3, categories=4):
    columns = np.array(slices, np.int64).reshape(-1, 4).T
    names = [f"slice {number}" for number in range(len(slices))]
    return Levels(
        *columns,
        rows=[f"row {n}" for n in range(rows)],
        categories=[f"category {n}" for n in range(categories)],
        name=np.arange(len(slices)),
        names=names,
    )


any_slices = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 200), st.integers(0, 60)).map(
        lambda s: (s[0], s[1], s[2], s[2] + s[3])
    ),
    max_size=40,
)
windows = st.tuples(st.integers(0, 200), st.integers(1, 300), st.integers(1, 40))


@given(any_slices, windows)
def test_busy_time_and_counts_are_exact(slices, chosen):
    begin, span, pixels = chosen
    found = levels(slices).window(begin, begin + span, pixels)
    edges = [begin + span * pixel // pixels for pixel in range(pixels + 1)]
    assert found.edges_ps.tolist() == edges
    busy, count = np.zeros((3, pixels), int), np.zeros((3, pixels), int)
    for row, _, start, end in slices:
        for pixel in range(pixels):
            left, right = edges[pixel], edges[pixel + 1]
            busy[row, pixel] += max(0, min(end, right) - max(start, left))
            count[row, pixel] += left <= start < right
    assert (found.busy_ps == busy).all()
    assert (found.count == count).all()


def in_turn(lengths):
    """Slices of one row that do not overlap, from (pause, length, category)."""
    slices, time = [], 0
    for pause, length, category in lengths:
        slices.append((0, category, time + pause, time + pause + length))
        time += pause + length
    return slices


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 20), st.integers(0, 3)), max_size=40),
    windows,
)
def test_the_colour_is_that_of_the_longest_slice(lengths, chosen):
    begin, span, pixels = chosen
    slices = in_turn(lengths)
    found = levels(slices).window(begin, begin + span, pixels)
    for pixel in range(pixels):
        left, right = found.edges_ps[pixel : pixel + 2]
        inside = [
            (end - start, category)
            for _, category, start, end in slices
            if (left <= start < right) or (start < left < end)
        ]
        expected = max(inside)[1] if inside else -1
        assert found.category[0, pixel] == expected


def test_sums_that_wrap_around_are_exact():
    """A million slices near the end of nine minutes: their starts add up to more than 2**63."""
    start = 2**49 - 10_000_000 + 10 * np.arange(1_000_000)
    zeros = np.zeros(start.size, int)
    made = Levels(
        zeros, zeros, start, start + 7, rows=["r"], categories=["c"], name=zeros, names=["n"]
    )
    for begin, end in ((0, 2**49), (2**49 - 10_000_000, 2**49), (2**49 - 5000, 2**49 - 4000)):
        found = made.window(begin, end, 100)
        inside = np.clip(np.minimum(start + 7, end) - np.maximum(start, begin), 0, None).sum()
        assert found.busy_ps.sum() == inside
        assert (found.busy_ps >= 0).all()


def test_slices_are_found_by_time():
    made = levels([(0, 1, 10, 20), (0, 2, 20, 30), (2, 0, 5, 50)])
    assert made.names[made.name[made.slice_at(0, 10)]] == "slice 0"
    assert made.names[made.name[made.slice_at(0, 20)]] == "slice 1"
    assert made.names[made.name[made.slice_at(2, 49)]] == "slice 2"
    for row, time in ((0, 9), (0, 30), (1, 10), (2, 50), (3, 0), (-1, 0)):
        assert made.slice_at(row, time) is None


def test_a_file_holds_everything(tmp_path):
    made = levels([(0, 1, 10, 20), (2, 2, 20, 30), (1, 3, 5, 50)])
    again = read_levels(made.save(tmp_path / "t.npz"))
    assert (again.rows, again.categories, again.names) == (made.rows, made.categories, made.names)
    for column in ("row", "category", "start_ps", "end_ps", "name"):
        assert (getattr(again, column) == getattr(made, column)).all()
    assert again.makespan_ps == 50


def test_files_that_are_no_timelines(tmp_path):
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, row=np.array([object()]), category=[1])
    text = tmp_path / "text.npz"
    text.write_text("hello")
    for path in (pickled, text, tmp_path / "none.npz"):
        with pytest.raises(InputError, match="is not a timeline"):
            read_levels(path)


@pytest.mark.parametrize(
    "slices", [[(3, 0, 0, 1)], [(0, 4, 0, 1)], [(0, 0, 2, 1)], [(0, 0, -1, 1)], [(-1, 0, 0, 1)]]
)
def test_slices_that_cannot_be(slices):
    with pytest.raises(InputError):
        levels(slices)


@pytest.mark.parametrize("window", [(0, 0, 1), (5, 4, 1), (-1, 4, 1), (0, 4, 0), (0, 2**60, 9)])
def test_windows_that_cannot_be(window):
    with pytest.raises(InputError, match="a window of"):
        levels([(0, 0, 0, 9)]).window(*window)
