"""`serve`: the dashboard on a port of this machine, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from multiprocessing import parent_process
from pathlib import Path
from threading import Thread
from typing import Any

from starlette.types import ASGIApp

from lydite.api.dashboard import Reader
from lydite.errors import InputError
from lydite.web.app import make_app
from lydite.web.guard import new_token
from lydite.web.recent import KEPT_S

HOST = "127.0.0.1"
PORT = 8420
_LONGEST_HEADERS = 16_384
_WAITING = 128


def serve(
    db: str | None,
    *,
    port: int = PORT,
    allow_hosts: Sequence[str] = (),
    timelines: Path | None = None,
    workers: int = 1,
    tell: Callable[[str], None] = print,
) -> None:
    """Serve the dashboard on 127.0.0.1, and tell its address with the token.

    Args:
        db: File or postgresql:// URL; None for `$LYDITE_DB`, else the user's own.
        port: TCP port; 0 for any that is free.
        allow_hosts: More names that a browser may use for this server, as behind a proxy.
        timelines: Folder of timelines to show beside the database; None for none.
        workers: Number of processes that answer; one that dies is replaced.
        tell: Called once with the address.

    Raises:
        StoreError: the database cannot be read.
        InputError: the port is taken, or a host is no name.
    """
    for name in allow_hosts:
        _check_host(name)
    with closing(Reader(db)) as reader, _bound(port) as listener:
        port = listener.getsockname()[1]
        token = new_token()
        given = {
            "token": token,
            "port": port,
            "allow_hosts": tuple(allow_hosts),
            "timelines": timelines,
            "kept_s": KEPT_S,
        }
        app = make_app(reader, **given)
        tell(f"http://{HOST}:{port}/?token={token}")
        if workers > 1:
            _serve_by_many(db, given, workers, listener)
        else:
            _serve_by_one(app, listener)


def _serve_by_one(app: ASGIApp, listener: socket.socket) -> None:
    import uvicorn

    # uvicorn raises Ctrl-C again once it has ended.
    with suppress(KeyboardInterrupt):
        uvicorn.Server(_config(app)).run(sockets=[listener])


def _serve_by_many(
    db: str | None, given: Mapping[str, Any], workers: int, listener: socket.socket
) -> None:
    """Processes that take connections of one socket; each opens the database for itself."""
    from uvicorn.supervisors import Multiprocess

    made = partial(_opened, db, dict(given))
    Multiprocess(_config(made, factory=True, workers=workers), sockets=[listener]).run()


def _opened(db: str | None, given: dict[str, Any]) -> ASGIApp:
    """The application of one of several processes, which ends with the one that started it."""
    parent = parent_process()
    if parent is not None:  # killed, it could not end this one, which would keep the port

        def follow() -> None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

        Thread(target=follow, daemon=True).start()
    return make_app(Reader(db), **given)


def _config(app: Any, **more: Any) -> Any:
    import uvicorn

    return uvicorn.Config(
        app,
        # The log of requests would hold the token.
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=_LONGEST_HEADERS,
        **more,
    )


def _bound(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(_WAITING)
    except OSError as error:
        listener.close()
        raise InputError(
            f"port {port} cannot be used: {error.strerror}",
            where="--port",
            hint=f"type: lydite ui --port {port + 1 if port < 65535 else 0}",
        ) from error
    return listener


def _check_host(name: str) -> None:
    plain = all(part and part.replace("-", "").isalnum() for part in name.split("."))
    if not (name.isascii() and plain and len(name) < 254):
        raise InputError(
            f"'{name}' is no host name", where="--allow-host", allowed="such as lab.example.org"
        )
