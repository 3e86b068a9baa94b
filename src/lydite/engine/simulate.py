"""Play tasks on a system."""

from __future__ import annotations

from typing import Any

import numpy as np

from lydite.engine.columns import LIMIT_PS, column, refuse
from lydite.engine.compiled import Notify, load, on_stderr
from lydite.engine.system import Interference, Network, Servers
from lydite.engine.tasks import Tasks
from lydite.engine.timeline import Timeline
from lydite.errors import InputError

Array = np.ndarray[Any, Any]

_NO_NETWORK = Network.of((), [0], ())
_NO_INTERFERENCE = Interference.of([[1.0]], 0)


def simulate(
    tasks: Tasks,
    servers: Servers,
    network: Network | None = None,
    interference: Interference | None = None,
    *,
    notify: Notify = on_stderr,
) -> Timeline:
    """When each task starts and ends.

    Args:
        tasks, servers, network, interference: what is done, on what.
        notify: told in one line that a kernel has to be compiled, which happens once.

    Raises:
        InputError: a task on an unknown server, path or category, tasks that wait for each other in
            a circle, or a time beyond 2^61 ps.
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


def max_min_rates(network: Network, flows: Array, *, notify: Notify = on_stderr) -> Array:
    """The max-min fair rate, in bytes/s, of each flow on each path.

    Args:
        network: with fair links.
        flows: int32[paths], how many flows each path has now.
        notify: as `simulate`.

    Returns:
        float64[paths]; 0 where there are no flows.

    Raises:
        InputError: another number of paths, a negative number of flows, flows over FIFO links.
    """
    wanted = column(flows, np.int32, network.path_cap.size, "flows")
    refuse(wanted < 0, "negative number of flows", "path {}")
    refuse((wanted > 0) & network.stored(), "flows over FIFO links", "path {}", "fair links")
    state = _fair(network, notify)
    load("fair", notify).rates(state, wanted)
    return state.rate


def _check(
    tasks: Tasks, servers: Servers, network: Network, interference: Interference | None
) -> None:
    paths = network.path_cap.size
    refuse(tasks.resource >= len(servers), "unknown resource", "task {}", f"below {len(servers)}")
    refuse(tasks.path >= paths, "unknown path", "task {}", f"below {paths}")
    if interference is not None:
        groups, categories = interference.rates.shape[:2]
        refuse(servers.group >= groups, "unknown group", "server {}", f"below {groups}")
        refuse(tasks.category >= categories, "unknown category", "task {}", f"below {categories}")


def _queue(tasks: Tasks, servers: Servers, notify: Notify) -> tuple[Array, Array, Array, int]:
    """Start, end, what each still waits for, and the task that ends too late or -1."""
    kernel = load("queueing", notify)
    n = len(tasks)
    begins, successors = _successors(tasks, notify)
    release_ps, released = _releases(tasks)
    record = np.empty((n, 4), np.int64)
    word = record.view(np.int32)
    record[:, 0] = tasks.duration_ps
    word[:, 2] = tasks.resource
    word[:, 3] = np.diff(tasks.dep_start) + (tasks.release_ps > 0)
    word[:, 4], word[:, 5] = begins[:-1], begins[1:]
    word[:, 6] = tasks.priority
    counts = np.bincount(tasks.resource[tasks.resource >= 0], minlength=len(servers))
    queues = _queues(kernel, servers, counts, 0)
    begin = np.cumsum(counts) - counts
    queues.first[:] = queues.last[:] = np.where(servers.by_priority, 0, begin)
    at_once = _slots(servers, counts)
    events = at_once + int(((tasks.resource < 0) & (tasks.duration_ps > 0)).sum())
    _, late = kernel.play(
        record.reshape(-1), word.reshape(-1), successors,
        queues._replace(items=np.empty(counts.sum(), np.int32)),
        release_ps, released, np.empty(events + 1, np.int64), np.empty(events + 1, np.int32),
        np.empty(n, np.int32), np.empty(at_once, np.int32),
    )  # fmt: skip
    start = record[:, 0].copy()
    return start, start + tasks.duration_ps, word[:, 3], late


def _share(
    tasks: Tasks, servers: Servers, network: Network, slow: Interference, notify: Notify
) -> tuple[Array, Array, Array, int]:
    """As `_queue`, with flows and interference."""
    kernel = load("sharing", notify)
    n, links = len(tasks), len(network)
    begins, successors = _successors(tasks, notify)
    release_ps, released = _releases(tasks)
    stored = network.stored()
    hop_latency = network.latency_ps[network.path_links]
    latency = np.zeros(network.path_cap.size, np.int64)
    np.add.at(latency, network.hop_path(), hop_latency)
    latency[stored] = 0
    none = np.full(len(servers), -1, np.int32)
    group = servers.group if len(slow.rates) else none
    plan = kernel.Plan(
        tasks.duration_ps, tasks.resource, tasks.priority, tasks.category, tasks.path, tasks.bytes,
        begins, successors, release_ps, released, latency, stored, network.latency_ps, group,
    )  # fmt: skip
    stations = len(servers) + links
    state = kernel.State(
        start=np.full(n, -1, np.int64),
        end=np.full(n, -1, np.int64),
        pending=(np.diff(tasks.dep_start) + (tasks.release_ps > 0)).astype(np.int32),
        stage=np.zeros(n, np.int32),
        wave=np.empty(n, np.int32),
        touched=np.empty(stations, np.int32),
        is_touched=np.zeros(stations, np.bool_),
        count=np.array([0, n, 0, 0, 0], np.int64),
    )
    counts = np.bincount(tasks.resource[tasks.resource >= 0], minlength=len(servers))
    events = int((tasks.resource < 0).sum()) + _slots(servers, counts)
    heap = kernel.Heap(
        np.empty(events + 1, np.int64), np.empty(events + 1, np.int32),
        np.full(n, -1, np.int32), np.zeros(1, np.int64),
    )  # fmt: skip
    after = np.empty(n, np.int32)
    queues = _queues(kernel, servers, counts, links)._replace(items=after)
    queues.first[:] = -1
    queues.last[:] = 0
    groups, categories = slow.rates.shape[:2]
    bundles = network.path_cap.size + groups * categories
    running = kernel.Bundles(
        head=np.full(bundles, -1, np.int32),
        members=np.zeros(bundles, np.int32),
        rate=np.concatenate([np.zeros(network.path_cap.size), np.ones(groups * categories)]),
        changed=np.empty(bundles, np.int32),
        is_changed=np.zeros(bundles, np.bool_),
        # A task that waits in a queue is in no bundle.
        after=after,
        before=np.empty(n, np.int32),
        left=np.empty(n),
        since=np.empty(n, np.int64),
        count=np.array([0, -1], np.int64),
    )
    busy = kernel.Groups(
        slow.rates, np.zeros((groups, categories), np.int32),
        np.zeros((groups, categories), np.int8), np.empty(groups, np.int32),
        np.zeros(groups, np.bool_),
    )  # fmt: skip
    fair = _fair(network, notify)
    _, late = kernel.play(kernel.World(plan, state, heap, queues, running, fair, busy))
    return state.start, state.end, state.pending, late


def _successors(tasks: Tasks, notify: Notify) -> tuple[Array, Array]:
    """Where each task's successors begin, and the successors, in rising order."""
    begins = np.zeros(len(tasks) + 2, np.int64)
    successors = np.empty(tasks.deps.size, np.int32)
    load("tables", notify).transpose(
        tasks.dep_start, tasks.deps, begins, successors, np.empty(0, np.int32)
    )
    return begins[:-1], successors


