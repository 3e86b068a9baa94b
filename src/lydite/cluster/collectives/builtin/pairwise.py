"""All-to-all in rounds, in each of which every rank sends to another one.

    all-to-all  (n - 1) (L + S / n B)

Thakur, Rabenseifner and Gropp, IJHPCA 19(1), 2005.
"""

from __future__ import annotations

import numpy as np

from lydite.cluster.collectives.algorithm import Algorithm, Wires
from lydite.cluster.collectives.messages import Messages, rounds


class Pairwise(Algorithm):
    """In round r to the rank r places on."""

    kinds = ("AllToAll",)

    def seconds(self, kind: str, wires: Wires, size_bytes: float) -> float:
        """A share to each other rank, one after the other."""
        del kind
        return (wires.ranks - 1) * wires.step(size_bytes / wires.ranks)

    def messages(self, kind: str, ranks: int, size_bytes: float, inside_ranks: int) -> Messages:
        """A share to the rank one, two, ... places on."""
        del kind, inside_ranks
        targets = (np.arange(ranks) + np.arange(1, ranks)[:, None]) % ranks
        return rounds(targets, [size_bytes / ranks] * (ranks - 1))


PAIRWISE = Pairwise()
