"""Collectives in closed form on the links that a group really has.

For n ranks and S bytes, over rings that pass B bytes/s from each rank to the next, with hops of
latency L and a start of A (Thakur, Rabenseifner and Gropp, IJHPCA 19(1), 2005):

    all-reduce                 A + 2 (n - 1) (L + S / n B)
    all-gather, reduce-scatter A +   (n - 1) (L + S / n B)
    broadcast                  A +   (n - 1)  L + S / B        (pipelined)
    all-to-all                 A +   (n - 1) (L + S / n B)     (pairwise)
    send                       A +            L + S / B

S is the whole tensor: of an all-gather what comes out, as nccl-tests count. Groups that run at the
same time share links in proportion to what they send over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lydite.hardware.cluster import Cluster, best_ring, path_cost, paths, shared_bandwidth

LAUNCH_S = 8e-6
"""Start of a collective: a kernel launch and the handshake of its channels (assumed)."""

EFFICIENCY = 0.85
"""Share of a link's rate that reaches the user: headers, protocol, flags (assumed)."""

_ROUNDS = {
    "AllReduce": 2.0, "AllGather": 1.0, "ReduceScatter": 1.0, "AllToAll": 1.0,
}  # fmt: skip


@dataclass(frozen=True)
class Group:
    """Ranks that talk to each other, while others like them do the same.

    Attributes:
        ranks: how many.
        bandwidth_bytes_per_s: from each rank to the next, with all such groups at work.
        latency_s: of the slowest hop.
    """

    ranks: int
    bandwidth_bytes_per_s: float
    latency_s: float

    def seconds(self, kind: str, size: float) -> float:
        """Time of a collective over `size` bytes; 0 in a group of one."""
        n = self.ranks
        if n < 2 or size <= 0:
            return 0.0
        rate = self.bandwidth_bytes_per_s * EFFICIENCY
        if kind in ("Send", "Broadcast"):
            hops = 1 if kind == "Send" else n - 1
            return LAUNCH_S + hops * self.latency_s + size / rate
        return LAUNCH_S + _ROUNDS[kind] * (n - 1) * (self.latency_s + size / n / rate)


def group_of(cluster: Cluster, groups: Sequence[Sequence[int]]) -> Group:
    """Groups of the same form that talk at the same time, seen from the slowest of them.

    Args:
        cluster: whose links they use.
        groups: their ranks; a few that share links with each other are enough.

    Raises:
        InputError: as `best_ring`.
    """
    size = len(groups[0])
    if size < 2:
        return Group(1, float("inf"), 0.0)
    rings = [best_ring(cluster, group) for group in groups]
    rate = float(shared_bandwidth(cluster, rings).min())
    latency = max(max(ring.inside_latency_s or 0.0, ring.across_latency_s or 0.0) for ring in rings)
    return Group(size, rate, latency)


def link_between(cluster: Cluster, one: Sequence[int], other: Sequence[int]) -> Group:
    """Sending from ranks to their partners, all at the same time."""
    nodes = cluster.device_node
    found = paths(cluster, nodes[np.asarray(one)], nodes[np.asarray(other)])
    load = np.bincount(found.links, minlength=len(cluster.links))
    used = load > 0
    rate = float((cluster.links.bandwidth_bytes_per_s[used] / load[used]).min())
    _, latency = path_cost(cluster, found)
    return Group(2, rate, float(latency.max()))
