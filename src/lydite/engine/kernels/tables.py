"""The other side of tables: who waits for a task, which paths use a link."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

Array = np.ndarray[Any, Any]


@njit(cache=True, nogil=True, error_model="numpy")
def transpose(starts: Array, items: Array, begins: Array, owners: Array, places: Array) -> None:
    """Turn rows of items into, for each item, the rows that hold it, in order of row.

    Args:
        starts, items: row r holds `items[starts[r]:starts[r + 1]]`.
        begins: int64 zeros, two more than items; item i's rows come to stand at
            `owners[begins[i]:begins[i + 1]]`.
        owners: int32, as long as `items`; the rows.
        places: int32; where in `owners` each of `items` went; may be empty.
    """
    for i in items:
        begins[i + 2] += 1
    for i in range(2, len(begins)):
        begins[i] += begins[i - 1]
    for row in range(len(starts) - 1):
        for at in range(starts[row], starts[row + 1]):
            item = items[at] + 1
            owners[begins[item]] = row
            if len(places):
                places[at] = begins[item]
            begins[item] += 1


@njit(nogil=True)
def sort_few(items: Array, count: int) -> None:
    """Sort the first `count` items, which are few or in order already, most of the time."""
    for i in range(1, count):
        if items[i] < items[i - 1]:
            break
    else:
        return
    if count > 24:
        items[:count].sort()
        return
    for i in range(1, count):
        item, at = items[i], i
        while at > 0 and items[at - 1] > item:
            items[at] = items[at - 1]
            at -= 1
        items[at] = item
