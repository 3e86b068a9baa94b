"""Progress on standard error: a bar on a terminal, a line at each quarter elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int, str], None]


@contextmanager
def progress_bar(label: str, quiet: bool = False) -> Iterator[Progress]:
    """Show a bar with the remaining time on standard error; nothing if `quiet`."""
    if quiet:
        yield _silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(label)
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


def _lines(label: str) -> Progress:
    """Without a terminal: print a line with the remaining time at each quarter."""
    start, said = time.monotonic(), [0]

    def report(done: int, total: int, now: str, /) -> None:
        del now
        quarter = 4 * done // total if total else 0
        if quarter > said[0]:
            said[0] = quarter
            left = (time.monotonic() - start) / done * (total - done)
            print(f"{label}: {done} of {total}, about {left:.0f} s left", file=sys.stderr)

    return report


def _silent(_done: int, _total: int, _now: str, /) -> None:
    pass
