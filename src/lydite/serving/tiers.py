"""Tiers of the KV cache beyond the devices: host memory, and disk behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lydite.records import dataclass

if TYPE_CHECKING:
    from lydite.serving.kernels.tiers import Tiers

LINKS: tuple[str, ...] = ("to host", "from host", "to disk", "from disk")
"""Directions of the links."""


@dataclass(frozen=True)
class KvTiers:
    """Where blocks of a replica's prefix cache go that its devices give up.

    Attributes:
        block_bytes: Bytes of a block on all devices of the replica.
        host_bytes: Host memory for blocks.
        host_bytes_per_s: Bandwidth between the devices and host memory, each way.
        disk_bytes: Disk for blocks that leave host memory; 0 for none.
        disk_bytes_per_s: Bandwidth between host memory and the disk, each way.
    """

    block_bytes: int
    host_bytes: float
    host_bytes_per_s: float
    disk_bytes: float = 0.0
    disk_bytes_per_s: float = math.inf

    @property
    def host_blocks(self) -> int:
        """Blocks that fit into host memory."""
        return int(self.host_bytes // self.block_bytes)

    @property
    def disk_blocks(self) -> int:
        """Blocks that fit onto the disk."""
        return int(self.disk_bytes // self.block_bytes)

    def copy_ns(self, bytes_per_s: float) -> int:
        """Time to copy a block over a link, in whole ns."""
        return math.ceil(self.block_bytes / bytes_per_s * 1e9)


@dataclass(frozen=True)
class TierUse:
    """What went to and from the tiers of all replicas.

    Attributes:
        host_hit_tokens, disk_hit_tokens: Prompt tokens that requests found there at first.
        moved_bytes: Bytes that went each way, by `LINKS`.
        busy_share: Share of the time in which the busiest replica's link copied each way.
        dropped_blocks: Blocks that the disk was too slow to take.
        loads: How often a request loaded blocks.
        load_wait_s: Time that requests waited for these, in all.
        write_wait_s: Time that steps lasted longer until blocks were written, in all.
    """

    host_hit_tokens: int
    disk_hit_tokens: int
    moved_bytes: dict[str, int]
    busy_share: dict[str, float]
    dropped_blocks: int
    loads: int
    load_wait_s: float
    write_wait_s: float


def used(
    tiers: Tiers, replicas: Sequence[tuple[KvTiers | None, int]], end_s: float
) -> TierUse | None:
    """What went to and from the tiers; None where no replica has any.

    Args:
        tiers: What the loop counted.
        replicas: Tiers and tokens of a block of each replica.
        end_s: When the last request was done.
    """
    from lydite.serving.kernels import tiers as kernel

    moved: dict[str, int] = dict.fromkeys(LINKS, 0)
    busy: dict[str, float] = dict.fromkeys(LINKS, 0.0)
    there = [(n, own, size) for n, (own, size) in enumerate(replicas) if own and own.host_blocks]
    if not there:
        return None
    hits = [0, 0]
    for number, own, block_tokens in there:
        counts = tiers.counts[number]
        for way, name in enumerate(LINKS):
            link = own.host_bytes_per_s if way < kernel.DISK_OUT else own.disk_bytes_per_s
            moved[name] += int(counts[way]) * own.block_bytes
            spent_s = int(counts[way]) * own.copy_ns(link) * 1e-9
            busy[name] = max(busy[name], spent_s / max(end_s, 1e-12))
        for tier in range(2):
            hits[tier] += int(counts[kernel.HOST_HITS + tier]) * block_tokens
    total = tiers.counts.sum(axis=0)
    return TierUse(
        hits[0],
        hits[1],
        moved,
        busy,
        int(total[kernel.DROPPED]),
        int(total[kernel.LOADS]),
        float(total[kernel.LOAD_NS]) * 1e-9,
        float(total[kernel.WRITE_NS]) * 1e-9,
    )
