"""A page as it is sent: encoded once, and compressed once for all who ask for it."""

from __future__ import annotations

import gzip

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from lydite.records import dataclass

LEVEL = 5
"""Level of compression."""

SMALLEST = 800
"""Bytes of the smallest answer that is compressed."""


@dataclass(frozen=True, slots=True)
class Body:
    """A page.

    Attributes:
        plain: As UTF-8.
        gzipped: The same, compressed; None if it is too small for that.
    """

    plain: bytes
    gzipped: bytes | None

    @classmethod
    def of(cls, text: str) -> Body:
        """The body of a page with this text."""
        plain = text.encode()
        small = len(plain) < SMALLEST
        return cls(plain, None if small else gzip.compress(plain, LEVEL, mtime=0))

    def answer(self, request: Request) -> Response:
        """The page in a form that the browser understands."""
        if self.gzipped is None or "gzip" not in request.headers.get("accept-encoding", ""):
            return HTMLResponse(self.plain)
        headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return HTMLResponse(self.gzipped, headers=headers)
