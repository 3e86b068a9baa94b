"""Importers of measurements from files and folders, in one registry by file format.

Most read one file; those of `lydite.store.foreign` read a whole folder in a layout that others use.

Packages add importers with entry points of the group "lydite.importers".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from lydite.errors import InputError
from lydite.files import refuse_special
from lydite.records import dataclass
from lydite.registry import Registry
from lydite.store.database import Database
from lydite.store.exchange import import_file
from lydite.store.foreign.load import Counts, Layout, Progress
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
IMPORTERS: Registry[Importer | Layout] = Registry(
    "lydite.importers",
    "file format",
    {
        "lydite": "lydite.store.importers:LYDITE",
        "aisim": "lydite.compat.aisim.importer:AISIM",
        "nccl-tests": "lydite.store.importers:NCCL_TESTS",
        "aiconfigurator": "lydite.store.foreign.aiconfigurator:AICONFIGURATOR",
        "frontier": "lydite.store.foreign.frontier:FRONTIER",
        "neusight": "lydite.store.foreign.neusight:NEUSIGHT",
        "vidur": "lydite.store.foreign.vidur:VIDUR",
    },
)


def import_path(
    database: Database,
    path: Path,
    kind: str | None = None,
    *,
    device: str | None = None,
    ranks: int | None = None,
    progress: Progress | None = None,
) -> Counts:
    """Import measurements from a file, or from every file of a folder.

    Args:
        database: Database to add the rows to.
        path: File or folder to import.
        kind: File format, one of `IMPORTERS`; None to choose by suffix, else "lydite".
        device: Device name, for files that do not name the device.
        ranks: Number of ranks, for logs that do not list them.
        progress: Called with the number of tables done, of all, and the next one's name.

    Returns:
        Numbers of rows that were read, added and left out.

    Raises:
        InputError: the format is unknown, the folder holds no such file, or a file is invalid.
    """
    if kind is not None:
        IMPORTERS.find(kind)
    if not path.exists():
        raise InputError("no such file", where=str(path))
    refuse_special(path)
    layout = IMPORTERS.find(kind) if kind else None
    if isinstance(layout, Layout):
        if device is not None or ranks is not None:
            option = "--device" if device is not None else "--ranks"
            raise InputError(f"{option} is for files that do not say it", where=str(path))
        return layout.load(database, path, progress or _silent)
    counts = Counts(added=Counter(measurements=0))
    for file in _files(path, layout):
        importer = layout or _by_suffix(file) or LYDITE
        counts.added.update(importer.add(database, file, device=device, ranks=ranks))
    return counts


def _silent(_done: int, _total: int, _next: str) -> None:
    pass


def _files(path: Path, importer: Importer | None) -> list[Path]:
    if not path.is_dir():
        return [path]
    importers = [importer] if importer else _of_files()
    wanted = tuple(suffix for each in importers for suffix in each.suffixes)
    files = sorted(f for f in path.rglob("*") if f.is_file() and f.name.endswith(wanted))
    if not files:
        raise InputError(
            "holds no file of measurements", where=str(path), allowed=", ".join(sorted(wanted))
        )
    return files


def _of_files() -> list[Importer]:
    """All importers that read one file."""
    every = (IMPORTERS.find(name) for name in IMPORTERS)
    return [importer for importer in every if not isinstance(importer, Layout)]


def _by_suffix(file: Path) -> Importer | None:
    return next((each for each in _of_files() if file.name.endswith(each.suffixes)), None)
