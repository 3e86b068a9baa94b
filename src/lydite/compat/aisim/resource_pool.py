"""AISim's `resource_pool.yaml`, both ways.

    Server: {host: {CPU|GPU: {index: {properties: {average_performance: 12Tibps}, links: [...]}}}}
    Switch: {name: {links: [...]}}
    link:   {dest: /server/host/GPU/0/, type: PCIE|RDMA, rate: 100Gibps,
             propagation_latency: 2us, scheduler: FIFO|FairSharing}

`average_performance` counts bits a second, not work: a GPU's is taken as its speed relative to the
fastest. What a device can do comes from the device named beside the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from lydite.errors import InputError, UnitError, unknown_name
from lydite.files import write_atomic
from lydite.hardware import Device, read_spec
from lydite.hardware.cluster import (
    CPU,
    DEVICE,
    LINK_KINDS,
    SWITCH,
    WORLD_GRID_KG_PER_KWH,
    WORLD_GRID_SOURCE,
    Cluster,
    Economics,
    Links,
    Nodes,
    Router,
    check_reachable,
)
from lydite.records import dataclass
from lydite.units import parse_quantity

_MOST_BYTES = 1 << 26
_TYPES = {"PCIE": "pcie", "RDMA": "ib"}
_SCHEDULERS = {"FIFO": True, "FairSharing": False}
_KINDS = {"CPU": CPU, "GPU": DEVICE}
_FIELDS = ("dest", "type", "rate", "propagation_latency", "scheduler")
_BINARY = (("Ti", 2.0**40), ("Gi", 2.0**30), ("Mi", 2.0**20), ("Ki", 2.0**10), ("", 1.0))


def is_resource_pool(raw: Any) -> bool:
    """Whether a YAML document is one."""
    return isinstance(raw, dict) and ("Server" in raw or "Switch" in raw)


def read_resource_pool(path: Path | str, device: Device) -> Cluster:
    """Read AISim's file.

    Args:
        path: of the file.
        device: what its GPUs are.

    Raises:
        InputError: not such a file, a link to nowhere or one without its twin between GPUs and
            switches, an unknown type or scheduler, GPUs that cannot reach each other.
        UnitError: a quantity in the wrong unit, or a rate that is not above 0.
    """
    raw = read_spec(path, "a resource pool", most_bytes=_MOST_BYTES).document
    if not is_resource_pool(raw):
        raise InputError("not a resource pool", where=str(path), allowed="Server, Switch")
    return pool_cluster(raw, str(path), device)


def pool_cluster(raw: Mapping[str, Any], where: str, device: Device) -> Cluster:
    """As `read_resource_pool`, of the document."""
    entries = list(_entries(raw, where))
    names = [entry[0] for entry in entries]
    kind = np.array([entry[1] for entry in entries], np.int8)
    if not (kind == DEVICE).any():
        raise InputError("no GPU", where=where, allowed="Server.<host>.GPU.<index>")
    nodes = Nodes(
        kind,
        np.array([entry[2] for entry in entries], np.int32),
        np.array([entry[3] for entry in entries], np.int32),
    )
    quantity = _cached_quantity()
    performance = np.array(
        [
            _performance(name, entry[4], where, quantity)
            for name, entry in zip(names, entries, strict=True)
        ]
    )
    links = _links(names, [entry[4] for entry in entries], where, quantity)
    devices = np.flatnonzero(kind == DEVICE).astype(np.int32)
    speed = performance[devices]
    cluster = Cluster(
        name=Path(where).stem,
        title=f"AISim's resource pool {Path(where).name}",
        device=device,
        nodes=nodes,
        links=links,
        device_node=devices,
        device_factor=speed / speed.max(),
        router=Router(nodes, links),
        economics=Economics(grid_kg_per_kwh=WORLD_GRID_KG_PER_KWH),
        sources={"": where, "grid": WORLD_GRID_SOURCE},
        labels=tuple(names),
        performance=performance,
        warnings=_one_way(links, names, kind, where),
    )
    check_reachable(cluster)
    return cluster


def _entries(
    raw: Mapping[str, Any], where: str
) -> Iterator[tuple[str, int, int, int, Mapping[str, Any]]]:
    """(name, node kind, host, index, fields) of every node in the order of the file."""
    for host, (host_name, kinds) in enumerate(_mapping(raw.get("Server"), "Server", where)):
        for kind, devices in _mapping(kinds, f"Server.{host_name}", where):
            if kind not in _KINDS:
                raise unknown_name("kind of device", str(kind), _KINDS)
            for index, fields in _mapping(devices, f"Server.{host_name}.{kind}", where):
                name = f"/server/{host_name}/{kind}/{index}/"
                if (
                    not isinstance(index, int)
                    or not 0 <= index < 1 << 30
                    or not isinstance(fields, dict)
                ):
                    raise InputError(
                        f"'{name}' is no device", where=where, allowed="a number with fields"
                    )
                yield name, _KINDS[kind], host, index, fields
    for index, (name, fields) in enumerate(_mapping(raw.get("Switch"), "Switch", where)):
        if not isinstance(fields, dict):
            raise InputError(f"'/switch/{name}/' has no fields", where=where, allowed="links")
        yield f"/switch/{name}/", SWITCH, -1, index, fields


def _mapping(value: Any, field: str, where: str) -> list[tuple[Any, Any]]:
    if value is None:
        return []
    if not isinstance(value, dict):
        raise InputError(f"'{field}' is no mapping", where=where)
    return list(value.items())


Quantity = Callable[[Any, str], float]


def _cached_quantity() -> Quantity:
    # A pool repeats a handful of texts thousands of times.
    return cache(lambda text, unit: parse_quantity(text, unit))


def _read(quantity: Quantity, text: Any, unit: str, where: str) -> float:
    if not isinstance(text, str):
        raise UnitError(f"'{text}' has no unit", where=where, allowed=f"such as '2 {unit}'")
    try:
        return quantity(text, unit)
    except UnitError as error:
        raise UnitError(error.what, where=where, allowed=error.allowed) from error


def _performance(name: str, fields: Mapping[str, Any], where: str, quantity: Quantity) -> float:
    if name.startswith("/switch/"):
        return np.nan
    properties = fields.get("properties")
    text = properties.get("average_performance") if isinstance(properties, dict) else None
    at = f"{where}: {name}: average_performance"
    if text is None:
        raise InputError("missing", where=at)
    value = 8 * _read(quantity, text, "B/s", at)
    if value <= 0:
        raise UnitError(f"'{text}' does nothing", where=at, allowed="> 0")
    return value


def _links(
    names: list[str], fields: list[Mapping[str, Any]], where: str, quantity: Quantity
) -> Links:
    number = {name: at for at, name in enumerate(names)}
    rows: list[tuple[int, int, float, float, int, bool]] = []
    for source, (name, node) in enumerate(zip(names, fields, strict=True)):
        links = node.get("links") or []
        if not isinstance(links, list):
            raise InputError("'links' is no list", where=f"{where}: {name}")
        for link in links:
            rows.append((source, *_link(link, f"{where}: {name}", number, quantity)))
    columns = list(zip(*rows, strict=True)) or [()] * 6
    source, target = (np.array(column, np.int32) for column in columns[:2])
    return Links(
        source,
        target,
        np.array(columns[2], float),
        np.array(columns[3], float),
        np.array(columns[4], np.int8),
        np.array(columns[5], bool),
        _twins(source, target),
    )


def _link(
    link: Any, where: str, number: Mapping[str, int], quantity: Quantity
) -> tuple[int, float, float, int, bool]:
    if not isinstance(link, dict) or set(link) != set(_FIELDS):
        raise InputError("a link with other fields", where=where, allowed=", ".join(_FIELDS))
    link = {
        field: value if isinstance(value, str | int | float) else str(value)
        for field, value in link.items()
    }
    if link["dest"] not in number:
        raise unknown_name("destination", str(link["dest"]), number, f"in a link of {where}")
    for field, known in (("type", _TYPES), ("scheduler", _SCHEDULERS)):
        if link[field] not in known:
            raise InputError(
                f"'{link[field]}' is no {field}",
                where=f"{where} to {link['dest']}",
                allowed=", ".join(known),
            )
    at = f"{where} to {link['dest']}"
    rate = _read(quantity, link["rate"], "B/s", f"{at}: rate")
    if rate <= 0:
        raise UnitError(f"'{link['rate']}' moves nothing", where=f"{at}: rate", allowed="> 0")
    latency = _read(quantity, link["propagation_latency"], "s", f"{at}: propagation_latency")
    kind = LINK_KINDS.index(_TYPES[link["type"]])
    return number[link["dest"]], rate, latency, kind, _SCHEDULERS[link["scheduler"]]


def _twins(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The k-th link back of the k-th link between the same two nodes; -1 where there is none."""
    links: dict[tuple[int, int], list[int]] = {}
    for at, ends in enumerate(zip(source.tolist(), target.tolist(), strict=True)):
        links.setdefault(ends, []).append(at)
    twin = np.full(len(source), -1, np.int32)
    for (one, other), there in links.items():
        for at, back in zip(there, links.get((other, one), ()), strict=False):
            twin[at] = back
    return twin


