"""What accelerators get of memory: requests in flight, caches, banks and networks on chip."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from lydite.chip import run_chip, varied
from lydite.chip.dataflow import dataflow_of
from lydite.chip.mapped import map_vector
from lydite.chip.memory import Cached, hit_bytes_per_s, miss_bytes_per_s
from lydite.chip.noc import NocLinks, way
from lydite.chip.operators import product_of
from lydite.chip.tilings import USUAL
from lydite.errors import InputError
from lydite.graph import Builder, work_of
from lydite.graph.training import training_step
from lydite.hardware.chip import LastLevelCache, Noc, read_chip
from lydite.models import build_model

SMV, SYSTOLIC = read_chip("smv"), read_chip("systolic-128")
NETS = {"smv": build_model("lenet5"), "systolic-128": build_model("resnet18")}


def planned(graph, chip):
    """The network's plan with the usual tiles."""
    return dataflow_of(chip).plan(graph, chip, USUAL)


def part(chip, name, **changes):
    """The chip with other values in one of its parts."""
    return replace(chip, **{name: replace(getattr(chip, name), **changes)})


def pads(chip, **changes):
    return replace(chip, scratchpads=tuple(replace(pad, **changes) for pad in chip.scratchpads))


ACP, DMA = part(SMV, "interface", kind="acp"), part(SYSTOLIC, "interface", kind="dma")
SCARCE = {
    "smv requests": (SMV, part(SMV, "dma", requests=2)),
    "smv chunk": (SMV, part(SMV, "dma", requests=4, chunk_bytes=16)),
    "smv channels": (part(SMV, "dma", requests=2, channels=4), part(SMV, "dma", requests=2)),
    "smv setup": (SMV, part(SMV, "dma", setup_cycles=200)),
    "smv pages": (
        part(SMV, "dma", setup_cycles=200),
        part(SMV, "dma", setup_cycles=200, page_bytes=512),
    ),
    "smv banks": (pads(SMV, banks=16), SMV),
    "smv word": (pads(SMV, word_bytes=8), SMV),
    "smv DRAM's latency": (
        part(SMV, "dma", requests=4),
        part(part(SMV, "dma", requests=4), "dram", latency_s=300e-9),
    ),
    "acp requests": (ACP, part(ACP, "interface", acp_requests=2)),
    "acp latency": (ACP, part(ACP, "interface", acp_latency_cycles=200)),
    "acp hit": (ACP, part(ACP, "cache", hit_cycles=200)),
    "acp cache": (ACP, part(ACP, "cache", bytes=4096)),
    "own cache": (part(SMV, "interface", kind="cache"), ACP),
    "systolic banks": (SYSTOLIC, pads(SYSTOLIC, banks=32)),
    "systolic ports": (pads(SYSTOLIC, banks=32, ports=4), pads(SYSTOLIC, banks=32, ports=2)),
    "systolic word": (SYSTOLIC, pads(SYSTOLIC, word_bytes=1)),
    "systolic requests": (DMA, part(DMA, "dma", requests=8)),
    "systolic chunk": (DMA, part(DMA, "dma", chunk_bytes=8)),
    "systolic channels": (DMA, part(DMA, "dma", channels=1)),
    "systolic flushes": (DMA, part(DMA, "interface", flush_cycles=48)),
    "systolic line": (DMA, part(DMA, "interface", line_bytes=16)),
    "systolic noc": (SYSTOLIC, replace(SYSTOLIC, noc=Noc("mesh", 16e9))),
}


@pytest.mark.parametrize("name", SCARCE)
def test_every_part_of_the_memory_path_counts(name):
    ample, scarce = SCARCE[name]
    graph = NETS[SMV.name if name.startswith(("smv", "acp", "own")) else SYSTOLIC.name]
    assert run_chip(graph, scarce).seconds > run_chip(graph, ample).seconds


