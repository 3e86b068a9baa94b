"""Samples gathered into batches, in integer nanoseconds of virtual time."""

from __future__ import annotations

from lydite.engine.kernels.jit import inlined, kernel
from lydite.engine.kernels.layout import Array


@inlined
def earliest(free_ns: Array) -> int:
    """The worker that is free first."""
    worker = 0
    for other in range(1, len(free_ns)):
        if free_ns[other] < free_ns[worker]:
            worker = other
    return worker


@kernel
def serve(
    arrivals_ns: Array,
    free_ns: Array,
    times_ns: Array,
    starts: Array,
    most: int,
    delay_ns: int,
    used: Array,
    done: Array,
) -> None:
    """When each sample is done: first come first served, in batches.

    A batch begins when a worker is free and it is full, or its oldest sample has waited long
    enough, or no more samples will come.

    Args:
        arrivals_ns, free_ns, times_ns, starts, most, delay_ns: See `lydite.mlperf.play.serve`.
        used: int64[sizes], zeros: times taken so far of each batch size.
        done: int64[n], receives when each sample is done.
    """
    count = len(arrivals_ns)
    first = 0
    arrived = 0
    while first < count:
        worker = earliest(free_ns)
        full = arrivals_ns[min(first + most, count) - 1]
        ready = min(full, arrivals_ns[first] + delay_ns, arrivals_ns[count - 1])
        begin = max(free_ns[worker], ready, arrivals_ns[first])
        arrived = max(arrived, first)
        while arrived < count and arrived - first < most and arrivals_ns[arrived] <= begin:
            arrived += 1
        size = arrived - first
        row = starts[size - 1]
        end = begin + times_ns[row + used[size] % (starts[size] - row)]
        used[size] += 1
        for sample in range(first, arrived):
            done[sample] = end
        free_ns[worker] = end
        first = arrived


@kernel
def stream(
    least: int,
    until_ns: int,
    most: int,
    overhead_ns: int,
    times_ns: Array,
    starts: Array,
    used: Array,
    free_ns: Array,
    issued: Array,
    done: Array,
) -> int:
    """Queries of several samples, each issued when the one before is done.

    Args:
        least: Fewest queries.
        until_ns: The last query is the first that is issued at this time or later.
        most: Most samples in a batch.
        overhead_ns: Nanoseconds between two queries.
        times_ns, starts: Service times by batch size, see `Service.table`.
        used: int64[sizes], zeros.
        free_ns: int64[workers], space.
        issued: int64[queries], receives when each query was issued.
        done: int64[queries, samples], receives when each of its samples was done.

    Returns:
        Number of queries issued.
    """
    count, width = done.shape
    now = 0
    for query in range(count):
        issued[query] = now
        for worker in range(len(free_ns)):
            free_ns[worker] = now
        first = 0
        latest = now
        while first < width:
            worker = earliest(free_ns)
            size = min(most, width - first)
            row = starts[size - 1]
            end = free_ns[worker] + times_ns[row + used[size] % (starts[size] - row)]
            used[size] += 1
            for sample in range(first, first + size):
                done[query, sample] = end
            free_ns[worker] = end
            latest = max(latest, end)
            first += size
        if query + 1 >= least and now >= until_ns:
            return query + 1
        now = latest + overhead_ns
    return count
