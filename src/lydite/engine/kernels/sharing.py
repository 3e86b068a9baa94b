"""Tasks on servers with flows over paths, and work that slows other work.

The waves are those of `queueing`; after each, the rates that it changed are worked out:

1. what ends now ends (a flow also ends an overhead, a latency, a hop); joins follow at once;
2. what became ready is queued at its server, or its FIFO link, in order of task number;
3. free slots and links take from the queues;
4. groups whose busy categories changed, and what the changed paths reach, get their rates.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from lydite.engine.kernels.bundles import Bundles, begin_joined, join, leave, set_rate
from lydite.engine.kernels.fair import Fair, change, fill, forget
from lydite.engine.kernels.heap import Heap, pop, put
from lydite.engine.kernels.queueing import Queues, pop_urgent, push_urgent
from lydite.engine.kernels.tables import sort_few

Array = np.ndarray[Any, Any]
LIMIT = 2**61 - 1
FRESH, BOTTOM, TOUCHED, GROUPS, ENDED = range(5)


class Plan(NamedTuple):
    """What is given: the columns of `Tasks`, and successors.

    Attributes:
        latency: int64[paths], before a fair path's bytes; 0 for a stored one.
        stored: bool[paths]; link_latency: int64[links]; group: int32[servers].
    """

    duration: Array
    resource: Array
    priority: Array
    category: Array
    path: Array
    bytes: Array
    succ_start: Array
    successors: Array
    release_ps: Array
    released: Array
    latency: Array
    stored: Array
    link_latency: Array
    group: Array


class State(NamedTuple):
    """What changes.

    Attributes:
        start, end: int64[tasks]; the start is -1 until then.
        pending: int32[tasks], dependencies and releases still to come.
        stage: int32[tasks]; of a flow over a fair path 1 while bytes move; over a stored one
            2 * hop on the way to that hop's link, 2 * hop + 1 on the link.
        wave: int32[tasks], what became ready from the front, what ends at once from the back.
        touched: int32[stations], those to take from their queues; is_touched: bool.
        count: int64[5]: FRESH, BOTTOM, TOUCHED, GROUPS, ENDED.
    """

    start: Array
    end: Array
    pending: Array
    stage: Array
    wave: Array
    touched: Array
    is_touched: Array
    count: Array


class Groups(NamedTuple):
    """Who is busy in each group, and what that does to the others.

    Attributes:
        rates: float64[groups, categories, categories].
        busy: int32[groups, categories], tasks that hold a server.
        level: int8[groups, categories], busy at the last settling, at most 2.
        changed: int32[groups]; is_changed: bool[groups].
    """

    rates: Array
    busy: Array
    level: Array
    changed: Array
    is_changed: Array


class World(NamedTuple):
    """All of it."""

    plan: Plan
    state: State
    heap: Heap
    queues: Queues
    bundles: Bundles
    fair: Fair
    groups: Groups


@njit(nogil=True, error_model="numpy")
def _add_fresh(state: State, task: int) -> None:
    state.wave[state.count[FRESH]] = task
    state.count[FRESH] += 1


@njit(nogil=True, error_model="numpy")
def _add_ended(state: State, task: int) -> None:
    state.count[BOTTOM] -= 1
    state.wave[state.count[BOTTOM]] = task


@njit(nogil=True, error_model="numpy")
def _touch(state: State, station: int) -> None:
    if not state.is_touched[station]:
        state.is_touched[station] = True
        state.touched[state.count[TOUCHED]] = station
        state.count[TOUCHED] += 1


@njit(nogil=True, error_model="numpy")
def _hop_link(world: World, task: int) -> int:
    """The link of the hop that a stored flow is at, -1 when it has passed the last."""
    path = world.plan.path[task]
    at = world.fair.path_start[path] + (world.state.stage[task] >> 1)
    return world.fair.path_links[at] if at < world.fair.path_start[path + 1] else -1


@njit(nogil=True, error_model="numpy")
def _arrive(world: World, task: int) -> None:
    """A flow comes to where its bytes move: to its path, or to its next link, or to its end."""
    path = world.plan.path[task]
    if world.plan.stored[path]:
        if _hop_link(world, task) >= 0:
            _add_fresh(world.state, task)
        else:
            _add_ended(world.state, task)
    elif world.plan.bytes[task] > 0:
        world.state.stage[task] = 1
        join(world.bundles, path, task, world.plan.bytes[task])
    else:
        _add_ended(world.state, task)


@njit(nogil=True, error_model="numpy")
def _begin(world: World, task: int, now: int) -> int:
    """Note the start; how long until its next event, -1 if its bundle will say."""
    plan = world.plan
    world.state.start[task] = now
    if plan.path[task] >= 0:
        return plan.duration[task] + plan.latency[plan.path[task]]
    server = plan.resource[task]
    group = plan.group[server] if server >= 0 else -1
    if group < 0 or plan.duration[task] == 0:
        return plan.duration[task]
    bundle = _work_bundle(world, task, group)
    join(world.bundles, bundle, task, float(plan.duration[task]))
    return -1


@njit(nogil=True, error_model="numpy")
def _work_bundle(world: World, task: int, group: int) -> int:
    categories = world.groups.rates.shape[1]
    return len(world.plan.latency) + group * categories + world.plan.category[task]


@njit(nogil=True, error_model="numpy")
def _ready(world: World, task: int, now: int) -> None:
    """All that it depends on has ended."""
    if world.plan.resource[task] >= 0:
        _add_fresh(world.state, task)
        return
    span = _begin(world, task, now)
    if span > 0:
        put(world.heap, task, now + span)
    elif world.plan.path[task] >= 0:
        _arrive(world, task)
    else:
        _add_ended(world.state, task)


@njit(nogil=True, error_model="numpy")
def _happen(world: World, task: int, now: int) -> None:
    """A task's event: what it was at is over."""
    plan, state = world.plan, world.state
    path, server = plan.path[task], plan.resource[task]
    if path < 0:
        group = plan.group[server] if server >= 0 else -1
        if group >= 0 and plan.duration[task] > 0:
            leave(world.bundles, _work_bundle(world, task, group), task)
        _add_ended(state, task)
    elif not plan.stored[path] and state.stage[task] == 1:
        leave(world.bundles, path, task)
        _add_ended(state, task)
    elif state.stage[task] & 1:
        link = _hop_link(world, task)
        station = len(plan.group) + link
        world.queues.free[station] += 1
        _touch(state, station)
        state.stage[task] += 1
        if plan.link_latency[link] > 0:
            put(world.heap, task, now + plan.link_latency[link])
        else:
            _arrive(world, task)
    else:
        _arrive(world, task)


