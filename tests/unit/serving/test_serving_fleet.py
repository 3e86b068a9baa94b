"""Replicas that fail, start cold and scale: closed forms, and that no request is lost."""

from __future__ import annotations

import numpy as np
import pytest
from serving_cases import STEP_S, TOKEN_S, one, workload

from lydite.errors import InputError
from lydite.serving import Failure, Fleet, Scale, made, simulate_serving
from lydite.serving.fleet import read_failures, read_scale

ALONE_S = STEP_S + 100 * TOKEN_S + 9 * (STEP_S + TOKEN_S)
"""Time of 100 + 10 tokens on an idle replica."""


def requests_of(arrivals):
    count = len(arrivals)
    return made(np.array(arrivals), np.full(count, 100), np.full(count, 10))


def test_a_request_of_a_failed_replica_begins_anew_on_another():
    fleet = Fleet((Failure(0, 5e-3),))
    outcome = simulate_serving(requests_of([0.0]), one() * 2, fleet=fleet, gaps=100)
    assert outcome.last_s[0] == pytest.approx(5e-3 + ALONE_S, rel=1e-6)
    assert outcome.first_s[0] == pytest.approx(5e-3 + STEP_S + 100 * TOKEN_S, rel=1e-6)
    assert (outcome.replica.tolist(), outcome.retried.tolist()) == ([1], [1])
    assert outcome.itls_s(0).sum() == pytest.approx(outcome.last_s[0] - outcome.first_s[0])
    assert outcome.on_s == pytest.approx([5e-3, outcome.end_s])


def test_without_another_it_waits_for_the_cold_start():
    fleet = Fleet((Failure(0, 5e-3, 0.1),), cold_s=0.4)
    outcome = simulate_serving(requests_of([0.0, 6e-3]), one(max_num_seqs=1), fleet=fleet)
    begins = 5e-3 + 0.1 + 0.4
    assert outcome.last_s == pytest.approx([begins + ALONE_S, begins + 2 * ALONE_S], rel=1e-6)
    # the time between the failure and the start is not run
    assert outcome.on_s[0] == pytest.approx(outcome.end_s - 0.1, rel=1e-6)


def test_a_replica_that_fails_for_good_answers_no_more():
    outcome = simulate_serving(requests_of([0.0, 1.0]), one(), fleet=Fleet((Failure(0, 0.5),)))
    assert np.isnan(outcome.last_s).tolist() == [False, True]


def test_a_failure_empties_the_cache():
    requests = made(
        np.array([0.0, 2.0]), np.full(2, 160), np.full(2, 2), keys=[np.arange(1, 11)] * 2
    )
    kept = simulate_serving(requests, one())
    lost = simulate_serving(requests, one(), fleet=Fleet((Failure(0, 1.0, 0.1),)))
    assert (kept.hits.tolist(), lost.hits.tolist()) == ([0, 144], [0, 0])


@pytest.mark.parametrize("policy", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("seed", range(2))
def test_no_request_is_lost(policy, seed):
    requests = workload(seed, 100, 1e-3, shared=64)
    failures = tuple(Failure(n % 3, 0.02 * (n + 1), 0.03) for n in range(6))
    fleet = Fleet(failures, cold_s=0.01)
    first, second = (
        simulate_serving(requests, one(2000, policy=policy) * 3, fleet=fleet) for _ in range(2)
    )
    assert not np.isnan(first.last_s).any()
    assert first.failures == 6
    assert first.retried.sum() > 0
    assert first.last_s.tobytes() == second.last_s.tobytes()


def test_waiting_requests_start_replicas_and_idleness_stops_them():
    """Twenty at once, one at a time: more than four wait for each of up to three."""
    requests = requests_of([0.0] * 20 + [10.0])
    fleet = Fleet(scale=Scale(1, 4, 1.0), cold_s=0.05)
    outcome = simulate_serving(requests, one(max_num_seqs=1) * 3, fleet=fleet)
    assert (outcome.starts, outcome.stops) == (2, 2)
    assert outcome.last_s[:20].max() > 0.05
    # the last request runs on the replica that is left, all others were stopped after a second
    assert outcome.latency_s[20] == pytest.approx(ALONE_S, rel=1e-6)
    assert sorted(outcome.on_s)[2] == pytest.approx(outcome.end_s)
    assert sorted(outcome.on_s)[1] < 2


def test_scaling_that_never_acts_changes_nothing():
    requests = workload(3, 60)
    usual = simulate_serving(requests, one())
    scaled = simulate_serving(requests, one() * 4, fleet=Fleet(scale=Scale(1, 10_000, 1e6)))
    assert scaled.last_s.tobytes() == usual.last_s.tobytes()
    assert scaled.on_s.tolist() == [pytest.approx(usual.end_s), 0, 0, 0]


def test_words():
    assert read_failures("1@30, 2@40:10", 2) == (Failure(0, 30.0), Failure(1, 40.0, 10.0))
    assert read_scale("1:4") == (Scale(1, 8, 60.0), 4)
    assert read_scale("2:8,idle=5,queue=3") == (Scale(2, 3, 5.0), 8)
    for text in ("1:1", "0:2", "1:2,queue=x", "1:2,idle=-1", "1:2,idle=nan", "2"):
        with pytest.raises(InputError):
            read_scale(text)
    for text in ("1", "3@1", "1@x", "1@1:0", "1@inf", "0@1"):
        with pytest.raises(InputError):
            read_failures(text, 2)
