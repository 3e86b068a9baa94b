"""What a run did, query by query, on a real clock or a virtual one."""

from __future__ import annotations

from dataclasses import field

import numpy as np

from lydite.mlperf.schedule import ScenarioName
from lydite.records import dataclass


@dataclass(frozen=True, eq=False)
class Tokens:
    """Token times of a run.

    Attributes:
        first_ns: Time to the first token of each sample: int64[samples].
        per_output_ns: Time per output token after the first: int64[samples].
        count: Number of output tokens of each sample: int64[samples].
    """

    first_ns: np.ndarray
    per_output_ns: np.ndarray
    count: np.ndarray


@dataclass(frozen=True, eq=False)
class Record:
    """Times of all queries of a run, in nanoseconds after its start.

    Attributes:
        scenario: Scenario.
        scheduled_ns: Times from which latencies count: int64[queries].
        issued_ns: Times at which the queries were issued: int64[queries].
        done_ns: Times at which each sample was complete: int64[queries, samples per query].
        generated: Number of queries that LoadGen had generated.
        tokens: Token times; None where the benchmark has none.
        errors: What went wrong during the run.
    """

    scenario: ScenarioName
    scheduled_ns: np.ndarray
    issued_ns: np.ndarray
    done_ns: np.ndarray
    generated: int
    tokens: Tokens | None = None
    errors: tuple[str, ...] = field(default=())

    @property
    def queries(self) -> int:
        """Number of queries that were issued."""
        return len(self.issued_ns)

    @property
    def samples(self) -> int:
        """Number of samples that were issued."""
        return self.done_ns.size

    @property
    def latencies_ns(self) -> np.ndarray:
        """Latency of each sample: int64[samples]."""
        return (self.done_ns - self.scheduled_ns[:, None]).ravel()

    @property
    def query_latencies_ns(self) -> np.ndarray:
        """Latency of each query, until its last sample: int64[queries]."""
        return self.done_ns.max(axis=1) - self.scheduled_ns

    @property
    def duration_ns(self) -> int:
        """Duration that the rules ask for: by the last completion, schedule or issue."""
        if self.scenario == "Offline":
            return int(self.latencies_ns.max())
        times = self.scheduled_ns if self.scenario == "Server" else self.issued_ns
        return int(times[-1])

    @property
    def last_done_ns(self) -> int:
        """Completion of the last query that was issued, which is not always the last to finish."""
        return int(self.done_ns[-1].max())


def percentile_ns(latencies_ns: np.ndarray, share: float) -> int:
    """LoadGen's percentile: the value at place int(n * share) of the sorted latencies."""
    place = min(len(latencies_ns) - 1, int(len(latencies_ns) * share))
    return int(np.partition(latencies_ns, place)[place])
