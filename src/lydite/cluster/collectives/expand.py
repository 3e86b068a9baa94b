"""Collectives expanded into messages over a cluster's links."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lydite.cluster.collectives.algorithm import (
    Ints,
    Placed,
    Traffic,
    check_size,
    find_algorithm,
)
from lydite.cluster.collectives.messages import Messages
from lydite.engine import NOWHERE, LinkNetwork, Servers, Tasks
from lydite.errors import InputError
from lydite.hardware.cluster import Cluster, paths
from lydite.records import dataclass

_PS = 1e12


@dataclass(frozen=True, eq=False)
class Expanded:
    """Flows to simulate with `lydite.engine.simulate`.

    Attributes:
        tasks, servers, network: Flows over the cluster's links, and a join task per rank's end.
        ends: For each group, the numbers of the tasks that mark the end of its ranks.
    """

    tasks: Tasks
    servers: Servers
    network: LinkNetwork
    ends: Sequence[npt.NDArray[np.int64]]


def expand(
    cluster: Cluster,
    groups: Sequence[Sequence[int]],
    kind: str,
    size_bytes: float,
    algorithm: str = "ring",
) -> Expanded:
    """The messages of the same collective in several groups at once, without start-up costs.

    The algorithm defines the messages and their ranks (`Algorithm.placed`). Reductions and copies
    take no time.

    Args:
        cluster: Cluster whose links are used; nothing else runs on them.
        groups: Ranks of each group; a group of one ends at once.
        kind, algorithm: As for `closed_form`.
        size_bytes: Size in bytes of the whole tensor of each group.

    Raises:
        InputError: as for `closed_form` and `best_ring`; also if there is no group, or the
            hierarchical algorithm meets hosts with different numbers of a group's ranks.
    """
    find_algorithm(kind, algorithm)
    check_size(size_bytes)
    if not groups:
        raise InputError("no groups to expand", where=cluster.name, allowed="one or more")
    parts = [_placed(cluster, np.asarray(g), kind, size_bytes, algorithm) for g in groups]
    flows = sum(len(part) for part, _, _ in parts)
    node, lane, waits, waited, ends = [], [], [], [], []
    first, end = 0, flows
    for part, ranks, channel in parts:
        node.append(cluster.device_node[np.stack([ranks[part.source], ranks[part.target]])])
        lane.append(channel)
        ends.append(end + np.arange(part.ranks))
        count = len(part)
        waits.append(np.where(part.waits < count, part.waits + first, part.waits - count + end))
        waited.append(part.waited + first)
        first, end = first + count, end + part.ranks
    network, path = _network(cluster, np.concatenate(node, 1), np.concatenate(lane))
    sizes = np.concatenate([part.bytes for part, _, _ in parts])
    starts, needs = _by_waiter(np.concatenate(waits), np.concatenate(waited), end)
    tasks = Tasks.of(
        np.zeros(end, np.int64),
        dep_start=starts,
        deps=needs,
        path=np.append(path, np.full(end - flows, NOWHERE)),
        bytes=np.append(sizes, np.zeros(end - flows)),
    )
    return Expanded(tasks, Servers.of(0), network, ends)


def traffic(cluster: Cluster, ranks: Ints, kind: str, algorithm: str) -> Traffic:
    """Bytes between each pair of two or more ranks, per byte of the collective's tensor.

    Raises:
        InputError: as for `expand`.
    """
    return find_algorithm(kind, algorithm).traffic(cluster, ranks, kind)


def _placed(cluster: Cluster, ranks: Ints, kind: str, size_bytes: float, algorithm: str) -> Placed:
    """The messages of a group; none in a group of one."""
    if len(ranks) == 1:
        none = np.zeros(0, np.int64)
        return Placed(Messages(1, none, none, np.zeros(0), none, none), ranks, none)
    return find_algorithm(kind, algorithm).placed(cluster, ranks, kind, size_bytes)


def _network(
    cluster: Cluster, node: npt.NDArray[np.int32], lane: npt.NDArray[np.int64]
) -> tuple[LinkNetwork, npt.NDArray[np.int64]]:
    """The cluster's links, the paths in use, and the number of each message's path."""
    column = np.stack([*node.astype(np.int64), lane])
    base = column.max(1, initial=0) + 1
    key = (column[2] * base[0] + column[0]) * base[1] + column[1]
    _, at, path = np.unique(key, return_index=True, return_inverse=True)
    routes = paths(cluster, column[0][at], column[1][at], column[2][at])
    links = cluster.links
    network = LinkNetwork.of(
        links.bandwidth_bytes_per_s,
        routes.start,
        routes.links,
        latency_ps=np.rint(links.latency_s * _PS).astype(np.int64),
        fifo=links.fifo,
    )
    return network, path


def _by_waiter(
    waits: npt.NDArray[np.int64], waited: npt.NDArray[np.int64], tasks: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Dependencies in CSR form: offset of each task's first one, and the tasks waited for."""
    starts = np.concatenate([[0], np.cumsum(np.bincount(waits, minlength=tasks))])
    return starts, waited[np.argsort(waits, kind="stable")]
