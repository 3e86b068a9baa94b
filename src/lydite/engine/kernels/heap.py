"""Tasks by the time of their next event, where that time may change."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

Array = np.ndarray[Any, Any]


class Heap(NamedTuple):
    """A binary heap.

    Attributes:
        time: int64, room for all tasks.
        task: int32.
        place: int32[tasks], where a task stands, -1 if it does not.
        size: int64[1].
    """

    time: Array
    task: Array
    place: Array
    size: Array


@njit(nogil=True, error_model="numpy")
def _rise(heap: Heap, at: int, time: int, task: int) -> None:
    while at > 0:
        above = (at - 1) >> 1
        if heap.time[above] <= time:
            break
        heap.time[at], heap.task[at] = heap.time[above], heap.task[above]
        heap.place[heap.task[at]] = at
        at = above
    heap.time[at], heap.task[at] = time, task
    heap.place[task] = at


@njit(nogil=True, error_model="numpy")
def _sink(heap: Heap, at: int, time: int, task: int) -> None:
    size = heap.size[0]
    below = 2 * at + 1
    while below < size:
        if below + 1 < size and heap.time[below + 1] < heap.time[below]:
            below += 1
        if heap.time[below] >= time:
            break
        heap.time[at], heap.task[at] = heap.time[below], heap.task[below]
        heap.place[heap.task[at]] = at
        at = below
        below = 2 * at + 1
    heap.time[at], heap.task[at] = time, task
    heap.place[task] = at


@njit(nogil=True, error_model="numpy")
def put(heap: Heap, task: int, time: int) -> None:
    """Set the time of the task's event, whether it had one or not."""
    at = heap.place[task]
    if at < 0:
        heap.size[0] += 1
        _rise(heap, heap.size[0] - 1, time, task)
    elif time < heap.time[at]:
        _rise(heap, at, time, task)
    else:
        _sink(heap, at, time, task)


@njit(nogil=True, error_model="numpy")
def pop(heap: Heap) -> int:
    """Take the task whose event comes first."""
    top = heap.task[0]
    heap.place[top] = -1
    heap.size[0] -= 1
    last = heap.size[0]
    if last > 0:
        _sink(heap, 0, heap.time[last], heap.task[last])
    return top
