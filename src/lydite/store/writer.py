"""Batched writes to a database within one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, CursorResult, Table, and_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import psycopg

from lydite.store import batch, connect, counts, rows, schema
from lydite.store.records import DeviceRecord, Measurement, Run
from lydite.store.trials import Trial, trial_row

CHUNK = 20_000
_MANY = (schema.ops, schema.measurements)
_columns = list(schema.measurements.c.keys())
_by_place = itemgetter(_columns.index("device"), _columns.index("op"))

Row = tuple[Any, ...]
"""A row in the order of its table's columns."""


class Writer:
    """Inserts records into the database of `connection`; existing rows are kept.

    Attributes:
        added: Number of new rows by table name.
    """

    def __init__(self, connection: Connection) -> None:
        self.added: Counter[str] = Counter()
        self._connection = connection.execution_options(preserve_rowcount=True)
        self._insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        self._waiting: dict[str, dict[str, Row]] = {t.name: {} for t in schema.RECORDS}
        self._measured: list[Measurement] = []
        self._tried: list[Trial] = []

    def put_all(self, items: Iterable[Measurement | Run | DeviceRecord | Trial]) -> None:
        """Insert records of any kind; a run must precede the rows that name it.

        Raises:
            InputError: a record holds a value that is not JSON.
        """
        for item in items:
            if isinstance(item, Measurement):
                self._measured.append(item)
            elif isinstance(item, Trial):
                self._tried.append(item)
            elif isinstance(item, Run):
                self._waiting["runs"][item.id] = schema.in_order(schema.runs, rows.run_row(item))
            else:
                self._waiting["devices"][item.name] = schema.in_order(
                    schema.devices, rows.device_row(item)
                )
            if len(self._measured) >= CHUNK:
                connect.widen_cache(self._connection)
                self._flush()
        self._flush()

    def put_rows(self, table: Table, chunk: list[Row]) -> None:
        """Insert rows of one table as they are; measurements are counted, after their operators."""
        if table in _MANY:
            chunk = counts.only_new(self._connection, table, chunk)
        if table is schema.measurements:
            # So that neighbouring rows of the index are read and written together.
            chunk.sort(key=_by_place)
            counts.count_new(self._connection, chunk)
        if chunk and table in _MANY and self._connection.dialect.name == "postgresql":
            # Other writers wait, so what is new stays new, and a COPY can take it.
            connect.copy_rows(self._connection, table, chunk)
            self.added[table.name] += len(chunk)
        elif chunk:
            self.added[table.name] += max(0, self._execute(table, chunk).rowcount)

    def put_foreign(self, rows_: rows.ForeignRows) -> dict[str, int]:
        """Insert times of others; returns the number of new rows by table."""
        before = Counter(self.added)
        software = schema.in_order(schema.softwares, rows.software_row(rows_.software))
        for table, made in (
            (schema.devices, [(rows_.device, None)]),
            (schema.softwares, [software]),
            (schema.ops, sorted(rows_.op_rows, key=itemgetter(0))),
            (schema.measurements, rows_.measurement_rows),
        ):
            self.put_rows(table, made)
        return {name: self.added[name] - before[name] for name in ("ops", "measurements")}

    def _flush(self) -> None:
        """Insert what waits, each table after those that it refers to."""
        measured = batch.measurement_rows(self._measured, self._refer(self._measured))
        tried = [
            schema.in_order(schema.trials, trial_row(item, software))
            for item, software in zip(self._tried, self._refer(self._tried), strict=True)
        ]
        self._waiting["measurements"] = {row[0]: row for row in measured}
        self._waiting["trials"] = {row[0]: row for row in tried}
        self._measured, self._tried = [], []
        for table in schema.RECORDS:
            waiting = self._waiting[table.name]
            if waiting:
                self.put_rows(table, list(waiting.values()))
                waiting.clear()

    def _refer(self, items: Sequence[Measurement | Trial]) -> list[str]:
        """Let wait what the items refer to; the digest of the software of each."""
        # Software is told apart by identity, which is fastest: few objects describe many rows.
        softwares = {id(item.software): item.software for item in items}
        digests = {place: software.digest for place, software in softwares.items()}
        for place, software in softwares.items():
            if digests[place] not in self._waiting["softwares"]:
                row = schema.in_order(schema.softwares, rows.software_row(software))
                self._waiting["softwares"][digests[place]] = row
        keys = {item.key.digest: item.key for item in items}
        self._waiting["ops"] |= {digest: rows.op_row(key) for digest, key in keys.items()}
        for device in dict.fromkeys(item.device for item in items):
            self._waiting["devices"].setdefault(device, (device, None))
        return [digests[id(item.software)] for item in items]

    def _execute(self, table: Table, chunk: list[Row]) -> CursorResult[Any]:
        statement = self._insert(table)
        new = statement.excluded
        if table is schema.runs:
            ended = and_(schema.runs.c.status == "running", new.status != "running")
            statement = statement.on_conflict_do_update(
                index_elements=["id"],
                set_={name: new[name] for name in ("status", "finished_at", "result")},
                where=ended,
            )
            return self._connection.execute(statement, _named(table, chunk))
        if table is schema.devices:
            unknown = and_(schema.devices.c.spec.is_(None), new.spec.is_not(None))
            statement = statement.on_conflict_do_update(
                index_elements=["name"], set_={"spec": new.spec}, where=unknown
            )
            return self._connection.execute(statement, _named(table, chunk))
        # These rows need no conversion, and SQLAlchemy's own takes half of an insert's time.
        dialect = self._connection.dialect.name
        # SQLite binds values by place in half of the time that it takes by name.
        rows_: list[Any] = chunk if dialect == "sqlite" else _named(table, chunk)
        return self._connection.exec_driver_sql(_insert_words(table, dialect), rows_)


@cache
def _insert_words(table: Table, dialect: str) -> str:
    """Insert a row that is not there; kept, as a small write takes less time than compiling it."""
    if dialect == "sqlite":
        statement = sqlite.insert(table).on_conflict_do_nothing()
        return str(statement.compile(dialect=sqlite.dialect()))
    statement = postgresql.insert(table).on_conflict_do_nothing()
    return str(statement.compile(dialect=psycopg.dialect()))


def _named(table: Table, chunk: Iterable[Row]) -> list[dict[str, Any]]:
    return [dict(zip(table.c.keys(), row, strict=True)) for row in chunk]
