"""Running tasks that go at one rate: the flows over a path, work of one category in a group.

A change of rate visits only its bundle. What is left of a task is brought up to date when its rate
changes to another value and at no other time, so a task that nothing disturbs is rounded once:
its end is the instant at which the rest is done, to the nearest picosecond.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from lydite.engine.kernels.heap import Heap, put

Array = np.ndarray[Any, Any]
LIMIT = 2**61 - 1


class Bundles(NamedTuple):
    """Linked lists of tasks, newest first.

    Attributes:
        head, members: int32[bundles].
        rate: float64[bundles], bytes/ps, or work done per ps.
        changed: int32[bundles], those that tasks joined or left in this wave; is_changed: bool.
        after, before: int32[tasks]; left: float64[tasks], bytes or ps at `since`: int64[tasks].
        count: int64[2]: of `changed`; and the first task that would end beyond the limit, or -1.
    """

    head: Array
    members: Array
    rate: Array
    changed: Array
    is_changed: Array
    after: Array
    before: Array
    left: Array
    since: Array
    count: Array


@njit(nogil=True, error_model="numpy")
def _mark(bundles: Bundles, bundle: int) -> None:
    if not bundles.is_changed[bundle]:
        bundles.is_changed[bundle] = True
        bundles.changed[bundles.count[0]] = bundle
        bundles.count[0] += 1


@njit(nogil=True, error_model="numpy")
def join(bundles: Bundles, bundle: int, task: int, amount: float) -> None:
    """Add a task with so much to do; `begin_joined` gives it its end."""
    first = bundles.head[bundle]
    bundles.after[task], bundles.before[task] = first, -1
    if first >= 0:
        bundles.before[first] = task
    bundles.head[bundle] = task
    bundles.members[bundle] += 1
    bundles.left[task] = amount
    _mark(bundles, bundle)


@njit(nogil=True, error_model="numpy")
def leave(bundles: Bundles, bundle: int, task: int) -> None:
    """Take a task out."""
    after, before = bundles.after[task], bundles.before[task]
    if before >= 0:
        bundles.after[before] = after
    else:
        bundles.head[bundle] = after
    if after >= 0:
        bundles.before[after] = before
    bundles.members[bundle] -= 1
    _mark(bundles, bundle)


@njit(nogil=True, error_model="numpy")
def _schedule(bundles: Bundles, heap: Heap, task: int, rate: float, now: int) -> None:
    bundles.since[task] = now
    span = np.rint(bundles.left[task] / rate)
    if span > LIMIT - now:
        bundles.count[1] = task
    else:
        put(heap, task, now + np.int64(span))


@njit(nogil=True, error_model="numpy")
def set_rate(bundles: Bundles, heap: Heap, bundle: int, rate: float, now: int) -> None:
    """From now on the bundle goes at `rate`."""
    before = bundles.rate[bundle]
    if rate == before:
        return
    bundles.rate[bundle] = rate
    task = bundles.head[bundle]
    while task >= 0:
        if heap.place[task] >= 0:
            done = (now - bundles.since[task]) * before
            bundles.left[task] = max(0.0, bundles.left[task] - done)
            _schedule(bundles, heap, task, rate, now)
        task = bundles.after[task]


@njit(nogil=True, error_model="numpy")
def begin_joined(bundles: Bundles, heap: Heap, now: int) -> None:
    """Give the tasks that joined their ends, once all rates are settled."""
    for i in range(bundles.count[0]):
        bundle = bundles.changed[i]
        bundles.is_changed[bundle] = False
        task = bundles.head[bundle]
        while task >= 0 and heap.place[task] < 0:
            _schedule(bundles, heap, task, bundles.rate[bundle], now)
            task = bundles.after[task]
    bundles.count[0] = 0
