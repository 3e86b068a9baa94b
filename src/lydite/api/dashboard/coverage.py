"""How many operators of each type were measured on each device."""

from __future__ import annotations

from lydite.api.dashboard.reader import Reader
from lydite.store import CoverageCount
from lydite.store.counts import kept


def coverage_matrix(reader: Reader) -> list[CoverageCount]:
    """Every pair of a device and an operator type that has measurements, by status, in order."""
    with reader.reading() as connection:
        return kept(connection)