def test_bytes_in_flight_over_the_round_trip():
    """Little's law: one request of 64 bytes each 75.5 ns (the table's latency of LPDDR4)."""
    slow = part(SMV, "dma", requests=1)
    assert miss_bytes_per_s(slow) == pytest.approx(64 / 75.5e-9)
    port = part(part(ACP, "interface", acp_requests=1), "cache", hit_cycles=12)
    assert miss_bytes_per_s(port) == pytest.approx(32 / (75.5e-9 + 32e-9))
    assert hit_bytes_per_s(port) == pytest.approx(32 / 32e-9)


def test_more_streams_than_banks_open_their_rows_again():
    """Of 32 streams on 8 banks a quarter find their row; 4 KiB or 32 bytes each 10 ns."""
    dram = SMV.dram
    assert dram.stream_bytes_per_s(32, dram.banks) == dram.stream_bytes_per_s(32)
    bytes_per_activation = 1 / (0.25 / 4096 + 0.75 / 32)
    refreshed = 1 - dram.t_rfc_s / dram.t_refi_s
    assert dram.stream_bytes_per_s(32, 32) == pytest.approx(
        bytes_per_activation / 10e-9 * refreshed
    )


def test_the_cache_forgets_the_least_recently_used():
    cached = Cached(replace(ACP, cache=LastLevelCache(100)))
    cached.written("a", 40)
    cached.written("b", 50)
    assert cached.read("a", 40, 80) == 80
    cached.written("c", 60)  # b and, to make room, nothing else
    assert cached.read("a", 40, 40) == 40
    assert cached.read("b", 50, 150) == 100  # its first time is fetched
    assert cached.read("huge", 101, 300) == 0
    assert Cached(SMV).capacity == 0  # DMA goes past it


def test_what_the_cache_gives_is_not_fetched():
    plan = planned(NETS["smv"], ACP)
    fetched, given = plan.jobs.load_bytes.sum(), sum(cost.hit_bytes for cost in plan.costs)
    assert given > 0
    assert fetched + given == pytest.approx(sum(cost.load_bytes for cost in plan.costs))
    assert all(cost.hit_bytes <= cost.load_bytes for cost in plan.costs)
    cached = replace(SYSTOLIC, cache=LastLevelCache(8 << 20))
    plan = planned(NETS["systolic-128"], cached)
    fetched, given = plan.jobs.load_bytes.sum(), sum(cost.hit_bytes for cost in plan.costs)
    assert fetched + given == pytest.approx(sum(cost.load_bytes for cost in plan.costs))


