"""The tables, their schema version, and migrations from older versions.

Rows are content-addressed: the key of an operator, a software or a measurement is a digest of its
content. So writing a row twice changes nothing, merging two databases is an insert-or-ignore of
every table, and writers need not coordinate ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    func,
    inspect,
    select,
)

from lydite.errors import StoreError

SCHEMA_VERSION = 3

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

ops = Table(
    "ops",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("domain", Text, nullable=False),
    Column("op_type", Text, nullable=False),
    Column("text", Text, nullable=False),
    Index("ops_by_type", "op_type", "domain"),
)

devices = Table(
    "devices",
    metadata,
    Column("name", Text, primary_key=True),
    Column("spec", Text),
)

softwares = Table(
    "softwares",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("backend", Text, nullable=False),
    Column("versions", Text, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("command", Text, nullable=False),
    Column("arguments", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("finished_at", Text),
    Column("status", Text, nullable=False),
    Column("result", Text),
)
Index("runs_by_start", runs.c.started_at.desc(), runs.c.id)

measurements = Table(
    "measurements",
    metadata,
    Column("id", Text, primary_key=True),
    Column("op", Text, ForeignKey("ops.digest"), nullable=False),
    Column("device", Text, ForeignKey("devices.name"), nullable=False),
    Column("software", Text, ForeignKey("softwares.digest"), nullable=False),
    Column("run", Text, ForeignKey("runs.id")),
    Column("scope", Text, nullable=False),
    Column("threads", Integer, nullable=False),
    Column("cache", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("n_samples", Integer, nullable=False),
    Column("median_s", Double),
    Column("low_s", Double),
    Column("high_s", Double),
    Column("samples", LargeBinary, nullable=False),
    Column("energy_j", Double),
    Column("source", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("measured_at", Text, nullable=False),
    # Every column that look-ups filter by, so that only matching rows are read.
    Index("measurements_by_op", "device", "op", "scope", "status", "threads", "software", "cache"),
    Index("measurements_by_run", "run", "id"),
)
Index("measurements_by_time", measurements.c.measured_at.desc(), measurements.c.id)

coverage = Table(
    "coverage",
    metadata,
    Column("device", Text, primary_key=True),
    Column("domain", Text, primary_key=True),
    Column("op_type", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    Column("n", Integer, nullable=False),
    Column("ops", Integer, nullable=False),
)
"""Numbers of measurements and of distinct operators, which `lydite.store.counts` keeps."""

trials = Table(
    "trials",
    metadata,
    Column("id", Text, primary_key=True),
    Column("op", Text, ForeignKey("ops.digest"), nullable=False),
    Column("device", Text, ForeignKey("devices.name"), nullable=False),
    Column("software", Text, ForeignKey("softwares.digest"), nullable=False),
    Column("run", Text, ForeignKey("runs.id")),
    Column("target", Text, nullable=False),
    Column("space", Text, nullable=False),
    Column("factors", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("seconds", Double),
    Column("reference_s", Double),
    Column("ratio_low", Double),
    Column("ratio_high", Double),
    Column("parent", Text, nullable=False),
    Column("measured_at", Text, nullable=False),
    Index("trials_by_op", "device", "op", "role", "target"),
)
"""Schedules that were tried. They are never in `measurements`, whose newest rows are the time of an
operator as the backend runs it."""

jobs = Table(
    "jobs",
    metadata,
    Column("key", Text, primary_key=True),
    Column("run", Text, ForeignKey("runs.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("device", Text, nullable=False),
    Column("backend", Text, nullable=False),
    Column("versions", Text, nullable=False),
    Column("work", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("worker", Text, nullable=False),
    Column("lease_until", DateTime(timezone=True)),
    Column("note", Text, nullable=False),
    Index("jobs_by_device", "status", "device"),
    Index("jobs_by_run", "run", "status"),
)
"""Operators to be measured by the workers of a farm; see `lydite.farm`."""

workers = Table(
    "workers",
    metadata,
    Column("host", Text, primary_key=True),
    Column("device", Text, primary_key=True),
    Column("backend", Text, nullable=False),
    Column("versions", Text, nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False),
    Column("draining", Boolean, nullable=False),
)
"""Machines that offer devices to a farm."""

RECORDS = (devices, softwares, runs, ops, measurements, trials)
"""Tables of records, each after those that it refers to."""


def in_order(table: Table, values: Mapping[str, Any]) -> tuple[Any, ...]:
    """A row in the order of the table's columns, as writers take it."""
    return tuple(values[column.name] for column in table.c)


