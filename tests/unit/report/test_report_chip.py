"""The page of a chip: what it says, what its pictures draw, how heavy it gets."""

from __future__ import annotations

import html
from dataclasses import replace

import numpy as np
import pytest
from pages import cells

from lydite.chip import run_chip, varied
from lydite.chip.figures import energy_of
from lydite.chip.soc_jobs import CATEGORIES
from lydite.graph import Builder
from lydite.hardware.chip import read_chip
from lydite.models import build_model
from lydite.report.chip import write_chip_page
from lydite.report.chip_plots import (
    MOST_LAYERS,
    MOST_ROWS,
    chip_bars,
    chip_timeline,
    layers_plot,
    reached,
    roofline_plot,
)
from lydite.report.step_plots import MOST_BARS
from lydite.units import format_bytes, format_percent, format_seconds, format_si


@pytest.fixture(scope="module")
def lenet():
    return run_chip(build_model("lenet5"), read_chip("smv"))


@pytest.fixture(scope="module")
def mixed():
    """A network of which the processor runs some, on several accelerators."""
    chip = varied(read_chip("smv"), accelerators=4)
    return run_chip(build_model("resnet18"), chip)


@pytest.fixture(scope="module")
def page(lenet, tmp_path_factory):
    path = tmp_path_factory.mktemp("chip") / "chip.html"
    assert write_chip_page(lenet, path) == path
    return path.read_text()


@pytest.fixture(scope="module")
def mixed_page(mixed, tmp_path_factory):
    return write_chip_page(mixed, tmp_path_factory.mktemp("chip") / "mixed.html").read_text()


def test_the_figures_of_a_chip(page, lenet):
    found = {name: (value, note) for name, value, note in cells(page, "Figures (simulated)")}
    assert found["latency"][0] == format_seconds(lenet.seconds)
    assert found["cycles"] == (f"{lenet.seconds * 1e9:,.0f}", "at 1.00 GHz")
    assert found["multiply-accumulates"][0] == format_si(lenet.macs, "MAC")
    assert found["utilisation"] == (format_percent(lenet.utilisation), "of 256 per cycle")
    assert found["invocations"][0] == "55"  # as SMAUG's own run of LeNet-5
    used = energy_of(lenet)
    assert found["energy"][0] == format_si(used.joules, "J")
    assert found["power"][0] == format_si(used.joules / lenet.seconds, "W")
    assert found["area"][0] == f"{used.area_mm2:.3g} mm2"
    assert "simulated" in page[: page.index("<h2")]


def test_parts_and_layers_add_up_to_the_run(page, lenet):
    parts = cells(page, "Where the time goes")
    layers = cells(page, "Layers")
    for rows, column in ((parts, 1), (layers, 4)):
        whole = sum(float(row[column].replace(",", "")) for row in rows)
        assert whole == pytest.approx(lenet.cycles, rel=1e-3, abs=len(rows))
    assert sum(float(row[2].removesuffix(" %")) for row in parts) == pytest.approx(100, abs=1)


def test_the_table_of_layers(page, lenet):
    rows = cells(page, "Layers")
    assert [row[0] for row in rows] == [cost.name for cost in lenet.plan.costs]
    assert sum(int(row[3].replace(",", "")) for row in rows) == len(lenet.plan.jobs)
    for row, cost in zip(rows, lenet.plan.costs, strict=True):
        assert (row[1], row[2]) == (cost.op_type, cost.on)
        assert row[6] == format_bytes(cost.load_bytes + cost.store_bytes)
        share = cost.macs / (float(row[4].replace(",", "")) * 256)
        assert row[5] == (format_percent(share) if cost.macs else "")


def test_what_the_processor_runs_is_listed_with_the_reason(mixed_page, mixed, page):
    rows = cells(mixed_page, "Operators on the processor")
    assert [row[0] for row in rows] == [cost.name for cost in mixed.plan.host]
    assert "maxpool" in {row[0] for row in rows}  # padded, which SMV's pooling is not
    assert all(row[2] for row in rows)
    assert "None: the chip runs every operator." in page


