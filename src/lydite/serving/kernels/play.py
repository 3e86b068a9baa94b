"""The loop: arrivals, steps of every replica, and KV on its way from prefill to decode.

Virtual time is in integer nanoseconds; the same input gives the same bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lydite.engine.kernels.jit import kernel, special
from lydite.serving.kernels.arrivals import (
    ROUTERS,
    Cluster,
    come,
    expect_loads,
    first_arrivals,
    follow,
    scale,
)
from lydite.serving.kernels.batches import (
    GAP_BINS,
    GAP_LEAST_NS,
    GAP_STEPS,
    POLICIES,
    STEP_COLUMNS,
    Tally,
    begin,
    end,
    may_begin,
)
from lydite.serving.kernels.state import NONE
from lydite.serving.kernels.steps import Times

__all__ = [
    "GAP_BINS",
    "GAP_LEAST_NS",
    "GAP_STEPS",
    "POLICIES",
    "ROUTERS",
    "STEP_COLUMNS",
    "Cluster",
    "Tally",
    "new_scratch",
    "play",
]


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


@special
def _next_end(until_ns, before):
    """When the next step ends and on which replica; NONE where none ends before some time."""
    now, which = before, NONE
    for replica in range(len(until_ns)):
        until = until_ns[replica]
        if until != NONE and until < now:
            now, which = until, replica
    return now, which


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
    tiers,
    tally,
    scratch,
):
    """Play all requests, or up to a time.

    Returns:
        Time of the last event in ns.
    """
    heap, done, link_ns = scratch.heap, scratch.done, scratch.link_ns
    coming, pending = first_arrivals(load, fleet, cluster, heap, scratch.follows)
    turn, last = 0, 0
    scales, left = fleet.limits[0] != NONE, len(load.prompt)
    while True:
        now, which = _next_end(queues.until_ns, heap[0, 0] if coming else np.int64(1 << 62))
        if now > cluster.until_ns or (which == NONE and coming == 0):
            return last
        is_change = which == NONE and heap[0, 1] < 0
        last = last if is_change else now
        if which == NONE:
            coming, turn = come(
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
            ended = end(rules, load, course, pool, queues, flights, tally, which, now, done)
            left -= ended
            if scales and left == 0:
                return last  # no replica is watched any longer
            for number in range(ended):
                coming, pending = follow(
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
            coming = scale(queues, fleet, heap, coming, now)
        if coming and heap[0, 0] == now:
            continue  # a step sees all arrivals of the moment at which it begins
        for replica in range(len(rules)):
            if rules[replica].leader != replica:
                continue
            while may_begin(rules, queues, flights, replica):
                has_begun = begin(
                    times, rules, load, course, pool, queues, flights, tiers, tally, replica, now
                )
                coming = expect_loads(course, tiers, heap, coming, len(load.prompt))
                if not has_begun:
                    break
