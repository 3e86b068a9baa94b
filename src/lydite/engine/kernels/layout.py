"""Tables that the sharing kernel works on, with one record per task, link, path and so on.

Records keep fields that are used together in one cache line, and few arrays compile much faster
than many. A list of some rows of a table (those reached, those changed) is stored in a column of
the table: row i of `list_...` is the i-th number in the list.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = Any
"""An array. numba reads the fields of a record as attributes, which type checkers do not know."""

LIMIT = 2**61 - 1
NEVER = 2**63 - 1
LANES = 4
"""Successors of a task that are looked at together; few tasks have more."""

QUEUED = np.dtype(  # a task on servers alone: half a cache line
    [
        ("time", np.int64),  # duration; its start once it starts
        ("pending", np.int32),  # dependencies, release and start of the run still awaited
        ("server", np.int32),  # a server of one slot by arrival; -1: none; -2 - s: another server s
        ("begin", np.int32),  # its successors
        ("end", np.int32),
        ("unused", np.int64),
    ],
    align=True,
)
SERVER = np.dtype(
    [
        ("first", np.int32),  # begin of its queue in `items`
        ("last", np.int32),  # end of its queue; by priority: number of tasks
        ("running", np.int32),  # one slot by arrival: the task that runs, -1 for none
        ("free", np.int32),  # other servers: free slots
        ("base", np.int32),  # by priority: start of its heap in `urgent`
        ("by_priority", np.bool_),
    ],
    align=True,
)
STREAM = np.dtype(  # a server of a rank
    [
        ("head", np.int32),  # first task of its queue, -1 for none
        ("tail", np.int32),
        ("mark", np.int32),  # last task that was queued before this wave, -1 for none
        ("wave", np.int32),  # the last wave that queued a task
        ("running", np.int32),
        ("rank", np.int32),
    ],
    align=True,
)
RANK = np.dtype(
    [
        ("base", np.int64),  # its first task
        ("size", np.int64),
        ("shift", np.int64),  # from a task of the rank to its row in the programs
    ],
    align=True,
)
TASK = np.dtype(
    [
        ("start", np.int64),  # -1 until it starts
        ("since", np.int64),  # time at which `left` was updated; finally, the task's end
        ("left", np.float64),  # remaining bytes, or work in ps
        ("after", np.int32),  # next in its bundle or its queue, -1 for none
        ("before", np.int32),  # previous in its bundle
        ("pending", np.int32),  # dependencies and releases still awaited
        ("stage", np.int32),  # fair flow: 1 while bytes move; stored: 2 * hop, + 1 on the link
        ("place", np.int32),  # position in the heap of events, -1 if not in it
        ("resource", np.int32),
        ("path", np.int32),
        ("succ", np.int32),  # index of its first successor; the next task's is the end
    ],
    align=True,
)
STATION = np.dtype(  # the servers, then the links
    [
        ("free", np.int32),  # free slots
        ("first", np.int32),  # task at the head of the queue, -1 for none
        ("last", np.int32),  # task at the tail of the queue; by priority: number of tasks
        ("base", np.int32),  # by priority: start of its heap in `urgent`
        ("group", np.int32),
        ("list_touched", np.int32),
        ("by_priority", np.bool_),
        ("is_touched", np.bool_),
    ],
    align=True,
)
LINK = np.dtype(
    [
        ("bandwidth", np.float64),
        ("left", np.float64),  # bandwidth not yet allocated
        ("latency", np.int64),
        ("begin", np.int32),  # start of its hops in `at_link`, those of busy paths first
        ("busy", np.int32),  # number of paths with flows
        ("load", np.int32),  # number of flows without a rate yet
        ("list_reached", np.int32),
        ("is_reached", np.bool_),
    ],
    align=True,
)
PATH = np.dtype(
    [
        ("rate", np.float64),  # bytes/s of each flow
        ("cap", np.float64),
        ("latency", np.int64),  # before the bytes of a fair path; 0 for a stored one
        ("begin", np.int32),  # its first hop
        ("end", np.int32),  # one after its last hop
        ("flows", np.int32),  # number of flows at the last filling
        ("hub", np.int32),  # -1 for none
        ("weight", np.int32),  # identical flows that cross the hub's link together
        ("most", np.int32),  # greatest number of flows so far, at least 1
        ("list_reached", np.int32),
        ("is_reached", np.bool_),
        ("is_fixed", np.bool_),
        ("is_stored", np.bool_),
    ],
    align=True,
)
HUB = np.dtype(
    [
        ("floor", np.float64),  # no path of it was ever held below this rate by links of its own
        ("common", np.float64),  # rate of all its flows in bytes/s; 0 where they differ
        ("load", np.int64),  # flows over its link
        ("link", np.int32),
        ("begin", np.int32),  # its flows in the columns
        ("members", np.int32),
        ("list_changed", np.int32),
        ("is_changed", np.bool_),
    ],
    align=True,
)
HOP = np.dtype(
    [
        ("link", np.int32),
        ("path", np.int32),
        ("place", np.int32),  # its position in `at_link`
        ("at_link", np.int32),  # the hop at this position
        ("times", np.int32),  # number of identical flows that cross the link together
    ],
    align=True,
)
BUNDLE = np.dtype(  # one per path, then one per category in a group
    [
        ("rate", np.float64),  # bytes/ps, or work done per ps
        ("head", np.int32),
        ("members", np.int32),
        ("busy", np.int32),  # number of tasks of the category that hold a server of the group
        ("level", np.int32),  # `busy` at the last settling, at most 2
        ("list_changed", np.int32),
        ("is_changed", np.bool_),
    ],
    align=True,
)
GROUP = np.dtype([("list_changed", np.int32), ("is_changed", np.bool_)], align=True)
OFFER = np.dtype([("rate", np.float64), ("item", np.int32), ("list_equal", np.int32)])
URGENT = np.dtype([("key", np.int64), ("arrived", np.int64)])

EVENTS, FRESH, BOTTOM, TOUCHED, GROUPS, CHANGED = range(6)
LINKS, PATHS, HUBS, ARRIVALS, ENDED, LATE = range(6, 12)
COUNTERS = 12
"""Indices into `World.count`: list lengths, arrivals, ended tasks, a task that ends too late."""


class Queues(NamedTuple):
    """State of a simulation of tasks on servers alone.

    Attributes:
        tasks: QUEUED.
        priority: int32[tasks].
        successors: int32, successors of each task, then `LANES` more numbers.
        servers: SERVER.
        items: int32, queues by arrival, one after the other.
        urgent: URGENT, heaps of priority << 32 | arrival, and the task of each arrival.
        ends, holders: int64 and int32, tree of the servers' end times (`tournament`).
        times, events: Heap of the other events: int64 time and int32 task.
        wave: int32[tasks], tasks that became ready from the front, that end at once from the back.
        freed: int32, servers that a wave frees.
    """

    tasks: Array
    priority: Array
    successors: Array
    servers: Array
    items: Array
    urgent: Array
    ends: Array
    holders: Array
    times: Array
    events: Array
    wave: Array
    freed: Array


class Ranks(NamedTuple):
    """State of a simulation of ranks that repeat programs.

    Attributes:
        duration_ps, stream: int64 and int32, rows of all programs, one behind the other.
        begins: int32[rows + 1], where the successors of a row begin.
        whom, target: int32, of each successor its rank, as a row of `neighbours`, and its row.
        neighbours: int32[kinds, ranks], for each rank the one that a kind of neighbour stands for.
        rows: RANK[ranks].
        streams: Number of servers of a rank.
        servers: STREAM[ranks x streams].
        pace: float64[ranks x streams], factor of durations.
        pending: int8 or int16[tasks], dependencies still awaited.
        start_ps: int64[tasks].
        ends, holders: Tree of the servers' end times (`tournament`).
        leaving, touched, nodes: int32, space for servers, and for twice as many of their leaves.
    """

    duration_ps: Array
    stream: Array
    begins: Array
    whom: Array
    target: Array
    neighbours: Array
    rows: Array
    streams: int
    servers: Array
    pace: Array
    pending: Array
    start_ps: Array
    ends: Array
    holders: Array
    leaving: Array
    touched: Array
    nodes: Array


class World(NamedTuple):
    """State of a simulation.

    Attributes:
        tasks: TASK, with an additional row that ends the last task's successors, then one row per
            hub, for its event.
        duration, priority, category: Columns of `Tasks`.
        successors: int32, successors of each task.
        stations, links, paths, hops, bundles, groups, hubs: STATION, LINK, PATH, HOP, BUNDLE,
            GROUP, HUB.
        rates: float64[groups, categories, categories], as in `Interference`.
        times, events: Heap of events: int64 time and int32 task.
        wave: int32[tasks], tasks that became ready from the front, that end at once from the back.
        offers: OFFER[links + paths], heap of the links' offers; the item of a path is -1 - path.
        urgent: URGENT, heaps of priority << 32 | arrival, and the task of each arrival.
        amounts, moments: float64[2, flows] and int64[2, flows], flows of the hubs: bytes left and
            rate in bytes/ps; time at which these were updated, and end.
        members: int32, their tasks.
        count: int64[COUNTERS], counters at the indices EVENTS, FRESH, ..., LATE.
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
    hubs: Array
    rates: Array
    times: Array
    events: Array
    wave: Array
    offers: Array
    urgent: Array
    amounts: Array
    moments: Array
    members: Array
    count: Array
