"""Tables that the kernels work on, made from the columns of tasks, servers and networks."""

from __future__ import annotations

from typing import Any

import numpy as np

from lydite.engine.compiled import Notify, load
from lydite.engine.kernels import layout
from lydite.engine.system import LinkNetwork, Servers
from lydite.engine.tasks import Tasks

Array = np.ndarray[Any, Any]


def aligned(size: int, dtype: np.dtype[Any]) -> Array:
    """An uninitialised column whose first item begins a cache line."""
    line = 64
    space = np.empty(size * dtype.itemsize + line, np.uint8)
    skip = -space.ctypes.data % line
    return space[skip : skip + size * dtype.itemsize].view(dtype)


def pending_of(tasks: Tasks) -> Array:
    """Number of events that each task waits for: dependencies, release, start of simulation."""
    return np.diff(tasks.dep_start) + (tasks.release_ps > 0) + 1


def successors_of(tasks: Tasks, notify: Notify) -> tuple[Array, Array]:
    """Offsets of each task's successors, and the successors in ascending order."""
    successors = np.zeros(tasks.deps.size + layout.LANES, np.int32)
    begins = transposed(tasks.dep_start, tasks.deps, len(tasks), successors, notify)
    return begins, successors


_SORTED = 200_000
"""Items of a table up to which sorting costs less than loading machine code and running it."""


def transposed(
    starts: Array,
    items: Array,
    count: int,
    owners: Array,
    notify: Notify,
    places: Array | None = None,
) -> Array:
    """Invert a table of rows of items: for each item, list the rows that hold it, ascending.

    Args:
        starts, items: Row r holds `items[starts[r]:starts[r + 1]]`.
        count: Items are below this number.
        owners: int32, as long as `items` or longer; receives the rows.
        notify: As for `lydite.engine.simulate`.
        places: int32, as long as `items`; receives the position in `owners` of each entry.

    Returns:
        int32[count + 1]: The rows of item i are `owners[begins[i]:begins[i + 1]]`.
    """
    if items.size <= _SORTED:
        order = np.argsort(items, kind="stable")
        owners[: items.size] = np.repeat(np.arange(len(starts) - 1), np.diff(starts))[order]
        if places is not None:
            places[order] = np.arange(items.size)
        filled = np.cumsum(np.bincount(items, minlength=count))
        return np.concatenate(([0], filled)).astype(np.int32)
    begins = np.zeros(count + 2, np.int32)
    wanted = np.empty(0, np.int32) if places is None else places
    load("tables", notify).transpose(starts, items, begins, owners, wanted)
    return begins[:-1]


def releases_of(tasks: Tasks) -> tuple[Array, Array]:
    """Release times above 0 in ascending order, and the tasks that they belong to."""
    released = np.flatnonzero(tasks.release_ps)
    released = released[np.argsort(tasks.release_ps[released], kind="stable")]
    return tasks.release_ps[released], released.astype(np.int32)


def tasks_on(tasks: Tasks, servers: Servers) -> Array:
    """Number of tasks on each server."""
    return np.bincount(tasks.resource[tasks.resource >= 0], minlength=len(servers))


def stations_of(servers: Servers, counts: Array, links: int) -> tuple[Array, Array]:
    """Records of the servers, then the links, with empty queues; and space for priority queues."""
    urgent = np.where(servers.by_priority, counts, 0)
    stations = np.zeros(len(servers) + links, layout.STATION)
    stations["free"] = 1
    stations["free"][: len(servers)] = servers.slots
    stations["base"][: len(servers)] = np.cumsum(urgent) - urgent
    stations["by_priority"][: len(servers)] = servers.by_priority
    return stations, np.empty(urgent.sum(), layout.URGENT)


def fair_tables(network: LinkNetwork, notify: Notify) -> tuple[Array, Array, Array, Array]:
    """Links, paths, hops and offers of a network without flows."""
    size = network.path_links.size
    hops = np.zeros(size, layout.HOP)
    at_link, place = np.empty(size, np.int32), np.empty(size, np.int32)
    begins = transposed(
        np.arange(size + 1), network.path_links, len(network), at_link, notify, place
    )
    hops["link"], hops["path"] = network.path_links, network.hop_path()
    hops["at_link"], hops["place"], hops["times"] = at_link, place, network.path_times
    links = np.zeros(len(network), layout.LINK)
    links["bandwidth"], links["latency"] = network.bandwidth, network.latency_ps
    links["begin"] = begins[:-1]
    paths = np.zeros(network.path_cap.size, layout.PATH)
    paths["cap"], paths["is_stored"] = network.path_cap, network.stored()
    paths["begin"], paths["end"] = network.path_start[:-1], network.path_start[1:]
    paths["hub"], paths["most"] = -1, 1
    latency = np.zeros(paths.size, np.int64)
    np.add.at(latency, network.hop_path(), network.latency_ps[network.path_links])
    paths["latency"] = np.where(paths["is_stored"], 0, latency)
    return links, paths, hops, np.zeros(links.size + paths.size, layout.OFFER)


def hubs_of(tasks: Tasks, network: LinkNetwork, paths: Array) -> tuple[Array, int]:
    """The hubs, which the paths over them then name, and how many flows cross them.

    A hub is a link that each flow over it shares with others, while nobody else uses the rest of
    the flow's path.
    """
    flows = np.bincount(tasks.path[tasks.path >= 0], minlength=paths.size)
    is_used = (flows > 0) & ~paths["is_stored"]
    if not is_used.any():
        return np.zeros(0, layout.HUB), 0
    hop_path, hop_link = network.hop_path(), network.path_links
    counts = is_used[hop_path]
    is_shared = np.bincount(hop_link[counts], minlength=len(network)) > 1
    shares = counts & is_shared[hop_link]
    is_hub = is_shared.copy()
    several = np.bincount(hop_path[shares], minlength=paths.size) > 1
    is_hub[hop_link[shares & several[hop_path]]] = False
    hubs = np.zeros(is_hub.sum(), layout.HUB)
    number = np.cumsum(is_hub) - 1
    on_hub = shares & is_hub[hop_link]
    path = hop_path[on_hub]
    paths["hub"][path] = number[hop_link[on_hub]]
    paths["weight"][path] = network.path_times[on_hub]
    hubs["link"] = np.flatnonzero(is_hub)
    flows_on = np.bincount(paths["hub"][path], flows[path], minlength=hubs.size).astype(int)
    hubs["begin"] = np.cumsum(flows_on) - flows_on
    alone = (paths["hub"][hop_path] >= 0) & ~on_hub
    hubs["floor"] = np.inf
    np.minimum.at(hubs["floor"], paths["hub"][path], network.path_cap[path])
    own = network.bandwidth[hop_link[alone]] / network.path_times[alone]
    np.minimum.at(hubs["floor"], paths["hub"][hop_path[alone]], own)
    return hubs, int(flows_on.sum())
