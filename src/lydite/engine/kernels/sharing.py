"""Tasks on servers with flows over paths, and work that slows other work.

The waves are those of `queueing`; after each wave, the rates that it changed are computed:

1. tasks that end now end (a flow also ends an overhead, a latency, a hop); joins follow at once;
2. tasks that became ready are queued at their server, or at a FIFO link, in order of task number;
3. free slots and links take tasks from the queues;
4. groups whose busy categories changed, and links and paths that changes reach, get new rates.
"""

from __future__ import annotations

from lydite.engine.kernels.bundles import begin_joined, join, leave, set_rate
from lydite.engine.kernels.fair import change, fill, forget, reach
from lydite.engine.kernels.heap import pop, put, restore
from lydite.engine.kernels.hubs import (
    change_hub,
    common_rate,
    join_hub,
    next_ended,
    set_hub_rates,
)
from lydite.engine.kernels.jit import inlined, kernel
from lydite.engine.kernels.layout import (
    ARRIVALS,
    BOTTOM,
    CHANGED,
    ENDED,
    EVENTS,
    FRESH,
    GROUPS,
    HUBS,
    LATE,
    LIMIT,
    LINKS,
    PATHS,
    TOUCHED,
    Array,
    World,
)
from lydite.engine.kernels.processor import nearest
from lydite.engine.kernels.tables import sort_few
from lydite.engine.kernels.urgent import pop_urgent, push_urgent


@inlined
def _add_fresh(w: World, task: int) -> None:
    w.wave[w.count[FRESH]] = task
    w.count[FRESH] += 1


@inlined
def _add_ended(w: World, task: int) -> None:
    w.count[BOTTOM] -= 1
    w.wave[w.count[BOTTOM]] = task


@inlined
def _touch(w: World, station: int) -> None:
    if not w.stations[station].is_touched:
        w.stations[station].is_touched = True
        w.stations[w.count[TOUCHED]].list_touched = station
        w.count[TOUCHED] += 1


@inlined
def _wait(w: World, task: int, time: int) -> None:
    put(w.times, w.events, w.tasks, w.count, task, time)


@inlined
def _hop_link(w: World, task: int) -> int:
    """The link of the hop that a stored flow is at; -1 after the last hop."""
    path = w.paths[w.tasks[task].path]
    hop = path.begin + (w.tasks[task].stage >> 1)
    return w.hops[hop].link if hop < path.end else -1


@inlined
def _group(w: World, task: int) -> int:
    """The group of a task's server, -1 for none."""
    server = w.tasks[task].resource
    return w.stations[server].group if server >= 0 else -1


@inlined
def _work_bundle(w: World, task: int) -> int:
    """The bundle of work that other work can slow; -1 for work outside any such bundle."""
    group = _group(w, task)
    if group < 0 or w.duration[task] == 0:
        return -1
    return len(w.paths) + group * w.rates.shape[1] + w.category[task]


@inlined
def _arrive(w: World, task: int, now: int) -> None:
    """Move a flow on to where its bytes are sent: its path, its next link, or its end."""
    path = w.tasks[task].path
    if w.paths[path].is_stored:
        if _hop_link(w, task) >= 0:
            _add_fresh(w, task)
        else:
            _add_ended(w, task)
    elif w.tasks[task].left > 0:
        w.tasks[task].stage = 1
        if w.paths[path].hub >= 0:
            join_hub(w, task, now)
        else:
            join(w, path, task)
    else:
        _add_ended(w, task)


@inlined
def _begin(w: World, task: int, now: int) -> int:
    """Record the start; return the time until the next event, -1 if its bundle determines it."""
    w.tasks[task].start = now
    path = w.tasks[task].path
    if path >= 0:
        return w.duration[task] + w.paths[path].latency
    bundle = _work_bundle(w, task)
    if bundle < 0:
        return w.duration[task]
    w.tasks[task].left = w.duration[task]
    join(w, bundle, task)
    return -1


