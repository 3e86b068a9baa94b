"""The graph of a cluster as columns of nodes and links, and the layout of a regular cluster.

A node is a device, a switch, a network card, a CPU (the root of a PCIe tree), a leaf, a spine or a
core switch. Links are directed and have a twin in the opposite direction. Bandwidths are per
direction: NVLink's "900 GB/s" counts both directions, so an H100 has 450 GB/s here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lydite.records import dataclass

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

NODE_KINDS = ("device", "switch", "pcie", "cpu", "nic", "leaf", "spine", "core")
LINK_KINDS = ("nvlink", "nvswitch", "xgmi", "pcie", "cpu", "nic", "ib", "ethernet")
DEVICE, SWITCH, PCIE, CPU, NIC, LEAF, SPINE, CORE = range(8)


@dataclass(frozen=True, eq=False)
class Nodes:
    """Columns over nodes.

    Attributes:
        kind: Index into `NODE_KINDS`.
        host: Host of the node; -1 for switches of the fabric.
        index: Number among the nodes of the same kind in its host (or in the fabric).
    """

    kind: npt.NDArray[np.int8]
    host: Ints
    index: Ints

    def __len__(self) -> int:
        return len(self.kind)


@dataclass(frozen=True, eq=False)
class Links:
    """Columns over directed links.

    Attributes:
        source, target: Node numbers.
        bandwidth_bytes_per_s, latency_s: Bandwidth and latency of this direction.
        kind: Index into `LINK_KINDS`.
        fifo: Whether messages are sent one at a time; otherwise they share the link fairly.
        twin: Link in the opposite direction; -1 if there is none.
    """

    source: Ints
    target: Ints
    bandwidth_bytes_per_s: Floats
    latency_s: Floats
    kind: npt.NDArray[np.int8]
    fifo: Bools
    twin: Ints

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a regular cluster, from devices outwards.

    Attributes:
        name: "device", "cpu", "host", "leaf" or "pod".
        groups: Number of groups.
        ranks_per_group: Devices per group (the last may have fewer).
        out_bytes_per_s: Bandwidth from one group to all others.
        latency_s: Latency of one outgoing link.
    """

    name: str
    groups: int
    ranks_per_group: int
    out_bytes_per_s: float
    latency_s: float


@dataclass(frozen=True, eq=False)
class Layout:
    """Layout of the columns of a regular cluster, known without searching them.

    Nodes of host h are `h * len(template) + i`; the switches of the fabric follow. Links of host h
    are `h * len(template_links) + i`; then come two per network card (up, down), card k of host h
    first at `first_cable + 2 * (h * cards + k)`; then those between switches.
    """

    hosts: int
    template: Nodes
    template_links: Links
    card_switch: Ints  # [hosts, cards]: switch of each card, counted from the first switch
    switch_links: Links  # between switches; nodes are counted from the first switch
    levels: tuple[Level, ...]

    @property
    def cards(self) -> int:
        """Number of network cards per host."""
        return self.card_switch.shape[1]

    @property
    def first_switch(self) -> int:
        """Node number of the fabric's first switch."""
        return self.hosts * len(self.template)

    @property
    def first_cable(self) -> int:
        """Link number of the first link that leaves a host."""
        return self.hosts * len(self.template_links)

    @property
    def first_switch_link(self) -> int:
        """Link number of the first link between switches."""
        return self.first_cable + 2 * self.card_switch.size
