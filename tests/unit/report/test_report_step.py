"""The page of a step: what it says, what its pictures draw, how heavy it gets."""

from __future__ import annotations

import html
from dataclasses import replace

import numpy as np
import pytest
from pages import cells

from lydite.cluster import filled, simulate_step
from lydite.cluster.live import memory_course
from lydite.cluster.program import CATEGORIES
from lydite.estimate.roofline import Roofline
from lydite.hardware.cluster import read_cluster
from lydite.models import build_model
from lydite.report.step import write_step_page
from lydite.report.step_plots import (
    MOST_BARS,
    bars_of,
    breakdown_plot,
    memory_plot,
    thinned,
    timeline_plot,
)
from lydite.units import format_bytes, format_percent, format_seconds


def step(cluster="dgx-a100", devices=4, **plan):
    """A step of gpt2."""
    found = read_cluster(cluster, devices)
    chosen = filled(found.ranks, **plan)
    graph = build_model("gpt2", batch=chosen.micro_batch, phase="forward", sequence=64)
    return simulate_step(graph, found, chosen, Roofline())


@pytest.fixture(scope="module")
def small():
    return step(pp=2, tp=2, batch=4)


@pytest.fixture(scope="module")
def large():
    """Ten times as many tasks as are drawn."""
    return step(pp=2, tp=2, batch=1200)


