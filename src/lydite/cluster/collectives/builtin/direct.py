"""Point-to-point send of one message from a rank to another: L + S / B."""

from __future__ import annotations

import numpy as np

from lydite.cluster.collectives.algorithm import Algorithm, Wires
from lydite.cluster.collectives.messages import Messages, rounds


class Direct(Algorithm):
    """Sends the whole tensor in one message."""

    kinds = ("Send",)

    def seconds(self, kind: str, wires: Wires, size_bytes: float) -> float:
        """Latency and transfer time of one message."""
        del kind
        return wires.step(size_bytes)

    def messages(self, kind: str, ranks: int, size_bytes: float, inside_ranks: int) -> Messages:
        """One message from rank 0 to rank 1."""
        del kind, ranks, inside_ranks
        return rounds(np.array([[1, -1]]), [size_bytes])


DIRECT = Direct()
