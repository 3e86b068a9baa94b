"""An algorithm of collectives of your own in one file: its closed form, and its messages.

The all-reduce here is "one-shot": every rank sends its whole tensor to every other rank, which adds
up what comes. One round instead of 2 (n - 1), and n / 2 times the bytes of a ring: good for small
tensors. Nothing in Lydite is changed; steps, `lydite collective` and files of clusters take it by
its name.

An installed package adds it for good through an entry point:

    [project.entry-points."lydite.collectives"]
    one-shot = "my_package.one_shot:ONE_SHOT"
"""

import numpy as np

from lydite.cluster.collectives import ALGORITHMS, Algorithm, Wires, expand
from lydite.cluster.collectives.messages import Messages
from lydite.engine import simulate
from lydite.hardware.cluster import make_cluster

BANDWIDTH, LATENCY = 100e9, 1e-6


class OneShot(Algorithm):
    """Every rank sends all that it has to all others at once."""

    kinds = ("AllReduce",)

    def seconds(self, kind: str, wires: Wires, size_bytes: float) -> float:
        """One latency, then n - 1 tensors out of each rank."""
        del kind
        return wires.latency_s + (wires.ranks - 1) * size_bytes / wires.bandwidth_bytes_per_s

    def messages(self, kind: str, ranks: int, size_bytes: float, inside_ranks: int) -> Messages:
        """From each rank to each other, none waiting for another; ranks end when all have come."""
        del kind, inside_ranks
        source, target = np.nonzero(~np.eye(ranks, dtype=bool))
        number = np.arange(len(source))
        ends = len(source) + np.concatenate([source, target])
        sizes = np.full(len(source), size_bytes)
        return Messages(ranks, source, target, sizes, ends, np.tile(number, 2))


ONE_SHOT = OneShot()


def main() -> None:
    """Play it message by message, and compare with its closed form and with a ring."""
    cluster = make_cluster("h100", 1, 8, BANDWIDTH, BANDWIDTH, LATENCY)
    wires = Wires(8, BANDWIDTH, LATENCY)
    with ALGORITHMS.added("one-shot", f"{__name__}:ONE_SHOT"):
        for size in (8e3, 8e6):
            for name in ("one-shot", "ring"):
                made = expand(cluster, [range(8)], "AllReduce", size, name)
                played = simulate(made.tasks, made.servers, made.network).makespan_ps * 1e-12
                told = ALGORITHMS.find(name).seconds("AllReduce", wires, size)
                assert abs(played - told) < 1e-9 * told + 1e-10
                print(f"{name:<9} {size:>9,.0f} bytes  {1e6 * told:8.2f} us")


if __name__ == "__main__":
    main()
