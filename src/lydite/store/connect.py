"""Database engines from a file name or URL, and driver errors turned into one message."""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from lydite.errors import MissingExtra, StoreError
from lydite.records import dataclass
from lydite.store.unopened import usual_target

_WRITES = "lydite_writes"
_POSTGRES_LOCK = 0x6C79646974650001  # "lydite" and 1: an arbitrary key for the advisory lock
_CONNECT_TIMEOUT_S = 10
_SQLITE_CACHE_KIB = 65536
_BULK_CACHE_KIB = 262144

_NO_SUCH_RUN = ("refuses a row that names a run it does not have", "add the run first")
_SQLITE_FAULTS = {
    sqlite3.SQLITE_BUSY: ("is locked by another process", "try again when that has finished"),
    sqlite3.SQLITE_LOCKED: ("is locked by another process", "try again when that has finished"),
    sqlite3.SQLITE_READONLY: ("is read-only", "nothing was changed"),
    sqlite3.SQLITE_PERM: (
        "cannot be opened: permission denied",
        "check the file's owner and permissions",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "cannot be opened",
        "check that the folder and the file are readable",
    ),
    sqlite3.SQLITE_FULL: ("the disk is full", "nothing was changed; free some space"),
    sqlite3.SQLITE_IOERR: ("the disk reports an error", "nothing was changed"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "restore a copy, or import an export"),
    sqlite3.SQLITE_NOTADB: ("is not a database", "give another file"),
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: _NO_SUCH_RUN,
}
_POSTGRES_FAULTS = {
    "55P03": ("is locked by another process", "try again when that has finished"),
    "25006": ("is read-only", "nothing was changed"),
    "53100": ("the disk is full", "nothing was changed; free some space"),
    "23503": _NO_SUCH_RUN,
    "XX001": ("is damaged", "restore a copy, or import an export"),
    "XX002": ("is damaged", "restore a copy, or import an export"),
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a database is: a SQLite file, or a PostgreSQL server."""

    path: Path | None
    url: URL | None = None

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True) if self.url else str(self.path)


def resolve(target: str | os.PathLike[str] | None) -> Target:
    """The location of the database: `target`, else $LYDITE_DB, else the user's own file.

    Raises:
        StoreError: the URL is for neither SQLite nor PostgreSQL.
    """
    if target is None:
        target = usual_target()
    words = os.fspath(target)
    scheme, separator, _ = words.partition("://")
    if not separator:
        return Target(Path(words).expanduser())
    allowed = "a file name, or postgresql://USER:PASSWORD@HOST/DATABASE"
    try:
        url = make_url(words)
    except (ArgumentError, ValueError) as error:
        # The text may hold a password, so it is not repeated.
        raise StoreError(f"a {scheme} URL that cannot be read", allowed=allowed) from error
    if scheme == "sqlite" and url.database:
        return Target(Path(url.database))
    if scheme not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise StoreError(f"'{scheme}' is not a supported database", allowed=allowed)
    return Target(None, url.set(drivername="postgresql+psycopg"))


def make_engine(target: Target, *, read_only: bool, busy_timeout_s: float) -> Engine:
    """An engine whose connections wait `busy_timeout_s` for other writers.

    Raises:
        StoreError: the path is a folder, or is to be read and does not exist.
        MissingExtra: PostgreSQL's driver is not installed.
    """
    if target.url is not None:
        return _postgres_engine(target.url, read_only, busy_timeout_s)
    path = target.path
    assert path is not None
    try:
        if "\0" in str(path):
            raise ValueError("its name holds a NUL character")
        if path.is_dir():
            raise StoreError("is a folder", where=str(path), allowed="a file")
        if read_only and not (path.is_file() and path.stat().st_size):
            raise StoreError("no such database", where=str(path))
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
        uri = path.absolute().as_uri()
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot be opened: {error}", where=str(path)) from error
    return _sqlite_engine(lambda: _open_file(uri, path, read_only, busy_timeout_s))


def memory_engine(busy_timeout_s: float) -> Engine:
    """An engine for one new database in memory, which lives until the engine is disposed of."""
    uri = f"file:/lydite-{uuid.uuid4()}?vfs=memdb"
    return _sqlite_engine(lambda: _raw(uri, busy_timeout_s, "PRAGMA foreign_keys=ON"))


def _sqlite_engine(connect: Callable[[], sqlite3.Connection]) -> Engine:
    # The pool never closes its last connection, so the contents of memory stay.
    engine = create_engine(
        "sqlite+pysqlite://", creator=connect, poolclass=QueuePool, paramstyle="named"
    )

    # Lock on begin: a reader that becomes a writer later could not wait for the lock.
    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def write_transaction(engine: Engine) -> Iterator[Connection]:
    """One atomic transaction that excludes other writers."""
    with engine.connect() as connection, writing_on(connection):
        yield connection


@contextmanager
def writing_on(connection: Connection) -> Iterator[None]:
    """One atomic transaction on a connection, which excludes other writers."""
    connection.execution_options(**{_WRITES: True})
    with connection.begin():
        if connection.dialect.name == "postgresql":
            # As on SQLite; otherwise two writers of the same rows could deadlock.
            connection.execute(
                text("SELECT pg_advisory_xact_lock(:number)"), {"number": _POSTGRES_LOCK}
            )
        yield


def widen_cache(connection: Connection) -> None:
    """Let a bulk import keep the indices in memory; for this connection only."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA cache_size=-{_BULK_CACHE_KIB}")


