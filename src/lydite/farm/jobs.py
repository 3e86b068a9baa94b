"""Jobs of a farm and the view of those who order them: enqueue, progress, workers, drain."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert

from lydite.errors import StoreError, unknown_name
from lydite.records import dataclass
from lydite.store import Database, schema
from lydite.store.values import canonical_json, digest

STATUSES = ("queued", "running", "done", "failed")
UNSEEN_S = 60.0
"""Seconds without a sign of life after which a worker counts as gone."""


@dataclass(frozen=True)
class Job:
    """One operator to be measured on one device under given conditions.

    Attributes:
        run: Id of the run that the measurements belong to.
        device: Name of the device.
        backend: Backend that runs the operator.
        versions: Versions of packages that the worker must have.
        operator: Text of the operator's key.
        conditions: What else the measurement depends on, as JSON values.
        attempt: Number of times that it was taken; 0 before.
    """

    run: str
    device: str
    backend: str
    versions: Mapping[str, str]
    operator: str
    conditions: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 0

    @property
    def key(self) -> str:
        """Digest of all but the attempt, by which the database refuses doubles."""
        return digest(
            canonical_json(
                [
                    self.run,
                    self.operator,
                    self.device,
                    self.backend,
                    dict(self.versions),
                    dict(self.conditions),
                ],
                "job",
            )
        )


class Progress(NamedTuple):
    """How far the jobs of a run are.

    Attributes:
        by_status: Number of jobs by "queued", "running", "done", "failed".
        notes: Why jobs wait or failed, each with the number of jobs.
        failed: Operator key and reason of the jobs that failed.
    """

    by_status: dict[str, int]
    notes: dict[str, int]
    failed: list[tuple[str, str]]

    @property
    def total(self) -> int:
        """Number of jobs."""
        return sum(self.by_status.values())

    @property
    def ended(self) -> int:
        """Number of jobs that are done or failed."""
        return self.by_status["done"] + self.by_status["failed"]


class WorkerRow(NamedTuple):
    """A device that a host offers; `seen_s` is the time since its last sign of life."""

    host: str
    device: str
    backend: str
    versions: dict[str, str]
    seen_s: float
    draining: bool


def check_server(database: Database) -> None:
    """Refuse a database that other machines cannot reach.

    Raises:
        StoreError: it is not on a PostgreSQL server.
    """
    if not database.is_server:
        raise StoreError(
            "a farm needs a database on a PostgreSQL server",
            where=database.where,
            allowed="--db postgresql://USER:PASSWORD@HOST/DATABASE",
            hint="start one: docker run -e POSTGRES_PASSWORD=SECRET -p 5432:5432 postgres:18",
        )


def enqueue(database: Database, jobs: Sequence[Job]) -> int:
    """Add jobs; those with the key of a job that is there are not added again.

    Returns:
        Number of new jobs.

    Raises:
        StoreError: the database is not on a server.
    """
    check_server(database)
    rows = [
        {
            "key": job.key,
            "run": job.run,
            "number": number,
            "device": job.device,
            "backend": job.backend,
            "versions": canonical_json(job.versions, "versions"),
            "work": canonical_json([job.operator, job.conditions], "conditions"),
            "status": "queued",
            "attempt": 0,
            "worker": "",
            "note": "",
        }
        for number, job in enumerate(jobs)
    ]
    if not rows:
        return 0
    added = insert(schema.jobs).on_conflict_do_nothing().returning(schema.jobs.c.key)
    with database.own_connection() as connection, connection.begin():
        return len(connection.execute(added, rows).all())


def progress(database: Database, run: str | None = None) -> Progress:
    """How far the jobs of a run are, or all jobs."""
    table = schema.jobs
    where = table.c.run == run if run is not None else table.c.run.is_not(None)
    counted = select(table.c.status, func.count()).where(where).group_by(table.c.status)
    noted = (
        select(table.c.note, func.count())
        .where(where, table.c.note != "", table.c.status != "done")
        .group_by(table.c.note)
    )
    failed = select(table.c.work, table.c.note).where(where, table.c.status == "failed")
    with database.own_connection() as connection:
        by_status: dict[str, int] = dict.fromkeys(STATUSES, 0)
        by_status.update((status, n) for status, n in connection.execute(counted))
        notes = {note: n for note, n in connection.execute(noted.order_by(table.c.note))}
        ordered = failed.order_by(table.c.device, table.c.number)
        ends = [(json.loads(work)[0], note) for work, note in connection.execute(ordered)]
    return Progress(by_status, notes, ends)


def devices_waited_for(database: Database, run: str) -> list[str]:
    """Names of devices for which jobs of a run are queued."""
    table = schema.jobs
    waiting = select(table.c.device).where(table.c.run == run, table.c.status == "queued")
    with database.own_connection() as connection:
        return sorted(connection.execute(waiting.distinct()).scalars())


def worker_rows(database: Database) -> list[WorkerRow]:
    """Every device that was offered, by host and device."""
    check_server(database)
    seen = "extract(epoch FROM clock_timestamp() - seen_at)"
    words = text(f"SELECT host, device, backend, versions, {seen}, draining FROM workers")
    with database.own_connection() as connection:
        rows = connection.execute(words).all()
    return sorted(
        WorkerRow(host, device, backend, json.loads(versions), float(seen_s), draining)
        for host, device, backend, versions, seen_s, draining in rows
    )


def drain(database: Database, host: str) -> list[WorkerRow]:
    """Tell the worker of a host to stop after its current operator.

    Raises:
        InputError: no worker of this name.
    """
    every = worker_rows(database)
    if host not in {row.host for row in every}:
        raise unknown_name("host", host, sorted({row.host for row in every}), "lydite farm status")
    with database.own_connection() as connection, connection.begin():
        connection.execute(
            schema.workers.update().where(schema.workers.c.host == host).values(draining=True)
        )
    return [row for row in worker_rows(database) if row.host == host]