def counted_rows() -> Select[*tuple[Any, ...]]:
    """The rows of `coverage` as the measurements give them; seconds for a million."""
    m, o = measurements.c, ops.c
    per_op = (
        select(m.device, m.op, m.status, func.count().label("n"))
        .group_by(m.device, m.op, m.status)
        .subquery()
    )
    place = (per_op.c.device, o.domain, o.op_type, per_op.c.status)
    columns: list[ColumnElement[Any]] = [*place, func.sum(per_op.c.n), func.count()]
    return select(*columns).join(ops, o.digest == per_op.c.op).group_by(*place)


def _add_trials(connection: Connection) -> None:
    trials.create(connection)


def _add_counts_and_farm(connection: Connection) -> None:
    for table in (runs, measurements):
        for index in table.indexes:
            index.create(connection, checkfirst=True)
    for table in (coverage, jobs, workers):
        table.create(connection)
    columns = [column.name for column in coverage.c]
    connection.execute(coverage.insert().from_select(columns, counted_rows()))


MIGRATIONS: dict[int, Callable[[Connection], None]] = {1: _add_trials, 2: _add_counts_and_farm}
"""Migrations by the schema version they start from; each yields the next, in one transaction."""


def stored_version(connection: Connection, where: str) -> int | None:
    """Schema version of the database; None while it is empty.

    Raises:
        StoreError: the database is not Lydite's, or a newer Lydite wrote it.
    """
    tables = set(inspect(connection).get_table_names())
    if not tables:
        return None
    foreign = StoreError("is not a Lydite database", where=where)
    if meta.name not in tables or _columns(connection, meta.name) != {"key", "value"}:
        raise foreign
    text = connection.scalar(select(meta.c.value).where(meta.c.key == "schema_version"))
    if not isinstance(text, str) or not (text.isascii() and text.isdigit()):
        raise foreign
    version = int(text)
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"has schema version {version}, but this Lydite reads versions up to {SCHEMA_VERSION}",
            where=where,
            hint="type: pip install --upgrade lydite",
        )
    if version == SCHEMA_VERSION and not tables >= set(metadata.tables):
        missing = ", ".join(sorted(set(metadata.tables) - tables))
        raise StoreError(f"lacks the table {missing}", where=where)
    return version


def bring_up(connection: Connection, where: str) -> None:
    """Create the tables, or migrate older ones, within the caller's write transaction.

    Raises:
        StoreError: as for `stored_version`; also if a version is too old to migrate.
    """
    version = stored_version(connection, where)
    if version is None:
        metadata.create_all(connection)
        connection.execute(meta.insert().values(key="schema_version", value=str(SCHEMA_VERSION)))
        return
    for step in range(version, SCHEMA_VERSION):
        if step not in MIGRATIONS:
            raise StoreError(
                f"has schema version {step}, which is too old to migrate",
                where=where,
                hint="export it with the Lydite that wrote it, and import the export",
            )
        MIGRATIONS[step](connection)
    if version < SCHEMA_VERSION:
        connection.execute(
            meta.update().where(meta.c.key == "schema_version").values(value=str(SCHEMA_VERSION))
        )


def _columns(connection: Connection, table: str) -> set[str]:
    columns: list[Mapping[str, object]] = list(inspect(connection).get_columns(table))
    return {str(column["name"]) for column in columns}
