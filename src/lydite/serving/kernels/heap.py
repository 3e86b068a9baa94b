"""A binary heap of (time, event): arrivals to come and changes of replicas."""

from __future__ import annotations

from lydite.engine.kernels.jit import special


@special
def push(heap, size, time, request):
    """Insert into a binary heap of (time, request), rows of int64."""
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if heap[parent, 0] < time or (heap[parent, 0] == time and heap[parent, 1] < request):
            break
        heap[at, 0], heap[at, 1] = heap[parent, 0], heap[parent, 1]
        at = parent
    heap[at, 0], heap[at, 1] = time, request
    return size + 1


@special
def pop(heap, size):
    """Remove the first of a heap; its last row takes the empty place."""
    size -= 1
    time, request = heap[size, 0], heap[size, 1]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (
            heap[right, 0] < heap[child, 0]
            or (heap[right, 0] == heap[child, 0] and heap[right, 1] < heap[child, 1])
        ):
            child = right
        if time < heap[child, 0] or (time == heap[child, 0] and request < heap[child, 1]):
            break
        heap[at, 0], heap[at, 1] = heap[child, 0], heap[child, 1]
        at = child
    heap[at, 0], heap[at, 1] = time, request
    return size
