"""Steps of replicas: what begins, what is counted, and what comes out at the end."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lydite.engine.kernels.jit import inlined, special
from lydite.serving.kernels.arrivals import PREFILL
from lydite.serving.kernels.blocks import release
from lydite.serving.kernels.drafts import accepted
from lydite.serving.kernels.pipeline import depart, land
from lydite.serving.kernels.queues import leave
from lydite.serving.kernels.sglang import schedule as schedule_sglang
from lydite.serving.kernels.state import ALWAYS, LOADING, NONE
from lydite.serving.kernels.steps import experts_ns, step_ns
from lydite.serving.kernels.tiers import WRITE_NS, write_out
from lydite.serving.kernels.trtllm import schedule as schedule_trtllm
from lydite.serving.kernels.vllm import schedule as schedule_vllm

POLICIES = ("vllm", "sglang", "trtllm")
GAP_BINS, GAP_LEAST_NS, GAP_STEPS = 1200, 1e4, 50.0
"""Gaps between tokens are counted in bins of 2 ** (1 / GAP_STEPS), from 10 us on."""
STEP_COLUMNS = ("replica", "begin_ns", "end_ns", "tokens", "runs", "waits", "free")


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


@inlined
def _schedule(rules, load, course, pool, queues, tiers, replica):
    if rules[replica].policy == 0:
        return schedule_vllm(rules, load, course, pool, queues, tiers, replica)
    if rules[replica].policy == 1:
        return schedule_sglang(rules, load, course, pool, queues, replica)
    return schedule_trtllm(rules, load, course, pool, queues, replica)


@special
def may_begin(rules, queues, flights, leader):
    """Whether a group is idle, or a pipeline has room for a batch."""
    if rules[leader].stages > 1:
        return flights.flying[leader] < rules[leader].stages
    for replica in range(leader, leader + rules[leader].members):
        if queues.until_ns[replica] != NONE:
            return False
    return True


@inlined
def begin(times, rules, load, course, pool, queues, flights, tiers, tally, leader, now):
    """Schedule a step of each replica of a group and say when all are over.

    A replica without tokens takes part in the messages of the others. Returns whether a step has
    begun.
    """
    longest, total, most, body, head = np.int64(0), 0, 0, 0.0, 0.0
    written = now
    tiers.clock[0] = now
    members = rules[leader].members
    for replica in range(leader, leader + members):
        tokens = 0
        tries = 1 if flights.flying[replica] else 2  # whoever was preempted may run at once
        for _ in range(tries):
            if tokens == 0 and queues.waits[replica] + queues.runs[replica] > 0:
                tokens = _schedule(rules, load, course, pool, queues, tiers, replica)
                if pool.leaves[replica] > 0:
                    until = write_out(rules, pool, tiers, replica, now)
                    written = max(written, until)
        if tokens > 0:
            body, head = step_ns(times, rules, load, course, queues, replica)
            longest = max(longest, int(body + head), 1)
            total += tokens
            most = max(most, tokens)
    if total == 0:
        return False
    stages = rules[leader].stages
    if stages > 1:
        until, late = depart(
            times, rules, course, queues, flights, leader, now, body, head, total, written
        )
        tiers.counts[leader, WRITE_NS] += late
        first, busy = flights.until_ns[leader, flights.first[leader]], longest // stages
    else:
        busy = longest + int(experts_ns(times, rules[leader].kind, members, total, most))
        if written > now + busy:
            tiers.counts[leader, WRITE_NS] += written - now - busy
            busy = written - now
        until = first = now + busy
    for replica in range(leader, leader + members):
        queues.until_ns[replica] = first
        queues.began_ns[replica] = now
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
def _count_gap(tally, request, before, gap):
    """Count the time from the last of some tokens of a request to the next one."""
    place = int(np.log2(gap / GAP_LEAST_NS) * GAP_STEPS)
    tally.gaps[min(max(place, 0), GAP_BINS - 1)] += 1
    if request < len(tally.gap_start) - 1:
        tally.gap_ns[tally.gap_start[request] + before - 1] = gap


@special
def end(rules, load, course, pool, queues, flights, tally, replica, now, done):
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
            if place >= runs and course.loaded[request] != LOADING:
                leave(queues, course, replica, request)
            course.loaded[request] = 0
        elif place < runs:
            queues.running[replica, kept] = request
            kept += 1
    queues.runs[replica] = kept
    queues.until_ns[replica] = NONE
    follows = rules[replica].ahead and kept > 0
    queues.seen_ns[replica] = queues.began_ns[replica] if follows else ALWAYS
    if stages > 1 and flights.flying[replica] > 0:
        queues.until_ns[replica] = flights.until_ns[replica, flights.first[replica]]
    return ended
