"""Bundles of running tasks with a common rate: flows on a path, work of a category in a group.

A change of rate visits only its bundle. The remaining amount of a task is updated only when its
rate changes to another value, so a task that nothing disturbs is rounded once: its end is the time
at which the remainder is done, to the nearest picosecond.
"""

from __future__ import annotations

from lydite.engine.kernels.heap import put
from lydite.engine.kernels.jit import inlined
from lydite.engine.kernels.layout import CHANGED, LATE, LIMIT, World
from lydite.engine.kernels.processor import nearest


@inlined
def mark(w: World, bundle: int) -> None:
    """Note that tasks joined or left a bundle."""
    if not w.bundles[bundle].is_changed:
        w.bundles[bundle].is_changed = True
        w.bundles[w.count[CHANGED]].list_changed = bundle
        w.count[CHANGED] += 1


@inlined
def join(w: World, bundle: int, task: int) -> None:
    """Add a task with the amount `left` to do; `begin_joined` then sets its end time."""
    first = w.bundles[bundle].head
    w.tasks[task].after, w.tasks[task].before = first, -1
    if first >= 0:
        w.tasks[first].before = task
    w.bundles[bundle].head = task
    w.bundles[bundle].members += 1
    mark(w, bundle)


@inlined
def leave(w: World, bundle: int, task: int) -> None:
    """Remove a task."""
    after, before = w.tasks[task].after, w.tasks[task].before
    if before >= 0:
        w.tasks[before].after = after
    else:
        w.bundles[bundle].head = after
    if after >= 0:
        w.tasks[after].before = before
    w.bundles[bundle].members -= 1
    mark(w, bundle)


@inlined
def _until(w: World, task: int, rate: float, now: int) -> int:
    """End time of a task at a given rate."""
    w.tasks[task].since = now
    span = nearest(w.tasks[task].left / rate)
    if span > LIMIT:
        w.count[LATE] = task
        return now
    return now + int(span)


@inlined
def set_rate(w: World, bundle: int, rate: float, now: int, lazily: bool) -> None:
    """Set the rate of a bundle from the time `now` on.

    `lazily` overwrites the event times in place, so that the heap needs a `restore` afterwards.
    """
    before = w.bundles[bundle].rate
    if rate == before:
        return
    w.bundles[bundle].rate = rate
    task = w.bundles[bundle].head
    while task >= 0:
        place = w.tasks[task].place
        if place >= 0:
            done = (now - w.tasks[task].since) * before
            w.tasks[task].left = max(0.0, w.tasks[task].left - done)
            time = _until(w, task, rate, now)
            if lazily:
                w.times[place] = time
            else:
                put(w.times, w.events, w.tasks, w.count, task, time)
        task = w.tasks[task].after


@inlined
def begin_joined(w: World, now: int) -> None:
    """Set the end times of the tasks that joined, once all rates are known."""
    for i in range(w.count[CHANGED]):
        bundle = w.bundles[i].list_changed
        w.bundles[bundle].is_changed = False
        task = w.bundles[bundle].head
        while task >= 0 and w.tasks[task].place < 0:
            time = _until(w, task, w.bundles[bundle].rate, now)
            put(w.times, w.events, w.tasks, w.count, task, time)
            task = w.tasks[task].after
    w.count[CHANGED] = 0
