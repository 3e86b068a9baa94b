"""Collectives played message by message on a cluster's links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lydite.cluster.collectives.forms import check_size, known_algorithm
from lydite.cluster.collectives.messages import Messages, joined, messages, tree, two_trees
from lydite.engine import NOWHERE, Network, Servers, Tasks
from lydite.errors import InputError
from lydite.hardware.cluster import Cluster, best_ring, paths

_PS = 1e12

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Expanded:
    """Flows to play with `lydite.engine.simulate`.

    Attributes:
        tasks, servers, network: flows over the cluster's links, and a join for each rank's end.
        ends: for each group, the task that ends with each of its ranks.
    """

    tasks: Tasks
    servers: Servers
    network: Network
    ends: Sequence[npt.NDArray[np.int64]]


def expand(
    cluster: Cluster,
    groups: Sequence[Sequence[int]],
    kind: str,
    size_bytes: float,
    algorithm: str = "ring",
) -> Expanded:
    """The same collective of several groups at once, without starts.

    Rings run over all that `best_ring` finds, each with its share of the tensor. So do the trees of
    an all-reduce across hosts, as NCCL's: a chain in each host, two trees over the hosts. Others
    send from rank to rank by the path between the two, in the order given. Adding up and copying
    take no time.

    Args:
        cluster: whose links are used; nothing else runs on them.
        groups: their ranks; a group of one ends at once.
        kind, algorithm: as `closed_form`.
        size_bytes: of the whole tensor, for each group.

    Raises:
        InputError: as `closed_form` and `best_ring`; also no group, or hierarchical over hosts
            that do not hold equally many of a group.
    """
    known_algorithm(kind, algorithm)
    check_size(size_bytes)
    if not groups:
        raise InputError("no groups to expand", where=cluster.name, allowed="one or more")
    parts = [_group(cluster, np.asarray(g), kind, size_bytes, algorithm) for g in groups]
    flows = sum(len(part) for part, _ in parts)
    node, lane, waits, waited, ends = [], [], [], [], []
    first, end = 0, flows
    for part, (ranks, channel) in parts:
        node.append(cluster.device_node[np.stack([ranks[part.source], ranks[part.target]])])
        lane.append(channel)
        ends.append(end + np.arange(part.ranks))
        count = len(part)
        waits.append(np.where(part.waits < count, part.waits + first, part.waits - count + end))
        waited.append(part.waited + first)
        first, end = first + count, end + part.ranks
    network, path = _network(cluster, np.concatenate(node, 1), np.concatenate(lane))
    sizes = np.concatenate([part.bytes for part, _ in parts])
    starts, needs = _by_waiter(np.concatenate(waits), np.concatenate(waited), end)
    tasks = Tasks.of(
        np.zeros(end, np.int64),
        dep_start=starts,
        deps=needs,
        path=np.append(path, np.full(end - flows, NOWHERE)),
        bytes=np.append(sizes, np.zeros(end - flows)),
    )
    return Expanded(tasks, Servers.of(0), network, ends)


Traffic = tuple[Ints, Ints, Ints, Floats]


def traffic(cluster: Cluster, ranks: Ints, kind: str, algorithm: str) -> Traffic:
    """Who sends how much to whom in a collective of a group.

    Args:
        cluster: Cluster whose links are used.
        ranks: Ranks of the group, two or more.
        kind: Kind of the collective.
        algorithm: Name of its algorithm.

    Returns:
        For each pair of ranks and channel: the sender, the receiver, the channel, and the bytes
        that are sent for each byte of the tensor.

    Raises:
        InputError: as `expand`.
    """
    if algorithm == "ring" and kind != "Broadcast":
        orders = best_ring(cluster, ranks).orders.astype(np.int64)
        lane = np.repeat(np.arange(len(orders)), len(ranks))
        rounds = (2 if kind == "AllReduce" else 1) * (len(ranks) - 1)
        share = rounds / len(ranks) / len(orders)
        onward = np.roll(orders, -1, axis=1)
        return orders.ravel(), onward.ravel(), lane, np.full(orders.size, share)
    part, (members, lane) = _group(cluster, ranks, kind, 1.0, algorithm)
    pairs = np.stack([lane, members[part.source], members[part.target]])
    kept, at = np.unique(pairs, axis=1, return_inverse=True)
    return kept[1], kept[2], kept[0], np.bincount(at.ravel(), part.bytes).astype(np.float64)


Placed = tuple[Messages, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]


def _group(
    cluster: Cluster, ranks: npt.NDArray[np.int64], kind: str, size_bytes: float, algorithm: str
) -> Placed:
    """Its messages, the ranks that they number, and the channel of each message."""
    count = len(ranks)
    if count == 1:
        none = np.zeros(0, np.int64)
        return Messages(1, none, none, np.zeros(0), none, none), (ranks, none)
    if algorithm == "ring" and kind != "Broadcast":
        return _rings(cluster, ranks, kind, size_bytes)
    if (kind, algorithm) == ("AllReduce", "tree") and np.ptp(cluster.host_of_rank[ranks]):
        return _host_trees(cluster, ranks, size_bytes)
    inside = 1
    if algorithm == "hierarchical":
        ranks, inside = _by_host(cluster, ranks)
    part = messages(kind, algorithm, count, size_bytes, inside)
    return part, (ranks, np.zeros(len(part), np.int64))


def _rings(cluster: Cluster, ranks: npt.NDArray[np.int64], kind: str, size_bytes: float) -> Placed:
    places = _places(cluster, ranks)
    one = messages(kind, "ring", len(ranks), size_bytes / len(places))
    turned = [
        Messages(
            one.ranks,
            place[one.source],
            place[one.target],
            one.bytes,
            np.where(one.waits < len(one), one.waits, len(one) + place[one.waits - len(one)]),
            one.waited,
        )
        for place in (np.append(place, np.zeros(len(one), int)) for place in places)
    ]
    return joined(turned), (ranks, np.repeat(np.arange(len(places)), len(one)))


def _host_trees(cluster: Cluster, ranks: npt.NDArray[np.int64], size_bytes: float) -> Placed:
    places = _places(cluster, ranks)
    parts: list[Messages] = []
    for place in places:
        cuts = np.flatnonzero(np.diff(cluster.host_of_rank[ranks[place]])) + 1
        # Every second host is passed backwards, so that all first ranks have the same rail.
        hosts = [h[::-1] if at % 2 else h for at, h in enumerate(np.split(place, cuts))]
        first = np.array([host[0] for host in hosts])
        for above in two_trees(len(hosts)):
            parent = np.full(len(ranks), -1)
            for host in hosts:
                parent[host[1:]] = host[:-1]
            parent[first] = np.where(above < 0, -1, first[above])
            parts.append(tree(parent, size_bytes / 2 / len(places), up=True))
    lane = np.repeat(np.arange(len(parts)) // 2, [len(part) for part in parts])
    return joined(parts), (ranks, lane)


def _places(cluster: Cluster, ranks: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """[rings, ranks] the group's best rings, as places in the group."""
    order = np.argsort(ranks, kind="stable")
    return order[np.searchsorted(ranks[order], best_ring(cluster, ranks).orders)]


