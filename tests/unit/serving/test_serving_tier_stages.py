"""Tiers of the KV cache with pipeline stages: as without stages where nothing overlaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from serving_cases import STEP_S, TOKEN_S, one, workload

from lydite.serving import KvTiers, made, simulate_serving

BLOCK_BYTES, SIZE = 1000, 16


def staged(stages, blocks, host=0, disk=0, link=1e9, disk_link=1e9, **options):
    """One replica with some blocks, of which one is never used; a block takes 1 us."""
    kept = KvTiers(BLOCK_BYTES, host * BLOCK_BYTES, link, disk * BLOCK_BYTES, disk_link)
    (plain,) = one(blocks * SIZE, **options)
    times = replace(plain.times, stages=(1 / stages,) * stages)
    return [replace(plain, times=times, tiers=kept if host else None)]


def in_turn(names):
    """Requests of ten blocks one after another; those of one name have the same."""
    keys = [np.arange(1, 11) + 1000 * int(name) for name in names]
    count = len(names)
    return made(1.0 * np.arange(count), np.full(count, 161), np.full(count, 3), keys=keys)


@pytest.mark.parametrize("stages", [2, 3, 4])
def test_one_request_at_a_time_finds_and_loads_as_without_stages(stages):
    requests = in_turn(np.random.default_rng(stages).integers(0, 12, 100))
    sizes = {"blocks": 35, "host": 40, "disk": 30, "link": 1e7, "disk_link": 1e6}
    plain = simulate_serving(requests, staged(1, **sizes))
    mine = simulate_serving(requests, staged(stages, **sizes))
    assert mine.hits.tolist() == plain.hits.tolist()
    assert plain.tiers is not None
    assert mine.tiers is not None
    assert mine.tiers.loads == plain.tiers.loads > 0
    assert mine.tiers.moved_bytes == plain.tiers.moved_bytes
    assert mine.latency_s == pytest.approx(plain.latency_s, abs=1e-7)


@pytest.mark.parametrize("stages", [2, 4])
def test_tiers_where_nothing_is_found_are_none(stages):
    """Other prompts each time, whose blocks leave the device at once: nothing to load."""
    requests = in_turn(range(40))
    none = simulate_serving(requests, staged(stages, 35))
    kept = simulate_serving(requests, staged(stages, 35, host=1000, link=np.inf))
    assert kept.tiers is not None
    assert kept.tiers.moved_bytes["to host"] > 0
    assert kept.tiers.loads == 0
    for name in ("first_s", "last_s", "hits", "gap_count"):
        assert getattr(kept, name).tobytes() == getattr(none, name).tobytes()


@pytest.mark.parametrize("stages", [2, 4])
def test_a_batch_leaves_once_what_it_takes_is_written(stages):
    """The second prompt takes eleven blocks, ten of them of the first one: 1 ms a block."""
    outcome = simulate_serving(in_turn([0, 1]), staged(stages, 12, host=100, link=1e6))
    assert outcome.tiers is not None
    assert outcome.tiers.moved_bytes["to host"] == 10 * BLOCK_BYTES
    assert outcome.ttft_s[1] == pytest.approx(10e-3)
    step_s = STEP_S + 161 * TOKEN_S
    assert outcome.tiers.write_wait_s == pytest.approx(10e-3 - step_s, abs=1e-8)


@pytest.mark.parametrize("options", [{}, {"priorities": True}, {"reserve_full_prompt": False}])
@pytest.mark.parametrize("stages", [2, 3, 4])
@pytest.mark.parametrize("seed", range(6))
def test_as_many_tokens_come_out_as_were_asked(seed, stages, options):
    """Memory is short on the device, so that requests are preempted while a batch is on its way."""
    requests = workload(seed, 120, 1e-3, shared=200 * (seed % 2))
    sizes = {"blocks": 40, "host": 200, "disk": 300, "link": 2e6, "disk_link": 5e5}
    first, second = (
        simulate_serving(requests, staged(stages, **sizes, **options), gaps=1 << 16)
        for _ in range(2)
    )
    assert first.last_s.tobytes() == second.last_s.tobytes()
    assert first.gap_count.sum() == (requests.output - 1).sum()
    for number in range(len(requests)):
        gaps_s = first.itls_s(number)
        assert gaps_s is not None
        assert len(gaps_s) == requests.output[number] - 1
        assert first.first_s[number] + gaps_s.sum() == pytest.approx(first.last_s[number])
    assert first.preempted.sum() > 0
    assert first.tiers is not None
    assert first.tiers.loads > 0


@pytest.mark.parametrize(
    ("stages", "seed", "options"),
    [(3, 1, {}), (3, 1, {"reserve_full_prompt": False}), (6, 7, {"priorities": True})],
)
def test_a_token_comes_out_when_a_batch_with_its_request_ends(stages, seed, options):
    """In each of these, a request is preempted, and has loaded blocks before its batch ends."""
    requests = workload(seed, 120, 1e-3, shared=200)
    sizes = {"blocks": 40, "host": 200, "link": np.inf, "max_num_batched_tokens": 300}
    outcome = simulate_serving(
        requests,
        staged(stages, **sizes, **options),
        trace=100_000,
        decisions=1_000_000,
        gaps=1 << 16,
    )
    ends_ns = outcome.trace[:, 2]
    own: list[set[int]] = [set() for _ in range(len(requests))]
    for step, request, _ in outcome.decisions.tolist():
        own[request].add(int(ends_ns[step]))
    for number in range(len(requests)):
        gaps_s = outcome.itls_s(number)
        assert gaps_s is not None
        came = outcome.first_s[number] + np.concatenate([[0.0], np.cumsum(gaps_s)])
        assert set(np.round(came * 1e9).astype(int)) <= own[number]
