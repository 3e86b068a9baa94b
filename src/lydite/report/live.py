"""A table on standard error that shows the latest readings while they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from lydite.measure.telemetry.follow import Latest

_COLUMNS = ("device", "use", "W", "MB", "°C", "MHz", "memory MHz", "throttle")
_PLACES = (
    ("utilisation_percent", 1.0, "{:.0f} %"),
    ("power_w", 1.0, "{:.1f}"),
    ("memory_bytes", 1e-6, "{:.0f}"),
    ("temperature_c", 1.0, "{:.0f}"),
    ("clock_hz", 1e-6, "{:.0f}"),
    ("memory_clock_hz", 1e-6, "{:.0f}"),
)


@contextmanager
def live_table(quiet: bool = False) -> Iterator[Callable[[Sequence[Latest]], None] | None]:
    """A function that shows readings; None if `quiet`, or if nobody looks at a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    from rich.live import Live

    start_s = time.monotonic()
    with Live(console=console, transient=True, redirect_stdout=False) as live:
        yield lambda latest: live.update(
            table_of(latest, f"{time.monotonic() - start_s:.0f} s"), refresh=True
        )


def table_of(latest: Sequence[Latest], title: str) -> Table:
    """A row for each device; "-" is what cannot be read."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for number, name in enumerate(_COLUMNS):
        table.add_column(name, justify="left" if number in (0, len(_COLUMNS) - 1) else "right")
    for each in latest:
        cells = [
            form.format(each.values[channel] * factor) if channel in each.values else "-"
            for channel, factor, form in _PLACES
        ]
        table.add_row(escape(each.device.id), *cells, escape(each.throttle or "-"))
    return table
