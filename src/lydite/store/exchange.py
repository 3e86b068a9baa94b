"""Export to and import from files: JSON Lines to read and to mail, Parquet for data frames.

Both hold everything: raw samples, environments, runs, devices. An import is one transaction, and
every line is checked before it counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Unpack

from lydite.errors import InputError
from lydite.store import jsonlines, parquet
from lydite.store.database import Database
from lydite.store.queries import Filters
from lydite.store.records import DeviceRecord, Measurement, Run

_FORMS = {".jsonl": jsonlines, ".jsonl.gz": jsonlines, ".parquet": parquet}


def export_file(database: Database, path: str | Path, **filters: Unpack[Filters]) -> int:
    """Write what fits the filters to a file, whole or not at all, and say how many measurements.

    Args:
        database: where from.
        path: its suffix chooses the form: .jsonl, .jsonl.gz or .parquet.
        **filters: as for `Database.query`.

    Raises:
        InputError: another suffix.
        MissingExtra: Parquet without pyarrow.
        LyditeError: the file cannot be written.
    """
    path = Path(path)
    return _form(path).write(path, database.dump(**filters))


def import_file(database: Database, path: str | Path) -> dict[str, int]:
    """Take over a file that `export_file` wrote, all of it or nothing.

    Returns:
        How many rows of each table were new.

    Raises:
        InputError: the file cannot be read, or the first line that is wrong, as file:line.
        MissingExtra: Parquet without pyarrow.
    """
    path = Path(path)
    runs = {run.id for run in database.runs()}
    return database.load(_linked(_form(path).read(path), runs))


def _form(path: Path) -> ModuleType:
    for suffix, form in _FORMS.items():
        if path.name.endswith(suffix):
            return form
    raise InputError(f"the suffix of '{path.name}' names no form", allowed=", ".join(_FORMS))


def _linked(
    items: Iterator[tuple[str, Measurement | Run | DeviceRecord]], runs: set[str]
) -> Iterator[Measurement | Run | DeviceRecord]:
    """The items, once it is sure that every run which they name is there."""
    for where, item in items:
        if isinstance(item, Run):
            runs.add(item.id)
        elif isinstance(item, Measurement) and item.run is not None and item.run not in runs:
            raise InputError(
                f"belongs to the run '{item.run}', which neither the file nor the database has",
                where=where,
            )
        yield item
