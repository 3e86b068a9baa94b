"""What stands before every page: headers, hosts, methods, sizes, and the token.

Each is an ASGI application that wraps another, so that errors of the inner ones get the headers of
the outer ones too.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_QUERY = 4096
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

ErrorPage = Callable[[int, str, str], Response]
"""Makes a page from a status, what is wrong, and what to do."""


class SafeHeaders:
    """Adds the headers above to every answer; pages are never kept by a cache."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers)


class OnlyReads:
    """Refuses whatever a page never sends: other methods, bodies, long queries, WebSockets."""

    def __init__(self, app: ASGIApp, error_page: ErrorPage) -> None:
        self._app = app
        self._error_page = error_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refusal(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if scope["method"] not in ("GET", "HEAD"):
            page = self._error_page(405, "only reading is allowed", "Use GET or HEAD.")
            page.headers["Allow"] = "GET, HEAD"
            return page
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            return self._error_page(413, "the request has a body", "Send none.")
        if len(scope["query_string"]) > MOST_QUERY:
            return self._error_page(
                414, "the address is too long", f"At most {MOST_QUERY} characters after '?'."
            )
        if len(headers.getlist("host")) != 1:
            return self._error_page(400, "the request names no host, or several", "Name one.")
        return None


class TokenCheck:
    """Lets those in who once came with the token, and remembers them by a cookie.

    The cookie's name holds the port, as browsers send cookies to all ports of a host. Its value is
    derived from the token, so that it does not give the token away.
    """

    def __init__(self, app: ASGIApp, token: str, port: int, error_page: ErrorPage) -> None:
        self._app = app
        self._token = token.encode()
        self._cookie = f"lydite_{port}"
        self._pass = hashlib.sha256(b"lydite cookie\0" + self._token).hexdigest()
        self._error_page = error_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http" or scope["path"].startswith("/static/"):
            await self._app(scope, receive, send)
            return
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in query if name == "token"]
        if given:
            rest = [(name, value) for name, value in query if name != "token"]
            answer = self._enter(scope["path"], given[0], rest)
        elif hmac.compare_digest(self._sent(scope).encode(), self._pass.encode()):
            await self._app(scope, receive, send)
            return
        else:
            answer = self._error_page(
                401,
                "this page needs the token",
                "Open the address that `lydite ui` printed. If you just did, from another site, "
                "reload this page.",
            )
        await answer(scope, receive, send)

    def _enter(self, path: str, token: str, rest: list[tuple[str, str]]) -> Response:
        if not hmac.compare_digest(token.encode(), self._token):
            return self._error_page(
                403, "the token is not right", "Open the address that `lydite ui` printed last."
            )
        # One slash only: "//host" would lead to another host.
        place = "/" + quote(path.lstrip("/"))
        answer = RedirectResponse(f"{place}?{urlencode(rest)}" if rest else place, 303)
        answer.set_cookie(self._cookie, self._pass, httponly=True, samesite="strict")
        return answer

    def _sent(self, scope: Scope) -> str:
        for header in Headers(scope=scope).getlist("cookie"):
            for part in header.split(";"):
                name, _, value = part.strip().partition("=")
                if name == self._cookie:
                    return value
        return ""


def new_token() -> str:
    """A token that nobody guesses: 192 random bits."""
    return secrets.token_urlsafe(24)
