"""All-to-all in rounds, in each of which every rank sends a share to another rank.

    all-to-all  (n - 1) (L + S / n B)

Thakur, Rabenseifner and Gropp, IJHPCA 19(1), 2005.
"""

from __future__ import annotations

import numpy as np

from lydite.cluster.collectives.algorithm import Algorithm, Wires
from lydite.cluster.collectives.messages import Messages, rounds


class Pairwise(Algorithm):
    """Sends to the rank r places further in round r."""

    kinds = ("AllToAll",)

    def seconds(self, kind: str, wires: Wires, size_bytes: float) -> float:
        """Time of n - 1 rounds, in each of which a share is sent to another rank."""
        del kind
        return (wires.ranks - 1) * wires.step(size_bytes / wires.ranks)

    def messages(self, kind: str, ranks: int, size_bytes: float, inside_ranks: int) -> Messages:
        """In round r, each rank sends a share to the rank r places further."""
        del kind, inside_ranks
        targets = (np.arange(ranks) + np.arange(1, ranks)[:, None]) % ranks
        return rounds(targets, [size_bytes / ranks] * (ranks - 1))


PAIRWISE = Pairwise()
