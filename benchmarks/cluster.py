"""The step simulator: how long it takes to simulate (vTrain's steps: `vtrain.py`)."""

from __future__ import annotations

import time
from pathlib import Path

from _figures import Figure, publish

from lydite.cluster import filled, simulate_step
from lydite.cluster.search import search
from lydite.estimate.roofline import Roofline
from lydite.hardware.cluster import read_cluster
from lydite.models import build_model


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


def every_rank(micro_batches: int) -> tuple[float, int, float, bool]:
    """The same 1,024 GPUs, every kernel and every message of every rank played.

    Returns:
        CPU seconds from graph to result, tasks, the most memory of the process meanwhile in bytes,
        and whether the step takes as long as the folded one, to the picosecond.
    """
    cluster = read_cluster("h100-superpod x 128")
    plan = filled(1024, tp=8, pp=4, batch=32 * micro_batches, zero=1, recompute="full")
    graph = build_model("llama3-70b", sequence=4096, phase="forward", dtype="bfloat16")
    short = simulate_step(graph, cluster, plan, Roofline())
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    start = time.process_time()
    played = simulate_step(graph, cluster, plan, Roofline(), unfolded=True)
    critical = played.critical_s
    seconds = time.process_time() - start
    assert critical
    same = played.timeline.makespan_ps == short.timeline.makespan_ps
    return seconds, len(played.played.tasks), memory_bytes("VmHWM"), same


def memory_bytes(field: str) -> float:
    """Of this process, as Linux tells."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith(field))


def plans() -> tuple[float, int, int]:
    """CPU seconds of a plan search for GPT-3 175B on 1,024 GPUs, plans that divide, that fit."""
    start = time.process_time()
    found = search(
        lambda batch, *_: build_model(
            "gpt3-175b", batch=batch, sequence=2048, phase="forward", dtype="bfloat16"
        ),
        read_cluster("h100-superpod x 128"),
        1536,
        Roofline(),
    )
    return time.process_time() - start, found.considered, found.fitting


def main() -> None:
    llama(4, 1)  # compiles the engine
    figures: list[Figure] = []
    for hosts, dp, goal in ((128, 32, 1.0), (1024, 256, 10.0), (16384, 4096, 20.0)):
        seconds, tasks = llama(hosts, dp)
        what = f"Llama-70B step, 3D parallel, {8 * hosts:,} GPUs folded, CPU"
        figures.append(Figure(what, seconds, "s", goal, "lower", {"tasks": tasks, "dp": dp}))
    seconds, considered, fitting = plans()
    at = {"plans": considered, "fitting": fitting, "played": 10}
    what = "plan search, GPT-3 175B on 1,024 GPUs, at least 5,000 plans, CPU"
    figures.append(Figure(what, seconds, "s", 3.0, "lower", at))
    every_rank(1)  # compiles the engine
    seconds, tasks, held, equal = every_rank(24)
    at = {"tasks": tasks, "micro_batches": 24, "equal_to_folded_to_the_picosecond": equal}
    what = "the same 1,024 GPUs, every kernel and message played"
    figures += [
        Figure(f"{what}, CPU", seconds, "s", 15.0, "lower", at),
        Figure(f"{what}, memory of the process", held / 1e6, "MB", 1000.0, "lower", at),
        Figure(f"{what}, tasks a CPU second", tasks / seconds, "tasks/s", None, "higher", at),
    ]
    publish("cluster", figures)


if __name__ == "__main__":
    main()
