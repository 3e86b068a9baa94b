"""Groups of ranks, and how long their collectives take on the links they really have.

A plain group uses the closed form of rings with an assumed start-up time and efficiency. A group of
GPUs whose links are known uses the algorithm that NCCL would choose
(`lydite.cluster.collectives.nccl`), and measured times where there are any. Groups that run at the
same time share links in proportion to the bytes that they send over them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from lydite.cluster.collectives.algorithm import (
    KINDS,
    Wires,
    check_size,
    closed_form,
    find_algorithm,
    plain_algorithm,
)
from lydite.cluster.collectives.calibration import Calibration
from lydite.cluster.collectives.curve import Curve
from lydite.cluster.collectives.nccl import (
    LOCAL_PASSES,
    NETWORK,
    NVLINK,
    PACKET_EFFICIENCY,
    PCIE,
    PROTOCOLS,
    NcclChoice,
    Ranks,
    base_s,
    best,
    candidates,
    hops_s,
    protocols,
    rate,
)
from lydite.errors import InputError, unknown_name
from lydite.hardware.cluster import (
    LINK_KINDS,
    Cluster,
    Paths,
    best_ring,
    path_cost,
    paths,
    shared_bandwidth,
)
from lydite.records import dataclass

LAUNCH_S = 8e-6
"""Start-up time of a plain collective: a kernel launch and channel handshake (assumed)."""

EFFICIENCY = 0.85
"""Share of a link's rate that a plain collective reaches after headers and flags (assumed)."""

_LOCAL = {"AllReduce": 1.0, "AllToAll": 1.0}
"""Passes over the local tensor relative to an all-reduce's; others only read or write, so half."""

_VENDORS = ("nvidia", "amd")  # whose libraries are NCCL and its fork RCCL
_SLOW = {NETWORK: {"nic", "ib", "ethernet"}, PCIE: {"pcie", "cpu"}}


class Choice(NamedTuple):
    """How a collective is run, and how long it takes.

    Attributes:
        algorithm: Name of the algorithm, such as "ring".
        protocol: "LL", "LL128" or "Simple"; "" in a plain group.
        seconds: Time of the collective in seconds.
        wire_s: Part of that time in which the links are busy; the rest is latency, launches and
            work in local memory, which no other collective slows down.
    """

    algorithm: str
    protocol: str
    seconds: float
    wire_s: float = 0.0


class Setting(NamedTuple):
    """Algorithm and protocol that the user chose for a kind of collective.

    Attributes:
        algorithm: Name of the algorithm; None for what the library chooses.
        protocol: "LL", "LL128" or "Simple"; None for what the library chooses.
    """

    algorithm: str | None = None
    protocol: str | None = None


