"""Commands that other packages declare, as functions for typer."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from lydite.api import Command, Help
from lydite.cli import options, recording
from lydite.results import clocked


def command_of(declared: Command) -> Callable[..., None]:
    """The function with --out, --json, --quiet and --record added; it prints the result."""
    run = declared.run
    hints = get_type_hints(run, include_extras=True)
    _, *own = inspect.signature(run).parameters.values()

    @functools.wraps(run)
    def called(*, out: Path | None, json: bool, quiet: bool, **given: Any) -> None:
        from lydite.cli.show import deliver, say, session

        result = clocked(run)(session(quiet=quiet or json), **given)
        if deliver(result, json=json, out=out):
            for advice in result.advice():
                say(advice, quiet)

    shared = {"out": (options.Out, None), "json": (options.Json, False)}
    shared |= {"quiet": (options.Quiet, False)}
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [p.replace(annotation=_spelled(p, hints[p.name]), kind=keyword) for p in own]
    parameters += [
        inspect.Parameter(name, keyword, default=default, annotation=note)
        for name, (note, default) in shared.items()
    ]
    options.with_parameters(called, parameters)
    called.__doc__ = (inspect.getdoc(run) or "").partition("\n\nArgs:")[0]
    return recording.optional(called)


def _spelled(parameter: inspect.Parameter, hint: Any) -> Any:
    """A parameter with a `Help`, as typer's argument, or as an option if it has a default."""
    notes = getattr(hint, "__metadata__", ())
    note = next((note for note in notes if isinstance(note, Help)), None)
    if note is None:
        return hint
    if parameter.default is inspect.Parameter.empty:
        told = typer.Argument(help=note.text, min=note.min, max=note.max)
    else:
        told = options.option_of(parameter.name, note)
    return Annotated[get_args(hint)[0], told]


def settings_of(declared: Command) -> dict[str, Any]:
    """Parser settings for what comes after the first word."""
    return {"allow_interspersed_args": False} if declared.takes_rest else {}
