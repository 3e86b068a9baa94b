"""A worker's side of the queue: one connection that locks devices, takes jobs and ends them.

Exactly once is the database's work: a job is taken with a new attempt number, and its rows and its
end are one transaction that writes nothing if another attempt was begun. All times are the
server's, so a worker's clock may be off by hours.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from lydite.errors import LyditeError, StoreError
from lydite.farm.jobs import Job, check_server
from lydite.store import Database, Measurement
from lydite.store.connect import one_message, writing_on
from lydite.store.values import canonical_json
from lydite.store.writer import Writer

MOST_ATTEMPTS = 10
"""Times that a job is taken before it counts as one that ends its workers."""

_KEEPALIVE = "SET tcp_keepalives_idle=10; SET tcp_keepalives_interval=5; SET tcp_keepalives_count=3"
_LEASE = "clock_timestamp() + make_interval(secs => :lease_s)"
_TAKE = f"""
UPDATE jobs SET status = 'running', attempt = attempt + 1, worker = :worker, note = '',
    lease_until = {_LEASE}
WHERE key = (
    SELECT key FROM jobs
    WHERE device = ANY(:devices) AND backend = :backend
        AND CAST(versions AS jsonb) <@ CAST(:versions AS jsonb)
        AND (status = 'queued' OR status = 'running' AND lease_until < clock_timestamp())
    ORDER BY attempt, number, key
    FOR UPDATE SKIP LOCKED LIMIT 1)
RETURNING run, device, backend, versions, work, attempt
"""
_GIVE_UP = f"""
UPDATE jobs SET status = 'failed',
    note = 'given up: ' || attempt || ' workers ended while they measured it, at last ' || worker
WHERE attempt >= {MOST_ATTEMPTS}
    AND (status = 'queued' OR status = 'running' AND lease_until < clock_timestamp())
"""
_REFUSED = """
UPDATE jobs SET note = :host || ' refuses it: it is for ' || backend || ' with ' || versions
    || ', and there is ' || CAST(:here AS text)
WHERE status = 'queued' AND device = ANY(:devices) AND backend = :backend AND note = ''
    AND NOT CAST(versions AS jsonb) <@ CAST(:versions AS jsonb)
RETURNING run, versions
"""
_RENEW = f"""
UPDATE jobs SET lease_until = {_LEASE}
WHERE key = :key AND attempt = :attempt AND status = 'running' RETURNING key
"""
_END = """
UPDATE jobs SET status = :status, note = :note, lease_until = NULL
WHERE key = :key AND attempt = :attempt AND status = 'running' RETURNING key
"""
_OFFER = """
INSERT INTO workers (host, device, backend, versions, seen_at, draining)
VALUES (:host, :device, :backend, :versions, clock_timestamp(), false)
ON CONFLICT (host, device) DO UPDATE SET backend = excluded.backend,
    versions = excluded.versions, seen_at = excluded.seen_at, draining = false
