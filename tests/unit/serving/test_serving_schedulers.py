"""Schedulers: vLLM's own decisions, closed forms, and what must hold for all of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from serving_cases import STEP_S, TOKEN_S, one, plain_times, workload

from lydite.errors import InputError
from lydite.serving import Replica, Scheduler, Speculation, Traffic, made, simulate_serving

TRACES = json.loads(Path(__file__).with_name("vllm_decisions.json").read_text())["traces"]
POLICIES = ("vllm", "sglang", "trtllm")


@pytest.mark.parametrize("trace", TRACES, ids=range(len(TRACES)))
def test_decisions_are_those_of_vllm(trace):
    """Recorded from vLLM 0.19.0's scheduler by benchmarks/serving_scheduler.py's harness."""
    requests = made(
        np.array(trace["arrival_s"]),
        np.array(trace["prompt"]),
        np.array(trace["output"]),
        keys=[np.array(keys, np.int64) for keys in trace["keys"]],
        priority=trace.get("priority"),
    )
    names = ("max_num_seqs", "max_num_batched_tokens", "prefix_caching", "reserve_full_prompt")
    rules = Scheduler(**{name: trace[name] for name in names}, priorities="priority" in trace)
    ahead = None
    if "speculation" in trace:
        said = trace["speculation"]
        ahead = Speculation(**said | {"acceptance": tuple(said["acceptance"])})
    stages = trace.get("stages", 1)
    times = replace(plain_times(), stages=(1 / stages,) * stages)
    replica = Replica(rules, times, trace["kv_tokens"], speculation=ahead)
    outcome = simulate_serving(requests, [replica], decisions=100_000)
    steps = [{} for _ in range(outcome.steps)]
    for step, request, tokens in outcome.decisions.tolist():
        steps[step][request] = tokens
    assert steps == [dict(map(tuple, step)) for step in trace["steps"]]
    assert outcome.preempted.tolist() == trace["preempted"]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_request_alone_takes_its_prefill_and_one_step_a_token(policy):
    requests = made(np.zeros(1), np.array([100]), np.array([5]))
    outcome = simulate_serving(requests, one(policy=policy))
    assert outcome.ttft_s[0] == pytest.approx(STEP_S + 100 * TOKEN_S, rel=1e-6)
    assert outcome.tpot_s[0] == pytest.approx(STEP_S + TOKEN_S, rel=1e-6)
    assert outcome.steps == 5
    assert outcome.tokens == 100 + 4


@pytest.mark.parametrize("policy", ["sglang", "trtllm"])
def test_who_schedules_ahead_sees_an_arrival_a_step_later(policy):
    """The first runs alone; the second comes amid a step of one token: how long it waits."""
    step_s, prompt_s = STEP_S + TOKEN_S, STEP_S + 100 * TOKEN_S
    requests = made(np.array([0, prompt_s + 2.5 * step_s]), np.array([100, 100]), np.array([40, 5]))
    waits = []
    for ahead in (False, True):
        outcome = simulate_serving(requests, one(policy=policy, ahead=ahead))
        waits.append(outcome.started_s[1] - outcome.arrived_s[1])
        assert outcome.tokens == 200 + 39 + 4
    assert waits == pytest.approx([0.5 * step_s, 1.5 * step_s], rel=1e-3)


@pytest.mark.parametrize("policy", ["sglang", "trtllm"])
def test_who_schedules_ahead_begins_at_once_where_nothing_runs(policy):
    requests = made(np.array([0, 1.0, 2.0]), np.array([100] * 3), np.array([5] * 3))
    outcome = simulate_serving(requests, one(policy=policy, ahead=True))
    assert outcome.started_s == pytest.approx(outcome.arrived_s)


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("seed", range(5))
def test_all_tokens_come_out_in_order(policy, seed, ahead):
    requests = workload(seed, shared=64)
    outcome = simulate_serving(requests, one(2000, policy=policy, ahead=ahead))
    assert not np.isnan(outcome.last_s).any()
    assert (outcome.arrived_s <= outcome.started_s).all()
    assert (outcome.started_s < outcome.first_s).all()
    assert (outcome.first_s <= outcome.last_s).all()
    assert outcome.gap_count.sum() == (requests.output - 1).sum()
    # what is computed is every prompt token that was not cached, and each token but the last
    lacking = requests.prompt - outcome.hits + requests.output - 1
    again = outcome.tokens - lacking.sum()
    assert again >= 0
    assert (again == 0) == (outcome.preempted.sum() == 0)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_seed_gives_the_same_bytes(policy):
    first, second = (simulate_serving(workload(3), one(1500, policy=policy)) for _ in range(2))
    assert first.last_s.tobytes() == second.last_s.tobytes()


@pytest.mark.parametrize("seed", range(6))
def test_littles_law(seed):
    """Mean number in the system = rate x mean time in it, over the whole of a run."""
    requests = workload(seed, 200)
    outcome = simulate_serving(requests, one(3000))
    events = [(t, 1) for t in outcome.arrived_s] + [(t, -1) for t in outcome.last_s]
    area, there, before = 0.0, 0, 0.0
    for at, change in sorted(events):
        area, there, before = area + there * (at - before), there + change, at
    assert area == pytest.approx(outcome.latency_s.sum(), rel=1e-9)


@pytest.mark.parametrize("policy", ["vllm", "trtllm"])
def test_more_memory_means_fewer_preemptions(policy):
    """Of eight workloads together: where there is more room, vLLM admits more."""
    loads = [workload(seed, 60, 1e-4) for seed in range(8)]
    counts = [
        sum(int(simulate_serving(load, one(room, policy=policy)).preempted.sum()) for load in loads)
        for room in (600, 1200, 2400, 4800, 20_000)
    ]
    assert counts[-1] == 0
    assert counts == sorted(counts, reverse=True)
    assert (counts[0] > 0) == (policy == "vllm")


def test_a_cache_that_finds_nothing_equals_none():
    requests = workload(1)
    kept = simulate_serving(requests, one(50_000, prefix_caching=True))
    without = simulate_serving(requests, one(50_000, prefix_caching=False))
    assert kept.last_s.tobytes() == without.last_s.tobytes()
    assert not kept.hits.any()


@pytest.mark.parametrize("policy", POLICIES)
def test_a_shared_beginning_is_computed_once(policy):
    requests = made(
        np.array([0.0, 1.0]), np.array([160, 160]), np.array([2, 2]), keys=[np.arange(1, 11)] * 2
    )
    outcome = simulate_serving(requests, one(policy=policy))
    # of ten full blocks the last is computed again, for its logits
    assert outcome.hits.tolist() == [0, 144]
    assert outcome.ttft_s[1] == pytest.approx(STEP_S + 16 * TOKEN_S, rel=1e-6)


def test_prefill_and_decode_apart():
    requests = made(np.array([0.0]), np.array([100]), np.array([4]))
    replicas = [
        Replica(Scheduler(), plain_times(), 1000, role, role) for role in ("prefill", "decode")
    ]
    traffic = Traffic(kv_token_bytes=1e5, link_bytes_s=1e9, link_latency_s=1e-3)
    outcome = simulate_serving(requests, replicas, traffic)
    sent = 100 * 1e5 / 1e9 + 1e-3
    assert outcome.ttft_s[0] == pytest.approx(STEP_S + 100 * TOKEN_S, rel=1e-6)
    rest = outcome.last_s[0] - outcome.first_s[0]
    assert rest == pytest.approx(sent + 3 * (STEP_S + TOKEN_S), rel=1e-6)
    assert outcome.replica[0] == 1


def test_transfers_of_a_replica_queue_on_its_link():
    requests = made(np.zeros(2), np.array([100, 100]), np.array([2, 2]))
    replicas = [
        Replica(Scheduler(), plain_times(), 1000, role, role) for role in ("prefill", "decode")
    ]
    traffic = Traffic(kv_token_bytes=1e6, link_bytes_s=1e9, link_latency_s=0.0)
    outcome = simulate_serving(requests, replicas, traffic)
    assert np.diff(np.sort(outcome.last_s))[0] == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize("router", ["round-robin", "least-loaded", "prefix"])
def test_replicas_share_the_work(router):
    requests = workload(2, 200, 1e-4)
    outcome = simulate_serving(requests, one() * 4, Traffic(router=router))
    counts = np.bincount(outcome.replica, minlength=4)
    assert counts.min() > 20
    if router == "round-robin":
        assert counts.tolist() == [50] * 4


def test_a_closed_loop_keeps_its_number_in_flight():
    requests = replace(made(np.zeros(30), np.full(30, 50), np.full(30, 10)), concurrency=4)
    outcome = simulate_serving(requests, one())
    there = [
        int(((outcome.arrived_s <= t) & (outcome.last_s > t)).sum()) for t in outcome.arrived_s
    ]
    assert max(there) == 4
    assert np.isclose(outcome.arrived_s[4:], np.sort(outcome.last_s)[:-4]).all()


def test_the_next_turn_comes_after_the_last():
    requests = made(
        np.zeros(2),
        np.array([64, 160]),
        np.array([16, 4]),
        keys=[np.arange(1, 6), np.arange(1, 11)],
        successor=np.array([1, -1]),
        think_s=np.full(2, 0.5),
    )
    outcome = simulate_serving(requests, one())
    assert outcome.arrived_s[1] == pytest.approx(outcome.last_s[0] + 0.5)
    assert outcome.hits[1] == 64 + 16 - 16  # the last token said was never put into the cache


@pytest.mark.parametrize(
    ("replicas", "line"),
    [
        ([], "there are no replicas"),
        (one(128), "the longest request has"),
        (one(chunked_prefill=False, max_num_batched_tokens=16), "prompts are not chunked"),
        (one(policy="vlm"), "did you mean 'vllm'?"),
        ([Replica(Scheduler(), plain_times(), 9999, "prefill")], "allowed: all 'both'"),
    ],
)
def test_what_cannot_run_is_refused(replicas, line):
    with pytest.raises(InputError) as refused:
        simulate_serving(workload(0), replicas)
    assert line in str(refused.value)


@pytest.mark.parametrize("policy", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("seed", range(3))
def test_more_room_than_all_requests_need_changes_nothing(policy, seed):
    """A cache of as many blocks as all requests hold, and one of a billion tokens."""
    requests = workload(seed, 60, 0.002, shared=128)
    blocks = int(((requests.prompt + requests.output) // 16 + 2).sum()) + 64
    chosen = {"policy": policy, "chunked_prefill": policy != "trtllm"}
    enough, huge = (
        simulate_serving(requests, one(tokens, **chosen)) for tokens in (blocks * 16, 10**9)
    )
    assert enough.last_s.tobytes() == huge.last_s.tobytes()
    assert enough.hits.tolist() == huge.hits.tolist()
    assert not enough.preempted.any()
