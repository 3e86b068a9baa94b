"""Kept counts of measurements by device, operator type and status.

A group-by over a million rows takes seconds, so every writer keeps the counts in the transaction
that adds the rows. Writers exclude each other (`connect.write_transaction`), so what a statement
reads here stays true until the commit, and the counts are exact without further locks.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, select, text
from sqlalchemy.dialects import postgresql, sqlite

from lydite.store import schema

_LISTED = {
    "sqlite": "SELECT value FROM json_each(:listed)",
    "postgresql": "SELECT json_array_elements_text(CAST(:listed AS json)) AS value",
}
_KNOWN = {
    "measurements": "SELECT id FROM measurements WHERE id IN ({listed})",
    "ops": "SELECT digest FROM ops WHERE digest IN ({listed})",
}
_OPERATORS = """
SELECT ops.digest, ops.domain, ops.op_type, EXISTS (
    SELECT 1 FROM measurements AS m
    WHERE m.device = :device AND m.op = ops.digest AND m.status = :status)
FROM ({listed}) AS wanted JOIN ops ON ops.digest = wanted.value
"""


class CoverageCount(NamedTuple):
    """Number of measurements, and of distinct operators, with one device, type and status."""

    device: str
    domain: str
    op_type: str
    status: str
    n: int
    ops: int


def only_new(
    connection: Connection, table: Table, rows: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The measurements or operators that the database does not hold, each once."""
    identity = table.primary_key.columns[0].name
    by_id = {row[identity]: row for row in rows}
    for (known,) in _asked(connection, _KNOWN[table.name], list(by_id)):
        del by_id[known]
    return list(by_id.values())


def count_new(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Count measurements that `only_new` passed; called before they are inserted, after their ops.

    An operator is new to its counter when no earlier row has its device and status.
    """
    places: dict[tuple[str, str], Counter[str]] = {}
    for row in rows:
        places.setdefault((row["device"], row["status"]), Counter())[row["op"]] += 1
    made: dict[tuple[str, ...], dict[str, Any]] = {}
    for (device, status), per_op in places.items():
        about = {"device": device, "status": status}
        for op, domain, op_type, known in _asked(connection, _OPERATORS, list(per_op), **about):
            place = {**about, "domain": domain, "op_type": op_type}
            count = made.setdefault(tuple(place.values()), {**place, "n": 0, "ops": 0})
            count["n"] += per_op[op]
            count["ops"] += not known
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
    connection: Connection, statement: str, listed: list[str], **parameters: str
) -> Iterable[Sequence[Any]]:
    """Rows of a statement about a list of any length, which is one parameter."""
    words = text(statement.format(listed=_LISTED[connection.dialect.name]))
    return connection.execute(words, {"listed": json.dumps(listed), **parameters}).all()


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
