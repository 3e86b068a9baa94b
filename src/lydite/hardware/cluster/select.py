"""Clusters by name: from the catalog, from files, and as "DEVICE x N"."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path

from lydite.errors import InputError, unknown_name
from lydite.hardware.chip import chip_names
from lydite.hardware.cluster.build import build_cluster
from lydite.hardware.cluster.design import (
    MAX_HOSTS,
    WORLD_GRID_KG_PER_KWH,
    WORLD_GRID_SOURCE,
    Cards,
    ClusterDesign,
    Fabric,
    Host,
    Wire,
)
from lydite.hardware.cluster.files import foreign_cluster
from lydite.hardware.cluster.topology import Cluster, Economics
from lydite.hardware.device import Device
from lydite.hardware.kept import kept
from lydite.hardware.spec import find_device, known_devices

_TIMES = re.compile(r"^(.*\S)\s+[x×*]\s*(\d+)$")
FOREIGN_BYTES = 1 << 26
"""Maximum bytes of a cluster file; other simulators generate long ones."""

# Network of a device without a cluster of its own: one 400 Gb/s port per device.
PORT_BYTES_PER_S = 50e9
PORT_LATENCY_S = 1e-6


def read_cluster(text: str, devices: int | None = None, *, device: str | None = None) -> Cluster:
    """Select a cluster from what a user types.

    Args:
        text: "dgx-a100", "h100-superpod x 64" (hosts), "my.yaml", "my.yaml x 4", AISim's
            "resource_pool.yaml", or "DEVICE x 64": that many of a device on one switch.
        devices: Number of ranks in use, the first ones; None for all.
        device: Device to use instead of the cluster's own; required for AISim's files.

    Raises:
        InputError: an unknown name (the error suggests the nearest one), an invalid file, or more
            devices than the cluster has.
    """
    match = _TIMES.match(text.strip())
    name, times = (match[1], int(match[2])) if match else (text.strip(), None)
    if times is not None and not 1 <= times <= MAX_HOSTS:
        raise InputError(f"'{text}' has {times} hosts", allowed=f"1 to {MAX_HOSTS}")
    other = None if device is None else find_device(device)
    cluster = _selected(name, times, other)
    return cluster if devices is None else cluster.first(devices)


def known_clusters() -> dict[str, ClusterDesign]:
    """All clusters of the catalog by name."""
    return dict(_catalog()[0])


def make_cluster(
    device: Device | str,
    hosts: int,
    devices_per_host: int,
    intra_bandwidth: float,
    inter_bandwidth: float,
    intra_latency: float = 1e-6,
    inter_latency: float = 2e-6,
    nics_per_host: int = 1,
    name: str = "",
) -> Cluster:
    """A plain cluster: a switch in each host, cards shared by its devices, one switch for hosts.

    Args:
        device: Device at every rank, or its name.
        hosts: Number of hosts.
        devices_per_host: Number of devices per host.
        intra_bandwidth: Bandwidth of a device to the switch of its host, bytes/s each way.
        inter_bandwidth: Bandwidth of a network card, bytes/s each way.
        intra_latency: Latency between devices of a host in seconds.
        inter_latency: Latency between cards in seconds.
        nics_per_host: Number of network cards per host.
        name: Name for messages.

    Raises:
        InputError: a count below 1, a rate that is not above 0, or a negative latency.
    """
    counts = {"hosts": hosts, "devices_per_host": devices_per_host, "nics_per_host": nics_per_host}
    rates = {"intra_bandwidth": intra_bandwidth, "inter_bandwidth": inter_bandwidth}
    delays = {"intra_latency": intra_latency, "inter_latency": inter_latency}
    for field, value in (counts | rates | delays).items():
        least = 1 if field in counts else 0
        if not least <= value < float("inf") or (field in rates and value == 0):
            raise InputError(
                f"{field} is {value:g}",
                allowed="1 or more" if field in counts else "> 0" if field in rates else ">= 0",
            )
    each_device = find_device(device) if isinstance(device, str) else device
    inside = Wire("nvswitch", intra_bandwidth, intra_latency / 2)
    cable = Wire("ib", inter_bandwidth, inter_latency / 2)
    host = Host(
        devices_per_host,
        switch=inside if devices_per_host > 1 else None,
        cards=Cards(cable, tuple(range(nics_per_host))) if hosts > 1 else None,
    )
    title = f"{hosts} x {devices_per_host} {each_device.title}"
    fabric = Fabric("switch", cable) if hosts > 1 else None
    sources = {"": "given", "grid": WORLD_GRID_SOURCE}
    economics = Economics(grid_kg_per_kwh=WORLD_GRID_KG_PER_KWH)
    return build_cluster(name or title, title, each_device, hosts, host, fabric, economics, sources)


def _selected(name: str, times: int | None, device: Device | None) -> Cluster:
    designs, aliases = _catalog()
    design = designs.get(aliases.get(name.lower(), name.lower()))
    if design is None and name.endswith((".yaml", ".yml")):
        from lydite.hardware.cluster.yaml_file import design_of
        from lydite.hardware.spec_file import read_spec

        file = read_spec(name, "a cluster file", most_bytes=FOREIGN_BYTES)
        foreign = foreign_cluster(file.document, name, times, device)
        if foreign is not None:
            return foreign
        if not ("peak" in file.document or "array" in file.document):
            design = _beside(design_of(file), name)
    if design is not None:
        return _built(design, times, device)
    try:
        named_device = find_device(name)
    except InputError as error:
        if name.endswith((".yaml", ".yml")):
            raise
        known = [*designs, *aliases, *known_devices(), *chip_names()]
        raise unknown_name("cluster", name, known, "a .yaml file or 'DEVICE x N'") from error
    if times is None:
        boxes = [
            design.name
            for design in designs.values()
            if find_device(design.device).name == named_device.name
        ]
        raise InputError(
            f"'{name}' is a device, not a cluster",
            allowed=", ".join([*boxes, f"'{name} x N'"]),
        )
    cluster = make_cluster(
        named_device,
        times,
        1,
        PORT_BYTES_PER_S,
        PORT_BYTES_PER_S,
        inter_latency=PORT_LATENCY_S,
        name=f"{name} x {times}",
    )
    assumed = "assumed: one 400 Gb/s port per device, 1 us from card to card, one switch"
    return replace(cluster, sources={**cluster.sources, "": assumed})


def _beside(design: ClusterDesign, name: str) -> ClusterDesign:
    """The design of a file with its device looked up, also in the folder of the file."""
    near = Path(name).parent / design.device
    device = (
        str(near) if design.device.endswith((".yaml", ".yml")) and near.is_file() else design.device
    )
    try:
        find_device(device)
    except InputError as error:
        where = f"{name}: {error.where or 'device'}"
        raise InputError(error.what, where=where, allowed=error.allowed, hint=error.hint) from error
    return replace(design, device=device)


def _built(design: ClusterDesign, times: int | None, device: Device | None) -> Cluster:
    hosts = times or design.hosts
    name = design.name if times is None else f"{design.name} x {hosts}"
    cluster = build_cluster(
        name,
        design.title,
        device or find_device(design.device),
        hosts,
        design.host,
        design.fabric,
        design.economics,
        design.sources,
    )
    return replace(cluster, collectives=design.collectives)


@cache
def _catalog() -> tuple[dict[str, ClusterDesign], dict[str, str]]:
    designs: dict[str, ClusterDesign] = {}
    aliases: dict[str, str] = {}
    folder = resources.files("lydite.hardware.catalog.clusters")
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".yaml"):
            design = _in_catalog(entry.name, entry.read_text())
            designs[design.name] = design
            aliases |= dict.fromkeys(design.aliases, design.name)
    return designs, aliases


def _in_catalog(file: str, text: str) -> ClusterDesign:
    def read() -> ClusterDesign:
        from lydite.hardware.cluster.yaml_file import design_of
        from lydite.hardware.spec_file import parse_spec

        return design_of(parse_spec(text, file, "a cluster file"))

    return kept(f"clusters-{file.removesuffix('.yaml')}", text, read)
