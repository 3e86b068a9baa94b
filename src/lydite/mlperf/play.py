"""A run in virtual time: LoadGen's schedule, its rules, and a system that takes service times.

All times are integer nanoseconds; nothing reads a clock.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lydite.errors import InputError
from lydite.mlperf.batching import Batching
from lydite.mlperf.kernels import batches
from lydite.mlperf.record import Record, Tokens
from lydite.mlperf.schedule import Plan, Schedule, schedule
from lydite.mlperf.service import Service
from lydite.mlperf.tokens import TokenService
from lydite.records import dataclass


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
    issued = np.empty(count, np.int64)
    done = np.empty((count, width), np.int64)
    queried = batches.stream(
        queries.min_queries,
        plan.min_duration_ms * 1_000_000,
        batching.batch,
        system.overhead_ns,
        times,
        starts,
        np.zeros(len(starts), np.int64),
        np.zeros(batching.workers, np.int64),
        issued,
        done,
    )
    issued, done = issued[:queried], done[:queried]
    errors: tuple[str, ...] = ()
    if len(issued) == count and int(issued[-1]) < plan.min_duration_ms * 1_000_000:
        errors = ("the generated queries ran out before the run was long enough",)
    return Record(plan.scenario, issued, issued, done, generated=count, errors=errors)


def serve(
    arrivals_ns: np.ndarray,
    free_ns: np.ndarray,
    times_ns: np.ndarray,
    starts: np.ndarray,
    most: int,
    delay_ns: int,
) -> np.ndarray:
    """When each sample is done: first come first served, in batches.

    Args:
        arrivals_ns: Arrival of each sample, ascending: int64[n].
        free_ns: When each worker is free; changed: int64[workers].
        times_ns, starts: Service times by batch size, see `Service.table`.
        most: Most samples in a batch.
        delay_ns: How long the oldest sample may wait.

    Returns:
        Time at which each sample is done: int64[n].
    """
    done = np.empty(len(arrivals_ns), np.int64)
    used = np.zeros(len(starts), np.int64)
    batches.serve(arrivals_ns, free_ns, times_ns, starts, most, delay_ns, used, done)
    return done


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
