"""Importers of measurements from files and folders, in one registry by file format.

Packages add importers with entry points of the group "lydite.importers".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lydite.errors import InputError
from lydite.files import refuse_special
from lydite.registry import Registry
from lydite.store.database import Database
from lydite.store.exchange import import_file
from lydite.store.nccl import read_nccl_measurements


class Importer(Protocol):
    """Imports files of one format into a database, each file completely or not at all."""

    suffixes: tuple[str, ...]

    def add(
        self, database: Database, path: Path, *, device: str | None, ranks: int | None
    ) -> Mapping[str, int]:
        """Add a file's rows, and return the number of new rows by table."""
        ...


@dataclass(frozen=True)
class _Exported:
    """Files that `export_file` wrote."""

    suffixes: tuple[str, ...] = (".jsonl", ".jsonl.gz", ".parquet")

    def add(
        self, database: Database, path: Path, *, device: str | None, ranks: int | None
    ) -> Mapping[str, int]:
        """Add the file's runs, devices and measurements."""
        del device, ranks
        return import_file(database, path)


@dataclass(frozen=True)
class _NcclTests:
    """Logs of nccl-tests."""

    suffixes: tuple[str, ...] = (".log", ".txt", ".csv")

    def add(
        self, database: Database, path: Path, *, device: str | None, ranks: int | None
    ) -> Mapping[str, int]:
        """Add the log's measurements for `device`, which the log itself does not name."""
        where = told_device("nccl-tests' logs", path, device)
        return {
            "measurements": database.add(read_nccl_measurements(path, device=where, ranks=ranks))
        }


def told_device(whose: str, path: Path, device: str | None) -> str:
    """The device that the user named for files that do not name one.

    Raises:
        InputError: no device was named.
    """
    if device is None:
        raise InputError(
            f"{whose} do not name the device",
            where=str(path),
            hint="add --device NAME",
        )
    return device


LYDITE, NCCL_TESTS = _Exported(), _NcclTests()
IMPORTERS: Registry[Importer] = Registry(
    "lydite.importers",
    "file format",
    {
        "lydite": "lydite.store.importers:LYDITE",
        "aisim": "lydite.compat.aisim.importer:AISIM",
        "nccl-tests": "lydite.store.importers:NCCL_TESTS",
    },
)


def import_path(
    database: Database,
    path: Path,
    kind: str | None = None,
    *,
    device: str | None = None,
    ranks: int | None = None,
) -> dict[str, int]:
    """Import measurements from a file, or from every file of a folder.

    Args:
        database: Database to add the rows to.
        path: File or folder to import.
        kind: File format, one of `IMPORTERS`; None to choose by suffix, else "lydite".
        device: Device name, for files that do not name the device.
        ranks: Number of ranks, for logs that do not list them.

    Returns:
        Number of new rows by table.

    Raises:
        InputError: the format is unknown, the folder holds no such file, or a file is invalid.
    """
    if kind is not None:
        IMPORTERS.find(kind)
    if not path.exists():
        raise InputError("no such file", where=str(path))
    refuse_special(path)
    added: dict[str, int] = {"measurements": 0}
    for file in _files(path, kind):
        importer = IMPORTERS.find(kind or _kind_of(file) or "lydite")
        for what, count in importer.add(database, file, device=device, ranks=ranks).items():
            added[what] = added.get(what, 0) + count
    return added


def _files(path: Path, kind: str | None) -> list[Path]:
    if kind is not None:
        IMPORTERS.find(kind)
    if not path.is_dir():
        return [path]
    wanted = IMPORTERS.find(kind).suffixes if kind else _every_suffix()
    files = sorted(f for f in path.rglob("*") if f.is_file() and f.name.endswith(wanted))
    if not files:
        raise InputError(
            "holds no file of measurements", where=str(path), allowed=", ".join(sorted(wanted))
        )
    return files


def _every_suffix() -> tuple[str, ...]:
    return tuple(suffix for name in IMPORTERS for suffix in IMPORTERS.find(name).suffixes)


def _kind_of(file: Path) -> str | None:
    return next((n for n in IMPORTERS if file.name.endswith(IMPORTERS.find(n).suffixes)), None)
