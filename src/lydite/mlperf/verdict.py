"""LoadGen's verdict on a run: each rule with its value, its limit and one next step."""

from __future__ import annotations

import math
from collections.abc import Iterator

from lydite.mlperf.early_stopping import least_queries, missing_queries
from lydite.mlperf.evidence import Evidence
from lydite.records import dataclass
from lydite.results import OneLine
from lydite.units import format_seconds


@dataclass(frozen=True)
class Rule:
    """One rule of the verdict.

    Attributes:
        name: What is asked for.
        passed: Whether the run meets it.
        value: What the run has.
        limit: What is asked for, as text.
        next_step: What to change; empty where the rule is met.
        too_short: Whether it is not met only because too few queries ran.
    """

    name: str
    passed: bool
    value: str
    limit: str
    next_step: str = ""
    too_short: bool = False


@dataclass(frozen=True, repr=False)
class Verdict(OneLine):
    """VALID, INVALID or INTERRUPTED, and why.

    Attributes:
        rules: All rules, met or not.
        metric: Name of the figure that MLPerf reports for the scenario.
        value: The figure; NaN where the run gives none.
        unit: Unit of the figure.
        latency_ns: Percentiles of the latency (of queries in MultiStream), by share.
        stopped: What ended the run early; empty if nothing did.
    """

    rules: tuple[Rule, ...]
    metric: str
    value: float
    unit: str
    latency_ns: dict[float, int]
    stopped: str = ""

    @property
    def word(self) -> str:
        """VALID, INVALID or INTERRUPTED."""
        if self.stopped:
            return "INTERRUPTED"
        return "VALID" if all(rule.passed for rule in self.rules) else "INVALID"

    @property
    def too_short(self) -> bool:
        """Whether the run is INVALID for its length alone, which says nothing about its rate."""
        broken = [rule for rule in self.rules if not rule.passed]
        return self.word == "INVALID" and all(rule.too_short for rule in broken)

    @property
    def next_steps(self) -> tuple[str, ...]:
        """What to change, one line a broken rule, without repetitions."""
        return tuple(dict.fromkeys(rule.next_step for rule in self.rules if not rule.passed))

    def headline(self) -> str:
        """The verdict, its figure, and the first broken rule."""
        broken = next((rule for rule in self.rules if not rule.passed), None)
        figure = f"{self.metric} {self.value:.6g} {self.unit}"
        why = "" if broken is None else f": {broken.name} {broken.value}, {broken.limit} asked for"
        return f"{self.word} ({figure}){why}"


def judge(found: Evidence, stopped: str = "") -> Verdict:
    """The verdict on a run by the rules of LoadGen 6.0 (`results.cc`).

    Of a run that was ended early only the cause is told: its length would say nothing.
    """
    if stopped:
        step = "mend the cause and run again"
        rules = (Rule("end", False, stopped, "the run's own end", step), *_errors(found))
        return Verdict(rules, *found.metric, dict(found.latency_ns), stopped)
    rules = (
        *_errors(found),
        *_duration(found),
        *_queries(found),
        *_latency(found),
        *_early_stopping(found),
    )
    if found.logged == "INVALID" and all(rule.passed for rule in rules):
        rules += (Rule("LoadGen's own verdict", False, "INVALID", "VALID", "run it again"),)
    name, value, unit = found.metric
    return Verdict(rules, name, value, unit, dict(found.latency_ns), stopped)


def _errors(found: Evidence) -> Iterator[Rule]:
    for error in found.errors:
        yield Rule("errors", False, error, "none", "mend the cause and run again")


def _duration(found: Evidence) -> Iterator[Rule]:
    limit_ms = found.limits.min_duration_ms
    met = found.duration_ns >= limit_ms * 1_000_000
    steps = {
        "Offline": "raise the expected samples per second (--expected-qps)",
        "Server": "raise the target QPS (--target-qps)",
    }
    step = steps.get(found.scenario, "lower the expected latency (--expected-latency)")
    yield Rule(
        "duration",
        met,
        format_seconds(found.duration_ns * 1e-9),
        f"at least {format_seconds(limit_ms * 1e-3)}",
        "" if met else step,
        not met,
    )


def _queries(found: Evidence) -> Iterator[Rule]:
    least = found.limits.min_queries
    met = found.queries >= least
    yield Rule(
        "queries",
        met,
        f"{found.queries:,}",
        f"at least {least:,}",
        "" if met else f"run at least {_longer(found, least)}",
        not met,
    )


def _longer(found: Evidence, queries: int) -> str:
    """How long a run of so many queries takes at this one's pace."""
    span_s = max(found.span_ns, 1) * 1e-9 * queries / max(found.queries, 1)
    return f"{math.ceil(span_s / 60)} min" if span_s >= 90 else f"{math.ceil(span_s)} s"


def _latency(found: Evidence) -> Iterator[Rule]:
    for limited in found.limited:
        met = limited.value_ns <= limited.limit_ns
        yield Rule(
            f"{limited.name} at {found.limits.percentile * 100:g} %",
            met,
            format_seconds(limited.value_ns * 1e-9),
            f"at most {format_seconds(limited.limit_ns * 1e-9)}",
            "" if met else "lower the target QPS (--target-qps)",
        )


def _early_stopping(found: Evidence) -> Iterator[Rule]:
    for limited in found.limited:
        missing = missing_queries(found.queries, limited.over, found.limits.percentile)
        needed = found.queries + missing
        yield Rule(
            f"early stopping, {limited.name}",
            not missing,
            f"{limited.over:,} of {found.queries:,} queries over the limit",
            f"{needed:,} queries with as many over it",
            f"run at least {_longer(found, needed)}, or lower the target QPS (--target-qps)"
            if missing
            else "",
            bool(missing) and not limited.over,
        )
    if found.scenario in ("SingleStream", "MultiStream"):
        least = least_queries(found.limits.percentile)
        met = found.queries >= least
        yield Rule(
            "early stopping",
            met,
            f"{found.queries:,} queries",
            f"at least {least:,}",
            "" if met else f"run at least {_longer(found, least)}",
            not met,
        )