def test_energy_and_area_by_component(page, lenet):
    rows = cells(page, "Energy and area (modelled)")
    used = energy_of(lenet)
    assert {row[0] for row in rows} == {*used.by_component_j, *used.area_by_component_mm2}
    for column in (2, 4):
        shares = [float(row[column].removesuffix(" %")) for row in rows if row[column]]
        assert sum(shares) == pytest.approx(100, abs=0.5)
    assert {row[0]: row[3] for row in rows}["DRAM"] == ""  # no silicon of this chip


def test_the_chip_with_its_sources_and_assumptions(page):
    chip = {row[0]: row[1:] for row in cells(page, "Chip")}
    assert chip["array"][0] == "SMV: 8 PEs of 4 vectors of 8 lanes"
    assert chip["scratchpad weights"][0].startswith("64.00 KiB, 8 banks, 1 ports")
    assert chip["registers"] == ["3.10 KiB", read_chip("smv").source("registers")]
    assert "gem5" in chip["DRAM"][1]
    assert "never charged" in chip["DMA"][1]
    assumed = cells(page, "Assumptions")
    told = {row[0]: row[1] for row in assumed}
    assert told["bus"] == "assumed"
    assert told["launch"].startswith("2,700 processor cycles")
    assert "8 pJ/bit" in told["DRAM's energy"]


def test_notes_of_an_imported_chip_are_told(lenet, tmp_path):
    sources = {**lenet.chip.sources, "note 1": "tlb_entries ignored: <none>"}
    noted = replace(lenet, chip=replace(lenet.chip, sources=sources, registers_bytes=0))
    page = write_chip_page(noted, tmp_path / "p.html").read_text()
    assert ["note 1", "tlb_entries ignored: <none>"] in cells(page, "Assumptions")
    assert {row[0]: row[1] for row in cells(page, "Chip")}["registers"] == "unknown"


def test_a_systolic_array_alone(tmp_path):
    result = run_chip(build_model("lenet5"), read_chip("systolic-128"), soc=False)
    page = write_chip_page(result, tmp_path / "p.html").read_text()
    assert ">Timeline</h2>" not in page
    found = {row[0]: row[1:] for row in cells(page, "Figures (simulated)")}
    assert "accelerator alone" in found["latency"][1]
    chip = {row[0]: row[1] for row in cells(page, "Chip")}
    assert chip["array"] == "systolic, 128 x 128, ws, overlap preload"
    assert (chip["bus"], chip["last-level cache"]) == ("as fast as DRAM", "none")
    with pytest.raises(ValueError, match="the run has no timeline"):
        chip_bars(result)


def test_names_are_escaped(lenet, tmp_path):
    evil = "<script>alert('x')</script>"
    page = write_chip_page(replace(lenet, model=evil), tmp_path / "p.html").read_text()
    assert evil not in page
    assert evil in html.unescape(page)


def test_bars_of_layers_are_their_stalls(lenet):
    stalls = lenet.stalls()
    drawn = layers_plot([cost.name for cost in lenet.plan.costs], stalls)
    for bars in drawn.series:
        assert list(bars.span) == [one.get(bars.name, 0.0) for one in stalls]
    assert {bars.name for bars in drawn.series} == {part for one in stalls for part in one}
    strange = layers_plot(["a"], [{"compute": 2.0, "something new": 3.0}])
    assert [(bars.name, bars.span[0]) for bars in strange.series] == [
        ("compute", 2.0),
        ("something new", 3.0),
    ]


def test_only_the_longest_layers_are_drawn(tmp_path):
    g = Builder("all differ")
    x = g.input("x", (1, 8))
    for width in range(9, 9 + MOST_LAYERS + 5):
        x = g.linear(x, width, bias=False)
    page = write_chip_page(
        run_chip(g.build(x), read_chip("systolic-128")), tmp_path / "p.html"
    ).read_text()
    assert f"The {MOST_LAYERS} longest rows; 5 more are not drawn." in page


def test_layers_alike_are_one_row_with_their_sum(tmp_path):
    result = run_chip(build_model("bert-base", sequence=32), read_chip("systolic-128"))
    page = write_chip_page(result, tmp_path / "p.html").read_text()
    rows = cells(page, "Layers")
    costs = result.plan.costs
    assert len(rows) < 0.2 * len(costs)
    counts = [int(row[0].partition(" x")[2] or 1) for row in rows]
    assert sum(counts) == len(costs)
    assert 12 in counts  # one layer of each block
    invocations = sum(int(row[3].replace(",", "")) for row in rows)
    assert invocations == sum(cost.invocations for cost in costs)
    cycles = sum(float(row[4].replace(",", "")) for row in rows)
    assert cycles == pytest.approx(result.cycles, rel=1e-3)


