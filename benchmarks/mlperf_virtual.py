"""MLPerf in virtual time against real runs: from the Estimator, and replays of Server.

    python benchmarks/mlperf_virtual.py [--seconds 10] [--pairs 3]

Each pair is a real run and the same run in virtual time, one after the other. Figures of the
Estimator rest on operators that are measured first, on the same machine.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from _figures import Figure, publish

import lydite as ly
from lydite.api.mlperf.ran import MlperfRunResult
from lydite.api.mlperf.scenario import ScenarioRun

ROOT = Path(__file__).parents[1]
MODELS = ("mobilenetv2", "resnet50")
SCENARIOS = ("singlestream", "multistream", "offline", "server")
BATCH = 8
_BUSY = 0.5
"""Share of its rate in SingleStream at which Server is run."""


def _only(result: MlperfRunResult) -> ScenarioRun:
    (run,) = result.runs
    return run


def _given(seconds: float) -> dict[str, Any]:
    least = {"min_queries": 64, "samples": 64, "fast": True, "min_duration": seconds}
    return {**least, "batch_size": BATCH, "latency_limit": 10_000.0}


def estimated(session: ly.Session, model: str, seconds: float, pairs: int) -> list[Figure]:
    """Virtual runs from the Estimator beside real ones."""
    for size in (1, 2, 4, BATCH):
        session.profile([model], batch=size)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        given = _given(seconds)
        first = _only(session.mlperf_run(model, scenario="singlestream", out=Path(folder), **given))
        given["target_qps"] = _BUSY * 1e9 / first.verdict.latency_ns[0.5]
        for scenario in SCENARIOS:
            figures += _compared(session, model, scenario, given, pairs, Path(folder))
    return figures


def _compared(
    session: ly.Session,
    model: str,
    scenario: str,
    given: dict[str, Any],
    pairs: int,
    folder: Path,
) -> list[Figure]:
    real: list[ScenarioRun] = []
    virtual: list[ScenarioRun] = []
    for pair in range(pairs):
        place = folder / f"{scenario}{pair}"
        real.append(_only(session.mlperf_run(model, scenario=scenario, out=place, **given)))
        virtual.append(_only(session.mlperf_run(model, scenario=scenario, virtual=True, **given)))
    together = list(zip(virtual, real, strict=True))
    rates = [_rate(v) / _rate(r) for v, r in together]
    figures = [_within(f"{model} {scenario}: virtual rate over real", rates, 0.05)]
    for share, least in ((0.5, 0.05), (0.99, 0.10)):
        measured = [run.verdict.latency_ns[share] for run in real]
        spread = max(measured) / min(measured) - 1 if share > 0.5 else 0.0
        ratios = [v.verdict.latency_ns[share] / r.verdict.latency_ns[share] for v, r in together]
        name = f"{model} {scenario}: virtual p{share * 100:g} over real"
        figures.append(_within(name, ratios, max(least, spread)))
    return figures


def _rate(run: ScenarioRun) -> float:
    """Samples a second; of scenarios that give latencies, by the mean of the run."""
    if run.verdict.unit == "ms":
        return run.samples / run.duration_s
    return run.verdict.value


def _within(name: str, ratios: list[float], limit: float) -> Figure:
    middle = statistics.median(ratios)
    conditions = {"ratio": middle, "pairs": len(ratios)}
    return Figure(f"{name}, off by", abs(middle - 1), "", limit, "lower", conditions)


def replayed(session: ly.Session, model: str, seconds: float) -> list[Figure]:
    """Replays of Server at three loads: verdicts, and percentiles from p50 to p99."""
    worst, differing = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        given = {**_given(seconds), "batch_size": 1}
        first = _only(session.mlperf_run(model, scenario="singlestream", out=Path(folder), **given))
        most = 1e9 / first.verdict.latency_ns[0.5]
        given["latency_limit"] = 4e3 / most
        for busy in (0.3, 0.6, 1.2):  # the last one is too fast to be valid
            given["target_qps"] = busy * most
            place = Path(folder) / f"{busy}"
            real = _only(session.mlperf_run(model, scenario="server", out=place, **given))
            again = _only(session.mlperf_run(model, scenario="server", replay=real.folder, **given))
            differing += real.verdict.word != again.verdict.word
            for share in (0.5, 0.9, 0.95, 0.97, 0.99):
                off = again.verdict.latency_ns[share] / real.verdict.latency_ns[share] - 1
                worst = max(worst, abs(off))
    return [
        Figure(f"{model} server: replayed percentiles, worst difference", worst, "", 0.01, "lower"),
        Figure(f"{model} server: replayed verdicts that differ", differing, "", 0, "lower"),
    ]


def planted() -> list[Figure]:
    """Faults that are planted into a good tree, and how many are not named by their path."""
    tests = ROOT / "tests" / "unit" / "mlperf" / "test_mlperf_check.py"
    command = [sys.executable, "-m", "pytest", "-q", str(tests), "-k", "planted or good_tree"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed)", done.stdout)}
    conditions = {"planted": counts.get("passed", 0) + counts.get("failed", 0) - 1}
    return [
        Figure("planted faults not named", counts.get("failed", 0), "", 0, "lower", conditions),
        Figure("planted faults", conditions["planted"], "", 46, "higher"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--models", default=",".join(MODELS))
    given = parser.parse_args()
    models = given.models.split(",")
    figures = planted()
    with tempfile.TemporaryDirectory() as folder, ly.Session(Path(folder) / "own.db") as session:
        parts = [
            *(partial(estimated, session, m, given.seconds, given.pairs) for m in models),
            *(partial(replayed, session, m, given.seconds) for m in models),
        ]
        for part in parts:
            made = part()
            print(*(f"{f.figure}: {f.value:.4g}" for f in made), sep="\n", flush=True)
            figures += made
    publish("mlperf_virtual", figures)


if __name__ == "__main__":
    main()
