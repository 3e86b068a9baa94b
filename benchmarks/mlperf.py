"""MLPerf: what the harness costs, whether it agrees with LoadGen, and how fast virtual time is.

    python benchmarks/mlperf.py [--seconds 5] [--pairs 3]

Figures that compare two timings interleave them in one run and report their ratio.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _figures import Figure, publish

import lydite as ly
from lydite.mlperf.batching import Batching
from lydite.mlperf.child import Request
from lydite.mlperf.early_stopping import queries_under
from lydite.mlperf.engine import Loaded, sizes_up_to, spec_of
from lydite.mlperf.engine import build as build_engine
from lydite.mlperf.harness import run as run_harness
from lydite.mlperf.loadgen import DETAIL, Issue, read_detail
from lydite.mlperf.play import VirtualSystem, play
from lydite.mlperf.round import find_round
from lydite.mlperf.schedule import Plan, Seeds, schedule
from lydite.mlperf.service import drawn

BARE = """
import sys, mlperf_loadgen as lg
folder, scenario, seconds, hint = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
s = lg.TestSettings()
s.scenario, s.mode = getattr(lg.TestScenario, scenario), lg.TestMode.PerformanceOnly
s.min_duration_ms, s.min_query_count = int(seconds * 1000), 100
s.single_stream_expected_latency_ns = int(hint)
s.offline_expected_qps = hint
def issue(queries):
    lg.QuerySamplesComplete([lg.QuerySampleResponse(q.id, 0, 0) for q in queries])
sut = lg.ConstructSUT(issue, lambda: None)
qsl = lg.ConstructQSL(64, 64, lambda x: None, lambda x: None)
output, log = lg.LogOutputSettings(), lg.LogSettings()
output.outdir, output.copy_summary_to_stdout = folder, False
log.log_output, log.enable_trace = output, False
lg.StartTestWithLogSettings(sut, qsl, s, log, folder + "/none")
"""


def bare(scenario: str, seconds: float, hint: float) -> dict[str, float]:
    """LoadGen with the shortest callback, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [folder, scenario, str(seconds), str(hint)]
        subprocess.run([sys.executable, "-c", BARE, *arguments], check=True)
        return read_detail(Path(folder) / DETAIL)[0]


def ours(scenario: str, seconds: float, hint: float) -> dict[str, float]:
    """The same through the harness."""
    names = {"SingleStream": "single_stream_expected_latency_ns", "Offline": "offline_expected_qps"}
    with tempfile.TemporaryDirectory() as folder:
        values: dict[str, int | float | bool] = {
            "min_duration_ms": int(seconds * 1000),
            "min_query_count": 100,
        }
        values |= {names[scenario]: int(hint), "performance_sample_count_override": 64}
        issue = Issue(scenario, "PerformanceOnly", "", 64, 64, values)
        batch = 1024 if scenario == "Offline" else 1
        run_harness(
            Request("null", "", (64, 0), issue, (batch, 0, 1), 1, "nothing", "", folder, 1 << 40)
        )
        return read_detail(Path(folder) / DETAIL)[0]


def overheads(seconds: float, pairs: int) -> list[Figure]:
    """What the harness adds to a query, and the share of Offline's rate that it keeps."""
    added, kept = [], []
    for _ in range(pairs):
        key = "result_50.00_percentile_latency_ns"
        own = ours("SingleStream", seconds, 700)
        added.append((own[key] - bare("SingleStream", seconds, 700)[key]) * 1e-3)
        key = "result_samples_per_second"
        own = ours("Offline", seconds, 150_000)
        kept.append(own[key] / bare("Offline", seconds, 150_000)[key])
    return [
        Figure("SingleStream p50 added by the harness", statistics.median(added), "us", 3, "lower"),
        Figure("Offline rate beside a bare callback", statistics.median(kept), "", 0.9, "higher"),
    ]


def plain_p50_s(engine: Loaded, seconds: float, batch: int = 1) -> float:
    times: list[float] = []
    deadline = time.perf_counter() + seconds
    at = 0
    while time.perf_counter() < deadline or len(times) < 5:
        start = time.perf_counter()
        engine.run([(at + i) % 64 for i in range(batch)])
        times.append(time.perf_counter() - start)
        at += batch
    return statistics.median(times[1:])


