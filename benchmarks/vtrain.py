"""vTrain's measured training steps on 2 and 4 A100s: from the spec sheet, and calibrated.

The rows are read through LYDITE_REFERENCE_DATA. What vTrain's repository says of the workload is
given: a vocabulary of 50,257, attention written out, whole layers computed again, gradients sent
after the backward pass. Six constants are fitted to every fourth row on 2 GPUs, and the all-reduce
to nccl-tests on 2 GPUs; both are then left alone, and all rows on 4 GPUs judge them.

Beside them the null model: 8 FLOPs for each weight and token over peak times one constant (fitted
to the same rows), and the bubble (m + p - 1) / m.

The rows look composed rather than measured one by one: within each (parallelism, hidden size,
micro-batch) they are linear in layers and micro-batches to 0.05 %, with the same layer time on 2
and on 4 GPUs.
"""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from _figures import Figure, publish

from lydite.cluster import Plan
from lydite.cluster.calibration.collectives import calibrate
from lydite.cluster.calibration.steps import Observed, calibrated, simulated, with_spread
from lydite.cluster.collectives import read_nccl_log
from lydite.cluster.constants import ASSUMED, Constants
from lydite.cluster.rank import RankStep, rank_step
from lydite.cluster.seen import ranges, widened
from lydite.estimate.roofline import Roofline
from lydite.hardware.cluster import read_cluster
from lydite.models.decoder import decoder
from lydite.models.dimensions import Decoder

DATA = Path(os.environ.get("LYDITE_REFERENCE_DATA", "../shared/data")) / "vtrain"
STEPS = DATA / "step_times_2_and_4_gpus.csv"
VOCABULARY = 50257
EVERY = 4


def rows() -> list[dict[str, float]]:
    """The file's rows, as numbers."""
    with STEPS.open() as file:
        return [{name: float(text) for name, text in row.items()} for row in csv.DictReader(file)]


@cache
def _rank(hidden: int, heads: int, layers: int, length: int, plan: Plan) -> RankStep:
    size = Decoder(
        layers=layers,
        hidden=hidden,
        heads=heads,
        feed_forward=4 * hidden,
        packed=True,
        vocabulary=VOCABULARY,
        positions=length,
    )
    net = decoder(size, batch=plan.micro_batch, sequence=length, phase="forward", dtype="float16")
    return rank_step(net, plan)


def observed(row: dict[str, float]) -> Observed:
    """A row as a measured step."""
    number = {name: int(value) for name, value in row.items()}
    plan = Plan(
        dp=number["data parallelism"],
        tp=number["tensor parallelism"],
        pp=number["pipeline parallelism"],
        micro_batch=number["micro batch"],
        batch=number["global batch"],
        recompute="full",
        attention="written",
        overlap=False,
    )
    sizes = [number[n] for n in ("hidden size", "attention heads", "# layers", "sequence length")]
    hidden, heads, layers, length = sizes
    rank = _rank(hidden, heads, layers, length, replace(plan, dp=1, batch=0))
    return Observed(rank, _cluster(number["# GPUs"]), plan, 1e-3 * row["iteration time (ms)"])


@cache
def _cluster(devices: int) -> Any:
    return read_cluster("dgx-a100", devices)


def flops_s(row: dict[str, float]) -> float:
    """Of the null model: seconds at peak arithmetic."""
    hidden, tokens = row["hidden size"], row["global batch"] * row["sequence length"]
    weights = 12 * row["# layers"] * hidden**2 + VOCABULARY * hidden
    micro_batches = row["global batch"] / row["data parallelism"] / row["micro batch"]
    bubble = (micro_batches + row["pipeline parallelism"] - 1) / micro_batches
    return 8 * weights * tokens / (row["# GPUs"] * _cluster(2).device.peak("float16")) * bubble


def roofline(constants: Constants) -> Roofline:
    """What says how long operators take."""
    return Roofline(achieved=constants.achieved, dispatch_s=constants.achieved.kernel_s)


def errors(found: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Signed relative errors."""
    return found / measured - 1


def main() -> None:
    if not STEPS.exists():
        print(f"no vTrain rows: {STEPS} is not there (LYDITE_REFERENCE_DATA)")
        return
    every = rows()
    two, four = ([r for r in every if r["# GPUs"] == n] for n in (2, 4))
    logs = {2: read_nccl_log(DATA / "allreduce" / "a100_2gpus.txt")[1]}
    start = replace(ASSUMED, collectives=calibrate(logs, _cluster(2)))
    train = [observed(row) for row in two[::EVERY]]
    test = [observed(row) for row in four]
    judge = np.array([one.seconds for one in test])
    zero_shot = errors(simulated(test, ASSUMED, roofline), judge)
    fitted = calibrated(train, roofline, start=start, source="fitted to vTrain on 2 GPUs")
    found = errors(simulated(test, fitted, roofline), judge)
    aside = [observed(row) for i, row in enumerate(two) if i % EVERY]
    least, most = with_spread(fitted, aside, roofline).achieved.spread
    spread = (least, most)
    seen = ranges((each.cluster, each.plan) for each in train)
    bounds = [widened(spread, seen, each.cluster, each.plan) for each in test]
    low, high = np.array(bounds).T
    inside = (low * (1 + found) <= 1) & (high * (1 + found) >= 1)
    plain = (spread[0] * (1 + found) <= 1) & (spread[1] * (1 + found) >= 1)
    one = np.median([r["iteration time (ms)"] * 1e-3 / flops_s(r) for r in two[::EVERY]])
    null = errors(one * np.array([flops_s(row) for row in four]), judge)
    at = {
        "rows": len(four),
        "fitted_to_rows": len(train),
        "bias": float(found.mean()),
        "median": float(np.median(np.abs(found))),
        "worst": float(np.abs(found).max()),
        "one_constant_and_bubble": float(np.abs(null).mean()),
        **fitted.values,
    }
    figures = [
        Figure(
            "vTrain's steps on 4 A100s, calibrated on 2, mean error",
            float(np.abs(found).mean()),
            "share",
            0.084,
            "lower",
            at,
        ),
        Figure(
            "vTrain's steps on 4 A100s from the spec sheet alone, mean error",
            float(np.abs(zero_shot).mean()),
            "share",
            None,
            "lower",
            {"rows": len(four), "bias": float(zero_shot.mean()), **ASSUMED.values},
        ),
        Figure(
            "of these steps within the bounds, widened by the distance from 2 GPUs",
            float(inside.mean()),
            "share",
            0.85,
            "higher",
            {
                "rows": len(four),
                "from_rows": len(aside),
                "low": float(np.median(low)),
                "high": float(np.median(high)),
                "inside_before_widening": float(plain.mean()),
            },
        ),
    ]
    publish("vtrain", figures)


if __name__ == "__main__":
    main()
