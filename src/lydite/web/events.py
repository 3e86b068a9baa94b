"""Server-sent events: rows of tables that appear while a page is open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from lydite.api import dashboard
from lydite.api.dashboard import Reader
from lydite.errors import LyditeError, StoreError
from lydite.report.view import Cell
from lydite.web.pages.measurements import row_of as measured_row
from lydite.web.pages.runs import row_of as run_row
from lydite.web.render import row_html
from lydite.web.urls import Urls

MOST_STREAMS = 24
PAUSE_S = 1.0
SILENCE_PER_SIGN = 15
"""Number of pauses without news after which a sign of life is sent."""
END = "event: end\ndata: end\n\n"


class Streams:
    """Counts open streams, as each asks the database once a second."""

    def __init__(self, most: int = MOST_STREAMS) -> None:
        self._most = most
        self._open = 0

    async def answer(self, events: AsyncIterator[str]) -> Response:
        """The stream as an answer.

        Raises:
            StoreError: too many are open.
        """
        if self._open >= self._most:
            raise StoreError(
                f"{self._most} live pages are open already", hint="close one, then reload"
            )
        return StreamingResponse(self._counted(events), media_type="text/event-stream")

    async def _counted(self, events: AsyncIterator[str]) -> AsyncIterator[str]:
        self._open += 1
        try:
            async for text in events:
                yield text
        except LyditeError as error:
            yield message([Cell(f"Stopped: {error}", tone="bad")])
            yield END
        finally:
            self._open -= 1


def message(cells: list[Cell], identity: str = "") -> str:
    """A row as an event that is added to the table; a browser sends the last id on its return."""
    head = f"id: {identity}\n" if identity else ""
    return f"{head}data: {row_html(cells)}\n\n"


async def run_events(reader: Reader, urls: Urls, run: str, since: str) -> AsyncIterator[str]:
    """Measurements of a run as they are stored, until it ends.

    Args:
        reader: Database.
        urls: Where pages are.
        run: Id of the run.
        since: Time in UTC up to which the browser has the measurements; "" if it has none.
    """
    known = await run_in_threadpool(dashboard.measured_until, reader, run, since)
    quiet = 0
    while True:
        line = (await run_in_threadpool(dashboard.run, reader, run)).line
        rows = await run_in_threadpool(dashboard.new_measurements, reader, run, known)
        known |= {row.id for row in rows}
        for row in rows:
            yield message(measured_row(row, urls), row.measured_at)
        if line.status != "running" and not rows:
            end = urls.to("run", id=run)
            yield message([Cell(f"The run is {line.status}: reload for its result", end)])
            yield END
            return
        quiet = 0 if rows else quiet + 1
        if quiet % SILENCE_PER_SIGN == 1:
            yield ": still here\n\n"
        await asyncio.sleep(PAUSE_S)


async def runs_events(reader: Reader, urls: Urls) -> AsyncIterator[str]:
    """Runs that begin, and runs that end."""
    known = {
        line.id: line.status for line in (await run_in_threadpool(dashboard.runs, reader)).rows
    }
    quiet = 0
    while True:
        page = await run_in_threadpool(dashboard.runs, reader)
        changed = [line for line in reversed(page.rows) if known.get(line.id) != line.status]
        known |= {line.id: line.status for line in changed}
        for line in changed:
            yield message(run_row(line, urls))
        quiet = 0 if changed else quiet + 1
        if quiet % SILENCE_PER_SIGN == 1:
            yield ": still here\n\n"
        await asyncio.sleep(PAUSE_S)