def _by_host(cluster: Cluster, ranks: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], int]:
    """Ranks with those of a host side by side, and how many those are."""
    host = cluster.host_of_rank[ranks]
    counts = np.unique(host, return_counts=True)[1]
    if len(set(counts.tolist())) > 1:
        raise InputError(
            f"hosts hold {', '.join(map(str, counts))} ranks of a group",
            where=cluster.name,
            allowed="equally many",
        )
    return ranks[np.argsort(host, kind="stable")], int(counts[0])


def _network(
    cluster: Cluster, node: npt.NDArray[np.int32], lane: npt.NDArray[np.int64]
) -> tuple[Network, npt.NDArray[np.int64]]:
    """The cluster's links with the paths that are used, and the path of each message."""
    column = np.stack([*node.astype(np.int64), lane])
    base = column.max(1, initial=0) + 1
    key = (column[2] * base[0] + column[0]) * base[1] + column[1]
    _, at, path = np.unique(key, return_index=True, return_inverse=True)
    found = paths(cluster, column[0][at], column[1][at], column[2][at])
    links = cluster.links
    network = Network.of(
        links.bandwidth_bytes_per_s,
        found.start,
        found.links,
        latency_ps=np.rint(links.latency_s * _PS).astype(np.int64),
        fifo=links.fifo,
    )
    return network, path


def _by_waiter(
    waits: npt.NDArray[np.int64], waited: npt.NDArray[np.int64], tasks: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Edges as CSR: where each task's begin, and what it waits for."""
    starts = np.concatenate([[0], np.cumsum(np.bincount(waits, minlength=tasks))])
    return starts, waited[np.argsort(waits, kind="stable")]
