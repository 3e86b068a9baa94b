"""Arithmetic on sets of half-open intervals of time."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Intervals = tuple[Array, Array]


def union(start: Array, end: Array) -> Intervals:
    """The union of intervals as disjoint intervals in ascending order, without empty ones."""
    kept = end > start
    order = np.argsort(start[kept], kind="stable")
    start, end = start[kept][order], end[kept][order]
    if start.size == 0:
        return start, end
    reach = np.maximum.accumulate(end)
    first = np.concatenate([[True], start[1:] > reach[:-1]])
    last = np.concatenate([first[1:], [True]])
    return start[first], reach[last]


def length(intervals: Intervals) -> int:
    """Total length of disjoint intervals."""
    return int((intervals[1] - intervals[0]).sum())


def exposed(a: Intervals, b: Intervals) -> int:
    """Total time covered by `a` but not by `b`, each a list of disjoint intervals in order."""
    both = union(np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]]))
    return length(both) - length(b)