def _releases(tasks: Tasks) -> tuple[Array, Array]:
    """Release times above 0, rising, and whose they are."""
    released = np.flatnonzero(tasks.release_ps)
    released = released[np.argsort(tasks.release_ps[released], kind="stable")]
    return tasks.release_ps[released], released.astype(np.int32)


def _slots(servers: Servers, counts: Array) -> int:
    """How many tasks can hold a server at once."""
    return int(np.minimum(servers.slots, counts).sum())


def _queues(kernel: Any, servers: Servers, counts: Array, links: int) -> Any:
    """Empty queues of the servers and, behind them, of the FIFO links."""
    urgent = np.where(servers.by_priority, counts, 0)
    stations = len(servers) + links
    return kernel.Queues(
        free=np.concatenate([servers.slots, np.ones(links, np.int32)]),
        first=np.empty(stations, np.int32),
        last=np.empty(stations, np.int32),
        items=np.empty(0, np.int32),
        base=(np.cumsum(urgent) - urgent).astype(np.int32),
        urgent=np.concatenate([servers.by_priority, np.zeros(links, np.bool_)]),
        keys=np.empty(urgent.sum(), np.int64),
        arrived=np.empty(urgent.sum(), np.int32),
        count=np.zeros(1, np.int64),
    )


def _fair(network: Network, notify: Notify) -> Any:
    """An empty network, for filling."""
    links, paths, hops = len(network), network.path_cap.size, network.path_links.size
    begins = np.zeros(links + 2, np.int64)
    place = np.empty(hops, np.int32)
    load("tables", notify).transpose(
        np.arange(hops + 1), network.path_links, begins, np.empty(hops, np.int32), place
    )
    at = np.empty(hops, np.int32)
    at[place] = np.arange(hops, dtype=np.int32)
    return load("fair", notify).Fair(
        bandwidth=network.bandwidth,
        path_start=network.path_start,
        path_links=network.path_links,
        cap=network.path_cap,
        link_start=begins[:-1],
        hops=at,
        place=place,
        hop_path=network.hop_path(),
        busy=np.zeros(links, np.int32),
        flows=np.zeros(paths, np.int32),
        rate=np.zeros(paths),
        links=np.empty(links, np.int32),
        paths=np.empty(paths, np.int32),
        found=np.zeros(2, np.int64),
        in_links=np.zeros(links, np.bool_),
        in_paths=np.zeros(paths, np.bool_),
        left=np.empty(links),
        load=np.empty(links, np.int32),
        key=np.empty(links + paths),
        item=np.empty(links + paths, np.int32),
        equal=np.empty(links + paths, np.int32),
        fixed=np.empty(paths, np.bool_),
    )


def _circle(tasks: Tasks, pending: Array) -> InputError:
    """Follow one waiting task to the next until one comes again."""
    task, seen = int(pending.argmax()), []
    while task not in seen:
        seen.append(task)
        task = next(int(d) for d in tasks.needs(task) if pending[d] > 0)
    circle = [*seen[seen.index(task) :], task]
    waits = [f"{tasks.label(a)} for {tasks.label(b)}" for a, b in zip(circle, circle[1:], strict=False)]
    more = f" and so on, {len(waits)} in all" if len(waits) > 4 else ""
    return InputError(
        f"tasks wait for each other: {', '.join(waits[:4])}{more}",
        where=f"{int((pending > 0).sum())} tasks cannot begin",
        allowed="dependencies without a circle",
    )
