"""Plots as SVG: where bars, dots and lines stand, and what the ticks say."""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from lydite.report.plot import Axis, Bars, Dots, Line, Plot, stacked
from lydite.report.svg import html_of


def drawn(plot: Plot) -> ET.Element:
    """The plot, which is well-formed XML too."""
    return ET.fromstring(html_of(plot).replace("&times;", "x").replace(" checked", ""))


def percent(text: str | None) -> float:
    assert text is not None
    assert text.endswith("%")
    return float(text[:-1])


def test_bars_stand_where_their_numbers_say():
    bars = Bars("work", "#123456", [0, 1, 1], [0.0, 5.0, 9.0], [4.0, 2.5, 1.0], ["a", "b", "c"])
    root = drawn(Plot("t", Axis("ms"), series=[bars], rows=["first", "second"]))
    rectangles = root.findall(".//rect")
    places = [(percent(r.get("x")), percent(r.get("width"))) for r in rectangles]
    assert places == [(0, 40), (50, 25), (90, 10)]
    tops = [float(r.get("y") or 0) for r in rectangles]
    assert tops[0] < tops[1] == tops[2]
    assert [r.findtext("title") for r in rectangles] == ["a", "b", "c"]
    assert [span.text for span in root.findall(".//span")] == ["first", "second"]


def test_what_has_no_length_is_not_drawn():
    bars = Bars("work", "#123456", [0, 0], [0.0, 1.0], [1.0, 0.0], ["a", "b"])
    assert len(drawn(Plot("t", Axis(), series=[bars], rows=["r"])).findall(".//rect")) == 1


def test_dots_on_logarithmic_axes_stand_by_their_decades():
    dots = Dots("d", "#111111", [1, 10, 1000], [1e-3, 1.0, 1e3], ["p", "q", "r"])
    plot = Plot("t", Axis("x", is_log=True), Axis("y", is_log=True), [dots], height_px=300)
    circles = drawn(plot).findall(".//circle")
    assert [percent(c.get("cx")) for c in circles] == pytest.approx([0, 100 / 3, 100], rel=1e-3)
    assert [float(c.get("cy") or 0) for c in circles] == pytest.approx([300, 150, 0])


def test_a_stepped_line_keeps_its_value_until_the_next_point():
    line = Line("l", "#111111", [0, 4, 8], [1, 2, 4], is_stepped=True)
    points = drawn(Plot("t", Axis(), Axis(), [line], height_px=400)).find(".//polyline")
    assert points is not None
    found = [tuple(map(float, p.split(","))) for p in (points.get("points") or "").split()]
    assert found == [(0, 300), (500, 300), (500, 200), (1000, 200), (1000, 0)]


@pytest.mark.parametrize("high", [3e-9, 0.7, 12, 99, 186, 5e4, 3e12])
def test_ticks_are_few_round_and_within_the_axis(high):
    bars = Bars("b", "#111111", [0], [0], [high], [""])
    root = drawn(Plot("t", Axis(), series=[bars], rows=["r"]))
    texts = [text.text or "" for text in root.findall(".//text")]
    assert 3 <= len(texts) <= 8
    assert len(set(texts)) == len(texts)
    assert all(0 <= percent(text.get("x")) <= 100 for text in root.findall(".//text"))
    assert all(len(text) <= 8 for text in texts)


def test_stacked_bars_follow_each_other():
    series = stacked([("a", "#1", [1, 2]), ("b", "#2", [3, 4])], ["x", "y"], "ms")
    assert [list(bars.start) for bars in series] == [[0, 0], [1, 2]]
    assert [list(bars.span) for bars in series] == [[1, 2], [3, 4]]
    assert series[1].hover[0] == "x: b, 3 ms"


def test_names_are_escaped():
    evil = "<script>alert(\"x\")</script> & 'co'"
    bars = Bars(evil, evil, [0], [0], [1], [evil])
    dots = Dots(evil, evil, [1], [1], [evil], [0], [2], [evil])
    page = html_of(Plot(evil, Axis(evil), Axis(evil), [bars, dots], [evil], can_zoom=True))
    assert "<script" not in page
    assert html.unescape(page).count(evil) >= 8


@pytest.mark.parametrize("is_log", [False, True])
def test_a_plot_of_nothing_and_of_numbers_that_are_none(is_log):
    dots = Dots("d", "#1", [np.nan, 0.0], [np.inf, -1.0], ["a", "b"])
    for series in ([], [dots]):
        page = html_of(Plot("t", Axis(is_log=is_log), Axis(is_log=is_log), series))
        assert not re.search(r'="(nan|inf|-inf)', page)
