"""Random chips: doubling a resource of one never makes a network slower.

    python benchmarks/chip_monotone.py [--seed 7 2026]

Each chip runs a part of a network in turn: what differs between chips is how operators are tiled
and overlapped, which a whole network repeats.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from _figures import Figure, publish

from lydite.chip import run_chip
from lydite.errors import LyditeError
from lydite.graph import Builder, Graph
from lydite.hardware.chip import Chip, SystolicArray, dram_named, read_chip
from lydite.models import build_model

DESIGNS = 500
"""Chips for each seed."""

SEEDS = 7, 2026
ALLOWED = 1.01
"""Slower than this many times counts."""


def doubled_scratchpads(chip: Chip) -> Chip:
    pads = tuple(replace(pad, bytes=2 * pad.bytes) for pad in chip.scratchpads)
    return replace(chip, scratchpads=pads)


DOUBLED: Mapping[str, Callable[[Chip], Chip]] = {
    "DRAM bandwidth": lambda chip: replace(chip, dram=chip.dram.scaled(2)),
    "scratchpads": doubled_scratchpads,
    "accelerators": lambda chip: replace(chip, accelerators=2 * chip.accelerators),
    "clock": lambda chip: replace(chip, clock_hz=2 * chip.clock_hz),
}


def random_chip(rng: np.random.Generator) -> Chip:
    """A systolic array of any shape, with scratchpads and memory that need not suit it."""
    chip = read_chip("systolic-128")
    dataflow = str(rng.choice(["ws", "os", "is"]))
    overlap = "none" if dataflow == "os" else str(rng.choice(["none", "preload"]))
    rows, columns = (int(rng.choice([8, 16, 32, 64, 128])) for _ in range(2))
    pads = tuple(
        replace(pad, bytes=int(rng.choice([64, 128, 256, 384, 1024, 4096])) * 1024)
        for pad in chip.scratchpads
    )
    return replace(
        chip,
        name="random",
        array=SystolicArray(rows, columns, dataflow, overlap),  # type: ignore[arg-type]
        scratchpads=pads,
        dram=dram_named(str(rng.choice(["lpddr4-3200", "ddr4-2400", "ddr5-4800", "hbm2"]))),
        accelerators=int(rng.choice([1, 1, 2, 4, 8])),
        clock_hz=float(rng.choice([0.5e9, 1e9, 1.5e9])),
        interface=replace(chip.interface, kind=str(rng.choice(["acp", "dma"]))),
        dma=replace(chip.dma, channels=int(rng.choice([1, 2, 4]))),
    )


def slowdowns(graph: Graph, chip: Chip) -> Iterator[tuple[str, float]]:
    """What doubling each resource does to the network's time; above 1 it is slower."""
    try:
        before = run_chip(graph, chip).seconds
    except LyditeError:
        return
    for name, double in DOUBLED.items():
        yield name, run_chip(graph, double(chip)).seconds / before


def residual() -> Graph:
    """Two blocks of a residual network, the second at half the resolution."""
    g = Builder("residual")
    x = g.relu(g.conv(g.input("x", (1, 64, 28, 28)), 64, 3, pad=1))
    x = g.op("Add", x, g.conv(x, 64, 3, pad=1))
    y = g.conv(g.relu(g.conv(x, 128, 3, stride=2, pad=1)), 128, 3, pad=1)
    return g.build(g.relu(g.op("Add", y, g.conv(x, 128, 1, stride=2))))


def depthwise() -> Graph:
    """Two blocks that widen, convolve each channel by itself, and narrow."""
    g = Builder("depthwise")
    x = g.input("x", (1, 32, 28, 28))
    for stride in (1, 2):
        x = g.relu(g.conv(x, 192, 1))
        x = g.relu(g.conv(x, 192, 3, stride=stride, pad=1, group=192))
        x = g.conv(x, 32, 1)
    return g.build(x)


def encoder() -> Graph:
    """One layer of a transformer."""
    g = Builder("encoder", dtype="float16")
    x = g.input("x", (1, 128, 256))
    q, k, v = (g.linear(x, 256) for _ in range(3))
    mixed = g.linear(g.op("Attention", q, k, v, q_num_heads=4, kv_num_heads=4), 256)
    x = g.op("Add", x, mixed)
    return g.build(g.op("Add", x, g.linear(g.relu(g.linear(x, 1024)), 256)))


def figures(seeds: Sequence[int] = SEEDS, designs: int = DESIGNS) -> list[Figure]:
    graphs = [build_model("lenet5"), residual(), depthwise(), encoder()]
    ratios: dict[str, list[float]] = {name: [] for name in DOUBLED}
    for rng in map(np.random.default_rng, seeds):
        for number in range(designs):
            for name, ratio in slowdowns(graphs[number % len(graphs)], random_chip(rng)):
                ratios[name].append(ratio)
    rows = []
    for name, each in ratios.items():
        conditions = {
            "designs": len(each),
            "seeds": list(seeds),
            "worst": max(each),
            "counts_from": ALLOWED,
        }
        slower = sum(ratio > ALLOWED for ratio in each)
        rows.append(
            Figure(f"chips that twice the {name} slows", slower, "", 0, "lower", conditions)
        )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, nargs="+", default=SEEDS)
    publish("chip_monotone", figures(parser.parse_args().seed))
