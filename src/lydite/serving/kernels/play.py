"""The loop: arrivals, steps of every replica, and KV on its way from prefill to decode.

Virtual time is in integer nanoseconds; the same input gives the same bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lydite.engine.kernels.jit import kernel, special
from lydite.serving.kernels.blocks import found, key_of, release, wait_last
from lydite.serving.kernels.sglang import schedule as schedule_sglang
from lydite.serving.kernels.state import NONE
from lydite.serving.kernels.steps import Times, experts_ns, step_ns
from lydite.serving.kernels.trtllm import schedule as schedule_trtllm
from lydite.serving.kernels.vllm import schedule as schedule_vllm

POLICIES = ("vllm", "sglang", "trtllm")
ROUTERS = ("round-robin", "least-loaded", "prefix")
BOTH, PREFILL, DECODE = 0, 1, 2
GAP_BINS, GAP_LEAST_NS, GAP_STEPS = 1200, 1e4, 50.0
"""Gaps between tokens are counted in bins of 2 ** (1 / GAP_STEPS), from 10 us on."""
STEP_COLUMNS = ("replica", "begin_ns", "end_ns", "tokens", "runs", "waits", "free")


class Cluster(NamedTuple):
    """What is not of one replica.

    Attributes:
        router: Place in `ROUTERS`.
        concurrency: Requests in flight of a closed loop; 0 for arrivals of their own.
        think_ns: From the end of a turn to the arrival of the next [requests].
        token_bytes: KV of a token.
        link_bytes_s: Bandwidth out of a prefill replica.
        latency_ns: Latency of a transfer.
        until_ns: When to stop.
    """

    router: int
    concurrency: int
    think_ns: np.ndarray
    token_bytes: float
    link_bytes_s: float
    latency_ns: int
    until_ns: int


class Scratch(NamedTuple):
    """Room that the loop works in.

    Attributes:
        heap: Arrivals to come, (ns, request) [2 * requests + 2, 2]: int64.
        done: Requests that end in a step [sequences]: int32.
        link_ns: When the link out of each replica is free: int64 [replicas].
        follows: Whether a request follows another: bool [requests].
    """

    heap: np.ndarray
    done: np.ndarray
    link_ns: np.ndarray
    follows: np.ndarray


class Tally(NamedTuple):
    """What is counted beside the requests.

    Attributes:
        gaps: Number of gaps between tokens by size [bins].
        counts: Steps, tokens, preemptions, and the rows of `steps` that are taken: int64 [4].
        steps: The first steps, see `STEP_COLUMNS` [rows, columns].
        decisions: (step, request, tokens) of each request in each of them [rows, 3].
        taken: Rows of `decisions` that are taken [1].
        busy_ns: Time that each replica computed [replicas].
        peak: Most blocks in use on each replica [replicas].
    """

    gaps: np.ndarray
    counts: np.ndarray
    steps: np.ndarray
    decisions: np.ndarray
    taken: np.ndarray
    busy_ns: np.ndarray
    peak: np.ndarray


@special
def _push(heap, size, time, request):
    """Insert into a binary heap of (time, request), rows of int64."""
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if heap[parent, 0] < time or (heap[parent, 0] == time and heap[parent, 1] < request):
            break
        heap[at, 0], heap[at, 1] = heap[parent, 0], heap[parent, 1]
        at = parent
    heap[at, 0], heap[at, 1] = time, request
    return size + 1


@special
def _pop(heap, size):
    """Remove the first of a heap; its last row takes the empty place."""
    size -= 1
    time, request = heap[size, 0], heap[size, 1]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (
            heap[right, 0] < heap[child, 0]
            or (heap[right, 0] == heap[child, 0] and heap[right, 1] < heap[child, 1])
        ):
            child = right
        if time < heap[child, 0] or (time == heap[child, 0] and request < heap[child, 1]):
            break
        heap[at, 0], heap[at, 1] = heap[child, 0], heap[child, 1]
        at = child
    heap[at, 0], heap[at, 1] = time, request
    return size


@special
def _route(rules, load, pool, queues, router, turn, role, request):
    """Replica for a request: of its role, in turn, with the least load, or the longest prefix."""
    replicas = len(rules.role)
    if router == 0:
        for offset in range(replicas):
            replica = (turn + offset) % replicas
            if rules.role[replica] == role:
                return replica
    best, least = NONE, 0.0
    for replica in range(replicas):
        if rules.role[replica] != role:
            continue
        weight = float(queues.runs[replica] + 4 * queues.waits[replica])
        if router == 2:
            blocks = load.prompt[request] // rules.block[replica]
            hits = 0
            while hits < blocks and found(pool, replica, key_of(load, request, hits)) != NONE:
                hits += 1
            weight -= 64.0 * hits / max(blocks, 1)
        if best == NONE or weight < least:
            best, least = replica, weight
    return best


@special
def _schedule(rules, load, course, pool, queues, replica):
    if rules.policy[replica] == 0:
        return schedule_vllm(rules, load, course, pool, queues, replica)
    if rules.policy[replica] == 1:
        return schedule_sglang(rules, load, course, pool, queues, replica)
    return schedule_trtllm(rules, load, course, pool, queues, replica)


@special
def _is_idle(rules, queues, leader):
    """Whether no replica of a group computes."""
    for replica in range(leader, leader + rules.members[leader]):
        if queues.until_ns[replica] != NONE:
            return False
    return True


@special
def _begin(times, rules, load, course, pool, queues, tally, leader, now):
    """Schedule a step of each replica of a group and say when all are over.

    A replica without tokens takes part in the messages of the others.
    """
    longest, total, most = np.int64(0), 0, 0
    members = rules.members[leader]
    for replica in range(leader, leader + members):
        tokens = 0
        for _ in range(2):  # whoever was preempted may run at once
            if tokens == 0 and queues.waits[replica] + queues.runs[replica] > 0:
                tokens = _schedule(rules, load, course, pool, queues, replica)
        if tokens > 0:
            spent = step_ns(times, rules, load, course, queues, replica)
            longest = max(longest, spent)
            total += tokens
            most = max(most, tokens)
    if total == 0:
        return
    until = now + longest + int(experts_ns(times, rules.kind[leader], members, total, most))
    for replica in range(leader, leader + members):
        queues.until_ns[replica] = until
        tally.busy_ns[replica] += until - now
        _record(rules, course, pool, queues, tally, replica, now)


@special
def _record(rules, course, pool, queues, tally, replica, now):
    """Count a step that begins, and note when its requests began."""
    step, tokens = tally.counts[0], 0
    for place in range(queues.runs[replica]):
        count = queues.tokens[replica, place]
        if count == 0:
            continue
        tokens += count
        request = queues.running[replica, place]
        if course.started_ns[request] < 0:
            course.started_ns[request] = now
        if tally.taken[0] < len(tally.decisions):
            line = tally.decisions[tally.taken[0]]
            line[0], line[1], line[2] = step, request, count
            tally.taken[0] += 1
    if tokens == 0:
        return
    tally.counts[0] += 1
    tally.counts[1] += tokens
    used = rules.blocks[replica] - 1 - pool.free[replica]
    tally.peak[replica] = max(tally.peak[replica], used)
    if tally.counts[3] < len(tally.steps):
        row = tally.steps[tally.counts[3]]
        row[0], row[1], row[2], row[3] = replica, now, queues.until_ns[replica], tokens
        row[4], row[5], row[6] = queues.runs[replica], queues.waits[replica], pool.free[replica]
        tally.counts[3] += 1


@special
def _end(rules, load, course, pool, queues, tally, replica, now, done):
    """Finish a step: tokens come out, requests end. Returns the number of ended requests."""
    ended, kept = 0, 0
    for place in range(queues.runs[replica]):
        request = queues.running[replica, place]
        count = queues.tokens[replica, place]
        course.computed[request] += count
        known = load.prompt[request] + course.generated[request]
        over = False
        if count > 0 and course.computed[request] == known:
            generated = course.generated[request] + 1
            course.generated[request] = generated
            if generated == 1:
                course.first_ns[request] = now
            else:
                gap = max(now - course.last_ns[request], 1)
                place_of = int(np.log2(gap / GAP_LEAST_NS) * GAP_STEPS)
                tally.gaps[min(max(place_of, 0), GAP_BINS - 1)] += 1
            course.last_ns[request] = now
            over = generated == load.output[request] or rules.role[replica] == PREFILL
        if over:
            release(load, course, pool, replica, request)
            done[ended] = request
            ended += 1
        else:
            queues.running[replica, kept] = request
            kept += 1
    queues.runs[replica] = kept
    queues.until_ns[replica] = NONE
    return ended


@special
def _first_arrivals(load, cluster, heap, follows):
    """Fill the heap with arrivals that wait for nobody; its size, and the next of a closed loop."""
    count, coming, pending = len(load.prompt), 0, 0
    if cluster.concurrency:
        while pending < min(cluster.concurrency, count):
            coming = _push(heap, coming, load.arrival_ns[pending], pending)
            pending += 1
        return coming, pending
    for request in range(count):
        if load.successor[request] != NONE:
            follows[load.successor[request]] = True
    for request in range(count):
        if not follows[request]:
            coming = _push(heap, coming, load.arrival_ns[request], request)
    return coming, pending


@special
def _arrive(rules, load, course, pool, queues, cluster, turn, request, now):
    """Let a request wait on the replica that the router chooses; the replica."""
    role = BOTH
    if rules.role[0] != BOTH:  # then none is
        role = DECODE if course.remote[request] > 0 else PREFILL
    replica = _route(rules, load, pool, queues, cluster.router, turn, role, request)
    course.replica[request] = replica
    if course.arrived_ns[request] < 0:
        course.arrived_ns[request] = now
    wait_last(queues, course, replica, request)
    return replica


@special
def _follow(rules, load, course, cluster, heap, coming, pending, link_ns, replica, request, now):
    """What comes after an ended request: its decoding elsewhere, its next turn, the next request.

    Returns:
        Size of the heap, and the next request of a closed loop.
    """
    if rules.role[replica] == PREFILL and course.generated[request] < load.output[request]:
        moved = cluster.token_bytes * load.prompt[request] / cluster.link_bytes_s
        link_ns[replica] = max(link_ns[replica], now) + int(moved * 1e9)
        course.remote[request] = load.prompt[request]
        course.computed[request] = 0
        return _push(heap, coming, link_ns[replica] + cluster.latency_ns, request), pending
    following = load.successor[request]
    if following != NONE:
        coming = _push(heap, coming, now + cluster.think_ns[following], following)
    if cluster.concurrency and pending < len(load.prompt):
        coming = _push(heap, coming, now + cluster.think_ns[pending], pending)
        pending += 1
    return coming, pending


def new_scratch(rules, load) -> Scratch:
    """Room for the loop over some requests on some replicas."""
    count = len(load.prompt)
    return Scratch(
        np.empty((2 * count + 2, 2), np.int64),
        np.empty(int(rules.sequences.max()), np.int32),
        np.zeros(len(rules.role), np.int64),
        np.zeros(count, np.bool_),
    )


@kernel
def play(times: Times, rules, load, course, pool, queues, cluster: Cluster, tally, scratch):
    """Play all requests, or up to a time.

    Returns:
        Time of the last event in ns.
    """
    replicas = len(rules.role)
    heap, done, link_ns = scratch.heap, scratch.done, scratch.link_ns
    coming, pending = _first_arrivals(load, cluster, heap, scratch.follows)
    turn, last = 0, 0
    while True:
        now, which = heap[0, 0] if coming else np.int64(1 << 62), NONE
        for replica in range(replicas):
            until = queues.until_ns[replica]
            if until != NONE and until < now:
                now, which = until, replica
        if now > cluster.until_ns or (which == NONE and coming == 0):
            return last
        last = now
        if which == NONE:
            request = heap[0, 1]
            coming = _pop(heap, coming)
            turn = 1 + _arrive(rules, load, course, pool, queues, cluster, turn, request, now)
        else:
            ended = _end(rules, load, course, pool, queues, tally, which, now, done)
            for number in range(ended):
                coming, pending = _follow(
                    rules,
                    load,
                    course,
                    cluster,
                    heap,
                    coming,
                    pending,
                    link_ns,
                    which,
                    done[number],
                    now,
                )
        if coming and heap[0, 0] == now:
            continue  # a step sees all arrivals of the moment at which it begins
        for replica in range(replicas):
            if rules.leader[replica] == replica and _is_idle(rules, queues, replica):
                _begin(times, rules, load, course, pool, queues, tally, replica, now)
