"""Rings inside hosts, then across hosts, then inside again; every rank sends its share across.

    all-reduce of h hosts of g ranks, rates b and latencies l inside
        2 (g - 1) (l + S / g b) + 2 (h - 1) (L + S / n B)

Jia et al., arXiv:1807.11205; with shares: Mikami et al., arXiv:1811.05233.
"""

from __future__ import annotations

import numpy as np

from lydite.cluster.collectives.algorithm import Algorithm, Ints, Placed, Wires
from lydite.cluster.collectives.messages import Messages, rounds
from lydite.errors import InputError
from lydite.hardware.cluster import Cluster


class Hierarchical(Algorithm):
    """Rings inside hosts and between them."""

    kinds = ("AllReduce",)

    def seconds(self, kind: str, wires: Wires, size_bytes: float) -> float:
        """Time of a reduce-scatter inside hosts, an all-reduce across, and an all-gather inside."""
        del kind
        inside = wires.inside_ranks
        hosts = hosts_of(wires.ranks, inside)
        share = wires.inside_latency_s + size_bytes / inside / wires.inside_bandwidth_bytes_per_s
        across = 2 * (hosts - 1) * wires.step(size_bytes / wires.ranks)
        return 2 * (inside - 1) * share + across

    def messages(self, kind: str, ranks: int, size_bytes: float, inside_ranks: int) -> Messages:
        """Rings of each host, rings of the same place in all hosts, rings of each host again."""
        del kind
        inside, hosts = inside_ranks, hosts_of(ranks, inside_ranks)
        at = np.arange(ranks)
        near = at // inside * inside + (at + 1) % inside
        far = (at + inside) % ranks
        within, across = [near] * (inside - 1), [far] * (2 * (hosts - 1))
        shares = [size_bytes / inside] * (inside - 1)
        targets = np.array([*within, *across, *within]).reshape(-1, ranks)
        return rounds(targets, [*shares, *[size_bytes / ranks] * len(across), *shares])

    def placed(self, cluster: Cluster, ranks: Ints, kind: str, size_bytes: float) -> Placed:
        """The messages, with the ranks of a host adjacent.

        Raises:
            InputError: hosts hold different numbers of the group's ranks.
        """
        host = cluster.host_of_rank[ranks]
        counts = np.unique(host, return_counts=True)[1]
        if len(set(counts.tolist())) > 1:
            raise InputError(
                f"hosts hold {', '.join(map(str, counts))} ranks of a group",
                where=cluster.name,
                allowed="equally many",
            )
        ordered = ranks[np.argsort(host, kind="stable")]
        part = self.messages(kind, len(ranks), size_bytes, int(counts[0]))
        return Placed(part, ordered, np.zeros(len(part), np.int64))


def hosts_of(ranks: int, inside_ranks: int) -> int:
    """Number of hosts of equal size that the ranks fill.

    Raises:
        InputError: the ranks do not divide into such hosts.
    """
    if inside_ranks < 1 or ranks % inside_ranks:
        raise InputError(
            f"{ranks} ranks in hosts of {inside_ranks}", allowed="as many ranks in every host"
        )
    return ranks // inside_ranks


HIERARCHICAL = Hierarchical()
