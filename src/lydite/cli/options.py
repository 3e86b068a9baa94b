"""Options of the command line, derived from the groups of options in `lydite.api`.

A command decorated with `takes_options` declares a parameter whose type is such a group, a frozen
dataclass, and gets every field as an option; `Without` leaves some out.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from lydite.api.options import Help, ModelOptions, Options, check_number, help_of
from lydite.records import dataclass

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document, with units in its keys.")
]


def quantity(
    flag: str,
    unit: str,
    help: str,
    *aliases: str,
    min: float | None = None,
    max: float | None = None,
) -> Any:
    """An option that takes a quantity: a bare number of the unit, or one with a unit of its kind.

    Args:
        flag: Spelling.
        unit: Unit of a bare number, as `lydite.units.parse_number` takes it.
        help: What it does, with the unit.
        aliases: Other spellings.
        min, max: Limits, in the unit.
    """

    def parsed(given: str | float) -> float:
        from lydite.units import parse_number

        value = parse_number(given, unit, where=flag)
        check_number(value, flag, min, max, unit)
        return value

    metavar = f"NUMBER[{unit}]"
    return typer.Option(flag, *aliases, parser=parsed, metavar=metavar, min=min, max=max, help=help)


def _hushed(quiet: bool) -> bool:
    if quiet:
        from lydite.engine.compiled import hush

        hush()
    return quiet


Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", callback=_hushed, help="Show no progress and no advice.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder for output files.")]
Seed = Annotated[
    int, typer.Option("--seed", min=0, help="Random seed of weights, inputs and measuring order.")
]
DatabaseTarget = Annotated[
    str | None,
    typer.Option(
        "--db",
        help="Database: a file or a postgresql:// URL; default: LYDITE_DB, else the user's own.",
    ),
]
Models = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL...", help="Names of the model set, or files (see `lydite inspect -h`)."
    ),
]
AnyModels = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODEL...]", help="Names of the model set, or files (see `lydite inspect -h`)."
    ),
]
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Name of the model set; an .onnx, .pbtxt or .json file; a config.json or its folder.",
    ),
]
BackendName = Annotated[
    str,
    typer.Option("--backend", help="Backend of operators: onnxruntime, torch, tuned, replay."),
]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Number of threads per operator.")]
On = Annotated[str, typer.Option("--on", help="Device: cpu, a catalog name, or a .yaml file.")]
Budget = Annotated[
    float, quantity("--budget", "s", "Seconds to spend on each measurement.", min=0.01)
]
ClockName = Annotated[
    str, typer.Option("--clock", help="Clock: wall (latency) or process (CPU time).")
]
Cache = Annotated[
    str,
    typer.Option(
        "--cache",
        help="Cache state of weights before a call: rotated (as in a network), hot or cold.",
    ),
]
Runtime = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        help="Runtime that decides fusions, attention and the cost of a launch: eager, sdpa, "
        "compile, graphs, megatron, onnxruntime, tensorrt, vllm, sglang or trtllm; default: all "
        "fusions.",
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Ray cluster that computes: HOST:PORT; auto (RAY_ADDRESS, else the node on this "
        "machine); or local (a private one on this machine).",
    ),
]
Where = Annotated[str, typer.Option("--device", help="Device of the backend: cpu or cuda.")]

AS_IT_IS = ModelOptions()


@dataclass(frozen=True)
class Without:
    """Fields of a group that a command does not take; they keep their defaults."""

    names: tuple[str, ...]


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each field of its parameters that are groups of options."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, tuple[type[Any], list[str]]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        hint = hints[parameter.name]
        kind, less = _group(hint)
        if kind is not None:
            names = [f.name for f in fields(kind) if f.name not in less]
            groups[parameter.name] = kind, names
            parameters += _as_parameters(kind, names)
        else:
            keyword = inspect.Parameter.KEYWORD_ONLY
            parameters.append(parameter.replace(annotation=hint, kind=keyword))

    @functools.wraps(command)
    def called(**given: Any) -> None:
        made = {
            spot: kind(**{name: _value(kind, name, given.pop(name)) for name in names})
            for spot, (kind, names) in groups.items()
        }
        command(**given, **made)

    return with_parameters(called, parameters)


def with_parameters(
    command: Callable[..., None], parameters: Sequence[inspect.Parameter]
) -> Callable[..., None]:
    """The command, with these parameters for typer to read."""
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _group(hint: Any) -> tuple[type[Any] | None, tuple[str, ...]]:
    """The group of options of a parameter, and the fields to leave out."""
    less: tuple[str, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        less = next((note.names for note in notes if isinstance(note, Without)), ())
    is_group = isinstance(hint, type) and issubclass(hint, Options)
    return (hint if is_group else None), less


def _value(kind: type[Any], name: str, given: Any) -> Any:
    """Repeatable options become tuples."""
    default = kind.__dataclass_fields__[name].default
    return tuple(given or ()) if isinstance(default, tuple) else given


def _as_parameters(kind: type[Any], names: list[str]) -> list[inspect.Parameter]:
    types, notes = get_type_hints(kind), help_of(kind)
    return [_parameter(kind, name, types[name], notes[name]) for name in names]


def _parameter(kind: type[Any], name: str, type_: Any, note: Help) -> inspect.Parameter:
    default = kind.__dataclass_fields__[name].default
    if isinstance(default, tuple):
        type_, default = list[str] | None, None
    return keyword(name, Annotated[type_, option_of(name, note)], default)


def option_of(name: str, note: Help) -> Any:
    """The option of a field or a parameter."""
    flag = note.flag or f"--{name.replace('_', '-')}"
    if note.unit:
        return quantity(flag, note.unit, note.text, *note.aliases, min=note.min, max=note.max)
    return typer.Option(flag, *note.aliases, min=note.min, max=note.max, help=note.text)


def keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """A parameter that is given by name."""
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
