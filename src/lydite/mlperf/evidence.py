"""What a verdict rests on: a run's figures, from its record or from LoadGen's log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lydite.errors import InputError
from lydite.mlperf.early_stopping import estimate_ns
from lydite.mlperf.record import Record, Tokens, percentile_ns
from lydite.mlperf.schedule import ScenarioName
from lydite.records import dataclass

LATENCY_PERCENTILES = (0.50, 0.90, 0.95, 0.97, 0.99, 0.999)
"""Shares of which LoadGen reports the latency."""


FIRST, FURTHER = "time to first token", "time per output token"


@dataclass(frozen=True)
class Limits:
    """What a run has to meet.

    Attributes:
        min_duration_ms: Minimum duration in milliseconds.
        min_queries: Minimum number of queries.
        percentile: Percentile of the latency that counts, between 0 and 1.
        latency_ns: Limit of the latency in Server; None where there is none.
        ttft_ns: Limit of the time to the first token; None where the benchmark has no tokens.
        tpot_ns: Limit of the time per output token.
    """

    min_duration_ms: int
    min_queries: int
    percentile: float
    latency_ns: int | None = None
    ttft_ns: int | None = None
    tpot_ns: int | None = None


@dataclass(frozen=True)
class Limited:
    """A latency that has a limit.

    Attributes:
        name: What it is the latency of.
        value_ns: Latency at the percentile that counts.
        limit_ns: Its limit.
        over: Number of queries over the limit.
    """

    name: str
    value_ns: int
    limit_ns: int
    over: int


@dataclass(frozen=True)
class Evidence:
    """Figures of a run.

    Attributes:
        scenario: Scenario.
        limits: What the run has to meet.
        queries: Number of queries that were issued.
        samples: Number of samples.
        duration_ns: Duration that the rules ask for.
        span_ns: From the start to the last completion, about.
        latency_ns: Latency by share of the samples (of the queries in MultiStream).
        limited: Latencies with a limit.
        metric: Name, value and unit of the figure that MLPerf reports; NaN where there is none.
        errors: Errors during the run.
        logged: LoadGen's own verdict; "" where it gave none.
    """

    scenario: ScenarioName
    limits: Limits
    queries: int
    samples: int
    duration_ns: int
    span_ns: int
    latency_ns: Mapping[float, int]
    limited: tuple[Limited, ...]
    metric: tuple[str, float, str]
    errors: tuple[str, ...] = ()
    logged: str = ""


def of_record(record: Record, limits: Limits) -> Evidence:
    """Figures of a run whose every query is known."""
    of_queries = record.scenario == "MultiStream"
    latencies = record.query_latencies_ns if of_queries else record.latencies_ns
    return Evidence(
        record.scenario,
        limits,
        record.queries,
        record.samples,
        record.duration_ns,
        int(record.done_ns.max()),
        {share: percentile_ns(latencies, share) for share in LATENCY_PERCENTILES},
        tuple(_limited(record, limits)),
        _metric(record, limits),
        record.errors,
    )


def _limited(record: Record, limits: Limits) -> Iterator[Limited]:
    if record.scenario != "Server":
        return
    if record.tokens is None:
        rows = [("latency", record.latencies_ns, limits.latency_ns)]
    else:
        rows = [
            (FIRST, record.tokens.first_ns, limits.ttft_ns),
            (FURTHER, record.tokens.per_output_ns, limits.tpot_ns),
        ]
    for name, latencies, limit_ns in rows:
        if limit_ns is not None:
            value = percentile_ns(latencies, limits.percentile)
            yield Limited(name, value, limit_ns, int(np.sum(latencies > limit_ns)))


def _metric(record: Record, limits: Limits) -> tuple[str, float, str]:
    """Name, value and unit of the figure that MLPerf reports."""
    if record.scenario in ("SingleStream", "MultiStream"):
        of_queries = record.scenario == "MultiStream"
        latencies = record.query_latencies_ns if of_queries else record.latencies_ns
        if record.tokens is not None:  # LoadGen estimates the first token; the checker reads this
            return _stream_metric(percentile_ns(latencies, limits.percentile), limits)
        return _stream_metric(estimate_ns(latencies, limits.percentile), limits)
    offline = record.scenario == "Offline"
    seconds = (int(record.latencies_ns.max()) if offline else record.last_done_ns) * 1e-9
    if record.tokens is not None:
        name = "tokens per second" if offline else "completed tokens per second"
        return name, float(record.tokens.count.sum()) / seconds, "tokens/s"
    if offline:
        return "samples per second", record.samples / seconds, "samples/s"
    return "completed samples per second", (record.samples - 1) / seconds, "samples/s"


def _stream_metric(estimate: int | None, limits: Limits) -> tuple[str, float, str]:
    name = f"{limits.percentile * 100:g}th percentile latency"
    return name, float("nan") if estimate is None else estimate * 1e-6, "ms"


def of_log(
    values: Mapping[str, Any],
    errors: Sequence[str],
    scenario: ScenarioName,
    limits: Limits,
    tokens: Tokens | None = None,
) -> Evidence:
    """Figures of a run under LoadGen, from its detail log.

    Args:
        values: Values of the log.
        errors: Errors of the log.
        scenario: Scenario.
        limits: What the run has to meet.
        tokens: What the system itself recorded of its tokens. LoadGen does not log how many are
            over their limits, and hides the first token's early stopping where the others' fails.

    Raises:
        InputError: the log ends before the results.
    """
    try:
        return _of_log(values, tuple(errors), scenario, limits, tokens)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise InputError(
            f"the detail log holds no results ({error})", hint="the run did not end; run it again"
        ) from None


def _of_log(
    values: Mapping[str, Any],
    errors: tuple[str, ...],
    scenario: ScenarioName,
    limits: Limits,
    tokens: Tokens | None,
) -> Evidence:
    queries = int(values["result_query_count"])
    of_queries = scenario == "MultiStream"
    kind = "per_query_latency_ns" if of_queries else "latency_ns"
    latency = {
        share: int(values[f"result_{share * 100:.2f}_percentile_{kind}"])
        for share in LATENCY_PERCENTILES
    }
    width = int(values["effective_samples_per_query"]) if of_queries else 1
    samples, metric = queries * width, ("", float("nan"), "")
    if scenario == "Offline":
        span = int(values["result_max_latency_ns"])
        per_second = float(values["result_samples_per_second"])
        samples, duration = round(per_second * span * 1e-9), span
        metric = ("samples per second", per_second, "samples/s")
        if tokens is not None:
            metric = ("tokens per second", float(values["result_tokens_per_second"]), "tokens/s")
    elif scenario == "Server":
        scheduled = float(values["result_scheduled_samples_per_sec"])
        completed = float(values["result_completed_samples_per_sec"])
        duration = int((queries - 1) / scheduled * 1e9)
        span = int((queries - 1) / completed * 1e9)
        metric = ("completed samples per second", completed, "samples/s")
        if tokens is not None:
            rate = float(values["result_completed_tokens_per_second"])
            metric = ("completed tokens per second", rate, "tokens/s")
    else:
        span, duration = _stream_times(values, queries, limits, of_queries)
        key = "early_stopping_latency_ms" if of_queries else "early_stopping_latency_ss"
        found = int(values[key]) if values.get("early_stopping_met") else None
        found = latency[limits.percentile] if tokens is not None else found
        metric = _stream_metric(found, limits)
    limited = (
        tuple(_limited_of_log(values, latency, limits, tokens)) if scenario == "Server" else ()
    )
    logged = str(values.get("result_validity", ""))
    return Evidence(
        scenario,
        limits,
        queries,
        samples,
        duration,
        span,
        latency,
        tuple(limited),
        metric,
        errors,
        logged,
    )


def _stream_times(
    values: Mapping[str, Any], queries: int, limits: Limits, of_queries: bool
) -> tuple[int, int]:
    """Span and duration of SingleStream and MultiStream in nanoseconds."""
    key = "result_mean_query_latency_ns" if of_queries else "result_mean_latency_ns"
    span = duration = int(float(values[key]) * max(queries - 1, 1))
    if "result_qps_with_loadgen_overhead" in values:
        duration = int((queries - 1) / float(values["result_qps_with_loadgen_overhead"]) * 1e9)
    if bool(values.get("result_min_duration_met")):  # the log gives no duration in MultiStream
        duration = max(duration, limits.min_duration_ms * 1_000_000)
    return span, duration


def _limited_of_log(
    values: Mapping[str, Any],
    latency: Mapping[float, int],
    limits: Limits,
    tokens: Tokens | None,
) -> Iterator[Limited]:
    if tokens is None:
        if limits.latency_ns is not None:
            over = int(values["result_overlatency_query_count"])
            yield Limited("latency", latency[limits.percentile], limits.latency_ns, over)
        return
    share = f"{limits.percentile * 100:.2f}_percentile"
    rows = (
        (FIRST, f"result_first_token_{share}_latency_ns", tokens.first_ns, limits.ttft_ns),
        (FURTHER, f"result_time_per_output_token_{share}_ns", tokens.per_output_ns, limits.tpot_ns),
    )
    for name, key, measured, limit_ns in rows:
        if limit_ns is not None:
            yield Limited(name, int(values[key]), limit_ns, int(np.sum(measured > limit_ns)))
