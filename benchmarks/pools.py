"""Spreading work: what a task costs, and how busy both cores are, on processes and on Ray.

It is not called ray.py: a file of that name would be imported in place of Ray.

python benchmarks/pools.py
"""

from __future__ import annotations

import operator
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

import numpy as np
import psutil
from _figures import Figure, publish

from lydite.chip.sweep import parse_vary, sweep
from lydite.hardware.chip import read_chip
from lydite.models import build_model
from lydite.pool import HERE, LocalPool, Pool, open_pool

ROUNDS = 15
TASKS = 200
MODEL = "resnet18"
VARY = [
    "pes=4,8,12,16,24",
    "spad=16KiB,24KiB,32KiB,48KiB,64KiB",
    "accelerators=1,2,3,4,5",
    "cores=1,2,3,4",
    "dma-channels=1,2",
]


def task_s(pool: Pool) -> list[float]:
    """Seconds per task that does nothing, as many at once as the pool takes, by round.

    Workers live for one stream, so that the tasks after the first answers are timed.
    """
    cores = os.cpu_count() or 1
    answers = iter(pool.stream(operator.add, 0, range(4 * cores + ROUNDS * TASKS)))
    for _ in range(4 * cores):
        next(answers)
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(TASKS):
            next(answers)
        seconds.append((time.perf_counter() - start) / TASKS)
    return seconds


def cpu_s() -> float:
    """CPU seconds of this process and all below it, ended ones that were waited for included."""
    total = 0.0
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def machine_s() -> float:
    """CPU seconds of all processes of the machine."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system  # Ray makes its workers nice


def swept(pool: Pool, designs: Sequence[str]) -> tuple[list[dict[str, Any]], float, float, float]:
    """Rows of a sweep, its seconds, and the CPU seconds of its processes and of all others."""
    graph, chip = build_model(MODEL), read_chip("smv")
    before, all_before, start = cpu_s(), machine_s(), time.perf_counter()
    last = [0.0]

    def look(number: int, total: int, _: str) -> None:
        # the processes of a pool are gone when the sweep ends
        if number % 20 == 0 or number == total:
            last[0] = cpu_s()

    rows = sweep(graph, chip, parse_vary(designs, chip), pool=pool, progress=look)
    used_s = max(last[0], cpu_s()) - before
    others_s = max(0.0, machine_s() - all_before - used_s)
    return rows, time.perf_counter() - start, used_s, others_s


def overhead(name: str, pool: Pool) -> Figure:
    seconds = task_s(pool)
    spread = [float(np.percentile(seconds, at)) * 1e6 for at in (5, 95)]
    conditions = {
        "rounds": ROUNDS,
        "tasks_per_round": TASKS,
        "p5_us": spread[0],
        "p95_us": spread[1],
    }
    return Figure(
        f"overhead of one task, {name}", median(seconds) * 1e6, "us", None, "lower", conditions
    )


def of_sweep(name: str, pool: Pool, expected: Iterable[dict[str, Any]]) -> list[Figure]:
    rows, wall_s, used_s, others_s = swept(pool, VARY)
    cores = os.cpu_count() or 1
    conditions = {
        "model": MODEL,
        "designs": len(rows),
        "cpu_s": round(used_s, 2),
        "cpu_s_of_others": round(others_s, 2),
        "share_of_all_percent": round(100 * used_s / (wall_s * cores), 1),
    }
    different = sum(row != other for row, other in zip(rows, expected, strict=True))
    return [
        Figure(f"sweep of 1,000 designs, {name}", wall_s, "s", None, "lower", conditions),
        Figure(
            f"share of the cores' time that others left in use, {name}",
            100 * used_s / (wall_s * cores - others_s),
            "%",
            85,
            "higher",
            conditions,
        ),
        Figure(
            f"designs unlike those of one process, {name}",
            different,
            "designs",
            0,
            "lower",
            conditions,
        ),
    ]


def main() -> int:
    swept(HERE, VARY[:1])  # compiles
    expected, wall_s, _, _ = swept(HERE, VARY)
    conditions = {"model": MODEL, "designs": len(expected)}
    figures = [
        Figure("sweep of 1,000 designs, one process", wall_s, "s", None, "lower", conditions)
    ]
    make: dict[str, Callable[[], Any]] = {"local": open_pool, "Ray": lambda: open_pool("local")}
    for name, opened in make.items():
        with opened() as pool:
            figures.append(overhead(name, LocalPool(2) if name == "local" else pool))
            figures += of_sweep(name, pool, expected)
    publish("pools", figures)
    return 0 if all(figure.reached is not False for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
