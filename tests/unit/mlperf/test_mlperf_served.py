"""Token scenarios under the serving loop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import lydite as ly
from lydite.errors import InputError
from lydite.mlperf.round import find_round
from lydite.mlperf.schedule import Plan, schedule
from lydite.mlperf.served import ServedTokens, lengths_of
from lydite.serving import Replica, Scheduler, StepTimes
from lydite.serving.times import (
    DECODE_CONTEXT,
    DECODE_SEQUENCES,
    PREFILL_CONTEXT,
    PREFILL_TOKENS,
)

STEP_S, TOKEN_S = 1e-3, 1e-5


@pytest.fixture
def system():
    """A constant a step and a constant a token, so that sums can be made by hand."""
    none = np.full((len(DECODE_SEQUENCES), len(DECODE_CONTEXT)), 1e-10)
    prompts = np.full((len(PREFILL_TOKENS), len(PREFILL_CONTEXT)), 1e-10)
    dense = TOKEN_S * np.arange(20_000)
    times = StepTimes(dense, np.zeros(2048), none, prompts, none, host_s=STEP_S)
    rng = np.random.default_rng(0)
    prompt, output = rng.integers(20, 300, 64), rng.integers(1, 80, 64)
    return ServedTokens([Replica(Scheduler(), times, 100_000)], prompt, output, "by hand")


def plan(scenario, qps=10.0, **given):
    seeds = find_round("v6.0").seeds_of()
    usual = {"min_duration_ms": 1000, "samples": 64, "total_samples": 64, "min_samples": 200}
    return Plan(scenario, seeds, qps, **{**usual, **given})


def test_offline_ends_when_the_last_sample_does(system):
    made = plan("Offline")
    record = system.play(made)
    samples = schedule(made).samples.ravel()
    assert record.tokens.count.tolist() == system.output[samples].tolist()
    tokens = int((system.prompt[samples] + system.output[samples] - 1).sum())
    steps = int(system.output.max())
    assert record.duration_ns >= tokens * TOKEN_S * 1e9 + steps * STEP_S * 1e9
    assert record.done_ns.min() > 0


def test_a_slow_server_prefills_each_sample_alone(system):
    made = plan("Server", qps=0.1, min_duration_ms=100_000, min_queries=10)
    record = system.play(made)
    rows = schedule(made).samples.ravel()
    expected = STEP_S + system.prompt[rows] * TOKEN_S
    alone = np.diff(record.scheduled_ns, append=record.scheduled_ns[-1] + 10**10) > 2e9
    first = record.tokens.first_ns * 1e-9
    assert first[1:][alone[:-1]] == pytest.approx(expected[1:][alone[:-1]], abs=1e-7)


def test_a_higher_rate_never_shortens_the_mean_latency(system):
    rates = (1.0, 50.0, 500.0)
    plans = [plan("Server", qps, min_queries=2000) for qps in rates]
    means = [system.play(each).latencies_ns.mean() for each in plans]
    assert means == sorted(means)


def test_single_stream_issues_when_the_one_before_is_done(system):
    record = system.play(plan("SingleStream", qps=100.0, min_queries=20))
    assert record.issued_ns[1:] == pytest.approx(record.done_ns[:-1, 0], abs=2)
    assert record.queries >= 20
    assert record.issued_ns[-1] >= 1e9


def test_multi_stream_is_refused(system):
    with pytest.raises(InputError, match="MultiStream has no rules for tokens"):
        system.play(plan("MultiStream"))


def test_a_faster_system_answers_more(system):
    fast = replace(
        system, replicas=[replace(r, times=r.times.scaled(0.5)) for r in system.replicas]
    )
    assert fast.offline_qps == pytest.approx(2 * system.offline_qps, rel=1e-6)
    assert fast.alone_qps == pytest.approx(2 * system.alone_qps, rel=1e-6)


def test_lengths_have_the_means_of_the_data_set():
    prompt, output, told = lengths_of("llama3.1-8b", 20_000, seed=1)
    assert prompt.mean() == pytest.approx(778, rel=0.02)
    assert output.mean() == pytest.approx(73, rel=0.03)
    assert "drawn around 778 + 73 tokens, their spread assumed" in told
    with pytest.raises(InputError, match="not known"):
        lengths_of("gpt-oss-120b", 10, seed=1)


def test_a_benchmark_of_tokens_is_served_where_no_times_are_stated():
    given = {"on": "h100", "virtual": True, "target_qps": 1.0, "round": "v6.0"}
    result = ly.mlperf_run("llama3.1-8b", scenario="server", min_duration=1.0, **given)
    assert "decides as vllm 0.19.0 on 1 x nvidia-h100" in result.summary()


def test_what_the_runtimes_scheduler_decides_is_not_taken():
    given = {"on": "h100", "virtual": True, "target_qps": 1.0, "round": "v6.0", "workers": 4}
    with pytest.raises(InputError, match="--workers has no effect"):
        ly.mlperf_run("llama3.1-8b", scenario="server", **given)
