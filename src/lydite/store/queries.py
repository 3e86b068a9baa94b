"""SQL statements that read the performance database."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Executable,
    Row,
    Select,
    Text,
    and_,
    any_,
    false,
    func,
    literal,
    or_,
    select,
    text,
    true,
)

from lydite.store import counts, rows, schema
from lydite.store.readings import Filters
from lydite.store.records import Measurement, Software

_m, _s, _o = schema.measurements.c, schema.softwares.c, schema.ops.c


def exactly(**wanted: object) -> ColumnElement[bool]:
    """Condition that columns of a measurement have these values; None matches everything."""
    given = [_m[name] == value for name, value in wanted.items() if value is not None]
    return and_(true(), *given)


def fitting(filters: Filters) -> ColumnElement[bool]:
    """Condition that a measurement passes the filters."""
    conditions: list[ColumnElement[bool]] = [true()]
    for name, value in filters.items():
        if value is None:
            continue
        if name == "backend":
            conditions.append(_m.software.in_(select(_s.digest).where(_s.backend == value)))
        elif name in ("op_type", "domain"):
            conditions.append(_m.op.in_(select(_o.digest).where(_o[name] == value)))
        else:
            conditions.append(_m[name] == value)
    return and_(*conditions)


def of_operators(connection: Connection, digests: list[str]) -> ColumnElement[bool]:
    """Condition that a measurement is of one of these operators."""
    # One parameter instead of thousands, which SQLAlchemy would write out one by one.
    if connection.dialect.name == "postgresql":
        return _m.op == any_(literal(digests, ARRAY(Text)))
    listed = func.json_each(json.dumps(digests)).table_valued("value")
    return _m.op.in_(select(listed.c.value))


def by_software(wanted: Mapping[str, Software]) -> ColumnElement[bool]:
    """Condition that a measurement was made with one of these software versions."""
    # Not the bare column: SQLite would then search the index once for every pair of an operator
    # and a software, which takes many times as long as reading past the few that are not wanted.
    return _m.software.concat("").in_(wanted)


def of_types(op_types: Sequence[tuple[str, str]]) -> ColumnElement[bool]:
    """Condition that an operator has one of these pairs of domain and type."""
    return or_(
        false(), *(and_(_o.domain == domain, _o.op_type == name) for domain, name in op_types)
    )


def with_keys() -> Select[Any]:
    """Measurements together with the text of their operator, for `decode`."""
    joined = schema.measurements.join(schema.ops)
    return select(*rows.MEASUREMENT_COLUMNS, _o.text).select_from(joined)


def decode(
    chunks: Iterable[Sequence[Row[Any]]], softwares: Mapping[str, Software]
) -> Iterator[Measurement]:
    """Decode rows of `with_keys`, given in chunks, into measurements."""
    decoder = rows.RowDecoder(softwares)
    for part in chunks:
        yield from decoder.measurements(part)


def softwares(connection: Connection, backend: str | None = None) -> dict[str, Software]:
    """Backend and package versions by digest: all, or those of one backend."""
    chosen = true() if backend is None else _s.backend == backend
    return {
        digest: rows.read_software(name, versions)
        for digest, name, versions in connection.execute(select(schema.softwares).where(chosen))
    }


def statistics(connection: Connection) -> dict[str, Any]:
    """Counts of rows, in total and by device, backend, operator type and status; size_bytes.

    All but those by backend are sums of the kept counts.
    """

    def count(pairs: Iterable[Sequence[Any]]) -> dict[str, int]:
        total: Counter[str] = Counter()
        for name, n in pairs:
            total[str(name)] += int(n)
        return dict(sorted(total.items(), key=lambda pair: (-pair[1], pair[0])))

    def total(query: Executable) -> int:
        return int(connection.execute(query).scalar_one())

    kept = counts.kept(connection)
    per_software = select(_m.software, func.count().label("n")).group_by(_m.software).subquery()
    by_backend = select(_s.backend, per_software.c.n).join(
        per_software, per_software.c.software == _s.digest
    )
    if connection.dialect.name == "postgresql":
        size = "SELECT pg_database_size(current_database())"
    else:
        size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    return {
        "measurements": sum(each.n for each in kept),
        "operators": total(select(func.count()).select_from(schema.ops)),
        "runs": total(select(func.count()).select_from(schema.runs)),
        "by_device": count((each.device, each.n) for each in kept),
        "by_backend": count(connection.execute(by_backend)),
        "by_op_type": count((each.op_type, each.n) for each in kept),
        "by_status": count((each.status, each.n) for each in kept),
        "size_bytes": total(text(size)),
        "schema_version": schema.SCHEMA_VERSION,
    }
