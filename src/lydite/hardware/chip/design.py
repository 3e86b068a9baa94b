"""A chip that need not exist: its array, scratchpads, memory system and processor, in SI units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lydite.errors import unknown_name
from lydite.hardware.chip.arrays import ArrayParameters
from lydite.hardware.chip.dram import Dram
from lydite.results import OneLine


@dataclass(frozen=True, slots=True)
class Scratchpad:
    """On-chip memory that the program manages.

    Attributes:
        name: what it holds.
        bytes: of it.
        banks: that can be read in the same cycle.
        ports: of a bank.
        word_bytes: that a port gives in a cycle.
    """

    name: str
    bytes: int
    banks: int = 8
    ports: int = 1
    word_bytes: int = 4

    @property
    def bytes_per_cycle(self) -> int:
        """Of all banks and ports."""
        return self.banks * self.ports * self.word_bytes


@dataclass(frozen=True, slots=True)
class VectorUnit:
    """What is not a product: `lanes` elements a cycle, of `special` functions fewer."""

    lanes: int = 8
    special_cycles: float = 4.0


@dataclass(frozen=True, slots=True)
class Dma:
    """Who moves data between memory and scratchpads.

    Attributes:
        channels: transfers at once.
        chunk_bytes: of one request.
        page_bytes: a transfer is cut into pages of this size.
        setup_cycles: before each page, on its channel.
        requests: in flight, of each channel.
    """

    channels: int = 1
    chunk_bytes: int = 64
    page_bytes: int = 4096
    setup_cycles: int = 0
    requests: int = 16


INTERFACES = ("dma", "acp", "cache")


@dataclass(frozen=True, slots=True)
class Interface:
    """How accelerator and processor keep the same view of memory.

    Attributes:
        kind: "dma": what the processor's caches hold is flushed and invalidated line by line;
            "acp": the accelerator asks the last-level cache, coherently; "cache": that cache is its
            own, without the port's latency.
        line_bytes: of a cache line.
        flush_cycles, invalidate_cycles: of a line.
        acp_latency_cycles, acp_requests: of the coherent port, and how many lines are in flight
            (of "cache" as well).
    """

    kind: str = "dma"
    line_bytes: int = 32
    flush_cycles: int = 12
    invalidate_cycles: int = 12
    acp_latency_cycles: int = 20
    acp_requests: int = 16

    def __post_init__(self) -> None:
        if self.kind not in INTERFACES:
            raise unknown_name("interface", self.kind, INTERFACES)


@dataclass(frozen=True, slots=True)
class LastLevelCache:
    """The cache that processor and accelerators share; tensors are in it whole or not at all."""

    bytes: int
    hit_cycles: int = 20


TOPOLOGIES = ("mesh", "ring", "crossbar")


@dataclass(frozen=True, slots=True)
class Noc:
    """A network on chip between the memory's port and the accelerators.

    Attributes:
        topology: "mesh": rows of `columns` nodes, along the row first; "ring": the shorter way;
            "crossbar": a link for each accelerator.
        link_bytes_per_s: of a link, each way.
        hop_cycles: of a link, at the accelerators' clock.
        columns: of a mesh; 0 for the smallest square that holds all.
    """

    topology: str
    link_bytes_per_s: float
    hop_cycles: int = 1
    columns: int = 0

    def __post_init__(self) -> None:
        if self.topology not in TOPOLOGIES:
            raise unknown_name("topology", self.topology, TOPOLOGIES)


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processor that prepares tiles, launches invocations and runs what the array cannot.

    Attributes:
        cores: of which one launches.
        clock_hz: of them.
        copy_bytes_per_cycle: that a core moves when it scatters or gathers a tile.
        flops_per_cycle: of a core, for operators that it runs itself.
        launch_cycles: of one invocation.
        operator_cycles: of an operator: looking it up, allocating, waking threads.
        memory_bytes_per_s: that all cores together reach.
    """

    cores: int = 1
    clock_hz: float = 1e9
    copy_bytes_per_cycle: float = 1.0
    flops_per_cycle: float = 2.0
    launch_cycles: int = 2700
    operator_cycles: int = 1000
    memory_bytes_per_s: float = 6.4e9


@dataclass(frozen=True, repr=False)
class Chip(OneLine):
    """All of it.

    Attributes:
        name, title: how it is asked for, and what it is.
        clock_hz: of the accelerator.
        dtype: of the data that it computes with.
        array: what multiplies.
        scratchpads: by what they hold; `scratchpad` finds one.
        vector: what is not a product.
        dma, interface, cache, dram, cpu: the system around it.
        accelerators: how many there are, each with its own scratchpads.
        bus_bytes_per_s: between memory and all accelerators.
        noc: what lies between that bus and each of them, if anything does.
        node_nm: technology, for energy and area.
        registers_bytes: of one accelerator, beside its scratchpads; 0 where nobody counted them.
        sources: where each figure comes from, by its name in a chip file; "" is the source of all
            others.
    """

    name: str
    title: str
    clock_hz: float
    dtype: str
    array: ArrayParameters
    scratchpads: tuple[Scratchpad, ...]
    dram: Dram
    vector: VectorUnit = VectorUnit()
    dma: Dma = Dma()
    interface: Interface = Interface()
    cache: LastLevelCache | None = None
    cpu: Cpu = Cpu()
    accelerators: int = 1
    bus_bytes_per_s: float = float("inf")
    node_nm: float = 40.0
    registers_bytes: int = 0
    noc: Noc | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def peak_flops(self) -> float:
        """FLOP/s of all arrays, two for a multiply-accumulate."""
        return 2.0 * self.array.macs * self.clock_hz * self.accelerators

    @property
    def has_smv(self) -> bool:
        """Whether the array is SMAUG's, whose results SMAUG's commands can print."""
        return self.array.kind == "smv"

    @property
    def scratchpad_bytes(self) -> int:
        """Of one accelerator."""
        return sum(pad.bytes for pad in self.scratchpads)

    def scratchpad(self, name: str) -> Scratchpad:
        """The scratchpad of that name.

        Raises:
            InputError: there is none (with the nearest name).
        """
        for pad in self.scratchpads:
            if pad.name == name:
                return pad
        raise unknown_name("scratchpad", name, [pad.name for pad in self.scratchpads])

    def source(self, field_name: str) -> str:
        """Where a figure comes from."""
        return self.sources.get(field_name, self.sources.get("", "unknown"))

    def headline(self) -> str:
        """Name, title and data type."""
        return f"{self.name}: {self.title}, {self.dtype}"
