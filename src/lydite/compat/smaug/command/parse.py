"""SMAUG's command lines, plain or as gem5 starts them, read whole.

.../gem5.opt FLAGS .../aladdin_se.py FLAGS -c .../smaug -o "TOPOLOGY PARAMS FLAGS"
.../smaug TOPOLOGY PARAMS FLAGS
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import field
from difflib import get_close_matches
from pathlib import PurePosixPath

from lydite.compat.smaug.command.flags import SCRIPT, SIMULATOR, SMAUG, Flag
from lydite.errors import InputError
from lydite.records import dataclass

_GEM5 = re.compile(r"gem5\.(opt|fast|debug|prof|perf)")
BINARIES = ("smaug", "smaug-instrumented")


@dataclass(frozen=True, slots=True)
class Told:
    """A flag of a command line, and how it is treated.

    Attributes:
        flag: Flag as written.
        value: Value as written; "" for none.
        fate: "honoured", "ignored" or "refused".
        reason: Effect of the flag, or why it is ignored or refused.
    """

    flag: str
    value: str
    fate: str
    reason: str


@dataclass
class CommandLine:
    """A parsed command line.

    Attributes:
        binary: "smaug" or "smaug-instrumented".
        topology: Path of the topology.
        params: Path of the parameters; "" for none.
        in_gem5: Whether gem5 starts it.
        values: Values of honoured flags, by the usual spelling; "" for flags without a value.
        told: All flags in order.
    """

    binary: str = ""
    topology: str = ""
    params: str = ""
    in_gem5: bool = False
    values: dict[str, str] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)

    def refuse(self) -> None:
        """Raise for the first flag that is refused.

        Raises:
            InputError: a flag is refused.
        """
        for each in self.told:
            if each.fate == "refused":
                raise InputError(f"{each.flag} is refused: {each.reason}", hint="leave it out")


def parse_command(words: Sequence[str]) -> CommandLine:
    """Parse a command line.

    Raises:
        InputError: the program is neither gem5 nor SMAUG, a flag is unknown (the error suggests the
            nearest one) or lacks its value, or there is no topology.
    """
    line = CommandLine()
    if not words:
        raise InputError("no command", allowed=".../gem5.opt ... or .../smaug TOPOLOGY PARAMS")
    program = PurePosixPath(words[0]).name
    if _GEM5.fullmatch(program):
        line.in_gem5 = True
        _gem5(words[1:], line)
    elif program in BINARIES:
        line.binary = program
        _smaug(words[1:], line)
    else:
        raise InputError(
            f"'{words[0]}' is neither gem5 nor SMAUG", allowed=f"gem5.opt, {', '.join(BINARIES)}"
        )
    return line


def _gem5(words: Sequence[str], line: CommandLine) -> None:
    script = next((at for at, word in enumerate(words) if word.endswith(".py")), None)
    if script is None:
        raise InputError("gem5 without its script", allowed=".../configs/aladdin/aladdin_se.py")
    _no_words(_read(words[:script], SIMULATOR, "gem5", line), "gem5")
    _no_words(_read(words[script + 1 :], SCRIPT, "gem5's script", line), "gem5's script")
    command, options = line.values.get("--cmd"), line.values.get("--options")
    if command is None or options is None:
        raise InputError(
            f"gem5's script has no {'-c' if command is None else '-o'}",
            allowed="-c .../smaug -o 'TOPOLOGY PARAMS --gem5 ...'",
        )
    line.binary = PurePosixPath(command).name
    if line.binary not in BINARIES:
        raise InputError(f"-c {command} is not SMAUG", allowed=", ".join(BINARIES))
    try:
        _smaug(shlex.split(options), line)
    except ValueError as error:
        raise InputError(f"-o is not a command line: {error}", where=options) from error


def _smaug(words: Sequence[str], line: CommandLine) -> None:
    files = _read(words, SMAUG, "SMAUG", line)
    if not 1 <= len(files) <= 2:
        raise InputError(
            f"{len(files)} files", where=line.binary, allowed="TOPOLOGY, or TOPOLOGY PARAMS"
        )
    line.topology, line.params = files[0], files[1] if len(files) > 1 else ""


def _read(words: Sequence[str], flags: Sequence[Flag], whose: str, line: CommandLine) -> list[str]:
    """Collect the flags of some words; returns the words that are not flags."""
    known = {name: flag for flag in flags for name in flag.names}
    left: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word == "-":
            left.append(word)
            continue
        name, equals, value = word.partition("=")
        flag = known.get(name)
        if flag is None:
            raise _unknown(name, known, whose)
        if flag.takes_value and not equals and not flag.optional:
            value = next(rest, "")
            if not value:
                raise InputError(f"{name} has no value", where=whose)
        if equals and not flag.takes_value:
            raise InputError(f"{name} takes no value", where=whose)
        line.told.append(Told(name, value, flag.fate, flag.reason))
        if flag.fate == "honoured":
            line.values[flag.names[0]] = value
    return left


def _unknown(name: str, known: Sequence[str] | dict[str, Flag], whose: str) -> InputError:
    near = get_close_matches(name, list(known), n=1, cutoff=0.4)
    hint = f"did you mean '{near[0]}'?" if near else "type: lydite smaug --help"
    return InputError(f"unknown flag '{name}'", where=whose, hint=hint)


def _no_words(words: Sequence[str], whose: str) -> None:
    if words:
        raise InputError(f"'{words[0]}' is not a flag", where=whose)
