"""Networks on chips: what adds up, what never slows, what is never free."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lydite.chip import ChipEstimator, run_chip, varied
from lydite.chip.figures import energy_of
from lydite.chip.operators import products_inside
from lydite.chip.plan import CPU
from lydite.chip.sensitivity import DOUBLED, sensitivity
from lydite.chip.soc import play_soc
from lydite.chip.soc_jobs import CATEGORIES, Jobs, Layer
from lydite.chip.stalls import Busy
from lydite.chip.sweep import designed, pareto, parse_vary, value_text
from lydite.chip.systolic import Product, run_on
from lydite.chip.systolic.ranking import ranked_tiles
from lydite.chip.systolic.tiles import Matrices, Tile, array_of
from lydite.errors import InputError
from lydite.graph import Builder, key_of
from lydite.hardware.chip import LastLevelCache, Noc, known_chips, read_chip
from lydite.models import build_model
from lydite.models.counts import multiply_adds

SMV, SYSTOLIC = read_chip("smv"), read_chip("systolic-128")


def jobs(count: int, accelerators: int = 1, **columns: float) -> Jobs:
    """As many equal invocations of one layer, in turns."""
    each = {
        "begin_s": 0.0,
        "load_bytes": 0.0,
        "load_s": 0.0,
        "compute_s": 1e-6,
        "store_bytes": 0.0,
        "store_s": 0.0,
    } | columns
    filled = {name: np.full(count, value) for name, value in each.items()}
    zero = np.zeros(count, np.int64)
    turns = np.arange(count) % accelerators
    return Jobs(layer=zero, accelerator=turns, group=zero, waits=zero.astype(bool), **filled)


def free(chip):
    """A processor that takes no time."""
    none = dict.fromkeys(("launch_cycles", "operator_cycles", "begin_cycles", "end_cycles"), 0)
    return replace(chip, cpu=replace(chip.cpu, **none))


def test_one_accelerator_takes_one_after_the_other():
    soc = play_soc(free(SMV), jobs(7, compute_s=2e-6, begin_s=1e-6), [Layer("a")])
    assert soc.seconds == pytest.approx(7 * 3e-6)
    assert soc.seconds_by_category()["compute"] == pytest.approx(14e-6)


def test_accelerators_share_what_dram_gives():
    """Four that alone would each take half of it: together twice as long as alone."""
    rate = SMV.dram.stream_bytes_per_s(SMV.interface.line_bytes)
    alone = play_soc(free(SMV), jobs(1, load_bytes=rate * 1e-3, load_s=2e-3), [Layer("a")])
    four = play_soc(free(SMV), jobs(4, 4, load_bytes=rate * 1e-3, load_s=2e-3), [Layer("a")])
    assert alone.seconds == pytest.approx(2e-3 + 1e-6)
    assert four.seconds == pytest.approx(4e-3 + 1e-6, rel=1e-6)


def test_two_buffers_hide_loads_behind_computation():
    """max(load, compute) each, and one load before (two of them fill both buffers)."""
    columns = {"load_bytes": 1e3, "load_s": 1e-6, "compute_s": 3e-6}
    one_after = play_soc(free(SMV), jobs(10, **columns), [Layer("a")]).seconds
    ahead = replace(jobs(10, **columns), ahead=True)
    assert one_after == pytest.approx(10 * 4e-6)
    assert play_soc(free(SMV), ahead, [Layer("a")]).seconds == pytest.approx(1e-6 + 10 * 3e-6)


def test_the_processor_launches_one_after_the_other():
    cpu = replace(free(SMV).cpu, launch_cycles=5000, clock_hz=1e9)
    soc = play_soc(replace(SMV, cpu=cpu), jobs(8, 8, compute_s=1e-9), [Layer("a")])
    assert soc.seconds == pytest.approx(8 * 5e-6 + 1e-9)


@pytest.mark.parametrize(
    ("name", "chip"), [("minerva", SMV), ("lenet5", SMV), ("resnet18", SYSTOLIC)]
)
def test_what_a_layer_waits_for_adds_up_to_its_span(name, chip):
    result = run_chip(build_model(name), chip)
    assert result.soc is not None
    spans = result.soc.layer_spans_s()
    for parts, (start, end) in zip(result.stalls(), spans, strict=True):
        assert sum(parts.values()) == pytest.approx((end - start) * chip.clock_hz, abs=1)
        assert min(parts.values(), default=0) >= 0
    assert result.seconds == pytest.approx(spans[:, 1].max())
    assert 0 < result.utilisation < 1


def test_covering_by_hand():
    """[0, 10) of kind 1 and [5, 20) of kind 0, which comes first; [25, 30) of kind 1."""
    start, end = np.array([0, 5, 25]), np.array([10, 20, 30])
    assert Busy.of(start, end, np.array([1, 0, 1])).parts([0, 1]) == [15, 10, 5]


def test_multiply_adds_are_those_of_the_network():
    for name, chip in (("minerva", SMV), ("resnet18", SYSTOLIC)):
        graph = build_model(name)
        assert run_chip(graph, chip, soc=False).macs == pytest.approx(
            multiply_adds(graph), rel=0.01
        )


def seconds(name: str, chip, **kw: object) -> float:
    return run_chip(build_model(name), chip, **kw).seconds


def test_more_never_slows():
    """Accelerators, threads, bandwidth, a coherent port: of SMV on a convolutional network."""
    base = seconds("lenet5", SMV)
    assert seconds("lenet5", designed(SMV, {"accelerators": 4})) < base
    assert seconds("lenet5", designed(SMV, {"cores": 4}), threads=4) < base
    assert seconds("lenet5", designed(SMV, {"interface": "acp"})) < base
    assert seconds("lenet5", designed(SMV, {"dram-bandwidth": 50e9})) < base
    wide = designed(SYSTOLIC, {"dram-bandwidth": 1e12})
    assert seconds("resnet18", wide) <= seconds("resnet18", SYSTOLIC)


def test_without_the_system_it_is_never_slower():
    for chip in (SMV, SYSTOLIC):
        assert seconds("lenet5", chip, soc=False) < seconds("lenet5", chip)


def test_what_the_array_cannot_run_is_costed_on_the_processor():
    result = run_chip(build_model("resnet50"), SMV)
    names = {cost.op_type for cost in result.plan.host}
    assert "MaxPool" in names  # with padding
    assert all(cost.on == CPU and cost.host_s > 0 and cost.why for cost in result.plan.host)
    assert result.by_part()["host"] > 0


def test_a_product_that_fits_takes_as_long_as_the_closed_form():
    g = Builder("net", dtype="float16")
    graph = g.build(g.linear(g.input("x", (512, 256)), 128, bias=False))
    found = run_chip(graph, SYSTOLIC, soc=False)
    assert found.cycles == float(run_on(array_of(SYSTOLIC), Product(512, 256, 128)).cycles)


@pytest.mark.parametrize("sizes", [(12544, 147, 64), (49, 4608, 512), (3, 100_000, 7)])
@pytest.mark.parametrize("name", ["systolic-128", "gemmini-like", "nvdla-small"])
def test_tiles_fit_half_of_each_scratchpad(name, sizes):
    chip = known_chips()[name]
    size = 1 if chip.dtype == "int8" else 2
    found = ranked_tiles(chip, Matrices(*sizes, 1, 1.0, 1.0, 1.0), "here")
    assert len(set(found)) == len(found)
    for m, k, n in ((tile.m, tile.k, tile.n) for tile in found):
        assert 1 <= m <= sizes[0]
        assert 1 <= k <= sizes[1]
        assert 1 <= n <= sizes[2]
        assert m * k * size <= chip.scratchpad("ifmap").bytes / 2
        assert k * n * size <= chip.scratchpad("filter").bytes / 2
        assert m * n * 4 <= chip.scratchpad("ofmap").bytes / 2


def test_all_of_a_small_product_is_one_tile():
    """Nothing is fetched twice: no smaller tile is better."""
    found = ranked_tiles(SYSTOLIC, Matrices(64, 96, 80, 1, 1.0, 1.0, 1.0), "here")
    assert found[0] == Tile(64, 96, 80, stays=True)


def test_a_scratchpad_too_small_names_what_it_needs():
    tiny = designed(SYSTOLIC, {"spad": 1024})
    with pytest.raises(InputError, match=r"a fold of 128 x 64 needs 32768 bytes of 'filter'"):
        run_chip(build_model("resnet18"), tiny)
    with pytest.raises(InputError, match="conv"):
        run_chip(build_model("lenet5"), designed(SMV, {"spad": 256}))


def test_attention_is_two_products_of_each_head():
    graph = build_model("gpt2", phase="forward", sequence=32)
    op = next(op for op in graph.ops if op.op_type == "Attention")
    found = products_inside(op, graph)
    assert found is not None
    assert found.special_elements == 12 * 32 * 32
    assert [(p.m, p.k, p.n, p.count) for p in found.products] == [
        (32, 64, 32, 12),
        (32, 32, 64, 12),
    ]
    assert products_inside(graph.ops[0], graph) is None


def test_the_chip_as_an_estimator():
    graph = build_model("lenet5")
    keys = [key_of(op, graph) for op in graph.ops]
    for chip in (SMV, SYSTOLIC):
        answers = ChipEstimator(chip).estimate(keys, None)  # type: ignore[arg-type]
        assert all(answer is not None and answer.source == "simulated" for answer in answers)
        assert all(a.low < a.seconds < a.high for a in answers if a)
        total = sum(a.seconds for a in answers if a)
        assert total == pytest.approx(run_chip(graph, free(chip), fuse=False).seconds, rel=0.5)


def test_more_of_what_binds_buys_time():
    found = sensitivity(build_model("lenet5"), SMV)
    clock, processor, pads, pes = (
        found[name] for name in ("clock of the accelerator", "processor", "scratchpads", DOUBLED)
    )
    assert clock and processor and pads and pes
    assert -0.1 < clock["time"] < 0
    assert -0.1 < processor["time"] < 0
    assert processor["area"] == clock["area"] == 0
    assert clock["power"] > 0
    assert 0 < pads["area"] < 0.1 < pes["area"] < 1
    for change in (clock, processor, pads, pes):
        power = (1 + change["energy"]) / (1 + change["time"]) - 1
        assert change["power"] == pytest.approx(power, abs=1e-12)
    assert not found.keys() & {"network on chip", "cache", "vector lanes (twice as many)"}


def test_parts_that_a_chip_has_are_tried_and_those_that_do_not_run_said():
    chip = replace(
        SYSTOLIC,
        accelerators=2,
        bus_bytes_per_s=1e9,
        noc=Noc("ring", 2e9),
        cache=LastLevelCache(1 << 20),
    )
    found = sensitivity(build_model("lenet5"), chip, {"threads": 2})
    assert found["bus"] and found["bus"]["time"] < -0.01
    assert found["network on chip"] and found["cache"] and found["vector lanes (twice as many)"]
    fold = 2 * 128 * 128 * 2  # two of it, in float16: enough for this array's folds, no wider ones
    pads = [replace(p, bytes=fold) if p.name == "filter" else p for p in chip.scratchpads]
    small = replace(chip, scratchpads=tuple(pads))
    assert sensitivity(build_model("resnet18"), small)[DOUBLED] is None


def test_designs_are_parsed_and_refused():
    assert parse_vary(["pes=8,16", "spad=16KiB"]) == {"pes": [8, 16], "spad": [16384.0]}
    for text, told in [
        ("pes", "has no values"),
        ("pse=4", "did you mean 'pes'"),
        ("spad=16", "'16' has no unit"),
        ("pes=0", "whole numbers from 1"),
        ("clock=2 GB", "is not in Hz"),
    ]:
        with pytest.raises(InputError, match=told):
            parse_vary([text])
    with pytest.raises(InputError, match="has no 'pes'; allowed: rows, columns"):
        designed(SYSTOLIC, {"pes": 8})
    wide = designed(SYSTOLIC, {"noc": "ring", "cache": 1 << 20, "requests": 8, "banks": 16})
    assert wide.noc == Noc("ring", SYSTOLIC.dram.pins_bytes_per_s)
    assert wide.cache and wide.cache.bytes == 1 << 20
    assert wide.interface.acp_requests == designed(SMV, {"requests": 8}).dma.requests == 8
    assert {pad.banks for pad in wide.scratchpads} == {16}
    with pytest.raises(InputError, match="unknown topology 'star'; allowed: crossbar, mesh, ring"):
        designed(SYSTOLIC, {"noc": "star"})
    assert [value_text(*one) for one in (("spad", 16384.0), ("clock", 1.5e9), ("pes", 8))] == [
        "16.00 KiB",
        "1.50 GHz",
        "8",
    ]
    assert varied(SMV, pes=16).array.macs == 2 * SMV.array.macs


def test_pareto_by_brute_force():
    rng = np.random.default_rng(1)
    rows = [dict(zip("ab", map(float, rng.integers(0, 6, 2)), strict=True)) for _ in range(60)]
    rows.append({"error": "x"})  # type: ignore[dict-item]
    found = pareto(rows, ("a", "b"))
    for row, good in zip(rows[:-1], found, strict=False):
        beaten = any(o["a"] <= row["a"] and o["b"] <= row["b"] and o != row for o in rows[:-1])
        assert good != beaten
    assert not found[-1]


def test_tasks_of_every_category_are_named():
    result = run_chip(build_model("lenet5"), SMV)
    assert result.soc is not None
    tasks = result.soc.timeline.tasks
    assert tasks.category.max() < len(CATEGORIES)
    assert len(result.soc.layer_of_task) == len(tasks)


@pytest.mark.parametrize("name", ["lenet5", "cifar100-elu", "minerva"])
def test_the_best_tiling_is_never_slower(name):
    graph = build_model(name)
    usual, best = (run_chip(graph, SMV, soc=False, tiling=t) for t in ("usual", "best"))
    assert best.cycles <= usual.cycles
    each = zip(usual.plan.costs, best.plan.costs, strict=True)
    assert all(b.total_cycles <= a.total_cycles + 1 for a, b in each)
    assert best.macs == usual.macs


@pytest.mark.parametrize(
    ("name", "chip"),
    [
        ("lenet5", SMV),
        ("lenet5", replace(SMV, node_nm=16)),
        ("resnet18", "systolic-32"),
        ("mobilenetv2", "tpu-like"),
        ("resnet18", "nvdla-large"),
    ],
)
def test_neither_time_nor_energy_is_more_than_the_usual(name, chip):
    graph, where = build_model(name), read_chip(chip) if isinstance(chip, str) else chip
    usual, fast, frugal = (
        run_chip(graph, where, tiling=t) for t in ("usual", "best", "best-energy")
    )
    joules = [energy_of(result).joules for result in (usual, fast, frugal)]
    assert fast.seconds < usual.seconds
    assert fast.seconds <= frugal.seconds
    assert joules[2] < joules[0]
    assert joules[2] <= joules[1]
    assert fast.macs == frugal.macs == usual.macs