"""
_SEEN = """
UPDATE workers SET seen_at = clock_timestamp() WHERE host = :host AND device = ANY(:devices)
RETURNING draining
"""


class ConnectionLost(StoreError):
    """The server closed the connection, and with it the locks of the devices."""


class DeviceTaken(LyditeError):
    """Another worker has the device."""


class Overtaken(LyditeError):
    """Another worker has begun the job again, as the lease of this one had ended."""


class Queue:
    """The connection of one worker; its methods may be called from several threads.

    Args:
        database: Database on a PostgreSQL server.
        host: Name of the machine.
        devices: Names of the devices that it offers.
        backend: Backend that runs operators.
        versions: Versions of that backend and of what else affects speed.
        lease_s: Seconds after which a job that is not renewed may be taken by others.

    Raises:
        StoreError: the database is not on a server.
        DeviceTaken: another worker has one of the devices.
    """

    def __init__(
        self,
        database: Database,
        *,
        host: str,
        devices: Sequence[str],
        backend: str,
        versions: Mapping[str, str],
        lease_s: float = 60.0,
    ) -> None:
        check_server(database)
        self.host, self.devices, self.backend = host, list(devices), backend
        self.versions, self.lease_s = dict(versions), lease_s
        self._where = database.where
        self._mutex = threading.RLock()
        self._opened = database.own_connection()
        self._connection: Connection = self._opened.__enter__()
        try:
            self._lock_devices()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the server then unlocks the devices."""
        # Not returned to a pool, where the locks would outlive this worker.
        with self._mutex:
            self._connection.invalidate()
            self._opened.__exit__(None, None, None)

    def take(self) -> Job | None:
        """The next job for one of the devices, leased to this worker; None if there is none."""
        with self._transaction() as connection:
            connection.execute(text(_GIVE_UP))
            row = connection.execute(
                text(_TAKE), {**self._about, "worker": self.host, "lease_s": self.lease_s}
            ).one_or_none()
        if row is None:
            return None
        operator, conditions = json.loads(row.work)
        versions = json.loads(row.versions)
        return Job(row.run, row.device, row.backend, versions, operator, conditions, row.attempt)

    def refuse(self) -> list[tuple[str, str]]:
        """Note on waiting jobs for other versions that this worker does not take them.

        Returns:
            Run and wanted versions of each job on which that is new.
        """
        with self._transaction() as connection:
            about = {**self._about, "host": self.host, "here": self._about["versions"]}
            rows = connection.execute(text(_REFUSED), about).all()
        return [(run, versions) for run, versions in rows]

    def renew(self, job: Job | None) -> bool:
        """Extend the lease of a job, and say that the worker lives.

        Returns:
            Whether the worker is told to stop.

        Raises:
            Overtaken: another worker has begun the job again.
        """
        with self._transaction() as connection:
            seen = {"host": self.host, "devices": self.devices}
            told = connection.execute(text(_SEEN), seen).scalars().all()
            if job is not None:
                fence = {"key": job.key, "attempt": job.attempt, "lease_s": self.lease_s}
                if connection.execute(text(_RENEW), fence).one_or_none() is None:
                    raise Overtaken(f"job {job.key[:8]} was begun again by another worker")
        return any(told)

    def complete(self, job: Job, rows: Sequence[Measurement]) -> int:
        """Store the measurements of a job and end it, in one transaction.

        Returns:
            Number of new measurements.

        Raises:
            Overtaken: another worker has begun the job again; nothing is written.
        """
        with self._transaction(writes=True) as connection:
            self._end(connection, job, "done", "")
            writer = Writer(connection)
            writer.put_all(rows)
        return writer.added["measurements"]

    def fail(self, job: Job, reason: str) -> None:
        """End a job that cannot be measured."""
        with self._transaction() as connection:
            self._end(connection, job, "failed", reason)

    def give_back(self, job: Job, reason: str) -> None:
        """Put a job back for other workers."""
        with self._transaction() as connection:
            self._end(connection, job, "queued", reason)

    def add(self, rows: Sequence[Measurement]) -> None:
        """Store measurements that belong to no job, such as those of the backend's own costs."""
        with self._transaction(writes=True) as connection:
            Writer(connection).put_all(rows)

    def _end(self, connection: Connection, job: Job, status: str, note: str) -> None:
        fence = {"key": job.key, "attempt": job.attempt, "status": status, "note": note}
        if connection.execute(text(_END), fence).one_or_none() is None:
            raise Overtaken(f"job {job.key[:8]} was begun again by another worker")

    def _lock_devices(self) -> None:
        with self._transaction() as connection:
            for words in _KEEPALIVE.split(";"):
                connection.execute(text(words))
            for device in self.devices:
                number = _number(f"{self.host}\0{device}")
                locked = text("SELECT pg_try_advisory_lock(:number)")
                if not connection.execute(locked, {"number": number}).scalar_one():
                    raise DeviceTaken(
                        f"{device} of {self.host} is taken by another worker",
                        where=self._where,
                        hint=f"stop it: lydite farm drain {self.host}",
                    )
                about = {key: self._about[key] for key in ("backend", "versions")}
                offer = {**about, "host": self.host, "device": device}
                connection.execute(text(_OFFER), offer)

    @property
    def _about(self) -> dict[str, Any]:
        versions = canonical_json(self.versions, "versions")
        return {"devices": self.devices, "backend": self.backend, "versions": versions}

    @contextmanager
    def _transaction(self, *, writes: bool = False) -> Iterator[Connection]:
        connection = self._connection
        with self._mutex, one_message(self._where):
            try:
                # A lost connection is never replaced: a new one would not hold the locks.
                if connection.invalidated or connection.closed:
                    raise ConnectionLost("the connection is closed", where=self._where)
                with writing_on(connection) if writes else connection.begin():
                    yield connection
            except DBAPIError as error:
                if error.connection_invalidated or connection.invalidated:
                    raise ConnectionLost(
                        "the server closed the connection", where=self._where
                    ) from error
                raise


def _number(name: str) -> int:
    """A lock's number: 63 bits of a name's digest."""
    return int.from_bytes(hashlib.sha256(f"lydite farm {name}".encode()).digest()[:8], "big") >> 1