@pytest.mark.parametrize(("dataflow", "pad"), [("ws", "ifmap"), ("ws", "ofmap"), ("os", "filter")])
def test_half_the_banks_take_twice_the_cycles(dataflow, pad):
    """Where what streams comes at half the array's pace; what else happens is as before."""
    array = varied(SYSTOLIC, dataflow=dataflow, overlap="none")
    halved = replace(
        array,
        scratchpads=tuple(
            replace(p, banks=p.banks // 2) if p.name == pad else p for p in array.scratchpads
        ),
    )
    for cost, slower in zip(
        *(planned(NETS["systolic-128"], c).costs for c in (array, halved)), strict=True
    ):
        if cost.macs:
            assert cost.cycles["bank conflict"] == 0
            assert slower.cycles["bank conflict"] == pytest.approx(cost.cycles["compute"])
            assert slower.cycles["compute"] == cost.cycles["compute"]


def test_ways_are_shortest_and_go_from_neighbour_to_neighbour():
    for count in range(1, 17):
        for accelerator in range(count):
            assert way(Noc("crossbar", 1e9), accelerator, count) == [0, accelerator + 1]
            ring = way(Noc("ring", 1e9), accelerator, count)
            assert len(ring) - 1 == min(accelerator + 1, count - accelerator)
            assert all((b - a) % (count + 1) in (1, count) for a, b in pairwise(ring))
            mesh = way(Noc("mesh", 1e9, columns=3), accelerator, count)
            assert len(mesh) - 1 == sum(divmod(accelerator + 1, 3))
            assert all(abs(b - a) in (1, 3) for a, b in pairwise(mesh))
    links = NocLinks(5)
    assert links.along([0, 1, 2]) == [5, 6]
    assert links.along([0, 1, 4]) == [5, 7]


def test_a_network_on_chip_bounds_what_passes_its_first_link():
    """On a mesh of one column all loads pass the link behind the port; a crossbar shares none."""
    four = replace(varied(SYSTOLIC, accelerators=4), cpu=replace(SYSTOLIC.cpu, launch_cycles=0))
    graph, rate = NETS["systolic-128"], 8e9
    line = run_chip(graph, replace(four, noc=Noc("mesh", rate, columns=1)))
    assert line.seconds >= sum(cost.load_bytes for cost in line.plan.costs) / rate
    apart = run_chip(graph, replace(four, noc=Noc("crossbar", rate)))
    assert run_chip(graph, four).seconds < apart.seconds < line.seconds
    far = replace(four, noc=Noc("crossbar", rate, hop_cycles=10_000))
    assert run_chip(graph, far).seconds > apart.seconds


def test_weights_that_memory_cannot_hold_are_refused():
    small = part(SYSTOLIC, "dram", bytes=16e6)
    with pytest.raises(InputError, match=r"resnet18 has 0.0234 GB of weights in float16"):
        run_chip(NETS["systolic-128"], small)
    assert run_chip(NETS["systolic-128"], small, soc=False).seconds > 0


def test_a_training_step_multiplies_on_the_array():
    graph = training_step(NETS["systolic-128"]).graph
    costs = {cost.name: cost for cost in planned(graph, SYSTOLIC).costs}
    for op in graph.ops:
        product, work = product_of(op, graph), work_of(op, graph)
        if "Conv" in op.op_type:
            assert product is not None
            assert work is not None
            assert costs[op.name].on == "array"
            assert 2 * float(np.sum(product.macs)) == work.flops
    grads = [cost for cost in costs.values() if cost.op_type == "ConvInputGrad"]
    convs = {cost.macs: cost for cost in costs.values() if cost.op_type == "Conv"}
    for cost in grads:  # dx is stored once, not once for each tap of its window
        assert cost.store_bytes < 1.01 * convs[cost.macs].load_bytes + 1e6


def test_vector_work_is_shared_where_that_helps():
    alone = replace(SYSTOLIC, cpu=replace(SYSTOLIC.cpu, launch_cycles=0))
    two = varied(alone, accelerators=2)
    one, shared = (run_chip(NETS["systolic-128"], chip, soc=False) for chip in (alone, two))
    for cost, other in zip(one.plan.costs, shared.plan.costs, strict=True):
        if cost.on == "vector":
            assert other.total_cycles == cost.total_cycles

    g = Builder("wide", dtype="float16")
    wide = g.build(g.relu(g.input("x", (64, 65536))))
    one, shared = (run_chip(wide, chip) for chip in (alone, two))
    assert {row.accelerator for row in map_vector(wide.ops[0], wide, two).invocations} == {0, 1}
    assert shared.seconds < one.seconds


def test_what_data_wait_for_is_what_was_made_scarce():
    """Of a net whose data wait, by what there is least of."""
    net = NETS["systolic-128"]
    slow = {
        "DMA": part(DMA, "dma", requests=2),
        "DRAM": part(DMA, "dram", pins_bytes_per_s=2e9),
        "bus": replace(DMA, bus_bytes_per_s=2e9),
        "network on chip": replace(DMA, noc=Noc("mesh", 2e9)),
    }
    usual = run_chip(net, DMA).by_part()
    for name, chip in slow.items():
        found = run_chip(net, chip).by_part()
        assert found[name] > 2 * usual.get(name, 0.0)
        assert found[name] > 0.5 * sum(found.values())
        assert max(found, key=found.__getitem__) == name
