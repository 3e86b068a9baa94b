"""Groups of ranks, and how long their collectives take on the links they really have.

A plain group is the closed form of rings with an assumed start and efficiency; a group of GPUs
whose links are known takes what NCCL would take (`lydite.cluster.collectives.nccl`), and where it
was measured, what was measured. Groups that run at the same time share links in proportion to what
they send over them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from lydite.cluster.collectives.calibration import Calibration
from lydite.cluster.collectives.curve import Curve
from lydite.cluster.collectives.forms import Wires, algorithms, check_size, closed_form
from lydite.cluster.collectives.nccl import (
    LOCAL_PASSES,
    NETWORK,
    NVLINK,
    PACKET_EFFICIENCY,
    PCIE,
    Ranks,
    best,
)
from lydite.hardware.cluster import (
    LINK_KINDS,
    Cluster,
    Paths,
    best_ring,
    path_cost,
    paths,
    shared_bandwidth,
)

LAUNCH_S = 8e-6
"""Start of a plain collective: a kernel launch and the handshake of its channels (assumed)."""

EFFICIENCY = 0.85
"""Share of a link's rate that a plain collective gets: headers, protocol, flags (assumed)."""

_LOCAL = {"AllReduce": 1.0, "AllToAll": 1.0}
"""Share of an all-reduce's passes over the local tensor; others read or write, as its halves do."""

_VENDORS = ("nvidia", "amd")  # whose libraries are NCCL and its fork RCCL
_SLOW = {NETWORK: {"nic", "ib", "ethernet"}, PCIE: {"pcie", "cpu"}}


class Choice(NamedTuple):
    """How a collective is run, and how long it takes.

    Attributes:
        algorithm: name of the algorithm, such as "ring".
        protocol: "LL", "LL128" or "Simple"; "" in a plain group.
        seconds: time of the collective.
        wire_s: part of that time in which the links are busy; the rest is latency, launches and
            work in local memory, which no other collective slows down.
    """

    algorithm: str
    protocol: str
    seconds: float
    wire_s: float = 0.0


@dataclass(frozen=True)
class Group:
    """Ranks that talk to each other, while others like them do the same.

    Attributes:
        ranks: how many.
        bandwidth_bytes_per_s: from each rank to the next, with all such groups at work.
        latency_s: of the slowest hop.
        hosts: that it spans.
        link: the slowest inside a host: "nvlink" (NVSwitch, xGMI; also where no two ranks share a
            host), "pcie" or "network".
        model: "plain" or "nccl".
        calibration: what NCCL's model leaves out; plain groups have none.
        measured: times by kind, which come before the model within the sizes measured.
    """

    ranks: int
    bandwidth_bytes_per_s: float
    latency_s: float
    hosts: int = 1
    link: str = NVLINK
    model: str = "plain"
    calibration: Calibration = field(default_factory=Calibration)
    measured: Mapping[str, Curve] = field(default_factory=dict, compare=False)

    def seconds(self, kind: str, size: float) -> float:
        """Time of a collective over `size` bytes; 0 in a group of one, or for no bytes.

        Raises:
            InputError: an unknown kind or a negative size.
        """
        return self.choice(kind, size).seconds

    def choice(self, kind: str, size: float) -> Choice:
        """Algorithm, protocol and time of a collective over `size` bytes.

        Of what was measured only the time is known to be so; the choice is the model's.

        Raises:
            InputError: as `seconds`.
        """
        plain = algorithms(kind)[0]
        check_size(size)
        if self.ranks < 2 or size == 0:
            return Choice(plain, "", 0.0)
        measured = self._measured(kind, size)
        if self.model == "plain":
            modelled = self._plain(kind, size)
            chosen = Choice(plain, "", modelled, modelled - self._plain(kind, 0.0))
        else:
            one, seconds = best(self._ranks, kind, size)
            local = self.calibration.local_s_per_byte * _LOCAL.get(kind, 0.5) * size
            modelled = self.calibration.launch_s + seconds + local
            chosen = Choice(one.algorithm, one.protocol, modelled, seconds - one.latency_s)
        if measured is None:
            return chosen
        # Latency and local work as modelled; what is left of the measured time is the links'.
        wire_s = max(0.0, measured - (chosen.seconds - chosen.wire_s))
        return chosen._replace(seconds=measured, wire_s=wire_s)

    def source(self, kind: str, size: float) -> str:
        """Where the time of a collective comes from: "measured" or "modelled"."""
        return "modelled" if self._measured(kind, size) is None else "measured"

    @cached_property
    def _ranks(self) -> Ranks:
        wire = NETWORK if self.hosts > 1 else self.link
        rate = self.bandwidth_bytes_per_s * PACKET_EFFICIENCY[wire]
        return Ranks(self.ranks, self.hosts, self.link, rate, self.latency_s)

    def _plain(self, kind: str, size: float) -> float:
        wires = Wires(self.ranks, self.bandwidth_bytes_per_s * EFFICIENCY, self.latency_s)
        return LAUNCH_S + closed_form(kind, algorithms(kind)[0], wires, size)

    def _measured(self, kind: str, size: float) -> float | None:
        curve = self.measured.get(kind)
        return None if curve is None else curve.within(size)


