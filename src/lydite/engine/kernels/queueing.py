"""Tasks on servers, without flows and interference: the tight loop.

Times only ever grow, and all that happens at one instant happens together, in waves:

1. what ends now ends; what that completes (joins, which need no server) ends as well;
2. what became ready is queued, in order of task number;
3. free slots take from the queues. What takes no time there ends in the next wave.

So the result does not depend on the order in which a heap gives out equal times.

A task is one record of 32 bytes, so that each visit costs one line of cache:

    int64 [4i]    its duration; from when it begins, its start
    int32 [8i+2]  server        int32 [8i+3]  dependencies and releases still to come
    int32 [8i+4]  first and     int32 [8i+5]  end of its successors
    int32 [8i+6]  priority
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from lydite.engine.kernels.tables import sort_few

Array = np.ndarray[Any, Any]
LIMIT = 2**61 - 1


class Queues(NamedTuple):
    """One queue a server. Those by arrival are rings in one array, the others heaps.

    Attributes:
        free: int32[servers], slots.
        first, last: int32[servers], the queue within `items` (by arrival), or the heap's size.
        items: int32[tasks on servers].
        base: int32[servers], where a heap begins within `keys`.
        urgent: bool[servers], by priority.
        keys: int64, priority << 32 | arrival.
        arrived: int32, the task of each arrival.
        count: int64[1], arrivals.
    """

    free: Array
    first: Array
    last: Array
    items: Array
    base: Array
    urgent: Array
    keys: Array
    arrived: Array
    count: Array


@njit(nogil=True, error_model="numpy")
def push_event(times: Array, tasks: Array, size: int, time: int, task: int) -> None:
    at = size
    while at > 0:
        above = (at - 1) >> 1
        if times[above] <= time:
            break
        times[at], tasks[at] = times[above], tasks[above]
        at = above
    times[at], tasks[at] = time, task


@njit(nogil=True, error_model="numpy")
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


@njit(nogil=True, error_model="numpy")
def push_urgent(queues: Queues, server: int, priority: int, task: int) -> None:
    arrival = queues.count[0]
    queues.count[0] = arrival + 1
    queues.arrived[arrival] = task
    keys, base = queues.keys, queues.base[server]
    key, at = (priority << 32) | arrival, queues.last[server]
    queues.last[server] += 1
    while at > 0:
        above = (at - 1) >> 1
        if keys[base + above] < key:
            break
        keys[base + at] = keys[base + above]
        at = above
    keys[base + at] = key


@njit(nogil=True, error_model="numpy")
def pop_urgent(queues: Queues, server: int) -> int:
    keys, base = queues.keys, queues.base[server]
    size = queues.last[server] - 1
    queues.last[server] = size
    top, key = keys[base], keys[base + size]
    at, below = 0, 1
    while below < size:
        if below + 1 < size and keys[base + below + 1] < keys[base + below]:
            below += 1
        if keys[base + below] > key:
            break
        keys[base + at] = keys[base + below]
        at = below
        below = 2 * at + 1
    keys[base + at] = key
    return queues.arrived[top & 0xFFFFFFFF]


@njit(nogil=True, error_model="numpy")
def ready(
    task: int, now: int, record: Array, word: Array, times: Array, tasks: Array, wave: Array,
    fresh: int, bottom: int, size: int,
) -> tuple[int, int, int]:  # fmt: skip
    """Queue it in the wave (`fresh`), end it (`bottom`: a stack from the wave's end), or wait."""
    if word[8 * task + 2] >= 0:
        wave[fresh] = task
        return fresh + 1, bottom, size
    duration = record[4 * task]
    record[4 * task] = now
    if duration == 0:
        wave[bottom - 1] = task
        return fresh, bottom - 1, size
    push_event(times, tasks, size, now + duration, task)
    return fresh, bottom, size + 1


@njit(cache=True, nogil=True, error_model="numpy")
def play(
    record: Array, word: Array, successors: Array, queues: Queues,
    release_ps: Array, released: Array, times: Array, tasks: Array, wave: Array, freed: Array,
) -> tuple[int, int]:  # fmt: skip
    """Play all tasks; their starts come to stand in `record`.

    Args:
        record, word: the records, as int64 and as int32.
        successors: int32, task numbers.
        queues: all empty.
        release_ps, released: int64 times, rising, and the tasks released at them.
        times, tasks: room for the events: int64 and int32, one a task.
        wave: room for a wave: int32, one a task.
        freed: room for the servers that a wave frees: int32, one a slot in use at most.

    Returns:
        How many tasks ended, and the task whose end is beyond the limit, or -1.
    """
    n = len(wave)
    free, first, last, items, urgent = (
        queues.free, queues.first, queues.last, queues.items, queues.urgent
    )  # fmt: skip
    fresh, bottom, size, coming, ended, now = 0, n, 0, 0, 0, 0
    for task in range(n):
        if word[8 * task + 3] == 0:
            fresh, bottom, size = ready(
                task, now, record, word, times, tasks, wave, fresh, bottom, size
            )
    while True:
        leaving = 0
        while coming < len(released) and release_ps[coming] == now:
            task = released[coming]
            coming += 1
            word[8 * task + 3] -= 1
            if word[8 * task + 3] == 0:
                fresh, bottom, size = ready(
                    task, now, record, word, times, tasks, wave, fresh, bottom, size
                )
        while True:
            if bottom < n:
                task = wave[bottom]
                bottom += 1
            elif size > 0 and times[0] == now:
                task = tasks[0]
                pop_event(times, tasks, size)
                size -= 1
                server = word[8 * task + 2]
                if server >= 0:
                    free[server] += 1
                    freed[leaving] = server
                    leaving += 1
            else:
                break
            ended += 1
            for at in range(word[8 * task + 4], word[8 * task + 5]):
                after = successors[at]
                word[8 * after + 3] -= 1
                if word[8 * after + 3] == 0:
                    fresh, bottom, size = ready(
                        after, now, record, word, times, tasks, wave, fresh, bottom, size
                    )
        sort_few(wave, fresh)
        for i in range(fresh):
            task = wave[i]
            server = word[8 * task + 2]
            if urgent[server]:
                push_urgent(queues, server, word[8 * task + 6], task)
            else:
                items[last[server]] = task
                last[server] += 1
        for i in range(leaving + fresh):
            server = freed[i] if i < leaving else word[8 * wave[i - leaving] + 2]
            while free[server] > 0 and first[server] < last[server]:
                if urgent[server]:
                    task = pop_urgent(queues, server)
                else:
                    task = items[first[server]]
                    first[server] += 1
                free[server] -= 1
                end = now + record[4 * task]
                if end > LIMIT:
                    return ended, task
                record[4 * task] = now
                push_event(times, tasks, size, end, task)
                size += 1
        fresh = 0
        if size > 0 and (coming == len(released) or times[0] <= release_ps[coming]):
            now = times[0]
        elif coming < len(released):
            now = release_ps[coming]
        else:
            return ended, -1
        if now > LIMIT:
            return ended, tasks[0]
