"""Chip files: YAML with units, checked by pydantic, turned into a `Chip`; and the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lydite.errors import InputError, unknown_name
from lydite.hardware.chip.design import (
    Chip,
    Cpu,
    Dma,
    Interface,
    LastLevelCache,
    Scratchpad,
    SmvArray,
    SystolicArray,
    VectorUnit,
    checked,
)
from lydite.hardware.chip.dram import Dram, dram_named
from lydite.units import parse_quantity

Count = Annotated[int, Field(ge=1, le=1 << 20)]
Cycles = Annotated[int, Field(ge=0, le=1 << 30)]
Dtype = Literal["int8", "float16", "bfloat16", "float32"]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SmvSpec(_Spec):
    """SMAUG's vector engine."""

    kind: Literal["smv"]
    pes: Count = 8
    vectors: Count = 4
    lanes: Count = 8


class SystolicSpec(_Spec):
    """A systolic array."""

    kind: Literal["systolic"]
    rows: Count
    columns: Count
    dataflow: Literal["ws", "os", "is"] = "ws"
    overlap: Literal["none", "preload"] = "preload"


class ScratchpadSpec(_Spec):
    """One scratchpad."""

    size: str
    banks: Count = 8
    ports: Count = 1
    word: str = "4 B"


class VectorSpec(_Spec):
    """The vector unit."""

    lanes: Count = 8
    special_cycles: Annotated[float, Field(ge=1)] = 4.0


class DmaSpec(_Spec):
    """The DMA engine."""

    channels: Count = 1
    chunk: str = "64 B"
    page: str = "4 KiB"
    setup_cycles: Cycles = 0
    requests: Count = 16
    pipelined: bool = True


class InterfaceSpec(_Spec):
    """Coherence with the processor."""

    kind: Literal["dma", "acp", "cache"] = "dma"
    line: str = "32 B"
    flush_cycles: Cycles = 12
    invalidate_cycles: Cycles = 12
    acp_latency_cycles: Cycles = 20
    acp_requests: Count = 16


class CacheSpec(_Spec):
    """The last-level cache."""

    size: str
    ways: Count = 16
    hit_cycles: Cycles = 20


class DramSpec(_Spec):
    """A row of the table of DRAMs, with another rate if given."""

    kind: str
    bandwidth: str | None = None
    channels: Count | None = None


class CpuSpec(_Spec):
    """The processor."""

    cores: Count = 1
    clock: str = "1 GHz"
    copy_bytes_per_cycle: Annotated[float, Field(gt=0)] = 1.0
    flops_per_cycle: Annotated[float, Field(gt=0)] = 2.0
    launch_cycles: Cycles = 2700
    operator_cycles: Cycles = 1000
    memory_bandwidth: str = "6.4 GB/s"


