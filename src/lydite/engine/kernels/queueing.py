"""Tasks on servers, without flows and interference: the tight loop.

Times only ever grow, and all that happens at one instant happens together, in waves:

1. what ends now ends; what that completes (joins, which need no server) ends as well;
2. what became ready is queued, in order of task number;
3. free slots take from the queues. What takes no time there ends in the next wave.

So the result does not depend on the order in which a heap gives out equal times.

What is kept of a task is apart by when it is used, so that each use costs one line of cache:

    gate    int32 [2i] server, [2i+1] still to come: dependencies, release, and play itself
    record  int64 [2i] duration; from when it begins, its start
    word    int32 [4i+2], [4i+3] begin and end of its successors: the record's second half
"""

from __future__ import annotations

from lydite.engine.kernels.jit import inlined, kernel
from lydite.engine.kernels.layout import LIMIT, Array
from lydite.engine.kernels.tables import sort_few
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
    """Drop the earliest of `size` events: sink the hole to a leaf, then raise the last into it."""
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
def come(
    task: int,
    now: int,
    gate: Array,
    record: Array,
    times: Array,
    events: Array,
    wave: Array,
    fresh: int,
    bottom: int,
    size: int,
) -> tuple[int, int, int]:
    """One thing less to wait for; after the last the task is queued in the wave, ends, or waits.

    What became ready stands in the wave up to `fresh`, what ends at once from `bottom` on.
    """
    gate[2 * task + 1] -= 1
    if gate[2 * task + 1] > 0:
        return fresh, bottom, size
    if gate[2 * task] >= 0:
        wave[fresh] = task
        return fresh + 1, bottom, size
    duration = record[2 * task]
    record[2 * task] = now
    if duration == 0:
        wave[bottom - 1] = task
        return fresh, bottom - 1, size
    push_event(times, events, size, now + duration, task)
    return fresh, bottom, size + 1


@kernel
def play(  # noqa: C901, one loop: a helper would have to hand back every counter
    gate: Array,
    record: Array,
    word: Array,
    priority: Array,
    successors: Array,
    stations: Array,
    items: Array,
    urgent: Array,
    release_ps: Array,
    released: Array,
    times: Array,
    events: Array,
    wave: Array,
    freed: Array,
) -> int:
    """Play all tasks; their starts come to stand in `record`.

    Args:
        gate, record, word: as above.
        priority: int32[tasks].
        successors: int32, task numbers.
        stations: STATION, one a server; a queue by arrival stands in `items` from `first` to
            `last`, both given as where its room begins.
        items: int32, one a task on a server.
        urgent: URGENT, one a task on a server by priority.
        release_ps, released: int64 times, rising, and the tasks released at them.
        times, events: room for the events: int64 and int32.
        wave: room for a wave: int32, one a task.
        freed: room for the servers that a wave frees: int32.

    Returns:
        The task whose end is beyond the limit, or -1.
    """
    n = len(wave)
    fresh, bottom, size, coming, arrivals, now = 0, n, 0, 0, 0, 0
    for task in range(n):
        fresh, bottom, size = come(
            task, now, gate, record, times, events, wave, fresh, bottom, size
        )
    while True:
        leaving = 0
        while coming < len(released) and release_ps[coming] == now:
            fresh, bottom, size = come(
                released[coming], now, gate, record, times, events, wave, fresh, bottom, size
            )
            coming += 1
        while True:
            if bottom < n:
                task = wave[bottom]
                bottom += 1
            elif size > 0 and times[0] == now:
                task = events[0]
                pop_event(times, events, size)
                size -= 1
                server = gate[2 * task]
                if server >= 0:
                    stations[server].free += 1
                    freed[leaving] = server
                    leaving += 1
            else:
                break
            for at in range(word[4 * task + 2], word[4 * task + 3]):
                fresh, bottom, size = come(
                    successors[at], now, gate, record, times, events, wave, fresh, bottom, size
                )
        sort_few(wave, fresh)
        for i in range(fresh):
            task = wave[i]
            station = stations[gate[2 * task]]
            if station.by_priority:
                push_urgent(urgent, station.base, station.last, priority[task], arrivals, task)
                arrivals += 1
            else:
                items[station.last] = task
            station.last += 1
        for i in range(leaving + fresh):
            server = freed[i] if i < leaving else gate[2 * wave[i - leaving]]
            station = stations[server]
            while station.free > 0 and station.first < station.last:
                if station.by_priority:
                    station.last -= 1
                    task = pop_urgent(urgent, station.base, station.last)
                else:
                    task = items[station.first]
                    station.first += 1
                station.free -= 1
                end = now + record[2 * task]
                record[2 * task] = now
                push_event(times, events, size, end, task)
                size += 1
        fresh = 0
        if size > 0 and (coming == len(released) or times[0] <= release_ps[coming]):
            now = times[0]
            if now > LIMIT:
                return events[0]
        elif coming < len(released):
            now = release_ps[coming]
        else:
            return -1
