"""A table on standard error that shows the latest readings while they come.

What the command prints on the same terminal would be drawn over. So it prints to a terminal of its
own, from which its lines are shown above the table.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.live import Live
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
_PROMPT_S = 0.3
"""Time in seconds after which a line without an end is shown, as it may be a prompt."""


class LiveTable:
    """The table.

    Attributes:
        stdout, stderr: Descriptors that a command has to print to; None for the usual ones.
    """

    def __init__(
        self, live: Live, lock: threading.Lock, stdout: int | None, stderr: int | None
    ) -> None:
        self._live, self._lock, self._start_s = live, lock, time.monotonic()
        self.stdout, self.stderr = stdout, stderr

    def show(self, latest: Sequence[Latest]) -> None:
        """Draw the latest readings."""
        title = f"{time.monotonic() - self._start_s:.0f} s"
        with self._lock:
            self._live.update(table_of(latest, title), refresh=True)


@contextmanager
def live_table(quiet: bool = False) -> Iterator[LiveTable | None]:
    """The table within a block; None if `quiet`, or if nobody looks at a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    from rich.live import Live

    master, slave = os.openpty()
    # The table and the lines above it are drawn by two threads, one at a time.
    lock = threading.Lock()
    with Live(console=console, transient=True, redirect_stdout=False, auto_refresh=False) as live:
        termios.tcsetwinsize(slave, (console.height, console.width))
        ended = threading.Event()
        relay = threading.Thread(target=_relay, args=(master, live, lock, ended), daemon=True)
        relay.start()
        try:
            yield LiveTable(live, lock, slave if sys.stdout.isatty() else None, slave)
        finally:
            os.close(slave)
            ended.set()
            relay.join()
            os.close(master)


def _relay(master: int, live: Live, lock: threading.Lock, ended: threading.Event) -> None:
    """Print above the table what comes, line by line, until the other end is closed.

    What the command left running may hold the other end open, so it also stops when all is over.
    """
    from rich.text import Text

    def show(line: bytes) -> None:
        text = line.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace")
        with lock:
            live.console.print(Text.from_ansi(text))

    rest = b""
    while True:
        if not select.select([master], [], [], _PROMPT_S)[0]:
            if rest and b"\r" not in rest:
                show(rest)
                rest = b""
            if ended.is_set():
                break
            continue
        try:
            told = os.read(master, 1 << 16)
        except OSError:  # Linux's way to say that the other end is closed
            told = b""
        if not told:
            break
        *lines, rest = (rest + told).split(b"\n")
        for line in lines:
            show(line)
    if rest:
        show(rest)


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
