"""Cycles that a systolic array waits for its memory.

Each operand has its own SRAM in two halves: one serves the array while the other is filled from
DRAM (or drained to it) over its own port. Data is prefetched in one fixed order, half a buffer at a
time; when the array needs an element that the serving half does not hold, the window advances
(around the whole operand if need be), the array waits for the refill, and the freed half takes the
next data. This is SCALE-Sim's memory (USER mode) with its order of prefetch.

The window's position depends on the demand and not on time, so a faster port for an operand never
makes a run slower, as long as results do not fill their buffer: a drain begins with a result, and
so may begin later. A larger buffer can be slower, because the window meets its end elsewhere.
Simplification: results find room as soon as half a buffer begins to drain, not when it has drained.
"""

from __future__ import annotations

import numpy as np

from lydite.chip.product import Product
from lydite.chip.systolic.closed_forms import Array, shape_on
from lydite.errors import InputError
from lydite.records import dataclass

_MOST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class OffChipMemory:
    """SRAMs of the three operands, and their ports to DRAM.

    Attributes:
        ifmap_words: Elements of the ifmap's SRAM, both halves together.
        filter_words: Elements of the filters' SRAM, both halves together.
        ofmap_words: Elements of the ofmap's SRAM, both halves together.
        ifmap_words_per_cycle: Elements per cycle of the ifmap's port.
        filter_words_per_cycle: Elements per cycle of the filters' port.
        ofmap_words_per_cycle: Elements per cycle of the ofmap's port.

    Raises:
        InputError: a rate is not a positive integer, or a buffer has fewer than two words.
    """

    ifmap_words: int
    filter_words: int
    ofmap_words: int
    ifmap_words_per_cycle: int
    filter_words_per_cycle: int
    ofmap_words_per_cycle: int

    def __post_init__(self) -> None:
        for name in self.__slots__:
            least, value = 1 if name.endswith("cycle") else 2, getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise InputError(f"{name} is {value}", allowed=f"whole numbers from {least}")


@dataclass(frozen=True, slots=True)
class Stalled:
    """Cycles of a run with finite memory bandwidth.

    Attributes:
        cycles: Total cycles, stalls included.
        stall_cycles: Cycles in which the array waits.
        ifmap_stall_cycles: Stalls in which the ifmap's port was the latest (or the first of
            equals).
        filter_stall_cycles: Stalls in which the filters' port was the latest.
        ofmap_stall_cycles: Stalls in which the ofmap's port was the latest.
        ifmap_refills: Halves of the ifmap's buffer that were fetched after the first.
        filter_refills: Halves of the filters' buffer that were fetched after the first.
    """

    cycles: int
    stall_cycles: int
    ifmap_stall_cycles: int
    filter_stall_cycles: int
    ofmap_stall_cycles: int
    ifmap_refills: int
    filter_refills: int


def stalled_run(
    array: Array,
    product: Product,
    memory: OffChipMemory,
    *,
    ifmap: np.ndarray | None = None,
    compat: bool = False,
) -> Stalled:
    """Cycles of one product on one array, whose folds do not overlap.

    Args:
        array: Array with scalar sizes.
        product: Product with scalar sizes; each of its `count` repetitions takes equally long.
        memory: SRAMs and ports.
        ifmap: Integer addresses [m, k] of the elements of the unfolded ifmap (see `unfolded`);
            equal addresses are one element, and -1 is never fetched. If None, all elements are
            distinct.
        compat: Whether to count as SCALE-Sim 3.0.0 does; docs/reference/systolic.md lists the
            differences.

    Raises:
        InputError: folds overlap, sizes are columns, `ifmap` does not have the product's size, or
            an operand has 2^31 elements.
    """
    from lydite.chip.systolic.replay import kernels, ports

    if array.overlap != "none":
        raise InputError(f"stalls are not known for fold overlap '{array.overlap}'", allowed="none")
    shape = shape_on(array, product)
    addresses = _addresses(array, product, ifmap)
    first, second = ports.operands_on(array, *addresses, distinct=ifmap is None)
    one = ports.operand_port(
        array, first, memory.ifmap_words, memory.ifmap_words_per_cycle, compat=compat
    )
    two = ports.operand_port(
        array, second, memory.filter_words, memory.filter_words_per_cycle, compat=compat
    )
    results = ports.results_port(memory.ofmap_words, memory.ofmap_words_per_cycle)
    writes = ports.results_by_line(array, product)
    plan = np.array([compat, shape.column_folds, shape.row_folds, first.folds, second.folds])
    begun = np.full((64, 2), -1)
    found = kernels.play(plan, one.state, two.state, results, one.arrays, two.arrays, writes, begun)
    *late, last, last_write = map(int, found)
    cycles = int(shape.row_folds * shape.column_folds) * writes.shape[2] + sum(late)
    if compat:
        cycles += last_write - last - 1
    each = (cycles, sum(late), *late, one.refills, two.refills)
    return Stalled(*(int(product.count) * number for number in each))


def _addresses(
    array: Array, product: Product, ifmap: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Addresses of the ifmap [m, k] and of the filters [k, n]."""
    sizes = (array.rows, array.columns, product.m, product.k, product.n, product.count)
    if any(np.ndim(size) for size in sizes):
        raise InputError("stalls are counted for one product on one array", allowed="no columns")
    m, k, n = int(product.m), int(product.k), int(product.n)
    if k * max(m, n) > _MOST:
        raise InputError(
            f"a product of m={m}, k={k}, n={n} is too large to track its elements",
            allowed=f"operands of at most {_MOST:,} elements",
        )
    if ifmap is None:
        ifmap = np.arange(m * k, dtype=np.int32).reshape(m, k)
    elif ifmap.shape != (m, k):
        raise InputError(
            f"an ifmap of shape {ifmap.shape}", allowed=f"({m}, {k}), as the product has it"
        )
    filters = np.arange(k * n, dtype=np.int32).reshape(k, n)
    return ifmap.astype(np.int32, copy=False), filters
