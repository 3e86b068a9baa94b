"""The performance database: query, stats, import, export, merge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import TypedDict

from lydite.errors import InputError, unknown_name
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.store import Counts, Database, Measurement

SCOPES = ("isolated", "in_graph", "model")


class MeasurementRow(TypedDict):
    """A measurement; `seconds` is the median, low_s and high_s hold the middle 90 %."""

    key: str
    operator: str
    input: str
    device: str
    backend: str
    versions: dict[str, str]
    threads: int
    cache: str
    scope: str
    status: str
    error: str
    seconds: float | None
    low_s: float | None
    high_s: float | None
    samples_s: list[float]
    energy_j: float | None
    environment: dict[str, Any]
    measured_at: str
    run: str | None
    source: str


class QueryDocument(TypedDict):
    """Measurements, newest first."""

    measurements: list[MeasurementRow]


@dataclass(frozen=True, eq=False, repr=False)
class QueryResult(Result):
    """Measurements of a database, newest first.

    Attributes:
        measurements: One row per measurement.
    """

    verb = "db-query"
    deprecated: ClassVar[Mapping[str, str]] = {
        "measurements[].median_s": "measurements[].seconds",
        "measurements[].p05_s": "measurements[].low_s",
        "measurements[].p95_s": "measurements[].high_s",
    }

    measurements: tuple[MeasurementRow, ...]

    def document(self) -> QueryDocument:
        """All rows with all samples."""
        return {"measurements": list(self.measurements)}

    def summary(self) -> str:
        """A table with one line per measurement."""
        from lydite.report.text.db import query_text

        return query_text(self.measurements)

    def headline(self) -> str:
        """Number of measurements."""
        return f"{len(self.measurements)} measurements"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per measurement."""
        return self.measurements


class StatsDocument(TypedDict):
    """Numbers of rows."""

    measurements: int
    operators: int
    runs: int
    by_device: dict[str, int]
    by_backend: dict[str, int]
    by_op_type: dict[str, int]
    by_status: dict[str, int]
    size_bytes: int
    schema_version: int


@dataclass(frozen=True, eq=False, repr=False)
class StatsResult(Result):
    """Numbers of rows in a database.

    Attributes:
        counts: Numbers by name; those by device, backend, type and status are mappings.
    """

    verb = "db-stats"

    counts: Mapping[str, Any]

    def document(self) -> StatsDocument:
        """All numbers."""
        found: Any = dict(self.counts)
        return found

    def summary(self) -> str:
        """Numbers, and tables of those by device, backend, type and status."""
        from lydite.report.text.db import stats_text

        return stats_text(self.counts)

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per number."""
        return [
            {"what": name, "of": of, "rows": count}
            for name, value in self.counts.items()
            for of, count in (value.items() if isinstance(value, Mapping) else [("", value)])
        ]


class LeftOut(TypedDict):
    """Rows of a table that were not imported, and why."""

    table: str
    reason: str
    rows: int


class AddedDocument(TypedDict):
    """Numbers of rows; those after `added` are of layouts of others, and empty elsewhere."""

    path: str
    added: dict[str, int]
    read: dict[str, int]
    duplicates: int
    known: int
    left_out: list[LeftOut]
    by_software: dict[str, int]
    ignored_files: dict[str, int]


@dataclass(frozen=True, eq=False, repr=False)
class AddedResult(Result):
    """Rows that were added to a database.

    Attributes:
        path: File, folder or database that they came from.
        added: Number of new rows, by table.
        counts: All numbers of the import.
    """

    verb = "db-import"

    path: str
    added: Mapping[str, int]
    counts: Counts | None = None

    @property
    def left_out(self) -> list[LeftOut]:
        """Rows that no operator describes or that are unsound, by table and reason."""
        skipped = self.counts.skipped.most_common() if self.counts else []
        return [{"table": t, "reason": reason, "rows": rows} for (t, reason), rows in skipped]

    def document(self) -> AddedDocument:
        """Source and numbers."""
        counts = self.counts
        return {
            "path": self.path,
            "added": dict(self.added),
            "read": dict(counts.read) if counts else {},
            "duplicates": counts.duplicates if counts else 0,
            "known": counts.known if counts else 0,
            "left_out": self.left_out,
            "by_software": dict(counts.softwares.most_common()) if counts else {},
            "ignored_files": dict(counts.ignored) if counts else {},
        }

    def summary(self) -> str:
        """Number of new measurements in one line; what was left out, by table."""
        from lydite.report.text.db import added_text

        return added_text(self.document())

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per table."""
        return [{"what": what, "rows": count} for what, count in self.added.items()]


class ExportedDocument(TypedDict):
    """A file that was written."""

    path: str
    measurements: int


