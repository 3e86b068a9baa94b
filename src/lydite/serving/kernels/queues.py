"""Queues of waiting requests: lists through `Course.waiting`, with both ends in `Queues`."""

from __future__ import annotations

from lydite.engine.kernels.jit import special
from lydite.serving.kernels.state import NONE


@special
def has_seen(course, queues, replica):
    """Whether a request waits whose arrival was known when the next step was scheduled."""
    if queues.waits[replica] == 0:
        return False
    return course.arrived_ns[queues.first[replica]] <= queues.seen_ns[replica]


@special
def wait_first(queues, course, replica, request):
    """Put a request at the head of the queue."""
    course.waiting[request] = queues.first[replica]
    queues.first[replica] = request
    if queues.last[replica] == NONE:
        queues.last[replica] = request
    queues.waits[replica] += 1


@special
def wait_last(queues, course, replica, request):
    """Put a request at the end of the queue."""
    course.waiting[request] = NONE
    if queues.last[replica] == NONE:
        queues.first[replica] = request
    else:
        course.waiting[queues.last[replica]] = request
    queues.last[replica] = request
    queues.waits[replica] += 1


@special
def wait_behind_loaded(queues, course, replica, request):
    """Put a request into a queue behind the first ones that have loaded their blocks, too."""
    before, after = NONE, queues.first[replica]
    while after != NONE and course.loaded[after]:
        before, after = after, course.waiting[after]
    _insert(queues, course, replica, before, request, after)


@special
def _insert(queues, course, replica, before, request, after):
    course.waiting[request] = after
    if before == NONE:
        queues.first[replica] = request
    else:
        course.waiting[before] = request
    if after == NONE:
        queues.last[replica] = request
    queues.waits[replica] += 1


@special
def is_before(load, course, request, other):
    """Whether a request is more urgent than another: of lower priority number, then earlier."""
    mine, its = load.priority[request], load.priority[other]
    if mine != its:
        return mine < its
    mine, its = course.arrived_ns[request], course.arrived_ns[other]
    return mine < its or (mine == its and request < other)


@special
def wait_in_order(load, course, queues, replica, request):
    """Put a request into a queue behind all that are more urgent."""
    before, after = NONE, queues.first[replica]
    while after != NONE and is_before(load, course, after, request):
        before, after = after, course.waiting[after]
    _insert(queues, course, replica, before, request, after)


@special
def leave(queues, course, replica, request):
    """Take a request out of the queue, wherever it waits."""
    before, at = NONE, queues.first[replica]
    while at != request:
        before, at = at, course.waiting[at]
    after = course.waiting[request]
    if before == NONE:
        queues.first[replica] = after
    else:
        course.waiting[before] = after
    if after == NONE:
        queues.last[replica] = before
    queues.waits[replica] -= 1


@special
def next_waiting(queues, course, replica):
    """Take the request at the head of the queue."""
    request = queues.first[replica]
    queues.first[replica] = course.waiting[request]
    if queues.first[replica] == NONE:
        queues.last[replica] = NONE
    queues.waits[replica] -= 1
    return request
