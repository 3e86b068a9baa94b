"""Requests played on replicas in virtual time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lydite.engine.compiled import Notify, load_from, on_stderr
from lydite.errors import unknown_name
from lydite.serving.arrays import (
    fleet_of,
    followed,
    in_ns,
    kinds_of,
    load_of,
    rules_of,
    running_s,
)
from lydite.serving.checks import check
from lydite.serving.fleet import Fleet
from lydite.serving.kernels.state import new_course, new_flights, new_pool, new_queues
from lydite.serving.kernels.tiers import new_tiers
from lydite.serving.outcome import Outcome
from lydite.serving.replicas import Replica, Traffic
from lydite.serving.requests import Requests
from lydite.serving.tiers import used
from lydite.serving.times import stacked

KERNELS = "lydite.serving.kernels"


def simulate_serving(
    requests: Requests,
    replicas: Sequence[Replica],
    traffic: Traffic | None = None,
    fleet: Fleet | None = None,
    *,
    until_s: float | None = None,
    trace: int = 0,
    decisions: int = 0,
    gaps: int = 0,
    notify: Notify = on_stderr,
) -> Outcome:
    """Play requests on replicas.

    Args:
        requests: Workload.
        replicas: Where they run; all "both", or some "prefill" and some "decode".
        traffic: What connects the replicas; None for the usual.
        fleet: Replicas that fail, are started and are stopped; None for all that always run.
        until_s: Time to stop; None plays all requests to their end.
        trace: Number of steps to keep.
        decisions: Number of rows of scheduled requests to keep.
        gaps: Most gaps between tokens to keep, of the first requests that have no more together;
            each takes 8 bytes.
        notify: What is told that kernels are compiled.

    Raises:
        InputError: no replica can hold a request (says by how much), or roles lack a partner.
    """
    traffic = traffic or Traffic()
    check(requests, replicas, fleet)
    module = load_from(KERNELS, "play", "the serving loop", 20, notify)
    if traffic.router not in module.ROUTERS:
        raise unknown_name("router", traffic.router, module.ROUTERS)
    load = load_of(requests, replicas)
    rules = rules_of(replicas, module.POLICIES, load)
    times = stacked(kinds_of(replicas))
    course, pool, queues = new_course(load), new_pool(rules), new_queues(rules)
    ruled = fleet_of(fleet, replicas, len(requests))
    flights = new_flights(rules, len(requests))
    cluster = module.Cluster(
        module.ROUTERS.index(traffic.router),
        requests.concurrency,
        in_ns(requests.think_s),
        float(traffic.kv_token_bytes),
        float(traffic.link_bytes_s),
        int(traffic.link_latency_s * 1e9),
        (1 << 61) if until_s is None else int(until_s * 1e9),
    )
    tally = module.Tally(
        np.zeros(module.GAP_BINS, np.int64),
        *followed(requests, gaps),
        np.zeros(5, np.int64),
        np.zeros((trace, len(module.STEP_COLUMNS)), np.int64),
        np.zeros((decisions, 3), np.int64),
        np.zeros(1, np.int64),
        np.zeros(len(replicas), np.int64),
        np.zeros(len(replicas), np.int64),
    )
    tiers = new_tiers(rules, len(requests))
    scratch = module.new_scratch(rules, load, len(ruled.outages))
    end_ns = module.play(
        times, rules, load, course, pool, queues, flights, ruled, cluster, tiers, tally, scratch
    )
    middle = (np.arange(module.GAP_BINS) + 0.5) / module.GAP_STEPS
    sizes = np.array([r.scheduler.block_size for r in replicas])
    return Outcome(
        requests=requests,
        arrived_s=_seconds(course.arrived_ns),
        started_s=_seconds(course.started_ns),
        first_s=_seconds(course.first_ns),
        last_s=_seconds(np.where(course.generated == requests.output, course.last_ns, -1)),
        hits=course.hits,
        preempted=course.preempted,
        replica=course.replica,
        end_s=float(end_ns) * 1e-9,
        steps=int(tally.counts[0]),
        tokens=int(tally.counts[1]),
        drafted=int(tally.counts[2]),
        accepted=int(tally.counts[3]),
        gap_s=module.GAP_LEAST_NS * 2**middle * 1e-9,
        gap_count=tally.gaps,
        gap_start=tally.gap_start,
        gap_ns=tally.gap_ns,
        busy_s=tally.busy_ns * 1e-9,
        peak_tokens=tally.peak * sizes,
        retried=np.broadcast_to(ruled.retried, len(requests)),
        on_s=running_s(ruled, int(end_ns)),
        failures=int(ruled.counts[0]),
        starts=int(ruled.counts[1]),
        stops=int(ruled.counts[2]),
        tiers=used(tiers, [(r.tiers, r.scheduler.block_size) for r in replicas], end_ns * 1e-9),
        trace=tally.steps[: tally.counts[4]],
        decisions=tally.decisions[: tally.taken[0]],
    )


def _seconds(ns: np.ndarray) -> np.ndarray:
    return np.where(ns < 0, np.nan, ns * 1e-9)
