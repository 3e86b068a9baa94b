"""Chip files: fields with units, validated by pydantic and converted to a `Chip`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from functools import cache, reduce
from operator import or_
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from lydite.errors import InputError, placed, unknown_name
from lydite.hardware.chip.arrays import DATAFLOWS, ArrayParameters, Within
from lydite.hardware.chip.check import checked
from lydite.hardware.chip.design import (
    Chip,
    Cpu,
    Dma,
    Interface,
    LastLevelCache,
    Noc,
    Scratchpad,
    VectorUnit,
)
from lydite.hardware.chip.dram import Dram, dram_named
from lydite.hardware.spec_file import SpecFile
from lydite.records import dataclass

Count = Annotated[int, Field(ge=1, le=1 << 20)]
Cycles = Annotated[int, Field(ge=0, le=1 << 30)]
Dtype = Literal["int8", "float16", "bfloat16", "float32"]


def _spelled(value: Any) -> Any:
    """Keep a bare number as text, so that it is refused for its missing unit, not its type."""
    return str(value) if isinstance(value, int | float) else value


Quantity = Annotated[str, BeforeValidator(_spelled)]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ArraySpec(BaseModel):
    """The array, of any kind; `array_spec` has the fields of one kind."""

    model_config = ConfigDict(extra="allow")

    kind: str


@cache
def array_spec(parameters: type[ArrayParameters]) -> type[ArraySpec]:
    """The fields of `array` in a chip file, from the dataclass of the array's parameters."""
    hints = get_type_hints(parameters, include_extras=True)
    named: dict[str, Any] = {
        each.name: (_bounded(hints[each.name]), ... if each.default is MISSING else each.default)
        for each in fields(parameters)
    }
    kind = (str, Field(json_schema_extra={"const": parameters.kind}))
    return create_model(
        f"{parameters.__name__}Spec",
        __base__=ArraySpec,
        __doc__=parameters.__doc__,
        __cls_kwargs__={"extra": "forbid"},
        **{"kind": kind, **named},
    )


def _bounded(hint: Any) -> Any:
    """The type of a parameter, with its bounds as pydantic checks them."""
    for bounds in getattr(hint, "__metadata__", ()):
        if isinstance(bounds, Within):
            return Annotated[hint.__origin__, Field(ge=bounds.least, le=bounds.most)]
    return hint


class ScratchpadSpec(_Spec):
    """A scratchpad."""

    size: Quantity
    banks: Count = 8
    ports: Count = 1
    word: Quantity = "4 B"


class VectorSpec(_Spec):
    """The vector unit."""

    lanes: Count = 8
    special_cycles: Annotated[float, Field(ge=1)] = 4.0


class DmaSpec(_Spec):
    """The DMA engine."""

    channels: Count = 1
    chunk: Quantity = "64 B"
    page: Quantity = "4 KiB"
    setup_cycles: Cycles = 0
    requests: Count = 16


class InterfaceSpec(_Spec):
    """The coherent interface to the processor."""

    kind: Literal["dma", "acp", "cache"] = "dma"
    line: Quantity = "32 B"
    flush_cycles: Cycles = 12
    invalidate_cycles: Cycles = 12
    acp_latency_cycles: Cycles = 20
    acp_requests: Count = 16


class CacheSpec(_Spec):
    """The last-level cache."""

    size: Quantity
    hit_cycles: Cycles = 20


class NocSpec(_Spec):
    """A network on chip."""

    topology: Literal["mesh", "ring", "crossbar"]
    link: Quantity
    hop_cycles: Cycles = 1
    columns: Count | None = None


class DramSpec(_Spec):
    """A memory from the table of DRAMs, with overrides."""

    kind: str
    bandwidth: Quantity | None = None
    size: Quantity | None = None
    channels: Count | None = None


class CpuSpec(_Spec):
    """The processor."""

    cores: Count = 1
    clock: Quantity = "1 GHz"
    copy_bytes_per_cycle: Annotated[float, Field(gt=0)] = 1.0
    flops_per_cycle: Annotated[float, Field(gt=0)] = 2.0
    launch_cycles: Cycles = 2700
    operator_cycles: Cycles = 1000
    memory_bandwidth: Quantity = "6.4 GB/s"
    copy_run_cycles: Cycles = 0
    begin_cycles: Cycles = 0
    end_cycles: Cycles = 0


