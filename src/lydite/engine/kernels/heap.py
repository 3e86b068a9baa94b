"""Heap of tasks by the time of their next event, with times that may change."""

from __future__ import annotations

from lydite.engine.kernels.jit import inlined
from lydite.engine.kernels.layout import EVENTS, Array


@inlined
def _rise(times: Array, events: Array, tasks: Array, at: int, time: int, task: int) -> None:
    while at > 0:
        above = (at - 1) >> 1
        if times[above] <= time:
            break
        times[at], events[at] = times[above], events[above]
        tasks[events[at]].place = at
        at = above
    times[at], events[at] = time, task
    tasks[task].place = at


@inlined
def _sink(
    times: Array, events: Array, tasks: Array, size: int, at: int, time: int, task: int
) -> None:
    below = 2 * at + 1
    while below < size:
        if below + 1 < size and times[below + 1] < times[below]:
            below += 1
        if times[below] >= time:
            break
        times[at], events[at] = times[below], events[below]
        tasks[events[at]].place = at
        at = below
        below = 2 * at + 1
    times[at], events[at] = time, task
    tasks[task].place = at


@inlined
def put(times: Array, events: Array, tasks: Array, count: Array, task: int, time: int) -> None:
    """Set the time of the task's event, whether it had one or not."""
    at = tasks[task].place
    if at < 0:
        at = count[EVENTS]
        count[EVENTS] += 1
        _rise(times, events, tasks, at, time, task)
    elif time < times[at]:
        _rise(times, events, tasks, at, time, task)
    else:
        _sink(times, events, tasks, count[EVENTS], at, time, task)


@inlined
def pop(times: Array, events: Array, tasks: Array, count: Array) -> int:
    """Remove the task with the earliest event, and return it."""
    top = events[0]
    tasks[top].place = -1
    count[EVENTS] -= 1
    last = count[EVENTS]
    if last > 0:
        _sink(times, events, tasks, last, 0, times[last], events[last])
    return top


@inlined
def restore(times: Array, events: Array, tasks: Array, count: Array) -> None:
    """Restore the heap order after times were overwritten."""
    size = count[EVENTS]
    for at in range((size >> 1) - 1, -1, -1):
        below = 2 * at + 1
        if times[below] < times[at] or (below + 1 < size and times[below + 1] < times[at]):
            _sink(times, events, tasks, size, at, times[at], events[at])
