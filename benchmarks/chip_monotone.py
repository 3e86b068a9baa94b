"""Random chips: doubling a resource of one never makes a network slower."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from _figures import Figure, publish

from lydite.chip import run_chip
from lydite.errors import LyditeError
from lydite.graph import Graph
from lydite.hardware.chip import Chip, SystolicArray, dram_named, read_chip
from lydite.models import build_model

DESIGNS = 500
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


NETWORKS = ("lenet5", "resnet18", "mobilenetv2", "bert-base")


def figures(designs: int = DESIGNS) -> list[Figure]:
    rng = np.random.default_rng(7)
    graphs = [build_model(name) for name in NETWORKS]
    found: dict[str, list[float]] = {name: [] for name in DOUBLED}
    for number in range(designs):
        for name, slower in slowdowns(graphs[number % len(graphs)], random_chip(rng)):
            found[name].append(slower)
    rows = []
    for name, each in found.items():
        at = {"designs": len(each), "worst": max(each), "counts_from": ALLOWED}
        slow = sum(one > ALLOWED for one in each)
        rows.append(Figure(f"chips that twice the {name} slows", slow, "", 0, "lower", at))
    return rows


if __name__ == "__main__":
    publish("chip_monotone", figures())
