"""Replicas that fail, and that are started and stopped by the load.

Events lie in the heap of arrivals, as negative numbers: -1 - n is failure n, behind these the
moment when a replica is ready, behind these the moment when it may have been idle long enough.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lydite.engine.kernels.jit import special
from lydite.serving.kernels.blocks import forget_all, release
from lydite.serving.kernels.queues import next_waiting
from lydite.serving.kernels.state import NONE

OFF, UP, STARTING, FAILED = 0, 1, 2, 3
FAILURES, STARTS, STOPS, RETRIES = 0, 1, 2, 3


class Fleet(NamedTuple):
    """Which replicas run.

    Attributes:
        limits: Least replicas, requests that wait for each, ns of idling, ns of a cold start;
            the least is NONE where nothing is started or stopped: int64 [4].
        outages: When a replica fails, which, and for how long, or NONE: int64 [failures, 3].
        state: OFF, UP, STARTING or FAILED [replicas]: int64.
        ready_ns: When it is ready, or NONE [replicas].
        idle_ns: Since when it has had no requests, or NONE [replicas].
        armed: Whether a moment to stop it is in the heap [replicas].
        since_ns: Since when it has run, its start included [replicas].
        on_ns: How long it ran before that [replicas].
        retried: How often each request was sent again [requests, or 1 without a fleet]: int32.
        parked: First and last request that waits for a replica to run: int64 [2].
        counts: Failures, starts, stops and requests that were sent again: int64 [4].
    """

    limits: np.ndarray
    outages: np.ndarray
    state: np.ndarray
    ready_ns: np.ndarray
    idle_ns: np.ndarray
    armed: np.ndarray
    since_ns: np.ndarray
    on_ns: np.ndarray
    retried: np.ndarray
    parked: np.ndarray
    counts: np.ndarray


@special
def ready_event(fleet, replica):
    """Number in the heap of the moment when a replica is ready."""
    return -1 - (len(fleet.outages) + replica)


@special
def idle_event(fleet, replica):
    """Number in the heap of the moment when a replica may have been idle long enough."""
    return -1 - (len(fleet.outages) + len(fleet.state) + replica)


@special
def park(course, fleet, request):
    """Let a request wait for any replica to run."""
    course.waiting[request] = NONE
    if fleet.parked[0] == NONE:
        fleet.parked[0] = request
    else:
        course.waiting[fleet.parked[1]] = request
    fleet.parked[1] = request


@special
def wanted(fleet, queues):
    """A replica to start, since more requests wait than may; or NONE."""
    if fleet.limits[0] == NONE:
        return NONE
    there, waits, off = 0, 0, NONE
    for replica in range(len(fleet.state)):
        if fleet.state[replica] == UP:
            waits += queues.waits[replica]
        if fleet.state[replica] == UP or fleet.state[replica] == STARTING:
            there += 1
        elif off == NONE and fleet.state[replica] == OFF:
            off = replica
    return off if waits > fleet.limits[1] * there or there == 0 else NONE


@special
def may_stop(fleet, replica, now):
    """Whether a replica has been idle long enough, and more than the least run."""
    idle = fleet.idle_ns[replica]
    if fleet.state[replica] != UP or idle == NONE or now - idle < fleet.limits[2]:
        return False
    there = 0
    for other in range(len(fleet.state)):
        there += fleet.state[other] == UP
    return there > fleet.limits[0]


@special
def switch_off(fleet, replica, state, now):
    """Stop a replica, or note that it failed."""
    if fleet.state[replica] == UP or fleet.state[replica] == STARTING:
        fleet.on_ns[replica] += now - fleet.since_ns[replica]
    fleet.state[replica] = state
    fleet.idle_ns[replica] = NONE


@special
def start_over(course, fleet, tally, request):
    """Forget what a request has computed and answered."""
    course.computed[request] = course.generated[request] = course.drafted[request] = 0
    course.first_ns[request] = course.last_ns[request] = NONE
    if request < len(tally.gap_start) - 1:
        for place in range(tally.gap_start[request], tally.gap_start[request + 1]):
            tally.gap_ns[place] = NONE
    fleet.retried[request] += 1
    fleet.counts[RETRIES] += 1


@special
def empty(rules, load, course, pool, queues, flights, fleet, tally, replica, lost):
    """Take all requests from a replica, which loses its cache.

    Returns:
        Number of requests, which lie in `lost`.
    """
    count = 0
    for place in range(queues.runs[replica]):
        request = queues.running[replica, place]
        release(load, course, pool, replica, request)
        lost[count] = request
        count += 1
    while queues.waits[replica] > 0:
        lost[count] = next_waiting(queues, course, replica)
        count += 1
    for number in range(count):
        start_over(course, fleet, tally, lost[number])
    queues.runs[replica] = 0
    queues.until_ns[replica] = NONE
    queues.chunk[replica] = NONE
    flights.flying[replica] = 0
    for stage in range(rules[replica].stages):
        flights.free_ns[replica, stage] = 0
    forget_all(pool, replica, rules[replica].blocks)
    return count


def new_fleet(
    replicas: int, requests: int, limits: np.ndarray, outages: np.ndarray, is_used: bool
) -> Fleet:
    """Replicas that run, the least of them where the load starts and stops them."""
    state = np.full(replicas, UP, np.int64)
    if limits[0] != NONE:
        state[limits[0] :] = OFF
    never = np.full(replicas, NONE, np.int64)
    return Fleet(
        limits,
        outages,
        state,
        never,
        np.where(state == UP, 0, NONE),
        np.zeros(replicas, np.bool_),
        np.zeros(replicas, np.int64),
        np.zeros(replicas, np.int64),
        np.zeros(requests if is_used else 1, np.int32),
        np.full(2, NONE, np.int64),
        np.zeros(4, np.int64),
    )
