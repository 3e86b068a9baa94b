"""Matrix products, the form in which arrays receive operators that multiply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from lydite.errors import InputError
from lydite.records import dataclass

Column: TypeAlias = "int | np.ndarray"
"""An integer, or an integer array that broadcasts with the others."""

Numbers: TypeAlias = "float | np.number | np.ndarray"
"""A result: an array if any of its inputs is an array."""


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product, M x K by K x N.

    Attributes:
        m: Rows of the left operand, such as the ofmap pixels of the whole batch.
        k: Length of the sums, such as a filter's window times its channels.
        n: Columns of the right operand, such as filters.
        count: Number of such products in sequence, such as the groups of a convolution.

    Raises:
        InputError: a size is below 1.
    """

    m: Column
    k: Column
    n: Column
    count: Column = 1

    def __post_init__(self) -> None:
        check_sizes("matrix product", m=self.m, k=self.k, n=self.n, count=self.count)

    @property
    def macs(self) -> Numbers:
        """Number of multiply-accumulates."""
        return np.int64(1) * self.m * self.k * self.n * self.count


@dataclass(frozen=True)
class ProductCost:
    """What a product takes on the array alone.

    Attributes:
        cycles: Cycles by what they go to; they add up to the whole.
        sram_bytes: Bytes between scratchpads and array.
        local_bytes: Bytes read and written in memories inside the processing elements.
        hidden_cycles: Cycles of "weight load" that are hidden behind another product before it.
    """

    cycles: Mapping[str, float]
    sram_bytes: float
    local_bytes: float = 0.0
    hidden_cycles: float = 0.0


def check_sizes(where: str, **sizes: Column) -> None:
    """Refuse sizes that are not integers of at least 1.

    Raises:
        InputError: names the first such size.
    """
    for name, size in sizes.items():
        if type(size) is int and size >= 1:
            continue
        given = np.asarray(size)
        if given.dtype.kind not in "iu":
            raise InputError(f"{name} is {size}", where=where, allowed="whole numbers")
        if given.size and given.min() < 1:
            raise InputError(f"{name} is {given.min()}", where=where, allowed="at least 1")
