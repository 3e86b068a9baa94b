"""Rings: each rank passes shares of the tensor on to the next.

    all-reduce                    2 (n - 1) (L + S / n B)
    all-gather, reduce-scatter      (n - 1) (L + S / n B)
    broadcast (a chain of pieces)   (n - 1)  L + S / B

Thakur, Rabenseifner and Gropp, IJHPCA 19(1), 2005. On a cluster, all rings that the links provide
are used at once, each for an equal share of the tensor.
"""

from __future__ import annotations

import numpy as np

from lydite.cluster.collectives.algorithm import Algorithm, Ints, Placed, Traffic, Wires
from lydite.cluster.collectives.messages import Messages, joined, rounds, tree
from lydite.hardware.cluster import Cluster, best_ring


class RingAlgorithm(Algorithm):
    """Passes shares of the tensor around rings of all ranks."""

    kinds = ("AllReduce", "AllGather", "ReduceScatter", "Broadcast")
    crosses_once = True

    def seconds(self, kind: str, wires: Wires, size_bytes: float) -> float:
        """Time of all rounds; a broadcast is pipelined in pieces."""
        if kind == "Broadcast":
            return (wires.ranks - 1) * wires.latency_s + size_bytes / wires.bandwidth_bytes_per_s
        return _rounds(kind, wires.ranks) * wires.step(size_bytes / wires.ranks)

    def messages(self, kind: str, ranks: int, size_bytes: float, inside_ranks: int) -> Messages:
        """In each round, every rank sends a share to the next rank."""
        del inside_ranks
        if kind == "Broadcast":
            return tree(np.arange(-1, ranks - 1), size_bytes, up=False)
        count = _rounds(kind, ranks)
        onward = np.roll(np.arange(ranks), -1)
        return rounds(np.tile(onward, (count, 1)), [size_bytes / ranks] * count)

    def placed(self, cluster: Cluster, ranks: Ints, kind: str, size_bytes: float) -> Placed:
        """The messages on the group's best rings; a broadcast visits ranks in the order given."""
        if kind == "Broadcast":
            return super().placed(cluster, ranks, kind, size_bytes)
        places = ring_places(cluster, ranks)
        ring = self.messages(kind, len(ranks), size_bytes / len(places), 1)
        turned = [
            Messages(
                ring.ranks,
                place[ring.source],
                place[ring.target],
                ring.bytes,
                np.where(
                    ring.waits < len(ring), ring.waits, len(ring) + place[ring.waits - len(ring)]
                ),
                ring.waited,
            )
            for place in (np.append(place, np.zeros(len(ring), int)) for place in places)
        ]
        return Placed(joined(turned), ranks, np.repeat(np.arange(len(places)), len(ring)))

    def traffic(self, cluster: Cluster, ranks: Ints, kind: str) -> Traffic:
        """Traffic of one round times the number of rounds, without generating messages."""
        if kind == "Broadcast":
            return super().traffic(cluster, ranks, kind)
        orders = best_ring(cluster, ranks).orders.astype(np.int64)
        channel = np.repeat(np.arange(len(orders)), len(ranks))
        share = _rounds(kind, len(ranks)) / len(ranks) / len(orders)
        onward = np.roll(orders, -1, axis=1)
        return Traffic(orders.ravel(), onward.ravel(), channel, np.full(orders.size, share))


def _rounds(kind: str, ranks: int) -> int:
    return (2 if kind == "AllReduce" else 1) * (ranks - 1)


def ring_places(cluster: Cluster, ranks: Ints) -> Ints:
    """[rings, ranks] The group's best rings, as indices into the group."""
    order = np.argsort(ranks, kind="stable")
    return order[np.searchsorted(ranks[order], best_ring(cluster, ranks).orders)]


RING = RingAlgorithm()
