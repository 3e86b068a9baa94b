"""SCALE-Sim's configuration (`.cfg`) as read by 3.0.0, and the chip that it describes.

Every field is honoured, ignored with a note that names it, or refused. A word is one byte, and a kB
is 1,024 bytes, as in SCALE-Sim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from lydite.errors import InputError, placed, unknown_name
from lydite.hardware.chip import (
    Chip,
    Entry,
    Scratchpad,
    Stationary,
    SystolicArray,
    catalog_chip,
    checked,
    read_entries,
)
from lydite.records import dataclass

Choice = TypeVar("Choice", bound=str)

_DATAFLOWS: tuple[Stationary, ...] = ("ws", "os", "is")


@dataclass(frozen=True, slots=True)
class ScaleSimConfig:
    """A configuration.

    Attributes:
        name: Name of the run.
        rows: Number of processing-element rows.
        columns: Number of processing-element columns.
        dataflow: Stationary operand: "ws", "os" or "is".
        ifmap_bytes: Bytes of the ifmap's SRAM.
        filter_bytes: Bytes of the filters' SRAM.
        ofmap_bytes: Bytes of the ofmap's SRAM.
        words_per_cycle: Words per cycle of the ports of ifmap, filter and ofmap if bandwidth is
            limited (USER); None if it is not (CALC).
        notes: What was ignored, by name, with the reason.
        sparse: Whether weights are stored as the topology's sparsity says, N of every M.
    """

    name: str
    rows: int
    columns: int
    dataflow: Stationary
    ifmap_bytes: int
    filter_bytes: int
    ofmap_bytes: int
    words_per_cycle: tuple[int, int, int] | None
    notes: tuple[str, ...]
    sparse: bool = False


_NO_ADDRESSES = "operands have ports of their own, so that their addresses do not meet"
_RAMULATOR = "it takes part with Ramulator's traces only"
_CUSTOM = "banks take part with a custom layout only"
_DENSE = "it decides storage, not cycles"
_IGNORED: Mapping[str, Mapping[str, str]] = {
    "architecture_presets": {
        "ifmapoffset": _NO_ADDRESSES,
        "filteroffset": _NO_ADDRESSES,
        "ofmapoffset": _NO_ADDRESSES,
        "memorybanks": "SCALE-Sim does not read it",
        "readrequestbuffer": _RAMULATOR,
        "writerequestbuffer": _RAMULATOR,
    },
    "layout": {
        "ifmapsrambanknum": _CUSTOM,
        "ifmapsrambankport": _CUSTOM,
        "filtersrambanknum": _CUSTOM,
        "filtersrambankport": _CUSTOM,
    },
    "sparsity": {
        "sparserep": _DENSE,
        "blocksize": _DENSE,
        "randomnumbergeneratorseed": _DENSE,
    },
    "network_presets": {"topologycsvloc": "the topology is read by itself"},
}
_HONOURED: Mapping[str, tuple[str, ...]] = {
    "general": ("run_name",),
    "architecture_presets": (
        "arrayheight",
        "arraywidth",
        "ifmapsramszkb",
        "filtersramszkb",
        "ofmapsramszkb",
        "bandwidth",
        "dataflow",
    ),
    "layout": (
        "ifmapcustomlayout",
        "filtercustomlayout",
        "ifmapsrambankbandwidth",
        "filtersrambankbandwidth",
    ),
    "sparsity": ("sparsitysupport", "optimizedmapping"),
    "run_presets": ("interfacebandwidth", "useramulatortrace"),
    "network_presets": (),
}
_REFUSED = {
    ("layout", "ifmapcustomlayout"): "custom layouts are not simulated",
    ("layout", "filtercustomlayout"): "custom layouts are not simulated",
    ("sparsity", "optimizedmapping"): "random sparsity of each row is not simulated",
    ("run_presets", "useramulatortrace"): "Ramulator's traces are not simulated",
}


class _Fields:
    """The fields of a file, by (section, name)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[tuple[str, str], Entry] = {}
        for entry in read_entries(path):
            section = entry.section
            if section not in _HONOURED:
                raise placed(unknown_name("section", section, _HONOURED), entry.where)
            known = (*_HONOURED[section], *_IGNORED.get(section, {}))
            if entry.name and entry.name not in known:
                error = unknown_name("field", entry.spelling, known, of=f"of [{section}]")
                raise placed(error, entry.where)
            if entry.name:
                self.found[section, entry.name] = entry

    def entry(self, section: str, name: str) -> Entry:
        if (section, name) not in self.found:
            raise InputError(f"[{section}] has no '{name}'", where=str(self.path))
        return self.found[section, name]

    def choice(self, section: str, name: str, allowed: tuple[Choice, ...]) -> Choice:
        entry = self.entry(section, name)
        chosen = next((each for each in allowed if each == entry.value), None)
        if chosen is None:
            raise placed(unknown_name(name, entry.value, allowed), entry.where)
        return chosen

    def whole(self, section: str, name: str) -> int:
        return self.entry(section, name).whole()


