"""Priorities: who is served and preempted, and by how much the urgent are sooner."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from serving_cases import one, workload

from lydite.errors import InputError
from lydite.serving import made, simulate_serving
from lydite.serving.metrics import figures_of
from lydite.serving.traces import read_trace


def test_the_urgent_are_served_first_then_the_early():
    """One at a time: the first has begun when the others come."""
    requests = made(
        np.array([0.0, 1e-4, 2e-4, 3e-4]),
        np.full(4, 10),
        np.full(4, 5),
        priority=np.array([1, 1, 0, -1]),
    )
    outcome = simulate_serving(requests, one(max_num_seqs=1, priorities=True))
    assert np.argsort(outcome.first_s).tolist() == [0, 3, 2, 1]
    usual = simulate_serving(requests, one(max_num_seqs=1))
    assert np.argsort(usual.first_s).tolist() == [0, 1, 2, 3]


def test_the_least_urgent_is_preempted_though_it_came_first():
    """Three requests grow beyond ten blocks; the one that came first matters least."""
    requests = made(
        np.array([0.0, 1e-4, 2e-4]), np.full(3, 40), np.full(3, 40), priority=np.array([5, 1, 1])
    )
    outcome = simulate_serving(requests, one(11 * 16, priorities=True))
    assert outcome.preempted[0] > 0
    assert outcome.preempted[1] == 0
    usual = simulate_serving(requests, one(11 * 16))
    assert (usual.preempted[0], usual.preempted[2] > 0) == (0, True)


def test_equal_priorities_without_preemptions_are_first_come_first_served():
    requests = workload(4, 80)
    ordered, usual = (
        simulate_serving(requests, one(max_num_seqs=8, priorities=on)) for on in (True, False)
    )
    assert ordered.last_s.tobytes() == usual.last_s.tobytes()


def test_the_urgent_wait_less_and_all_end():
    requests = workload(5, 200, 1e-3)
    requests = replace(requests, priority=np.arange(200, dtype=np.int32) % 2)
    outcome = simulate_serving(requests, one(2000, priorities=True))
    assert not np.isnan(outcome.last_s).any()
    waits = [figures_of(outcome, requests.priority == each)["ttft"]["p50"] for each in (0, 1)]
    assert waits[0] < waits[1] / 2


@pytest.mark.parametrize("policy", ["sglang", "trtllm"])
def test_other_runtimes_have_no_priorities_here(policy):
    with pytest.raises(InputError, match=f"priorities are not modelled for {policy}"):
        simulate_serving(workload(0), one(policy=policy, priorities=True))


def test_a_traces_priorities(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("arrival_s,prompt,output,priority\n0,5,2,3\n1,5,2,-1\n2,5,2,\n")
    assert read_trace(path).priority.tolist() == [3, -1, 0]
    assert read_trace(path).taken(2).priority.tolist() == [3, -1]
    path.write_text("arrival_s,prompt,output,priority\n0,5,2,high\n")
    with pytest.raises(InputError, match="request 1: has no number in 'priority'"):
        read_trace(path)
    path.write_text("arrival_s,prompt,output,priority\n0,5,2,0.5\n")
    with pytest.raises(InputError, match=r"priority is 0\.5"):
        read_trace(path)
