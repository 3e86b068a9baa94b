"""Bytes between DRAM and the operands' SRAMs, with the reuse that their sizes allow.

Half of each buffer serves the array while the other is refilled. What fits in a half is fetched
once; what does not is fetched at each pass, because passes go round and the oldest makes way. The
folds of the rows are the inner loop (as in SCALE-Sim), so per dataflow, with the product's SR, SC
and T and their folds (see `closed_forms`):

    stationary operand (ws filter, is ifmap)     once
    streaming along the rows (ws and os ifmap,   once if all of it fits, else at each fold of the
        is filter)                               columns
    streaming along the columns (os filter)      once if T x C fits, else at each fold of the rows
    results of os                                once
    results of ws and is                         once if T x C partial sums fit, else each sum is
                                                 written at each fold of the rows, and read again
"""

from __future__ import annotations

import numpy as np

from lydite.chip.product import Column, Numbers, Product
from lydite.chip.systolic.closed_forms import Array, FoldShape, shape_on
from lydite.errors import InputError
from lydite.records import dataclass


@dataclass(frozen=True, slots=True)
class Buffers:
    """SRAM sizes in bytes (both halves together), and bytes per element.

    Raises:
        InputError: a size is not positive.
    """

    ifmap_bytes: Column
    filter_bytes: Column
    ofmap_bytes: Column
    element_bytes: float = 1
    partial_sum_bytes: float = 4

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if np.min(getattr(self, name)) <= 0:
                raise InputError(f"{name} is {getattr(self, name)}", allowed="more than 0")


@dataclass(frozen=True, slots=True)
class DramTraffic:
    """DRAM traffic; attributes may be columns.

    Attributes:
        ifmap_read_bytes: Bytes of ifmap read.
        filter_read_bytes: Bytes of filters read.
        ofmap_write_bytes: Bytes of results written, and of partial sums that do not fit.
        ofmap_read_bytes: Bytes of those partial sums read again.
    """

    ifmap_read_bytes: Numbers
    filter_read_bytes: Numbers
    ofmap_write_bytes: Numbers
    ofmap_read_bytes: Numbers


def traffic_of(
    array: Array, product: Product, buffers: Buffers, *, ifmap_elements: Column | None = None
) -> DramTraffic:
    """DRAM bytes of products, each `count` times over.

    Args:
        array, product, buffers: Array, product and SRAM sizes.
        ifmap_elements: Number of distinct elements of one product's ifmap; m x k if None. A
            convolution's windows overlap: if all of it fits it is fetched once, else as unfolded.
    """
    shape = shape_on(array, product)
    size = buffers.element_bytes
    unfolded, filters = product.m * product.k * size, product.k * product.n * size
    distinct = unfolded if ifmap_elements is None else ifmap_elements * size
    half_ifmap, half_filter = buffers.ifmap_bytes / 2, buffers.filter_bytes / 2
    column_folds, row_folds = shape.column_folds, shape.row_folds
    if array.dataflow == "is":
        ifmap = np.where(distinct <= half_ifmap, distinct, unfolded)
        filters = filters * np.where(filters <= half_filter, 1, column_folds)
    else:
        ifmap = np.where(distinct <= half_ifmap, distinct, unfolded * column_folds)
        if array.dataflow == "os":
            block = shape.in_time * np.minimum(array.columns, shape.on_columns) * size
            filters = filters * np.where(block <= half_filter, 1, row_folds)
    spilled = _spilled_sums(array, shape, buffers)
    results = product.m * product.n * size
    partial = product.m * product.n * buffers.partial_sum_bytes * spilled
    return DramTraffic(*(product.count * b for b in (ifmap, filters, results + partial, partial)))


def _spilled_sums(array: Array, shape: FoldShape, buffers: Buffers) -> Numbers:
    """Number of times that each partial sum is written to DRAM and read back."""
    if array.dataflow == "os":
        return 0
    block = shape.in_time * np.minimum(array.columns, shape.on_columns)
    fits = block * buffers.partial_sum_bytes <= buffers.ofmap_bytes / 2
    return np.where(fits, 0, shape.row_folds - 1)


def edge_cycles(array: Array, product: Product, words_per_cycle: float) -> Numbers:
    """Cycles to load the operands of the first fold and store the results of the last one.

    Nothing computes in these cycles, however well the other folds overlap with their transfers.

    Args:
        array, product: Array and product, with weights or inputs stationary; counted once per
            repetition.
        words_per_cycle: Elements per cycle of all operands together.

    Raises:
        InputError: outputs are stationary.
    """
    if array.dataflow == "os":
        raise InputError("folds with outputs stationary do not overlap", allowed="ws or is")
    shape = shape_on(array, product)
    rows, columns = (
        np.minimum(array.rows, shape.on_rows),
        np.minimum(array.columns, shape.on_columns),
    )
    last = (shape.on_columns - 1) % array.columns + 1
    words = rows * columns + shape.in_time * (rows + last)
    return product.count * np.ceil(words / words_per_cycle).astype(np.int64)