def _one_way(links: Links, names: list[str], kind: np.ndarray, where: str) -> tuple[str, ...]:
    """Refuse one-way links that ranks could use; AISim's files have some at CPUs: tell of them."""
    found = []
    for at in np.flatnonzero(links.twin < 0):
        one, other = int(links.source[at]), int(links.target[at])
        if CPU not in (kind[one], kind[other]):
            raise InputError(
                f"the link from {names[one]} to {names[other]} has no twin back", where=where
            )
        found.append(f"{names[one]} to {names[other]}")
    if not found:
        return ()
    return (f"{len(found)} links of CPUs have no twin back, such as {found[0]}",)


def write_resource_pool(cluster: Cluster, path: Path | str) -> Path:
    """Write AISim's file: every node and link, what is neither GPU nor CPU as a switch.

    AISim knows PCIE and RDMA only: links within a host become PCIE. A GPU of a cluster that came
    from elsewhere gets its memory bandwidth as `average_performance`.

    Raises:
        LyditeError: the file cannot be written.
    """
    names = [cluster.node_name(node) for node in range(len(cluster.nodes))]
    links: list[list[dict[str, str]]] = [[] for _ in names]
    column = cluster.links
    for at in range(len(column)):
        links[column.source[at]].append(
            {
                "dest": names[column.target[at]],
                "type": "RDMA" if LINK_KINDS[column.kind[at]] in ("ib", "ethernet") else "PCIE",
                "rate": _bits(8 * float(column.bandwidth_bytes_per_s[at])),
                "propagation_latency": _microseconds(float(column.latency_s[at])),
                "scheduler": "FIFO" if column.fifo[at] else "FairSharing",
            }
        )
    pool: dict[str, Any] = {"Server": {}, "Switch": {}}
    for node, name in enumerate(names):
        kind, *parts = name.strip("/").split("/")
        if kind == "switch":
            pool["Switch"]["/".join(parts)] = {"links": links[node]}
            continue
        devices = pool["Server"].setdefault(parts[0], {}).setdefault(parts[1], {})
        rate = _bits(_speed(cluster, node))
        devices[int(parts[2])] = {"links": links[node], "properties": {"average_performance": rate}}
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return write_atomic(Path(path), yaml.dump(pool, Dumper=dumper, sort_keys=False))


def _speed(cluster: Cluster, node: int) -> float:
    if cluster.performance is not None:
        return float(cluster.performance[node])
    factor = cluster.device_factor[cluster.device_node == node]
    return 8 * cluster.device.memory_bandwidth * float(factor[0] if len(factor) else 1.0)


def _bits(rate: float) -> str:
    """Exact: the shortest text that reads back as the same number."""
    return min((f"{_plain(rate / scale)}{prefix}bps" for prefix, scale in _BINARY), key=len)


def _microseconds(seconds: float) -> str:
    text = f"{_plain(seconds * 1e6)}us"
    return text if parse_quantity(text, "s") == seconds else f"{_plain(seconds)}s"


def _plain(number: float) -> str:
    return repr(number).removesuffix(".0")


@dataclass(frozen=True)
class _ResourcePool:
    """A pool, for the registry of cluster files."""

    title: str = "AISim's resource pools"

    def claims(self, document: Mapping[str, Any]) -> bool:
        """Whether servers or switches are listed as AISim lists them."""
        return is_resource_pool(document)

    def cluster(self, document: Mapping[str, Any], where: str, device: Device) -> Cluster:
        """The cluster, whose GPUs are of that device."""
        return pool_cluster(document, where, device)


AISIM = _ResourcePool()
