"""Building a `Cluster` from a design: one host is built and repeated; the fabric is built whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np

from lydite.errors import InputError
from lydite.hardware.cluster.columns import (
    Columns,
    join_links,
    join_nodes,
    repeat_links,
    repeat_nodes,
    shifted,
)
from lydite.hardware.cluster.design import Fabric, Host, Mesh, Wire
from lydite.hardware.cluster.elements import CPU, DEVICE, NIC, PCIE, SWITCH, Layout, Level
from lydite.hardware.cluster.fabric import build_fabric
from lydite.hardware.cluster.route import Router
from lydite.hardware.cluster.topology import Cluster, Economics
from lydite.hardware.device import Device


def build_cluster(
    name: str,
    title: str,
    device: Device,
    hosts: int,
    host: Host,
    fabric: Fabric | None,
    economics: Economics = Economics(),  # noqa: B008
    sources: Mapping[str, str] | None = None,
) -> Cluster:
    """Build a cluster of equal hosts.

    Raises:
        InputError: several hosts have no fabric between them, devices cannot reach each other, or
            the fabric's switches have too few ports.
    """
    template, cards = _template(host)
    nodes, links = template.nodes(0), template.links()
    if hosts > 1 and (fabric is None or not cards):
        missing = "fabric" if fabric is None else "nics"
        raise InputError(
            f"{hosts} hosts cannot reach each other: no {missing}",
            where=name,
            hint=f"give '{missing}'",
        )
    switches, card_switch, levels = build_fabric(fabric, host, hosts, name)
    layout = Layout(
        hosts, nodes, links, card_switch, switches.links(), (*_host_levels(host, hosts), *levels)
    )
    everything = join_nodes(repeat_nodes(nodes, hosts), switches.nodes(-1))
    cables = Columns()
    if fabric is not None and host.cards is not None:
        card_node = np.arange(hosts)[:, None] * len(nodes) + np.array(cards)
        cables.connect(card_node, layout.first_switch + card_switch, host.cards.wire)
    all_links = join_links(
        repeat_links(links, hosts, len(nodes)),
        shifted(cables.links(), 0, layout.first_cable),
        shifted(layout.switch_links, layout.first_switch, layout.first_switch_link),
    )
    devices = np.flatnonzero(everything.kind == DEVICE).astype(np.int32)
    cluster = Cluster(
        name=name,
        title=title,
        device=device,
        nodes=everything,
        links=all_links,
        device_node=devices,
        device_factor=np.ones(len(devices)),
        router=Router(everything, all_links, layout),
        layout=layout,
        economics=economics,
        sources=sources or {},
    )
    check_reachable(cluster)
    return cluster


def check_reachable(cluster: Cluster) -> None:
    """Check that every device reaches the first one and is reached by it.

    Raises:
        InputError: names two devices without a path.
    """
    layout = cluster.layout
    # Hosts are equal, so the first and the last represent all.
    near = (
        len(cluster.device_node)
        if layout is None
        else min(cluster.ranks, cluster.ranks // layout.hosts)
    )
    ends = np.concatenate([cluster.device_node[:near], cluster.device_node[-near:]])
    others = np.flatnonzero(np.bincount(ends)).astype(np.int32)
    first = np.full(len(others), cluster.device_node[0])
    for origins, other in ((first, others), (others, first)):
        reached = cluster.router.reachable(origins, other)
        if not reached.all():
            bad = int(np.argmin(reached))
            names = [cluster.node_name(int(node)) for node in (origins[bad], other[bad])]
            raise InputError(f"no path from {names[0]} to {names[1]}", where=cluster.name)


def _template(host: Host) -> tuple[Columns, list[int]]:
    columns = Columns()
    devices = columns.add(DEVICE, host.devices)
    if host.switch is not None:
        columns.connect(devices, columns.add(SWITCH, 1), host.switch)
    if host.mesh is not None and host.mesh.links:
        ends, other, count = np.array(host.mesh.links).T
        columns.connect(ends, other, host.mesh.wire, count)
    roots = _pcie(columns, host) if host.pcie is not None else []
    cards = columns.add(NIC, len(host.cards.under)) if host.cards is not None else []
    if host.cards is not None and host.pcie is not None:
        columns.connect([roots[at] for at in host.cards.under], cards, host.pcie.wire)
    elif host.cards is not None:
        slot = replace(host.cards.wire, kind="nic", latency_s=0.0)
        for at, card in enumerate(cards):
            share = [d for d in devices if d * len(cards) // host.devices == at]
            near = devices[at * host.devices // len(cards)]
            columns.connect(share or [near], card, slot)
    return columns, cards


def _pcie(columns: Columns, host: Host) -> list[int]:
    """Add the PCIe tree; returns the nodes that network cards attach to."""
    pcie = host.pcie
    assert pcie is not None
    switches = columns.add(PCIE, len(pcie.switches))
    for switch, under in zip(switches, pcie.switches, strict=True):
        columns.connect(list(under), switch, pcie.wire)
    cpus = columns.add(CPU, len(pcie.cpus))
    for cpu, under in zip(cpus, pcie.cpus, strict=True):
        columns.connect([switches[at] if switches else at for at in under], cpu, pcie.wire)
    if pcie.between is not None and len(cpus) > 1:
        one, other = np.array(list(combinations(cpus, 2))).T
        columns.connect(one, other, pcie.between)
    return switches or cpus


def _host_levels(host: Host, hosts: int) -> list[Level]:
    """Bandwidth of a device within its host, and of a host to the others."""
    inside: Level | None = None
    devices = hosts * host.devices
    if host.switch is not None:
        inside = _level("device", devices, 1, host.switch, 1)
    elif host.mesh is not None and _connected(host.mesh, host.devices):
        inside = _level(
            "half",
            hosts * 2,
            host.devices // 2,
            host.mesh.wire,
            _narrowest(host.mesh, host.devices),
        )
    elif host.pcie is not None and host.pcie.between is not None and len(host.pcie.cpus) > 1:
        inside = _level(
            "cpu",
            hosts * len(host.pcie.cpus),
            host.devices // len(host.pcie.cpus),
            host.pcie.between,
            1,
        )
    elif host.pcie is not None:
        inside = _level("device", devices, 1, host.pcie.wire, 1)
    levels = [inside] if inside is not None else []
    if host.cards is not None and hosts > 1:
        levels.append(_level("host", hosts, host.devices, host.cards.wire, len(host.cards.under)))
    return levels


def _level(name: str, groups: int, ranks: int, wire: Wire, times: float) -> Level:
    return Level(name, groups, ranks, wire.bandwidth_bytes_per_s * times, wire.latency_s)


def _connected(mesh: Mesh, devices: int) -> bool:
    seen, todo = {0}, [0]
    while todo:
        at = todo.pop()
        near = {b if a == at else a for a, b, _ in mesh.links if at in (a, b)} - seen
        seen |= near
        todo += near
    return len(seen) == devices


def _narrowest(mesh: Mesh, devices: int) -> int:
    """Minimum number of links between two halves of a mesh (contiguous halves above 16 devices)."""
    if devices <= 16:
        halves = ({0, *rest} for rest in combinations(range(1, devices), devices // 2 - 1))
    else:
        halves = ({(at + n) % devices for n in range(devices // 2)} for at in range(devices))
    return min(sum(n for a, b, n in mesh.links if (a in half) != (b in half)) for half in halves)