def copy_rows(connection: Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
    """Add rows, in the order of the columns, to a table of PostgreSQL by COPY, the fastest way."""
    from psycopg import Error, sql

    columns = sql.SQL(",").join(sql.Identifier(column.name) for column in table.c)
    words = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), columns)
    raw: Any = connection.connection
    try:
        with raw.cursor() as cursor, cursor.copy(words) as copy:
            for row in rows:
                copy.write_row(row)
    except Error as error:
        raise DBAPIError(f"COPY {table.name}", None, error) from error


@contextmanager
def one_message(where: str) -> Iterator[None]:
    """Turn any error of the driver into one StoreError."""
    try:
        yield
    except DBAPIError as error:
        raise _store_error(error, where) from error
    except UnicodeDecodeError as error:
        # SQLite's message quotes the damaged file's bytes, which Python cannot decode.
        what, hint = _SQLITE_FAULTS[sqlite3.SQLITE_CORRUPT]
        raise StoreError(what, where=where, hint=hint) from error
    except SQLAlchemyError as error:
        raise StoreError(f"cannot be used: {error}", where=where) from error


def _store_error(error: DBAPIError, where: str) -> StoreError:
    origin = error.orig
    said = " ".join(str(origin).split())
    if isinstance(origin, sqlite3.Error):
        code = getattr(origin, "sqlite_errorcode", None)
        fault = code and (_SQLITE_FAULTS.get(code) or _SQLITE_FAULTS.get(code & 0xFF))
    else:
        state = getattr(origin, "sqlstate", None)
        fault = _POSTGRES_FAULTS.get(state or "")
        if fault is None and (state is None or error.connection_invalidated):
            fault = ("cannot reach the server", "check the URL and that the server is running")
    if not fault:
        return StoreError(f"the database reports: {said}", where=where)
    what, hint = fault
    return StoreError(f"{what} ({said})", where=where, hint=hint)


def _postgres_engine(url: URL, read_only: bool, busy_timeout_s: float) -> Engine:
    options = f"-c lock_timeout={max(1, round(busy_timeout_s * 1000))}"
    if read_only:
        options += " -c default_transaction_read_only=on"
    try:
        return create_engine(
            url, connect_args={"options": options, "connect_timeout": _CONNECT_TIMEOUT_S}
        )
    except ImportError as error:
        raise MissingExtra("psycopg", "postgres") from error


def _open_file(uri: str, path: Path, read_only: bool, timeout_s: float) -> sqlite3.Connection:
    if not read_only:
        setup = ("PRAGMA foreign_keys=ON", "PRAGMA synchronous=NORMAL")
        connection = _raw(f"{uri}?mode=rwc", timeout_s, *setup)
        try:
            _write_ahead(connection, timeout_s)
        except (sqlite3.Error, UnicodeDecodeError):
            connection.close()
            raise
        return connection
    try:
        return _raw(f"{uri}?mode=ro", timeout_s, "PRAGMA schema_version")
    except sqlite3.OperationalError as error:
        # In a read-only folder SQLite cannot create its shared-memory file beside the database.
        refused = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        if error.sqlite_errorcode & 0xFF not in refused or Path(f"{path}-wal").exists():
            raise
    return _raw(f"{uri}?mode=ro&immutable=1", timeout_s)


def _raw(uri: str, timeout_s: float, *setup: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        uri, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False
    )
    try:
        for statement in (f"PRAGMA cache_size=-{_SQLITE_CACHE_KIB}", *setup):
            connection.execute(statement).fetchone()
    except (sqlite3.Error, UnicodeDecodeError):
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection, timeout_s: float) -> None:
    """Switch to WAL. SQLite does not wait here while another process creates the same file."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