@pytest.fixture(scope="module")
def page(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("step") / "step.html"
    assert write_step_page(small, path) == path
    return path.read_text()


def test_the_figures_of_a_step(page, small):
    result = small
    found = {name: (value, note) for name, value, note in cells(page, r"Figures (modelled)")}
    assert found["step"][0] == format_seconds(result.seconds)
    assert format_seconds(result.low) in found["step"][1]
    assert format_seconds(result.high) in found["step"][1]
    assert found["batch"][0] == "4"
    assert found["batch"][1].startswith("samples per step: 4 micro-batches of 1 on each of 1")
    assert found["samples"] == (f"{4 / result.seconds:.4g} per s", "4 per step")
    assert found["MFU"][0] == format_percent(result.mfu)
    assert found["memory"][0] == format_bytes(result.peak_memory_bytes)
    assert found["memory"][1].endswith("of a device; fits")
    assert found["cost"][0] == f"{result.cost_usd:.4g} USD"


def test_parts_add_up_to_the_step(page, small):
    rows = cells(page, "Where the step goes")
    shares = [float(share.removesuffix(" %")) for _, _, share in rows if share]
    assert sum(shares) == pytest.approx(100, abs=0.06 * len(shares))
    assert rows[-1] == ["(hidden communication)", format_seconds(small.hidden_s), ""]
    assert "tensor-parallel communication" in {row[0] for row in rows}


def test_memory_of_each_stage(page, small):
    rows = cells(page, "Memory")
    assert [row[0] for row in rows] == ["0", "1"]
    for row, kinds in zip(rows, small.memory, strict=True):
        whole = format_bytes(sum(kinds.values()))
        assert row[1] == format_bytes(kinds["weights"])
        assert row[-3] == row[-1] == whole  # of the closed form, and as played


def test_the_critical_path_is_the_whole_step(page):
    rows = cells(page, "Critical path")
    assert sum(float(row[2].removesuffix(" %")) for row in rows) == pytest.approx(100, abs=0.5)
    assert "through stage " in page.partition(">Critical path</h2>")[2][:400]


def test_plan_cluster_sources_and_assumptions_are_named(page, small):
    plan = dict(cells(page, "Plan"))
    assert (plan["tp"], plan["pp"], plan["schedule"], plan["micro-batches"]) == (
        "2",
        "2",
        "1f1b",
        "4",
    )
    assert cells(page, "Sources of the operators' times") == [["roofline", "100.0 %"]]
    cluster = {row[0]: row[1:] for row in cells(page, "Cluster")}
    assert cluster["devices"] == ["4 in one host", "as requested"]
    assert "19.5 TFLOP/s in float32" in cluster["peak"]
    assert "Amazon EC2" in cluster["device hour"][1]
    assumed = {row[0]: row[1:] for row in cells(page, "Assumptions")}
    assert assumed["dispatch"] == ["13.0 us", "assumed"]  # eager training in float32
    assert assumed["collectives"][1] == "NCCL's model"
    assert "0.5 us to and from the NVSwitch" in assumed["dgx-a100: latency"][1]
    assert "modelled" in page[: page.index("<h2")]


def test_what_nobody_stated_is_unknown(small, tmp_path):
    result = small
    economics = replace(
        result.cluster.economics, price_per_device_hour_usd=None, grid_kg_per_kwh=None
    )
    bare = replace(result, cluster=replace(result.cluster, economics=economics))
    page = write_step_page(bare, tmp_path / "step.html").read_text()
    found = {row[0]: row[1:] for row in cells(page, r"Figures (modelled)")}
    assert found["cost"] == found["CO2"] == ["unknown", "not in the cluster file"]


def test_what_does_not_fit_is_said(small, tmp_path):
    page = write_step_page(replace(small, capacity_bytes=1e8), tmp_path / "p.html").read_text()
    found = {row[0]: row[1:] for row in cells(page, r"Figures (modelled)")}
    assert "more than a device has, mostly for optimiser states; try --zero 1" in found["memory"][1]


def test_names_are_escaped(small, tmp_path):
    evil = "<script>alert('x')</script>"
    page = write_step_page(replace(small, model=evil), tmp_path / "p.html").read_text()
    assert evil not in page
    assert evil in html.unescape(page)


def busy(bars):
    """Seconds by row and category."""
    found = {}
    for row, category, span in zip(bars.row, bars.category, bars.span_s, strict=True):
        key = bars.rows[row], CATEGORIES[category]
        found[key] = found.get(key, 0.0) + span
    return found


def test_every_task_is_a_bar_where_there_are_few(small):
    result = small
    bars, timeline = bars_of(result), result.timeline
    assert bars.window_s == bars.hidden == 0
    assert len(bars.names) == (timeline.span_ps > 0).sum()
    assert set(bars.names) <= set(result.played.tasks.names)
    assert bars.start_s.max() + 1e-12 < result.seconds
    assert bars.rows[:2] == ["stage 0 compute", "stage 0 tensor"]


def test_many_tasks_become_few_bars_that_say_the_same(large):
    result = large
    every, few = bars_of(result, most=1 << 30), bars_of(result)
    assert len(every.names) > 10 * MOST_BARS
    assert len(few.names) <= MOST_BARS
    assert few.window_s > 0
    expected = busy(every)
    assert busy(few) == {key: pytest.approx(seconds) for key, seconds in expected.items()}
    for row in range(len(few.rows)):
        own = few.row == row
        ends = few.start_s[own] + few.span_s[own]
        assert (few.start_s[own][1:] >= ends[:-1] - 1e-9).all()
        assert ends.max() <= result.seconds + 1e-9


def test_of_many_stages_some_are_drawn():
    result = step("dgx-a100 x 2", 12, pp=12, batch=12)
    bars = bars_of(result)
    assert {row.rpartition(" ")[0] for row in bars.rows} == {f"stage {s}" for s in range(0, 12, 2)}
    assert bars.hidden == 6


def test_a_large_page_stays_light(large, tmp_path):
    path = write_step_page(large, tmp_path / "large.html")
    assert path.stat().st_size < 1.5e6
    assert "are merged into one bar" in path.read_text()


def test_the_pictures(small):
    bars = bars_of(small)
    drawn = timeline_plot(bars)
    assert {series.name for series in drawn.series} == {CATEGORIES[c] for c in bars.category}
    assert sum(np.sum(series.span) for series in drawn.series) == pytest.approx(
        1e3 * bars.span_s.sum(), rel=1e-5
    )
    parts = breakdown_plot({"forward": ("forward", 2e-3), "bubble": ("bubble", 1e-3)}, 5e-4)
    assert [(series.name, max(series.span)) for series in parts.series] == [
        ("forward", 2.0),
        ("bubble", 1.0),
        ("hidden communication", 0.5),
    ]
    assert [series.start[0] for series in parts.series[:2]] == [0.0, 2.0]
    courses = memory_course(small)
    memory = memory_plot(dict(enumerate(courses)), small.capacity_bytes)
    first, second, capacity = memory.series
    assert max(first.y) == pytest.approx(courses[0].peak_bytes / 2**30)
    assert (first.name, second.name) == ("stage 0", "stage 1")
    assert capacity.y[0] == pytest.approx(small.capacity_bytes / 2**30)


def test_thinning_keeps_ends_and_peaks():
    x = np.arange(100_001.0)
    y = np.sin(x / 500)
    y[54_321] = 7.0
    thin_x, thin_y = thinned(x, y, most=1000)
    assert len(thin_x) <= 1002
    assert (thin_x[0], thin_x[-1]) == (x[0], x[-1])
    assert (thin_y.max(), thin_y.min()) == (7.0, y.min())
    assert (np.diff(thin_x) > 0).all()
    assert list(thinned(x[:9], y[:9], most=1000)[0]) == list(x[:9])
