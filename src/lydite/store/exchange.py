"""Export to and import from files: JSON Lines as readable text, Parquet for data frames.

Both are lossless: raw samples, environments, runs, devices. An import is one transaction, and every
line is validated before it is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Unpack

from lydite.errors import InputError
from lydite.store import jsonlines, parquet
from lydite.store.database import Database
from lydite.store.readings import Filters
from lydite.store.records import DeviceRecord, Measurement, Run

_FORMS = {".jsonl": jsonlines, ".jsonl.gz": jsonlines, ".parquet": parquet}


def export_file(database: Database, path: str | Path, **filters: Unpack[Filters]) -> int:
    """Write the records that match the filters to a file, and return the number of measurements.

    A file is written completely or not at all.

    Args:
        database: Database to export from.
        path: File to write; its suffix selects the format: .jsonl, .jsonl.gz or .parquet.
        **filters: As for `Database.query`.

    Raises:
        InputError: the suffix is unknown.
        MissingExtra: Parquet needs pyarrow, which is not installed.
        LyditeError: the file cannot be written.
    """
    path = Path(path)
    return _form(path).write(path, database.dump(**filters))


def import_file(database: Database, path: str | Path) -> dict[str, int]:
    """Import a file that `export_file` wrote, completely or not at all.

    Returns:
        Number of new rows by table.

    Raises:
        InputError: the file cannot be read, or a line is invalid (names the first as file:line).
        MissingExtra: Parquet needs pyarrow, which is not installed.
    """
    path = Path(path)
    runs = {run.id for run in database.runs()}
    return database.load(_linked(_form(path).read(path), runs))


def _form(path: Path) -> ModuleType:
    for suffix, form in _FORMS.items():
        if path.name.endswith(suffix):
            return form
    raise InputError(
        f"the suffix of '{path.name}' is not an export format", allowed=", ".join(_FORMS)
    )


def _linked(
    items: Iterator[tuple[str, Measurement | Run | DeviceRecord]], runs: set[str]
) -> Iterator[Measurement | Run | DeviceRecord]:
    """Pass the items through; refuse a measurement whose run does not exist."""
    for where, item in items:
        if isinstance(item, Run):
            runs.add(item.id)
        elif isinstance(item, Measurement) and item.run is not None and item.run not in runs:
            raise InputError(
                f"belongs to the run '{item.run}', which neither the file nor the database has",
                where=where,
            )
        yield item
