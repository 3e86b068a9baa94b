"""Collectives: all-reduces of 4 GPUs foretold from those of 2, and rings played as flows.

vTrain's nccl-tests (1,024 sizes from 1 MB to 1 GB, in place) are read through
LYDITE_REFERENCE_DATA. Constants are fitted to the rows of 2 GPUs alone. The form (rate of the links
less packets' headers, NCCL's latencies, a launch, a term per byte of the local tensor) was chosen
by somebody who had seen the bus bandwidth of 4 GPUs at 1 GB: the figure is not a blind one.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
from _figures import Figure, publish

from lydite.cluster.calibration.collectives import calibrate, geomean_error
from lydite.cluster.collectives import (
    Calibration,
    Curve,
    expand,
    group_of,
    read_nccl_log,
)
from lydite.engine import simulate
from lydite.hardware.cluster import Cluster, read_cluster

DATA = Path(os.environ.get("LYDITE_REFERENCE_DATA", "../shared/data"))
LOGS = DATA / "vtrain" / "allreduce"
MACHINES = {"A100": "dgx-a100", "V100": "dgx-1v"}
GOAL = 0.10
REPEATS = 5


def ratios(cluster: Cluster, ranks: int, curve: Curve, constants: Calibration | None) -> np.ndarray:
    """Modelled over measured times."""
    group = group_of(cluster, [range(ranks)], constants)
    return np.array([group.seconds("AllReduce", s) for s in curve.sizes_bytes]) / curve.seconds


def foretold(gpu: str, name: str) -> list[Figure]:
    """4 GPUs from 2, and from the specification alone."""
    cluster = read_cluster(name)
    curves = {n: read_nccl_log(LOGS / f"{gpu.lower()}_{n}gpus.txt")[1] for n in (2, 4)}
    fitted = calibrate({2: curves[2]}, cluster)
    found: list[Figure] = []
    for what, constants, goal in (
        ("from 2 GPUs", fitted, GOAL),
        ("from the specification alone", None, None),
    ):
        ratio = ratios(cluster, 4, curves[4], constants)
        small = ratio[curves[4].sizes_bytes <= 32 * 2**20]
        held: dict[str, object] = {
            "rows": len(ratio),
            "bias": float(np.exp(np.mean(np.log(ratio))) - 1),
            "error_up_to_32_MiB": geomean_error(small),
        }
        if constants is not None:
            held |= {
                "launch_us": 1e6 * constants.launch_s,
                "local_ps_per_byte": 1e12 * constants.local_s_per_byte,
                "error_on_2_gpus": constants.error,
            }
        title = f"all-reduce on 4 {gpu}s {what}, geomean error"
        found.append(Figure(title, geomean_error(ratio), "share", goal, "lower", held))
    return found


def choices() -> list[Figure]:
    """From which size on NCCL's model leaves trees for rings."""
    found: list[Figure] = []
    for hosts in (2, 16, 128):
        cluster = read_cluster(f"h100-superpod x {hosts}")
        group = group_of(cluster, [range(cluster.ranks)])
        sizes = 2.0 ** np.arange(10, 36, 0.25)
        taken = [group.choice("AllReduce", size) for size in sizes]
        ring = next(s for s, c in zip(sizes, taken, strict=True) if c.algorithm == "ring")
        held = {"smallest": "/".join(taken[0][:2]), "largest": "/".join(taken[-1][:2])}
        what = f"NCCL's model: rings from, all-reduce on {cluster.ranks:,} H100s"
        found.append(Figure(what, ring / 1e6, "MB", None, "lower", held))
    return found


def played() -> list[Figure]:
    """CPU time from a cluster to the timeline of one ring all-reduce."""
    found: list[Figure] = []
    for hosts, goal in ((4, 20.0), (32, 3000.0)):
        cluster = read_cluster(f"v100-pcie x {hosts}")
        took, tasks = zip(*(ring(cluster) for _ in range(REPEATS + 1)), strict=True)
        held = {"tasks": tasks[0], "links": len(cluster.links)}
        what = f"ring all-reduce, {cluster.ranks} GPUs, one ring, built and played"
        found.append(Figure(what, 1e3 * median(took[1:]), "ms", goal, "lower", held))
    return found


def ring(cluster: Cluster) -> tuple[float, int]:
    """CPU seconds, and tasks."""
    start = time.process_time()
    made = expand(cluster, [range(cluster.ranks)], "AllReduce", 1e9)
    simulate(made.tasks, made.servers, made.network)
    return time.process_time() - start, len(made.tasks)


def main() -> int:
    figures = [*choices(), *played()]
    if LOGS.exists():
        figures = [f for gpu, name in MACHINES.items() for f in foretold(gpu, name)] + figures
    else:
        print(f"no vTrain logs: {LOGS} is not there (LYDITE_REFERENCE_DATA)")
    publish("collectives", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
