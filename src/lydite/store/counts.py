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

from sqlalchemy import Connection, select, text
from sqlalchemy.dialects import postgresql, sqlite

from lydite.store import schema

_KNOWN_IDS = {
    "sqlite": "SELECT id FROM measurements WHERE id IN (SELECT value FROM json_each(:wanted))",
    "postgresql": (
        "SELECT id FROM measurements WHERE id IN "
        "(SELECT json_array_elements_text(CAST(:wanted AS json)))"
    ),
}
_PLACES = {
    "sqlite": (
        "SELECT json_extract(value, '$[0]') AS device, json_extract(value, '$[1]') AS op, "
        "json_extract(value, '$[2]') AS status FROM json_each(:wanted)"
    ),
    "postgresql": (
        "SELECT value->>0 AS device, value->>1 AS op, value->>2 AS status "
        "FROM json_array_elements(CAST(:wanted AS json)) AS listed(value)"
    ),
}
_DESCRIBED = """
SELECT w.device, w.op, w.status, ops.domain, ops.op_type, EXISTS (
    SELECT 1 FROM measurements AS m
    WHERE m.device = w.device AND m.op = w.op AND m.status = w.status)
FROM ({places}) AS w JOIN ops ON ops.digest = w.op
"""


class CoverageCount(NamedTuple):
    """Number of measurements, and of distinct operators, with one device, type and status."""

    device: str
    domain: str
    op_type: str
    status: str
    n: int
    ops: int


def only_new(connection: Connection, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The measurements that the database does not hold, each once."""
    by_id = {row["id"]: row for row in rows}
    statement = text(_KNOWN_IDS[connection.dialect.name])
    for known in connection.execute(statement, {"wanted": json.dumps(list(by_id))}).scalars():
        del by_id[known]
    return list(by_id.values())


def count_new(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Count measurements that `only_new` passed; called before they are inserted, after their ops.

    An operator is new to its counter when no earlier row has its device and status.
    """
    places = Counter((row["device"], row["op"], row["status"]) for row in rows)
    if not places:
        return
    name = connection.dialect.name
    described = text(_DESCRIBED.format(places=_PLACES[name]))
    # Plain ASCII: characters that JSON must escape come back as they were.
    found = connection.execute(described, {"wanted": json.dumps(list(places))})
    n: Counter[tuple[str, str, str, str]] = Counter()
    ops: Counter[tuple[str, str, str, str]] = Counter()
    for device, op, status, domain, op_type, known in found:
        n[device, domain, op_type, status] += places[device, op, status]
        ops[device, domain, op_type, status] += not known
    insert = (sqlite.insert if name == "sqlite" else postgresql.insert)(schema.coverage)
    kept, new = schema.coverage.c, insert.excluded
    upsert = insert.on_conflict_do_update(
        index_elements=["device", "domain", "op_type", "status"],
        set_={"n": kept.n + new.n, "ops": kept.ops + new.ops},
    )
    columns = ("device", "domain", "op_type", "status")
    made = [
        {**dict(zip(columns, key, strict=True)), "n": n[key], "ops": ops[key]} for key in sorted(n)
    ]
    connection.execute(upsert, made)


def recounted(connection: Connection) -> list[CoverageCount]:
    """The counts as the measurements give them, in order; seconds for a million rows."""
    return _sorted(connection.execute(schema.counted_rows()))


def kept(connection: Connection) -> list[CoverageCount]:
    """The kept counts, in order."""
    return _sorted(connection.execute(select(schema.coverage)))


def _sorted(rows: Iterable[Any]) -> list[CoverageCount]:
    # Not by the database, whose collation may differ.
    return sorted(CoverageCount(*words, int(n), int(ops)) for *words, n, ops in rows)