def beside_a_loop(name: str, seconds: float, pairs: int) -> list[Figure]:
    """An engine in a plain loop and under LoadGen, in turn."""

    def graph_of(size: int) -> ly.Graph:
        return ly.load(name, batch=size).graph

    best = 8
    spec = spec_of(name, graph_of(1), "fp32", "onnxruntime", "cpu", best)
    build_engine(spec, graph_of)
    samples = np.random.default_rng(0).standard_normal((64, 3, 224, 224), np.float32)
    (entry,) = graph_of(1).inputs
    streams, offline = [], []
    loop = Loaded(spec, {entry: samples}, 1)
    wide = Loaded(spec, {entry: samples}, 2)
    rates = {size: size / plain_p50_s(wide, seconds / 4, size) for size in sizes_up_to(best)}
    size = max(rates, key=lambda s: rates[s])
    given = {"min_duration": seconds, "samples": 64, "min_queries": 64, "fast": True}
    for _ in range(pairs):
        with tempfile.TemporaryDirectory() as folder:
            run = ly.mlperf_run(name, scenario="singlestream", out=Path(folder), **given).runs[0]
        streams.append(run.verdict.latency_ns[0.5] * 1e-9 / plain_p50_s(loop, seconds))
        with tempfile.TemporaryDirectory() as folder:
            more = {**given, "threads": 2, "batch_size": size}
            run = ly.mlperf_run(name, scenario="offline", out=Path(folder), **more).runs[0]
        offline.append(run.verdict.value / (size / plain_p50_s(wide, seconds, size)))
    loop.close()
    wide.close()
    conditions = {"batch": size, "pairs": pairs}
    ratio = statistics.median(streams)
    return [
        Figure(f"{name}: SingleStream p50 over a plain loop's", ratio, "", 1.02, "lower"),
        Figure(
            f"{name}: Offline rate over the best fixed batch's, 2 threads",
            statistics.median(offline),
            "",
            0.97,
            "higher",
            conditions,
        ),
    ]


def early_stopping(cases: int = 10_000) -> list[Figure]:
    """Thresholds against binomial tails, computed another way."""
    from scipy.stats import binom

    draw = np.random.default_rng(0)
    wrong = 0
    for _ in range(cases):
        over = int(draw.integers(0, 300))
        percentile = float(draw.choice([0.9, 0.95, 0.97, 0.99, 0.999]))
        total = queries_under(over, percentile) + over
        enough = binom.cdf(over, total, 1 - percentile) <= 0.01
        short = binom.cdf(over, total - 1, 1 - percentile) > 0.01
        wrong += not (enough and short)
    return [Figure(f"early stopping, of {cases:,} cases wrong", wrong, "", 0, "lower")]


def schedules() -> list[Figure]:
    """600 s of every scenario against the wheel: queries, samples a query, sum of all gaps."""
    import mlperf_loadgen as lg

    wrong = cases = 0
    for seeds in (find_round().seeds_of(), Seeds(11, 22, 33), Seeds(2**62, 5, 2**40 + 1)):
        for equal in (False, True):
            for scenario in ("SingleStream", "MultiStream", "Server", "Offline"):
                plan = Plan(scenario, seeds, 300.0, 600_000, 100, 1024, 1024, equal_issue=equal)
                values, issued = _generated(lg, plan)
                made = schedule(plan)
                same = values["generated_query_count"] == len(made.samples)
                same &= values["generated_query_duration"] == made.end_ns
                same &= issued == made.samples[: len(issued)].tolist()
                cases, wrong = cases + 1, wrong + (not same)
    return [
        Figure(f"schedules of 600 s, of {cases} cases unlike the wheel's", wrong, "", 0, "lower")
    ]


