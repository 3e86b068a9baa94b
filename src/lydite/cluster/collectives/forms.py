"""Collectives in closed form, by kind and algorithm.

n ranks, S bytes, rate B from each rank to the next, latency L of a hop. S is the whole tensor: of
an all-gather what comes out, of a reduce-scatter what goes in, of an all-to-all what one rank
sends, as nccl-tests count.

    ring     all-reduce                  2 (n - 1) (L + S / n B)
             all-gather, reduce-scatter    (n - 1) (L + S / n B)
             broadcast (pipelined)         (n - 1)  L + S / B
    tree     all-reduce                  2 log2 n L + 2 S / B
             broadcast                     log2 n L +   S / B
    halving  all-reduce                  2 log2 n L + 2 (n - 1) / n S / B
             all-gather, reduce-scatter    log2 n L +   (n - 1) / n S / B
    hierarchical all-reduce of h hosts of g ranks, rates b and latencies l inside
                        2 (g - 1) (l + S / g b) + 2 (h - 1) (L + S / n B)
    pairwise all-to-all                    (n - 1) (L + S / n B)
    direct   send                                   L + S / B

Ring, halving and doubling, pairwise: Thakur, Rabenseifner and Gropp, IJHPCA 19(1), 2005. Tree: two
binary trees, each rank inside one of them and a leaf of the other, in pieces so small that filling
them takes no time (Sanders, Speck and Traeff, Parallel Computing 35(12), 2009; NCCL since 2.4); up
to three ranks, where none has two children, that is more than it takes.
Hierarchical: inside hosts, across, inside (Jia et al., arXiv:1807.11205), in shares, so that every
rank of a host sends across (Mikami et al., arXiv:1811.05233).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from lydite.errors import InputError, unknown_name

KINDS = ("AllReduce", "AllGather", "ReduceScatter", "Broadcast", "AllToAll", "Send")


@dataclass(frozen=True, slots=True)
class Wires:
    """What a collective runs over.

    Attributes:
        ranks: how many.
        bandwidth_bytes_per_s, latency_s: from a rank to the next; hierarchical: across hosts.
        inside_ranks: of a host; hierarchical only, as the next two.
        inside_bandwidth_bytes_per_s, inside_latency_s: from a rank to the next of its host.
    """

    ranks: int
    bandwidth_bytes_per_s: float
    latency_s: float
    inside_ranks: int = 1
    inside_bandwidth_bytes_per_s: float = float("inf")
    inside_latency_s: float = 0.0

    def step(self, share_bytes: float) -> float:
        """A message to the next rank."""
        return self.latency_s + share_bytes / self.bandwidth_bytes_per_s


Form = Callable[[Wires, float], float]


def depth(ranks: int) -> int:
    """Levels below the root of a binary tree; rounds of doubling."""
    return (ranks - 1).bit_length()


def _steps(rounds: int) -> Form:
    """A share of the tensor to the next rank, `rounds` times around."""
    return lambda w, size: rounds * (w.ranks - 1) * w.step(size / w.ranks)


def _tree(ways: int) -> Form:
    return lambda w, size: ways * (depth(w.ranks) * w.latency_s + size / w.bandwidth_bytes_per_s)


def _halving(ways: int) -> Form:
    def form(w: Wires, size: float) -> float:
        require_power_of_two(w.ranks)
        sent = (w.ranks - 1) / w.ranks * size / w.bandwidth_bytes_per_s
        return ways * (depth(w.ranks) * w.latency_s + sent)

    return form


def _hierarchical(w: Wires, size: float) -> float:
    inside = w.inside_ranks
    hosts = hosts_of(w.ranks, inside)
    share = w.inside_latency_s + size / inside / w.inside_bandwidth_bytes_per_s
    return 2 * (inside - 1) * share + 2 * (hosts - 1) * w.step(size / w.ranks)


def _chain(w: Wires, size: float) -> float:
    return (w.ranks - 1) * w.latency_s + size / w.bandwidth_bytes_per_s


FORMS: dict[tuple[str, str], Form] = {
    ("AllReduce", "ring"): _steps(2),
    ("AllReduce", "tree"): _tree(2),
    ("AllReduce", "halving"): _halving(2),
    ("AllReduce", "hierarchical"): _hierarchical,
    ("AllGather", "ring"): _steps(1),
    ("AllGather", "halving"): _halving(1),
    ("ReduceScatter", "ring"): _steps(1),
    ("ReduceScatter", "halving"): _halving(1),
    ("Broadcast", "ring"): _chain,
    ("Broadcast", "tree"): _tree(1),
    ("AllToAll", "pairwise"): _steps(1),
    ("Send", "direct"): lambda w, size: w.step(size),
}


def closed_form(kind: str, algorithm: str, wires: Wires, size_bytes: float) -> float:
    """Seconds of a collective, without a start; 0 in a group of one.

    Args:
        kind: one of `KINDS`.
        algorithm: one of `algorithms(kind)`.
        wires: what it runs over.
        size_bytes: of the whole tensor.

    Raises:
        InputError: an unknown kind or algorithm, a negative size, fewer than one rank, halving of
            ranks that are no power of two, hosts that do not divide the ranks.
    """
    form = FORMS[kind, known_algorithm(kind, algorithm)]
    check_size(size_bytes)
    if wires.ranks < 1:
        raise InputError(f"a collective of {wires.ranks} ranks", allowed="1 or more")
    return 0.0 if wires.ranks == 1 else form(wires, size_bytes)


@cache
def algorithms(kind: str) -> tuple[str, ...]:
    """Algorithms of a kind, the plain one first.

    Raises:
        InputError: an unknown kind.
    """
    if kind not in KINDS:
        raise unknown_name("collective", kind, KINDS)
    return tuple(algorithm for of, algorithm in FORMS if of == kind)


def known_algorithm(kind: str, algorithm: str) -> str:
    """The algorithm, if the kind has it.

    Raises:
        InputError: an unknown kind or algorithm.
    """
    if algorithm not in algorithms(kind):
        raise unknown_name(f"algorithm of {kind}", algorithm, algorithms(kind))
    return algorithm


def check_size(size_bytes: float) -> None:
    """Refuse what is no size.

    Raises:
        InputError: negative or not finite.
    """
    if not 0 <= size_bytes < float("inf"):
        raise InputError(f"a collective of {size_bytes:g} bytes", allowed="0 or more")


def require_power_of_two(ranks: int) -> None:
    """Refuse ranks that halving and doubling cannot pair.

    Raises:
        InputError: no power of two.
    """
    if ranks & (ranks - 1):
        near = 1 << (ranks.bit_length() - 1)
        raise InputError(
            f"halving of {ranks} ranks", allowed=f"powers of two, such as {near} or {2 * near}"
        )


def hosts_of(ranks: int, inside_ranks: int) -> int:
    """Hosts of equal size that the ranks fill.

    Raises:
        InputError: they do not divide.
    """
    if inside_ranks < 1 or ranks % inside_ranks:
        raise InputError(
            f"{ranks} ranks in hosts of {inside_ranks}", allowed="as many ranks in every host"
        )
    return ranks // inside_ranks
