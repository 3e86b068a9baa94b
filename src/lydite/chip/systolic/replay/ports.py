"""The ports for `kernels`, built from a product's layout on an array."""

from __future__ import annotations

import numpy as np

from lydite.chip.product import Product
from lydite.chip.systolic.closed_forms import Array, shape_on
from lydite.chip.systolic.replay import kernels
from lydite.records import dataclass

_SETS = 100
"""SCALE-Sim moves a buffer's window in steps of a hundredth of the buffer."""

BOTH_FOLDS, ROW_FOLDS, COLUMN_FOLDS = 0, 1, 2
"""Folds with which an operand changes."""


@dataclass(frozen=True, slots=True)
class PortOperand:
    """Layout of an operand on an array.

    Attributes:
        matrix: Addresses as int32, row-major, -1 where there is none: [time, space] if streaming,
            else [on rows, on columns].
        folds: Folds with which the operand changes.
        distinct: Whether all addresses are known to be present and different.
    """

    matrix: np.ndarray
    folds: int
    distinct: bool = True


@dataclass(frozen=True, slots=True)
class Port:
    """State that `kernels.play` needs for an operand: settings, state and order of demand."""

    state: np.ndarray
    arrays: tuple[np.ndarray, ...]

    @property
    def refills(self) -> int:
        """Number of refills of half the buffer, after the first."""
        return int(self.state[kernels.REFILLS])


def operands_on(
    array: Array, ifmap: np.ndarray, filters: np.ndarray, *, distinct: bool
) -> tuple[PortOperand, PortOperand]:
    """Layouts of ifmap [m, k] (its elements `distinct` or not) and filters [k, n] on the array."""
    if array.dataflow == "ws":
        return PortOperand(ifmap, ROW_FOLDS, distinct), PortOperand(filters, BOTH_FOLDS)
    turned = np.ascontiguousarray(ifmap.T)
    if array.dataflow == "is":
        other = PortOperand(np.ascontiguousarray(filters.T), ROW_FOLDS)
        return PortOperand(turned, BOTH_FOLDS, distinct), other
    return PortOperand(turned, ROW_FOLDS, distinct), PortOperand(filters, COLUMN_FOLDS)


def operand_port(
    array: Array, operand: PortOperand, words: int, words_per_cycle: int, *, compat: bool
) -> Port:
    """The port of an operand whose SRAM has `words` words in both halves together.

    A refill brings what comes into the window; in `compat` it takes as long as half the buffer.
    """
    size, addresses, repeats = _elements(operand)
    piece, serving = -(-words // _SETS), -(-words // 2)
    sets = size // piece + 1
    active = min(sets, -(-serving // piece))
    state = np.zeros(11, np.int64)
    state[kernels.RING], state[kernels.ACTIVE] = sets * piece, active * piece
    step = min(sets - active, -(-(words - serving) // piece)) * piece
    refill = words - serving if compat else min(words - serving, step)
    state[kernels.STEP] = step
    state[kernels.REFILL_CYCLES] = -(-refill // words_per_cycle) + 1
    state[kernels.MOVED] = state[kernels.READY] = -1
    state[kernels.REPEATS] = repeats
    if active == sets:  # all of it stays; without lines nothing is ever late
        nothing = np.empty(0, np.int32)
        return Port(state, (nothing, nothing, np.zeros(1, np.int64), nothing, nothing))
    place = np.empty(size, np.int32)
    address, stream = (np.empty(size if repeats else 0, np.int32) for _ in range(2))
    first = _order(array, operand, repeats, place, address, stream, compat=compat)
    state[kernels.LINES] = _lines(array, operand)
    streaming = operand.folds != BOTH_FOLDS
    state[kernels.LEAD] = array.rows if streaming and array.dataflow != "os" else 0
    present = np.bincount(stream[: active * piece], minlength=addresses if repeats else 0)
    return Port(state, (place, address, first, stream, present.astype(np.int32)))


def _elements(operand: PortOperand) -> tuple[int, int, bool]:
    """Number of elements present, number of addresses, and whether an address repeats."""
    matrix = operand.matrix
    if operand.distinct:
        return matrix.size, matrix.size, False
    size, addresses = int(np.count_nonzero(matrix >= 0)), int(matrix.max()) + 1
    repeats = size > addresses or bool(np.bincount(matrix[matrix >= 0]).max(initial=0) > 1)
    return size, addresses, repeats


def _lines(array: Array, operand: PortOperand) -> int:
    """Lines of demand per fold."""
    if operand.folds == BOTH_FOLDS:
        return int(array.rows)
    return len(operand.matrix) + _edge(array, operand) - 1


def _edge(array: Array, operand: PortOperand) -> int:
    return int(array.columns if operand.folds == COLUMN_FOLDS else array.rows)


def _order(
    array: Array,
    operand: PortOperand,
    repeats: bool,
    place: np.ndarray,
    address: np.ndarray,
    stream: np.ndarray,
    *,
    compat: bool,
) -> np.ndarray:
    """Fill `place`, `address` and `stream`, and return the begin of each line of demand in them."""
    matrix, lines = operand.matrix, _lines(array, operand)
    if operand.folds == BOTH_FOLDS:
        rows, columns = int(array.rows), int(array.columns)
        folds = -(-matrix.shape[0] // rows) * -(-matrix.shape[1] // columns)
        first = np.zeros(folds * lines + 1, np.int64)
        kernels.fill_stationary(
            matrix, rows, columns, compat, repeats, place, address, first, stream
        )
        return first
    width = _edge(array, operand)
    folds = -(-matrix.shape[1] // width)
    first = np.zeros(folds * lines + 1, np.int64)
    rank = np.zeros(folds * len(matrix) + width, np.int64)
    kernels.fill_streaming(matrix, width, repeats, rank, place, address, first, stream)
    return first


def results_port(words: int, words_per_cycle: int) -> np.ndarray:
    """Settings and state of the ofmap's SRAM."""
    state = np.zeros(11, np.int64)
    state[kernels.RATE], state[kernels.WORDS], state[kernels.FREE] = words_per_cycle, words, words
    state[kernels.HALF] = words // 2
    return state


def results_by_line(array: Array, product: Product) -> np.ndarray:
    """Results per line of a fold, int64 [last row fold?, last column fold?, lines].

    They leave in antidiagonals of a block: with outputs stationary the fold's own, its last row
    first; else T x C of them.
    """
    shape, rows, columns = shape_on(array, product), int(array.rows), int(array.columns)
    time = int(shape.in_time)
    if array.dataflow == "os":
        high = np.array([rows, (int(shape.on_rows) - 1) % rows + 1])
        begin, lines = time - 1 + rows - high, rows + columns + time - 2
    else:
        high = np.array([time, time])
        begin, lines = np.array([2 * rows - 1] * 2), 2 * rows + columns + time - 2
    wide = np.array([columns, (int(shape.on_columns) - 1) % columns + 1])[None, :, None]
    high, at = high[:, None, None], np.arange(lines) - begin[:, None, None]
    along = np.minimum(at + 1, high + wide - 1 - at)
    return np.clip(np.minimum(along, np.minimum(high, wide)), 0, None)
