"""Links that the messages of a step cross, so that simultaneous collectives share them.

A collective that runs alone takes as long as its closed form says: latency first, then the bytes at
the rate of its bottleneck link, which it saturates. That second part becomes a flow over all links
that its messages cross, with its rate capped at the bottleneck's. One flow stands for several
messages that are sent together, and counts as that many on each link. Contention among collectives
of one kind, with all ranks of a stage active, is in the closed form already; flows add contention
among different collectives, stages and pipeline messages, by max-min fair sharing. So a message
over links never takes less time than its closed form, and exactly as long where no two messages
share a saturated link.

Parallel cables between the same switches count as one link, as with adaptive routing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from lydite.cluster.assembled import Wiring
from lydite.cluster.collectives import traffic
from lydite.cluster.plan import Plan
from lydite.cluster.program import Program, Route
from lydite.engine import LinkNetwork
from lydite.errors import InputError
from lydite.hardware.cluster import Cluster, paths

_SLACK = 1 + 1e-12
"""Margin for rounding, so that a flow alone on its links is limited by its cap only."""


def wiring_of(cluster: Cluster, plan: Plan, programs: Sequence[Program], *, folded: bool) -> Wiring:
    """The paths of all messages of a step.

    Args:
        cluster: Cluster whose links are used.
        plan: Plan that says who sends to whom.
        programs: Program of each stage.
        folded: Whether one path stands for all ranks of a stage; else each rank has its own.

    Raises:
        InputError: a link takes one message at a time (it cannot be shared), or as `best_ring`.
    """
    if cluster.links.fifo.any():
        raise InputError(
            "has links that pass on one message at a time (sharing: fifo)",
            where=cluster.name,
            allowed="links with 'sharing: fair'",
            hint="leave out --network links",
        )
    known: dict[tuple[Route, int], _Loads] = {}
    for stage, program in enumerate(programs):
        for route in program.routes:
            known[route, stage] = _loads(cluster, plan, stage, route)
    return _folded(cluster, programs, known) if folded else _apart(cluster, programs, known)


class _Loads:
    """Load that each rank of a stage puts on each link in one collective.

    Attributes:
        sender: [entries] Place of the sending rank in its stage.
        link: [entries] Link, the first of its bundle.
        times: [entries] Messages at the same time.
        cap: Rate of a message, in bytes/s, that fills the narrowest link.
    """

    def __init__(
        self,
        cluster: Cluster,
        sender: np.ndarray,
        ends: np.ndarray,
        lane: np.ndarray,
        share: np.ndarray,
    ) -> None:
        routes = paths(cluster, ends[0], ends[1], lane)
        bundle, links = cluster.router.bundle, cluster.links
        per_lane = np.bincount(sender * (int(lane.max()) + 1) + lane, share)
        hops = np.repeat(np.arange(len(routes)), routes.hops)
        key = (sender[hops] * len(links) + bundle[routes.links]).astype(np.int64)
        kept, entry = np.unique(key, return_inverse=True)
        sent = np.bincount(entry, share[hops] / per_lane.max())
        self.sender, self.link = kept // len(links), kept % len(links)
        self.times = np.maximum(1, np.ceil(sent - 1e-9)).astype(np.int64)
        total = np.bincount(self.link, self.times, len(links))
        used = total > 0
        rate = float((_capacity(cluster)[used] / total[used]).min())
        self.cap = min(rate, float(links.bandwidth_bytes_per_s[routes.links].min()))


def _capacity(cluster: Cluster) -> np.ndarray:
    """[links] bytes/s of each bundle, at its first link."""
    bandwidth = cluster.links.bandwidth_bytes_per_s
    return np.bincount(cluster.router.bundle, bandwidth, len(bandwidth))


def _loads(cluster: Cluster, plan: Plan, stage: int, route: Route) -> _Loads:
    wide = plan.tp * plan.replicas
    first = stage * wide
    name, collective, algorithm = route
    if name in ("onward", "back"):
        sender = np.arange(wide)
        to = (stage + (1 if name == "onward" else -1)) % plan.pp * wide + sender
        nodes = cluster.device_node[np.stack([first + sender, to])]
        return _Loads(cluster, sender, nodes, np.zeros(wide, np.int64), np.ones(wide))
    stride, size = plan.groups[name]
    firsts = [r for r in range(wide) if r // stride % size == 0]
    groups = [first + r + stride * np.arange(size) for r in firsts]
    parts = [traffic(cluster, group, collective, algorithm) for group in groups]
    source = np.concatenate([part[0] for part in parts])
    target = np.concatenate([part[1] for part in parts])
    lane = np.concatenate([part[2] for part in parts])
    share = np.concatenate([part[3] for part in parts])
    nodes = np.stack([cluster.device_node[source], cluster.device_node[target]])
    return _Loads(cluster, source - first, nodes, lane, share)


def _folded(
    cluster: Cluster, programs: Sequence[Program], known: dict[tuple[Route, int], _Loads]
) -> Wiring:
    """One path for each collective of a stage; links with identical loads are merged into one."""
    size = len(cluster.links)
    loads = np.array([np.bincount(entry.link, entry.times, size) for entry in known.values()])
    loads = loads.reshape(len(known), size).astype(np.int64)
    used = np.flatnonzero(loads.any(0))
    rows = np.vstack([loads[:, used], _capacity(cluster)[used].view(np.int64)])
    _, alike = np.unique(rows, axis=1, return_index=True)
    chosen = used[alike]
    table = [np.full((1, len(program.routes)), -1, np.int32) for program in programs]
    links: list[np.ndarray] = []
    for number, ((route, stage), load) in enumerate(zip(known, loads, strict=True)):
        table[stage][0, programs[stage].routes[route]] = number
        links.append(np.flatnonzero(load[chosen]))
    times = [load[chosen][at] for load, at in zip(loads, links, strict=True)]
    caps = [entry.cap for entry in known.values()]
    return Wiring(_network(_capacity(cluster)[chosen], links, times, caps), table)


def _apart(
    cluster: Cluster, programs: Sequence[Program], known: dict[tuple[Route, int], _Loads]
) -> Wiring:
    """One path for each rank and collective."""
    links: list[np.ndarray] = []
    times: list[np.ndarray] = []
    caps: list[float] = []
    wide = 1 + max((int(load.sender.max()) for load in known.values()), default=0)
    table = [np.full((wide, len(program.routes)), -1, np.int32) for program in programs]
    for (route, stage), load in known.items():
        edges = np.searchsorted(load.sender, np.arange(wide + 1))
        for rank, (begin, end) in enumerate(pairwise(edges.tolist())):
            if end > begin:
                table[stage][rank, programs[stage].routes[route]] = len(links)
                links.append(load.link[begin:end])
                times.append(load.times[begin:end])
                caps.append(load.cap)
    return Wiring(_network(np.maximum(_capacity(cluster), 1e-300), links, times, caps), table)


def _network(
    capacity: np.ndarray, links: list[np.ndarray], times: list[np.ndarray], caps: list[float]
) -> LinkNetwork:
    none = np.zeros(0, np.int64)
    return LinkNetwork.of(
        capacity * _SLACK,
        np.cumsum([0, *map(len, links)]),
        np.concatenate([none, *links]),
        path_cap=caps,
        path_times=np.concatenate([none, *times]),
    )