@inlined
def _come(w: World, task: int, now: int) -> None:
    """Count down what the task waits for; after the last, it is queued, starts, or ends."""
    w.tasks[task].pending -= 1
    if w.tasks[task].pending > 0:
        return
    if w.tasks[task].resource >= 0:
        _add_fresh(w, task)
        return
    span = _begin(w, task, now)
    if span > 0:
        _wait(w, task, now + span)
    elif w.tasks[task].path >= 0:
        _arrive(w, task, now)
    else:
        _add_ended(w, task)


@inlined
def _happen(w: World, task: int, now: int) -> None:
    """Process a task's event, or a hub's: its current activity is over."""
    if task > len(w.wave):
        while True:
            ended = next_ended(w, task - len(w.wave) - 1, now)
            if ended < 0:
                return
            _add_ended(w, ended)
    path = w.tasks[task].path
    if path < 0:
        bundle = _work_bundle(w, task)
        if bundle >= 0:
            leave(w, bundle, task)
        _add_ended(w, task)
        return
    if w.tasks[task].stage & 1 == 1:
        if not w.paths[path].is_stored:
            leave(w, path, task)
            _add_ended(w, task)
            return
        link = _hop_link(w, task)
        station = len(w.stations) - len(w.links) + link
        w.stations[station].free += 1
        _touch(w, station)
        w.tasks[task].stage += 1
        if w.links[link].latency > 0:
            _wait(w, task, now + w.links[link].latency)
            return
    _arrive(w, task, now)


@inlined
def _count_busy(w: World, task: int, step: int) -> None:
    group = _group(w, task)
    if group < 0:
        return
    w.bundles[len(w.paths) + group * w.rates.shape[1] + w.category[task]].busy += step
    if not w.groups[group].is_changed:
        w.groups[group].is_changed = True
        w.groups[w.count[GROUPS]].list_changed = group
        w.count[GROUPS] += 1


@inlined
def _end(w: World, task: int, now: int) -> None:
    w.tasks[task].since = now
    w.count[ENDED] += 1
    server = w.tasks[task].resource
    if server >= 0:
        w.stations[server].free += 1
        _touch(w, server)
        _count_busy(w, task, -1)
    for at in range(w.tasks[task].succ, w.tasks[task + 1].succ):
        _come(w, w.successors[at], now)


@inlined
def _queue_fresh(w: World) -> None:
    sort_few(w.wave, w.count[FRESH])
    for i in range(w.count[FRESH]):
        task = w.wave[i]
        station = w.tasks[task].resource
        if w.tasks[task].start >= 0:
            station = len(w.stations) - len(w.links) + _hop_link(w, task)
        at = w.stations[station]
        _touch(w, station)
        if at.by_priority:
            arrival = w.count[ARRIVALS]
            w.count[ARRIVALS] += 1
            push_urgent(w.urgent, at.base, at.last, w.priority[task], arrival, task)
            at.last += 1
            continue
        w.tasks[task].after = -1
        if at.first < 0:
            at.first = task
        else:
            w.tasks[at.last].after = task
        at.last = task
    w.count[FRESH] = 0


@inlined
def _take(w: World, station: int) -> int:
    """Remove the next task from a queue and return it; -1 if the queue is empty."""
    at = w.stations[station]
    if at.by_priority:
        if at.last == 0:
            return -1
        at.last -= 1
        return pop_urgent(w.urgent, at.base, at.last)
    task = at.first
    if task >= 0:
        at.first = w.tasks[task].after
    return task


@inlined
def _serve(w: World, station: int, now: int) -> None:
    """Let a server's free slots, or a free FIFO link, take tasks from the queue."""
    servers = len(w.stations) - len(w.links)
    while w.stations[station].free > 0:
        task = _take(w, station)
        if task < 0:
            break
        w.stations[station].free -= 1
        if station < servers:
            _count_busy(w, task, 1)
            span = _begin(w, task, now)
        else:
            w.tasks[task].stage += 1
            exact = nearest(w.tasks[task].left / (w.links[station - servers].bandwidth * 1e-12))
            if exact > LIMIT:
                w.count[LATE] = task
            span = int(min(exact, float(LIMIT)))
        if span >= 0:
            _wait(w, task, now + span)


