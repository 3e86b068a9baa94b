"""How many operators of each type were measured on each device."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, distinct, func, select

from lydite.api.dashboard.reader import Reader
from lydite.store import schema


@dataclass(frozen=True, slots=True)
class CoverageCell:
    """Measurements of an operator type on a device with one status.

    Attributes:
        device, domain, op_type, status: Which measurements.
        n: Number of measurements.
        ops: Number of distinct operators among them.
    """

    device: str
    domain: str
    op_type: str
    status: str
    n: int
    ops: int


def coverage_matrix(reader: Reader) -> list[CoverageCell]:
    """Every pair of a device and an operator type that has measurements, by status."""
    with reader.reading() as connection:
        return _cells(connection)


def _cells(connection: Connection) -> list[CoverageCell]:
    m, o = schema.measurements.c, schema.ops.c
    by = (m.device, o.domain, o.op_type, m.status)
    query = (
        select(*by, func.count().label("n"), func.count(distinct(m.op)).label("ops"))
        .select_from(schema.measurements.join(schema.ops))
        .group_by(*by)
        .order_by(*by)
    )
    return [CoverageCell(*row) for row in connection.execute(query)]
