"""Earliest of the end times of servers that run one task each: a tree of winners.

Leaf s, at `len(ends) / 2 + s`, holds the end time of server s, `NEVER` if it is idle; a node holds
the earlier time of the two nodes below it, and whose it is. So a change costs one step a level,
none of them a branch, where a heap's steps are branches that a processor cannot predict.
"""

from __future__ import annotations

from lydite.engine.kernels.jit import inlined
from lydite.engine.kernels.layout import NEVER, Array
from lydite.engine.kernels.processor import pick


@inlined
def seat(ends: Array, holders: Array, server: int, time: int) -> None:
    """Set the end time of a server."""
    at = server + (len(ends) >> 1)
    ends[at] = time
    holder = server
    while at > 1:
        rival = ends[at ^ 1]
        is_later = rival < time
        holder = pick(is_later, holders[at ^ 1], holder)
        time = pick(is_later, rival, time)
        at >>= 1
        ends[at], holders[at] = time, holder


@inlined
def earliest_rival(ends: Array, server: int) -> int:
    """The earliest end time of all other servers."""
    at, time = server + (len(ends) >> 1), NEVER
    while at > 1:
        time = pick(ends[at ^ 1] < time, ends[at ^ 1], time)
        at >>= 1
    return time