def with_measured(group: Group, curve: Curve, kind: str = "AllReduce") -> Group:
    """The group with measured times of one kind; outside the sizes measured the model holds.

    Raises:
        InputError: an unknown kind.
    """
    algorithms(kind)
    return replace(group, measured={**group.measured, kind: curve})


def group_of(
    cluster: Cluster, groups: Sequence[Sequence[int]], calibration: Calibration | None = None
) -> Group:
    """Groups of the same form that talk at the same time, seen from the slowest of them.

    Args:
        cluster: whose links they use.
        groups: their ranks; a few that share links with each other are enough.
        calibration: what `calibrate` found; without, the local tensor goes through memory at the
            device's bandwidth.

    Raises:
        InputError: as `best_ring`.
    """
    size = len(groups[0])
    if size < 2:
        return Group(1, float("inf"), 0.0)
    rings = [best_ring(cluster, group) for group in groups]
    rate = float(shared_bandwidth(cluster, rings).min())
    latency = max(max(ring.inside_latency_s or 0.0, ring.across_latency_s or 0.0) for ring in rings)
    group = Group(size, rate, latency, rings[0].hosts, _link(cluster, rings[0].paths))
    return _as_run(cluster, group, calibration)


def link_between(
    cluster: Cluster,
    one: Sequence[int],
    other: Sequence[int],
    calibration: Calibration | None = None,
) -> Group:
    """Sending from ranks to their partners, all at the same time."""
    nodes = cluster.device_node
    found = paths(cluster, nodes[np.asarray(one)], nodes[np.asarray(other)])
    load = np.bincount(found.links, minlength=len(cluster.links))
    used = load > 0
    rate = float((cluster.links.bandwidth_bytes_per_s[used] / load[used]).min())
    _, latency = path_cost(cluster, found)
    host = cluster.host_of_rank
    hosts = 2 if (host[np.asarray(one)] != host[np.asarray(other)]).any() else 1
    group = Group(2, rate, float(latency.max()), hosts, _link(cluster, found))
    return _as_run(cluster, group, calibration)


def _link(cluster: Cluster, found: Paths) -> str:
    """The slowest kind of link on the paths that stay in a host."""
    links, host = cluster.links, cluster.nodes.host
    first, last = found.links[found.start[:-1]], found.links[found.start[1:] - 1]
    stays = host[links.source[first]] == host[links.target[last]]
    kinds = {LINK_KINDS[kind] for kind in links.kind[found.links[np.repeat(stays, found.hops)]]}
    return next((name for name, of in _SLOW.items() if kinds & of), NVLINK)


def _as_run(cluster: Cluster, group: Group, calibration: Calibration | None) -> Group:
    """With NCCL's model, where the devices run it."""
    device = cluster.device
    if device.kind != "gpu" or device.vendor.lower() not in _VENDORS:
        return group
    if calibration is None:
        calibration = Calibration(local_s_per_byte=LOCAL_PASSES / device.memory_bandwidth)
    return replace(group, model="nccl", calibration=calibration)
