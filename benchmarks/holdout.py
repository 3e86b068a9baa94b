"""Prediction of shapes that were never measured: every third operator key is held out.

    python benchmarks/holdout.py --db FILE

The database must hold isolated rows of this machine's processor, such as `accuracy.py --db FILE`
leaves. Without --db the model set is profiled first (some minutes).
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from _figures import Figure, publish
from _nets import nets

from lydite.backends import Settings, find_backend
from lydite.estimate import Chain, Interpolated, Roofline, fit_efficiency
from lydite.estimate.measured import paced
from lydite.hardware import Device, local_device
from lydite.measure import MeasuringSession, TimingPlan, profile
from lydite.opkey import OpKey
from lydite.store import Database

DISPATCH_S = 1e-6


def rows(database: Database, device: Device) -> list[tuple[OpKey, float]]:
    """Median seconds by key, newest row each, one thread; pseudo-operators left out."""
    found: dict[OpKey, float] = {}
    for row in database.query(device=device.name, scope="isolated", status="ok", threads=1):
        if row.key.domain != "lydite.backend" and row.key not in found:
            found[row.key] = float(np.median(paced(row)))
    return sorted(found.items(), key=lambda pair: pair[0].digest)


def judge(
    pairs: list[tuple[OpKey, float]], device: Device
) -> dict[str, list[tuple[float, bool, float]]]:
    """(error, inside, seconds) by source over three folds, each third held out once."""
    judged: dict[str, list[tuple[float, bool, float]]] = defaultdict(list)
    for fold in range(3):
        kept = [pair for i, pair in enumerate(pairs) if i % 3 != fold]
        held = [pair for i, pair in enumerate(pairs) if i % 3 == fold]
        fitted = fit_efficiency(kept, device, 1, DISPATCH_S)
        chain = Chain(
            [
                Interpolated(kept, device, 1),
                Roofline(threads=1, dispatch_s=DISPATCH_S, efficiency=fitted),
            ]
        )
        answers = chain.estimate([key for key, _ in held], device)
        for (key, seconds), answer in zip(held, answers, strict=True):
            if answer is None:
                judged["unknown"].append((np.nan, False, seconds))
                continue
            error = answer.seconds / seconds - 1
            inside = answer.low <= seconds <= answer.high
            judged[answer.source].append((error, inside, seconds))
            judged[f"type {key.qualified_type}"].append((error, inside, seconds))
    return judged


def fill(database: Database, device: Device) -> None:
    backend = find_backend("onnxruntime")
    for batch in (1, 8):
        for graph in nets(batch):
            plan = TimingPlan(rounds=9, budget_s=0.3, clock="process")
            with MeasuringSession(backend, database, device.name, Settings(), plan) as session:
                print(graph.name, batch, profile(graph, session).measured, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--db", type=Path)
    options = parser.parse_args()
    device = local_device()
    with tempfile.TemporaryDirectory() as folder:
        with Database.open(options.db or Path(folder) / "holdout.db") as database:
            if options.db is None:
                fill(database, device)
            pairs = rows(database, device)
    judged = judge(pairs, device)
    for kind, found in sorted(judged.items(), key=lambda item: -len(item[1])):
        errors = np.abs([error for error, _, _ in found])
        inside = np.mean([within for _, within, _ in found])
        print(
            f"{kind:<45} {len(found):5d}  median {np.nanmedian(errors):6.1%}  "
            f"p90 {np.nanpercentile(errors, 90):6.1%}  inside {inside:6.1%}"
        )
    every = [item for kind in ("interpolated", "roofline", "unknown") for item in judged[kind]]
    errors = np.abs([error for error, _, _ in every])
    median = float(np.nanmedian(errors))
    weights = np.array([seconds for _, _, seconds in every])
    notes = {
        "keys": len(pairs),
        "interpolated": len(judged["interpolated"]),
        "roofline": len(judged["roofline"]),
        "unknown": len(judged["unknown"]),
    }
    publish(
        "holdout",
        [
            Figure("median absolute error, held-out keys", median, "share", 0.10, "lower", notes),
            Figure(
                "true time inside the 90 % interval",
                float(np.mean([w for _, w, _ in every])),
                "share",
                0.90,
                "higher",
            ),
            Figure(
                "time-weighted absolute error, held-out keys",
                float(np.nansum(errors * weights) / weights.sum()),
                "share",
                None,
                "lower",
            ),
        ],
    )


if __name__ == "__main__":
    main()
