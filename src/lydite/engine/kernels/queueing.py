"""Tasks on servers, without flows and interference: the tight loop.

Time only moves forward, and everything that happens at one instant is processed together, in waves:

1. tasks that end now end; tasks without a server that this completes, such as joins, end as well;
2. tasks that became ready are queued, in order of task number;
3. free slots take tasks from the queues; tasks of no duration end in the next wave.

So the result does not depend on the order in which equal times are found.

At most instants one task ends, on a server of one slot, and few tasks wait for it. `_step` does the
same for such an instant without branches that a processor would mispredict half of the time, and
begins to load what the next steps will need.
"""

from __future__ import annotations

from lydite.engine.kernels.jit import inlined, kernel
from lydite.engine.kernels.layout import LANES, LIMIT, NEVER, Array, Queues
from lydite.engine.kernels.processor import pick, prefetch
from lydite.engine.kernels.tables import sort_few
from lydite.engine.kernels.tournament import earliest_rival, seat
from lydite.engine.kernels.urgent import pop_urgent, push_urgent


@inlined
def push_event(times: Array, tasks: Array, size: int, time: int, task: int) -> None:
    """Add an event to the heap of `size`."""
    at = size
    while at > 0:
        above = (at - 1) >> 1
        if times[above] <= time:
            break
        times[at], tasks[at] = times[above], tasks[above]
        at = above
    times[at], tasks[at] = time, task


@inlined
def pop_event(times: Array, tasks: Array, size: int) -> None:
    """Remove the earliest of `size` events: sink the hole to a leaf, then raise the last one."""
    size -= 1
    time, task = times[size], tasks[size]
    at = 0
    below = 1
    while below + 1 < size:
        below += times[below + 1] < times[below]
        times[at], tasks[at] = times[below], tasks[below]
        at = below
        below = 2 * at + 1
    if below < size:
        times[at], tasks[at] = times[below], tasks[below]
        at = below
    push_event(times, tasks, at, time, task)


@inlined
def _successor(q: Queues, task: int, at: int) -> int:
    """The successor at `at`; the task itself if it has fewer."""
    return pick(at < q.tasks[task].end, q.successors[at], task)


@inlined
def _foresee(q: Queues, task: int) -> None:
    """Begin to load what the end of a task that starts now will reach."""
    begin = q.tasks[task].begin
    for at in range(begin, begin + LANES):
        prefetch(q.tasks, _successor(q, task, at))


@inlined
def _arise(
    q: Queues, task: int, now: int, fresh: int, bottom: int, size: int
) -> tuple[int, int, int]:
    """Queue a task that waits for nothing more, or let it end or run if it needs no server.

    The wave holds tasks that became ready before `fresh`, and tasks that end at once from `bottom`.
    Returns the new `fresh`, `bottom` and number of events.
    """
    if q.tasks[task].server != -1:
        q.wave[fresh] = task
        return fresh + 1, bottom, size
    duration = q.tasks[task].time
    q.tasks[task].time = now
    if duration == 0:
        q.wave[bottom - 1] = task
        return fresh, bottom - 1, size
    push_event(q.times, q.events, size, now + duration, task)
    _foresee(q, task)
    return fresh, bottom, size + 1


@inlined
def _come(
    q: Queues, task: int, now: int, fresh: int, bottom: int, size: int
) -> tuple[int, int, int]:
    """Count down what the task waits for; after the last, it arises."""
    q.tasks[task].pending -= 1
    if q.tasks[task].pending > 0:
        return fresh, bottom, size
    return _arise(q, task, now, fresh, bottom, size)


@inlined
def _queue_fresh(q: Queues, fresh: int, arrivals: int) -> int:
    """Queue the tasks of the wave, and leave their servers in it; returns the new arrivals."""
    sort_few(q.wave, fresh)
    for i in range(fresh):
        task = q.wave[i]
        server = q.tasks[task].server
        server = pick(server < 0, -2 - server, server)
        at = q.servers[server]
        if at.by_priority:
            push_urgent(q.urgent, at.base, at.last, q.priority[task], arrivals, task)
            arrivals += 1
        else:
            q.items[at.last] = task
        at.last += 1
        q.wave[i] = server
    return arrivals


@inlined
def _start(q: Queues, server: int, now: int) -> None:
    """Let a server of one slot, by arrival, take the first task of its queue."""
    at = q.servers[server]
    task = q.items[at.first]
    at.first += 1
    at.running = task
    end = now + q.tasks[task].time
    q.tasks[task].time = now
    seat(q.ends, q.holders, server, end)
    _foresee(q, task)
    # The next task's successors, and the task after it.
    following = pick(at.first < at.last, q.items[at.first], task)
    prefetch(q.successors, q.tasks[following].begin)
    prefetch(q.tasks, pick(at.first + 1 < at.last, q.items[at.first + 1], task))


