"""Our schedule and early stopping against LoadGen's own wheel."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lydite.mlperf.early_stopping import discarded, missing_queries
from lydite.mlperf.evidence import Limits, of_log
from lydite.mlperf.loadgen import read_detail
from lydite.mlperf.round import find_round
from lydite.mlperf.schedule import Plan, Seeds, accuracy_schedules, schedule
from lydite.mlperf.verdict import judge

lg = pytest.importorskip("mlperf_loadgen", reason="LoadGen has no wheel here")
SEEDS = [Seeds(11, 22, 33), find_round("v6.1").seeds_of(), Seeds(2**63 + 5, 7, 2**40)]
LATENCY_NS = {"SingleStream": 100_000, "MultiStream": 3_000_000}


class Run:
    """One run of a system that does nothing: what was issued, and what the log says."""

    def __init__(self, plan, folder, delay_ns=0):
        settings = lg.TestSettings()
        settings.scenario = getattr(lg.TestScenario, plan.scenario)
        settings.mode = getattr(lg.TestMode, plan.mode)
        settings.qsl_rng_seed = plan.seeds.qsl
        settings.sample_index_rng_seed = plan.seeds.sample_index
        settings.schedule_rng_seed = plan.seeds.schedule
        settings.min_duration_ms = plan.min_duration_ms
        settings.min_query_count = plan.min_queries
        settings.performance_sample_count_override = plan.samples
        settings.sample_concatenate_permutation = plan.equal_issue
        settings.server_target_qps = settings.offline_expected_qps = plan.target_qps
        settings.server_target_latency_ns = 10**9
        settings.multi_stream_samples_per_query = plan.samples_per_query
        expected = round(1e9 / plan.target_qps)
        settings.single_stream_expected_latency_ns = expected
        settings.multi_stream_expected_latency_ns = expected
        self.issued = []
        sut = lg.ConstructSUT(self._issue, lambda: None)

        def nothing(_):
            pass

        qsl = lg.ConstructQSL(plan.total_samples, plan.samples, nothing, nothing)
        output, log = lg.LogOutputSettings(), lg.LogSettings()
        output.outdir, output.copy_summary_to_stdout = str(folder), False
        log.log_output, log.enable_trace = output, False
        lg.StartTestWithLogSettings(sut, qsl, settings, log, str(folder / "none"))
        lg.DestroyQSL(qsl)
        lg.DestroySUT(sut)
        self.values, self.errors = read_detail(folder / "mlperf_log_detail.txt")

    def _issue(self, queries):
        self.issued.append([query.index for query in queries])
        lg.QuerySamplesComplete([lg.QuerySampleResponse(q.id, 0, 0) for q in queries])


def plan_of(scenario, seeds, duration_ms, queries, samples, *, equal=False, mode="PerformanceOnly"):
    rate = 1e9 / LATENCY_NS[scenario] if scenario in LATENCY_NS else 700.0
    return Plan(
        scenario,
        seeds,
        rate,
        duration_ms,
        queries,
        samples,
        samples if mode == "PerformanceOnly" else 2 * samples + 27,
        min_samples=queries,
        equal_issue=equal,
        mode=mode,
    )


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("scenario", ["SingleStream", "MultiStream", "Server", "Offline"])
def test_queries_samples_and_times_are_those_of_the_wheel(scenario, equal, tmp_path):
    """The log holds the sum of all gaps, so that one wrong nanosecond would show."""
    cases = [(300, 100, 64), (20, 777, 63), (500, 1, 50)]
    for seeds, (duration_ms, queries, samples) in zip(SEEDS, cases, strict=True):
        plan = plan_of(scenario, seeds, duration_ms, queries, samples, equal=equal)
        ran, ours = Run(plan, tmp_path), schedule(plan)
        assert len(ours.samples) == ran.values["generated_query_count"]
        assert ours.samples.shape[1] == ran.values["generated_samples_per_query"]
        assert ours.end_ns == ran.values["generated_query_duration"]
        assert ran.issued == ours.samples[: len(ran.issued)].tolist()


@pytest.mark.parametrize("scenario", ["SingleStream", "MultiStream", "Server", "Offline"])
def test_accuracy_runs_issue_every_sample_in_the_order_of_the_wheel(scenario, tmp_path):
    plan = plan_of(scenario, SEEDS[0], 300, 1, 50, mode="AccuracyOnly")
    issued = [index for query in Run(plan, tmp_path).issued for index in query]
    ours = [part.samples.ravel() for part in accuracy_schedules(plan)]
    assert issued == np.concatenate(ours).tolist()


@pytest.mark.parametrize("queries", [30, 63, 64, 200, 700, 1500])
def test_the_verdict_is_that_of_the_log(queries, tmp_path):
    plan = plan_of("SingleStream", SEEDS[0], 1, queries, 64)
    ran = Run(plan, tmp_path)
    found = of_log(ran.values, ran.errors, "SingleStream", Limits(1, queries, 0.9))
    assert judge(found).word == ran.values["result_validity"]
    rank = discarded(found.queries, 0.9)
    text = json.dumps(ran.values["early_stopping_result"])
    if rank:
        assert f"discard {rank - 1} highest" in text
    else:
        assert "at least 64 queries" in text


def test_the_server_asks_for_as_many_more_queries_as_the_log_says(tmp_path):
    plan = plan_of("Server", SEEDS[0], 100, 20, 64)
    ran = Run(plan, tmp_path)
    queries = ran.values["result_query_count"]
    missing = missing_queries(queries, ran.values["result_overlatency_query_count"], 0.99)
    assert missing
    assert f"at least {missing} more queries" in ran.values["early_stopping_result"]
