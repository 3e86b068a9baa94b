"""Transforms of Winograd's minimal filtering, as straight-line code (arXiv:1509.09308)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lydite.backends.tuned.emit import Emit, Value

WEIGHTS = {
    2: [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
    4: [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
}
"""Matrix G by m: weights become G w G^T."""


def inputs_2(d: Sequence[Any]) -> list[Any]:
    """B^T d for m = 2."""
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def outputs_2(p: Sequence[Any]) -> list[Any]:
    """A^T p for m = 2."""
    return [p[0] + p[1] + p[2], p[1] - p[2] - p[3]]


def inputs_4(d: Sequence[Any], times: Callable[[float, Any], Any], name: Callable[[Any], Any]):
    """B^T d for m = 4."""
    even, odd = name(d[4] - times(4, d[2])), name(d[3] - times(4, d[1]))
    near, far = name(d[4] - d[2]), name(times(2, d[3] - d[1]))
    return [
        times(4, d[0]) - times(5, d[2]) + d[4],
        even + odd,
        even - odd,
        near + far,
        near - far,
        times(4, d[1]) - times(5, d[3]) + d[5],
    ]


def outputs_4(p: Sequence[Any], times: Callable[[float, Any], Any], name: Callable[[Any], Any]):
    """A^T p for m = 4."""
    sum1, sum2 = name(p[1] + p[2]), name(p[3] + p[4])
    less1, less2 = name(p[1] - p[2]), name(p[3] - p[4])
    return [
        p[0] + sum1 + sum2,
        less1 + times(2, less2),
        sum1 + times(4, sum2),
        less1 + times(8, less2) + p[5],
    ]


def transform(e: Emit, m: int, side: str, values: Sequence[Value]) -> list[Value]:
    """B^T (`side` "in") or A^T ("out") times a column of vectors."""
    named = [e.bind(value) for value in values]
    if m == 2:
        return (inputs_2 if side == "in" else outputs_2)(named)
    return (inputs_4 if side == "in" else outputs_4)(
        named, lambda factor, value: e.splat(factor) * value, e.bind
    )


def square(e: Emit, m: int, side: str, values: Sequence[Sequence[Value]]) -> list[list[Value]]:
    """The transform along columns, then along rows."""
    columns = [transform(e, m, side, column) for column in zip(*values, strict=True)]
    return [transform(e, m, side, row) for row in zip(*columns, strict=True)]
