"""Cluster files: YAML with units, validated by pydantic and converted to a design."""

from __future__ import annotations

from itertools import chain
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lydite.errors import InputError, UnitError
from lydite.hardware.cluster.design import (
    MAX_HOSTS,
    WORLD_GRID_KG_PER_KWH,
    WORLD_GRID_SOURCE,
    Cards,
    ClusterDesign,
    Fabric,
    Host,
    Mesh,
    Pcie,
    Wire,
)
from lydite.hardware.cluster.topology import Economics
from lydite.hardware.spec_file import SpecFile

Sharing = Literal["fair", "fifo"]
Count = Annotated[int, Field(ge=1, le=1024)]
Index = Annotated[int, Field(ge=0)]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SwitchSpec(_Spec):
    """A switch between all devices of a host; the bandwidth is that of one device, each way."""

    kind: Literal["nvswitch", "xgmi", "pcie", "ethernet"] = "nvswitch"
    bandwidth_each_way: str
    latency: str
    sharing: Sharing = "fair"


class MeshSpec(_Spec):
    """Direct links between devices: [device, device, number of links]."""

    kind: Literal["nvlink", "xgmi", "pcie", "ethernet"] = "nvlink"
    link_bandwidth_each_way: str
    latency: str
    sharing: Sharing = "fair"
    links: Annotated[list[tuple[Index, Index, Count]], Field(min_length=1)]


class PcieSpec(_Spec):
    """A PCIe tree; `cpus` lists the switches of each CPU (its devices, without switches)."""

    bandwidth_each_way: str
    latency: str
    sharing: Sharing = "fair"
    switches: list[list[Index]] = []
    cpus: list[list[Index]]
    cpu_bandwidth_each_way: str | None = None
    cpu_latency: str | None = None


class NicSpec(_Spec):
    """Network cards of a host; `under` gives the PCIe switch (or CPU) of each."""

    count: Count
    kind: Literal["ib", "ethernet"] = "ib"
    rate: str
    latency: str
    sharing: Sharing = "fair"
    under: list[Index] | None = None


class FabricSpec(_Spec):
    """The network between hosts; links between switches have the cards' rate unless given."""

    kind: Literal["none", "switch", "leaf-spine", "rail-optimised"]
    latency: str = "0 s"
    rate: str | None = None
    sharing: Sharing = "fair"
    hosts_per_leaf: Count = 32
    oversubscription: Annotated[float, Field(gt=0, le=1024)] = 1.0
    radix: Annotated[int, Field(ge=2)] = 64


class CollectiveSpec(_Spec):
    """Algorithm and protocol of a kind of collective; omitted fields are chosen as in NCCL."""

    algorithm: str | None = None
    protocol: Literal["LL", "LL128", "Simple"] | None = None


CollectiveName = Literal["allreduce", "allgather", "reducescatter", "broadcast", "alltoall", "send"]


class ClusterSpec(_Spec):
    """The fields of a cluster file; quantities are text with units ("300 GB/s", "2 us")."""

    schema_version: int = Field(default=1, ge=1, le=1)
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.\-]*$")
    title: str
    aliases: list[str] = []
    device: str
    devices_per_host: Count
    hosts: Annotated[int, Field(ge=1, le=MAX_HOSTS)] = 1
    switch: SwitchSpec | None = None
    mesh: MeshSpec | None = None
    pcie: PcieSpec | None = None
    nics: NicSpec | None = None
    fabric: FabricSpec | None = None
    collectives: dict[CollectiveName, CollectiveSpec] = {}
    host_power: str | None = None
    price_per_device_hour: str | None = None
    grid: str | None = None
    pue: Annotated[float, Field(ge=1, le=10)] | None = None
    sources: dict[str, str]


def json_schema() -> dict[str, Any]:
    """JSON Schema of a cluster file, for editors."""
    return ClusterSpec.model_json_schema()


def design_of(file: SpecFile) -> ClusterDesign:
    """The design in a cluster file.

    Raises:
        InputError: a field is missing, unknown or out of range (the error names it, its line and
            the allowed values), or numbers do not fit together.
        UnitError: a quantity has the wrong unit, or a rate is not above 0.
    """
    return _Reader(file.validated(ClusterSpec, "a cluster", _SECTIONS), file).design()


_SECTIONS: dict[str, type[_Spec]] = {
    "switch": SwitchSpec,
    "mesh": MeshSpec,
    "pcie": PcieSpec,
    "nics": NicSpec,
    "fabric": FabricSpec,
}


