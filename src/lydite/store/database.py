"""The performance database: measurements with their device, software, conditions and run.

One schema in a SQLite file, by default the user's own, or on a PostgreSQL server. Any number of
processes may write at once: each call that writes is one atomic transaction.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self, Unpack

from sqlalchemy import Connection, Engine, Row, Select, and_, func, or_, select

from lydite.errors import InputError, StoreError
from lydite.opkey import OpKey
from lydite.store import connect, counts, queries, rows, schema
from lydite.store.counts import CoverageCount
from lydite.store.readings import FOREIGN, Filters, Wanted, moment, usually
from lydite.store.records import (
    RUN_STATUSES,
    DeviceRecord,
    Measurement,
    Run,
    Software,
)
from lydite.store.trials import Trial, read_trial
from lydite.store.values import canonical_json, later, utc_now
from lydite.store.writer import Writer

BUSY_TIMEOUT_S = 30.0

_ROWS_PER_FETCH = 1000


class Database:
    """A performance database, open until `close` or the end of its `with` block.

    Every method raises StoreError when the database is locked for longer than its time-out,
    read-only, damaged, out of space or unreachable; its previous content stays intact.

    Attributes:
        where: Path of the file, or URL without its password.
    """

    def __init__(self, engine: Engine, where: str) -> None:
        self.where = where
        self._engine = engine
        if engine.dialect.name == "postgresql":
            # A dump or a merge reads several tables in one snapshot.
            self._reader = engine.execution_options(isolation_level="REPEATABLE READ")
        else:
            self._reader = engine

    @classmethod
    def open(
        cls,
        target: str | os.PathLike[str] | None = None,
        *,
        read_only: bool = False,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> Self:
        """Open a database; a new one is made, and an older one migrated, unless `read_only`.

        Args:
            target: File, or URL such as postgresql://user@host/name; None for $LYDITE_DB, else
                `lydite.db` in the user's data folder.
            read_only: Whether to refuse every change.
            busy_timeout_s: Seconds to wait for other writers.

        Raises:
            StoreError: it is not a Lydite database, was written by a newer Lydite, or cannot be
                opened.
            MissingExtra: PostgreSQL without its driver.
        """
        place = connect.resolve(target)
        engine = connect.make_engine(place, read_only=read_only, busy_timeout_s=busy_timeout_s)
        database = cls(engine, str(place))
        try:
            database._ready(read_only)
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def in_memory(cls) -> Self:
        """A new database in memory, lost when it is closed.

        It has no write-ahead log: a writer waits until every query has been read to its end.
        """
        database = cls(connect.memory_engine(BUSY_TIMEOUT_S), "memory")
        database._ready(read_only=False)
        return database

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, measurements: Iterable[Measurement]) -> int:
        """Add measurements, all or none, and return how many were new.

        Raises:
            InputError: an environment holds a value that is not JSON.
            StoreError: also if a measurement names a run that the database does not have.
        """
        return self.load(measurements)["measurements"]

    def load(self, items: Iterable[Measurement | Run | DeviceRecord | Trial]) -> dict[str, int]:
        """Add records of any kind, all or none; a run must precede the rows that name it.

        Returns:
            Number of new rows by table.
        """
        with self._writing() as connection:
            writer = Writer(connection)
            writer.put_all(items)
        return {table.name: writer.added[table.name] for table in schema.RECORDS}

    @contextmanager
    def foreign_writer(self) -> Iterator[Callable[[rows.ForeignRows], Mapping[str, int]]]:
        """A function that adds times of others, within one transaction that ends with the block.

        It returns the number of new rows by table.
        """
        with self._writing() as connection:
            connect.widen_cache(connection)
            yield Writer(connection).put_foreign

    def merge(self, other: Database) -> dict[str, int]:
        """Add all records of `other` that this database lacks; repeating it changes nothing.

        Returns:
            Number of new rows by table.
        """
        with self._writing() as connection, other._reading() as source:
            writer = Writer(connection)
            for table in schema.RECORDS:
                for part in other._stream(source, select(table)):
                    writer.put_rows(table, [tuple(row) for row in part])
        return {table.name: writer.added[table.name] for table in schema.RECORDS}

    def lookup(
        self, keys: Sequence[OpKey], **wanted: Unpack[Wanted]
    ) -> dict[str, list[Measurement]]:
        """Measurements of exactly these operators, newest first, by the digest of their key.

        Operators without a row are left out.
        """
        backend, chosen = _apart(wanted)
        known = {key.digest: key for key in keys}
        by_digest: dict[str, list[Measurement]] = {}
        with self._reading() as connection:
            softwares = queries.softwares(connection, backend)
            query = select(*rows.MEASUREMENT_COLUMNS).where(
                queries.of_operators(connection, list(known)),
                queries.by_software(softwares),
                queries.exactly(**chosen),
            )
            decoder = rows.RowDecoder(softwares, known)
            for part in self._stream(connection, query):
                for item in decoder.measurements(part):
                    by_digest.setdefault(item.key.digest, []).append(item)
        for several in by_digest.values():
            several.sort(key=moment, reverse=True)
        return by_digest

    def rows_for(
        self, op_types: Sequence[tuple[str, str]], **wanted: Unpack[Wanted]
    ) -> list[Measurement]:
        """All measurements of operators of these types, newest first, for interpolation.

        Args:
            op_types: Pairs of domain and type.
            wanted: As for `lookup`.
        """
        backend, chosen = _apart(wanted)
        with self._reading() as connection:
            softwares = queries.softwares(connection, backend)
            query = queries.with_keys().where(
                queries.of_types(op_types),
                queries.by_software(softwares),
                queries.exactly(**chosen),
            )
            measurements = queries.decode(self._stream(connection, query), softwares)
            return sorted(measurements, key=moment, reverse=True)

    def foreign_softwares(self, device: str) -> list[tuple[Software, str]]:
        """What ran the operators that others measured on a device, and whose measurements."""
        m = schema.measurements.c
        with self._reading() as connection:
            known = queries.softwares(connection)
            there = select(m.software).where(m.device == device).distinct()
            found: list[tuple[Software, str]] = []
            for digest in sorted(connection.execute(there).scalars()):
                first = select(m.source).where(m.device == device, m.software == digest).limit(1)
                source = connection.execute(first).scalar_one()
                if source.startswith(FOREIGN):
                    found.append((known[digest], source.removeprefix(FOREIGN)))
        return found

    def foreign_times(
        self, software: Software, *, device: str, begins: Sequence[tuple[str, str, str]]
    ) -> list[tuple[str, float]]:
        """Text and median in seconds of operators, as others measured them.

        Args:
            software, device: Who measured what.
            begins: Domain and type of the operators, and what the text of their keys begins with.
        """
        m, ops = schema.measurements.c, schema.ops
        wanted = (
            (ops.c.op_type == op_type)
            & (ops.c.domain == domain)
            & (func.substr(ops.c.text, 1, len(text)) == text)
            for domain, op_type, text in begins
        )
        query = (
            select(ops.c.text, m.median_s)
            .select_from(schema.measurements.join(ops))
            .where(m.device == device, m.scope == "isolated", m.status == "ok")
            # As in `queries.by_software`.
            .where(m.software.concat("") == software.digest, or_(*wanted))
        )
        with self._reading() as connection:
            return [(text, seconds) for text, seconds in connection.execute(query).all()]

    def query(
        self, *, limit: int | None = None, **filters: Unpack[Filters]
    ) -> Iterator[Measurement]:
        """Measurements that match the filters, newest first, read lazily."""
        newest = (schema.measurements.c.measured_at.desc(), schema.measurements.c.id)
        query = queries.with_keys().where(queries.fitting(filters)).order_by(*newest).limit(limit)
        with self._reading() as connection:
            yield from queries.decode(
                self._stream(connection, query), queries.softwares(connection)
            )

    def dump(self, **filters: Unpack[Filters]) -> Iterator[Run | DeviceRecord | Measurement]:
        """All records for an export, from one snapshot: runs, devices, then measurements.

        With filters, only the runs and devices that the selected measurements name.
        """
        m, chosen = schema.measurements.c, queries.fitting(filters)
        runs, devices = select(schema.runs), select(schema.devices)
        if any(value is not None for value in filters.values()):
            runs = runs.where(schema.runs.c.id.in_(select(m.run).where(chosen)))
            devices = devices.where(schema.devices.c.name.in_(select(m.device).where(chosen)))
        query = queries.with_keys().where(chosen).order_by(m.device, m.op, m.measured_at, m.id)
        with self._reading() as connection:
            order = (schema.runs.c.started_at, schema.runs.c.id)
            yield from map(rows.read_run, connection.execute(runs.order_by(*order)).all())
            for row in connection.execute(devices.order_by(schema.devices.c.name)).all():
                yield rows.read_device(row.name, row.spec)
            yield from queries.decode(
                self._stream(connection, query), queries.softwares(connection)
            )

    def trials(
        self,
        *,
        device: str | None = None,
        op_type: str | None = None,
        digest: str | None = None,
        target: str | None = None,
        role: str | None = None,
    ) -> list[Trial]:
        """Schedules that were tried, oldest first; an argument that is None matches everything.

        Args:
            device: Name of the device.
            op_type: Type of the operator without its domain.
            digest: Digest of the operator's key.
            target: Compiler and processor, as `Trial.target`.
            role: "trial", "paired" or "imported".
        """
        t, ops, softwares = schema.trials, schema.ops, schema.softwares
        query = (
            select(t, ops.c.text, softwares.c.backend, softwares.c.versions)
            .join(ops, ops.c.digest == t.c.op)
            .join(softwares, softwares.c.digest == t.c.software)
            .order_by(t.c.measured_at, t.c.id)
        )
        wanted = {t.c.device: device, t.c.target: target, t.c.role: role, t.c.op: digest}
        wanted[ops.c.op_type] = op_type
        for column, value in wanted.items():
            if value is not None:
                query = query.where(column == value)
        with self._reading() as connection:
            return [read_trial(row) for row in connection.execute(query).all()]

    def stats(self) -> dict[str, Any]:
        """Counts of rows, in all and by device, backend, operator type and status; size_bytes."""
        with self._reading() as connection:
            return queries.statistics(connection)

    def coverage(self, *, recount: bool = False) -> list[CoverageCount]:
        """Numbers of measurements and distinct operators by device, operator type and status.

        Args:
            recount: Whether to count all rows, which takes seconds for a million of them, instead
                of reading the counts that writers keep. Both give the same.
        """
        with self._reading() as connection:
            return counts.recounted(connection) if recount else counts.kept(connection)

    def devices(self) -> list[DeviceRecord]:
        """Every device in the database, ordered by name."""
        with self._reading() as connection:
            records = connection.execute(select(schema.devices).order_by(schema.devices.c.name))
            return [rows.read_device(row.name, row.spec) for row in records]

    def device(self, name: str) -> DeviceRecord | None:
        """The device of this name; None without one."""
        with self._reading() as connection:
            named = select(schema.devices).where(schema.devices.c.name == name)
            row = connection.execute(named).one_or_none()
            return None if row is None else rows.read_device(row.name, row.spec)

    def add_device(self, name: str, spec: Mapping[str, Any]) -> None:
        """Store the specification of a device, replacing an older one.

        Raises:
            InputError: the specification holds a value that is not JSON.
        """
        record = DeviceRecord(name, spec)
        values = rows.device_row(record)
        with self._writing() as connection:
            Writer(connection).put_all([record])
            table = schema.devices
            connection.execute(table.update().where(table.c.name == name).values(values))

    @contextmanager
    def own_connection(self) -> Iterator[Connection]:
        """A connection for one caller, for what must not be shared, such as session-level locks."""
        with connect.one_message(self.where), self._engine.connect() as connection:
            yield connection

    @property
    def is_server(self) -> bool:
        """Whether a server keeps the database, not a file or memory."""
        return self._engine.dialect.name == "postgresql"

    def start_run(self, command: str, arguments: Mapping[str, Any]) -> str:
        """Record that a command has started, and return the id of its run."""
        run = Run(command, arguments)
        self.load([run])
        return run.id

    def resume_run(self, command: str, arguments: Mapping[str, Any]) -> str:
        """The id of the newest running run with the same arguments; else of a new one."""
        table, run = schema.runs, Run(command, arguments)
        same = (
            select(table.c.id)
            .where(table.c.command == command, table.c.status == "running")
            .where(table.c.arguments == canonical_json(arguments, "arguments"))
            .order_by(table.c.started_at.desc())
            .limit(1)
        )
        with self._writing() as connection:
            if (known := connection.execute(same).scalar()) is not None:
                return str(known)
            Writer(connection).put_all([run])
        return run.id

    def finish_run(
        self,
        run_id: str,
        status: str,
        result: Mapping[str, Any] | None = None,
        *,
        seconds: float | None = None,
    ) -> None:
        """Record how a run ended.

        Args:
            run_id: Id of the run.
            status: "done", "failed" or "interrupted".
            result: Document of the result; None for none.
            seconds: How long it took by a monotonic clock; None for what UTC says now.

        Raises:
            StoreError: no such run is running.
        """
        if status not in RUN_STATUSES[1:]:
            raise InputError(f"status is {status!r}", allowed=", ".join(RUN_STATUSES[1:]))
        table = schema.runs
        values = {
            "status": status,
            "result": None if result is None else canonical_json(result, "result"),
        }
        running = and_(table.c.id == run_id, table.c.status == "running")
        with self._writing() as connection:
            began = connection.execute(select(table.c.started_at).where(running)).scalar()
            if began is None:
                raise StoreError(f"no run '{run_id}' is running", where=self.where)
            values["finished_at"] = utc_now() if seconds is None else later(began, seconds)
            connection.execute(table.update().where(running).values(values))

    def runs(self, limit: int | None = None) -> list[Run]:
        """The runs, newest first."""
        order = (schema.runs.c.started_at.desc(), schema.runs.c.id)
        with self._reading() as connection:
            records = connection.execute(select(schema.runs).order_by(*order).limit(limit))
            return [rows.read_run(row) for row in records]

    def _ready(self, read_only: bool) -> None:
        with connect.one_message(self.where), self._engine.connect() as connection:
            version = schema.stored_version(connection, self.where)
        if version == schema.SCHEMA_VERSION:
            return
        if read_only:
            state = "is empty" if version is None else f"has the older schema version {version}"
            raise StoreError(state, where=self.where, hint="open it once for writing")
        with self._writing() as connection:
            schema.bring_up(connection, self.where)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with (
            connect.one_message(self.where),
            connect.write_transaction(self._engine) as connection,
        ):
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with (
            connect.one_message(self.where),
            rows.sound_rows(self.where),
            self._reader.connect() as connection,
        ):
            yield connection

    def _stream(self, connection: Connection, query: Select[Any]) -> Iterator[Sequence[Row[Any]]]:
        with connect.one_message(self.where):
            options = {"yield_per": _ROWS_PER_FETCH}
            yield from connection.execute(query, execution_options=options).partitions()


def _apart(wanted: Wanted) -> tuple[str | None, dict[str, Any]]:
    """The backend, which is another table's, and the other conditions."""
    chosen: dict[str, Any] = {**usually(wanted)}
    return chosen.pop("backend", None), chosen
