"""Two binary trees, in which each rank is an inner node of one and a leaf of the other.

    all-reduce  2 log2 n L + 2 S / B
    broadcast     log2 n L +   S / B

Pieces are small enough that filling the trees takes no time (Sanders, Speck and Traeff, Parallel
Computing 35(12), 2009; NCCL since 2.4). For up to three ranks, where no rank has two children, this
is an overestimate. On a cluster, an all-reduce across hosts is a chain in each host and two trees
over the hosts, as in NCCL.
"""

from __future__ import annotations

import numpy as np

from lydite.cluster.collectives.algorithm import Algorithm, Ints, Placed, Wires
from lydite.cluster.collectives.builtin.ring import ring_places
from lydite.cluster.collectives.messages import Messages, depth, joined, tree, two_trees
from lydite.hardware.cluster import Cluster


class Tree(Algorithm):
    """Two trees at once, each with half of the tensor."""

    kinds = ("AllReduce", "Broadcast")
    crosses_once = True

    def seconds(self, kind: str, wires: Wires, size_bytes: float) -> float:
        """Time of passing both halves down the trees, for an all-reduce also up."""
        ways = 2 if kind == "AllReduce" else 1
        levels = depth(wires.ranks) * wires.latency_s
        return ways * (levels + size_bytes / wires.bandwidth_bytes_per_s)

    def messages(self, kind: str, ranks: int, size_bytes: float, inside_ranks: int) -> Messages:
        """Pieces that travel up and down both trees, for a broadcast only down."""
        del inside_ranks
        if kind == "Broadcast":
            # Rank 0 sends each half to the root of another tree, over the remaining ranks.
            halves = [np.append(-1, np.where(p < 0, 0, p + 1)) for p in two_trees(ranks - 1)]
            return joined([tree(parent, size_bytes / 2, up=False) for parent in halves])
        return joined([tree(parent, size_bytes / 2, up=True) for parent in two_trees(ranks)])

    def placed(self, cluster: Cluster, ranks: Ints, kind: str, size_bytes: float) -> Placed:
        """Across hosts a chain in each host and two trees over the hosts, on every ring."""
        if kind != "AllReduce" or not np.ptp(cluster.host_of_rank[ranks]):
            return super().placed(cluster, ranks, kind, size_bytes)
        places = ring_places(cluster, ranks)
        parts: list[Messages] = []
        for place in places:
            cuts = np.flatnonzero(np.diff(cluster.host_of_rank[ranks[place]])) + 1
            # Every second host is traversed backwards, so that all first ranks use the same rail.
            split = enumerate(np.split(place, cuts))
            hosts = [host[::-1] if at % 2 else host for at, host in split]
            first = np.array([host[0] for host in hosts])
            for above in two_trees(len(hosts)):
                parent = np.full(len(ranks), -1)
                for host in hosts:
                    parent[host[1:]] = host[:-1]
                parent[first] = np.where(above < 0, -1, first[above])
                parts.append(tree(parent, size_bytes / 2 / len(places), up=True))
        channel = np.repeat(np.arange(len(parts)) // 2, [len(part) for part in parts])
        return Placed(joined(parts), ranks, channel)


TREE = Tree()
