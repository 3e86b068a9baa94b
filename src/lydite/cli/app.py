"""The table of commands. Each is imported when it is asked for, so that none waits for others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, MutableMapping
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.main
from typer.core import TyperGroup

from lydite import __version__
from lydite.api import COMMANDS

if TYPE_CHECKING:
    from typer._click.core import Command, Context, Parameter
    from typer._click.formatting import HelpFormatter

SUMMARIES = {
    "demo": "Measure a large CNN, a depthwise CNN and a transformer; predict each from its "
    "operators.",
    "doctor": "Inspect this machine: processor, memory, accelerators, backends, sensors, packages.",
    "models": "List the model set: parameters, FLOPs and default input of each model.",
    "inspect": "Show a model: operators, shapes, parameters, FLOPs, bytes, arithmetic intensity.",
    "profile": "Measure operators and store them in the database; known ones are not measured "
    "again.",
    "predict": "Predict a model from its operators: time with bounds, sources and coverage.",
    "coverage": "Show the measured share of models: by node, by type (as AISim defines them), by "
    "time.",
    "ops": "List the operators that take longest: share of time, work, what bounds them, "
    "schedules.",
    "bench": "Measure a model as it is used: latency distribution, throughput, memory.",
    "monitor": "Watch power, energy, use and clocks of the devices while a command runs, or by "
    "themselves.",
    "validate": "Measure operators and whole models alternately, and compare the prediction with "
    "the whole.",
    "turning-point": "Find where more threads or a larger batch stop paying, with an interval and "
    "the reason.",
    "corun": "Find which parts of a model gain from running side by side, and run them so.",
    "place": "Place operators on unlike devices with transfer costs, or let models share them.",
    "simulate": "Simulate a training or inference step: time, breakdown, memory, energy and cost.",
    "serve": "Serve a language model to a workload, in virtual time: latencies, throughput, GPUs "
    "needed.",
    "collective": "Time one collective on a cluster: bandwidths, algorithm and protocol, limiting "
    "link.",
    "chip": "Simulate a network on a chip: cycles and stalls by layer, energy, area.",
    "calibrate": "Fit constants that no operator measurement gives (launches, efficiencies) to "
    "measured steps.",
    "runs": "List the runs in the database, or show one.",
    "aisim": "Run an AISim benchmark folder: coverage of its databases, step times, accuracy.",
    "smaug": "Run a command line of SMAUG's manual: summary, tiling, schedule, Aladdin's results.",
    "learn": "Learned estimator: fit it on rows of others, and judge it on devices left out.",
    "mlperf": "MLPerf Inference: preprocess, build, calibrate, run, peak, tune, check.",
    "score": "Run a set of models on a device, watch it, and score it against a baseline of 1000.",
    "tune": "Tune operators, and run the model with what is shown to be faster than ONNX Runtime's."
    " `lydite tune MODEL` is short for `lydite tune model MODEL`.",
    "db": "The database: query, stats, import, export, merge.",
    "farm": "Farm of machines that measure for others: worker, status, drain.",
    "ui": "Show the database in a browser: runs, measurements, comparisons, coverage, rooflines.",
}
"""First paragraph of each command's own help, in the order of the help text."""
TAKES_REST = {"monitor"}
"""Commands whose own options end at the first word, which starts another program's."""

DECLARED = {"aisim", "smaug"}
"""Those that come from the registry of commands."""
PLAIN: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


class Commands(MutableMapping[str, "Command"]):
    """Commands by name: ours and those of the registry `lydite.commands`, made when asked for."""

    def __init__(self) -> None:
        self._made: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in self._made:
            self._made[name] = _made(name)
        return self._made[name]

    def __setitem__(self, name: str, command: Command) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        yield from SUMMARIES
        yield from (name for name in COMMANDS if name not in SUMMARIES)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Table(TyperGroup):
    """The group of all commands, whose help text imports none of our own."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = Commands()

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Split the arguments into the group's own, and the command with its own."""
        _leave_out(self, ctx)
        return super().parse_args(ctx, args)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """The command of a name; None if there is none."""
        found = super().get_command(ctx, cmd_name)
        if found is not None:
            _leave_out(found, ctx)
        return found

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write each command's name and the beginning of its summary."""
        from typer._click.utils import make_default_short_help

        del ctx
        limit = formatter.width - 6 - max(map(len, self.commands))
        rows = [
            (name, make_default_short_help(SUMMARIES[name], limit))
            if name in SUMMARIES
            else (name, self.commands[name].get_short_help_str(limit))
            for name in self.commands
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _made(name: str) -> Command:
    """One command, from the file of its name or from the registry.

    Raises:
        KeyError: there is none.
    """
    group = typer.Typer(**PLAIN)
    group.callback()(lambda: None)
    if name in SUMMARIES and name not in DECLARED:
        word = name.replace("-", "_")
        module = import_module(f"lydite.cli.{word}")
        if hasattr(module, "app"):
            group.add_typer(module.app, name=name)
        else:
            settings = {"allow_interspersed_args": name not in TAKES_REST}
            group.command(name, context_settings=settings)(getattr(module, word))
    elif name in COMMANDS:
        from lydite.cli.declared import command_of, settings_of

        declared = COMMANDS.find(name)
        group.command(name, context_settings=settings_of(declared))(command_of(declared))
    else:
        raise KeyError(name)
    made = typer.main.get_command(group)
    assert isinstance(made, TyperGroup)
    _leave_out(made.commands[name])
    return made.commands[name]


def _leave_out(command: Command, ctx: Context | None = None) -> None:
    """Convert only what is given and no text: typer makes a pydantic adapter for each, slowly."""
    known = command.params if ctx is None else [command.get_help_option(ctx)]
    for parameter in filter(None, known):
        setattr(parameter, "process_value", _given(parameter))  # noqa: B010, an instance's
    for inner in getattr(command, "commands", {}).values() if ctx is None else ():
        _leave_out(inner)


def _given(parameter: Parameter) -> Callable[[Context, Any], Any]:
    convert = parameter.process_value

    def converted(ctx: Context, value: Any) -> Any:
        if value is not None or parameter.required:
            found = None if parameter.callback else _plain(parameter, value)
            return convert(ctx, value) if found is None else found
        value = () if parameter.multiple or parameter.nargs == -1 else None
        return parameter.callback(ctx, parameter, value) if parameter.callback else value

    return converted


_NUMBER = {int: re.compile(r"-?[0-9]{1,15}"), float: re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")}


def _plain(parameter: Parameter, value: Any) -> Any:
    """The value of an option of text or numbers; None where more has to be looked at."""
    described: Any = getattr(parameter, "type_descriptor", None)
    kind: Any = getattr(described, "annotation", None)
    info: Any = getattr(described, "parameter_info", None)
    if getattr(info, "parser", None) is not None:
        return None  # a quantity, which may have a unit
    if kind in (str, bool) and type(value) is kind:
        return value
    if kind == list[str] and isinstance(value, tuple):
        return list(value) if value and all(type(each) is str for each in value) else None
    if kind not in _NUMBER or not _NUMBER[kind].fullmatch(str(value)):
        return None
    number = kind(value)
    low, high = (getattr(info, name, None) for name in ("min", "max"))
    inside = (low is None or number >= low) and (high is None or number <= high)
    return number if inside else None


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lydite {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app = typer.Typer(
    cls=Table,
    name="lydite",
    help="How fast is a deep-learning model on a system, what does it cost, and why? "
    "Measured, predicted or simulated.",
    no_args_is_help=True,
    **PLAIN,
)
app.callback()(_root)
