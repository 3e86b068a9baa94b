"""The loop: arrivals, steps of every replica, and KV on its way from prefill to decode.

Virtual time is in integer nanoseconds; the same input gives the same bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lydite.engine.kernels.jit import kernel, special
from lydite.serving.kernels.blocks import found, key_of, leave, release, wait_in_order, wait_last
from lydite.serving.kernels.drafts import accepted
from lydite.serving.kernels.fleet import (
    FAILED,
    FAILURES,
    OFF,
    STARTING,
    STARTS,
    STOPS,
    UP,
    empty,
    idle_event,
    may_stop,
    park,
    ready_event,
    switch_off,
    wanted,
)
from lydite.serving.kernels.pipeline import depart, land
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
        lost: Requests of a replica that fails [requests, or 1 where none does]: int32.
    """

    heap: np.ndarray
    done: np.ndarray
    link_ns: np.ndarray
    follows: np.ndarray
    lost: np.ndarray


class Tally(NamedTuple):
    """What is counted beside the requests.

    Attributes:
        gaps: Number of gaps between tokens by size [bins]; tokens that come together have none.
        gap_start: Where the gaps of each of the first requests begin in `gap_ns`, with the end:
            int64 [requests that are followed + 1].
        gap_ns: Time before each token after the first, or NONE where it came with the one before.
        counts: Steps, tokens, drafted and accepted tokens, and the rows of `steps` that are taken:
            int64 [5].
        steps: The first steps, see `STEP_COLUMNS` [rows, columns].
        decisions: (step, request, tokens) of each request in each of them [rows, 3].
        taken: Rows of `decisions` that are taken [1].
        busy_ns: Time that each replica computed [replicas].
        peak: Most blocks in use on each replica [replicas].
    """

    gaps: np.ndarray
    gap_start: np.ndarray
    gap_ns: np.ndarray
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
def _route(rules, load, pool, queues, fleet, router, turn, role, request):
    """Replica for a request: of its role, in turn, with the least load, or the longest prefix."""
    replicas = len(rules)
    if router == 0:
        for offset in range(replicas):
            replica = (turn + offset) % replicas
            if rules[replica].role == role and fleet.state[replica] == UP:
                return replica
        return NONE
    best, least = NONE, 0.0
    for replica in range(replicas):
        if rules[replica].role != role or fleet.state[replica] != UP:
            continue
        weight = float(queues.runs[replica] + 4 * queues.waits[replica])
        if router == 2:
            blocks = load.prompt[request] // rules[replica].block
            hits = 0
            while hits < blocks and found(pool, replica, key_of(load, request, hits)) != NONE:
                hits += 1
            weight -= 64.0 * hits / max(blocks, 1)
        if best == NONE or weight < least:
            best, least = replica, weight
    return best


@special
def _schedule(rules, load, course, pool, queues, replica):
    if rules[replica].policy == 0:
        return schedule_vllm(rules, load, course, pool, queues, replica)
    if rules[replica].policy == 1:
        return schedule_sglang(rules, load, course, pool, queues, replica)
    return schedule_trtllm(rules, load, course, pool, queues, replica)


@special
def _may_begin(rules, queues, flights, leader):
    """Whether a group is idle, or a pipeline has room for a batch."""
    if rules[leader].stages > 1:
        return flights.flying[leader] < rules[leader].stages
    for replica in range(leader, leader + rules[leader].members):
        if queues.until_ns[replica] != NONE:
            return False
    return True


@special
def _begin(times, rules, load, course, pool, queues, flights, tally, leader, now):
    """Schedule a step of each replica of a group and say when all are over.

    A replica without tokens takes part in the messages of the others. Returns whether a step has
    begun.
    """
    longest, total, most, body, head = np.int64(0), 0, 0, 0.0, 0.0
    members = rules[leader].members
    for replica in range(leader, leader + members):
        tokens = 0
        tries = 1 if flights.flying[replica] else 2  # whoever was preempted may run at once
        for _ in range(tries):
            if tokens == 0 and queues.waits[replica] + queues.runs[replica] > 0:
                tokens = _schedule(rules, load, course, pool, queues, replica)
        if tokens > 0:
            body, head = step_ns(times, rules, load, course, queues, replica)
            longest = max(longest, int(body + head), 1)
            total += tokens
            most = max(most, tokens)
    if total == 0:
        return False
    stages = rules[leader].stages
    if stages > 1:
        until = depart(times, rules, course, queues, flights, leader, now, body, head, total)
        first, busy = flights.until_ns[leader, flights.first[leader]], longest // stages
    else:
        busy = longest + int(experts_ns(times, rules[leader].kind, members, total, most))
        until = first = now + busy
    for replica in range(leader, leader + members):
        queues.until_ns[replica] = first
        tally.busy_ns[replica] += busy
        _record(rules, course, pool, queues, tally, replica, now, until)
    return True


