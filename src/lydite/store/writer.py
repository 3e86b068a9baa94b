"""Batched writes to a database within one transaction."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, CursorResult, Table, and_
from sqlalchemy.dialects import postgresql, sqlite

from lydite.store import connect, counts, rows, schema
from lydite.store.records import DeviceRecord, Measurement, Run, Software
from lydite.store.trials import Trial, trial_row

CHUNK = 20_000
_NAMED = re.compile(r":(\w+)")
_MANY = (schema.ops, schema.measurements)


class Writer:
    """Inserts records into the database of `connection`; existing rows are kept.

    Attributes:
        added: Number of new rows by table name.
    """

    def __init__(self, connection: Connection) -> None:
        self.added: Counter[str] = Counter()
        self._connection = connection.execution_options(preserve_rowcount=True)
        self._insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        self._waiting: dict[str, dict[str, dict[str, Any]]] = {t.name: {} for t in schema.RECORDS}
        self._softwares: dict[int, tuple[Software, str]] = {}

    def put_all(self, items: Iterable[Measurement | Run | DeviceRecord | Trial]) -> None:
        """Insert records of any kind; a run must precede the rows that name it.

        Raises:
            InputError: a record holds a value that is not JSON.
        """
        for item in items:
            if isinstance(item, Measurement):
                self._put_measurement(item)
            elif isinstance(item, Trial):
                self._put_trial(item)
            elif isinstance(item, Run):
                self._waiting["runs"][item.id] = rows.run_row(item)
            else:
                self._waiting["devices"][item.name] = rows.device_row(item)
            if len(self._waiting["measurements"]) >= CHUNK:
                connect.widen_cache(self._connection)
                self._flush()
        self._flush()

    def put_rows(self, table: Table, chunk: list[dict[str, Any]]) -> None:
        """Insert rows of one table as they are; measurements are counted, after their operators."""
        copied = table in _MANY and self._connection.dialect.name == "postgresql"
        if copied or table is schema.measurements:
            chunk = counts.only_new(self._connection, table, chunk)
        if table is schema.measurements:
            counts.count_new(self._connection, chunk)
            # So that neighbouring rows of the index are written together.
            chunk.sort(key=lambda row: (row["device"], row["op"]))
        if copied and chunk:
            # Other writers wait, so what is new stays new, and a COPY can take it.
            connect.copy_rows(self._connection, table.name, chunk)
            self.added[table.name] += len(chunk)
        elif chunk:
            self.added[table.name] += max(0, self._execute(table, chunk).rowcount)

    def put_foreign(self, rows_: rows.ForeignRows) -> dict[str, int]:
        """Insert times of others; returns the number of new rows by table."""
        before = Counter(self.added)
        for table, made in (
            (schema.devices, [{"name": rows_.device, "spec": None}]),
            (schema.softwares, [rows.software_row(rows_.software)]),
            (schema.ops, sorted(rows_.op_rows, key=lambda row: row["digest"])),
            (schema.measurements, rows_.measurement_rows),
        ):
            self.put_rows(table, made)
        return {name: self.added[name] - before[name] for name in ("ops", "measurements")}

    def _put_measurement(self, item: Measurement) -> None:
        digest = self._put_operator(item)
        row = rows.measurement_row(item, digest)
        self._waiting["measurements"][row["id"]] = row

    def _put_trial(self, item: Trial) -> None:
        row = trial_row(item, self._put_operator(item))
        self._waiting["trials"][row["id"]] = row

    def _put_operator(self, item: Measurement | Trial) -> str:
        """Insert what a row refers to; returns the digest of its software."""
        # Looked up by identity, which is fastest; kept alive, so that no id is reused.
        known = self._softwares.get(id(item.software))
        if known is None:
            known = self._softwares[id(item.software)] = (item.software, item.software.digest)
        digest = known[1]
        # Cleared on every flush: the set of all operators ever written could exceed memory.
        if digest not in self._waiting["softwares"]:
            self._waiting["softwares"][digest] = rows.software_row(item.software)
        if item.key.digest not in self._waiting["ops"]:
            self._waiting["ops"][item.key.digest] = rows.op_row(item.key)
        self._waiting["devices"].setdefault(item.device, {"name": item.device, "spec": None})
        return digest

    def _flush(self) -> None:
        for table in schema.RECORDS:
            waiting = self._waiting[table.name]
            if waiting:
                self.put_rows(table, list(waiting.values()))
                waiting.clear()

    def _execute(self, table: Table, chunk: list[dict[str, Any]]) -> CursorResult[Any]:
        statement = self._insert(table)
        new = statement.excluded
        if table is schema.runs:
            ended = and_(schema.runs.c.status == "running", new.status != "running")
            statement = statement.on_conflict_do_update(
                index_elements=["id"],
                set_={name: new[name] for name in ("status", "finished_at", "result")},
                where=ended,
            )
            return self._connection.execute(statement, chunk)
        if table is schema.devices:
            unknown = and_(schema.devices.c.spec.is_(None), new.spec.is_not(None))
            statement = statement.on_conflict_do_update(
                index_elements=["name"], set_={"spec": new.spec}, where=unknown
            )
            return self._connection.execute(statement, chunk)
        # These rows need no conversion, and SQLAlchemy's own takes half of an insert's time.
        statement = statement.on_conflict_do_nothing()
        words = str(statement.compile(dialect=self._connection.dialect))
        if self._connection.dialect.name != "sqlite":
            return self._connection.exec_driver_sql(words, chunk)
        # SQLite binds values by place in half of the time that it takes by name.
        in_order = itemgetter(*_NAMED.findall(words))
        placed = list(map(in_order, chunk))
        return self._connection.exec_driver_sql(_NAMED.sub("?", words), placed)
