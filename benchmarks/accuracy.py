"""Prediction of whole models from their operators, each measured beside its operators.

    python benchmarks/accuracy.py [--threads 1] [--batches 1 8] [--only NAME ...] [--db FILE]

Process CPU time, operators and model interleaved round by round, sixteen nets. With two threads the
wall clock is used, since CPU time adds the threads up.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from _figures import Figure, publish
from _nets import nets

from lydite.backends import Settings, find_backend
from lydite.estimate import Accuracy
from lydite.hardware import local_device
from lydite.measure import MeasuringSession, TimingPlan, Validation, validate
from lydite.report.text.validate import accuracy_table
from lydite.store import Database


def run(
    database: Database, threads: int, batches: list[int], only: list[str], budget_s: float
) -> dict[str, Validation]:
    clock = "process" if threads == 1 else "wall"
    plan = TimingPlan(rounds=9, budget_s=budget_s, clock=clock)
    backend, device = find_backend("onnxruntime"), local_device()
    found: dict[str, Validation] = {}
    for batch in batches:
        for graph in nets(batch):
            if only and graph.name not in only:
                continue
            settings = Settings(threads=threads)
            with MeasuringSession(backend, database, device.name, settings, plan) as session:
                result = validate(graph, session, device)
            point = result.point
            found[f"{graph.name} x{batch}"] = result
            print(
                f"{graph.name:<14} batch {batch}  {1e3 * point.measured:9.2f} ms measured "
                f"{1e3 * point.predicted:9.2f} ms predicted  {100 * point.error:+6.1f} %  "
                f"coverage {result.prediction.coverage.node_coverage:.0%}",
                flush=True,
            )
    return found


def figures(found: dict[str, Validation], threads: int) -> list[Figure]:
    accuracy = Accuracy.of([result.point for result in found.values()])
    covered = min(r.prediction.coverage.time_share("measured") for r in found.values())
    per_model = {
        name: {
            "error": r.point.error,
            "measured_s": r.measured_s,
            "inside_interval": r.point.inside,
        }
        for name, r in found.items()
    }
    notes = {
        "threads": threads,
        "clock": "process" if threads == 1 else "wall",
        "models": per_model,
        "bias": accuracy.bias,
    }
    goals = (0.05, 0.10, 1.0) if threads == 1 else (None, None, None)
    label = f"{len(found)} models, {threads} thread{'s' * (threads > 1)}"
    return [
        Figure(
            f"median absolute error, {label}",
            accuracy.median_abs,
            "share",
            goals[0],
            "lower",
            notes,
        ),
        Figure(
            f"worst absolute error, {label}",
            abs(accuracy.worst.error),
            "share",
            goals[1],
            "lower",
            {"worst": accuracy.worst.name},
        ),
        Figure(f"least coverage (time measured), {label}", covered, "share", goals[2], "higher"),
        Figure(
            f"measured inside the 90 % interval, {label}", accuracy.inside, "share", None, "higher"
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, nargs="*", default=[1])
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 8])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--budget", type=float, default=6.0)
    parser.add_argument("--db", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with Database.open(options.db or Path(folder) / "accuracy.db") as database:
            for threads in options.threads:
                found = run(database, threads, options.batches, options.only, options.budget)
                print("\n" + accuracy_table(list(found.values())) + "\n")
                name = "accuracy" + (f"-{threads}-threads" if threads > 1 else "")
                publish(name if not options.only else "accuracy-part", figures(found, threads))


if __name__ == "__main__":
    main()
