"""How many queries a verdict needs, and how long they take, before the run begins."""

from __future__ import annotations

from lydite.mlperf.early_stopping import least_queries, queries_under
from lydite.mlperf.schedule import Plan, schedule
from lydite.records import dataclass


@dataclass(frozen=True)
class Forecast:
    """What a run is going to issue.

    Attributes:
        count: Number of queries; of samples in Offline.
        unit: What is counted: "queries" or "samples".
        rate: How many of them a second.
        seconds: How long they take.
        reason: What makes the run so long.
        needed: Fewest queries with which early stopping can pass; 0 where it has no part.
    """

    count: int
    unit: str
    rate: float
    seconds: float
    reason: str
    needed: int = 0

    @property
    def text(self) -> str:
        """One line, such as "24,576 queries at 3 q/s take 2.3 h"."""
        short = "q/s" if self.unit == "queries" else "samples/s"
        takes = f"{self.count:,} {self.unit} at {self.rate:,.3g} {short} take {span(self.seconds)}"
        short_of = f"; a verdict needs {self.needed:,}" if self.count < self.needed else ""
        return f"{takes} ({self.reason}){short_of}"


def span(seconds: float) -> str:
    """A span of time for people: seconds, minutes or hours."""
    for name, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size or (name == "h" and seconds >= size):
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.3g} s"


def forecast(plan: Plan, rate: float, percentile: float = 0.9) -> Forecast:
    """What LoadGen is going to issue with a plan.

    Args:
        plan: What decides the schedule.
        rate: Queries a second that the system is thought to reach; samples in Offline. In Server it
            is the plan's own.
        percentile: Percentile that counts, which asks for queries of its own.

    Raises:
        InputError: the schedule does not fit in memory.
    """
    least_s = plan.min_duration_ms / 1000
    if plan.scenario == "Server":
        made = schedule(plan)
        count, seconds = len(made.samples), int(made.scheduled_ns[-1]) * 1e-9
        needed = queries_under(0, percentile)
        return Forecast(count, "queries", plan.target_qps, seconds, _why(plan, seconds), needed)
    if plan.scenario == "Offline":
        count = schedule(plan).samples.size
        return Forecast(count, "samples", rate, count / rate, _why(plan, count / rate))
    least = plan.min_queries
    if plan.equal_issue and plan.scenario == "SingleStream":
        least = max(least, schedule(plan).min_queries)
    count = max(least, round(least_s * rate))
    needed = least_queries(percentile)
    return Forecast(count, "queries", rate, count / rate, _why(plan, count / rate), needed)


def _why(plan: Plan, seconds: float) -> str:
    least_s = plan.min_duration_ms / 1000
    if seconds <= 1.15 * least_s + 1 / plan.target_qps:  # Offline issues a tenth more
        return f"the minimum duration is {span(least_s)}"
    if plan.equal_issue:
        return f"equal issue: whole passes of {plan.samples:,} samples"
    return "minimum number of queries"
