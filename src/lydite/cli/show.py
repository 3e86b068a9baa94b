"""What users see: tables of at most 100 columns, progress on standard error, JSON on request."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lydite.files import write_atomic

if TYPE_CHECKING:
    from lydite.measure import Progress

WIDTH = 100


def print_json(document: Any) -> None:
    """One JSON document; what is not a number is null."""
    typer.echo(_json(document))


def deliver(name: str, document: Any, out: Path | None, *, as_json: bool) -> bool:
    """Write the result into the folder `out` as NAME.json, and print it if JSON was asked for.

    Returns:
        Whether it was printed, so that nothing else should be.
    """
    if out is not None:
        path = write_atomic(out / f"{name}.json", _json(document) + "\n")
        say(f"written: {path}")
    if as_json:
        typer.echo(_json(document))
    return as_json


def _json(document: Any) -> str:
    return json.dumps(_finite(document), indent=1, ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Plain text: the first column to the left, the others to the right, cut at 100 columns.

    A column whose name starts with "<" is set to the left as well.
    """
    names = [name.removeprefix("<") for name in columns]
    cells = [names, *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    excess = sum(widths) + 2 * (len(widths) - 1) - WIDTH
    if excess > 0:
        widest = widths.index(max(widths))
        widths[widest] = max(8, widths[widest] - excess)
    lines = [title] if title else []
    for number, row in enumerate(cells):
        parts = [
            _fit(cell, width).ljust(width)
            if i == 0 or columns[i].startswith("<")
            else _fit(cell, width).rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(parts).rstrip())
        if number == 0:
            lines.append("  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _fit(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def say(text: str, quiet: bool = False) -> None:
    """A line for people, on standard error, so that standard output stays a result."""
    if not quiet:
        print(text, file=sys.stderr)


@contextmanager
def progress_bar(label: str, quiet: bool) -> Iterator[Progress]:
    """A bar with the time left, on standard error; nothing when quiet or not a terminal."""
    if quiet:
        yield _silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not console.is_terminal:
        with _lines(label) as report:
            yield report
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(24),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[now]}"),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=None, now="")

        def update(done: int, total: int, now: str, /) -> None:
            bar.update(task, completed=done, total=total, now=now)

        yield update


@contextmanager
def _lines(label: str) -> Iterator[Progress]:
    """Without a terminal: a line at each quarter, with the time left."""
    import time

    start, said = time.monotonic(), [0]

    def report(done: int, total: int, now: str) -> None:
        del now
        quarter = 4 * done // total if total else 0
        if quarter > said[0]:
            said[0] = quarter
            left = (time.monotonic() - start) / done * (total - done)
            print(f"{label}: {done} of {total}, about {left:.0f} s left", file=sys.stderr)

    yield report


def _silent(done: int, total: int, now: str) -> None:
    del done, total, now


def percent(value: float, digits: int = 1) -> str:
    """0.0532 -> "5.3 %"."""
    return f"{100 * value:.{digits}f} %"


def signed_percent(value: float) -> str:
    """0.0532 -> "+5.3 %"; what rounds to nothing is +0.0 %."""
    return f"{round(100 * value, 1) + 0.0:+.1f} %"
