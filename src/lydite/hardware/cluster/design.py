"""What a regular cluster is made of, in SI units; `build` turns it into columns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wire:
    """A kind of link: bandwidth and latency of one direction."""

    kind: str
    bandwidth_bytes_per_s: float
    latency_s: float
    fifo: bool = False


@dataclass(frozen=True, slots=True)
class Mesh:
    """Direct links between devices: (device, device, how many), `wire` being one of them."""

    wire: Wire
    links: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Pcie:
    """A tree: devices under switches under CPUs, and all CPUs linked to each other.

    Attributes:
        wire: of every slot and uplink.
        switches: devices under each switch; none where devices stand at the CPUs.
        cpus: switches (devices, where there is no switch) under each CPU.
        between: the link between two CPUs.
    """

    wire: Wire
    switches: tuple[tuple[int, ...], ...]
    cpus: tuple[tuple[int, ...], ...]
    between: Wire | None


@dataclass(frozen=True, slots=True)
class Cards:
    """Network cards of a host.

    Attributes:
        wire: the cable that leaves each.
        under: PCIe switch of each (CPU, where there are no switches). Without a PCIe tree the
            cards are shared out evenly among the devices, and only its length counts.
    """

    wire: Wire
    under: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Host:
    """One host: devices, and any of a switch for all of them, a mesh, a PCIe tree, cards."""

    devices: int
    switch: Wire | None = None
    mesh: Mesh | None = None
    pcie: Pcie | None = None
    cards: Cards | None = None


@dataclass(frozen=True, slots=True)
class Fabric:
    """What joins the hosts.

    Attributes:
        kind: "switch" (one for all), "leaf-spine" (all cards of a host on one leaf) or
            "rail-optimised" (card k of each host on the leaf of rail k).
        wire: between switches.
        hosts_per_leaf: hosts that share a leaf (a group of leaves, by rails).
        oversubscription: ports down over ports up of a leaf; 1 blocks nothing.
        radix: ports of a switch.
    """

    kind: str
    wire: Wire
    hosts_per_leaf: int = 32
    oversubscription: float = 1.0
    radix: int = 64
