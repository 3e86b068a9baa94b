"""What designs share: the same results as of each design alone, whatever was computed before."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest

from lydite.chip import product_tiles, run_chip, shared, soc
from lydite.chip.dataflow import dataflow_of
from lydite.chip.figures import figures_of
from lydite.chip.invocations import flushed, jobs_of
from lydite.chip.mapped import Flushes
from lydite.chip.operands import shares_of
from lydite.chip.operators import product_of
from lydite.chip.product_dataflow import ProductDataflow
from lydite.chip.shared import Known, array_only, whole_view, without_sizes
from lydite.chip.smv.schedule import _known as known_invocations
from lydite.chip.soc import play_soc, seconds_apart
from lydite.chip.soc_jobs import Jobs, Layer
from lydite.chip.sweep import designs, in_turn, parse_vary, sweep
from lydite.chip.systolic import dataflow as systolic
from lydite.chip.systolic import grid, ranking
from lydite.chip.tiling.tiler import tile
from lydite.errors import LyditeError
from lydite.graph import Builder, Graph
from lydite.hardware.chip import (
    Chip,
    LastLevelCache,
    Noc,
    SmvArray,
    SystolicArray,
    dram_named,
    read_chip,
)
from lydite.pool import HERE


def network(batch: int = 1) -> Graph:
    """Convolutions with and without groups, alike and not, attention, and vector work."""
    g = Builder("mixed", dtype="float16")
    x = g.conv(g.input("x", (batch, 16, 12, 12)), 48, 3, pad=1, bias=False)
    for _ in range(2):
        x = g.relu(g.conv(x, 48, 3, pad=1, bias=False))
    x = g.relu(g.conv(x, 48, 3, pad=1, group=48, bias=False))
    rows = g.op("Reshape", x, g.constant([batch, 144, 48]))
    q, k, v = (g.linear(rows, 64, bias=False) for _ in range(3))
    mixed = g.op("Attention", q, k, v, q_num_heads=2, kv_num_heads=2)
    return g.build(g.op("Softmax", g.linear(mixed, 200, bias=False)))


def images(batch: int = 1) -> Graph:
    """A network that any array runs soon: convolutions alike, a pool, a product."""
    g = Builder("images", dtype="float16")
    x = g.relu(g.conv(g.input("x", (batch, 16, 24, 24)), 64, 3, pad=1, bias=False))
    for _ in range(2):
        x = g.relu(g.conv(x, 64, 3, pad=1, bias=False))
    x = g.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    return g.build(g.linear(g.op("Flatten", x), 100, bias=False))


def forget() -> None:
    """Empty all that designs share but what a graph holds."""
    for known in (
        grid.grid_of,
        ranking._promise,
        systolic._mapped,
        shared._one_of,
        known_invocations,
        tile,
    ):
        known.cache_clear()
    for held in (product_tiles._SECONDS, shared._OF_CHIPS):
        held._held.clear()


def outcome(graph: Graph, chip: Chip, tiling: str = "usual") -> object:
    """All figures of a run, by layer too, or why there is none."""
    try:
        run = run_chip(graph, chip, tiling=tiling)
    except LyditeError as error:
        return str(error)
    return run.seconds, figures_of(run), list(run.plan.costs), run.by_part()


def graph_for(chip: Chip, batch: int = 1) -> Graph:
    return network(batch) if isinstance(chip.array, SystolicArray) else images(batch)


# --- each design alone ------------------------------------------------------------------------


def random_design(rng: np.random.Generator) -> tuple[Chip, str, int]:
    """A chip, a tiling and a batch; few values each, so that designs have much in common."""
    chip = read_chip(str(rng.choice(["systolic-128", "systolic-128", "eyeriss", "smv"])))
    if isinstance(chip.array, SystolicArray):
        stationary = str(rng.choice(["ws", "os", "is"]))
        overlap = "none" if stationary == "os" else str(rng.choice(["none", "preload"]))
        rows, columns = (int(rng.choice([16, 64])) for _ in range(2))
        chip = replace(chip, array=SystolicArray(rows, columns, stationary, overlap))
        size = int(rng.choice([64, 128, 1024])) * 1024
        pads = tuple(replace(pad, bytes=size) for pad in chip.scratchpads)
        chip = replace(chip, scratchpads=pads, dram=dram_named(str(rng.choice(["hbm2", "hbm3"]))))
    if isinstance(chip.array, SmvArray):
        pads = tuple(
            replace(p, bytes=int(rng.choice([1, 2])) * 65536, ports=int(rng.choice([1, 2])))
            for p in chip.scratchpads
        )
        chip = replace(chip, array=replace(chip.array, pes=int(rng.choice([8, 16]))))
        chip = replace(chip, scratchpads=pads)
    kind = str(rng.choice(["acp", "dma"]))
    chip = replace(
        chip,
        accelerators=int(rng.choice([1, 2])),
        interface=replace(chip.interface, kind=kind),
        cache=LastLevelCache(2**21) if kind == "acp" else None,
        clock_hz=float(rng.choice([0.5e9, 1e9])),
    )
    tiling = str(rng.choice(["usual", "usual", "usual", "best", "best-energy"]))
    return chip, tiling, int(rng.choice([1, 2]))


def test_forty_designs_after_each_other_equal_each_alone():
    rng = np.random.default_rng(7)
    many = [random_design(rng) for _ in range(40)]
    kept: dict[tuple[bool, int], Graph] = {}
    for chip, _, batch in many:
        kept.setdefault((isinstance(chip.array, SystolicArray), batch), graph_for(chip, batch))
    forget()
    both = []
    for _ in range(2):
        order = rng.permutation(len(many)).tolist()
        found = {}
        for at in order:
            chip, tiling, batch = many[at]
            graph = kept[isinstance(chip.array, SystolicArray), batch]
            found[at] = outcome(graph, chip, tiling)
        both.append(found)
    assert len({str(each) for each in both[0].values()}) > 30  # they do differ
    for at, (chip, tiling, batch) in enumerate(many):
        forget()
        alone = outcome(graph_for(chip, batch), chip, tiling)
        assert both[0][at] == both[1][at] == alone, (chip, tiling, batch)


# --- designs that differ in one figure --------------------------------------------------------

CHOICES: Mapping[str, tuple[str, ...]] = {
    "dtype": ("float16", "int8", "float32"),
    "dataflow": ("ws", "is"),
    "overlap": ("preload", "none"),
    "kind": ("acp", "dma", "cache"),
    "topology": ("mesh", "ring"),
}
"""Figures that are words."""


def changes(of: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The same object with each of its figures changed in turn, those of its parts too."""
    for each in fields(of):
        value, name = getattr(of, each.name), f"{path}.{each.name}"
        for changed, where in _changed(value, each.name, name):
            yield where, replace(of, **{each.name: changed})


