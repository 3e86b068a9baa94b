"""`Cluster`: hosts, devices and the directed links between them, and paths over these links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lydite.errors import InputError
from lydite.hardware.cluster.elements import (
    CPU,
    DEVICE,
    NODE_KINDS,
    Floats,
    Ints,
    Layout,
    Links,
    Nodes,
)
from lydite.hardware.cluster.route import Paths, Router
from lydite.hardware.device import Device
from lydite.records import dataclass
from lydite.results import OneLine


@dataclass(frozen=True, slots=True)
class Economics:
    """Prices and power of a cluster; None where unknown.

    Attributes:
        price_per_device_hour_usd: Rent of one device with its share of the host.
        grid_kg_per_kwh: CO2 in kg per kilowatt hour.
        pue: Power usage effectiveness: power of the data centre over that of its machines.
        host_power_w: Rated power of a whole host, devices included.
    """

    price_per_device_hour_usd: float | None = None
    grid_kg_per_kwh: float | None = None
    pue: float | None = None
    host_power_w: float | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Cluster(OneLine):
    """Hosts with equal devices, and the links between them.

    Attributes:
        name, title: Name by which users select it, and description.
        device: Device of every rank.
        nodes, links: The graph; the links' bandwidth includes the factors of `degraded`.
        device_node: [ranks] node of each rank, host by host.
        device_factor: [ranks] speed of each rank relative to `device`.
        router: Paths; shared by clusters that differ only in speeds.
        layout: Layout of a regular cluster, else None.
        economics: Price, grid and power.
        sources: Source of each figure by field name; "" is the source of all others.
        labels: Names of nodes, where a file gave them.
        performance: [nodes] AISim's `average_performance` in bit/s, NaN where a node has none.
        warnings: Unusual things in the file.
        collectives: Algorithm and protocol by kind of collective ("allreduce"), each None if the
            library chooses.
    """

    name: str
    title: str
    device: Device
    nodes: Nodes
    links: Links
    device_node: Ints
    device_factor: Floats
    router: Router
    layout: Layout | None = None
    economics: Economics = Economics()
    sources: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    performance: Floats | None = None
    warnings: tuple[str, ...] = ()
    collectives: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)

    @property
    def ranks(self) -> int:
        """Number of devices in use."""
        return len(self.device_node)

    @cached_property
    def host_of_rank(self) -> Ints:
        """[ranks] host of each rank."""
        return self.nodes.host[self.device_node]

    @property
    def hosts(self) -> int:
        """Number of hosts that have a rank."""
        return len(np.unique(self.host_of_rank))

    @property
    def devices_per_host(self) -> int:
        """Number of ranks of the fullest host."""
        return int(np.bincount(self.host_of_rank).max())

    def rank_node(self, rank: int) -> int:
        """Node of a rank.

        Raises:
            InputError: the rank does not exist.
        """
        if not 0 <= rank < self.ranks:
            raise InputError(f"no rank {rank} in '{self.name}'", allowed=f"0 to {self.ranks - 1}")
        return int(self.device_node[rank])

    def node_name(self, node: int) -> str:
        """A node as AISim writes it: "/server/host0/GPU/3/", "/switch/leaf2/"."""
        if self.labels is not None:
            return self.labels[node]
        kind, host, index = (
            int(c[node]) for c in (self.nodes.kind, self.nodes.host, self.nodes.index)
        )
        if kind in (DEVICE, CPU):
            return f"/server/host{host}/{'GPU' if kind == DEVICE else 'CPU'}/{index}/"
        return f"/switch/{f'host{host}/' if host >= 0 else ''}{NODE_KINDS[kind]}{index}/"

    def link_name(self, link: int) -> str:
        """A link by the names of its two ends."""
        ends = self.links.source[link], self.links.target[link]
        return " -> ".join(self.node_name(int(end)) for end in ends)

    def source(self, field_name: str) -> str:
        """Source of a figure, by field name."""
        return self.sources.get(field_name, self.sources.get("", "unknown"))

    @property
    def bisection_bytes_per_s(self) -> float | None:
        """Bandwidth between two halves of the hosts (of the devices, in one host), in bytes/s.

        The minimum over the levels of the cluster; None for a cluster that is not regular.
        """
        if self.layout is None:
            return None
        return min(
            (
                level.groups // 2 * level.out_bytes_per_s
                for level in self.layout.levels
                if level.groups > 1
            ),
            default=None,
        )

    def first(self, devices: int) -> Cluster:
        """The same cluster with only its first devices in use.

        Raises:
            InputError: the cluster has fewer devices.
        """
        if not 1 <= devices <= self.ranks:
            raise InputError(
                f"{devices} devices requested, but '{self.name}' has {self.ranks}",
                allowed=f"1 to {self.ranks}",
                hint=f"more hosts: '{self.name.split(' x ')[0]} x N'",
            )
        return replace(
            self,
            device_node=self.device_node[:devices],
            device_factor=self.device_factor[:devices],
        )

    def headline(self) -> str:
        """Name and size."""
        return f"{self.name}: {self.ranks} x {self.device.name}, {self.hosts} hosts"


def degraded(
    cluster: Cluster,
    device_factors: Mapping[int, float] | None = None,
    link_factors: Mapping[int, float] | None = None,
) -> Cluster:
    """The cluster with some devices or links slower (factor 0.9: 90 % of the speed).

    Paths do not change: routing tables do not account for a bad cable.

    Args:
        cluster: Cluster to copy; not changed.
        device_factors: Speed factors by rank.
        link_factors: Speed factors by link number; a link's twin keeps its speed unless listed too.

    Raises:
        InputError: an unknown rank or link, or a factor that is not above 0.
    """
    devices = _scaled(cluster.device_factor, device_factors or {}, "rank", cluster.name)
    bandwidth = _scaled(
        cluster.links.bandwidth_bytes_per_s, link_factors or {}, "link", cluster.name
    )
    links = replace(cluster.links, bandwidth_bytes_per_s=bandwidth)
    return replace(cluster, device_factor=devices, links=links)


def _scaled(column: Floats, factors: Mapping[int, float], what: str, where: str) -> Floats:
    column = column.copy()
    for number, factor in factors.items():
        if not 0 <= number < len(column):
            raise InputError(f"no {what} {number}", where=where, allowed=f"0 to {len(column) - 1}")
        if not 0 < factor < float("inf"):
            raise InputError(f"factor {factor:g} of {what} {number}", where=where, allowed="> 0")
        column[number] *= factor
    return column


def paths(
    cluster: Cluster, sources: npt.ArrayLike, targets: npt.ArrayLike, channel: npt.ArrayLike = 0
) -> Paths:
    """The path from each source node to its target node.

    Args:
        cluster: Cluster whose nodes and links are numbered.
        sources, targets: Node numbers, equally many.
        channel: Spreads messages between the same two nodes over equally good paths.

    Raises:
        InputError: names two nodes without a path.
    """
    source, target, lane = np.broadcast_arrays(
        *(np.atleast_1d(a) for a in (sources, targets, channel))
    )
    source, target = source.astype(np.int32), target.astype(np.int32)
    reached = cluster.router.reachable(source, target)
    if not reached.all():
        bad = int(np.argmin(reached))
        ends = [cluster.node_name(int(node)) for node in (source[bad], target[bad])]
        raise InputError(f"no path from {ends[0]} to {ends[1]}", where=cluster.name)
    return cluster.router.paths(source, target, lane.astype(np.int64))


def path_cost(cluster: Cluster, routes: Paths) -> tuple[Floats, Floats]:
    """[paths] bandwidth of the narrowest link (inf for an empty path), and total latency."""
    bandwidth = np.full(len(routes), np.inf)
    latency = np.zeros(len(routes))
    some = routes.hops > 0
    first = routes.start[:-1][some]
    if some.any():
        bandwidth[some] = np.minimum.reduceat(
            cluster.links.bandwidth_bytes_per_s[routes.links], first
        )
        latency[some] = np.add.reduceat(cluster.links.latency_s[routes.links], first)
    return bandwidth, latency
