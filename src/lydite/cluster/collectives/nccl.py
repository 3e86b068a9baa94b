"""NCCL's choice of algorithm and protocol and its time: NCCL's cost model on the cluster's links.

A candidate's time is latency + S / rate; NCCL takes the fastest. Over n ranks on h hosts,

    ring, k = 2 (n - 1) steps (all-reduce; else n - 1), of which 2 (h - 1) or h - 1 leave a host:
        base + inside hops + hops across,  rate B n / k
    tree (all-reduce only):
        base + 2 ((n / h - 1) inside hops + log2 h hops across),  rate 0.92 B / 2

B is the peak rate of the rings. Protocols: LL sends a flag with every 4 bytes, LL128 one with every
120 (over NVLink only), Simple signals once per piece. Trees do not reach their rate for medium
sizes, which a table corrects. Constants are those of NVIDIA/nccl, src/graph/tuning.cc of NCCL 2.2x
(BSD-3), for the Ampere generation where they differ; caps per channel and NVLS are left out. The
table is interpolated between powers of two, so that more bytes never take less time.

Three terms that NCCL's model omits are added: packet overhead (B = link bandwidth x payload share
of a packet); reading and writing the local tensor once per rank, not overlapped with the links;
and a launch. AMD's RCCL is a fork of NCCL and uses the same model.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

NVLINK, PCIE, NETWORK = "nvlink", "pcie", "network"
PROTOCOLS = ("LL", "LL128", "Simple")

PACKET_EFFICIENCY = {NVLINK: 16 / 17, PCIE: 256 / 280, NETWORK: 4096 / 4138}
"""Share of a packet that is payload: 16 of NVLink's 17 flits; 256 bytes of PCIe with 24 of header,
framing and checksum; 4,096 bytes of InfiniBand with 42. From the formats, not fitted."""

LOCAL_PASSES = 2.0
"""Passes of an all-reduce over the local tensor in memory: one read, one write."""

_US, _GB = 1e-6, 1e9
_BASE_US = {"tree": (6.8, 14.0, 8.4), "ring": (6.6, 14.0, 8.4)}
_HOP_US = {
    ("tree", NVLINK): (0.6, 1.25, 4.0),
    ("ring", NVLINK): (0.6, 1.9, 3.4),
    ("tree", PCIE): (1.0, 1.9, 4.0),
    ("ring", PCIE): (1.0, 2.5, 5.7),
    ("tree", NETWORK): (5.0, 8.5, 14.0),
    ("ring", NETWORK): (2.7, 4.0, 14.0),
}
_LL_INSIDE = 1.8  # factor on LL's hops inside hosts, if the group spans several hosts
_PLATEAU = 1.4  # factor for Simple rings across hosts
_LL_MOST = (87.7, 22.5, 19.0)  # GB/s with one host, two, more
_TREE = 0.92
# By powers of two, from 64 bytes on.
_TREE_CORRECTION = {
    "LL": (
        1,
        1,
        1,
        1,
        0.9,
        0.8,
        0.7,
        0.7,
        0.7,
        0.7,
        0.6,
        0.5,
        0.4,
        0.4,
        0.5,
        0.6,
        0.7,
        0.8,
        0.9,
        1,
    ),
    "LL128": (
        1,
        1,
        1,
        1,
        1,
        0.9,
        0.8,
        0.8,
        0.8,
        0.7,
        0.6,
        0.6,
        0.6,
        0.6,
        0.6,
        0.6,
        0.8,
        0.9,
        0.9,
        0.9,
        0.9,
        1,
    ),
    "Simple": (
        0.9,
        0.9,
        0.9,
        0.9,
        0.9,
        0.9,
        0.9,
        0.8,
        0.7,
        0.6,
        0.6,
        0.5,
        0.5,
        0.5,
        0.5,
        0.6,
        0.7,
        0.8,
        0.7,
        0.7,
        0.8,
        0.9,
    ),
}


class Ranks(NamedTuple):
    """Ranks of a group, and the links between them.

    Attributes:
        ranks, hosts: Number of ranks and of hosts; each host holds the same number of ranks.
        link: Kind of link inside a host: "nvlink" (NVSwitch, xGMI), "pcie" or "network".
        bandwidth_bytes_per_s: Data rate from each rank to the next, net of packet headers.
        latency_s: Wire latency of the slowest hop in seconds; used between hosts only.
    """

    ranks: int
    hosts: int
    link: str
    bandwidth_bytes_per_s: float
    latency_s: float


class NcclChoice(NamedTuple):
    """One way to run a collective."""

    algorithm: str
    protocol: str
    latency_s: float
    s_per_byte: float

    def seconds(self, size_bytes: float) -> float:
        """Time in seconds of the collective over `size_bytes`."""
        short = _correction(self.protocol, size_bytes) if self.algorithm == "tree" else 1.0
        return self.latency_s + size_bytes * self.s_per_byte / short


def best(group: Ranks, kind: str, size_bytes: float) -> tuple[NcclChoice, float]:
    """The candidate that NCCL chooses and its time in seconds, without launch and local memory."""
    timed = [(choice.seconds(size_bytes), choice) for choice in candidates(group, kind)]
    seconds, choice = min(timed, key=lambda item: item[0])
    return choice, seconds


@lru_cache(maxsize=4096)
def candidates(group: Ranks, kind: str) -> tuple[NcclChoice, ...]:
    """All candidates for a kind of collective on these ranks."""
    algorithms = {"AllReduce": ("ring", "tree"), "AllToAll": ("pairwise",), "Send": ("direct",)}
    return tuple(
        NcclChoice(
            algorithm,
            protocol,
            _latency(group, kind, algorithm, protocol),
            _volume(group, kind, algorithm) / rate(group, algorithm, protocol),
        )
        for algorithm in algorithms.get(kind, ("ring",))
        for protocol in protocols(group)
        if protocol != "LL128" or algorithm in ("ring", "tree")
    )


def protocols(group: Ranks) -> tuple[str, ...]:
    """Protocols that a group's links support; LL128 needs NVLink."""
    return tuple(name for name in PROTOCOLS if name != "LL128" or group.link == NVLINK)


