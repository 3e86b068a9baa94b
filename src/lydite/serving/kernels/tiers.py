"""Blocks of the prefix cache in host memory and on disk, modelled after vLLM's lazy offloading.

As in `vllm/v1/simple_kv_offload/manager.py` (SimpleCPUOffloadConnector, `lazy_offload`): a cached
block that the device gives up is copied to host memory, the one used longest ago gives way there;
a request whose next blocks lie in a tier loads all of these, whether or not computing them would be
faster; it holds its blocks, waits beside the queue while the link copies, and then comes ahead of
all that have not loaded. A block is found once it is written.

Copies overlap with the step that takes the blocks, which lasts at least as long as they do. What
leaves host memory goes to disk, if there is one, by the same rules; that is no part of vLLM's
connector. A link copies in both directions at once, each in order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lydite.engine.kernels.jit import special
from lydite.serving.kernels.blocks import (
    append,
    first_free,
    forget,
    found,
    hold,
    hold_hits,
    keep,
    key_of,
    release,
    unlink,
)
from lydite.serving.kernels.queues import next_waiting, wait_behind_loaded, wait_in_order
from lydite.serving.kernels.state import LOADED, LOADING, NONE, Pool, pool_of

HOST_OUT, HOST_IN, DISK_OUT, DISK_IN = 0, 1, 2, 3
"""Directions of the links; blocks that went each way are counted in the same places."""
DROPPED, LOADS, LOAD_NS, WRITE_NS, HOST_HITS, DISK_HITS = 4, 5, 6, 7, 8, 9
COUNTS = 10
LATE_NS = 1_000_000_000
"""A disk whose link is this far behind takes no more blocks: they are dropped; assumed."""


class Tiers(NamedTuple):
    """Blocks beyond the device; a tier is a pool whose blocks nobody holds, the oldest first.

    Attributes:
        host, disk: Blocks of each tier.
        host_ns, disk_ns: When each block is written [replicas, blocks + PADDING]: int64.
        link_ns: When each direction of the links is free [replicas, 4]: int64.
        clock: Time of the step that is scheduled: int64 [1].
        begun: First and last request that began to load in it, or NONE: int64 [2].
        loaded_ns: When the load of a request ends [requests, or 1 without tiers]: int64.
        counts: Blocks in each direction; blocks dropped; loads, ns that they lasted, ns that steps
            waited for copies; blocks that requests found at first [replicas, COUNTS]: int64.
    """

    host: Pool
    disk: Pool
    host_ns: np.ndarray
    disk_ns: np.ndarray
    link_ns: np.ndarray
    clock: np.ndarray
    begun: np.ndarray
    loaded_ns: np.ndarray
    counts: np.ndarray


def new_tiers(rules: np.ndarray, requests: int) -> Tiers:
    """Empty tiers; there is no room for any where no replica has them."""
    replicas = len(rules)
    host, disk = pool_of(rules["host"] + 1), pool_of(rules["disk"] + 1)
    return Tiers(
        host,
        disk,
        np.zeros(host.key.shape, np.int64),
        np.zeros(disk.key.shape, np.int64),
        np.zeros((replicas, 4), np.int64),
        np.zeros(1, np.int64),
        np.full(2, NONE, np.int64),
        np.zeros(requests if rules["host"].any() else 1, np.int64),
        np.zeros((replicas, COUNTS), np.int64),
    )


@special
def _renew(tier, replica, block):
    """Make a block the last to give way."""
    unlink(tier, replica, block)
    append(tier, replica, block)


@special
def _copied(tiers, replica, way, now, spent):
    """Copy a block in a direction; when that is over, in ns."""
    tiers.link_ns[replica, way] = max(tiers.link_ns[replica, way], now) + spent
    tiers.counts[replica, way] += 1
    return tiers.link_ns[replica, way]


@special
def _to_disk(rules, tiers, replica, key, now):
    """Write a block that leaves host memory, unless the disk has it."""
    block = found(tiers.disk, replica, key)
    if block == NONE:
        if tiers.link_ns[replica, DISK_OUT] - now > LATE_NS:
            tiers.counts[replica, DROPPED] += 1
            return
        block = first_free(tiers.disk, replica)
        forget(tiers.disk, replica, block)
        keep(tiers.disk, replica, block, key)
        spent = rules[replica].disk_ns
        tiers.disk_ns[replica, block] = _copied(tiers, replica, DISK_OUT, now, spent)
    _renew(tiers.disk, replica, block)


@special
def write_out(rules, pool, tiers, replica, now):
    """Write the blocks that the device gave up in this step; when they are written, in ns."""
    until = now
    for place in range(pool.leaves[replica]):
        key = pool.left[replica, place]
        if found(pool, replica, key) != NONE:
            continue  # another block has the same content
        block = found(tiers.host, replica, key)
        if block == NONE:
            block = first_free(tiers.host, replica)
            old = tiers.host.key[replica, block]
            if old != 0 and rules[replica].disk > 0:
                _to_disk(rules, tiers, replica, old, now)
            forget(tiers.host, replica, block)
            keep(tiers.host, replica, block, key)
            until = _copied(tiers, replica, HOST_OUT, now, rules[replica].host_ns)
            tiers.host_ns[replica, block] = until
        _renew(tiers.host, replica, block)
    pool.leaves[replica] = 0
    return until


@special
def _place(tiers, replica, key, now):
    """Tier and block where a content lies: 0 host, 1 disk, NONE where it is in neither yet."""
    block = found(tiers.host, replica, key)
    if block != NONE and tiers.host_ns[replica, block] <= now:
        return 0, block
    block = found(tiers.disk, replica, key)
    if block != NONE and tiers.disk_ns[replica, block] <= now:
        return 1, block
    return NONE, NONE


@special
def beyond(rules, load, course, tiers, replica, request, hits):
    """Number of blocks behind the first cached ones of a request that lie in a tier."""
    most = (load.prompt[request] + course.generated[request] - 1) // rules[replica].block
    count = hits
    while count < most:
        tier, _ = _place(tiers, replica, key_of(load, request, count), tiers.clock[0])
        if tier == NONE:
            break
        count += 1
    return count - hits


@special
def begin_load(rules, load, course, pool, queues, tiers, replica, hits, count):
    """Let the first of the queue hold its cached blocks, and load those behind them."""
    request, now = next_waiting(queues, course, replica), tiers.clock[0]
    tokens = (hits + count) * rules[replica].block
    is_first = course.hits[request] < 0
    until = now
    for number in range(hits, hits + count):
        tier, block = _place(tiers, replica, key_of(load, request, number), now)
        begins = now
        if tier == 1:
            begins = _copied(tiers, replica, DISK_IN, now, rules[replica].disk_ns)
            _renew(tiers.disk, replica, block)
        else:
            _renew(tiers.host, replica, block)
        until = _copied(tiers, replica, HOST_IN, begins, rules[replica].host_ns)
        if is_first:
            tiers.counts[replica, HOST_HITS + tier] += 1
    hold_hits(load, course, pool, replica, request, hits)
    hold(rules, load, course, pool, replica, request, tokens, 0)
    if is_first:
        course.hits[request] = tokens
    course.computed[request] = tokens
    course.loaded[request] = LOADING
    tiers.loaded_ns[request] = until
    tiers.counts[replica, LOADS] += 1
    tiers.counts[replica, LOAD_NS] += until - now
    course.waiting[request] = NONE
    if tiers.begun[0] == NONE:
        tiers.begun[0] = request
    else:
        course.waiting[tiers.begun[1]] = request
    tiers.begun[1] = request


@special
def end_load(rules, load, course, pool, queues, request):
    """Keep what a request has loaded, and let it wait ahead of those that have not.

    One that was preempted with its last token on its way through pipeline stages is over by now.
    """
    if course.loaded[request] != LOADING:
        return
    course.loaded[request] = LOADED
    replica, tokens = course.replica[request], course.computed[request]
    hold(rules, load, course, pool, replica, request, tokens, tokens)
    if rules[replica].ordered:
        wait_in_order(load, course, queues, replica, request)
    else:
        wait_behind_loaded(queues, course, replica, request)


@special
def give_back(load, course, pool, queues, replica):
    """Free what the last of the waiting requests, but for the first, has loaded.

    Otherwise requests that each hold a part of the cache could wait for each other for ever.
    Returns whether there was one.
    """
    last, at = NONE, course.waiting[queues.first[replica]]
    while at != NONE:
        if course.loaded[at]:
            last = at
        at = course.waiting[at]
    if last == NONE:
        return False
    release(load, course, pool, replica, last)
    course.computed[last] = course.loaded[last] = 0
    return True
