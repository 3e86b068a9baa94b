"""Systolic arrays: against SCALE-Sim's and ONNXim's own runs, and how long it takes.

Their results are read through LYDITE_REFERENCE_DATA. SCALE-Sim needed 483 CPU seconds for the
ResNet-50 of its own topology on 128 x 128, weights stationary.
"""

from __future__ import annotations

import csv
import os
import time
from pathlib import Path

import numpy as np
from _figures import Figure, publish

from lydite.chip.systolic import (
    Array,
    Product,
    edge_cycles,
    products_of,
    run_on,
    stacked,
    stalled_run,
)
from lydite.compat.scalesim import TopologyLayer, read_config, read_topology
from lydite.models import build_model

DATA = Path(os.environ.get("LYDITE_REFERENCE_DATA", "../shared/data"))
SCALESIM, ONNXIM = DATA / "scalesim", DATA / "onnxim" / "runs.csv"
ONNXIM_WORDS_PER_CYCLE = 256
"""16 ports of a core, 32 bytes each, fp16 (config_1core_simple.json)."""


def matched() -> tuple[int, int, float]:
    """Layers run with SCALE-Sim, those whose counts are its own, largest error of a percentage."""
    layers = exact = 0
    worst = 0.0
    for path in sorted(SCALESIM.glob("measured_*.csv")):
        dataflow = path.stem.rpartition("_")[2]
        with path.open() as file:
            for row in csv.DictReader(file):
                run = run_on(Array(128, 128, dataflow), _product(row, dataflow), compat=True)
                counts = (run.cycles, run.ifmap_reads, run.filter_reads, run.ofmap_writes)
                theirs = ("total_cycles", "ifmap_sram_rd", "filt_sram_rd", "of_sram_wr")
                shares = run.utilisation_percent, run.mapping_percent, run.compute_percent
                names = ("overall_util_pct", "mapping_eff_pct", "compute_util_pct")
                error = max(
                    abs(float(ours) / float(row[name]) - 1)
                    for ours, name in zip(shares, names, strict=True)
                )
                layers += 1
                exact += counts == tuple(int(row[name]) for name in theirs)
                worst = max(worst, error)
    return layers, exact, worst


def _product(row: dict[str, str], dataflow: str) -> Product:
    on_rows, on_columns, in_time = (int(row[name]) for name in ("SR", "SC", "T"))
    if dataflow == "ws":
        return Product(in_time, on_rows, on_columns)
    if dataflow == "is":
        return Product(on_columns, on_rows, in_time)
    return Product(on_rows, in_time, on_columns)


def stalls() -> list[Figure]:
    """SCALE-Sim's layer with stalls, as it counts and without what it counts twice."""
    figures: list[Figure] = []
    for dataflow, theirs, corrected in (("ws", 54336, 52310), ("os", 67096, 65344)):
        config = read_config(SCALESIM / f"a32_{dataflow}_USER.cfg")
        layer = _layer("CB3a_1")
        assert config.memory is not None
        runs = [
            stalled_run(config.array, layer.product, config.memory, ifmap=layer.ifmap, compat=c)
            for c in (True, False)
        ]
        off = runs[0].stall_cycles - theirs
        what = f"stalls of CB3a_1, 32 x 32 {dataflow}, less SCALE-Sim's"
        figures.append(Figure(f"{what} (compat)", abs(off), "cycles", 0, "lower"))
        error = abs(runs[1].stall_cycles / corrected - 1)
        at = {"stall_cycles": runs[1].stall_cycles}
        what = f"the same against its count without the doubled line, {dataflow}"
        figures.append(Figure(what, error, "share", 0.01, "lower", at))
    return figures


def stalled_net() -> Figure:
    """CPU of SCALE-Sim's ResNet-50 with stalls, by layer."""
    config = read_config(SCALESIM / "a32_ws_USER.cfg")
    assert config.memory is not None
    seconds: list[float] = []
    for layer in read_topology(SCALESIM / "resnet50.csv"):
        ifmap = layer.ifmap
        start = time.process_time()
        stalled_run(config.array, layer.product, config.memory, ifmap=ifmap)
        seconds.append(time.process_time() - start)
    at = {"layers": len(seconds), "slowest_ms": 1e3 * max(seconds)}
    what = "a layer of ResNet-50 with stalls, 32 x 32 ws, mean, CPU"
    return Figure(what, 1e3 * float(np.mean(seconds)), "ms", 20, "lower", at)


def _layer(name: str) -> TopologyLayer:
    return next(one for one in read_topology(SCALESIM / "resnet50.csv") if one.name == name)


def onnxim() -> list[Figure]:
    """Square matrix products on one core of 128 x 128 with preload."""
    figures: list[Figure] = []
    with ONNXIM.open() as file:
        rows = [row for row in csv.DictReader(file) if row["model"].startswith("gemm")]
    for row in rows:
        if (row["cores"], row["dram"]) != ("1", "simple"):
            continue
        side, theirs = int(row["model"].removeprefix("gemm")), int(row["cycles"])
        array, product = Array(128, 128, overlap="preload"), Product(side, side, side)
        edges = edge_cycles(array, product, ONNXIM_WORDS_PER_CYCLE)
        cycles = int(run_on(array, product).cycles) + int(edges)
        at = {"cycles": cycles, "onnxim": theirs}
        what = f"matrix product of {side}, preload, error against ONNXim"
        figures.append(Figure(what, abs(cycles / theirs - 1), "share", 0.01, "lower", at))
    return figures


def speed() -> list[Figure]:
    """CPU of ResNet-50 from its graph, and of a thousand arrays."""
    graph = build_model("resnet50")
    start = time.process_time()
    product = stacked(list(products_of(graph).values()))
    cycles = run_on(Array(128, 128), product).cycles
    seconds = time.process_time() - start
    at = {"layers": len(np.atleast_1d(cycles)), "cycles": int(np.sum(cycles))}
    what = "ResNet-50 on 128 x 128 from its graph, no stalls, CPU"
    figures = [Figure(what, seconds, "s", 0.05, "lower", at)]
    rows, columns = (side.reshape(-1, 1) for side in np.mgrid[8:328:10, 8:328:10])
    start = time.process_time()
    for dataflow in ("ws", "os"):
        run_on(Array(rows[:500], columns[:500], dataflow), product)
    seconds = time.process_time() - start
    what = "1,000 arrays x 54 layers of ResNet-50, CPU"
    return [*figures, Figure(what, seconds, "s", 60, "lower")]


def main() -> None:
    figures = speed()
    if SCALESIM.is_dir():
        layers, exact, worst = matched()
        at = {"largest_relative_error_of_a_percentage": worst}
        what = f"layers of {layers} run with SCALE-Sim whose cycles and SRAM counts are its own"
        figures.append(Figure(what, exact, "layers", layers, "higher", at))
        figures += [*stalls(), stalled_net()]
    else:
        print(f"no SCALE-Sim rows: {SCALESIM} is not there (LYDITE_REFERENCE_DATA)")
    if ONNXIM.exists():
        figures += onnxim()
    else:
        print(f"no ONNXim rows: {ONNXIM} is not there (LYDITE_REFERENCE_DATA)")
    publish("systolic", figures)


if __name__ == "__main__":
    main()