@dataclass(frozen=True, eq=False, repr=False)
class ExportedResult(Result):
    """Rows that were written to a file.

    Attributes:
        path: Path of the file.
        measurements: Number of measurements.
    """

    verb = "db-export"

    path: Path
    measurements: int

    def document(self) -> ExportedDocument:
        """File and number."""
        return {"path": str(self.path), "measurements": self.measurements}

    def summary(self) -> str:
        """Number of measurements, in one line."""
        return f"{self.measurements} measurements written to {self.path}"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """A single row."""
        return [{"path": str(self.path), "measurements": self.measurements}]


def _filters(**given: Any) -> dict[str, Any]:
    if given.get("scope") is not None and given["scope"] not in SCOPES:
        raise unknown_name("scope", given["scope"], SCOPES)
    return {name: value for name, value in given.items() if value is not None}


def query(
    session: Session,
    *,
    op_type: str | None = None,
    device: str | None = None,
    scope: str | None = None,
    limit: int | None = 20,
) -> QueryResult:
    """Measurements of the session's database, newest first.

    Args:
        session: Session whose database is read.
        op_type: Operator type of the rows; None for all.
        device: Device of the rows; None for all.
        scope: "isolated", "in_graph" or "model"; None for all.
        limit: Maximum number of rows; None for all.

    Raises:
        InputError: the scope is unknown.
    """
    filters = _filters(op_type=op_type, device=device, scope=scope)
    with session.database(existing=True) as database:
        rows = tuple(_row(row) for row in database.query(limit=limit, **filters))
        if not rows:
            _check_names(database, op_type=op_type, device=device)
        return QueryResult(rows)


def _check_names(database: Database, *, op_type: str | None, device: str | None) -> None:
    """Name the nearest operator type or device where none of that name was measured."""
    counts = database.stats()
    for what, name, group in (
        ("device", device, "by_device"),
        ("operator type", op_type, "by_op_type"),
    ):
        known = counts.get(group)
        if name is not None and isinstance(known, Mapping) and known and name not in known:
            raise unknown_name(what, name, known)


def _row(row: Measurement) -> MeasurementRow:
    low, median, high = row.quantiles_s()
    return {
        "key": row.key.text,
        "operator": row.key.qualified_type,
        "input": str(row.key.inputs[0]) if row.key.inputs else "",
        "device": row.device,
        "backend": row.software.backend,
        "versions": dict(row.software.versions),
        "threads": row.conditions.threads,
        "cache": row.conditions.cache,
        "scope": row.conditions.scope,
        "status": row.status,
        "error": row.error,
        "seconds": median,
        "low_s": low,
        "high_s": high,
        "samples_s": row.samples_s.tolist(),
        "energy_j": row.energy_j,
        "environment": dict(row.environment),
        "measured_at": row.measured_at,
        "run": row.run,
        "source": row.source,
    }


def stats(session: Session) -> StatsResult:
    """Numbers of rows of the session's database, by device, backend, operator type and status."""
    with session.database(existing=True) as database:
        return StatsResult(database.stats())


def export(
    session: Session,
    path: Path | str,
    *,
    op_type: str | None = None,
    device: str | None = None,
    scope: str | None = None,
    force: bool = False,
) -> ExportedResult:
    """Write measurements to a file, with all samples.

    Args:
        session: Session whose database is read.
        path: File to write: .jsonl, .jsonl.gz or or .parquet.
        op_type, device, scope: As for `query`.
        force: Whether to overwrite an existing file.

    Raises:
        InputError: the scope or suffix is unknown, or the file exists.
    """
    from lydite.store import export_file

    target = Path(path)
    if target.exists() and not force:
        raise InputError("the file already exists", where=str(path), hint="add --force")
    filters = _filters(op_type=op_type, device=device, scope=scope)
    with session.database(existing=True) as database:
        return ExportedResult(target, export_file(database, target, **filters))


def import_(
    session: Session,
    path: Path | str,
    kind: str | None = None,
    *,
    device: str | None = None,
    ranks: int | None = None,
) -> AddedResult:
    """Import measurements from a file, or from every file of a folder.

    Args:
        session: Session whose database receives the rows.
        path: File or folder.
        kind: File format: "lydite", "aisim", "nccl-tests", or one that a package adds; None to
            choose by suffix. "aiconfigurator", "frontier", "neusight" and "vidur" are layouts of
            folders; each of their tables is imported completely or not at all.
        device: Device that was measured, for files of AISim and nccl-tests.
        ranks: Number of ranks, for logs that do not list them.

    Raises:
        InputError: the format is unknown, or the file is invalid.
    """
    from lydite.store import import_path

    with session.database() as database, session.bar(f"import {path}") as progress:
        counts = import_path(
            database, Path(path), kind, device=device, ranks=ranks, progress=progress
        )
    return AddedResult(str(path), counts.added, counts)


def merge(session: Session, other: str) -> AddedResult:
    """Copy all rows of another database into the session's, without duplicates.

    Args:
        session: Session whose database receives the rows.
        other: File or URL of the other database.
    """
    from lydite.store import Database

    with session.database() as database, Database.open(other, read_only=True) as source:
        return AddedResult(other, dict(database.merge(source)))
