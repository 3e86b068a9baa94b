"""Messages of collectives between ranks, and the dependencies among them.

Rings, halving, pairwise exchange and combinations of them run in rounds, in which a rank sends at
most one message each. A message waits for the previous one of its sender, and for all that its
sender received since. Trees and chains are pipelined: a piece waits for the previous piece on the
same link, and for the same piece from below (on the way down: from above).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lydite.records import dataclass

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

PIECE_BYTES = 2**19
"""Size in bytes of a piece in a tree or chain: an eighth of NCCL's buffer of 4 MiB."""

MOST_PIECES = 64


@dataclass(frozen=True, eq=False)
class Messages:
    """Messages of a collective as columns, and the dependencies among them.

    Attributes:
        ranks: Number of ranks, which are numbered from 0.
        source, target: [messages] Ranks that send and receive.
        bytes: [messages] Size of each message in bytes.
        waits, waited: [edges] Message `waits` begins when message `waited` has arrived. A number
            of at least the number of messages stands for the end of a rank (rank 0 first).
    """

    ranks: int
    source: Ints
    target: Ints
    bytes: Floats
    waits: Ints
    waited: Ints

    def __len__(self) -> int:
        return self.source.size


def depth(ranks: int) -> int:
    """Number of levels below the root of a binary tree, and of rounds of recursive doubling."""
    return (ranks - 1).bit_length()


def joined(parts: Sequence[Messages]) -> Messages:
    """Several collectives over the same ranks side by side; a rank ends when its parts all do."""
    counts = [len(part) for part in parts]
    before, total = np.cumsum([0, *counts[:-1]]), sum(counts)
    waits = [
        np.where(part.waits < count, part.waits + first, part.waits - count + total)
        for part, count, first in zip(parts, counts, before, strict=True)
    ]
    return Messages(
        parts[0].ranks,
        np.concatenate([part.source for part in parts]),
        np.concatenate([part.target for part in parts]),
        np.concatenate([part.bytes for part in parts]),
        np.concatenate(waits),
        np.concatenate([part.waited + at for part, at in zip(parts, before, strict=True)]),
    )


def rounds(target: Ints, share: npt.ArrayLike) -> Messages:
    """Messages sent in rounds.

    Args:
        target: [rounds, ranks] Rank that each rank sends to; -1 where it sends nothing.
        share: [rounds] Size of each message in bytes.
    """
    count, ranks = target.shape
    turn, source = np.nonzero(target >= 0)
    to = target[turn, source]
    number = np.full((count + 1, ranks), len(source), np.int64)
    number[turn, source] = np.arange(len(source))
    number[count] = len(source) + np.arange(ranks)  # the end of each rank
    # [rounds + 1, ranks]: the next message that a rank sends from that round on, or its end
    following = np.minimum.accumulate(
        np.where(np.vstack([target, target[:1]]) >= 0, number, number[count] + ranks)[::-1]
    )[::-1]
    following = np.minimum(following, number[count])
    return Messages(
        ranks,
        source,
        to,
        np.asarray(share, float)[turn],
        np.concatenate([following[turn + 1, source], following[turn + 1, to]]),
        np.tile(np.arange(len(source)), 2),
    )


def two_trees(ranks: int) -> list[Ints]:
    """Parents of the ranks in two binary trees, [ranks] each, -1 for the root.

    Rank r with lowest set bit b is at b's level above the leaves. Its parent has the next bit set
    instead of b, if there is such a rank. The second tree is mirrored (shifted, for an odd number
    of ranks), so that the leaves of one tree are inner nodes of the other, except for one rank.
    """
    at = np.arange(1, ranks)
    bit = at & -at
    parent = (at & ~bit) | (bit << 1)
    parent = np.append(-1, np.where(parent < ranks, parent, at & ~bit))
    if ranks % 2 == 0:
        other = np.where(parent < 0, -1, ranks - 1 - parent)[::-1]
    else:
        other = np.roll(np.where(parent < 0, -1, (parent + 1) % ranks), 1)
    return [parent, other]


def tree(parent: Ints, size_bytes: float, *, up: bool) -> Messages:
    """A pipelined broadcast down a tree, or an all-reduce up and down it.

    Args:
        parent: [ranks] Parent of each rank; -1 for the root.
        size_bytes: Size of the whole tensor in bytes.
        up: Whether pieces are first reduced up to the root (all-reduce); else a broadcast.
    """
    ranks = len(parent)
    child = np.flatnonzero(parent >= 0)
    above = parent[child]
    edges = len(child)
    pieces = int(np.clip(np.ceil(size_bytes / PIECE_BYTES), 1, MOST_PIECES))
    link = np.full(ranks, -1)  # from each rank to its parent
    link[child] = np.arange(edges)
    top, inner = np.flatnonzero(parent[above] < 0), np.flatnonzero(parent[above] >= 0)
    lower = link[above[inner]]  # the link above each inner link
    start = edges if up else 0  # of the way down, within a piece
    pairs = [(start + inner, start + lower)]  # (waits, waited) within a piece
    if up:
        pairs += [(lower, inner), (start + np.repeat(top, len(top)), np.tile(top, len(top)))]
    total = pieces * (start + edges)
    each = np.arange(pieces)[:, None] * (start + edges)
    last = np.arange(start + edges)[None, :]
    ends = total + np.append(above if up else [], np.append(child, above)).astype(np.int64)
    lasts = np.concatenate([np.arange(edges)] * (3 if up else 2))
    lasts[len(lasts) - 2 * edges :] += start
    waits = [
        *((each + waiting).ravel() for waiting, _ in pairs),
        (each[1:] + last).ravel(),
        ends,
    ]
    waited = [
        *((each + other).ravel() for _, other in pairs),
        (each[:-1] + last).ravel(),
        lasts + total - (start + edges),
    ]
    source = np.concatenate([child, above]) if up else above
    target = np.concatenate([above, child]) if up else child
    return Messages(
        ranks,
        np.tile(source, pieces),
        np.tile(target, pieces),
        np.full(total, size_bytes / pieces),
        np.concatenate(waits),
        np.concatenate(waited),
    )
