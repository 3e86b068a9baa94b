"""`--record`: results of commands that are kept as runs of the database.

A command decorated with `optional` has the flag, and every result that it gives to `show.deliver`
is kept where the user asks for it. A command decorated with `always` measures, so its verb keeps a
run by itself; its help says so.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lydite.cli import options
from lydite.errors import InputError
from lydite.records import dataclass

if TYPE_CHECKING:
    from lydite.results import Result

_Flag = Annotated[
    bool,
    typer.Option("--record", help="Keep the result as a run of the database, for `lydite ui`."),
]
_Target = Annotated[
    str | None,
    typer.Option(
        "--db",
        help="Database of --record: a file or a postgresql:// URL; default: LYDITE_DB, else the "
        "user's own.",
    ),
]
_SILENT = frozenset({"ctx", "db", "json", "out", "quiet", "ray", "record"})
"""Parameters of a command that say nothing about its result."""
_ENDING = ("seed", "out", "json", "quiet")
ALWAYS = "Each measurement is kept as a run of the database, for `lydite ui`."


@dataclass(frozen=True)
class _Asked:
    """The database of a command's --record, and what the user gave to get the result."""

    db: str | None
    arguments: Mapping[str, Any]


_asked: ContextVar[_Asked | None] = ContextVar("record", default=None)


def optional(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command its options and --record, and --db for it where it has none of its own.

    Raises:
        InputError: (when called) --db is given without --record, where it has no effect.
    """
    command = options.takes_options(command)
    parameters = list(inspect.signature(command).parameters.values())
    names = [parameter.name for parameter in parameters]
    reads_one = "db" in names
    place = len(names)
    while place and names[place - 1] in _ENDING:
        place -= 1
    place = names.index("db") + 1 if reads_one else place
    added = [options.keyword("record", _Flag, False)]
    added += [] if reads_one else [options.keyword("db", _Target, None)]
    parameters[place:place] = added
    defaults = {parameter.name: parameter.default for parameter in parameters}

    @functools.wraps(command)
    def called(**given: Any) -> None:
        chosen = {name: value for name, value in given.items() if value != defaults[name]}
        is_wanted = given.pop("record")
        db = given["db"] if reads_one else given.pop("db")
        if db is not None and not (reads_one or is_wanted):
            raise InputError("--db names the database of --record", hint="add --record")
        before = _asked.set(_Asked(db, _as_json(chosen)) if is_wanted else None)
        try:
            command(**given)
        finally:
            _asked.reset(before)

    return options.with_parameters(called, parameters)


def always(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command its options, and say in its help that its verb records its runs."""
    made = options.takes_options(command)
    made.__doc__ = f"{inspect.getdoc(command)}\n\n{ALWAYS}"
    return made


def is_asked() -> bool:
    """Whether the user gave --record to the command that runs."""
    return _asked.get() is not None


def keep(result: Result) -> str:
    """Keep a result if the user asked for it; the id of its run, "" if nobody did.

    What a verb recorded by itself is not recorded again.
    """
    asked = _asked.get()
    if asked is None or result.run_id:
        return result.run_id if asked else ""
    from lydite.api import Session

    return Session(asked.db).record(result, arguments=asked.arguments).run["id"]


def _as_json(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as JSON values, without those that say nothing about the result."""
    return {name: _plain(value) for name, value in given.items() if name not in _SILENT}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value
