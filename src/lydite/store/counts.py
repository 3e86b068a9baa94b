"""Kept counts of measurements by device, operator type and status.

A group-by over a million rows takes seconds, so every writer keeps the counts in the transaction
that adds the rows. Writers exclude each other (`connect.write_transaction`), so what a statement
reads here stays true until the commit, and the counts are exact without further locks.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, select, text
from sqlalchemy.dialects import postgresql, sqlite

from lydite.store import schema

_LISTED = {
    "sqlite": "SELECT value FROM json_each(:listed)",
    "postgresql": "SELECT json_array_elements_text(CAST(:listed AS json)) AS value",
}
_COUNTED = {
    "sqlite": "SELECT key, value FROM json_each(:listed)",
    "postgresql": "SELECT key, CAST(value AS int) AS value "
    "FROM json_each_text(CAST(:listed AS json))",
}
# Known ids come as one text: a row for each would take more time than the search.
_KNOWN = {
    "sqlite": "SELECT json_group_array({identity}) FROM {table} WHERE {identity} IN ({listed})",
    "postgresql": "SELECT CAST(coalesce(json_agg({identity}), '[]') AS text) FROM {table} "
    "WHERE {identity} IN ({listed})",
}
# A cross join is not reordered by SQLite, which could read all operators for each of the listed.
_PLACES = """
SELECT ops.domain, ops.op_type, sum(counted.value) AS n, sum(CASE WHEN EXISTS (
    SELECT 1 FROM measurements AS m
    WHERE m.device = :device AND m.op = ops.digest AND m.status = :status
    ) THEN 0 ELSE 1 END) AS ops
FROM ({counted}) AS counted CROSS JOIN ops WHERE ops.digest = counted.key
GROUP BY ops.domain, ops.op_type
"""
_columns = list(schema.measurements.c.keys())
_placed = itemgetter(*map(_columns.index, ("device", "status", "op")))


class CoverageCount(NamedTuple):
    """Number of measurements, and of distinct operators, with one device, type and status."""

    device: str
    domain: str
    op_type: str
    status: str
    n: int
    ops: int


def only_new(
    connection: Connection, table: Table, rows: Iterable[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """The measurements or operators that the database does not hold, each once.

    A row is in the order of the columns, of which the first is the primary key.
    """
    by_id = {row[0]: row for row in rows}
    words = _KNOWN[connection.dialect.name]
    about = {"table": table.name, "identity": table.c[0].name}
    ((known,),) = _asked(connection, words, about, list(by_id))
    for identity in json.loads(known):
        del by_id[identity]
    return list(by_id.values())


def count_new(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Count measurements that `only_new` passed; called before they are inserted, after their ops.

    An operator is new to its counter when no earlier row has its device and status.
    """
    places: dict[tuple[str, str], dict[str, int]] = {}
    for (device, status, op), n in Counter(map(_placed, rows)).items():
        places.setdefault((device, status), {})[op] = n
    made: dict[tuple[str, ...], dict[str, Any]] = {}
    for (device, status), per_op in places.items():
        about = {"device": device, "status": status}
        for domain, op_type, n, ops in _asked(connection, _PLACES, {}, per_op, **about):
            place = {**about, "domain": domain, "op_type": op_type}
            made[tuple(place.values())] = {**place, "n": n, "ops": ops}
    if not made:
        return
    name = connection.dialect.name
    insert = (sqlite.insert if name == "sqlite" else postgresql.insert)(schema.coverage)
    kept, new = schema.coverage.c, insert.excluded
    upsert = insert.on_conflict_do_update(
        index_elements=["device", "domain", "op_type", "status"],
        set_={"n": kept.n + new.n, "ops": kept.ops + new.ops},
    )
    connection.execute(upsert, [made[place] for place in sorted(made)])


def _asked(
    connection: Connection,
    statement: str,
    about: Mapping[str, str],
    listed: Sequence[str] | Mapping[str, int],
    **parameters: str,
) -> Iterable[Sequence[Any]]:
    """Rows of a statement about a list, or numbers by name, of any length: one parameter."""
    dialect = connection.dialect.name
    words = _text(statement.format(listed=_LISTED[dialect], counted=_COUNTED[dialect], **about))
    return connection.execute(words, {"listed": json.dumps(listed), **parameters}).all()


_text = cache(text)
"""Reading the parameters out of a statement takes longer than a small query."""


def recounted(connection: Connection) -> list[CoverageCount]:
    """The counts as the measurements give them, in order; seconds for a million rows."""
    return _sorted(connection.execute(schema.counted_rows()))


def kept(connection: Connection) -> list[CoverageCount]:
    """The kept counts, in order."""
    return _sorted(connection.execute(select(schema.coverage)))


def _sorted(rows: Iterable[Any]) -> list[CoverageCount]:
    # Not by the database, whose collation may differ.
    counts = (CoverageCount(*row) for row in rows)
    return sorted(each._replace(n=int(each.n), ops=int(each.ops)) for each in counts)
