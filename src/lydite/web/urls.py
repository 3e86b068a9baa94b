"""URLs of pages: of a server, or files of an exported folder."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Protocol
from urllib.parse import urlencode


class Urls(Protocol):
    """Where pages are."""

    def to(self, page: str, **given: object) -> str:
        """URL of a page with these parameters; "" if it is not among the pages."""
        ...

    def static(self, name: str) -> str:
        """URL of a script or stylesheet."""
        ...


PATHS = {
    "runs": "/runs",
    "run": "/run",
    "run_json": "/run/result.json",
    "run_events": "/run/events",
    "measurements": "/measurements",
    "measurement": "/measurement",
    "coverage": "/coverage",
    "compare": "/compare",
    "beside": "/beside",
    "roofline": "/roofline",
    "timelines": "/timelines",
    "timeline": "/timeline",
    "timeline_bars": "/timeline/bars",
    "timeline_slice": "/timeline/slice",
    "timeline_trace": "/timeline/trace",
    "live": "/live",
    "events": "/events",
}
"""Path of each page. Ids go into the query, as they may be any text."""


class ServerUrls:
    """Paths and queries, from the root of the server."""

    def __init__(self, version: str, hidden: Collection[str] = ()) -> None:
        self._version = version
        self._hidden = frozenset(hidden)

    def to(self, page: str, **given: object) -> str:
        """Path and query of a page, "" if it is hidden; empty parameters are left out."""
        if page in self._hidden:
            return ""
        words = [
            _word(name, str(value)) for name, value in given.items() if value not in ("", None)
        ]
        return f"{PATHS[page]}?{'&'.join(words)}" if words else PATHS[page]

    def static(self, name: str) -> str:
        """Path with the version, so that browsers may keep the file."""
        return f"/static/{name}?v={self._version}"


@lru_cache(maxsize=4096)
def _word(name: str, value: str) -> str:
    """A parameter of an address; kept, as the links of a page repeat few names and values."""
    return urlencode({name: value})