@dataclass(frozen=True)
class Group:
    """A communication group, as fast as it is while all groups of its kind communicate.

    Attributes:
        ranks: Number of ranks in the group.
        bandwidth_bytes_per_s: Rate from each rank to the next with all such groups active.
        latency_s: Latency of the slowest hop in seconds.
        hosts: Number of hosts that the group spans.
        link: Slowest kind of link inside a host: "nvlink" (NVSwitch, xGMI; also where no two
            ranks share a host), "pcie" or "network".
        model: Model of collective times, "plain" or "nccl".
        calibration: Terms on top of NCCL's model; None for plain groups.
        measured: Measured times by kind, which replace the model within the measured sizes.
        settings: Algorithm and protocol by kind, where the user chose them; such collectives are
            always modelled, because measurements are of the library's own choice.
        inside_bandwidth_bytes_per_s: Rate from a rank to the next in its host with all such groups
            active; set only where an algorithm was chosen.
    """

    ranks: int
    bandwidth_bytes_per_s: float
    latency_s: float
    hosts: int = 1
    link: str = NVLINK
    model: str = "plain"
    calibration: Calibration = field(default_factory=Calibration)
    measured: Mapping[str, Curve] = field(default_factory=dict, compare=False)
    settings: Mapping[str, Setting] = field(default_factory=dict, compare=False)
    inside_bandwidth_bytes_per_s: float = float("inf")

    def seconds(self, kind: str, size: float) -> float:
        """Time in seconds of a collective over `size` bytes; 0 in a group of one, or for no bytes.

        Raises:
            InputError: an unknown kind or a negative size.
        """
        return self.choice(kind, size).seconds

    def choice(self, kind: str, size: float) -> Choice:
        """Algorithm, protocol and time of a collective over `size` bytes.

        A measurement tells only the time, so algorithm and protocol are always the model's choice.

        Raises:
            InputError: as `seconds`.
        """
        setting = self.settings.get(kind)
        plain = (setting.algorithm if setting else None) or plain_algorithm(kind)
        check_size(size)
        if self.ranks < 2 or size == 0:
            return Choice(plain, "", 0.0)
        if self.model == "plain":
            modelled = self._plain(kind, plain, size)
            chosen = Choice(plain, "", modelled, modelled - self._plain(kind, plain, 0.0))
        elif setting:
            chosen = self.choices(kind, size, *setting)[0]
        else:
            chosen = self._timed(kind, size, best(self._ranks, kind, size)[0])
        measured = self._measured(kind, size)
        if measured is None:
            return chosen
        # Latency and local work as modelled; the rest of the measured time is spent on the links.
        wire_s = max(0.0, measured - (chosen.seconds - chosen.wire_s))
        return chosen._replace(seconds=measured, wire_s=wire_s)

    def choices(
        self, kind: str, size: float, algorithm: str | None = None, protocol: str | None = None
    ) -> list[Choice]:
        """All ways to run a collective, the fastest first.

        NCCL's own candidates use its constants. Other algorithms use their closed form, with NCCL's
        base and hop latencies of a ring and the effective rate of the protocol.

        Args:
            kind: Kind of the collective.
            size: Size of the whole tensor in bytes.
            algorithm: Name of the only algorithm to consider; None for NCCL's own.
            protocol: Name of the only protocol to consider; None for all.

        Raises:
            InputError: no candidate remains, the algorithm is unknown, or cannot run on the ranks.
        """
        if algorithm is not None:
            find_algorithm(kind, algorithm)
        if self.model == "plain":
            name = algorithm or plain_algorithm(kind)
            modelled = self._plain(kind, name, size)
            return [Choice(name, "", modelled, modelled - self._plain(kind, name, 0.0))]
        known = candidates(self._ranks, kind)
        if algorithm is None or any(algorithm == candidate.algorithm for candidate in known):
            wanted = [candidate for candidate in known if algorithm in (None, candidate.algorithm)]
        else:
            wanted = [self._other(kind, size, algorithm, name) for name in protocols(self._ranks)]
        kept = [candidate for candidate in wanted if protocol in (None, candidate.protocol)]
        if not kept:
            raise InputError(
                f"no {protocol} for {kind} over {self.link}",
                allowed=", ".join(dict.fromkeys(candidate.protocol for candidate in wanted)),
            )
        return sorted(
            (self._timed(kind, size, candidate) for candidate in kept), key=lambda c: c.seconds
        )

    def _timed(self, kind: str, size: float, candidate: NcclChoice) -> Choice:
        """A candidate's time with the terms that NCCL's model omits: launch and local memory."""
        seconds = candidate.seconds(size)
        local = self.calibration.local_s_per_byte * _LOCAL.get(kind, 0.5) * size
        modelled = self.calibration.launch_s + seconds + local
        return Choice(
            candidate.algorithm, candidate.protocol, modelled, seconds - candidate.latency_s
        )

    def _other(self, kind: str, size: float, algorithm: str, protocol: str) -> NcclChoice:
        """A candidate that NCCL does not offer, from the algorithm's closed form."""
        ranks, base = self._ranks, base_s("ring", protocol)
        inside_s, across_s = hops_s(ranks, "ring", protocol)
        share = rate(ranks, "ring", protocol) / ranks.bandwidth_bytes_per_s
        near = self.inside_bandwidth_bytes_per_s * PACKET_EFFICIENCY[self.link] * share
        inside = max(1, self.ranks // self.hosts)
        hop_s = across_s if self.hosts > 1 else inside_s
        other = find_algorithm(kind, algorithm)
        far = share * ranks.bandwidth_bytes_per_s
        if self.hosts == 1:
            near = far
        elif not other.crosses_once:
            far /= inside
        waits = Wires(self.ranks, float("inf"), hop_s, inside, float("inf"), inside_s)
        moves = Wires(self.ranks, far, 0.0, inside, near, 0.0)
        latency = base + other.seconds(kind, waits, size)
        return NcclChoice(algorithm, protocol, latency, other.seconds(kind, moves, size) / size)

    def wire_share(self, algorithm: str, protocol: str) -> float:
        """Share of the link bandwidth left for data after packet, flag and protocol overhead."""
        if self.model == "plain":
            return EFFICIENCY
        family = "tree" if algorithm == "tree" else "ring"
        return rate(self._ranks, family, protocol) / self.bandwidth_bytes_per_s

    def source(self, kind: str, size: float) -> str:
        """Where the time of a collective comes from: "measured" or "modelled"."""
        return "modelled" if self._measured(kind, size) is None else "measured"

    @cached_property
    def _ranks(self) -> Ranks:
        wire = NETWORK if self.hosts > 1 else self.link
        rate = self.bandwidth_bytes_per_s * PACKET_EFFICIENCY[wire]
        return Ranks(self.ranks, self.hosts, self.link, rate, self.latency_s)

    def _plain(self, kind: str, algorithm: str, size: float) -> float:
        rate, near = self.bandwidth_bytes_per_s, self.inside_bandwidth_bytes_per_s
        inside = self.ranks // self.hosts
        chosen = kind in self.settings and not find_algorithm(kind, algorithm).crosses_once
        if self.hosts == 1:
            near = rate
        elif chosen and inside > 1:
            rate /= inside
        wires = Wires(
            self.ranks,
            rate * EFFICIENCY,
            self.latency_s,
            max(1, inside),
            near * EFFICIENCY,
            self.latency_s,
        )
        return LAUNCH_S + closed_form(kind, algorithm, wires, size)

    def _measured(self, kind: str, size: float) -> float | None:
        curve = None if kind in self.settings else self.measured.get(kind)
        return None if curve is None else curve.within(size)


def with_measured(group: Group, curve: Curve, kind: str = "AllReduce") -> Group:
    """The group with measured times of one kind; outside the sizes measured the model holds.

    Raises:
        InputError: an unknown kind.
    """
    plain_algorithm(kind)
    return replace(group, measured={**group.measured, kind: curve})


def group_of(
    cluster: Cluster, groups: Sequence[Sequence[int]], calibration: Calibration | None = None
) -> Group:
    """The slowest of several groups of the same shape that communicate at the same time.

    Args:
        cluster: Cluster whose links the groups use.
        groups: Ranks of each group; only groups that share links with each other are needed.
        calibration: Result of `calibrate`; None to assume that the local tensor goes through
            memory at the device's bandwidth.

    Raises:
        InputError: as for `best_ring`.
    """
    size = len(groups[0])
    if size < 2:
        return Group(1, float("inf"), 0.0)
    rings = [best_ring(cluster, group) for group in groups]
    rate = float(shared_bandwidth(cluster, rings).min())
    latency = max(max(ring.inside_latency_s or 0.0, ring.across_latency_s or 0.0) for ring in rings)
    group = Group(size, rate, latency, rings[0].hosts, _link(cluster, rings[0].paths))
    group = _as_run(cluster, group, calibration)
    if group.hosts > 1 and any(setting.algorithm for setting in group.settings.values()):
        return replace(group, inside_bandwidth_bytes_per_s=_inside_rate(cluster, groups))
    return group


def _inside_rate(cluster: Cluster, groups: Sequence[Sequence[int]]) -> float:
    """Bytes/s from a rank to the next in the first host, with all groups active."""
    host = cluster.host_of_rank
    near = [[rank for rank in group if host[rank] == host[group[0]]] for group in groups]
    rings = [best_ring(cluster, ranks) for ranks in near if len(ranks) > 1]
    return float(shared_bandwidth(cluster, rings).min()) if rings else float("inf")


def settings_of(cluster: Cluster) -> dict[str, Setting]:
    """The algorithms and protocols that a cluster's file or the command line chose, by kind.

    Raises:
        InputError: an unknown kind, algorithm or protocol, or a protocol where no NCCL runs.
    """
    names = {kind.lower(): kind for kind in KINDS}
    settings: dict[str, Setting] = {}
    for name, (algorithm, protocol) in cluster.collectives.items():
        if name.lower() not in names:
            raise unknown_name("collective", name, list(names), cluster.name)
        kind = names[name.lower()]
        if algorithm is not None:
            find_algorithm(kind, algorithm)
        if protocol is not None and protocol not in PROTOCOLS:
            raise unknown_name("protocol", protocol, PROTOCOLS)
        if protocol is not None and not _runs_nccl(cluster):
            raise InputError(
                f"protocol {protocol} of {name}: {cluster.device.name} does not run NCCL",
                where=cluster.name,
                allowed="an algorithm without a protocol",
            )
        settings[kind] = Setting(algorithm, protocol)
    return settings


def _runs_nccl(cluster: Cluster) -> bool:
    return cluster.device.kind == "gpu" and cluster.device.vendor.lower() in _VENDORS


def link_between(
    cluster: Cluster,
    senders: Sequence[int],
    receivers: Sequence[int],
    calibration: Calibration | None = None,
) -> Group:
    """A group for point-to-point sends from ranks to their partners, all at the same time.

    Args:
        cluster: Cluster whose links are used.
        senders: Ranks that send.
        receivers: Ranks that receive, in the order of the senders.
        calibration: As for `group_of`.
    """
    nodes = cluster.device_node
    routes = paths(cluster, nodes[np.asarray(senders)], nodes[np.asarray(receivers)])
    load = np.bincount(routes.links, minlength=len(cluster.links))
    used = load > 0
    rate = float((cluster.links.bandwidth_bytes_per_s[used] / load[used]).min())
    _, latency = path_cost(cluster, routes)
    host = cluster.host_of_rank
    hosts = 2 if (host[np.asarray(senders)] != host[np.asarray(receivers)]).any() else 1
    group = Group(2, rate, float(latency.max()), hosts, _link(cluster, routes))
    return _as_run(cluster, group, calibration)


def _link(cluster: Cluster, routes: Paths) -> str:
    """The slowest kind of link on the paths inside a host."""
    links, host = cluster.links, cluster.nodes.host
    first, last = routes.links[routes.start[:-1]], routes.links[routes.start[1:] - 1]
    stays = host[links.source[first]] == host[links.target[last]]
    kinds = {LINK_KINDS[kind] for kind in links.kind[routes.links[np.repeat(stays, routes.hops)]]}
    return next((name for name, of in _SLOW.items() if kinds & of), NVLINK)


def _as_run(cluster: Cluster, group: Group, calibration: Calibration | None) -> Group:
    """The group with NCCL's model if its devices run NCCL, else unchanged."""
    if cluster.collectives:
        group = replace(group, settings=settings_of(cluster))
    if not _runs_nccl(cluster):
        return group
    if calibration is None:
        calibration = Calibration(local_s_per_byte=LOCAL_PASSES / cluster.device.memory_bandwidth)
    return replace(group, model="nccl", calibration=calibration)
