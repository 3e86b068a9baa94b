"""SMAUG's `smv-accel.cfg`: arrays in memories or registers, and loop directives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path

from lydite.compat.smaug.chip.names import REFUSED, REGISTERS, SCRATCHPADS, modelled_loops
from lydite.errors import InputError, placed, unknown_name
from lydite.hardware.chip import Entry, Scratchpad, read_lines, whole_number
from lydite.records import dataclass


@dataclass
class Arrays:
    """Contents of the file.

    Attributes:
        path: Path of the file.
        pads: Memories by the name of their array.
        registers: Bytes of the arrays in registers, by name.
        loops: Directives of loops, as `modelled_loops` has them.
        settings: Single values by name.
        notes: What was ignored, with the reason.
    """

    path: Path
    pads: dict[str, Scratchpad] = field(default_factory=dict)
    registers: dict[str, int] = field(default_factory=dict)
    loops: dict[tuple[str, str, str], int] = field(default_factory=dict)
    settings: dict[str, Entry] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_arrays(path: Path) -> Arrays:
    """Read the file.

    Raises:
        InputError: the file cannot be read; SMV does not have an array, kernel or loop; an array is
            partitioned twice with different sizes; a number is out of range; or SMV's cycles were
            not fitted for the loops (names file and line).
    """
    arrays = Arrays(path)
    readers: Mapping[str, Callable[[Arrays, list[str], str], None]] = {
        "partition": _partition,
        "unrolling": _loop,
        "flatten": _loop,
        "pipeline": _loop,
        "cache": _refused,
        "acp": _refused,
        "cycle_time": _setting,
        "ready_mode": _setting,
        "scratchpad_ports": _setting,
        "pipelining": _setting,
    }
    for number, line in enumerate(read_lines(path), start=1):
        words = [word.strip() for word in line.split("#")[0].split(",")]
        where = f"{path}:{number}"
        if words == [""]:
            continue
        if words[0] not in readers:
            raise placed(unknown_name("directive", words[0], readers), where)
        readers[words[0]](arrays, words, where)
    _complete(arrays)
    return arrays


def _shaped(words: list[str], count: int, form: str, where: str) -> None:
    if len(words) != count or not all(words):
        raise InputError(f"'{','.join(words)}' cannot be read", where=where, allowed=form)


def _partition(found: Arrays, words: list[str], where: str) -> None:
    kinds = ("cyclic", "block", "complete")
    if len(words) < 2 or words[1] not in kinds:
        raise placed(unknown_name("partition", "".join(words[1:2]), kinds), where)
    whole = words[1] == "complete"
    form = f"partition,{words[1]},array,bytes,word" + ("" if whole else ",factor")
    _shaped(words, 5 if whole else 6, form, where)
    name, size, word = words[2], *(whole_number(w, "a size", where) for w in words[3:5])
    arrays = REGISTERS if whole else SCRATCHPADS
    if name not in arrays:
        if name in (*REGISTERS, *SCRATCHPADS):
            raise InputError(
                f"'{name}' cannot be partitioned as {words[1]}",
                where=where,
                allowed="cyclic or block" if whole else "complete",
            )
        raise placed(unknown_name("array", name, arrays), where)
    if size % word:
        raise InputError(
            f"{size} bytes of '{name}' are not a multiple of {word}-byte words", where=where
        )
    if whole:
        _register(found, name, size, where)
        return
    pad = Scratchpad(name, size, whole_number(words[5], "a factor", where), word_bytes=word)
    if found.pads.setdefault(name, pad) != pad:
        raise InputError(f"'{name}' is partitioned twice with different sizes", where=where)
    if pad.banks > size // word:
        raise InputError(f"{pad.banks} banks of '{name}' for {size // word} words", where=where)
    if words[1] == "block":
        found.notes.append(
            f"{where}: '{name}' in blocks is timed as cyclic: aligned vectors meet "
            "in one bank either way"
        )


def _register(arrays: Arrays, name: str, size: int, where: str) -> None:
    before = arrays.registers.get(name, size)
    if before != size:
        arrays.notes.append(
            f"{where}: '{name}' has {before} bytes before and {size} here: the last counts"
        )
    arrays.registers[name] = size


def _loop(arrays: Arrays, words: list[str], where: str) -> None:
    unrolls = words[0] == "unrolling"
    form = f"{words[0]},kernel,loop" + (",factor" if unrolls else "")
    _shaped(words, 4 if unrolls else 3, form, where)
    kind, kernel, loop = words[:3]
    factor = whole_number(words[3], "a factor", where) if unrolls else 0
    modelled = modelled_loops()
    kernels = {key[1] for key in modelled}
    if kernel not in kernels:
        raise placed(unknown_name("kernel", kernel, kernels), where)
    loops = {key[2] for key in modelled if key[1] == kernel}
    if loop not in loops:
        raise placed(unknown_name("loop", loop, loops, of=f"of {kernel}"), where)
    if modelled.get((kind, kernel, loop)) != factor:
        modelled_here = ", ".join(
            f"{k} {n or ''}".strip() for (k, *at), n in modelled.items() if at == [kernel, loop]
        )
        raise InputError(
            f"{','.join(words)}: SMV's cycles are not fitted for it",
            where=where,
            allowed=modelled_here,
        )
    arrays.loops[kind, kernel, loop] = factor


def _refused(arrays: Arrays, words: list[str], where: str) -> None:
    del arrays
    raise InputError(
        f"{words[0]} of single arrays is not simulated",
        where=where,
        hint="leave the line out and choose the chip's interface: dma, acp or cache",
    )


def _setting(arrays: Arrays, words: list[str], where: str) -> None:
    _shaped(words, 2, f"{words[0]},number", where)
    entry = Entry("", words[0], words[0], words[1], where)
    if words[0] in REFUSED and entry.truth():
        raise InputError(f"{words[0]} is on: {REFUSED[words[0]]}", where=where, allowed="0")
    if words[0] == "pipelining" and entry.truth():
        arrays.notes.append(f"{where}: pipelining is ignored: `pipeline` lines say which loops")
    arrays.settings[words[0]] = entry


def _complete(arrays: Arrays) -> None:
    """Check that nothing that SMV's cycles depend on is missing."""
    missing = [name for name in SCRATCHPADS if name not in arrays.pads]
    if missing:
        raise InputError(
            f"no partition of '{missing[0]}'",
            where=str(arrays.path),
            hint=f"add a line such as partition,cyclic,{missing[0]},65536,4,8",
        )
    gone = [key for key in modelled_loops() if key not in arrays.loops]
    if gone and arrays.loops:
        kind, kernel, loop = gone[0]
        raise InputError(
            f"no {kind} of {kernel}'s {loop}, for which SMV's cycles are fitted",
            where=str(arrays.path),
        )
    if gone:
        arrays.notes.append(f"{arrays.path}: no loops: taken as in SMAUG's own file")
