"""Programs that many ranks repeat: the loop of `queueing`, with one row a task of a program.

What differs between ranks is kept apart: how many dependencies a task still awaits, and its start,
ten bytes in all. A waiting task's start holds the task behind it in its queue until then.

Ranks that do the same end their tasks at the same instant, so the servers whose tasks end now are
collected from the tree in one walk, and the tree is mended once for all that changed.
"""

from __future__ import annotations

import numpy as np

from lydite.engine.kernels.jit import inlined, kernel
from lydite.engine.kernels.layout import LIMIT, NEVER, Array, Ranks
from lydite.engine.kernels.processor import pick
from lydite.engine.kernels.tournament import seat

_FEW = 8
"""Changes of the tree that are made one by one."""


@inlined
def _queue(r: Ranks, task: int, rank: int, wave: int, touched: int) -> int:
    """Queue a task among those of this wave, in order of number; returns the new `touched`."""
    server = rank * r.streams + r.stream[task + r.rows[rank].shift]
    at = r.servers[server]
    if at.wave != wave:
        at.wave = wave
        at.mark = pick(at.head < 0, -1, at.tail)
        r.touched[touched] = server
        touched += 1
    r.start_ps[task] = -1
    if at.head < 0:
        at.head = at.tail = task
    elif at.tail == at.mark or at.tail < task:
        r.start_ps[at.tail] = task
        at.tail = task
    else:
        before = at.mark
        after = at.head if before < 0 else r.start_ps[before]
        while after < task:
            before = after
            after = r.start_ps[before]
        r.start_ps[task] = after
        if before < 0:
            at.head = task
        else:
            r.start_ps[before] = task
    return touched


@inlined
def _begin(r: Ranks, server: int, now: int) -> int:
    """Let an idle server take its first task; returns when it ends, NEVER if there is none."""
    at = r.servers[server]
    task = at.head
    if task < 0:
        return NEVER
    at.head = r.start_ps[task]
    at.running = task
    r.start_ps[task] = now
    span = r.duration_ps[task + r.rows[at.rank].shift]
    if r.pace[server] != 1.0:
        span = int(np.rint(span * r.pace[server]))
    return now + span


@inlined
def _collect(ends: Array, now: int, leaving: Array) -> int:
    """List the servers whose tasks end now, in ascending order; returns their number."""
    leaves, at, found = len(ends) >> 1, 1, 0
    while at > 0:
        if at < leaves:
            at = 2 * at + (ends[2 * at] != now)
            continue
        leaving[found] = at - leaves
        found += 1
        while at > 0 and (at & 1 == 1 or ends[at + 1] != now):
            at >>= 1
        at += at > 0
    return found


@inlined
def _mend(ends: Array, holders: Array, nodes: Array, count: int) -> None:
    """Set all nodes above the leaves in `nodes`, level by level."""
    while nodes[0] > 1:
        kept, last = 0, 0
        for i in range(count):
            node = nodes[i] >> 1
            if node == last:
                continue
            last = node
            nodes[kept] = node
            kept += 1
            first, second = ends[2 * node], ends[2 * node + 1]
            is_second = second < first
            ends[node] = pick(is_second, second, first)
            holders[node] = pick(is_second, holders[2 * node + 1], holders[2 * node])
        count = kept


@inlined
def _serve(r: Ranks, leaving: int, touched: int, now: int) -> None:
    """Let the servers that a wave freed, and those it queued tasks at, take their next task."""
    leaves, few = len(r.ends) >> 1, leaving + touched <= _FEW
    changed = 0
    for i in range(leaving + touched):
        server = r.leaving[i] if i < leaving else r.touched[i - leaving]
        if r.servers[server].running >= 0:
            continue
        end = _begin(r, server, now)
        if few:
            seat(r.ends, r.holders, server, end)
        else:
            r.ends[leaves + server] = end
            r.nodes[changed] = leaves + server
            changed += 1
    if changed > 0:
        _mend(r.ends, r.holders, r.nodes, changed)


@kernel
def play(r: Ranks) -> int:
    """Run all tasks of all ranks, and write their starts into `start_ps`.

    Returns:
        The end of the last task; -1 - the number of a task that ends beyond the limit.
    """
    wave, touched, now = 1, 0, 0
    for rank in range(len(r.rows)):
        at = r.rows[rank]
        for task in range(at.base, at.base + at.size):
            if r.pending[task] == 0:
                touched = _queue(r, task, rank, wave, touched)
    _serve(r, 0, touched, now)
    while True:
        soon = r.ends[1]
        if soon == NEVER:
            return now
        now = soon
        if now > LIMIT:
            return -1 - r.servers[r.holders[1]].running
        wave += 1
        touched = 0
        leaving = _collect(r.ends, now, r.leaving)
        for i in range(leaving):
            at = r.servers[r.leaving[i]]
            task = at.running
            at.running = -1
            row = task + r.rows[at.rank].shift
            for edge in range(r.begins[row], r.begins[row + 1]):
                rank = r.neighbours[r.whom[edge], at.rank]
                reached = r.target[edge] - r.rows[rank].shift
                r.pending[reached] -= 1
                if r.pending[reached] == 0:
                    touched = _queue(r, reached, rank, wave, touched)
        _serve(r, leaving, touched, now)
