"""What a cluster's graph is made of, as columns: nodes, links, and how a regular cluster repeats.

A node is a device, a switch, a network card, a CPU (the root of a PCIe tree), a leaf, a spine or a
core switch. A link goes one way and has a twin that goes back. Every bandwidth is that of one
direction: NVLink's "900 GB/s" counts both, so an H100 has 450 GB/s here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
        kind: index into `NODE_KINDS`.
        host: the host it stands in; -1 for switches of the fabric.
        index: its number among the nodes of its kind in its host (or in the fabric).
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
        source, target: node numbers.
        bandwidth_bytes_per_s, latency_s: of this direction.
        kind: index into `LINK_KINDS`.
        fifo: one message at a time; else messages share it fairly.
        twin: the link back; -1 where there is none.
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
        groups: how many there are.
        ranks_per_group: devices in each (the last may have fewer).
        out_bytes_per_s: what one group can send to the others.
        latency_s: of one link out.
    """

    name: str
    groups: int
    ranks_per_group: int
    out_bytes_per_s: float
    latency_s: float


@dataclass(frozen=True, eq=False)
class Layout:
    """How the columns of a regular cluster are laid out: what is known without looking at them.

    Nodes of host h are `h * len(template) + i`; after them the switches of the fabric. Links of
    host h are `h * len(template_links) + i`; then two for each network card (up, down), card k of
    host h first at `first_cable + 2 * (h * cards + k)`; then those between switches.
    """

    hosts: int
    template: Nodes
    template_links: Links
    card_switch: Ints  # [hosts, cards]: the switch of each card, counted from the first switch
    switch_links: Links  # between switches, nodes counted from the first switch
    levels: tuple[Level, ...]

    @property
    def cards(self) -> int:
        """Network cards of a host."""
        return self.card_switch.shape[1]

    @property
    def first_switch(self) -> int:
        """Number of the fabric's first node."""
        return self.hosts * len(self.template)

    @property
    def first_cable(self) -> int:
        """Number of the first link that leaves a host."""
        return self.hosts * len(self.template_links)

    @property
    def first_switch_link(self) -> int:
        """Number of the first link between switches."""
        return self.first_cable + 2 * self.card_switch.size