@inlined
def _serve(q: Queues, server: int, now: int, size: int) -> int:
    """Let a server's free slots take tasks from its queue; returns the new number of events."""
    at = q.servers[server]
    if at.free < 0:
        if at.running < 0 and at.first < at.last:
            _start(q, server, now)
        return size
    while at.free > 0 and at.first < at.last:
        if at.by_priority:
            at.last -= 1
            task = pop_urgent(q.urgent, at.base, at.last)
        else:
            task = q.items[at.first]
            at.first += 1
        at.free -= 1
        end = now + q.tasks[task].time
        q.tasks[task].time = now
        push_event(q.times, q.events, size, end, task)
        _foresee(q, task)
        size += 1
    return size


@inlined
def _reach(q: Queues, reached: int, exists: bool, starting: int) -> int:
    """Count down a successor, and queue it if it is ready.

    Returns the new number of idle servers that get a task.
    """
    q.tasks[reached].pending -= exists
    is_ready = exists & (q.tasks[reached].pending == 0)
    server = q.tasks[reached].server
    at = q.servers[server]
    q.items[at.last] = reached
    at.last += is_ready
    q.freed[starting] = server
    return starting + (is_ready & (at.running < 0))


@inlined
def _step(q: Queues, limit: int) -> int:
    """End the next task that ends on a server of one slot, if that is all that happens then.

    Returns:
        Its end; NEVER, with nothing done, if something else happens then or before `limit`.
    """
    now = q.ends[1]
    if now >= limit:
        return NEVER
    server = q.holders[1]
    if earliest_rival(q.ends, server) == now:
        return NEVER
    task = q.servers[server].running
    begin = q.tasks[task].begin
    count = q.tasks[task].end - begin
    if count > LANES:
        return NEVER
    a, b = _successor(q, task, begin), _successor(q, task, begin + 1)
    c, d = _successor(q, task, begin + 2), _successor(q, task, begin + 3)
    if (q.tasks[a].server | q.tasks[b].server | q.tasks[c].server | q.tasks[d].server) < 0:
        return NEVER
    starting = _reach(q, a, count > 0, 0)
    starting = _reach(q, b, count > 1, starting)
    starting = _reach(q, c, count > 2, starting)
    starting = _reach(q, d, count > 3, starting)
    at = q.servers[server]
    if at.first < at.last:
        _start(q, server, now)
    else:
        at.running = -1
        seat(q.ends, q.holders, server, NEVER)
    for i in range(starting):
        other = q.freed[i]
        if q.servers[other].running < 0:
            _start(q, other, now)
    return now


@kernel
def play(  # noqa: C901, one loop: a helper would have to hand back every counter
    q: Queues, release_ps: Array, released: Array
) -> int:
    """Run all tasks, and write their start times into `tasks.time`.

    Args:
        q: Initial state; `pending` of every task is one too high, and is counted down here.
        release_ps, released: int64 times in ascending order, and the tasks released at them.

    Returns:
        The task that ends beyond the limit, or -1.
    """
    n = len(q.wave)
    fresh, bottom, size, coming, arrivals, now = 0, n, 0, 0, 0, 0
    for task in range(n):
        fresh, bottom, size = _come(q, task, now, fresh, bottom, size)
    while True:
        leaving = 0
        while coming < len(released) and release_ps[coming] == now:
            fresh, bottom, size = _come(q, released[coming], now, fresh, bottom, size)
            coming += 1
        while True:
            if bottom < n:
                task = q.wave[bottom]
                bottom += 1
            elif q.ends[1] == now:
                server = q.holders[1]
                task = q.servers[server].running
                q.servers[server].running = -1
                seat(q.ends, q.holders, server, NEVER)
                q.freed[leaving] = server
                leaving += 1
            elif size > 0 and q.times[0] == now:
                task = q.events[0]
                pop_event(q.times, q.events, size)
                size -= 1
                server = q.tasks[task].server
                if server < -1:
                    q.servers[-2 - server].free += 1
                    q.freed[leaving] = -2 - server
                    leaving += 1
            else:
                break
            for at in range(q.tasks[task].begin, q.tasks[task].end):
                fresh, bottom, size = _come(q, q.successors[at], now, fresh, bottom, size)
        arrivals = _queue_fresh(q, fresh, arrivals)
        for i in range(leaving):
            size = _serve(q, q.freed[i], now, size)
        for i in range(fresh):
            size = _serve(q, q.wave[i], now, size)
        fresh = 0
        limit = LIMIT + 1
        if size > 0:
            limit = min(limit, q.times[0])
        if coming < len(released):
            limit = min(limit, release_ps[coming])
        step = now
        while step != NEVER:
            step = _step(q, limit)
        now = min(limit, q.ends[1])
        if now > LIMIT:
            if q.ends[1] != NEVER:
                return q.servers[q.holders[1]].running
            return q.events[0] if size > 0 else -1
