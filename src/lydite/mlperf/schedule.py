"""What LoadGen will issue, and when: its queries before the first of them runs.

The order of draws is that of `GenerateQueries` in LoadGen 6.0: the sample generator first shuffles
the list of unique samples, then one permutation for each pass through the data set that equal
issue would need, and only then draws the samples; both lists are drawn even if they are not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from lydite.errors import InputError
from lydite.mlperf.draws import Words, gaps_ns, shuffled, uniform
from lydite.records import dataclass

ScenarioName = Literal["SingleStream", "MultiStream", "Server", "Offline"]
Mode = Literal["PerformanceOnly", "AccuracyOnly"]


@dataclass(frozen=True)
class Seeds:
    """Seeds of the three generators.

    Attributes:
        qsl: Order of the loaded samples.
        sample_index: Samples of the queries.
        schedule: Times of the queries in Server.
    """

    qsl: int
    sample_index: int
    schedule: int


@dataclass(frozen=True)
class Plan:
    """What decides a schedule.

    Attributes:
        scenario: Scenario.
        seeds: Seeds.
        target_qps: Queries per second that are expected; in Server that are issued. In
            SingleStream and MultiStream the reciprocal of the expected latency.
        min_duration_ms: Minimum duration of the run.
        min_queries: Minimum number of queries.
        samples: Samples of the data set that performance runs use.
        total_samples: Samples of the data set; accuracy runs use them all.
        samples_per_query: Samples of a query in MultiStream.
        min_samples: Minimum number of samples of the one query in Offline.
        equal_issue: Whether all samples are issued equally often.
        mode: Performance or accuracy.
        unique: Whether no sample is issued twice.
        same: Index of the only sample to issue; None for the usual draw.
    """

    scenario: ScenarioName
    seeds: Seeds
    target_qps: float
    min_duration_ms: int = 600_000
    min_queries: int = 1
    samples: int = 1024
    total_samples: int = 1024
    samples_per_query: int = 8
    min_samples: int = 24_576
    equal_issue: bool = False
    mode: Mode = "PerformanceOnly"
    unique: bool = False
    same: int | None = None


@dataclass(frozen=True, eq=False)
class Schedule:
    """Queries in the order of issue.

    Attributes:
        samples: Indices of the samples: int64[queries, samples per query].
        scheduled_ns: Time of each query after the start, which counts in Server alone:
            int64[queries].
        end_ns: When the query after the last would be scheduled.
        min_queries: Number of queries to issue at least.
    """

    samples: np.ndarray
    scheduled_ns: np.ndarray
    end_ns: int
    min_queries: int


def schedule(plan: Plan) -> Schedule:
    """The queries of a performance run that LoadGen generates.

    Raises:
        InputError: the schedule would hold more queries than fit in memory.
    """
    draw = _Draw(plan, _loaded_sets(plan)[0])
    return draw.offline() if plan.scenario == "Offline" else draw.queries()


def accuracy_schedules(plan: Plan) -> list[Schedule]:
    """The queries of an accuracy run: one schedule for each set of samples that fits in memory."""
    draws = [_Draw(plan, loaded) for loaded in _loaded_sets(plan)]
    return [draw.offline() if plan.scenario == "Offline" else draw.queries() for draw in draws]


def _loaded_sets(plan: Plan) -> list[np.ndarray]:
    """Sets of samples in memory, in LoadGen's order; a performance run uses one."""
    count = plan.samples if plan.mode == "PerformanceOnly" else plan.total_samples
    samples = shuffled(np.arange(count), Words(plan.seeds.qsl))
    return [samples[first : first + plan.samples] for first in range(0, count, plan.samples)]


