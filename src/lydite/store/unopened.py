"""A database that is opened only if it has rows of a device that is asked for.

Importing SQLAlchemy and opening a database take longer than estimating a network, and most
databases have nothing on most devices. Which devices a SQLite file has is read without either.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Unpack

from lydite.opkey import OpKey
from lydite.store.readings import Filters, Readings, Table, Wanted
from lydite.store.records import DeviceRecord, Measurement, Software

ENVIRONMENT_VARIABLE = "LYDITE_DB"
_NOTHING = Table()


def usual_target() -> str | Path:
    """The database that is used where none is named: $LYDITE_DB, else the user's own file."""
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return named
    import platformdirs

    return platformdirs.user_data_path("lydite", appauthor=False) / "lydite.db"


def is_missing(target: str | os.PathLike[str]) -> bool:
    """Whether a database is a file that is not there; not one that cannot be looked at."""
    if "://" in os.fspath(target):
        return False
    try:
        os.lstat(Path(target).expanduser())
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def device_names(target: str | os.PathLike[str]) -> set[str] | None:
    """Names of the devices that a database has; None if it has to be opened to know."""
    if is_missing(target):
        return set()
    if "://" in os.fspath(target):
        return None
    try:
        uri = f"{Path(target).expanduser().absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM devices")}
    except (OSError, ValueError, sqlite3.Error):
        return None


class Unopened:
    """Measurements of a database, which is opened when it may have some.

    Args:
        target: File or URL of the database.
        opened: Function that opens it, or returns what is open already.
    """

    def __init__(self, target: str | os.PathLike[str], opened: Callable[[], Readings]) -> None:
        self._target = target
        self._open = opened

    @cached_property
    def _names(self) -> set[str] | None:
        return device_names(self._target)

    @cached_property
    def _opened(self) -> Readings:
        return self._open()

    def _of(self, device: str | None) -> Readings:
        known = self._names
        return _NOTHING if known is not None and device not in known else self._opened

    def device(self, name: str) -> DeviceRecord | None:
        """As `Database.device`."""
        return self._of(name).device(name)

    def lookup(
        self, keys: Sequence[OpKey], **wanted: Unpack[Wanted]
    ) -> dict[str, list[Measurement]]:
        """As `Database.lookup`."""
        return self._of(wanted["device"]).lookup(keys, **wanted)

    def rows_for(
        self, op_types: Sequence[tuple[str, str]], **wanted: Unpack[Wanted]
    ) -> list[Measurement]:
        """As `Database.rows_for`."""
        return self._of(wanted["device"]).rows_for(op_types, **wanted)

    def foreign_softwares(self, device: str) -> list[tuple[Software, str]]:
        """As `Database.foreign_softwares`."""
        return self._of(device).foreign_softwares(device)

    def foreign_times(
        self, software: Software, *, device: str, begins: Sequence[tuple[str, str, str]]
    ) -> list[tuple[str, float]]:
        """As `Database.foreign_times`."""
        return self._of(device).foreign_times(software, device=device, begins=begins)

    def query(
        self, *, limit: int | None = None, **filters: Unpack[Filters]
    ) -> Iterator[Measurement]:
        """As `Database.query`."""
        device = filters.get("device")
        readings = self._opened if device is None else self._of(device)
        return readings.query(limit=limit, **filters)