class ChipSpec(_Spec):
    """The fields of a chip file; quantities are text with units ("64 KiB", "1 GHz")."""

    schema_version: int = Field(default=1, ge=1, le=1)
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.\-]*$")
    title: str
    clock: Quantity
    dtype: Dtype = "float16"
    array: ArraySpec
    scratchpads: dict[str, ScratchpadSpec]
    vector: VectorSpec | None = None
    dma: DmaSpec = DmaSpec()
    interface: InterfaceSpec = InterfaceSpec()
    cache: CacheSpec | None = None
    dram: DramSpec
    cpu: CpuSpec = CpuSpec()
    accelerators: Count = 1
    bus: Quantity | None = None
    noc: NocSpec | None = None
    node_nm: Annotated[float, Field(ge=1, le=250)] = 40.0
    registers: Quantity | None = None
    sources: dict[str, str]

    def chip(self, file: SpecFile) -> Chip:
        """The `Chip`, every quantity in SI units.

        Raises:
            InputError: a quantity has the wrong unit, or the parts do not fit together.
        """
        unknown = next((name for name in self.sources if name not in ("", *_FIELDS)), None)
        if unknown is not None:
            raise placed(unknown_name("field", unknown, _FIELDS), file.at("sources"))
        read = _Reader(file)
        array, cache, cpu, dma, interface = (
            DATAFLOWS.find(self.array.kind).parameters(**self.array.model_dump(exclude={"kind"})),
            self.cache,
            self.cpu,
            self.dma,
            self.interface,
        )
        pads = tuple(
            Scratchpad(
                name,
                read.size(pad.size, f"scratchpads.{name}.size"),
                pad.banks,
                pad.ports,
                read.size(pad.word, f"scratchpads.{name}.word"),
            )
            for name, pad in self.scratchpads.items()
        )
        return checked(
            Chip(
                self.name,
                self.title,
                read.quantity(self.clock, "Hz", "clock"),
                self.dtype,
                array,
                pads,
                self._dram(read),
                self._vector(array, file),
                Dma(
                    dma.channels,
                    read.size(dma.chunk, "dma.chunk"),
                    read.size(dma.page, "dma.page"),
                    dma.setup_cycles,
                    dma.requests,
                ),
                Interface(
                    interface.kind,
                    read.size(interface.line, "interface.line"),
                    interface.flush_cycles,
                    interface.invalidate_cycles,
                    interface.acp_latency_cycles,
                    interface.acp_requests,
                ),
                None
                if cache is None
                else LastLevelCache(read.size(cache.size, "cache.size"), cache.hit_cycles),
                Cpu(
                    cpu.cores,
                    read.quantity(cpu.clock, "Hz", "cpu.clock"),
                    cpu.copy_bytes_per_cycle,
                    cpu.flops_per_cycle,
                    cpu.launch_cycles,
                    cpu.operator_cycles,
                    read.quantity(cpu.memory_bandwidth, "B/s", "cpu.memory_bandwidth"),
                    cpu.copy_run_cycles,
                    cpu.begin_cycles,
                    cpu.end_cycles,
                ),
                self.accelerators,
                float("inf") if self.bus is None else read.quantity(self.bus, "B/s", "bus"),
                self.node_nm,
                0 if self.registers is None else read.size(self.registers, "registers"),
                self._noc(read),
                self.sources,
            ),
            file.where,
        )

    def _vector(self, array: ArrayParameters, file: SpecFile) -> VectorUnit:
        if self.vector is None:
            return VectorUnit()
        if not array.has_vector_unit:
            raise InputError(
                f"{array.title} runs operators without products itself",
                where=file.at("vector"),
                allowed="no vector unit",
            )
        return VectorUnit(self.vector.lanes, self.vector.special_cycles)

    def _noc(self, read: _Reader) -> Noc | None:
        noc = self.noc
        if noc is None:
            return None
        if noc.columns is not None and noc.topology != "mesh":
            raise InputError(
                f"a {noc.topology} has no columns",
                where=read.file.at("noc.columns"),
                allowed="only for a mesh",
            )
        rate = read.quantity(noc.link, "B/s", "noc.link")
        return Noc(noc.topology, rate, noc.hop_cycles, noc.columns or 0)

    def _dram(self, read: _Reader) -> Dram:
        given = self.dram
        try:
            dram = dram_named(given.kind)
        except InputError as error:
            raise placed(error, read.file.at("dram.kind")) from None
        if given.bandwidth is not None:
            rate = read.quantity(given.bandwidth, "B/s", "dram.bandwidth")
            dram = replace(dram, pins_bytes_per_s=rate)
        if given.size is not None:
            dram = replace(dram, bytes=read.size(given.size, "dram.size"))
        return dram if given.channels is None else replace(dram, channels=given.channels)


_FIELDS = tuple(ChipSpec.model_fields)


@dataclass(frozen=True)
class _Reader:
    """Converts the quantities of one file to SI units; a zero is refused."""

    file: SpecFile

    def quantity(self, text: str, unit: str, field: str) -> float:
        value = self.file.quantity(text, unit, field)
        if value <= 0:
            raise InputError(f"'{text}' is zero", where=self.file.at(field), allowed="more than 0")
        return value

    def size(self, text: str, field: str) -> int:
        value = self.quantity(text, "B", field)
        if value != int(value) or value > _MOST_BYTES:
            raise InputError(
                f"'{text}' is not a size",
                where=self.file.at(field),
                allowed="whole bytes, 1 PiB at most",
            )
        return int(value)


_MOST_BYTES = 1 << 50


SECTIONS: Mapping[str, type[_Spec]] = {
    "scratchpads": ScratchpadSpec,
    "vector": VectorSpec,
    "dma": DmaSpec,
    "interface": InterfaceSpec,
    "cache": CacheSpec,
    "noc": NocSpec,
    "dram": DramSpec,
    "cpu": CpuSpec,
}
"""Sections of a chip file by name; the section `array` comes from the registry."""


def chip_json_schema() -> dict[str, Any]:
    """JSON Schema of a chip file, for editors."""
    arrays = tuple(array_spec(DATAFLOWS.find(kind).parameters) for kind in DATAFLOWS)
    anything: Any = reduce(or_, arrays)
    return create_model("ChipSpec", __base__=ChipSpec, array=(anything, ...)).model_json_schema()


@cache
def chip_spec(parameters: type[ArrayParameters]) -> type[ChipSpec]:
    """The fields of a chip file with this kind of array."""
    return create_model("ChipSpec", __base__=ChipSpec, array=(array_spec(parameters), ...))