def base_s(family: str, protocol: str) -> float:
    """Base latency of a collective in seconds."""
    return _BASE_US[family][PROTOCOLS.index(protocol)] * _US


def hops_s(group: Ranks, family: str, protocol: str) -> tuple[float, float]:
    """Seconds of a hop inside a host, and of one between hosts."""
    at = PROTOCOLS.index(protocol)
    inside = _HOP_US[family, group.link][at] * _US
    # NCCL's hop latencies assume a network within one data hall; longer wires add latency.
    across = max(_HOP_US[family, NETWORK][at] * _US, group.latency_s)
    if group.hosts > 1 and protocol == "LL":
        inside *= _LL_INSIDE
    return inside, across


def _latency(group: Ranks, kind: str, algorithm: str, protocol: str) -> float:
    family = "tree" if algorithm == "tree" else "ring"
    inside, across = hops_s(group, family, protocol)
    base = base_s(family, protocol)
    if algorithm == "tree":
        levels = math.floor(math.log2(group.hosts))
        return base + 2 * ((group.ranks // group.hosts - 1) * inside + levels * across)
    if algorithm == "direct":
        return base + (across if group.hosts > 1 else inside)
    ways = 2 if kind == "AllReduce" else 1
    leaving = group.hosts - 1
    latency = base + ways * ((group.ranks - 1 - leaving) * inside + leaving * across)
    plateau = group.hosts > 1 and protocol == "Simple" and kind == "AllReduce"
    return latency * (_PLATEAU if plateau else 1.0)


def rate(group: Ranks, algorithm: str, protocol: str) -> float:
    """Bytes/s through the bottleneck, for the bytes that `_volume` counts."""
    full, most = group.bandwidth_bytes_per_s, _LL_MOST[min(group.hosts, 3) - 1] * _GB
    if algorithm == "tree":
        full *= _TREE
        wide = 7 / 9 if group.hosts == 1 else 120 / 128
        return {"LL": min(full / 3.8, most), "LL128": full * wide, "Simple": full}[protocol]
    wide = 0.7 if group.hosts == group.ranks else 0.92
    return {"LL": min(full / 2, most), "LL128": full * wide, "Simple": full}[protocol]


def _volume(group: Ranks, kind: str, algorithm: str) -> float:
    """Bytes through the bottleneck per byte of the tensor."""
    n = group.ranks
    if algorithm == "tree":
        return 2.0
    if kind in ("Send", "Broadcast"):
        return 1.0
    if kind == "AllToAll" and group.hosts > 1:
        # A host's network cards carry everything that its ranks send to other hosts.
        inside = n / group.hosts
        return inside * (n - inside) / n
    return (2.0 if kind == "AllReduce" else 1.0) * (n - 1) / n


def _correction(protocol: str, size_bytes: float) -> float:
    table = _TREE_CORRECTION[protocol]
    place = min(max(math.log2(size_bytes / 64), 0.0), len(table) - 1.0)
    low = int(place)
    high = min(low + 1, len(table) - 1)
    return table[low] + (table[high] - table[low]) * (place - low)
