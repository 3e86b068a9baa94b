"""ONNXim's hardware configurations (`.json`) as chips.

A core is a weight-stationary array whose next weights are loaded while it computes; its scratchpad
holds both operands in two halves each, its accumulator the results. Every field is honoured,
ignored with a note that names it, or refused.

Source: Ham et al., "ONNXim: A Fast, Cycle-Level Multi-Core NPU Simulator" (IEEE CAL 2024), and the
example configurations of its repository (PSAL-POSTECH/ONNXim, configs/).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lydite.errors import InputError, unknown_name
from lydite.hardware.chip import Chip, Scratchpad, SystolicArray, catalog_chip, checked, read_lines
from lydite.records import dataclass

_DTYPES = {1: "int8", 2: "float16", 4: "float32"}
_KIB = 1024
_CORE = ("core_type", "core_width", "core_height", "spad_size", "accum_spad_size")
_LATENCIES = "latencies of single operations are the vector unit's here"
_IGNORED: Mapping[str, str] = {
    "core_print_interval": "it only prints",
    "dram_print_interval": "it only prints",
    "dram_config_path": "the DRAM is a bandwidth and a latency here",
    "dram_nbl": "the DRAM is a bandwidth and a latency here",
    "icnt_type": "the network on chip is not in the file's words: say noc in a chip file",
    "icnt_latency": "the network on chip is not in the file's words: say noc in a chip file",
    "icnt_freq": "the network on chip is not in the file's words: say noc in a chip file",
    "icnt_injection_ports_per_core": "the network on chip is not in the file's words",
    "icnt_config_path": "the network on chip is not in the file's words",
    "icnt_print_interval": "it only prints",
    "layout": "tensors have the layout that tiles need",
    "scheduler": "layers run one after the other",
    "num_partition": "all cores share one memory",
    "partition": "all cores share one memory",
}
_HONOURED = (
    "num_cores",
    "core_freq",
    "core_config",
    "dram_type",
    "dram_freq",
    "dram_channels",
    "dram_req_size",
    "dram_latency",
    "dram_size",
    "precision",
)


def read_onnxim(path: Path, base: str = "systolic-128") -> tuple[Chip, list[str]]:
    """The chip of a configuration.

    The memory gives `dram_req_size` bytes a cycle of `dram_freq` (MHz) and channel. Processor,
    energies and the ports are the base's.

    Args:
        path: Path of the configuration.
        base: Name of a catalog chip with a systolic array.

    Returns:
        The chip, and notes on what was ignored or assumed.

    Raises:
        InputError: the file is no configuration; a field is missing, unknown, out of range or asks
            for what is not simulated (names file and field).
    """
    document = _read(path)
    notes = [f"{name} is ignored: {why}" for name, why in _IGNORED.items() if name in document]
    for name in document:
        if name not in (*_HONOURED, *_IGNORED):
            raise unknown_name("field", name, (*_HONOURED, *_IGNORED), of=f"of {path}")
    cores = _cores(document, path)
    core = cores[0]
    notes += [f"{name} is ignored: {_LATENCIES}" for name in core if name.endswith("latency")]
    frequency = _number(document, "core_freq", path)
    precision = _number(document, "precision", path)
    if precision not in _DTYPES:
        allowed = ", ".join(map(str, _DTYPES))
        raise InputError(f"precision is {precision}", where=str(path), allowed=f"{allowed} bytes")
    rows, columns = (_number(core, f"core_{side}", path) for side in ("height", "width"))
    room, sums = (_KIB * _number(core, f"{name}_size", path) for name in ("spad", "accum_spad"))
    pads = (
        Scratchpad("ifmap", room // 2, banks=rows, word_bytes=precision),
        Scratchpad("filter", room // 2, banks=columns, word_bytes=precision),
        Scratchpad("ofmap", sums, banks=columns, word_bytes=4),
    )
    other = catalog_chip(base)
    rate = _number(document, "dram_req_size", path) * _number(document, "dram_freq", path) * 1e6
    channels = _number(document, "dram_channels", path)
    dram = replace(
        other.dram,
        name=f"{other.dram.name} as {path.name} has it",
        pins_bytes_per_s=rate * channels,
        channels=channels,
        burst_bytes=_number(document, "dram_req_size", path),
        bytes=_number(document, "dram_size", path, other.dram.bytes / 2**30) * 2.0**30,
    )
    notes.append(f"clock of the processor, DRAM's timings and energies: as {base}'s")
    bits = _number(core, "vector_process_bit", path, 8 * precision * other.vector.lanes)
    lanes = max(1, bits // (8 * precision))
    stated = dict.fromkeys(("array", "scratchpads", "dtype", "clock", "dram"), f"{path.name}")
    return checked(
        replace(
            other,
            name=path.stem.lower().replace("_", "-"),
            title="cores of an ONNXim configuration",
            clock_hz=frequency * 1e6,
            dtype=_DTYPES[precision],
            array=SystolicArray(rows, columns, "ws", "preload"),
            scratchpads=pads,
            dram=dram,
            vector=replace(other.vector, lanes=lanes),
            accelerators=len(cores),
            sources={**other.sources, **stated},
        ),
        str(path),
    ), notes


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads("\n".join(read_lines(path)))
    except (ValueError, RecursionError) as error:
        raise InputError("no JSON", where=str(path), allowed="ONNXim's configuration") from error
    if not isinstance(found, dict):
        raise InputError("no object", where=str(path), allowed="ONNXim's configuration")
    return found


def _cores(document: Mapping[str, Any], path: Path) -> list[Mapping[str, Any]]:
    """Cores, which must be equal and of ONNXim's systolic kind."""
    configs = document.get("core_config")
    count = _number(document, "num_cores", path)
    if not isinstance(configs, dict) or not configs:
        raise InputError("no 'core_config'", where=str(path), allowed="an object of cores")
    cores = list(configs.values())
    if any(not isinstance(core, dict) or core != cores[0] for core in cores):
        raise InputError("cores differ", where=f"{path}: core_config", allowed="equal cores")
    missing = [name for name in _CORE if name not in cores[0]]
    if missing:
        raise InputError(f"no '{missing[0]}'", where=f"{path}: core_config")
    if cores[0]["core_type"] != "systolic_ws":
        raise InputError(
            f"core_type is '{cores[0]['core_type']}'",
            where=f"{path}: core_config",
            allowed="systolic_ws",
        )
    if len(cores) not in (1, count):
        raise InputError(
            f"{len(cores)} cores", where=f"{path}: core_config", allowed=f"{count}, as num_cores"
        )
    return [cores[0]] * count


def _number(fields: Mapping[str, Any], name: str, path: Path, default: float | None = None) -> int:
    """A whole number from 1."""
    value = fields.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 1 << 40:
        given = "no" if value is None else f"{value!r} for"
        raise InputError(f"{given} '{name}'", where=str(path), allowed="a whole number from 1")
    return int(value)


@dataclass(frozen=True)
class _OnnximFile:
    """A configuration, recognised by its cores."""

    title: str = "ONNXim's"
    suffix: str = ".json"

    def claims(self, lines: Sequence[str]) -> bool:
        """Whether the file speaks of cores."""
        return any('"core_config"' in line for line in lines)

    def read(self, path: Path) -> tuple[Chip, list[str]]:
        """The chip, and notes on what was ignored or assumed."""
        return read_onnxim(path)


ONNXIM = _OnnximFile()
