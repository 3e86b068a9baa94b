"""The application: routes to pages, files of the package, and errors as pages."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from lydite.api import dashboard
from lydite.api.dashboard import MOST_CONNECTIONS, NoSuchRecord, Reader
from lydite.errors import InputError, LyditeError, StoreError, unknown_name
from lydite.report.view import Cell, Text, View
from lydite.web.body import LEVEL, SMALLEST, Body
from lydite.web.events import Streams, run_events, runs_events
from lydite.web.guard import OnlyReads, SafeHeaders, TokenCheck
from lydite.web.pages import FOLDER_PAGES, PAGES
from lydite.web.pages.parameters import needed
from lydite.web.pages.timelines import Shelf, bars, slice_at
from lydite.web.recent import Recent
from lydite.web.render import page_of, static_version
from lydite.web.urls import PATHS, ServerUrls

_STATIC: list[str | tuple[str, str]] = [("lydite.web", "static"), ("lydite.report", "static")]
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def make_app(
    reader: Reader,
    *,
    token: str,
    port: int,
    allow_hosts: Sequence[str] = (),
    timelines: Path | None = None,
    kept_s: float = 0.0,
) -> ASGIApp:
    """The dashboard as an ASGI application.

    Args:
        reader: Database to show.
        token: Text that the first address must hold.
        port: Port of the server, for the name of the cookie.
        allow_hosts: Names under which others than this machine's browser reach it.
        timelines: Folder of timelines; None for none.
        kept_s: Seconds for which a page is given again to others who ask for it; 0 for never.

    Raises:
        InputError: there is no such folder.
    """
    site = Site(reader, Shelf(timelines) if timelines else None, Recent(kept_s))
    inner = Starlette(
        routes=site.routes(),
        middleware=[Middleware(GZipMiddleware, minimum_size=SMALLEST, compresslevel=LEVEL)],
        exception_handlers={
            LyditeError: site.refused,
            HTTPException: site.not_served,
            Exception: site.failed,
        },
        lifespan=_fewer_threads,
    )
    checked = TokenCheck(inner, token, port, site.error)
    known = TrustedHostMiddleware(checked, [*LOOPBACK, *allow_hosts], www_redirect=False)
    return SafeHeaders(OnlyReads(known, site.error))


class _ImmutableFiles(StaticFiles):
    """Files whose addresses change with their content."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        answer = super().file_response(*args, **kwargs)
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer


class Site:
    """Pages of one database."""

    def __init__(self, reader: Reader, shelf: Shelf | None, recent: Recent[Body]) -> None:
        self.reader = reader
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.recent = recent
        self.shelf = shelf
        self.urls = ServerUrls(static_version(), () if shelf else FOLDER_PAGES)
        self.streams = Streams()

    def routes(self) -> list[Any]:
        """A route for each page, and those that are no pages."""
        pages = [
            Route(PATHS[name], self._endpoint(page, self.reader)) for name, page in PAGES.items()
        ]
        if self.shelf:
            pages += [
                Route(PATHS[name], self._endpoint(page, self.shelf))
                for name, page in FOLDER_PAGES.items()
            ]
            pages += _folder_routes(self.shelf)
        return [
            Route("/", lambda _request: RedirectResponse(self.urls.to("runs"), 303)),
            *pages,
            Route(PATHS["run_json"], self._run_json),
            Route(PATHS["run_events"], self._run_events),
            Route(PATHS["events"], self._events),
            Mount("/static", _ImmutableFiles(packages=_STATIC)),
        ]

    def _endpoint(
        self, page: Callable[..., View], source: Reader | Shelf
    ) -> Callable[[Request], Awaitable[Response]]:
        names = _names(page)

        async def endpoint(request: Request) -> Response:
            def made() -> Body:
                view = page(source, self.urls, **_given(request, names))
                return Body.of(page_of(view, self.urls))

            address = f"{request.url.path}?{request.url.query}"
            turn = self._turns.setdefault(address, asyncio.Lock())
            body = self.recent.fresh(address)
            if body is None and self.recent.keeps:
                # Who waits for a page that is being made waits here, and holds no thread.
                async with turn:
                    body = self.recent.fresh(address)
                    if body is None:
                        body = await run_in_threadpool(self.recent.given, address, made)
            elif body is None:
                body = await run_in_threadpool(made)
            return body.answer(request)

        return endpoint

    def _show(self, view: View) -> HTMLResponse:
        return HTMLResponse(page_of(view, self.urls), view.status)

    def _run_json(self, request: Request) -> Response:
        identity = needed("id", _given(request, ["id"]).get("id", ""))
        detail = dashboard.run(self.reader, identity)
        if detail.result is None:
            raise NoSuchRecord(f"run '{identity}' has no result that can be sent")
        answer = Response(json.dumps(detail.result, indent=1), media_type="application/json")
        answer.headers["Content-Disposition"] = 'attachment; filename="result.json"'
        return answer

    async def _run_events(self, request: Request) -> Response:
        given = _given(request, ["id", "since"])
        since = request.headers.get("last-event-id") or given.get("since", "")
        events = run_events(self.reader, self.urls, needed("id", given.get("id", "")), since)
        return await self.streams.answer(events)

    async def _events(self, _request: Request) -> Response:
        return await self.streams.answer(runs_events(self.reader, self.urls))

    def refused(self, request: Request, error: Exception) -> Response:
        """An error of the user's input or of the database, as a page."""
        assert isinstance(error, LyditeError)
        status = 404 if isinstance(error, NoSuchRecord) else 400
        if isinstance(error, StoreError):
            status = 503
        blocks = [Text(f"{error.where}: {error.what}" if error.where else error.what)]
        if error.allowed:
            blocks.append(Text(f"Allowed: {error.allowed}."))
        blocks.append(Text(error.hint))
        other = self._other_kind(request) if status == 404 else None
        if other:
            blocks.append(other)
        answer = self._show(View(_TITLES[status], blocks, status=status))
        if status == 503:
            answer.headers["Retry-After"] = "5"
        return answer

    def _other_kind(self, request: Request) -> Text | None:
        """Where an id leads that is one of another kind."""
        identity = request.query_params.get("id", "")
        try:
            kind = dashboard.kind_of(self.reader, identity) if identity else None
        except StoreError:
            return None
        pages = {
            "run": self.urls.to("run", id=identity),
            "measurement": self.urls.to("measurement", id=identity),
            "operator": self.urls.to("measurements", op=identity),
            "device": self.urls.to("measurements", device=identity),
        }
        if kind is None or pages[kind].partition("?")[0] == request.url.path:
            return None
        return Text(f"It is the id of a {kind}:", [Cell(f"show the {kind}", pages[kind])])

    def not_served(self, request: Request, error: Exception) -> Response:
        """An address that is no page."""
        status = error.status_code if isinstance(error, HTTPException) else 404
        paths = [PATHS[name] for name in PAGES]
        hint = str(unknown_name("page", request.url.path, paths))
        return self.error(status, hint if status == 404 else "the request is refused", "")

    def failed(self, _request: Request, _error: Exception) -> Response:
        """A fault of ours; the traceback goes to the log only."""
        return self.error(500, "the page failed", "The terminal of `lydite ui` shows why.")

    def error(self, status: int, what: str, hint: str) -> Response:
        """A page that says what is wrong."""
        blocks = [Text(what), Text(hint)]
        return self._show(View(_TITLES.get(status, "Refused"), blocks, status=status))


_TITLES = {
    400: "This address is not right",
    401: "No entry without the token",
    403: "No entry with this token",
    404: "Not found",
    405: "Not allowed",
    500: "A fault of Lydite",
    503: "The database cannot be read",
}


def _folder_routes(shelf: Shelf) -> list[Route]:
    """What the viewer of timelines asks for."""

    def bars_of(request: Request) -> Response:
        body = bars(shelf, **_given(request, _names(bars)))
        return Response(body, media_type="application/octet-stream")

    def slice_of(request: Request) -> Response:
        return JSONResponse(slice_at(shelf, **_given(request, _names(slice_at))))

    def trace_of(request: Request) -> Response:
        name = needed("name", _given(request, ["name"]).get("name", ""))
        path = shelf.trace(name)
        if path is None:
            raise NoSuchRecord(f"no trace lies beside '{name}'")
        return FileResponse(path, filename=path.name)

    return [
        Route(PATHS["timeline_bars"], bars_of),
        Route(PATHS["timeline_slice"], slice_of),
        Route(PATHS["timeline_trace"], trace_of),
    ]


def _names(page: Callable[..., Any]) -> list[str]:
    """Parameters of the address that a page takes."""
    parameters = inspect.signature(page).parameters.items()
    return [name for name, each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY]


def _given(request: Request, allowed: Sequence[str]) -> dict[str, str]:
    """Parameters of the address.

    Raises:
        InputError: one is unknown, stands twice, or holds what no database can.
    """
    pairs = request.query_params.multi_items()
    for number, (name, value) in enumerate(pairs):
        if name not in allowed:
            raise unknown_name("parameter", name, allowed)
        if name in dict(pairs[:number]):
            raise InputError(f"'{name}' stands twice in the address")
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise InputError(f"'{name}' holds a character that no name has")
    return {name: value.strip() for name, value in pairs}


@asynccontextmanager
async def _fewer_threads(_app: Starlette) -> AsyncIterator[None]:
    # A thread holds at most one connection, so this never waits for the pool.
    anyio.to_thread.current_default_thread_limiter().total_tokens = MOST_CONNECTIONS
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, dashboard.warm_up)
        yield
