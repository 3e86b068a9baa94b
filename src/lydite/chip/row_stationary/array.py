"""Parameters of a row-stationary array."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from lydite.errors import InputError
from lydite.hardware.chip import ArrayParameters, Chip
from lydite.hardware.chip.arrays import Count
from lydite.records import dataclass


@dataclass(frozen=True, slots=True)
class RowStationaryArray(ArrayParameters):
    """A row-stationary array.

    Attributes:
        rows: Number of processing-element rows.
        columns: Number of processing-element columns.
        ifmap_words: Words of ifmap that a processing element holds.
        filter_words: Words of filters that a processing element holds.
        psum_words: Partial sums that a processing element holds.
        ifmap_bus: Words of ifmap per cycle from the global buffer to the array.
        filter_bus: Words of filters per cycle from the global buffer to the array.
        psum_bus: Partial sums per cycle between global buffer and array, each way.
    """

    kind: ClassVar[str] = "row-stationary"
    title: ClassVar[str] = "a row-stationary array"
    doubled: ClassVar[str] = "columns"

    rows: Count
    columns: Count
    ifmap_words: Count = 12
    filter_words: Count = 224
    psum_words: Count = 24
    ifmap_bus: Count = 1
    filter_bus: Count = 4
    psum_bus: Count = 4

    @property
    def macs(self) -> int:
        """Multiply-accumulates per cycle."""
        return self.rows * self.columns

    @property
    def local_words(self) -> int:
        """Words in the three scratchpads of a processing element."""
        return self.ifmap_words + self.filter_words + self.psum_words

    def required_scratchpads(self) -> Mapping[str, int]:
        """The global buffer in two parts: ifmaps with partial sums, and filters."""
        return {"global": 0, "filter": 0}


def array_of(chip: Chip) -> RowStationaryArray:
    """The chip's array.

    Raises:
        InputError: the array is of another kind.
    """
    if not isinstance(chip.array, RowStationaryArray):
        raise InputError("has no row-stationary array", where=chip.name)
    return chip.array
