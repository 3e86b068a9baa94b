"""More of a resource never slows a network, whatever the chip: sixty random ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lydite.chip import run_chip
from lydite.graph import Builder, Graph
from lydite.hardware.chip import Chip, SystolicArray, dram_named, read_chip
from lydite.models import build_model

DOUBLED: dict[str, Callable[[Chip], Chip]] = {
    "DRAM bandwidth": lambda chip: replace(chip, dram=chip.dram.scaled(2)),
    "scratchpads": lambda chip: replace(
        chip, scratchpads=tuple(replace(pad, bytes=2 * pad.bytes) for pad in chip.scratchpads)
    ),
    "accelerators": lambda chip: replace(chip, accelerators=2 * chip.accelerators),
    "clock": lambda chip: replace(chip, clock_hz=2 * chip.clock_hz),
}


def network() -> Graph:
    """A product, convolutions with and without groups, attention, and vector work."""
    g = Builder("mixed", dtype="float16")
    x = g.conv(g.input("x", (1, 32, 20, 20)), 96, 3, pad=1, bias=False)
    x = g.relu(g.conv(x, 96, 3, pad=1, group=96, bias=False))
    rows = g.op("Reshape", x, g.constant([1, 400, 96]))
    q, k, v = (g.linear(rows, 128, bias=False) for _ in range(3))
    mixed = g.op("Attention", q, k, v, q_num_heads=4, kv_num_heads=4)
    return g.build(g.op("Softmax", g.linear(mixed, 700, bias=False)))


NETWORK = network()


def random_chip(seed: int) -> Chip:
    """A systolic array of any shape, with scratchpads and memory that need not suit it."""
    rng, chip = np.random.default_rng(seed), read_chip("systolic-128")
    dataflow = str(rng.choice(["ws", "os", "is"]))
    overlap = "none" if dataflow == "os" else str(rng.choice(["none", "preload"]))
    rows, columns = (int(rng.choice([8, 16, 32, 64, 128])) for _ in range(2))
    pads = tuple(
        replace(pad, bytes=int(rng.choice([128, 192, 256, 384, 1024])) * 1024)
        for pad in chip.scratchpads
    )
    return replace(
        chip,
        array=SystolicArray(rows, columns, dataflow, overlap),
        scratchpads=pads,
        dram=dram_named(str(rng.choice(["lpddr4-3200", "ddr4-2400", "ddr5-4800", "hbm2"]))),
        accelerators=int(rng.choice([1, 2, 4, 8])),
        clock_hz=float(rng.choice([0.5e9, 1e9, 1.5e9])),
        interface=replace(chip.interface, kind=str(rng.choice(["acp", "dma"]))),
        dma=replace(chip.dma, channels=int(rng.choice([1, 2, 4]))),
    )


@pytest.mark.parametrize("seed", range(12))  # benchmarks/chip_monotone.py plays hundreds
def test_twice_a_resource_never_slows(seed):
    chip = random_chip(seed)
    before = run_chip(NETWORK, chip).seconds
    for name, double in DOUBLED.items():
        assert run_chip(NETWORK, double(chip)).seconds <= 1.01 * before, name


@pytest.mark.parametrize(
    ("side", "kilobytes", "dram", "accelerators", "clock_hz", "channels", "sizes"),
    [
        # the ifmap stays on the larger chip, and other tiles promise most
        (16, (384, 64, 1024), "ddr4-2400", 4, 0.5e9, 2, (128, 1024, 256)),
        # the best tile takes a smaller part of the larger chip than was looked at
        (8, (4096, 4096, 4096), "lpddr4-3200", 2, 1.5e9, 4, (128, 256, 1024)),
    ],
)
def test_chips_that_were_slowed_by_scratchpads(
    side, kilobytes, dram, accelerators, clock_hz, channels, sizes
):
    chip = read_chip("systolic-128")
    pads = zip(chip.scratchpads, kilobytes, strict=True)
    chip = replace(
        chip,
        array=SystolicArray(side, side, "os", "none"),
        scratchpads=tuple(replace(pad, bytes=size * 1024) for pad, size in pads),
        dram=dram_named(dram),
        accelerators=accelerators,
        clock_hz=clock_hz,
        interface=replace(chip.interface, kind="dma"),
        dma=replace(chip.dma, channels=channels),
    )
    m, k, n = sizes
    g = Builder("one", dtype="float16")
    x = g.op("Relu", g.input("x", (m, k)))
    graph = g.build(g.linear(x, n, bias=False))
    twice = DOUBLED["scratchpads"](chip)
    assert run_chip(graph, twice).seconds <= 1.001 * run_chip(graph, chip).seconds


@pytest.mark.parametrize("seed", range(3))
def test_the_usual_tiling_comes_near_the_best(seed):
    chip = random_chip(100 + seed)
    usual, best = (run_chip(NETWORK, chip, tiling=name).seconds for name in ("usual", "best"))
    assert best <= usual <= 1.05 * best


def test_idle_accelerators_slow_nobody():
    chip = read_chip("systolic-128")
    g = Builder("one", dtype="float16")
    graph = g.build(g.linear(g.input("x", (128, 512)), 512, bias=False))
    assert run_chip(graph, replace(chip, accelerators=64)).seconds <= run_chip(graph, chip).seconds


@pytest.mark.parametrize("seed", range(8))
def test_nor_does_it_slow_row_stationary_arrays(seed):
    rng, chip = np.random.default_rng(seed), read_chip("eyeriss")
    times = int(rng.choice([1, 2, 4]))
    chip = replace(
        chip,
        scratchpads=tuple(replace(pad, bytes=times * pad.bytes) for pad in chip.scratchpads),
        dram=dram_named(str(rng.choice(["lpddr4-3200", "ddr4-2400", "hbm2"]))),
        accelerators=int(rng.choice([1, 2, 4])),
    )
    graph = build_model("lenet5")
    before = run_chip(graph, chip).seconds
    for name, double in DOUBLED.items():
        assert run_chip(graph, double(chip)).seconds <= 1.01 * before, name


def test_tiles_are_priced_with_the_flushes_that_they_wait_for():
    """Of few large tiles the first waits long for its share of the flushes; more memory stays."""
    g = Builder("fc", dtype="float16")
    graph = g.build(g.linear(g.input("x", (1, 128, 256)), 256))
    chip = read_chip("systolic-128")
    sizes = {"ifmap": 1024, "filter": 1024, "ofmap": 64}
    small = replace(
        chip,
        array=SystolicArray(64, 128, "is", "none"),
        scratchpads=tuple(replace(p, bytes=sizes[p.name] * 1024) for p in chip.scratchpads),
        dram=dram_named("ddr4-2400"),
        accelerators=2,
        clock_hz=0.5e9,
        interface=replace(chip.interface, kind="dma"),
        dma=replace(chip.dma, channels=1),
    )
    large = DOUBLED["scratchpads"](small)
    assert run_chip(graph, large).seconds <= 1.01 * run_chip(graph, small).seconds