def _generated(lg, plan: Plan) -> tuple[dict[str, int], list[list[int]]]:
    """What the wheel generates; the run itself ends after a few queries."""
    settings = lg.TestSettings()
    settings.scenario = getattr(lg.TestScenario, plan.scenario)
    settings.mode = lg.TestMode.PerformanceOnly
    settings.qsl_rng_seed, settings.sample_index_rng_seed = plan.seeds.qsl, plan.seeds.sample_index
    settings.schedule_rng_seed = plan.seeds.schedule
    settings.min_duration_ms, settings.min_query_count = plan.min_duration_ms, plan.min_queries
    settings.performance_sample_count_override = plan.samples
    settings.sample_concatenate_permutation = plan.equal_issue
    settings.server_target_qps = settings.offline_expected_qps = plan.target_qps
    expected_ns = round(1e9 / plan.target_qps)
    settings.single_stream_expected_latency_ns = expected_ns
    settings.multi_stream_expected_latency_ns = expected_ns
    settings.max_query_count = 8
    if plan.scenario == "Offline":
        settings.min_query_count = plan.min_samples
    issued: list[list[int]] = []

    def issue(queries: Sequence[Any]) -> None:
        issued.append([query.index for query in queries])
        lg.QuerySamplesComplete([lg.QuerySampleResponse(q.id, 0, 0) for q in queries])

    def nothing(*_: object) -> None:
        """Nothing to load and nothing to flush."""

    sut = lg.ConstructSUT(issue, nothing)
    qsl = lg.ConstructQSL(plan.total_samples, plan.samples, nothing, nothing)
    with tempfile.TemporaryDirectory() as folder:
        output, log = lg.LogOutputSettings(), lg.LogSettings()
        output.outdir, output.copy_summary_to_stdout = folder, False
        log.log_output, log.enable_trace = output, False
        lg.StartTestWithLogSettings(sut, qsl, settings, log, f"{folder}/none")
        values, _ = read_detail(Path(folder) / DETAIL)
    lg.DestroyQSL(qsl)
    lg.DestroySUT(sut)
    return values, issued


def virtual() -> list[Figure]:
    """CPU time of 600 s of Server at 1,000 queries a second."""
    plan = Plan("Server", find_round().seeds_of(), 1000.0, 600_000, 100)
    system = VirtualSystem(Batching(8, 1_000_000), drawn({1: 0.8e-3, 8: 2e-3}, 0.1, 8, 0))
    play(plan, system)
    start = time.process_time()
    play(plan, system)
    spent = time.process_time() - start
    return [Figure("600 s of Server at 1,000 QPS in virtual time", spent, "s", 0.5, "lower")]


def replays(name: str, seconds: float) -> list[Figure]:
    """A run, and the same batches in virtual time: percentiles of both."""
    worst, verdicts = 0.0, 0
    given = {"min_duration": seconds, "samples": 64, "min_queries": 64, "batch_size": 4}
    given |= {"fast": True}
    with tempfile.TemporaryDirectory() as folder:
        ran = ly.mlperf_run(
            name, scenario="singlestream,multistream,offline", out=Path(folder), **given
        )
        for run in ran.runs:
            assert run.folder is not None
            record = json.loads((run.folder / "verdict.json").read_text())
            pilot = record["loadgen"]
            more = dict(given)
            if run.name == "Offline":
                more["expected_qps"] = pilot["offline_expected_qps"]
            again = ly.mlperf_run(name, scenario=run.name, replay=run.folder, **more).runs[0]
            verdicts += again.verdict.word != run.verdict.word
            for share in (0.5, 0.9, 0.95, 0.99):
                off = again.verdict.latency_ns[share] / run.verdict.latency_ns[share] - 1
                worst = max(worst, abs(off))
    return [
        Figure(f"{name}: replayed percentiles, worst difference", worst, "", 0.01, "lower"),
        Figure(f"{name}: replayed verdicts that differ", verdicts, "", 0, "lower"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--pairs", type=int, default=3)
    given = parser.parse_args()
    parts = [
        early_stopping,
        schedules,
        virtual,
        lambda: overheads(given.seconds, given.pairs),
        *(
            partial(beside_a_loop, n, given.seconds, given.pairs)
            for n in ("mobilenetv2", "resnet50")
        ),
        lambda: replays("mobilenetv2", given.seconds),
    ]
    figures: list[Figure] = []
    for part in parts:
        figures += part()
        print(*(f"{f.figure}: {f.value:.6g} {f.unit}" for f in figures[-2:]), sep="\n", flush=True)
    publish("mlperf", figures)


if __name__ == "__main__":
    main()
