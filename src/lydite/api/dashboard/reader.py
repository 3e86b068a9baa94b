"""A database that is only read: no statement can change it, and none runs for long."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event, select
from sqlalchemy.exc import DBAPIError

from lydite.errors import InputError, StoreError
from lydite.store import connect, rows, schema

QUERY_LIMIT_S = 2.0
BUSY_TIMEOUT_S = 1.0
MOST_CONNECTIONS = 12
"""Number of pages that may read at once; the engine's pool holds 15 connections."""
_STEPS_BETWEEN_CHECKS = 20_000
_VERSION = select(schema.meta.c.value).where(schema.meta.c.key == "schema_version")
_WANTED = str(schema.SCHEMA_VERSION)


class NoSuchRecord(InputError):
    """A run, a measurement or a device that the database does not hold (any more)."""


class QueryTimeout(StoreError):
    """A query that ran into its limit."""


class Reader:
    """A database whose every connection is read-only twice: as it is opened, and by a setting.

    SQLite files are opened with `mode=ro` and `PRAGMA query_only`; PostgreSQL sessions with
    `default_transaction_read_only` and a `statement_timeout`. A file that was replaced is opened
    anew, and the schema version is checked with every page.

    Args:
        target: File or postgresql:// URL; None for `$LYDITE_DB`, else the user's own.
        limit_s: Longest time of a query in seconds.

    Raises:
        StoreError: the database is not there, has another schema version, or cannot be read.
    """

    def __init__(self, target: str | None = None, *, limit_s: float = QUERY_LIMIT_S) -> None:
        self._target = connect.resolve(target)
        self._limit_s = limit_s
        self._engine: Engine | None = None
        self._file: tuple[int, int] | None = None
        self._tables: int | None = None
        self.where = str(self._target)
        with self.reading():
            pass

    def close(self) -> None:
        """Close the connections."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection within one read transaction.

        Raises:
            StoreError: as for the class; also if the database is locked or damaged.
            QueryTimeout: a query took longer than the limit.
        """
        with connect.one_message(self.where), rows.sound_rows(self.where):
            with self._current().connect() as connection:
                self._start_clock(connection)
                self._check_version(connection)
                try:
                    yield connection
                except (DBAPIError, sqlite3.Error) as error:
                    if _interrupted(error):
                        raise QueryTimeout(
                            f"a query took longer than {self._limit_s:g} s",
                            where=self.where,
                            hint="narrow it down",
                        ) from error
                    raise

    def _current(self) -> Engine:
        """The engine, made anew if the file is another one than before."""
        file = _identity(self._target.path)
        if self._engine is None or file != self._file:
            self.close()
            self._engine = self._make_engine()
            self._file, self._tables = file, None
        return self._engine

    def _make_engine(self) -> Engine:
        engine = connect.make_engine(self._target, read_only=True, busy_timeout_s=BUSY_TIMEOUT_S)

        @event.listens_for(engine, "connect")
        def _restrict(raw: Any, _record: object) -> None:
            if isinstance(raw, sqlite3.Connection):
                raw.execute("PRAGMA query_only=ON")
            else:
                raw.execute(f"SET statement_timeout = {round(self._limit_s * 1000)}")
                raw.commit()

        return engine

    def _start_clock(self, connection: Connection) -> None:
        raw = connection.connection.driver_connection
        if isinstance(raw, sqlite3.Connection):
            end = time.monotonic() + self._limit_s
            raw.set_progress_handler(lambda: time.monotonic() > end, _STEPS_BETWEEN_CHECKS)

    def _check_version(self, connection: Connection) -> None:
        tables = None
        if connection.dialect.name == "sqlite":
            # SQLite counts the changes of tables: what was looked at once need not be again.
            tables = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
            if tables == self._tables and connection.execute(_VERSION).scalar() == _WANTED:
                return
        version = schema.stored_version(connection, self.where)
        if version != schema.SCHEMA_VERSION:
            state = "is empty" if version is None else f"has the older schema version {version}"
            raise StoreError(
                state, where=self.where, hint="type: lydite db stats, which brings it up to date"
            )
        self._tables = tables


def _identity(path: Path | None) -> tuple[int, int] | None:
    if path is None:
        return None
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _interrupted(error: Exception) -> bool:
    origin = getattr(error, "orig", error)
    if isinstance(origin, sqlite3.Error):
        return getattr(origin, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
    return getattr(origin, "sqlstate", None) == "57014"


def one_value(connection: Connection, column: Any, condition: Any) -> Any:
    """The value of a column in the only row that fits, or None."""
    return connection.execute(select(column).where(condition)).scalar()