@inlined
def _settle_group(w: World, group: int, now: int) -> None:
    categories = w.rates.shape[1]
    begin = len(w.paths) + group * categories
    same = True
    for b in range(begin, begin + categories):
        level = min(w.bundles[b].busy, 2)
        same &= level == w.bundles[b].level
        w.bundles[b].level = level
    if same:
        return
    for a in range(categories):
        rate = 1.0
        for b in range(categories):
            if w.bundles[begin + b].level > (1 if a == b else 0):
                rate *= w.rates[group, a, b]
        set_rate(w, begin + a, rate, now, False)


@inlined
def _change_paths(w: World) -> None:
    """Record how many flows the changed paths have now."""
    for i in range(w.count[CHANGED]):
        path = w.bundles[i].list_changed
        if path < len(w.paths) and w.bundles[path].members != w.paths[path].flows:
            if w.paths[path].hub >= 0:
                change_hub(w, path, w.bundles[path].members)
            else:
                change(w.links, w.paths, w.hops, w.count, path, w.bundles[path].members)


@inlined
def _fill(w: World, now: int) -> None:
    """Fill the links and paths that the changes reach, and set the rates of their flows."""
    fill(w.links, w.paths, w.hops, w.offers, w.count)
    flows = 0
    for i in range(w.count[PATHS]):
        flows += w.paths[w.paths[i].list_reached].flows
    # Where most events move, reordering the whole heap costs less than moving each event.
    most = 4 * flows > w.count[EVENTS]
    for i in range(w.count[PATHS]):
        path = w.paths[i].list_reached
        set_rate(w, path, w.paths[path].rate * 1e-12, now, most)
    if most:
        restore(w.times, w.events, w.tasks, w.count)
    forget(w.links, w.paths, w.count)


@inlined
def _settle(w: World, now: int) -> None:
    """Compute the rates that this wave changed, and set the end times of tasks that began."""
    for i in range(w.count[GROUPS]):
        group = w.groups[i].list_changed
        w.groups[group].is_changed = False
        _settle_group(w, group, now)
    w.count[GROUPS] = 0
    _change_paths(w)
    for i in range(w.count[HUBS]):
        hub = w.hubs[i].list_changed
        w.hubs[hub].common = common_rate(w, hub)
        if w.hubs[hub].common == 0:
            reach(w.links, w.count, w.hubs[hub].link)
    if w.count[LINKS] > 0:
        _fill(w, now)
    for i in range(w.count[HUBS]):
        hub = w.hubs[i].list_changed
        w.hubs[hub].is_changed = False
        set_hub_rates(w, hub, now)
    w.count[HUBS] = 0
    begin_joined(w, now)


@kernel
def play(w: World, release_ps: Array, released: Array) -> int:
    """Run all tasks, and write their start and end times into `tasks` (`start` and `since`).

    Args:
        w: Initial state; `pending` of every task is one too high, and is counted down here.
        release_ps, released: int64 times in ascending order, and the tasks released at them.

    Returns:
        The task that ends beyond the limit, or -1.
    """
    # The tasks come one after the other, then once more those that are released later.
    n, coming, due, now = len(w.wave), 0, 0, 0
    last = n + len(released)
    while True:
        while w.count[EVENTS] > 0 and w.times[0] == now:
            _happen(w, pop(w.times, w.events, w.tasks, w.count), now)
        while coming < last and due == now:
            _come(w, coming if coming < n else released[coming - n], now)
            coming += 1
            if n <= coming < last:
                due = release_ps[coming - n]
        while w.count[BOTTOM] < n:
            w.count[BOTTOM] += 1
            _end(w, w.wave[w.count[BOTTOM] - 1], now)
        _queue_fresh(w)
        for i in range(w.count[TOUCHED]):
            station = w.stations[i].list_touched
            w.stations[station].is_touched = False
            _serve(w, station, now)
        w.count[TOUCHED] = 0
        _settle(w, now)
        if w.count[LATE] >= 0:
            return w.count[LATE]
        if w.count[EVENTS] > 0 and (coming == last or w.times[0] <= due):
            now = w.times[0]
            if now > LIMIT:
                return w.events[0]
        elif coming < last:
            now = due
        else:
            return -1
