"""The tables that the sharing kernel works on: one record a task, a link, a path, ...

Records keep what is used together in one line of cache, and few arrays compile much faster than
many. Where a table needs a list of some of its rows (those reached, those changed), the list stands
in a column of its own: row i of `list_...` is the i-th number in the list.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = Any
"""An array. numba reads the fields of a record as attributes, which type checkers do not know."""

LIMIT = 2**61 - 1

TASK = np.dtype(
    [
        ("start", np.int64),  # -1 until it starts
        ("since", np.int64),  # of `left`; in the end the task's end
        ("left", np.float64),  # bytes, or work in ps
        ("after", np.int32),  # next in its bundle or its queue, -1 for none
        ("before", np.int32),  # previous in its bundle
        ("pending", np.int32),  # dependencies and releases still to come
        ("stage", np.int32),  # fair flow: 1 while bytes move; stored: 2 * hop, + 1 on the link
        ("place", np.int32),  # in the heap of events, -1 if not there
        ("resource", np.int32),
        ("path", np.int32),
        ("succ", np.int32),  # first of its successors; they end where the next task's begin
    ]
)
STATION = np.dtype(  # the servers, then the links
    [
        ("free", np.int32),  # slots
        ("first", np.int32),  # task at the head of the queue, -1 for none
        ("last", np.int32),  # at its tail; by priority: how many
        ("base", np.int32),  # by priority: where its heap begins in `urgent`
        ("group", np.int32),
        ("list_touched", np.int32),
        ("by_priority", np.bool_),
        ("is_touched", np.bool_),
    ]
)
LINK = np.dtype(
    [
        ("bandwidth", np.float64),
        ("left", np.float64),  # bandwidth that is not given out yet
        ("latency", np.int64),
        ("begin", np.int32),  # its hops stand in `at_link` from here, those of busy paths first
        ("busy", np.int32),  # paths with flows
        ("load", np.int32),  # flows that have no rate yet
        ("list_reached", np.int32),
        ("is_reached", np.bool_),
    ]
)
PATH = np.dtype(
    [
        ("rate", np.float64),  # bytes/s of each flow
        ("cap", np.float64),
        ("latency", np.int64),  # before a fair path's bytes; 0 for a stored one
        ("begin", np.int32),  # its hops: from here ...
        ("end", np.int32),  # ... to here
        ("flows", np.int32),  # at the last filling
        ("list_reached", np.int32),
        ("is_reached", np.bool_),
        ("is_fixed", np.bool_),
        ("is_stored", np.bool_),
    ]
)
HOP = np.dtype(
    [
        ("link", np.int32),
        ("path", np.int32),
        ("place", np.int32),  # where it stands in `at_link`
        ("at_link", np.int32),  # the hop that stands here
        ("times", np.int32),  # flows like this one that cross the link with it
    ]
)
BUNDLE = np.dtype(  # one a path, then one a category in a group
    [
        ("rate", np.float64),  # bytes/ps, or work done per ps
        ("head", np.int32),
        ("members", np.int32),
        ("busy", np.int32),  # tasks of the category that hold a server of the group
        ("level", np.int32),  # `busy` at the last settling, at most 2
        ("list_changed", np.int32),
        ("is_changed", np.bool_),
    ]
)
GROUP = np.dtype([("list_changed", np.int32), ("is_changed", np.bool_)])
OFFER = np.dtype([("rate", np.float64), ("item", np.int32), ("list_equal", np.int32)])
URGENT = np.dtype([("key", np.int64), ("arrived", np.int64)])

(EVENTS, FRESH, BOTTOM, TOUCHED, GROUPS, CHANGED, LINKS, PATHS, ARRIVALS, ENDED, LATE) = range(11)
"""The numbers of `World.count`: lengths of lists, arrivals, tasks ended, one that ends too late."""


class World(NamedTuple):
    """All of it.

    Attributes:
        tasks: TASK, and one more row to end the successors.
        duration, priority, category: the columns of `Tasks`.
        successors: int32.
        stations, links, paths, hops, bundles, groups: STATION, LINK, ...
        rates: float64[groups, categories, categories], as in `Interference`.
        times, events: the heap of events: int64 and int32, the task.
        wave: int32[tasks]: what became ready from the front, what ends at once from the back.
        offers: OFFER[links + paths], a heap of what links offer; a path's item is -1 - path.
        urgent: URGENT; heaps of priority << 32 | arrival, and the task of each arrival.
        count: int64[11].
    """

    tasks: Array
    duration: Array
    priority: Array
    category: Array
    successors: Array
    stations: Array
    links: Array
    paths: Array
    hops: Array
    bundles: Array
    groups: Array
    rates: Array
    times: Array
    events: Array
    wave: Array
    offers: Array
    urgent: Array
    count: Array
