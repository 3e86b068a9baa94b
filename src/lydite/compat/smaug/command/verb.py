"""`smaug`: run a command line of SMAUG's manual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill, shorten
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from lydite.compat.smaug.command.parse import CommandLine, parse_command
from lydite.exhibits import Exhibit
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api import ChipResult, Session
    from lydite.compat.smaug.topology.network import Network


class FlagDocument(TypedDict):
    """A flag of the command line, and how it is treated."""

    flag: str
    value: str
    fate: str
    reason: str


class SmaugDocument(TypedDict):
    """A run of SMAUG's command line; figures are None if it was only explained."""

    binary: str
    topology: str
    params: str | None
    flags: list[FlagDocument]
    source: str
    chip: str | None
    accelerators: int | None
    threads: int | None
    seconds: float | None
    cycles: float | None
    invocations: list[dict[str, Any]] | None


@dataclass(frozen=True, eq=False, repr=False)
class SmaugResult(Result):
    """A run of SMAUG's command line.

    Attributes:
        line: Parsed command line.
        network: The topology; None if the command was only explained.
        run: Simulation of the network on the chip; None if the command was only explained.
        threads: Number of threads that copy tiles.
    """

    verb = "smaug"
    exhibits = (
        Exhibit(
            "Flags, and how each is treated",
            "/flags",
            {"flag": "flag", "value": "value", "fate": "fate", "reason": "reason"},
            {"fate": "honoured"},
        ),
    )

    line: CommandLine
    network: Network | None = None
    run: ChipResult | None = None
    threads: int | None = None

    def document(self) -> SmaugDocument:
        """The flags, and the run."""
        run = None if self.run is None else self.run.document()
        return {
            "binary": self.line.binary,
            "topology": self.line.topology,
            "params": self.line.params or None,
            "flags": [_flag(told) for told in self.line.told],
            "source": "simulated",
            "chip": None if run is None else run["chip"],
            "accelerators": None if self.run is None else self.run.network.chip.accelerators,
            "threads": self.threads,
            "seconds": None if run is None else run["seconds"],
            "cycles": None if run is None else run["cycles"],
            "invocations": None if run is None else run["invocations"],
        }

    def summary(self) -> str:
        """The log that SMAUG prints, or the list of flags if the command was only explained."""
        if self.network is None or self.run is None:
            return flags_text(self.line)
        return _log(self.line, self.network, self.run)

    def headline(self) -> str:
        """The topology and its time."""
        if self.run is None:
            return f"{self.line.binary} {self.line.topology}: {len(self.line.told)} flags"
        return self.run.headline()

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per flag."""
        return [dict(_flag(told)) for told in self.line.told]

    def advice(self) -> Sequence[str]:
        """Notes on ignored flags, and the network's time."""
        if self.run is None:
            return ()
        ignored = [t for t in self.line.told if t.fate == "ignored"]
        lines = [f"{told.flag} is ignored: {told.reason}" for told in ignored]
        if self.line.binary == "smaug-instrumented":
            lines.append("no dynamic trace is written: none is needed")
        return [*lines, self.run.headline()]


def smaug(session: Session, command: Sequence[str], *, explain: bool = False) -> SmaugResult:
    """Run a command line of SMAUG's manual: gem5-Aladdin's, or SMAUG's own.

    Args:
        session: Session that simulates the network.
        command: Words of the command, such as [".../smaug", "topo.pbtxt", "params.pb"].
        explain: Whether to list only the flags, without reading any file.

    Raises:
        InputError: the program is another one, a flag is unknown (the error suggests the nearest
            one) or refused, or a file is invalid.
    """
    line = parse_command(command)
    if explain:
        return SmaugResult(line)
    line.refuse()
    from lydite.compat.smaug.command.chip import chip_of, debug_level, level_of
    from lydite.compat.smaug.topology.network import network_of_file
    from lydite.compat.smaug.topology.reader import read_smaug

    chip, threads = chip_of(line)
    level = level_of(line)
    debug_level(line)
    network = network_of_file(Path(line.topology))
    graph = read_smaug(line.topology, line.params or None)
    run = session.chip(graph, design=chip, threads=threads, sample_level=level, compat="smaug")
    return SmaugResult(line, network, run, threads)


def flags_text(line: CommandLine) -> str:
    """One line per flag: how it is treated, and why."""
    written = [shorten(f"{t.flag} {t.value}".strip(), _FLAG_WIDTH) for t in line.told]
    width = max(map(len, ["flag", *written]))
    lines = [f"{'flag':<{width}}  becomes   reason"]
    for flag, told in zip(written, line.told, strict=True):
        start = f"{flag:<{width}}  {told.fate:<8}  "
        lines.append(
            fill(told.reason, 100, initial_indent=start, subsequent_indent=" " * len(start))
        )
    return "\n".join(lines)


_FLAG_WIDTH = 40


def _flag(told: Any) -> FlagDocument:
    return {
        "flag": told.flag,
        "value": told.value,
        "fate": told.fate,
        "reason": told.reason,
    }


def _log(line: CommandLine, network: Network, run: ChipResult) -> str:
    from lydite.compat.smaug.command import log
    from lydite.compat.smaug.command.chip import debug_level

    count = run.network.chip.accelerators
    after = _after(line, run, debug_level(line))
    return "\n".join(
        [
            f"Model topology file: {line.topology}",
            f"Model parameters file: {line.params}",
            f"Number of accelerators: {count}",
            log.banner("Loading the network model..."),
            *log.summary_lines(network),
            *log.tiling_lines(network),
            *log.scheduling_lines(network, after),
        ]
    )


def _after(line: CommandLine, run: ChipResult, level: int) -> dict[str, list[str]]:
    """Lines to print after an operator is scheduled, by the operator's name."""
    lines: dict[str, list[str]] = {}
    if level > 0:
        for layer in run.document()["layers"]:
            lines[layer["name"]] = [
                f"  {layer['invocations']} invocations, {layer['cycles']:.0f} cycles"
            ]
    if "--gem5" in line.values:
        program = f"./{line.values.get('--outdir', 'outputs')}/nnet_fwd"
        for name, block in run.aladdin_blocks(program):
            lines.setdefault(name, []).append(block)
    return lines