def _changed(value: Any, field: str, name: str) -> Iterator[tuple[Any, str]]:
    if is_dataclass(value):
        yield from ((made, where) for where, made in changes(value, name))
    elif isinstance(value, tuple):
        for at, part in enumerate(value):
            for made, where in _changed(part, field, f"{name}[{at}]"):
                yield (*value[:at], made, *value[at + 1 :]), where
    elif isinstance(value, str) and field in CHOICES:
        yield from ((other, name) for other in CHOICES[field] if other != value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield (2 * value if value and np.isfinite(value) else type(value)(7e10)), name


def full(name: str) -> Chip:
    """A chip of which every part is there."""
    chip = read_chip(name)
    cpu = replace(chip.cpu, begin_cycles=1000, end_cycles=500, copy_run_cycles=3)
    pads = tuple(replace(pad, bytes=max(pad.bytes, 65536)) for pad in chip.scratchpads)
    small = isinstance(chip.array, SystolicArray)
    array = replace(chip.array, rows=32, columns=32) if small else chip.array
    return replace(
        chip,
        array=array,
        scratchpads=tuple(replace(pad, bytes=65536) for pad in pads) if small else pads,
        cpu=cpu,
        accelerators=2,
        bus_bytes_per_s=40e9,
        cache=LastLevelCache(2**20),
        interface=replace(chip.interface, kind="acp"),
        noc=Noc("mesh", 20e9),
    )


@pytest.mark.parametrize("name", ["systolic-128", "eyeriss", "smv"])
def test_no_figure_is_mixed_up_with_another_value_of_it(name):
    base = full(name)
    graph = graph_for(base)
    forget()
    before, differ = outcome(graph, base), 0
    for where, chip in changes(base):
        after = outcome(graph, chip)
        assert outcome(graph, base) == before, where
        forget()
        alone = outcome(graph_for(chip), chip)
        assert after == alone, where
        differ += after != before
    assert differ > 20


@pytest.mark.parametrize("name", ["systolic-128", "eyeriss", "smv"])
def test_views_leave_out_what_they_say_and_nothing_else(name):
    base = full(name)
    for where, chip in changes(base):
        labels = where.endswith((".name", ".title"))
        is_size = ".scratchpads[" in where and where.endswith(".bytes")
        of_array = where.startswith((".array", ".dtype", ".accelerators", ".scratchpads"))
        assert (whole_view(chip) is whole_view(base)) == labels, where
        assert (without_sizes(chip) is without_sizes(base)) == (labels or is_size), where
        kept = of_array and not is_size and not labels
        assert (array_only(chip) is array_only(base)) != kept, where


def test_a_view_has_no_figure_that_it_leaves_out():
    chip = read_chip("systolic-128")
    assert [pad.bytes for pad in without_sizes(chip).chip.scratchpads] == [0, 0, 0]
    assert np.isnan(array_only(chip).chip.clock_hz)
    assert np.isnan(array_only(chip).chip.dram.latency_s)


# --- layers played one behind the other, and what they take at least ----------------------------


def played_alone(chip: Chip, jobs: Jobs) -> float:
    return play_soc(chip, jobs, [Layer("one")]).seconds


def behind(works: list[Jobs]) -> Jobs:
    """Layers one behind the other."""
    names = [each.name for each in fields(Jobs) if each.name not in ("layer", "ahead")]
    columns = {name: np.concatenate([getattr(one, name) for one in works]) for name in names}
    layer = np.repeat(np.arange(len(works)), [len(one) for one in works])
    return Jobs(layer, **columns, ahead=True)


def tried(graph: Graph, chip: Chip) -> Iterator[tuple[float, Jobs]]:
    """Bound and invocations of all tiles that are tried for the products of a network."""
    array = dataflow_of(chip)
    assert isinstance(array, ProductDataflow)
    for op in graph.ops:
        product = product_of(op, graph)
        if product is None:
            continue
        shares = shares_of(op, graph, product, chip, array.rooms(chip)[1])
        problem = array.problem(op, graph, product, shares)
        for cut, least in array.bounded_tiles(problem, chip, "here", 16):
            rows = flushed(array.map_product(op, chip, problem, cut).invocations, 100.0)
            yield least, jobs_of(rows, np.zeros(len(rows), np.int64), chip)


@pytest.mark.parametrize("seed", range(8))
def test_layers_behind_each_other_take_what_each_takes_alone(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    chip = full("systolic-128") if seed % 2 else random_design(rng)[0]
    while isinstance(chip.array, SmvArray):
        chip = random_design(rng)[0]
    found = list(tried(graph_for(chip), chip))
    alone = [played_alone(chip, jobs) for _, jobs in found]
    assert seconds_apart(chip, behind([jobs for _, jobs in found]), len(found)) == alone
    monkeypatch.setattr(soc, "AT_ONCE", 40)  # several simulations, some of one layer
    assert seconds_apart(chip, behind([jobs for _, jobs in found]), len(found)) == alone
    assert all(least <= seconds for (least, _), seconds in zip(found, alone, strict=True))


def test_the_bound_of_a_tile_is_near_enough_to_be_of_use():
    chip = full("systolic-128")
    near = [least / played_alone(chip, jobs) for least, jobs in tried(network(), chip)]
    assert np.median(near) > 0.5


@pytest.mark.parametrize("flush_cycles", [12, 4000])
def test_the_first_of_the_fastest_tiles_is_taken(flush_cycles):
    g = Builder("alike", dtype="float16")
    x = g.conv(g.input("x", (1, 48, 24, 24)), 48, 3, pad=1, bias=False)  # flushed, the next is not
    graph = g.build(g.conv(x, 48, 3, pad=1, bias=False))
    base = full("systolic-128")
    kind = replace(base.interface, kind="dma", flush_cycles=flush_cycles)
    chip, array = replace(base, interface=kind), dataflow_of(base)
    assert isinstance(array, ProductDataflow)
    costs = [run_chip(graph, chip) for _ in range(2)][1].plan.costs
    taken = []
    for op, cost in zip(graph.ops, costs, strict=True):
        product = product_of(op, graph)
        assert product is not None
        shares = shares_of(op, graph, product, chip, array.rooms(chip)[1])
        problem, flushes = array.problem(op, graph, product, shares), Flushes(graph, chip, [])
        tiles = array.tiles(problem, chip, "here", product_tiles.USUALLY_TRIED)
        mapped = [array.map_product(op, chip, problem, cut) for cut in tiles]
        rows = [flushed(each.invocations, flushes.cycles(op)) for each in mapped]
        alone = [jobs_of(each, np.zeros(len(each), np.int64), chip) for each in rows]
        taken.append(int(np.argmin([played_alone(chip, jobs) for jobs in alone])))
        assert cost.invocations == mapped[taken[-1]].cost.invocations
        assert cost.load_bytes == mapped[taken[-1]].cost.load_bytes
    assert (taken[0] != taken[1]) == (flush_cycles == 4000)


# --- sweeps -----------------------------------------------------------------------------------


def test_the_order_of_the_parameters_changes_no_design():
    chip, graph = full("systolic-128"), network()
    texts = ["dram-bandwidth=20GB/s,80GB/s", "rows=16,32", "spad=64KiB,96KiB", "columns=16,32"]
    rows = [sweep(graph, chip, parse_vary(each, chip), pool=HERE) for each in (texts, texts[::-1])]

    def named(row: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
        return tuple(sorted(row.items()))

    assert len(rows[0]) == 16
    assert sorted(map(named, rows[0])) == sorted(map(named, rows[1]))
    wanted = designs(parse_vary(texts, chip))
    assert [{name: row[name] for name in wanted[0]} for row in rows[0]] == wanted


def test_designs_that_share_a_schedule_go_to_one_worker():
    chip = read_chip("smv")
    vary = parse_vary(["dram-bandwidth=1GB/s,2GB/s", "pes=8,16,24", "ports=1,2,4,8"], chip)
    ordered, chunk = in_turn(chip, vary)
    assert chunk == 8
    assert [design["pes"] for design in ordered] == [8] * 8 + [16] * 8 + [24] * 8
    assert sorted(map(str, ordered)) == sorted(map(str, designs(vary)))


def test_the_results_used_last_are_held():
    known: Known[str, int] = Known(2)
    for name in ("a", "b"):
        known.put(name, ord(name))
    assert known.get("a") == 97
    known.put("c", 99)
    assert (known.get("a"), known.get("b"), known.get("c"), len(known)) == (97, None, 99, 2)


def test_a_graph_goes_to_workers_without_what_was_worked_out_of_it():
    graph, chip = network(), full("systolic-128")
    expected = outcome(graph, chip)
    sent = copy.copy(graph)  # as a message to a worker is made
    assert any(name.startswith("_memo_") for name in vars(graph))
    assert not any(name.startswith("_memo_") for name in vars(sent))
    assert outcome(sent, chip) == expected
