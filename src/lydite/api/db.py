"""The performance database: query, stats, import, export, merge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import TypedDict

from lydite.errors import InputError, unknown_name
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.store import Measurement

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
        measurements: one row per measurement.
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
        """How many."""
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
        counts: numbers by name; those by device, backend, type and status are mappings.
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


class AddedDocument(TypedDict):
    """Numbers of new rows, by what they are."""

    path: str
    added: dict[str, int]


@dataclass(frozen=True, eq=False, repr=False)
class AddedResult(Result):
    """What was taken over into a database.

    Attributes:
        path: file, folder or database that it came from.
        added: numbers of new rows, by what they are.
    """

    verb = "db-import"

    path: str
    added: Mapping[str, int]

    def document(self) -> AddedDocument:
        """Source and numbers."""
        return {"path": self.path, "added": dict(self.added)}

    def summary(self) -> str:
        """The number of measurements in a line."""
        return f"{self.added['measurements']} new measurements from {self.path}"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per kind."""
        return [{"what": what, "rows": count} for what, count in self.added.items()]


class ExportedDocument(TypedDict):
    """A file that was written."""

    path: str
    measurements: int


@dataclass(frozen=True, eq=False, repr=False)
class ExportedResult(Result):
    """What was written to a file.

    Attributes:
        path: the file.
        measurements: number of rows.
    """

    verb = "db-export"

    path: Path
    measurements: int

    def document(self) -> ExportedDocument:
        """File and number."""
        return {"path": str(self.path), "measurements": self.measurements}

    def summary(self) -> str:
        """The number of measurements in a line."""
        return f"{self.measurements} measurements written to {self.path}"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """The one row."""
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
        session: its database is read.
        op_type: only this operator type.
        device: only rows of this device.
        scope: only "isolated", "in_graph" or "model".
        limit: most rows; None for all.

    Raises:
        InputError: an unknown scope.
    """
    filters = _filters(op_type=op_type, device=device, scope=scope)
    with session.database() as database:
        return QueryResult(tuple(_row(row) for row in database.query(limit=limit, **filters)))


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
    with session.database() as database:
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
        session: its database is read.
        path: a .jsonl, .jsonl.gz or .parquet file.
        op_type, device, scope: as for `query`.
        force: whether a file that exists is overwritten.

    Raises:
        InputError: an unknown scope or suffix, or a file that exists.
    """
    from lydite.store import export_file

    target = Path(path)
    if target.exists() and not force:
        raise InputError("there is such a file already", where=str(path), hint="add --force")
    filters = _filters(op_type=op_type, device=device, scope=scope)
    with session.database() as database:
        return ExportedResult(target, export_file(database, target, **filters))


def import_(
    session: Session,
    path: Path | str,
    kind: str | None = None,
    *,
    device: str | None = None,
    ranks: int | None = None,
) -> AddedResult:
    """Take over measurements from a file, or from every file of a folder.

    Args:
        session: its database takes the rows.
        path: the file or folder.
        kind: "lydite", "aisim", "nccl-tests", or one of a package; None for what the suffix says.
        device: device that files of AISim and nccl-tests were measured on.
        ranks: number of ranks of a log that does not list them.

    Raises:
        InputError: an unknown kind, or a bad file.
    """
    from lydite.store import import_path

    with session.database() as database:
        added = import_path(database, Path(path), kind, device=device, ranks=ranks)
    return AddedResult(str(path), added)


def merge(session: Session, other: str) -> AddedResult:
    """Copy everything that another database holds into the session's; nothing is doubled.

    Args:
        session: its database takes the rows.
        other: a file or a URL.
    """
    from lydite.store import Database

    with session.database() as database, Database.open(other, read_only=True) as source:
        return AddedResult(other, dict(database.merge(source)))
