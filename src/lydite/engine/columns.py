"""Columns of numbers, checked once and converted to the form that the compiled kernels need."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lydite.errors import InputError

LIMIT_PS = 2**61 - 1
"""Latest time accepted (26 days); three times as much fits 64 bits, so that no sum overflows."""


def distinct(values: npt.ArrayLike) -> np.ndarray[Any, Any]:
    """The values that occur, sorted, once each (`np.unique` takes 0.01 s to import more)."""
    ordered = np.sort(np.asarray(values), axis=None)
    new = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return ordered[new]


def column(
    values: npt.ArrayLike, dtype: npt.DTypeLike, size: int | None, where: str
) -> np.ndarray[Any, Any]:
    """`values` as one contiguous column of `dtype`; a single number fills all of it.

    Args:
        values: Numbers, or one number.
        dtype: Element type of the column.
        size: Required length; None accepts any.
        where: Name of the column in error messages.

    Raises:
        InputError: the values have another length, are not numbers, or do not fit `dtype`.
    """
    given = np.asarray(values)
    wanted = np.dtype(dtype)
    if given.size == 0:
        given = given.astype(wanted)
    allowed = {"i": "biu", "f": "biuf", "b": "b"}[wanted.kind]
    if given.ndim > 1 or given.dtype.kind not in allowed:
        expected = {"i": "whole numbers", "f": "numbers", "b": "booleans"}[wanted.kind]
        raise InputError("not a column", where=where, allowed=f"{expected}, in one dimension")
    if given.ndim == 0 and size is not None:
        given = np.full(size, given)
    if size is not None and given.shape != (size,):
        raise InputError(f"has {given.size} entries", where=where, allowed=str(size))
    made = np.ascontiguousarray(given, wanted)
    if wanted.kind == "i" and given.dtype != wanted and not np.array_equal(made, given):
        raise InputError(f"does not fit {wanted}", where=where)
    return made


def refuse(bad: np.ndarray[Any, Any], what: str, where: str, allowed: str = "") -> None:
    """Raise for the first bad entry, with the number of bad entries.

    Args:
        bad: Boolean array, true for each bad entry.
        what: Fault, as the error states it.
        where: Place of the fault; `{}` stands for the index of the first bad entry.
        allowed: Values that would have been accepted.

    Raises:
        InputError: at least one entry is bad.
    """
    if bad.any():
        count = int(bad.sum())
        more = f" (and {count - 1} more)" if count > 1 else ""
        raise InputError(what + more, where=where.format(int(bad.argmax())), allowed=allowed)


def offsets(values: npt.ArrayLike, total: int, size: int | None, where: str) -> np.ndarray:
    """Offsets of the rows of a ragged table: the start of each row, then the end of the last.

    Raises:
        InputError: the offsets do not begin at 0, decrease, or do not end at `total`.
    """
    made = column(values, np.int64, size, where)
    if made.size == 0 or made[0] != 0 or made[-1] != total or (np.diff(made) < 0).any():
        raise InputError(
            "is not a list of offsets", where=where, allowed=f"ascending from 0 to {total}"
        )
    return made
