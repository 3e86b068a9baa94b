"""Simulation of tasks on servers and links."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from lydite.engine.columns import LIMIT_PS, column, refuse
from lydite.engine.compiled import Notify, load, on_stderr
from lydite.engine.kernels import layout
from lydite.engine.repeated import Repeated
from lydite.engine.system import Interference, LinkNetwork, Servers
from lydite.engine.tables import (
    aligned,
    fair_tables,
    hubs_of,
    pending_of,
    releases_of,
    stations_of,
    successors_of,
    tasks_on,
)
from lydite.engine.tasks import Tasks
from lydite.engine.timeline import RepeatedTimeline, Timeline
from lydite.errors import InputError

Array = np.ndarray[Any, Any]

_NO_NETWORK = LinkNetwork.of((), [0], ())
_NO_INTERFERENCE = Interference.of([[1.0]], 0)


def simulate(
    tasks: Tasks,
    servers: Servers,
    network: LinkNetwork | None = None,
    interference: Interference | None = None,
    *,
    notify: Notify = on_stderr,
) -> Timeline:
    """Simulate tasks to find when each of them starts and ends.

    Args:
        tasks: Tasks to simulate.
        servers: Servers that they run on.
        network: Links and paths of flows; None without flows.
        interference: Slowdown of work by other work; None for none.
        notify: Called with one line of text before a kernel is compiled for the first time.

    Raises:
        InputError: a task names an unknown server, path or category, dependencies form a cycle, or
            a time exceeds 2^61 ps.
    """
    net, slow = network or _NO_NETWORK, interference or _NO_INTERFERENCE
    _check(tasks, servers, net, interference)
    if tasks.has_flows or interference is not None:
        start, end, pending, late = _share(tasks, servers, net, slow, notify)
    else:
        start, end, pending, late = _queue(tasks, servers, notify)
    if late >= 0:
        raise InputError("ends too late", where=tasks.label(late), allowed=f"{LIMIT_PS} ps")
    if pending.any():
        raise _circle(tasks, pending)
    return Timeline(tasks, servers, network, start, end)


def simulate_ranks(
    tasks: Repeated, servers: Servers, *, notify: Notify = on_stderr
) -> RepeatedTimeline:
    """Simulate tasks that ranks repeat; the same answer as of their tasks one by one.

    Args:
        tasks: Tasks to simulate.
        servers: Servers of all ranks, of one slot, by arrival.
        notify: As for `simulate`.

    Raises:
        InputError: too many tasks, dependencies form a cycle, or a time exceeds 2^61 ps.
    """
    kernel = load("ranks", notify)
    count, n = len(servers), len(tasks)
    if n >= 2**31:
        raise InputError(f"{n} tasks are too many", allowed="below 2^31")
    slowest = tasks.server_pace.max(initial=1.0)
    late = (tasks.row_duration_ps < 0) | (tasks.row_duration_ps * slowest > LIMIT_PS)
    refuse(late, "duration_ps out of range", "row {}", f"0 to {LIMIT_PS} ps")
    rows = np.zeros(len(tasks.program), layout.RANK)
    rows["base"] = tasks.base[:-1]
    rows["size"] = np.diff(tasks.base)
    rows["shift"] = tasks.starts[tasks.program] - tasks.base[:-1]
    streams = np.zeros(count, layout.STREAM)
    for name in ("head", "tail", "mark", "running"):
        streams[name] = -1
    streams["rank"] = np.arange(count) // tasks.streams
    most = tasks.row_awaited.max(initial=0)
    awaited = tasks.row_awaited.astype(np.int8 if most < 2**7 else np.int16)
    pending = np.concatenate([awaited[tasks.rows(rank)] for rank in range(len(rows))])
    start = np.empty(n, np.int64)
    leaves = 1 << max(count - 1, 0).bit_length()
    end = kernel.play(
        layout.Ranks(
            tasks.row_duration_ps,
            tasks.row_stream,
            tasks.begins,
            tasks.whom,
            tasks.target,
            tasks.neighbours,
            rows,
            tasks.streams,
            streams,
            tasks.server_pace.reshape(-1),
            pending,
            start,
            np.full(2 * leaves, layout.NEVER),
            np.arange(-leaves, leaves, dtype=np.int32),
            np.empty(count, np.int32),
            np.empty(count, np.int32),
            np.empty(2 * count, np.int32),
        )
    )
    if end < 0:
        raise InputError("ends too late", where=tasks.label(-1 - end), allowed=f"{LIMIT_PS} ps")
    if pending.any():
        raise _circle(tasks, pending)
    return RepeatedTimeline(tasks, servers, start, end)


def max_min_rates(network: LinkNetwork, flows: Array, *, notify: Notify = on_stderr) -> Array:
    """The max-min fair rate, in bytes/s, of each flow on each path.

    Args:
        network: Network of fair links.
        flows: int32[paths], number of active flows on each path.
        notify: As for `simulate`.

    Returns:
        float64[paths], bytes/s; 0 where there are no flows.

    Raises:
        InputError: `flows` has another length, a number is negative, or flows cross FIFO links.
    """
    wanted = column(flows, np.int32, network.path_cap.size, "flows")
    refuse(wanted < 0, "negative number of flows", "path {}")
    refuse((wanted > 0) & network.stored(), "flows over FIFO links", "path {}", "fair links")
    links, paths, hops, offers = fair_tables(network, notify)
    kernel = load("fair", notify)
    kernel.rates(links, paths, hops, offers, np.zeros(layout.COUNTERS, np.int64), wanted)
    return paths["rate"].copy()


def _check(
    tasks: Tasks, servers: Servers, network: LinkNetwork, interference: Interference | None
) -> None:
    paths = network.path_cap.size
    refuse(tasks.resource >= len(servers), "unknown resource", "task {}", f"below {len(servers)}")
    refuse(tasks.path >= paths, "unknown path", "task {}", f"below {paths}")
    if interference is not None:
        groups, categories = interference.rates.shape[:2]
        refuse(servers.group >= groups, "unknown group", "server {}", f"below {groups}")
        refuse(tasks.category >= categories, "unknown category", "task {}", f"below {categories}")


def _queue(tasks: Tasks, servers: Servers, notify: Notify) -> tuple[Array, Array, Array, int]:
    """Start, end and open dependencies of each task, and the task that ends too late or -1."""
    kernel = load("queueing", notify)
    n = len(tasks)
    begins, successors = successors_of(tasks, notify)
    is_plain = (servers.slots == 1) & ~servers.by_priority
    code = tasks.resource
    if not is_plain.all():
        code = np.where((code < 0) | is_plain[code], code, -2 - code)
    table = aligned(n, layout.QUEUED)
    table["time"], table["pending"], table["server"] = tasks.duration_ps, pending_of(tasks), code
    table["begin"], table["end"] = begins[:-1], begins[1:]
    counts = tasks_on(tasks, servers)
    # One more than can wait: `_reach` writes an item before it knows whether the item is ready.
    queued = np.where(servers.by_priority, 0, counts + 1)
    urgent = counts * servers.by_priority
    rows = np.zeros(len(servers), layout.SERVER)
    rows["first"] = rows["last"] = (np.cumsum(queued) - queued) * ~servers.by_priority
    rows["running"], rows["free"] = -1, np.where(is_plain, -1, servers.slots)
    rows["base"], rows["by_priority"] = np.cumsum(urgent) - urgent, servers.by_priority
    leaves = 1 << max(len(servers) - 1, 0).bit_length()
    at_once = int(np.minimum(servers.slots, counts).sum())
    room = at_once + int(((tasks.resource < 0) & (tasks.duration_ps > 0)).sum()) + 1
    late = kernel.play(
        layout.Queues(
            table,
            tasks.priority,
            successors,
            rows,
            np.empty(queued.sum() + 2, np.int32),
            np.empty(urgent.sum(), layout.URGENT),
            np.full(2 * leaves, layout.NEVER),
            np.arange(-leaves, leaves, dtype=np.int32),
            np.empty(room, np.int64),
            np.empty(room, np.int32),
            np.empty(n, np.int32),
            np.empty(at_once + layout.LANES + 1, np.int32),
        ),
        *releases_of(tasks),
    )
    start = table["time"].copy()
    return start, start + tasks.duration_ps, table["pending"], late


def _share(
    tasks: Tasks, servers: Servers, network: LinkNetwork, slow: Interference, notify: Notify
) -> tuple[Array, Array, Array, int]:
    """As `_queue`, with flows and interference."""
    kernel = load("sharing", notify)
    world = _world(tasks, servers, network, slow, notify)
    late = kernel.play(world, *releases_of(tasks))
    rows = world.tasks[: len(tasks)]
    del world  # the rest of it is not held while times are copied
    return rows["start"].copy(), rows["since"].copy(), rows["pending"], late


def _world(
    tasks: Tasks, servers: Servers, network: LinkNetwork, slow: Interference, notify: Notify
) -> layout.World:
    """The state before the first event."""
    n, paths = len(tasks), network.path_cap.size
    groups, categories = slow.rates.shape[:2]
    begins, successors = successors_of(tasks, notify)
    links, path_table, hops, offers = fair_tables(network, notify)
    hubs, in_hubs = hubs_of(tasks, network, path_table)
    table = np.zeros(n + 1 + len(hubs), layout.TASK)
    table["start"][:n] = table["place"] = -1
    table["left"][:n] = tasks.bytes
    table["pending"][:n] = pending_of(tasks)
    table["resource"][:n], table["path"][:n] = tasks.resource, tasks.path
    table["succ"][: n + 1] = begins
    counts = tasks_on(tasks, servers)
    stations, urgent = stations_of(servers, counts, len(network))
    stations["first"] = -1
    stations["group"] = -1
    if groups:
        stations["group"][: len(servers)] = servers.group
    bundles = np.zeros(paths + groups * categories, layout.BUNDLE)
    bundles["head"] = -1
    bundles["rate"][paths:] = 1.0
    waits = (tasks.resource < 0) & ((tasks.path >= 0) | (tasks.duration_ps > 0))
    room = int(waits.sum() + np.minimum(servers.slots, counts).sum()) + 1 + len(hubs)
    count = np.zeros(layout.COUNTERS, np.int64)
    count[layout.BOTTOM], count[layout.LATE] = n, -1
    return layout.World(
        table,
        tasks.duration_ps,
        tasks.priority,
        tasks.category,
        successors,
        stations,
        links,
        path_table,
        hops,
        bundles,
        np.zeros(groups, layout.GROUP),
        hubs,
        slow.rates,
        np.empty(room, np.int64),
        np.empty(room, np.int32),
        np.empty(n, np.int32),
        offers,
        urgent,
        np.empty((2, in_hubs)),
        np.empty((2, in_hubs), np.int64),
        np.empty(in_hubs, np.int32),
        count,
    )


def _circle(tasks: Tasks | Repeated, pending: Array) -> InputError:
    """The error for a dependency cycle, found by following waiting tasks until one recurs."""
    task, seen = int(pending.argmax()), []
    while task not in seen:
        seen.append(task)
        task = next(int(d) for d in tasks.needs(task) if pending[d] > 0)
    circle = [*seen[seen.index(task) :], task]
    waits = [f"{tasks.label(a)} for {tasks.label(b)}" for a, b in pairwise(circle)]
    more = f" and so on, {len(waits)} in all" if len(waits) > 4 else ""
    return InputError(
        f"tasks wait for each other: {', '.join(waits[:4])}{more}",
        where=f"{int((pending > 0).sum())} tasks cannot begin",
        allowed="dependencies without a cycle",
    )
