"""The register tile that matrix products and convolutions share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from lydite.backends.tuned.emit import Emit, Index, Registers, Value
from lydite.backends.tuned.task import Epilogue


def multiply(
    emit: Emit,
    sums: Registers,
    rows: Sequence[int],
    vectors: int,
    broadcast: Callable[[int], Value],
    vector: Callable[[int], Value],
) -> None:
    """Add one outer product: sums[row, v] += broadcast(row) * vector(v), for the given rows."""
    columns = [emit.bind(vector(v)) for v in range(vectors)]
    for row in rows:
        factor = emit.splat(broadcast(row))
        for v in range(vectors):
            sums[row * vectors + v] = sums[row * vectors + v] + factor * columns[v]


def finished(
    emit: Emit, value: Value, epilogue: Epilogue, residual: Any = None, at: Index = 0
) -> Value:
    """A sum after residual and activation."""
    if epilogue.residual:
        value = value + emit.vector(residual, at)
    if epilogue.low > -math.inf:
        value = emit.most(value, emit.splat(epilogue.low))
    if epilogue.high < math.inf:
        value = emit.least(value, emit.splat(epilogue.high))
    return value


def begin(
    emit: Emit, sums: Registers, rows: int, vectors: int, bias: Any, at: Callable[[int], Index]
) -> None:
    """Set the sums to the bias at `at(v)`, or to 0 without one."""
    for v in range(vectors):
        start = emit.splat(0.0) if bias is None else emit.bind(emit.vector(bias, at(v)))
        for row in range(rows):
            sums[row * vectors + v] = start


def store(
    emit: Emit,
    sums: Registers,
    rows: int,
    vectors: int,
    epilogue: Epilogue,
    output: Any,
    residual: Any,
    at: Callable[[int, int], Index],
) -> None:
    """Finish the sums and store those of row i and vector v at `at(i, v)`."""
    for row in range(rows):
        for v in range(vectors):
            place = at(row, v)
            value = sums[row * vectors + v]
            emit.put(output, place, finished(emit, value, epilogue, residual, place))


def fetch_ahead(
    emit: Emit, weights: Any, start: Index, size: int, share: Index, shares: int
) -> None:
    """Bring one of `shares` parts of the next panel of weights to L2, while this one is in use.

    A net's weights are cold: without it each panel waits for memory when it is first read.
    """
    lines = -(-size // (16 * shares))
    first = emit.bind_index(start + share * (lines * 16))
    with emit.loop(lines) as line:
        emit.prefetch(weights, first + line * 16)


@contextmanager
def nested(emit: Emit, outer: int, inner: int, *, swap: bool) -> Iterator[tuple[Index, Index]]:
    """Two loops, the second outside if `swap`; yields their variables in the order of counts."""
    with emit.loop(inner if swap else outer) as first, emit.loop(outer if swap else inner) as last:
        yield (last, first) if swap else (first, last)


def live_taps(rows: int, tap: int, start: int, stride: int, left: int, width: int) -> list[int]:
    """Pixels of a tile whose input lies within the image, for one horizontal tap.

    Args:
        rows: Number of pixels of the tile.
        tap: Horizontal position in the kernel.
        start: First output column of the tile.
        stride, left, width: Stride, left padding and width of the input.
    """
    return [i for i in range(rows) if 0 <= (start + i) * stride + tap - left < width]


@cache
def column_tiles(
    out_width: int, rows: int, kernel: int, stride: int, left: int, width: int
) -> tuple[tuple[int, int, bool], ...]:
    """Runs of tiles along a row that share their code: (first column, number of tiles, at edge).

    Tiles that touch the padding stand alone, since their taps are clipped when they are written.
    The last tile overlaps its neighbour where `rows` does not divide the width.
    """
    count = -(-out_width // rows)
    starts = [min(i * rows, out_width - rows) for i in range(count)]
    runs: list[tuple[int, int, bool]] = []
    for start in starts:
        first = start * stride - left
        whole = first >= 0 and first + (rows - 1) * stride + kernel - 1 < width
        last = runs[-1] if runs else None
        if whole and last and not last[2] and start == last[0] + last[1] * rows:
            runs[-1] = (last[0], last[1] + 1, False)
        else:
            runs.append((start, 1, not whole))
    return tuple(runs)
