"""Transposition of ragged tables, such as dependencies into successors, and small sorts."""

from __future__ import annotations

from lydite.engine.kernels.jit import called, inlined, kernel
from lydite.engine.kernels.layout import Array


@kernel
def transpose(starts: Array, items: Array, begins: Array, owners: Array, places: Array) -> None:
    """Invert a table of rows of items: for each item, list the rows that hold it, ascending.

    Args:
        starts, items: Row r holds `items[starts[r]:starts[r + 1]]`.
        begins: int32 zeros, two more than there are items; on return, the rows of item i are
            `owners[begins[i]:begins[i + 1]]`.
        owners: int32, as long as `items`; receives the rows.
        places: int32; receives the position in `owners` of each entry of `items`; may be empty.
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


@called
def _heap_sort(items: Array, count: int) -> None:
    """Sort in place in O(n log n) for any order; numba's own sort allocates memory per call."""
    for begin in range(count // 2 - 1 + count, 0, -1):
        at = max(0, begin - count)
        size = min(begin, count)
        if begin < count:
            items[0], items[begin] = items[begin], items[0]
        item, below = items[at], 2 * at + 1
        while below < size:
            if below + 1 < size and items[below + 1] > items[below]:
                below += 1
            if items[below] <= item:
                break
            items[at] = items[below]
            at = below
            below = 2 * at + 1
        items[at] = item


@inlined
def sort_few(items: Array, count: int) -> None:
    """Sort the first `count` items, which are usually few or already in order."""
    steps = 0
    for i in range(1, count):
        item, at = items[i], i
        while at > 0 and items[at - 1] > item:
            items[at] = items[at - 1]
            at -= 1
        items[at] = item
        steps += i - at
        if steps > 32 * count:
            _heap_sort(items, count)
            return
