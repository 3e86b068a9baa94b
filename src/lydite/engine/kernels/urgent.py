"""Priority queues: heaps of `priority << 32 | arrival`, lowest first."""

from __future__ import annotations

from lydite.engine.kernels.jit import inlined
from lydite.engine.kernels.layout import Array


@inlined
def push_urgent(
    urgent: Array, base: int, size: int, priority: int, arrival: int, task: int
) -> None:
    """Add a task to the heap of `size` at `base`; arrivals are counted across all heaps."""
    urgent[arrival].arrived = task
    key, at = (priority << 32) | arrival, size
    while at > 0:
        above = (at - 1) >> 1
        if urgent[base + above].key < key:
            break
        urgent[base + at].key = urgent[base + above].key
        at = above
    urgent[base + at].key = key


@inlined
def pop_urgent(urgent: Array, base: int, size: int) -> int:
    """Remove and return the first task of the heap at `base`, which then has `size` entries."""
    top, key = urgent[base].key, urgent[base + size].key
    at, below = 0, 1
    while below < size:
        if below + 1 < size and urgent[base + below + 1].key < urgent[base + below].key:
            below += 1
        if urgent[base + below].key > key:
            break
        urgent[base + at].key = urgent[base + below].key
        at = below
        below = 2 * at + 1
    urgent[base + at].key = key
    return urgent[top & 0xFFFFFFFF].arrived