class ChipSpec(_Spec):
    """The fields of a chip file; quantities are text with units ("64 KiB", "1 GHz")."""

    schema_version: int = Field(default=1, ge=1, le=1)
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.\-]*$")
    title: str
    clock: str
    dtype: Dtype = "float16"
    array: Annotated[SmvSpec | SystolicSpec, Field(discriminator="kind")]
    scratchpads: dict[str, ScratchpadSpec]
    vector: VectorSpec = VectorSpec()
    dma: DmaSpec = DmaSpec()
    interface: InterfaceSpec = InterfaceSpec()
    cache: CacheSpec | None = None
    dram: DramSpec
    cpu: CpuSpec = CpuSpec()
    accelerators: Count = 1
    bus: str | None = None
    node_nm: Annotated[float, Field(ge=1, le=250)] = 40.0
    sources: dict[str, str]

    def chip(self, where: str) -> Chip:
        """As a `Chip`, every quantity in SI.

        Raises:
            InputError: a quantity in the wrong unit, or parts that do not go together.
        """

        def read(text: str, unit: str, field: str) -> float:
            return parse_quantity(_with_unit(text, f"{where}: {field}"), unit,
                                  where=f"{where}: {field}")  # fmt: skip

        array = self.array
        pads = tuple(
            Scratchpad(name, int(read(p.size, "B", f"scratchpads.{name}.size")), p.banks, p.ports,
                       int(read(p.word, "B", f"scratchpads.{name}.word")))
            for name, p in self.scratchpads.items()
        )  # fmt: skip
        cache = self.cache
        return checked(Chip(
            self.name, self.title, read(self.clock, "Hz", "clock"), self.dtype,
            SmvArray(array.pes, array.vectors, array.lanes) if isinstance(array, SmvSpec)
            else SystolicArray(array.rows, array.columns, array.dataflow, array.overlap),
            pads, self._dram(read, where),
            VectorUnit(self.vector.lanes, self.vector.special_cycles),
            Dma(self.dma.channels, int(read(self.dma.chunk, "B", "dma.chunk")),
                int(read(self.dma.page, "B", "dma.page")), self.dma.setup_cycles,
                self.dma.requests, self.dma.pipelined),
            Interface(self.interface.kind, int(read(self.interface.line, "B", "interface.line")),
                      self.interface.flush_cycles, self.interface.invalidate_cycles,
                      self.interface.acp_latency_cycles, self.interface.acp_requests),
            None if cache is None else LastLevelCache(
                int(read(cache.size, "B", "cache.size")), cache.ways, cache.hit_cycles),
            Cpu(self.cpu.cores, read(self.cpu.clock, "Hz", "cpu.clock"),
                self.cpu.copy_bytes_per_cycle, self.cpu.flops_per_cycle, self.cpu.launch_cycles,
                self.cpu.operator_cycles,
                read(self.cpu.memory_bandwidth, "B/s", "cpu.memory_bandwidth")),
            self.accelerators, read(self.bus, "B/s", "bus") if self.bus else float("inf"),
            self.node_nm, self.sources,
        ))  # fmt: skip

    def _dram(self, read: Any, where: str) -> Dram:
        try:
            found = dram_named(self.dram.kind)
        except InputError as error:
            raise InputError(
                error.what, where=f"{where}: dram.kind", allowed=error.allowed, hint=error.hint
            ) from None
        if self.dram.bandwidth is not None:
            rate = read(self.dram.bandwidth, "B/s", "dram.bandwidth")
            found = replace(found, pins_bytes_per_s=rate)
        return found if self.dram.channels is None else replace(
            found, channels=self.dram.channels
        )  # fmt: skip


def _with_unit(text: str, where: str) -> str:
    """A chip's quantities name their units: a bare number could be anything."""
    try:
        float(text)
    except ValueError:
        return text
    raise InputError(f"'{text}' has no unit", where=where, allowed="such as '64 KiB' or '12 GB/s'")


def read_chip(name: str) -> Chip:
    """A chip of the catalog, or a `.yaml` file.

    Raises:
        InputError: no such chip (with the nearest name), or a bad file (its field is named).
    """
    if not name.endswith((".yaml", ".yml")):
        known = known_chips()
        if name.lower() not in known:
            raise unknown_name("chip", name, tuple(known), "or give the path of a .yaml file")
        return known[name.lower()]
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise InputError(f"cannot be read: {reason}", where=name) from error
    return parse_chip(text, name)


def parse_chip(text: str, where: str) -> Chip:
    """A chip from YAML text; see `read_chip`."""
    try:
        raw: Any = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"not YAML: {str(error).splitlines()[0]}", where=where) from error
    if not isinstance(raw, dict):
        raise InputError("not a chip file", where=where, allowed="a mapping of fields")
    try:
        spec = ChipSpec.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        known = ", ".join(ChipSpec.model_fields)
        raise InputError(f"field '{field}': {first['msg'].lower()}", where=where, allowed=known
                         ) from error  # fmt: skip
    return spec.chip(where)


@cache
def _catalog() -> Mapping[str, Chip]:
    entries = resources.files("lydite.hardware.catalog_chips").iterdir()
    found = (
        parse_chip(entry.read_text(), entry.name)
        for entry in sorted(entries, key=lambda e: e.name) if entry.name.endswith(".yaml")
    )  # fmt: skip
    return {chip.name: chip for chip in found}


def known_chips() -> dict[str, Chip]:
    """All chips of the catalog by name."""
    return dict(_catalog())


def chip_json_schema() -> dict[str, Any]:
    """JSON Schema of a chip file, for editors."""
    return ChipSpec.model_json_schema()
