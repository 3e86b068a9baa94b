"""The design of a regular cluster, in SI units; `build` turns it into columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from lydite.hardware.cluster.topology import Economics
from lydite.records import dataclass

MAX_HOSTS = 1 << 16

# Ember, Global Electricity Review 2024: the world's average of 2023.
WORLD_GRID_KG_PER_KWH = 0.480
WORLD_GRID_SOURCE = "world average of 2023, Ember, Global Electricity Review 2024"


@dataclass(frozen=True, slots=True)
class Wire:
    """A kind of link: bandwidth and latency of one direction."""

    kind: str
    bandwidth_bytes_per_s: float
    latency_s: float
    fifo: bool = False


@dataclass(frozen=True, slots=True)
class Mesh:
    """Direct links between devices: (device, device, number of links), each like `wire`."""

    wire: Wire
    links: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Pcie:
    """A tree: devices under switches under CPUs; all CPUs are linked to each other.

    Attributes:
        wire: Link of every slot and uplink.
        switches: Devices under each switch; empty if devices attach to the CPUs.
        cpus: Switches (devices, without switches) under each CPU.
        between: Link between two CPUs.
    """

    wire: Wire
    switches: tuple[tuple[int, ...], ...]
    cpus: tuple[tuple[int, ...], ...]
    between: Wire | None


@dataclass(frozen=True, slots=True)
class Cards:
    """Network cards of a host.

    Attributes:
        wire: Cable that leaves each card.
        under: PCIe switch (CPU, without switches) of each card. Without a PCIe tree, the cards are
            divided evenly among the devices, and only the length of this tuple counts.
    """

    wire: Wire
    under: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Host:
    """One host: devices, plus any of a switch between them, a mesh, a PCIe tree, network cards."""

    devices: int
    switch: Wire | None = None
    mesh: Mesh | None = None
    pcie: Pcie | None = None
    cards: Cards | None = None


@dataclass(frozen=True, slots=True)
class Fabric:
    """The network between the hosts.

    Attributes:
        kind: "switch" (one for all hosts), "leaf-spine" (all cards of a host on one leaf) or
            "rail-optimised" (card k of each host on the leaf of rail k).
        wire: Cable between switches.
        hosts_per_leaf: Hosts that share a leaf (with rails: a group of leaves).
        oversubscription: Down ports over up ports of a leaf; 1 is non-blocking.
        radix: Ports per switch.
    """

    kind: str
    wire: Wire
    hosts_per_leaf: int = 32
    oversubscription: float = 1.0
    radix: int = 64


@dataclass(frozen=True, slots=True)
class ClusterDesign:
    """The content of a cluster file, without the figures of its device."""

    name: str
    title: str
    aliases: tuple[str, ...]
    device: str
    hosts: int
    host: Host
    fabric: Fabric | None
    economics: Economics
    sources: dict[str, str]
    collectives: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