def read_scalesim_config(path: Path) -> ScaleSimConfig:
    """Read a configuration.

    As in SCALE-Sim, the port of the ofmap has `Bandwidth` words per cycle, and those of ifmap and
    filter have the `SRAMBankBandwidth` of [layout].

    Raises:
        InputError: the file does not exist or has another format; a field is missing, unknown,
            duplicate, out of range, or requests what is not simulated (names file and line).
    """
    fields = _Fields(path)
    support = fields.found.get(("sparsity", "sparsitysupport"))
    sparse = support is not None and support.value.lower() == "true"
    for key, why in _REFUSED.items():
        entry = fields.found.get(key)
        if key[0] == "sparsity" and not sparse:
            continue
        if entry is not None and entry.value.lower() != "false":
            raise InputError(
                f"{entry.spelling} is {entry.value}: {why}", where=entry.where, allowed="false"
            )
    presets = "architecture_presets"
    sizes = [1024 * fields.whole(presets, f"{x}sramszkb") for x in ("ifmap", "filter", "ofmap")]
    limited = fields.choice("run_presets", "interfacebandwidth", ("USER", "CALC")) == "USER"
    return ScaleSimConfig(
        fields.entry("general", "run_name").value,
        fields.whole(presets, "arrayheight"),
        fields.whole(presets, "arraywidth"),
        fields.choice(presets, "dataflow", _DATAFLOWS),
        *sizes,
        words_per_cycle=_ports(fields) if limited else None,
        notes=tuple(_notes(fields, limited)),
        sparse=sparse,
    )


def _ports(fields: _Fields) -> tuple[int, int, int]:
    return (
        fields.whole("layout", "ifmapsrambankbandwidth"),
        fields.whole("layout", "filtersrambankbandwidth"),
        fields.whole("architecture_presets", "bandwidth"),
    )


def _notes(fields: _Fields, limited: bool) -> list[str]:
    unlimited = "" if limited else "InterfaceBandwidth is CALC: memory never stalls"
    found: list[str] = []
    for (section, name), entry in fields.found.items():
        why = _IGNORED.get(section, {}).get(name, unlimited if "bandwidth" in name else "")
        if name == "bandwidth" and "," in entry.value and limited:
            why = "all but the first"
        if why and name != "interfacebandwidth":
            found.append(f"[{section}] {entry.spelling} is ignored: {why}")
    return found


def read_scalesim_chip(path: Path, base: str = "systolic-32") -> tuple[Chip, list[str]]:
    """The chip of a configuration.

    SCALE-Sim has no clock, processor or DRAM: these come from the base. Limited ports become a DRAM
    with their total rate; otherwise the base's DRAM limits.

    Args:
        path: Path of the configuration.
        base: Name of a catalog chip with a systolic array.

    Returns:
        The chip, and notes on what was ignored or assumed.

    Raises:
        InputError: as for `read_scalesim_config`, or the base has no systolic array.
    """
    other = catalog_chip(base)
    if other.array.kind != SystolicArray.kind:
        raise InputError("has no systolic array", where=base)
    config = read_scalesim_config(path)
    array = SystolicArray(config.rows, config.columns, config.dataflow, overlap="none")
    pads = (
        Scratchpad("ifmap", config.ifmap_bytes, banks=config.rows, word_bytes=1),
        Scratchpad("filter", config.filter_bytes, banks=config.columns, word_bytes=1),
        Scratchpad("ofmap", config.ofmap_bytes, banks=config.columns, word_bytes=1),
    )
    notes = [*config.notes, f"clock, processor, DRAM's timings: not in the file, as {base}'s"]
    dram = other.dram
    if config.words_per_cycle is not None:
        rate = sum(config.words_per_cycle) * other.clock_hz
        dram = replace(dram, pins_bytes_per_s=rate)
        notes.append("operands' ports are apart in SCALE-Sim; here they share one DRAM's rate")
    sources = {**other.sources, **dict.fromkeys(_STATED, f"{path.name} (SCALE-Sim)")}
    return checked(
        replace(
            other,
            name=path.stem.lower(),
            title=f"{config.name}, of a SCALE-Sim configuration",
            array=array,
            scratchpads=pads,
            dtype="int8",
            dram=dram,
            sources=sources,
        ),
        str(path),
    ), notes


_STATED = ("array", "scratchpads", "dtype")


@dataclass(frozen=True)
class _ScaleSimFile:
    """A configuration, recognised by its section of architecture presets."""

    title: str = "SCALE-Sim's"
    suffix: str = ".cfg"

    def claims(self, lines: Sequence[str]) -> bool:
        """Whether the section is present."""
        return "[architecture_presets]" in lines

    def read(self, path: Path) -> tuple[Chip, list[str]]:
        """The chip, and notes on what was ignored or assumed."""
        return read_scalesim_chip(path)


SCALESIM = _ScaleSimFile()