@njit(nogil=True, error_model="numpy")
def _come(world: World, task: int, now: int) -> None:
    """One thing less to wait for."""
    world.state.pending[task] -= 1
    if world.state.pending[task] == 0:
        _ready(world, task, now)


@njit(nogil=True, error_model="numpy")
def _end(world: World, task: int, now: int) -> None:
    plan, state = world.plan, world.state
    state.end[task] = now
    state.count[ENDED] += 1
    server = plan.resource[task]
    if server >= 0:
        world.queues.free[server] += 1
        _touch(state, server)
        _count_busy(world, task, server, -1)
    for at in range(plan.succ_start[task], plan.succ_start[task + 1]):
        _come(world, plan.successors[at], now)


@njit(nogil=True, error_model="numpy")
def _count_busy(world: World, task: int, server: int, step: int) -> None:
    group = world.plan.group[server]
    if group >= 0:
        groups, count = world.groups, world.state.count
        groups.busy[group, world.plan.category[task]] += step
        if not groups.is_changed[group]:
            groups.is_changed[group] = True
            groups.changed[count[GROUPS]] = group
            count[GROUPS] += 1


@njit(nogil=True, error_model="numpy")
def _queue_fresh(world: World) -> None:
    plan, state, queues = world.plan, world.state, world.queues
    sort_few(state.wave, state.count[FRESH])
    for i in range(state.count[FRESH]):
        task = state.wave[i]
        station = plan.resource[task]
        if state.start[task] >= 0:
            station = len(plan.group) + _hop_link(world, task)
        if queues.urgent[station]:
            push_urgent(queues, station, plan.priority[task], task)
        elif queues.first[station] < 0:
            queues.first[station] = queues.last[station] = task
            queues.items[task] = -1
        else:
            queues.items[queues.last[station]] = task
            queues.last[station] = task
            queues.items[task] = -1
        _touch(state, station)
    state.count[FRESH] = 0