class _Draw:
    """The draws of one schedule, in LoadGen's order."""

    def __init__(self, plan: Plan, loaded: np.ndarray) -> None:
        self._plan, self._count = plan, len(loaded)
        self._stride = plan.samples_per_query if plan.scenario == "MultiStream" else 1
        # a query of several samples may begin at the last one: the first ones follow it
        self._loaded = loaded = np.concatenate([loaded, loaded[: self._stride - 1]])
        self._complete = plan.mode == "AccuracyOnly" or plan.unique or plan.same is not None
        per_query = self._offline_samples() if plan.scenario == "Offline" else self._stride
        self._least = len(loaded) // per_query if self._complete else least_queries(plan)
        self._words = Words(plan.seeds.sample_index)
        starts = np.arange(0, self._count, self._stride)
        first = shuffled(starts, self._words) if plan.mode == "AccuracyOnly" else None
        unique = shuffled(starts, self._words)
        self._unique = first if first is not None else unique
        passes = -(-self._least // len(loaded))
        self._permutations = list(_permutations(len(loaded), passes, self._words))

    def queries(self) -> Schedule:
        """Queries of SingleStream, MultiStream and Server."""
        plan = self._plan
        until_ns = 0 if self._complete else plan.min_duration_ms * 1_000_000
        times = self._times(until_ns * (1 if plan.scenario == "Server" else 2))
        first = self._first_samples(len(times) - 1)
        samples = self._loaded[first[:, None] + np.arange(self._stride)]
        return Schedule(samples, times[:-1], int(times[-1]), self._least)

    def offline(self) -> Schedule:
        """The one query of Offline: the loaded samples again and again, in order."""
        plan, loaded = self._plan, self._loaded
        count = self._offline_samples()
        equal = plan.equal_issue and plan.mode == "PerformanceOnly"
        if plan.same is not None:
            samples = np.full(count, loaded[plan.same])
        elif equal:
            count += -count % len(loaded)
            passes = [shuffled(loaded, self._words) for _ in range(count // len(loaded))]
            samples = np.concatenate(passes)
        else:
            samples = np.resize(loaded, count)
        return Schedule(samples[None, :], np.zeros(1, np.int64), self._gap_ns(), 1)

    def _offline_samples(self) -> int:
        plan = self._plan
        if plan.mode == "AccuracyOnly":
            return self._count
        return max(plan.min_samples, offline_samples(plan.target_qps, plan.min_duration_ms))

    def _times(self, until_ns: int) -> np.ndarray:
        """Scheduled times, and that of one query more."""
        plan, least, loaded = self._plan, self._least, len(self._loaded)
        equal = plan.equal_issue and plan.mode == "PerformanceOnly"
        if equal:
            least += -least % loaded
        words = Words(plan.seeds.schedule)
        times = np.zeros(1, np.int64)
        wanted = least
        while len(times) <= wanted or times[-2] < until_ns:
            expected = max(wanted + 2, int(until_ns * 1e-9 * plan.target_qps * 1.01) + 64)
            more = max(expected - len(times), len(times) // 8 + 64)
            _check_memory(len(times) + more)
            times = np.concatenate([times, times[-1] + np.cumsum(self._gaps(words, more))])
            if equal:
                wanted = self._padded(times, until_ns, least)
        # a query is generated while the one before was scheduled in time, or too few exist
        count = max(wanted, int(np.searchsorted(times, until_ns, side="left")) + 1)
        return times[: (wanted if self._complete else count) + 1]

    def _padded(self, times: np.ndarray, until_ns: int, least: int) -> int:
        """Minimum number of queries once whole passes reach the end of the run."""
        loaded = len(self._loaded)
        last = int(np.searchsorted(times, until_ns, side="left"))
        return least + max(0, -(-(last + 1 - least) // loaded)) * loaded

    def _gaps(self, words: Words, count: int) -> np.ndarray:
        if self._plan.scenario == "Server":
            return gaps_ns(words, self._plan.target_qps, count)
        return np.full(count, self._gap_ns(), np.int64)

    def _gap_ns(self) -> int:
        return int(1.0 / self._plan.target_qps * 1e9)

    def _first_samples(self, count: int) -> np.ndarray:
        """Place of each query's first sample among the loaded ones."""
        plan = self._plan
        if plan.same is not None:
            return np.full(count, plan.same)
        if plan.unique or plan.mode == "AccuracyOnly":
            return self._unique[:count]
        if plan.equal_issue and plan.scenario != "MultiStream":
            return np.resize(np.concatenate(self._permutations), count)
        return uniform(self._words, self._count, count)


def least_queries(plan: Plan) -> int:
    """Minimum number of queries of a performance run, before padding to whole passes.

    With equal issue in SingleStream, LoadGen asks for all that it generates: twice what the
    expected latency needs, and whole passes of the data set.
    """
    if plan.scenario == "Offline":
        return 1
    if plan.scenario != "SingleStream" or not plan.equal_issue:
        return plan.min_queries
    expected = int(2 * plan.min_duration_ms / 1000 * plan.target_qps)
    return (max(expected, plan.min_queries) // plan.samples + 1) * plan.samples


def _permutations(count: int, passes: int, words: Words) -> Iterator[np.ndarray]:
    """Permutations, each a shuffle of the one before."""
    order = np.arange(count)
    for _ in range(passes):
        order = shuffled(order, words)
        yield order


def offline_samples(samples_per_second: float, min_duration_ms: int) -> int:
    """Samples of LoadGen's query in Offline: a tenth more than the duration needs."""
    return int(1.1 * samples_per_second * min_duration_ms / 1000)


QUERY_BYTES = 300
"""Memory that LoadGen takes for a query before the run."""
QUERY_NS = 20_000
"""Nanoseconds after which LoadGen has generated a query, at the most: it needs 2,500 of a free
core."""
SAMPLE_BYTES = 220
"""Memory that a sample of Offline's only query takes, with its object in Python (7.8 GB were
measured for 35.3 million)."""
MOST_QUERIES = 40_000_000


def _check_memory(queries: int) -> None:
    if queries > MOST_QUERIES:
        raise InputError(
            f"{queries:,} queries would be generated before the run, "
            f"{queries * QUERY_BYTES / 2**30:.0f} GiB in LoadGen",
            allowed=f"at most {MOST_QUERIES:,}",
            hint="a larger expected latency, or a shorter run",
        )