class _Reader:
    """Converts the fields of one file to SI units."""

    def __init__(self, spec: ClusterSpec, file: SpecFile) -> None:
        self.spec, self.file = spec, file

    def design(self) -> ClusterDesign:
        spec = self.spec
        sources = dict(spec.sources)
        if spec.grid is None:
            sources.setdefault("grid", WORLD_GRID_SOURCE)
        return ClusterDesign(
            name=spec.name,
            title=spec.title,
            aliases=tuple(name.lower() for name in spec.aliases),
            device=spec.device,
            hosts=spec.hosts,
            host=Host(spec.devices_per_host, self.switch(), self.mesh(), self.pcie(), self.cards()),
            fabric=self.fabric(),
            economics=Economics(
                self.optional(spec.price_per_device_hour, "USD/h", "price_per_device_hour"),
                self.grid(),
                spec.pue,
                self.optional(spec.host_power, "W", "host_power"),
            ),
            sources=sources,
            collectives={
                name: (chosen.algorithm, chosen.protocol)
                for name, chosen in spec.collectives.items()
            },
        )

    def optional(self, text: str | None, unit: str, field: str) -> float | None:
        return None if text is None else self.file.quantity(text, unit, field)

    def grid(self) -> float:
        grams = self.optional(self.spec.grid, "g/kWh", "grid")
        return WORLD_GRID_KG_PER_KWH if grams is None else grams / 1000

    def at(self, field: str) -> str:
        return self.file.at(field)

    def wire(self, link_type: str, rate: str, latency: str, sharing: str, field: str) -> Wire:
        bandwidth = self.file.quantity(rate, "B/s", field)
        if bandwidth <= 0:
            raise UnitError(f"the bandwidth '{rate}' is zero", where=self.at(field), allowed="> 0")
        section = field.split(".")[0]
        seconds = self.file.quantity(latency, "s", f"{section}.latency")
        return Wire(link_type, bandwidth, seconds, sharing == "fifo")

    def switch(self) -> Wire | None:
        s = self.spec.switch
        if s is None:
            return None
        return self.wire(
            s.kind, s.bandwidth_each_way, s.latency, s.sharing, "switch.bandwidth_each_way"
        )

    def mesh(self) -> Mesh | None:
        m = self.spec.mesh
        if m is None:
            return None
        self.known(chain.from_iterable(link[:2] for link in m.links), "device", "mesh.links")
        ends = [frozenset(link[:2]) for link in m.links]
        for at, (end, link) in enumerate(zip(ends, m.links, strict=True)):
            if len(end) == 1 or end in ends[:at]:
                fault = "joins a device to itself" if len(end) == 1 else "is listed twice"
                raise InputError(
                    f"link {list(link)} {fault}",
                    where=self.at("mesh.links"),
                    allowed="each pair of devices once; links go both ways",
                )
        wire = self.wire(
            m.kind, m.link_bandwidth_each_way, m.latency, m.sharing, "mesh.link_bandwidth_each_way"
        )
        return Mesh(wire, tuple(m.links))

    def pcie(self) -> Pcie | None:
        p = self.spec.pcie
        if p is None:
            return None
        self.once(p.switches, "device", "pcie.switches")
        under = len(p.switches) if p.switches else self.spec.devices_per_host
        self.once(p.cpus, "switch" if p.switches else "device", "pcie.cpus", under)
        between = None
        if p.cpu_bandwidth_each_way is not None:
            between = self.wire(
                "cpu",
                p.cpu_bandwidth_each_way,
                p.cpu_latency or p.latency,
                p.sharing,
                "pcie.cpu_bandwidth_each_way",
            )
        elif len(p.cpus) > 1:
            raise InputError(
                f"{len(p.cpus)} CPUs that nothing joins",
                where=self.at("pcie"),
                allowed="cpu_bandwidth_each_way",
            )
        wire = self.wire(
            "pcie", p.bandwidth_each_way, p.latency, p.sharing, "pcie.bandwidth_each_way"
        )
        return Pcie(wire, tuple(map(tuple, p.switches)), tuple(map(tuple, p.cpus)), between)

    def cards(self) -> Cards | None:
        n, p = self.spec.nics, self.spec.pcie
        if n is None:
            return None
        places = len(p.switches or p.cpus) if p is not None else n.count
        under = (
            n.under if n.under is not None else [at * places // n.count for at in range(n.count)]
        )
        if len(under) != n.count:
            raise InputError(
                f"{len(under)} places for {n.count} cards", where=self.at("nics.under")
            )
        self.known(under, "PCIe switch" if p is None or p.switches else "CPU", "nics.under", places)
        return Cards(self.wire(n.kind, n.rate, n.latency, n.sharing, "nics.rate"), tuple(under))

    def fabric(self) -> Fabric | None:
        f, n = self.spec.fabric, self.spec.nics
        if f is None or f.kind == "none":
            return None
        if n is None:
            raise InputError(
                "a fabric needs network cards", where=self.at("fabric"), allowed="nics"
            )
        wire = self.wire(n.kind, f.rate or n.rate, f.latency, f.sharing, "fabric.rate")
        return Fabric(f.kind, wire, f.hosts_per_leaf, f.oversubscription, f.radix)

    def known(self, numbers: Any, what: str, field: str, count: int | None = None) -> None:
        count = self.spec.devices_per_host if count is None else count
        for number in numbers:
            if number >= count:
                raise InputError(
                    f"no {what} {number}", where=self.at(field), allowed=f"0 to {count - 1}"
                )

    def once(
        self, groups: list[list[int]], what: str, field: str, count: int | None = None
    ) -> None:
        """Check that every number below `count` is in exactly one group."""
        if not groups:
            return
        numbers = list(chain.from_iterable(groups))
        self.known(numbers, what, field, count)
        count = self.spec.devices_per_host if count is None else count
        for number in range(count):
            if numbers.count(number) != 1:
                times = "listed more than once" if number in numbers else "not listed"
                raise InputError(
                    f"{what} {number} is {times}",
                    where=self.at(field),
                    allowed=f"each of 0 to {count - 1} once",
                )
