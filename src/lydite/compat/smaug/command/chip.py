"""The chip and the number of threads of a command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lydite.compat.smaug.command.parse import CommandLine
from lydite.errors import InputError, unknown_name
from lydite.hardware.chip import Chip, LastLevelCache, checked, dram_named, read_chip
from lydite.units import parse_quantity

OUT_OF_ORDER = "DerivO3CPU"
_MOST_ACCELERATORS = 8


def chip_of(line: CommandLine, base: str = "smv") -> tuple[Chip, int]:
    """The chip, and the number of threads that copy tiles.

    Args:
        line: Parsed command line.
        base: Name of the chip if no --accel_cfg_file is given.

    Raises:
        InputError: a value is wrong, or flags contradict each other or the file.
    """
    config = line.values.get("--accel_cfg_file")
    if config is not None and not Path(config).is_file():
        raise InputError("no such file", where=f"--accel_cfg_file {config}")
    chip = read_chip(base if config is None else config)
    if not chip.has_smv:
        raise InputError("has no SMV", where=config or base)
    chip = _accelerated(_stored(_processed(chip, line), line), line, config)
    threads = _whole(line, "--num-threads", 1)
    cores = _whole(line, "--num-cpus", chip.cpu.cores)
    if line.in_gem5 and threads > cores:
        raise InputError(
            f"{threads} threads on {cores} processor{'s' if cores > 1 else ''}",
            where="--num-threads",
            allowed="at most --num-cpus",
        )
    if threads > chip.cpu.cores:
        chip = replace(chip, cpu=replace(chip.cpu, cores=threads))
    return checked(chip), threads


def _processed(chip: Chip, line: CommandLine) -> Chip:
    kind = line.values.get("--cpu-type", OUT_OF_ORDER)
    if kind.lower() != OUT_OF_ORDER.lower():
        raise InputError(
            f"the processor's rates are those of an out-of-order core, not of {kind}",
            where="--cpu-type",
            allowed=OUT_OF_ORDER,
        )
    cpu = replace(chip.cpu, cores=_whole(line, "--num-cpus", chip.cpu.cores))
    clock = line.values.get("--cpu-clock")
    if clock is not None:
        cpu = replace(cpu, clock_hz=_above_zero(clock, "Hz", "--cpu-clock"))
    return replace(chip, cpu=cpu)


def _stored(chip: Chip, line: CommandLine) -> Chip:
    dram, values = chip.dram, line.values
    if "--mem-type" in values:
        dram = dram_named(values["--mem-type"])
    channels = _whole(line, "--mem-channels", 1)
    if channels > 1:
        dram = replace(
            dram,
            channels=dram.channels * channels,
            pins_bytes_per_s=dram.pins_bytes_per_s * channels,
            bytes=dram.bytes * channels,
        )
    if "--mem-size" in values:
        dram = replace(dram, bytes=_size(values["--mem-size"], "--mem-size"))
    cache = chip.cache
    if "--l2_size" in values or "--l2_hit_latency" in values:
        own = cache or LastLevelCache(2 << 20)
        size = _size(values["--l2_size"], "--l2_size") if "--l2_size" in values else own.bytes
        cache = LastLevelCache(size, _whole(line, "--l2_hit_latency", own.hit_cycles))
    bytes_of_line = _whole(line, "--cacheline_size", chip.interface.line_bytes)
    if bytes_of_line & (bytes_of_line - 1) or not 8 <= bytes_of_line <= 4096:
        raise InputError(
            f"a line of {bytes_of_line} bytes",
            where="--cacheline_size",
            allowed="a power of two, 8 to 4096",
        )
    interface = replace(chip.interface, line_bytes=bytes_of_line)
    return replace(chip, dram=dram, cache=cache, interface=interface)


def _accelerated(chip: Chip, line: CommandLine, config: str | None) -> Chip:
    if "--num-accels" not in line.values:
        return replace(chip, accelerators=1)
    count = _whole(line, "--num-accels", 1)
    if count > _MOST_ACCELERATORS:
        raise InputError(
            f"{count} accelerators", where="--num-accels", allowed=f"1 to {_MOST_ACCELERATORS}"
        )
    if config is not None and count > chip.accelerators:
        raise InputError(
            f"{count} accelerators, and {config} has {chip.accelerators}",
            where="--num-accels",
            allowed=f"at most {chip.accelerators}, or a section [acc{count - 1}] more",
        )
    return replace(chip, accelerators=count)


def level_of(line: CommandLine) -> str:
    """The sample level.

    Raises:
        InputError: no level has this name.
    """
    levels = ("no", "low", "medium", "high", "very_high")
    level = line.values.get("--sample-level", "no")
    if level not in levels:
        raise unknown_name("sample level", level, levels)
    return level


def _whole(line: CommandLine, flag: str, default: int, least: int = 1) -> int:
    text = line.values.get(flag)
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 9 or int(text) < least:
        raise InputError(f"'{text}' is not a number", where=flag, allowed=f"{least} or more")
    return int(text)


def debug_level(line: CommandLine) -> int:
    """Verbosity: 0 for what the manual shows."""
    return _whole(line, "--debug-level", 0, least=0)


def _size(text: str, flag: str) -> int:
    """A size as in gem5: kB, MB and GB are powers of 1,024; a bare number is bytes."""
    binary = text if text.isdecimal() else text.replace("kB", "KiB").replace("KB", "KiB")
    for prefix in "MGT":
        binary = binary.replace(f"{prefix}B", f"{prefix}iB")
    return int(_above_zero(binary, "B", flag))


def _above_zero(text: str, unit: str, flag: str) -> float:
    value = parse_quantity(text, unit, where=flag)
    if value <= 0:
        raise InputError(f"'{text}' is zero", where=flag, allowed="more than 0")
    return value
