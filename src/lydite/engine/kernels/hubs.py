"""Flows that share one link and nothing else, such as all that cross one switch or bus.

Every flow that comes or goes changes the rates of all others there. While none of them is held back
by a link or cap of its own, all rates are the link's bandwidth divided by its load, which needs no
filling; and the flows lie in columns, so that one pass without branches gives all new end times.
The earliest of them is the only event. Rates and times are those that `fair` and `bundles` would
find, to the bit.
"""

from __future__ import annotations

from lydite.engine.kernels.bundles import mark
from lydite.engine.kernels.fair import place_hops
from lydite.engine.kernels.heap import put
from lydite.engine.kernels.jit import called, inlined
from lydite.engine.kernels.layout import HUBS, LATE, LIMIT, NEVER, Array, World
from lydite.engine.kernels.processor import nearest


@inlined
def _touch(w: World, hub: int) -> None:
    if not w.hubs[hub].is_changed:
        w.hubs[hub].is_changed = True
        w.hubs[w.count[HUBS]].list_changed = hub
        w.count[HUBS] += 1


@inlined
def join_hub(w: World, task: int, now: int) -> None:
    """Add a flow with the bytes `left` to its path's hub; `settle_hubs` then sets its end."""
    path = w.tasks[task].path
    hub = w.paths[path].hub
    at = w.hubs[hub].begin + w.hubs[hub].members
    w.amounts[0, at], w.amounts[1, at] = w.tasks[task].left, 0.0
    w.moments[0, at], w.moments[1, at] = now, NEVER
    w.members[at] = task
    w.hubs[hub].members += 1
    w.bundles[path].members += 1
    mark(w, path)
    _touch(w, hub)


@inlined
def next_ended(w: World, hub: int, now: int) -> int:
    """Remove a flow that ends now from a hub, and return its task; -1 if there is none."""
    last = w.hubs[hub].begin + w.hubs[hub].members - 1
    ends = w.moments[1]
    for at in range(last, w.hubs[hub].begin - 1, -1):
        if ends[at] == now:
            task = w.members[at]
            w.amounts[0, at], w.amounts[1, at] = w.amounts[0, last], w.amounts[1, last]
            w.moments[0, at], w.moments[1, at] = w.moments[0, last], w.moments[1, last]
            w.members[at] = w.members[last]
            w.hubs[hub].members -= 1
            w.bundles[w.tasks[task].path].members -= 1
            mark(w, w.tasks[task].path)
            _touch(w, hub)
            return task
    return -1


@inlined
def change_hub(w: World, path: int, flows: int) -> None:
    """Record that a path of a hub has another number of flows."""
    hub = w.paths[path].hub
    w.hubs[hub].load += (flows - w.paths[path].flows) * w.paths[path].weight
    place_hops(w.links, w.paths, w.hops, path, flows)
    if flows > w.paths[path].most:
        w.paths[path].most = flows
        for hop in range(w.paths[path].begin, w.paths[path].end):
            link = w.hops[hop].link
            if link != w.hubs[hub].link:
                share = w.links[link].bandwidth / (flows * w.hops[hop].times)
                w.hubs[hub].floor = min(w.hubs[hub].floor, share)


@inlined
def common_rate(w: World, hub: int) -> float:
    """The rate of all flows of a hub in bytes/s; 0 if something may hold some of them back."""
    share = w.links[w.hubs[hub].link].bandwidth
    if w.hubs[hub].load > 1:
        share /= w.hubs[hub].load
    return share if share <= w.hubs[hub].floor else 0.0


@called
def _set_common_rate(
    left: Array,
    rates: Array,
    since: Array,
    ends: Array,
    rate: float,
    now: int,
) -> int:
    """Give all flows of the columns one rate, in bytes/ps.

    A function of its own, so that it becomes instructions that update several flows at once.

    Returns:
        The earliest end; -1 if some flow ends beyond the limit.
    """
    first, is_late = NEVER, 0
    for at in range(len(rates)):
        before = rates[at]
        is_changed = before != rate
        rest = max(0.0, left[at] - (now - since[at]) * before)
        span = nearest(rest / rate)
        is_late |= span > LIMIT
        until = now + int(min(span, float(LIMIT)))
        left[at] = rest if is_changed else left[at]
        since[at] = now if is_changed else since[at]
        until = until if is_changed else ends[at]
        rates[at] = rate
        ends[at] = until
        first = min(first, until)
    return -1 if is_late else first


@inlined
def _set_path_rates(w: World, begin: int, end: int, now: int) -> int:
    """As `_set_common_rate`, with the rate of each flow's path."""
    first = NEVER
    for at in range(begin, end):
        before, rate = w.amounts[1, at], w.paths[w.tasks[w.members[at]].path].rate * 1e-12
        if before != rate:
            left = max(0.0, w.amounts[0, at] - (now - w.moments[0, at]) * before)
            w.amounts[0, at], w.amounts[1, at] = left, rate
            span = nearest(left / rate)
            if span > LIMIT:
                return -1
            w.moments[0, at], w.moments[1, at] = now, now + int(span)
        first = min(first, w.moments[1, at])
    return first


@inlined
def set_hub_rates(w: World, hub: int, now: int) -> None:
    """Set the rates of a hub's flows from `now` on: the common one, or those of their paths."""
    begin, end = w.hubs[hub].begin, w.hubs[hub].begin + w.hubs[hub].members
    if begin == end:
        return
    if w.hubs[hub].common > 0:
        left, rates = w.amounts[0][begin:end], w.amounts[1][begin:end]
        since, ends = w.moments[0][begin:end], w.moments[1][begin:end]
        first = _set_common_rate(left, rates, since, ends, w.hubs[hub].common * 1e-12, now)
    else:
        first = _set_path_rates(w, begin, end, now)
    if first < 0:
        w.count[LATE] = w.members[begin]
    else:
        put(w.times, w.events, w.tasks, w.count, len(w.wave) + 1 + hub, first)
