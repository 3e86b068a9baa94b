"""The design of a chip: its array, scratchpads, memory system and processor, in SI units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from lydite.errors import unknown_name
from lydite.hardware.chip.arrays import ArrayParameters
from lydite.hardware.chip.dram import Dram
from lydite.records import dataclass
from lydite.results import OneLine


@dataclass(frozen=True, slots=True)
class Scratchpad:
    """On-chip memory that the program manages.

    Attributes:
        name: Name, such as the operand that it holds.
        bytes: Capacity in bytes.
        banks: Number of banks that can be read in the same cycle.
        ports: Number of ports of a bank.
        word_bytes: Bytes that a port reads or writes per cycle.
    """

    name: str
    bytes: int
    banks: int = 8
    ports: int = 1
    word_bytes: int = 4

    @property
    def bytes_per_cycle(self) -> int:
        """Bytes per cycle of all banks and ports."""
        return self.banks * self.ports * self.word_bytes


@dataclass(frozen=True, slots=True)
class VectorUnit:
    """Unit that runs operators without products.

    Attributes:
        lanes: Number of elements per cycle.
        special_cycles: Cycles of an exponential, a root or another special function.
    """

    lanes: int = 8
    special_cycles: float = 4.0


@dataclass(frozen=True, slots=True)
class Dma:
    """Engine that moves data between memory and scratchpads.

    Attributes:
        channels: Number of transfers that run at once.
        chunk_bytes: Bytes of one request.
        page_bytes: Bytes of a page; transfers are split into pages.
        setup_cycles: Cycles before each page, on its channel.
        requests: Number of requests that each channel has in flight.
    """

    channels: int = 1
    chunk_bytes: int = 64
    page_bytes: int = 4096
    setup_cycles: int = 0
    requests: int = 16


INTERFACES = ("dma", "acp", "cache")


@dataclass(frozen=True, slots=True)
class Interface:
    """Coherence between accelerator and processor.

    Attributes:
        kind: "dma": the processor's caches are flushed and invalidated line by line; "acp": the
            accelerator asks the last-level cache, coherently; "cache": the accelerator owns that
            cache, without the port's latency.
        line_bytes: Bytes of a cache line.
        flush_cycles: Cycles to flush a line.
        invalidate_cycles: Cycles to invalidate a line.
        acp_latency_cycles: Latency of the coherent port.
        acp_requests: Number of lines that the coherent port, or the cache, has in flight.
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
    """Cache shared by processor and accelerators; it holds a tensor completely or not at all."""

    bytes: int
    hit_cycles: int = 20


TOPOLOGIES = ("mesh", "ring", "crossbar")


@dataclass(frozen=True, slots=True)
class Noc:
    """A network on chip between the memory's port and the accelerators.

    Attributes:
        topology: "mesh": rows of `columns` nodes, routed along the row first; "ring": routed the
            shorter way; "crossbar": a link for each accelerator.
        link_bytes_per_s: Bandwidth of a link, each way.
        hop_cycles: Latency of a link in cycles of the accelerators' clock.
        columns: Number of nodes in a row of a mesh; 0 for the smallest square that holds all nodes.
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
    """The processor: prepares tiles, launches invocations, runs operators that the array cannot.

    Attributes:
        cores: Number of cores; one of them launches invocations.
        clock_hz: Clock of the cores.
        copy_bytes_per_cycle: Bytes per cycle that a core scatters into tiles or gathers from them.
        flops_per_cycle: Floating-point operations per cycle of a core, for operators that it runs
            itself.
        launch_cycles: Cycles to launch one invocation.
        operator_cycles: Cycles before each operator, to look it up, allocate and wake threads.
        memory_bytes_per_s: Memory bandwidth that all cores together reach.
        copy_run_cycles: Cycles of a core for each contiguous run copied into or out of tiles.
        begin_cycles: Cycles before the first operator of a network.
        end_cycles: Cycles after the last operator of a network.
    """

    cores: int = 1
    clock_hz: float = 1e9
    copy_bytes_per_cycle: float = 1.0
    flops_per_cycle: float = 2.0
    launch_cycles: int = 2700
    operator_cycles: int = 1000
    memory_bytes_per_s: float = 6.4e9
    copy_run_cycles: int = 0
    begin_cycles: int = 0
    end_cycles: int = 0


@dataclass(frozen=True, repr=False)
class Chip(OneLine):
    """A chip with its memory system and processor.

    Attributes:
        name: Name by which users select the chip.
        title: One-line description.
        clock_hz: Clock of the accelerators.
        dtype: Data type of the data that the arrays compute with.
        array: Parameters of the array that multiplies.
        scratchpads: On-chip memories of one accelerator; `scratchpad` finds one by name.
        dram: Memory system behind all accelerators.
        vector: Unit that runs operators without products.
        dma: Engine that moves data between memory and scratchpads.
        interface: Coherence between accelerators and processor.
        cache: Last-level cache; None if there is none.
        cpu: Processor that launches invocations and runs what the accelerators cannot.
        accelerators: Number of accelerators, each with scratchpads of its own.
        bus_bytes_per_s: Bandwidth between memory and all accelerators together.
        node_nm: Technology node in nanometres, for energy and area.
        registers_bytes: Registers of one accelerator beside its scratchpads; 0 if unknown.
        noc: Network between the bus and the accelerators; None if there is none.
        sources: Source of each figure by its name in a chip file; "" is the source of all others.
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
        """FLOP/s of all arrays; a multiply-accumulate counts as two."""
        return 2.0 * self.array.macs * self.clock_hz * self.accelerators

    @property
    def has_smv(self) -> bool:
        """Whether the array is SMAUG's, so that SMAUG's commands can print its results."""
        return self.array.kind == "smv"

    @property
    def scratchpad_bytes(self) -> int:
        """Bytes of all scratchpads of one accelerator."""
        return sum(pad.bytes for pad in self.scratchpads)

    def scratchpad(self, name: str) -> Scratchpad:
        """The scratchpad with this name.

        Raises:
            InputError: no scratchpad has this name (the error suggests the nearest one).
        """
        for pad in self.scratchpads:
            if pad.name == name:
                return pad
        raise unknown_name("scratchpad", name, [pad.name for pad in self.scratchpads])

    def source(self, field_name: str) -> str:
        """Source of a figure, by its name in a chip file."""
        return self.sources.get(field_name, self.sources.get("", "unknown"))

    def headline(self) -> str:
        """Name, title and data type."""
        return f"{self.name}: {self.title}, {self.dtype}"
