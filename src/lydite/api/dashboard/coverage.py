"""How many operators of each type were measured on each device."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

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
    """Every pair of a device and an operator type that has measurements, by status, in order."""
    c = schema.coverage.c
    query = select(c.device, c.domain, c.op_type, c.status, c.n, c.ops)
    with reader.reading() as connection:
        cells = [CoverageCell(*row) for row in connection.execute(query)]
    # Not by the database, whose collation may differ.
    return sorted(cells, key=lambda cell: (cell.device, cell.domain, cell.op_type, cell.status))
