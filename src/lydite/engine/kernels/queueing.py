"""Tasks on servers, without flows and interference: the tight loop.

Time only moves forward, and everything that happens at one instant is processed together, in waves:

1. tasks that end now end; tasks without a server that this completes, such as joins, end as well;
2. tasks that became ready are queued, in order of task number;
3. free slots take tasks from the queues; tasks of no duration end in the next wave.

So the result does not depend on the order in which a heap returns equal times.

The fields of a task are grouped by when they are used, so that each use costs one cache line:

    gate    int32 [2i] server, [2i+1] number of awaited dependencies, release, start of the run
    record  int64 [2i] duration, then start; [2i+1] holds the word
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
    """Count down what the task waits for; after the last, it is queued, ends at once, or runs.

    The wave holds tasks that became ready before `fresh`, and tasks that end at once from `bottom`.
    Returns the new `fresh`, `bottom` and number of events.
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
    """Run all tasks, and write their start times into `record`.

    Args:
        gate, record, word: As described above.
        priority: int32[tasks].
        successors: int32, task numbers.
        stations: STATION[servers]; a queue by arrival uses `items` from `first` to `last`, both of
            which are initially the start of its space.
        items: int32, one entry per task on a server.
        urgent: URGENT, one entry per task on a server with priorities.
        release_ps, released: int64 times in ascending order, and the tasks released at them.
        times, events: Space for the events: int64 and int32.
        wave: int32[tasks], space for a wave.
        freed: int32, space for the servers that a wave frees.

    Returns:
        The task that ends beyond the limit, or -1.
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
