"""Collective algorithms: a closed form and its messages in one object.

`ALGORITHMS` maps names to algorithms: one file each in `builtin/`, and those of installed packages
(entry points of the group "lydite.collectives").
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lydite.cluster.collectives.messages import Messages
from lydite.errors import InputError, unknown_name
from lydite.hardware.cluster import Cluster
from lydite.records import dataclass
from lydite.registry import Registry

KINDS = ("AllReduce", "AllGather", "ReduceScatter", "Broadcast", "AllToAll", "Send")

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Wires:
    """Links that a collective runs over.

    Attributes:
        ranks: Number of ranks.
        bandwidth_bytes_per_s: Rate from each rank to the next (hierarchical: across hosts).
        latency_s: Latency from a rank to the next (hierarchical: across hosts).
        inside_ranks: Number of ranks in a host, for hierarchical algorithms.
        inside_bandwidth_bytes_per_s: Rate from a rank to the next in its host.
        inside_latency_s: Latency from a rank to the next in its host.
    """

    ranks: int
    bandwidth_bytes_per_s: float
    latency_s: float
    inside_ranks: int = 1
    inside_bandwidth_bytes_per_s: float = float("inf")
    inside_latency_s: float = 0.0

    def step(self, share_bytes: float) -> float:
        """Seconds of a message to the next rank."""
        return self.latency_s + share_bytes / self.bandwidth_bytes_per_s


class Placed(NamedTuple):
    """Messages of a collective on the ranks of a group.

    Attributes:
        messages: Messages between the places 0, 1, ... of the group.
        ranks: [places] Rank at each place.
        channel: [messages] Channel of each message; spreads messages over equally good paths.
    """

    messages: Messages
    ranks: Ints
    channel: Ints


class Traffic(NamedTuple):
    """Bytes that ranks send to each other in a collective, for each byte of the tensor.

    Attributes:
        source, target: [pairs] Rank that sends, and rank that receives.
        channel: [pairs] Channel of the messages.
        share: [pairs] Bytes for each byte of the tensor.
    """

    source: Ints
    target: Ints
    channel: Ints
    share: Floats


class Algorithm(ABC):
    """A collective algorithm: its closed-form time and its messages.

    Attributes:
        kinds: Kinds of collectives that it implements, from `KINDS`.
        crosses_once: Whether the tensor leaves a host only once, as in rings and trees; else all
            ranks of a host may send to other hosts at once, and share its network cards.
    """

    kinds: Sequence[str]
    crosses_once: bool = False

    @abstractmethod
    def seconds(self, kind: str, wires: Wires, size_bytes: float) -> float:
        """Time in seconds of a collective of two or more ranks, without start-up cost.

        Raises:
            InputError: the algorithm does not support these ranks.
        """

    @abstractmethod
    def messages(self, kind: str, ranks: int, size_bytes: float, inside_ranks: int) -> Messages:
        """The messages of a collective over ranks in the order 0, 1, ...

        Args:
            kind: Kind of the collective, one of `kinds`.
            ranks: Number of ranks, two or more.
            size_bytes: Size of the whole tensor.
            inside_ranks: Number of ranks in a host, which are neighbours in that order.

        Raises:
            InputError: the algorithm does not support these ranks.
        """

    def placed(self, cluster: Cluster, ranks: Ints, kind: str, size_bytes: float) -> Placed:
        """The messages placed on ranks of a cluster, in the order given."""
        del cluster
        part = self.messages(kind, len(ranks), size_bytes, 1)
        return Placed(part, ranks, np.zeros(len(part), np.int64))

    def traffic(self, cluster: Cluster, ranks: Ints, kind: str) -> Traffic:
        """Bytes between each pair of ranks per byte of the tensor, summed over all messages."""
        part, members, channel = self.placed(cluster, ranks, kind, 1.0)
        pairs = np.stack([channel, members[part.source], members[part.target]])
        kept, at = np.unique(pairs, axis=1, return_inverse=True)
        share = np.bincount(at.ravel(), part.bytes).astype(np.float64)
        return Traffic(kept[1], kept[2], kept[0], share)


_HERE = "lydite.cluster.collectives.builtin"
ALGORITHMS: Registry[Algorithm] = Registry(
    "lydite.collectives",
    "collective algorithm",
    {
        "ring": f"{_HERE}.ring:RING",
        "tree": f"{_HERE}.tree:TREE",
        "halving": f"{_HERE}.halving:HALVING",
        "hierarchical": f"{_HERE}.hierarchical:HIERARCHICAL",
        "pairwise": f"{_HERE}.pairwise:PAIRWISE",
        "direct": f"{_HERE}.direct:DIRECT",
    },
)

_PLAIN = {"AllToAll": "pairwise", "Send": "direct"}


def plain_algorithm(kind: str) -> str:
    """Name of the default algorithm of a kind of collective, which plain groups use.

    Raises:
        InputError: an unknown kind.
    """
    if kind not in KINDS:
        raise unknown_name("collective", kind, KINDS)
    return _PLAIN.get(kind, "ring")


def algorithms(kind: str) -> tuple[str, ...]:
    """Names of the algorithms for a kind of collective, the default one first.

    Raises:
        InputError: an unknown kind.
    """
    plain = plain_algorithm(kind)
    others = [name for name in ALGORITHMS if name != plain and kind in ALGORITHMS.find(name).kinds]
    return (plain, *others)


def find_algorithm(kind: str, name: str) -> Algorithm:
    """The algorithm of that name, if it implements the kind.

    Raises:
        InputError: an unknown kind, or no algorithm of that name for it.
    """
    plain_algorithm(kind)
    algorithm = ALGORITHMS.find(name) if name in ALGORITHMS else None
    if algorithm is None or kind not in algorithm.kinds:
        raise unknown_name(f"algorithm of {kind}", name, algorithms(kind))
    return algorithm


def closed_form(kind: str, algorithm: str, wires: Wires, size_bytes: float) -> float:
    """Time in seconds of a collective, without start-up cost; 0 in a group of one.

    Args:
        kind: Kind of the collective, one of `KINDS`.
        algorithm: Name of its algorithm, one of `algorithms(kind)`.
        wires: Links that it runs over.
        size_bytes: Size of the whole tensor.

    Raises:
        InputError: an unknown kind or algorithm, a negative size, fewer than one rank, halving of
            ranks that are not a power of two, hosts that do not divide the ranks.
    """
    implementation = find_algorithm(kind, algorithm)
    check_size(size_bytes)
    if wires.ranks < 1:
        raise InputError(f"a collective of {wires.ranks} ranks", allowed="1 or more")
    return 0.0 if wires.ranks == 1 else implementation.seconds(kind, wires, size_bytes)


def check_size(size_bytes: float) -> None:
    """Refuse a size in bytes that is negative or not finite.

    Raises:
        InputError: the size is negative or not finite.
    """
    if not 0 <= size_bytes < float("inf"):
        raise InputError(f"a collective of {size_bytes:g} bytes", allowed="0 or more")
