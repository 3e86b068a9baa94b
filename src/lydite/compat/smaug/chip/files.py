"""SMAUG's pair of files as a chip: `smv-accel.cfg` (arrays, loops) and `gem5.cfg` (the system).

Every field is honoured, ignored with a note that names it, or refused. Paths in `gem5.cfg` may use
%(name)s of its own fields; nothing is evaluated, and only the accelerator's file is opened, in the
same folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from lydite.compat.smaug.chip.arrays import read_arrays
from lydite.compat.smaug.chip.names import HONOURED, IGNORED, OF_CACHES, REFUSED, WITH_CACHE
from lydite.errors import InputError, placed, unknown_name
from lydite.hardware.chip import (
    ArrayParameters,
    Chip,
    Entry,
    Interface,
    SmvArray,
    catalog_chip,
    checked,
    read_entries,
)


def read_smaug_chip(
    accelerator_cfg: Path, gem5_cfg: Path | None = None, base: str = "smv"
) -> tuple[Chip, list[str]]:
    """The chip of SMAUG's files.

    Args:
        accelerator_cfg: Path of `smv-accel.cfg`.
        gem5_cfg: Path of `gem5.cfg`; None to keep the base's system.
        base: Name of a catalog chip with an SMV, for what the files do not state (PEs, DRAM,
            processor).

    Returns:
        The chip, and notes on what was ignored and why.

    Raises:
        InputError: a file cannot be read; an array or field is unknown; an array is partitioned
            twice with different sizes; a number is out of range; SMV's cycles are not fitted for
            the loops; or the files contradict each other (names file and line).
    """
    smv = catalog_chip(base)
    if smv.array.kind != SmvArray.kind:
        raise InputError("has no SMV", where=base)
    accelerator = read_arrays(accelerator_cfg)
    system, notes = ({}, []) if gem5_cfg is None else _read_system(gem5_cfg)
    named = system.get("config_file_name")
    if named is not None and Path(named.value).name != accelerator_cfg.name:
        notes.append(
            f"{named.where}: config_file_name is {named.value}, but {accelerator_cfg} was read"
        )
    cycle = _agreed(accelerator.settings.get("cycle_time"), system.get("cycle_time"))
    ports = _agreed(accelerator.settings.get("scratchpad_ports"), system.get("spad_ports"))
    pads = tuple(
        replace(pad, ports=ports.whole() if ports else pad.ports)
        for pad in accelerator.pads.values()
    )
    stated = ("scratchpads", "registers", *(("clock",) if cycle else ()))
    sources = {**smv.sources, **dict.fromkeys(stated, f"{accelerator_cfg.name} (SMAUG)")}
    chip = replace(
        smv,
        array=_sized(smv.array, accelerator.registers, str(accelerator_cfg)),
        name=accelerator_cfg.stem.lower(),
        title=f"SMV as {accelerator_cfg.name} has it",
        scratchpads=pads,
        registers_bytes=sum(accelerator.registers.values()),
        sources=sources,
        clock_hz=1e9 / cycle.whole() if cycle else smv.clock_hz,
    )
    if gem5_cfg is not None:
        chip = _with_system(chip, system, gem5_cfg.name)
    return checked(chip, str(accelerator_cfg)), accelerator.notes + notes


def _sized(array: ArrayParameters, registers: Mapping[str, int], where: str) -> ArrayParameters:
    """The array with as many PEs and vectors as the registers of the convolution hold.

    `act_reg` holds a vector of fp32 for each of a PE's vectors, `kernel_reg` one for each vector of
    each PE.

    Raises:
        InputError: the registers hold no whole number of either.
    """
    activations, kernels = registers.get("act_reg"), registers.get("kernel_reg")
    if activations is None or kernels is None or not isinstance(array, SmvArray):
        return array
    vector = 4 * array.lanes
    if not activations or activations % vector or not kernels or kernels % activations:
        raise InputError(
            f"{kernels} bytes of 'kernel_reg' and {activations} of 'act_reg'",
            where=where,
            allowed=f"{vector} bytes for each vector of a PE in 'act_reg', as much for each PE in "
            "'kernel_reg'",
        )
    return replace(array, pes=kernels // activations, vectors=activations // vector)


def _agreed(first: Entry | None, second: Entry | None) -> Entry | None:
    if first is not None and second is not None and first.value != second.value:
        raise InputError(
            f"{second.name} is {second.value}, but {first.value} in {first.where}",
            where=second.where,
            allowed="the same in both files",
        )
    return second or first


_ACCELERATOR = re.compile(r"acc\d+")


def _read_system(path: Path) -> tuple[dict[str, Entry], list[str]]:
    """Fields of the accelerators, which must agree, by name; and notes."""
    sections = _sections(path)
    common = sections.pop("DEFAULT", {})
    if not sections:
        raise InputError("no accelerators", where=str(path), allowed="sections [acc0], [acc1], ...")
    merged = [{**common, **fields} for fields in sections.values()]
    first = merged[0]
    for other in merged[1:]:
        for name in first.keys() | other.keys():
            _same(name, first, other, path)
    identities = [one["accelerator_id"].whole(0) for one in merged if "accelerator_id" in one]
    if len(set(identities)) < len(identities):
        raise InputError("two accelerators with one accelerator_id", where=str(path))
    for name, entry in first.items():
        if name in REFUSED and entry.truth():
            raise InputError(f"{name} is on: {REFUSED[name]}", where=entry.where, allowed="0")
    number = Entry("", "accelerators", "", str(len(merged)), str(path))
    return {**first, "accelerators": number}, _notes(first, path.name)


def _notes(fields: Mapping[str, Entry], source: str) -> list[str]:
    """Notes on ignored fields, by reason."""
    kind = fields.get("memory_type")
    cached = kind is not None and kind.value.lower() == "cache"
    reasons: dict[str, list[str]] = {}
    for name in fields:
        why = WITH_CACHE if cached and name in OF_CACHES else IGNORED.get(name)
        if why is not None:
            reasons.setdefault(why, []).append(name)
    return [f"{source}: {', '.join(names)} ignored: {why}" for why, names in reasons.items()]


def _sections(path: Path) -> dict[str, dict[str, Entry]]:
    sections: dict[str, dict[str, Entry]] = {}
    known = (*HONOURED, *IGNORED, *REFUSED)
    for entry in read_entries(path):
        if entry.section != "DEFAULT" and not _ACCELERATOR.fullmatch(entry.section):
            raise placed(unknown_name("section", entry.section, ("DEFAULT", "acc0")), entry.where)
        fields = sections.setdefault(entry.section, {})
        if not entry.name:
            continue
        if entry.name not in known:
            raise placed(unknown_name("field", entry.spelling, known), entry.where)
        fields[entry.name] = entry
    return sections


_OWN = ("accelerator_id", "trace_file_name", "bench_name", "input_dir")


def _same(name: str, first: dict[str, Entry], other: dict[str, Entry], path: Path) -> None:
    left, right = first.get(name), other.get(name)
    if name not in _OWN and (left and left.value) != (right and right.value):
        raise InputError(
            f"accelerators differ in {name}", where=str(path), allowed="accelerators of one kind"
        )


def accelerator_file(gem5_cfg: Path) -> Path:
    """The file that `config_file_name` names, in the same folder or below.

    Raises:
        InputError: no file is named, it is outside the folder, or its %(name)s cannot be filled in.
    """
    fields, _ = _read_system(gem5_cfg)
    entry = fields.get("config_file_name")
    if entry is None:
        raise InputError(
            "no config_file_name", where=str(gem5_cfg), hint="give the accelerator's file as well"
        )
    folder = gem5_cfg.parent.resolve()
    found = (folder / _filled(entry, fields)).resolve()
    if not found.is_relative_to(folder):
        raise InputError(f"config_file_name '{entry.value}' leaves the folder", where=entry.where)
    return found


def _filled(entry: Entry, fields: Mapping[str, Entry], depth: int = 0) -> str:
    """The value with each %(name)s replaced by that field; %% is a per cent sign."""

    def one(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        if not match[1] or match[1].lower() not in fields or depth > 3:
            raise InputError(f"'{match[0]}' cannot be filled in", where=entry.where)
        return _filled(fields[match[1].lower()], fields, depth + 1)

    if len(entry.value) > 500:
        raise InputError(f"{entry.name} is too long", where=entry.where)
    return re.sub(r"%(?:%|\(([^)]*)\)s|)", one, entry.value)


def _with_system(chip: Chip, fields: Mapping[str, Entry], source: str) -> Chip:
    def whole(name: str, default: int, least: int = 1) -> int:
        return fields[name].whole(least) if name in fields else default

    def on(name: str, default: bool) -> bool:
        return fields[name].truth() if name in fields else default

    dma = replace(
        chip.dma,
        channels=whole("num_dma_channels", chip.dma.channels),
        chunk_bytes=whole("dma_chunk_size", chip.dma.chunk_bytes),
        requests=whole("max_dma_requests", chip.dma.requests),
    )
    sources = {**chip.sources, "dma": source, "interface": source, "accelerators": source}
    return replace(
        chip,
        dma=dma,
        interface=_interface(chip, fields, whole, on),
        accelerators=fields["accelerators"].whole(),
        sources=sources,
    )


def _interface(
    chip: Chip, fields: Mapping[str, Entry], whole: Callable[..., int], on: Callable[..., bool]
) -> Interface:
    """The interface, with flush times converted from ns to accelerator cycles."""
    interface, ns = chip.interface, chip.clock_hz * 1e-9
    kinds = {"spad": "dma", "dma": "dma", "cache": "cache"}
    flush, invalidate = (
        round(whole(name, 0, 0) * ns) if name in fields else default
        for name, default in (
            ("cacheline_flush_latency", interface.flush_cycles),
            ("cacheline_invalidate_latency", interface.invalidate_cycles),
        )
    )
    return replace(
        interface,
        kind=fields["memory_type"].choice(kinds) if "memory_type" in fields else interface.kind,
        line_bytes=whole("cache_line_sz", interface.line_bytes),
        flush_cycles=0 if on("ignore_cache_flush", False) else flush,
        invalidate_cycles=invalidate if on("invalidate_on_dma_store", True) else 0,
        acp_requests=whole("acp_cache_mshrs", interface.acp_requests),
    )