@njit(nogil=True, error_model="numpy")
def _take(queues: Queues, station: int) -> int:
    """The next task of a queue, -1 if it is empty."""
    if queues.urgent[station]:
        return pop_urgent(queues, station) if queues.last[station] > 0 else -1
    task = queues.first[station]
    if task >= 0:
        queues.first[station] = queues.items[task]
    return task


@njit(nogil=True, error_model="numpy")
def _serve(world: World, station: int, now: int) -> None:
    """Let a server's slots, or a FIFO link, take from the queue."""
    plan, state, queues = world.plan, world.state, world.queues
    servers = len(plan.group)
    while queues.free[station] > 0:
        task = _take(queues, station)
        if task < 0:
            break
        queues.free[station] -= 1
        if station < servers:
            _count_busy(world, task, station, 1)
            span = _begin(world, task, now)
        else:
            state.stage[task] += 1
            seconds = plan.bytes[task] / world.fair.bandwidth[station - servers]
            picoseconds = np.rint(seconds * 1e12)
            if picoseconds > LIMIT:
                world.bundles.count[1] = task
            span = np.int64(min(picoseconds, float(LIMIT)))
        if span >= 0:
            put(world.heap, task, now + span)


@njit(nogil=True, error_model="numpy")
def _settle_group(world: World, group: int, now: int) -> None:
    groups = world.groups
    categories = groups.rates.shape[1]
    same = True
    for b in range(categories):
        level = min(groups.busy[group, b], 2)
        same &= level == groups.level[group, b]
        groups.level[group, b] = level
    if same:
        return
    for a in range(categories):
        rate = 1.0
        for b in range(categories):
            if groups.level[group, b] > (1 if a == b else 0):
                rate *= groups.rates[group, a, b]
        bundle = len(world.plan.latency) + group * categories + a
        set_rate(world.bundles, world.heap, bundle, rate, now)


@njit(nogil=True, error_model="numpy")
def _settle(world: World, now: int) -> None:
    """Work out the rates that this wave changed, and give what began its end."""
    state, bundles, fair, heap = world.state, world.bundles, world.fair, world.heap
    for i in range(state.count[GROUPS]):
        group = world.groups.changed[i]
        world.groups.is_changed[group] = False
        _settle_group(world, group, now)
    state.count[GROUPS] = 0
    for i in range(bundles.count[0]):
        path = bundles.changed[i]
        if path < len(fair.flows) and bundles.members[path] != fair.flows[path]:
            change(fair, path, bundles.members[path])
    if fair.found[0] > 0:
        fill(fair)
        for i in range(fair.found[1]):
            path = fair.paths[i]
            set_rate(bundles, heap, path, fair.rate[path] * 1e-12, now)
        forget(fair)
    begin_joined(bundles, heap, now)


@njit(cache=True, nogil=True, error_model="numpy")
def play(world: World) -> tuple[int, int]:
    """Play all tasks; their times come to stand in `state`.

    Returns:
        How many tasks ended, and the task whose end is beyond the limit, or -1.
    """
    plan, state, heap = world.plan, world.state, world.heap
    n, coming, now = len(state.start), 0, 0
    for task in range(n):
        if state.pending[task] == 0:
            _ready(world, task, now)
    while True:
        while heap.size[0] > 0 and heap.time[0] == now:
            _happen(world, pop(heap), now)
        while coming < len(plan.released) and plan.release_ps[coming] == now:
            _come(world, plan.released[coming], now)
            coming += 1
        while state.count[BOTTOM] < n:
            task = state.wave[state.count[BOTTOM]]
            state.count[BOTTOM] += 1
            _end(world, task, now)
        _queue_fresh(world)
        for i in range(state.count[TOUCHED]):
            state.is_touched[state.touched[i]] = False
            _serve(world, state.touched[i], now)
        state.count[TOUCHED] = 0
        _settle(world, now)
        if world.bundles.count[1] >= 0:
            return state.count[ENDED], world.bundles.count[1]
        if heap.size[0] > 0 and (
            coming == len(plan.released) or heap.time[0] <= plan.release_ps[coming]
        ):
            now = heap.time[0]
        elif coming < len(plan.released):
            now = plan.release_ps[coming]
        else:
            return state.count[ENDED], -1
        if now > LIMIT:
            return state.count[ENDED], heap.task[0]
