"""Arrivals: which replica a request goes to, what follows it, and replicas that change."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lydite.engine.kernels.jit import special
from lydite.serving.kernels.blocks import found, key_of
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
from lydite.serving.kernels.heap import pop, push
from lydite.serving.kernels.queues import wait_in_order, wait_last
from lydite.serving.kernels.state import NONE
from lydite.serving.kernels.tiers import end_load

ROUTERS = ("round-robin", "least-loaded", "prefix")
BOTH, PREFILL, DECODE = 0, 1, 2


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


@special
def route(rules, load, pool, queues, fleet, router, turn, role, request):
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
def first_arrivals(load, fleet, cluster, heap, follows):
    """Fill the heap with failures and arrivals that wait for nobody.

    Returns:
        Size of the heap, and the next request of a closed loop.
    """
    count, coming, pending = len(load.prompt), 0, 0
    for number in range(len(fleet.outages)):
        coming = push(heap, coming, fleet.outages[number, 0], -1 - number)
    if cluster.concurrency:
        while pending < min(cluster.concurrency, count):
            coming = push(heap, coming, load.arrival_ns[pending], pending)
            pending += 1
        return coming, pending
    for request in range(count):
        if load.successor[request] != NONE:
            follows[load.successor[request]] = True
    for request in range(count):
        if not follows[request]:
            coming = push(heap, coming, load.arrival_ns[request], request)
    return coming, pending


@special
def arrive(rules, load, course, pool, queues, fleet, cluster, turn, request, now):
    """Let a request wait on the replica that the router chooses; the replica, NONE for none."""
    role = BOTH
    if rules[0].role != BOTH:  # then none is
        role = DECODE if course.remote[request] > 0 else PREFILL
    replica = route(rules, load, pool, queues, fleet, cluster.router, turn, role, request)
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
def follow(rules, load, course, cluster, heap, coming, pending, link_ns, replica, request, now):
    """What comes after an ended request: its decoding elsewhere, its next turn, the next request.

    Returns:
        Size of the heap, and the next request of a closed loop.
    """
    if rules[replica].role == PREFILL and course.generated[request] < load.output[request]:
        moved = cluster.token_bytes * load.prompt[request] / cluster.link_bytes_s
        link_ns[replica] = max(link_ns[replica], now) + int(moved * 1e9)
        course.remote[request] = load.prompt[request]
        course.computed[request] = 0
        return push(heap, coming, link_ns[replica] + cluster.latency_ns, request), pending
    following = load.successor[request]
    if following != NONE:
        coming = push(heap, coming, now + cluster.think_ns[following], following)
    if cluster.concurrency and pending < len(load.prompt):
        coming = push(heap, coming, now + cluster.think_ns[pending], pending)
        pending += 1
    return coming, pending


@special
def change(
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
            coming = push(heap, coming, now, lost[place])
        fleet.ready_ns[replica] = NONE
        if lasts != NONE:
            fleet.ready_ns[replica] = now + lasts + fleet.limits[3]
            event = ready_event(fleet, replica)
            coming = push(heap, coming, fleet.ready_ns[replica], event)
    elif number < failures + replicas:
        replica = number - failures
        if fleet.ready_ns[replica] != now:
            return coming
        if fleet.state[replica] == FAILED:
            fleet.since_ns[replica] = now - fleet.limits[3]
        fleet.state[replica], fleet.ready_ns[replica] = UP, NONE
        fleet.idle_ns[replica] = now
        while fleet.parked[0] != NONE:
            coming = push(heap, coming, now, fleet.parked[0])
            fleet.parked[0] = course.waiting[fleet.parked[0]]
    else:
        replica = number - failures - replicas
        fleet.armed[replica] = False
        if may_stop(fleet, replica, now):
            fleet.counts[STOPS] += 1
            switch_off(fleet, replica, OFF, now)
    return coming


@special
def come(
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
):
    """The first of the heap: a request arrives or has loaded its blocks, or a replica changes.

    Returns:
        Size of the heap, and the replica whose turn it is.
    """
    heap = scratch.heap
    now, request = heap[0, 0], heap[0, 1]
    coming = pop(heap, coming)
    if request < 0:
        lost = scratch.lost
        coming = change(
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
    if request >= len(load.prompt):
        end_load(rules, load, course, pool, queues, request - len(load.prompt))
        return coming, turn
    sent = arrive(rules, load, course, pool, queues, fleet, cluster, turn, request, now)
    return coming, turn if sent == NONE else sent + 1


@special
def expect_loads(course, tiers, heap, coming, requests):
    """Put the loads that the last step began into the heap, behind the numbers of requests."""
    while tiers.begun[0] != NONE:
        request = tiers.begun[0]
        coming = push(heap, coming, tiers.loaded_ns[request], requests + request)
        tiers.begun[0] = course.waiting[request]
    return coming


@special
def scale(queues, fleet, heap, coming, now):
    """Start a replica where too many wait, and watch those that are idle; the heap's size."""
    replica = wanted(fleet, queues)
    if replica != NONE:
        fleet.state[replica], fleet.since_ns[replica] = STARTING, now
        fleet.ready_ns[replica] = now + fleet.limits[3]
        fleet.counts[STARTS] += 1
        coming = push(heap, coming, fleet.ready_ns[replica], ready_event(fleet, replica))
    for other in range(len(fleet.state)):
        if fleet.state[other] != UP or queues.runs[other] + queues.waits[other] > 0:
            continue
        if fleet.idle_ns[other] == NONE:
            fleet.idle_ns[other] = now
        if not fleet.armed[other]:
            fleet.armed[other] = True
            at = max(now, fleet.idle_ns[other] + fleet.limits[2])
            coming = push(heap, coming, at, idle_event(fleet, other))
    return coming
