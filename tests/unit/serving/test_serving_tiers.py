"""Tiers of the KV cache: closed forms of loads, an independent LRU, and properties."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
from serving_cases import STEP_S, TOKEN_S, one, plain_times, workload

from lydite.errors import InputError
from lydite.serving import (
    Failure,
    Fleet,
    KvTiers,
    Replica,
    Scheduler,
    Speculation,
    made,
    simulate_serving,
)

BLOCK_BYTES, SIZE = 1000, 16
LINK = 1e9
"""Bytes per second: a block takes 1 us."""


def tiers(host=0, disk=0, link=LINK, disk_link=LINK):
    return KvTiers(BLOCK_BYTES, host * BLOCK_BYTES, link, disk * BLOCK_BYTES, disk_link)


def use_of(outcome):
    assert outcome.tiers is not None
    return outcome.tiers


def tiered(blocks, kept, **options):
    """One replica with some blocks, of which one is never used."""
    return [replace(each, tiers=kept) for each in one(blocks * SIZE, **options)]


def in_turn(names, blocks=10, gap_s=1.0):
    """Requests one after another; those of one name have the same `blocks` blocks and one token."""
    keys = [np.arange(1, 1 + blocks) + 1000 * name for name in names]
    prompt = np.full(len(names), blocks * SIZE + 1)
    return made(gap_s * np.arange(len(names)), prompt, np.full(len(names), 1), keys=keys)


def test_what_the_device_gives_up_is_loaded_from_host_memory():
    """Room for a request's eleven blocks: the third request finds none of its own on the device.

    It loads ten blocks and computes its last token.
    """
    outcome = simulate_serving(in_turn([0, 1, 0]), tiered(12, tiers(host=100)))
    use = use_of(outcome)
    assert outcome.hits.tolist() == [0, 0, 160]
    assert use.loads == 1
    assert use.host_hit_tokens == 160
    assert use.moved_bytes["from host"] == 10 * BLOCK_BYTES
    assert use.load_wait_s == pytest.approx(10e-6)
    assert outcome.ttft_s[2] == pytest.approx(10e-6 + STEP_S + TOKEN_S, rel=1e-9)
    assert use.moved_bytes["to disk"] == use.moved_bytes["from disk"] == 0


def test_loads_share_the_link_in_order():
    """Four prompts that are gone come at once: the link serves one after another."""
    first = in_turn([0, 1, 2, 3, 9])
    again = in_turn([0, 1, 2, 3], gap_s=0.0)
    requests = made(
        np.concatenate([first.arrival_s, 10 + again.arrival_s]),
        np.concatenate([first.prompt, again.prompt]),
        np.full(9, 1),
        keys=[np.arange(1, 11) + 1000 * n for n in (0, 1, 2, 3, 9, 0, 1, 2, 3)],
    )
    slow = tiers(host=200, link=1e6)  # 1 ms a block
    outcome = simulate_serving(requests, tiered(60, slow))
    assert outcome.hits[5:].tolist() == [160] * 4
    loaded = int(use_of(outcome).moved_bytes["from host"]) // BLOCK_BYTES
    assert outcome.started_s[8] - 10 >= loaded * 1e-3 - 1e-9
    assert use_of(outcome).loads == use_of(outcome).moved_bytes["from host"] // (10 * BLOCK_BYTES)


def test_a_disk_holds_what_leaves_host_memory():
    """Host memory for ten blocks: two requests later, the first one's lie on disk."""
    outcome = simulate_serving(
        in_turn([0, 1, 2, 0]), tiered(12, tiers(host=10, disk=100, disk_link=1e8))
    )
    use = use_of(outcome)
    assert outcome.hits[3] == 160
    from_disk = use.moved_bytes["from disk"] // BLOCK_BYTES
    assert from_disk == use.disk_hit_tokens // SIZE == 10
    # each block comes from the disk in 10 us, and goes on to the device in 1 us
    assert use.load_wait_s == pytest.approx(10 * 10e-6 + 1e-6)
    none = simulate_serving(in_turn([0, 1, 2, 0]), tiered(12, tiers(host=10)))
    assert none.hits[3] == 0


def fields_of(outcome):
    return [getattr(outcome, name) for name in ("last_s", "first_s", "hits", "gap_count")]


