"""A run in virtual time: LoadGen's schedule, its rules, and a system that takes service times.

All times are integer nanoseconds; nothing reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numba import njit

from lydite.errors import InputError
from lydite.mlperf.batching import Batching
from lydite.mlperf.record import Record, Tokens
from lydite.mlperf.schedule import Plan, Schedule, schedule
from lydite.mlperf.service import Service
from lydite.mlperf.tokens import TokenService


@dataclass(frozen=True)
class VirtualSystem:
    """A system under test that exists in virtual time.

    Attributes:
        batching: How it gathers samples.
        service: How long a batch takes.
        overhead_ns: Time from a completion to the next query in SingleStream and MultiStream.
    """

    batching: Batching
    service: Service
    overhead_ns: int = 0

    def __post_init__(self) -> None:
        if self.service.largest < self.batching.batch:
            raise InputError(
                f"no service time of a batch of {self.batching.batch}",
                allowed=f"batches up to {self.service.largest}",
            )


def play(plan: Plan, system: VirtualSystem) -> Record:
    """Play a performance run: when every sample is done.

    Raises:
        InputError: the schedule does not fit in memory.
    """
    queries = schedule(plan)
    if plan.scenario in ("SingleStream", "MultiStream"):
        return _closed(plan, queries, system)
    count = queries.samples.size
    arrivals = np.zeros(count, np.int64)
    if plan.scenario == "Server":
        arrivals = queries.scheduled_ns + system.service.late_ns(queries.scheduled_ns)
    done = _served(arrivals, system)
    issued = queries.scheduled_ns
    return Record(
        plan.scenario,
        issued,
        issued,
        done.reshape(queries.samples.shape),
        generated=len(queries.samples),
    )


def _served(arrivals_ns: np.ndarray, system: VirtualSystem) -> np.ndarray:
    batching, (times, starts) = system.batching, system.service.table()
    free = np.zeros(batching.workers, np.int64)
    return serve(arrivals_ns, free, times, starts, batching.batch, batching.delay_ns)


def _closed(plan: Plan, queries: Schedule, system: VirtualSystem) -> Record:
    """SingleStream and MultiStream: the next query starts when the one before is done."""
    batching, (times, starts) = system.batching, system.service.table()
    count, width = queries.samples.shape
    issued, done = stream(
        count,
        width,
        queries.min_queries,
        plan.min_duration_ms * 1_000_000,
        np.array([batching.batch, batching.workers, system.overhead_ns], np.int64),
        times,
        starts,
    )
    errors: tuple[str, ...] = ()
    if len(issued) == count and int(issued[-1]) < plan.min_duration_ms * 1_000_000:
        errors = ("the generated queries ran out before the run was long enough",)
    return Record(plan.scenario, issued, issued, done, generated=count, errors=errors)


@njit(cache=True, nogil=True)
def serve(arrivals_ns, free_ns, times_ns, starts, most, delay_ns):
    """When each sample is done: first come first served, in batches.

    A batch begins when a worker is free and it is full, or its oldest sample has waited long
    enough, or no more samples will come.

    Args:
        arrivals_ns: Arrival of each sample, ascending: int64[n].
        free_ns: When each worker is free; changed: int64[workers].
        times_ns, starts: Service times by batch size, see `Service.table`.
        most: Most samples in a batch.
        delay_ns: How long the oldest sample may wait.

    Returns:
        Time at which each sample is done: int64[n].
    """
    count = len(arrivals_ns)
    done = np.empty(count, np.int64)
    used = np.zeros(len(starts), np.int64)
    first = 0
    arrived = 0
    while first < count:
        worker = 0
        for other in range(1, len(free_ns)):
            if free_ns[other] < free_ns[worker]:
                worker = other
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
    return done


@njit(cache=True, nogil=True)
def stream(count, width, least, until_ns, rule, times_ns, starts):
    """Queries of `width` samples, each issued when the one before is done.

    Args:
        count: Most queries.
        width: Samples of a query.
        least: Fewest queries.
        until_ns: The last query is the first that is issued at this time or later.
        rule: Most samples in a batch, number of workers, nanoseconds between two queries.
        times_ns, starts: Service times by batch size, see `Service.table`.

    Returns:
        When each query was issued, int64[queries], and each of its samples done,
            int64[queries, width].
    """
    most, workers, overhead_ns = rule
    issued = np.empty(count, np.int64)
    done = np.empty((count, width), np.int64)
    used = np.zeros(len(starts), np.int64)
    free = np.zeros(workers, np.int64)
    now = 0
    for query in range(count):
        issued[query] = now
        free[:] = now
        first = 0
        latest = now
        while first < width:
            worker = 0
            for other in range(1, workers):
                if free[other] < free[worker]:
                    worker = other
            size = min(most, width - first)
            row = starts[size - 1]
            end = free[worker] + times_ns[row + used[size] % (starts[size] - row)]
            used[size] += 1
            done[query, first : first + size] = end
            free[worker] = end
            latest = max(latest, end)
            first += size
        if query + 1 >= least and now >= until_ns:
            return issued[: query + 1], done[: query + 1]
        now = latest + overhead_ns
    return issued, done


def play_tokens(plan: Plan, slots: int, times: TokenService) -> Record:
    """Play a run of a language model with known token times.

    Each sample takes one of `slots` places until its last token; it waits while all are taken.

    Args:
        plan: What decides the schedule.
        slots: Number of samples at once.
        times: Times of the tokens, once a place is free.
    """
    rows = times.rows_of(schedule(plan).samples.ravel())
    service = Service((times.whole_ns[rows],), times.source)  # served in the order of issue
    record = play(plan, VirtualSystem(Batching(workers=slots), service))
    rows = rows[: record.samples]
    count = times.count[rows]
    tokens = Tokens(
        record.latencies_ns - times.whole_ns[rows] + times.first_ns[rows],
        np.where(count > 1, times.per_output_ns[rows], 0),
        count,
    )
    return replace(record, tokens=tokens)
