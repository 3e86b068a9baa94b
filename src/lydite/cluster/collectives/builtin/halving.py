"""Recursive halving and doubling, for a number of ranks that is a power of two.

    all-reduce                  2 log2 n L + 2 (n - 1) / n S / B
    all-gather, reduce-scatter    log2 n L +   (n - 1) / n S / B

Partners closer than the number of ranks per host are in the same host, with its rate and latency.
Thakur, Rabenseifner and Gropp, IJHPCA 19(1), 2005.
"""

from __future__ import annotations

import numpy as np

from lydite.cluster.collectives.algorithm import Algorithm, Wires
from lydite.cluster.collectives.messages import Messages, depth, rounds
from lydite.errors import InputError


class Halving(Algorithm):
    """Exchanges with partners at distances that halve or double."""

    kinds = ("AllReduce", "AllGather", "ReduceScatter")

    def seconds(self, kind: str, wires: Wires, size_bytes: float) -> float:
        """Time of all exchanges, twice for an all-reduce; partners in a host are closer."""
        require_power_of_two(wires.ranks)
        ways, inside = 2 if kind == "AllReduce" else 1, wires.inside_ranks
        near = depth(inside) if inside & (inside - 1) == 0 and inside > 1 else 0
        far = depth(wires.ranks) - near
        near_bytes = (2**near - 1) / wires.ranks * size_bytes
        far_bytes = (wires.ranks - 2**near) / wires.ranks * size_bytes
        return ways * (
            far * wires.latency_s
            + far_bytes / wires.bandwidth_bytes_per_s
            + near * wires.inside_latency_s
            + near_bytes / wires.inside_bandwidth_bytes_per_s
        )

    def messages(self, kind: str, ranks: int, size_bytes: float, inside_ranks: int) -> Messages:
        """In each round, a rank exchanges with the partner whose number differs in one bit."""
        del inside_ranks
        require_power_of_two(ranks)
        bits = 1 << np.arange(depth(ranks))
        one_way = {"ReduceScatter": bits[::-1], "AllGather": bits}
        far = one_way.get(kind, np.append(bits[::-1], bits))
        return rounds(np.arange(ranks) ^ far[:, None], size_bytes * far / ranks)


def require_power_of_two(ranks: int) -> None:
    """Refuse a number of ranks that halving and doubling cannot pair.

    Raises:
        InputError: the number is not a power of two.
    """
    if ranks & (ranks - 1):
        near = 1 << (ranks.bit_length() - 1)
        raise InputError(
            f"halving of {ranks} ranks", allowed=f"powers of two, such as {near} or {2 * near}"
        )


HALVING = Halving()