@special
def _record(rules, course, pool, queues, tally, replica, now, until):
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
    used = rules[replica].blocks - 1 - pool.free[replica]
    tally.peak[replica] = max(tally.peak[replica], used)
    if tally.counts[4] < len(tally.steps):
        row = tally.steps[tally.counts[4]]
        row[0], row[1], row[2], row[3] = replica, now, until, tokens
        row[4], row[5], row[6] = queues.runs[replica], queues.waits[replica], pool.free[replica]
        tally.counts[4] += 1


@special
def _next_end(until_ns, before):
    """When the next step ends and on which replica; NONE where none ends before some time."""
    now, which = before, NONE
    for replica in range(len(until_ns)):
        until = until_ns[replica]
        if until != NONE and until < now:
            now, which = until, replica
    return now, which


@special
def _count_gap(tally, request, before, gap):
    """Count the time from the last of some tokens of a request to the next one."""
    place = int(np.log2(gap / GAP_LEAST_NS) * GAP_STEPS)
    tally.gaps[min(max(place, 0), GAP_BINS - 1)] += 1
    if request < len(tally.gap_start) - 1:
        tally.gap_ns[tally.gap_start[request] + before - 1] = gap


@special
def _end(rules, load, course, pool, queues, flights, tally, replica, now, done):
    """Finish a step: tokens come out, requests end. Returns the number of ended requests."""
    ended, kept, ahead = 0, 0, rules[replica].drafts
    stages, runs, batch, strays = rules[replica].stages, queues.runs[replica], 0, 0
    if stages > 1:
        batch, strays = land(course, flights, stages, replica)
    for place in range(runs + strays):
        if place < runs:
            request = queues.running[replica, place]
            count = queues.tokens[replica, place]
        else:
            request, count = flights.request[replica, batch, place - runs], 0
        reach = course.computed[request] + count
        if stages > 1:
            count = reach = flights.landed[request]
            flights.landed[request] = 0
        else:
            course.computed[request] = reach
        known = load.prompt[request] + course.generated[request]
        over = False
        if count > 0 and reach >= known:
            before = course.generated[request]
            generated = before + 1
            if ahead > 0:
                drafts = reach - known
                right = accepted(rules, replica, request, before, drafts)
                course.computed[request] = known + right
                course.drafted[request] = ahead
                generated = min(generated + right, load.output[request])
                tally.counts[2] += drafts
                tally.counts[3] += right
            course.generated[request] = generated
            if before == 0:
                course.first_ns[request] = now
            else:
                _count_gap(tally, request, before, max(now - course.last_ns[request], 1))
            course.last_ns[request] = now
            over = generated == load.output[request] or rules[replica].role == PREFILL
        if over:
            release(load, course, pool, replica, request)
            done[ended] = request
            ended += 1
            if place >= runs:
                leave(queues, course, replica, request)
        elif place < runs:
            queues.running[replica, kept] = request
            kept += 1
    queues.runs[replica] = kept
    queues.until_ns[replica] = NONE
    if stages > 1 and flights.flying[replica] > 0:
        queues.until_ns[replica] = flights.until_ns[replica, flights.first[replica]]
    return ended


@special
def _first_arrivals(load, fleet, cluster, heap, follows):
    """Fill the heap with failures and arrivals that wait for nobody.

    Returns:
        Size of the heap, and the next request of a closed loop.
    """
    count, coming, pending = len(load.prompt), 0, 0
    for number in range(len(fleet.outages)):
        coming = _push(heap, coming, fleet.outages[number, 0], -1 - number)
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
def _arrive(rules, load, course, pool, queues, fleet, cluster, turn, request, now):
    """Let a request wait on the replica that the router chooses; the replica, NONE for none."""
    role = BOTH
    if rules[0].role != BOTH:  # then none is
        role = DECODE if course.remote[request] > 0 else PREFILL
    replica = _route(rules, load, pool, queues, fleet, cluster.router, turn, role, request)
    if course.arrived_ns[request] < 0:
        course.arrived_ns[request] = now
    if replica == NONE:
        park(course, fleet, request)
        return replica
    course.replica[request] = replica
    fleet.idle_ns[replica] = NONE
    if rules[replica].ordered:
        wait_in_order(load, course, queues, replica, request)
    else:
        wait_last(queues, course, replica, request)
    return replica


@special
def _follow(rules, load, course, cluster, heap, coming, pending, link_ns, replica, request, now):
    """What comes after an ended request: its decoding elsewhere, its next turn, the next request.

    Returns:
        Size of the heap, and the next request of a closed loop.
    """
    if rules[replica].role == PREFILL and course.generated[request] < load.output[request]:
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