@pytest.mark.parametrize("seed", range(3))
def test_a_tier_of_size_0_is_none(seed):
    requests = workload(seed, 60, 1e-3, shared=128)
    none = simulate_serving(requests, one(900))
    empty = simulate_serving(requests, tiered(900 // SIZE, tiers(disk=50)))
    assert empty.tiers is None
    for mine, its in zip(fields_of(none), fields_of(empty), strict=True):
        assert mine.tobytes() == its.tobytes()


def test_a_cache_that_holds_all_makes_tiers_useless():
    requests = workload(0, 60, 1e-3, shared=128)
    none = simulate_serving(requests, one(1_000_000))
    kept = simulate_serving(requests, tiered(1_000_000 // SIZE, tiers(host=5000, disk=5000)))
    for mine, its in zip(fields_of(none), fields_of(kept), strict=True):
        assert mine.tobytes() == its.tobytes()
    assert not any(use_of(kept).moved_bytes.values())


def lru_hits(names, device, host, blocks):
    """Prompt blocks that are found, by an independent model: LRU lists of whole prompts.

    Sizes are multiples of a prompt's blocks, so that a prompt is whole in a tier or not at all.
    """
    near, far, hits = OrderedDict(), OrderedDict(), 0
    for name in names:
        if name in near or name in far:
            hits += blocks
        if name in far:
            far.move_to_end(name)
        near[name] = True
        near.move_to_end(name)
        while len(near) > device:
            gone, _ = near.popitem(last=False)
            far[gone] = True
            far.move_to_end(gone)
            while len(far) > host:
                far.popitem(last=False)
    return hits


@pytest.mark.parametrize("seed", range(4))
def test_hits_are_those_of_an_lru_list_and_grow_with_host_memory(seed):
    """Fixed order: one request at a time; ten blocks each, the last token in an eleventh."""
    names = np.random.default_rng(seed).integers(0, 12, 150)
    found = []
    for host in (0, 1, 2, 4, 8, 16):
        outcome = simulate_serving(in_turn(names), tiered(10 * 3 + 2, tiers(host=10 * host)))
        found.append(int(np.maximum(outcome.hits, 0).sum()))
        assert not np.isnan(outcome.last_s).any()
        if host:
            use = use_of(outcome)
            assert use.moved_bytes["from host"] == use.host_hit_tokens // SIZE * BLOCK_BYTES
    assert found == sorted(found)
    assert found[0] < found[-1]
    assert found[-1] == lru_hits(names, 3, 16, 160)  # all that ever came is found again


@pytest.mark.parametrize("options", [{}, {"priorities": True}, {"reserve_full_prompt": False}])
@pytest.mark.parametrize("seed", range(4))
def test_all_tokens_come_out_and_the_same_bytes(seed, options):
    """Memory is short on the device and in host memory, links are slow, some are preempted."""
    requests = workload(seed, 120, 1e-3, shared=0)
    turns = workload(seed, 120, 1e-3, shared=200)
    for load in (requests, turns):
        kept = tiers(host=200, disk=300, link=2e6, disk_link=5e5)
        first, second = (simulate_serving(load, tiered(40, kept, **options) * 2) for _ in range(2))
        assert not np.isnan(first.last_s).any()
        assert first.last_s.tobytes() == second.last_s.tobytes()
        assert first.tiers == second.tiers
        for moved in use_of(first).moved_bytes.values():
            assert moved % BLOCK_BYTES == 0
        # what a token costs is computed at least once, unless it was found
        assert first.tokens >= load.prompt.sum() - np.maximum(first.hits, 0).sum()
    assert first.preempted.sum() > 0
    assert use_of(first).loads > 0


def test_drafts_are_loaded_beside():
    requests = workload(1, 120, 1e-3, shared=200)
    ahead = Speculation(2, (0.7, 0.5))
    replicas = [replace(each, speculation=ahead) for each in tiered(40, tiers(host=500))]
    outcome = simulate_serving(requests, replicas)
    assert not np.isnan(outcome.last_s).any()
    assert use_of(outcome).loads > 0


def test_prefill_replicas_may_have_tiers():
    requests = in_turn([0, 1, 2, 0])
    requests = made(
        requests.arrival_s,
        requests.prompt,
        np.full(4, 5),
        keys=[np.arange(1, 11) + 1000 * n for n in (0, 1, 2, 0)],
    )
    prefill = replace(tiered(12, tiers(host=100))[0], role="prefill")
    decode = Replica(Scheduler(), plain_times(), 1000, "decode")
    outcome = simulate_serving(requests, [prefill, decode])
    assert not np.isnan(outcome.last_s).any()
    assert outcome.hits[3] == 160


def test_a_step_lasts_until_the_blocks_that_it_takes_are_written():
    """The second prompt takes eleven blocks, nine of them of the first one: 1 ms a block."""
    slow = tiers(host=100, link=1e6)
    outcome = simulate_serving(in_turn([0, 1]), tiered(12, slow))
    step_s = STEP_S + 161 * TOKEN_S
    written = use_of(outcome).moved_bytes["to host"] // BLOCK_BYTES
    assert written == 10
    assert outcome.ttft_s[1] == pytest.approx(written * 1e-3)
    assert use_of(outcome).write_wait_s == pytest.approx(written * 1e-3 - step_s)
    assert use_of(outcome).busy_share["to host"] == pytest.approx(written * 1e-3 / outcome.end_s)


@pytest.mark.parametrize(
    ("options", "fleet", "line"),
    [
        ({"policy": "sglang"}, None, "not modelled for sglang"),
        ({"prefix_caching": False}, None, "without prefix caching"),
        ({}, Fleet((Failure(0, 1.0),)), "replicas that fail"),
    ],
)
def test_what_is_not_modelled_is_refused(options, fleet, line):
    with pytest.raises(InputError, match=line):
        simulate_serving(in_turn([0]), tiered(100, tiers(host=5), **options), fleet=fleet)


def test_a_block_is_found_once_it_is_written():
    """The first prompt's blocks go to disk in 90 ms each; its first block is written the last."""
    slow = tiers(host=10, disk=100, disk_link=BLOCK_BYTES / 0.09)
    early, late = (
        simulate_serving(in_turn([0, 1, 2, 0], gap_s=gap), tiered(12, slow)) for gap in (0.5, 1.0)
    )
    assert (early.hits[3], late.hits[3]) == (0, 160)
    # a link that is over a second behind takes no more
    slower = replace(slow, disk_bytes_per_s=BLOCK_BYTES / 0.2)
    dropped = use_of(simulate_serving(in_turn([0, 1, 2, 0], gap_s=9.0), tiered(12, slower)))
    assert (dropped.dropped_blocks > 0, dropped.disk_hit_tokens) == (True, 0)


def test_requests_that_loaded_do_not_wait_for_each_other_for_ever():
    """Ninety blocks, of which ten are loaded, and thirty with twenty: room for a hundred.

    The first one needs eighty more, but the second one holds twenty, and comes after it.
    """
    lengths = [(11, 1, 0), (21, 2, 1), (100, 3, 2), (90, 1, 3), (30, 2, 3)]
    keys = [
        np.arange(1, 1 + min(blocks, {1: 10, 2: 20, 3: 99}[name])) + 1000 * name
        for blocks, name, _ in lengths
    ]
    requests = made(
        np.array([at for *_, at in lengths], float),
        np.array([blocks * SIZE - 1 for blocks, *_ in lengths]),
        np.full(5, 1),
        keys=keys,
    )
    outcome = simulate_serving(requests, tiered(101, tiers(host=200)))
    assert not np.isnan(outcome.last_s).any()
    assert outcome.hits[3:].tolist() == [160, 320]
    assert use_of(outcome).loads == 3  # the second one loads again


@pytest.mark.parametrize("seed", range(6))
def test_more_host_memory_never_finds_less_of_nested_prefixes(seed):
    """One request at a time, whose prompts share beginnings of several lengths."""
    rng = np.random.default_rng(seed)
    keys = []
    for _ in range(60):
        kind, first, branch, rest = (int(rng.integers(0, most)) for most in (4, 8, 3, 8))
        name = 100_000 * (1 + kind) + 10_000 * first + 1000 * branch
        keys.append(np.r_[1000 * kind + 1 + np.arange(first), name + 1 + np.arange(rest)])
    prompt = np.array([len(each) * SIZE + int(rng.integers(1, 16)) for each in keys])
    requests = made(1.0 * np.arange(60), prompt, np.full(60, 5), keys=keys)
    found = []
    for host in (0, 3, 5, 8, 13, 20, 30, 50, 80, 200):
        outcome = simulate_serving(requests, tiered(24, tiers(host=host)))
        found.append(int(np.maximum(outcome.hits, 0).sum()))
        if host:
            use = use_of(outcome)
            loaded = use.moved_bytes["from host"]
            assert loaded == use.host_hit_tokens // SIZE * BLOCK_BYTES
    assert found == sorted(found)
    assert found[0] < found[-1]