def test_batch_and_threads_are_said(tmp_path):
    result = run_chip(build_model("lenet5", batch=3), read_chip("smv"), threads=2)
    page = write_chip_page(result, tmp_path / "p.html").read_text()
    found = {row[0]: row[1:] for row in cells(page, "Figures (simulated)")}
    shape = " x ".join(map(str, next(iter(result.input_shapes.values()))))
    assert found["batch"][0] == "3"
    assert f"{shape}" in found["batch"][1]
    assert found["threads"] == ["2", "of the processor that copy tiles"]


def test_no_layer_is_above_the_roof(mixed):
    cycles = [sum(parts.values()) for parts in mixed.stalls()]
    roof, dots = roofline_plot(mixed, cycles).series
    peak, bandwidth = 256 * 4 * 1e9, reached(mixed.chip)
    assert max(roof.y) == pytest.approx(peak)
    assert len(dots.x) == sum(1 for cost in mixed.plan.costs if cost.macs)
    assert (np.array(dots.y) <= np.minimum(peak, np.array(dots.x) * bandwidth)).all()
    # 12.8 GB/s at the pins, half of each burst wasted, less refreshes: below the bus.
    assert bandwidth == pytest.approx(6.4e9 * (1 - 180 / 3904))


def busy(bars):
    """Seconds by row and category."""
    found = {}
    for row, category, span in zip(bars.row, bars.category, bars.span_s, strict=True):
        key = bars.rows[row], CATEGORIES[category]
        found[key] = found.get(key, 0.0) + span
    return found


def test_every_task_is_a_bar_where_there_are_few(lenet):
    bars, timeline = chip_bars(lenet), lenet.soc.timeline
    assert bars.window_s == bars.hidden == 0
    assert len(bars.names) == (timeline.span_ps > 0).sum()
    assert bars.rows == ["cpu 0", "accelerator 0"]
    assert bars.span_s.sum() == pytest.approx(timeline.span_ps.sum() * 1e-12)
    drawn = chip_timeline(bars)
    assert {series.name for series in drawn.series} == {CATEGORIES[c] for c in bars.category}


def test_many_tasks_become_few_bars_that_say_the_same(mixed):
    few, soc = chip_bars(mixed), mixed.soc
    timeline = soc.timeline
    expected = {}
    for task in timeline.span_ps.nonzero()[0].tolist():
        tasks = timeline.tasks
        key = soc.server_names[tasks.resource[task]], CATEGORIES[tasks.category[task]]
        expected[key] = expected.get(key, 0.0) + timeline.span_ps[task] * 1e-12
    assert (timeline.span_ps > 0).sum() > MOST_BARS
    assert len(few.names) <= MOST_BARS
    assert few.window_s > 0
    assert few.rows == ["cpu 0", *(f"accelerator {at}" for at in range(4))]
    assert busy(few) == {key: pytest.approx(seconds) for key, seconds in expected.items()}


def test_of_many_servers_some_are_drawn():
    chip = varied(read_chip("systolic-32"), accelerators=64)
    cpu = replace(chip.cpu, launch_cycles=0)  # launches would take longer than the work of most
    wide = replace(chip, cpu=cpu, dram=chip.dram.scaled(100))
    bars = chip_bars(run_chip(build_model("resnet18"), wide))
    servers = 1 + 3 * 64  # the processor; arrays, movers in and out
    assert len(bars.rows) + bars.hidden == servers
    assert MOST_ROWS / 2 < len(bars.rows) <= MOST_ROWS
    assert "cpu 0" in bars.rows


def test_the_page_of_vgg_stays_light(tmp_path):
    result = run_chip(build_model("cifar10-vgg"), read_chip("smv"))
    assert len(result.plan.jobs) == 647  # as SMAUG's own run
    path = write_chip_page(result, tmp_path / "vgg.html")
    assert path.stat().st_size < 1.5e6