@special
def _change(
    rules, load, course, pool, queues, flights, fleet, tally, heap, coming, event, now, lost
):
    """A replica fails, is ready, or may have been idle long enough; the size of the heap."""
    failures, replicas = len(fleet.outages), len(fleet.state)
    number = -1 - event
    if number < failures:
        replica, lasts = fleet.outages[number, 1], fleet.outages[number, 2]
        if fleet.state[replica] == OFF or fleet.state[replica] == FAILED:
            return coming
        fleet.counts[FAILURES] += 1
        switch_off(fleet, replica, FAILED, now)
        count = empty(rules, load, course, pool, queues, flights, fleet, tally, replica, lost)
        for place in range(count):
            coming = _push(heap, coming, now, lost[place])
        fleet.ready_ns[replica] = NONE
        if lasts != NONE:
            fleet.ready_ns[replica] = now + lasts + fleet.limits[3]
            event = ready_event(fleet, replica)
            coming = _push(heap, coming, fleet.ready_ns[replica], event)
    elif number < failures + replicas:
        replica = number - failures
        if fleet.ready_ns[replica] != now:
            return coming
        if fleet.state[replica] == FAILED:
            fleet.since_ns[replica] = now - fleet.limits[3]
        fleet.state[replica], fleet.ready_ns[replica] = UP, NONE
        fleet.idle_ns[replica] = now
        while fleet.parked[0] != NONE:
            coming = _push(heap, coming, now, fleet.parked[0])
            fleet.parked[0] = course.waiting[fleet.parked[0]]
    else:
        replica = number - failures - replicas
        fleet.armed[replica] = False
        if may_stop(fleet, replica, now):
            fleet.counts[STOPS] += 1
            switch_off(fleet, replica, OFF, now)
    return coming


@special
def _come(rules, load, course, pool, queues, flights, fleet, cluster, tally, scratch, coming, turn):
    """The first of the heap: a request arrives, or a replica changes.

    Returns:
        Size of the heap, and the replica whose turn it is.
    """
    heap = scratch.heap
    now, request = heap[0, 0], heap[0, 1]
    coming = _pop(heap, coming)
    if request < 0:
        lost = scratch.lost
        coming = _change(
            rules,
            load,
            course,
            pool,
            queues,
            flights,
            fleet,
            tally,
            heap,
            coming,
            request,
            now,
            lost,
        )
        return coming, turn
    sent = _arrive(rules, load, course, pool, queues, fleet, cluster, turn, request, now)
    return coming, turn if sent == NONE else sent + 1


@special
def _scale(queues, fleet, heap, coming, now):
    """Start a replica where too many wait, and watch those that are idle; the heap's size."""
    replica = wanted(fleet, queues)
    if replica != NONE:
        fleet.state[replica], fleet.since_ns[replica] = STARTING, now
        fleet.ready_ns[replica] = now + fleet.limits[3]
        fleet.counts[STARTS] += 1
        coming = _push(heap, coming, fleet.ready_ns[replica], ready_event(fleet, replica))
    for other in range(len(fleet.state)):
        if fleet.state[other] != UP or queues.runs[other] + queues.waits[other] > 0:
            continue
        if fleet.idle_ns[other] == NONE:
            fleet.idle_ns[other] = now
        if not fleet.armed[other]:
            fleet.armed[other] = True
            at = max(now, fleet.idle_ns[other] + fleet.limits[2])
            coming = _push(heap, coming, at, idle_event(fleet, other))
    return coming


def new_scratch(rules, load, failures: int) -> Scratch:
    """Room for the loop over some requests on some replicas, some of which fail."""
    count = len(load.prompt)
    return Scratch(
        np.empty((2 * count + 2 + 3 * failures + 3 * len(rules), 2), np.int64),
        np.empty(int(rules["sequences"].max()), np.int32),
        np.zeros(len(rules), np.int64),
        np.zeros(count, np.bool_),
        np.empty(count if failures else 1, np.int32),
    )


@kernel
def play(
    times: Times,
    rules,
    load,
    course,
    pool,
    queues,
    flights,
    fleet,
    cluster: Cluster,
    tally,
    scratch,
):
    """Play all requests, or up to a time.

    Returns:
        Time of the last event in ns.
    """
    heap, done, link_ns = scratch.heap, scratch.done, scratch.link_ns
    coming, pending = _first_arrivals(load, fleet, cluster, heap, scratch.follows)
    turn, last = 0, 0
    scales, left = fleet.limits[0] != NONE, len(load.prompt)
    while True:
        now, which = _next_end(queues.until_ns, heap[0, 0] if coming else np.int64(1 << 62))
        if now > cluster.until_ns or (which == NONE and coming == 0):
            return last
        is_change = which == NONE and heap[0, 1] < 0
        last = last if is_change else now
        if which == NONE:
            coming, turn = _come(
                rules,
                load,
                course,
                pool,
                queues,
                flights,
                fleet,
                cluster,
                tally,
                scratch,
                coming,
                turn,
            )
        else:
            ended = _end(rules, load, course, pool, queues, flights, tally, which, now, done)
            left -= ended
            if scales and left == 0:
                return last  # no replica is watched any longer
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
        if scales and not is_change:
            coming = _scale(queues, fleet, heap, coming, now)
        if coming and heap[0, 0] == now:
            continue  # a step sees all arrivals of the moment at which it begins
        for replica in range(len(rules)):
            if rules[replica].leader != replica:
                continue
            while _may_begin(rules, queues, flights, replica):
                if not _begin(
                    times, rules, load, course, pool, queues, flights, tally, replica, now
                ):
                    break
