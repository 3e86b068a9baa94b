"""Output to users: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from lydite.api import Session
from lydite.cli import recording
from lydite.results import visible

if TYPE_CHECKING:
    from lydite.results import Result


def session(db: str | None = None, *, seed: int = 0, quiet: bool = False) -> Session:
    """The session of a command, with progress bars on standard error unless quiet."""

    def bar(label: str) -> AbstractContextManager[Callable[[int, int, str], None]]:
        from lydite.report.progress import progress_bar

        return progress_bar(label, quiet)

    return Session(db, seed=seed, progress=None if quiet else bar)


def deliver(
    result: Result,
    *,
    json: bool,
    out: Path | None = None,
    text: Callable[[], str] | None = None,
    keep: bool = True,
) -> bool:
    """Print a result as JSON or text, write it into the folder `out`, and keep it as a run.

    Args:
        result: Result of a verb.
        json: Whether to print the document.
        out: Folder for VERB.json; None to write no file.
        text: Text to print otherwise; None for the result's summary.
        keep: Whether to keep it as a run where the user asks for that with --record.

    Returns:
        Whether text was printed, so that advice may follow.
    """
    if out is not None:
        from lydite.files import write_atomic

        say(f"written: {write_atomic(out / f'{result.verb}.json', result.to_json() + chr(10))}")
    print(result.to_json() if json else visible((text or result.summary)()))
    if run := recording.keep(result) if keep else "":
        say(f"recorded: run {run[:8]}")
    return not json


def say(text: str, quiet: bool = False) -> None:
    """Print a line for people on standard error, so that standard output holds only results."""
    if not quiet:
        print(visible(text), file=sys.stderr)
