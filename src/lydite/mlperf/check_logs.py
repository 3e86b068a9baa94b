"""Rules of the logs of performance runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lydite.errors import InputError
from lydite.mlperf.early_stopping import least_queries, missing_queries
from lydite.mlperf.fault import Fault
from lydite.mlperf.loadgen import DETAIL, SUMMARY, read_detail
from lydite.mlperf.log_rules import RERUN, at_least, ended, mode_is, number, seeds_are
from lydite.mlperf.round import Benchmark, Round

TOKEN_RATE = "result_completed_tokens_per_second"
"""What a log of Server holds where the run counted tokens."""


def check_performance(
    folder: Path, row: Benchmark, scenario: str, chosen: Round, division: str
) -> Iterator[Fault]:
    """A performance run: both logs, their verdict, and what was asked of LoadGen."""
    detail = folder / DETAIL
    try:
        values, errors = read_detail(detail)
    except InputError as error:
        yield Fault(detail, error.what, "the log of a run", RERUN)
        return
    yield from ended(detail, values, errors)
    yield from _summary(folder / SUMMARY, values)
    if "result_validity" not in values:
        return
    yield from mode_is(detail, values, scenario, "PerformanceOnly")
    yield from seeds_are(detail, values, chosen)
    base = "Server" if scenario == "Interactive" else scenario
    percentile = row.percentile.get(base, chosen.percentile.get(base, 0.99))
    yield from _verdict(detail, values, scenario, percentile)
    minimum = chosen.min_duration_ms if row.min_duration_ms is None else row.min_duration_ms
    yield from at_least(detail, values, "effective_min_duration_ms", minimum, "run longer")
    samples = (row.samples_interactive if scenario == "Interactive" else 0) or row.samples
    yield from at_least(detail, values, "effective_performance_sample_count", samples, RERUN)
    yield from _limits(detail, values, row, scenario)
    if division != "open":
        if scenario == "Offline":
            yield from at_least(
                detail, values, "effective_samples_per_query", row.min_samples, RERUN
            )
        if row.equal_issue and not values.get("effective_sample_concatenate_permutation"):
            yield Fault(
                detail, "no equal issue", "equal issue", "set sample_concatenate_permutation"
            )


def _summary(path: Path, values: dict[str, Any]) -> Iterator[Fault]:
    """The summary has to be there and to say what the detail log says."""
    if not path.is_file() or not path.stat().st_size:
        yield Fault(path, "missing or empty", "LoadGen's summary", RERUN)
        return
    text = path.read_text("utf-8", errors="replace")[: 1 << 20]
    match = re.search(r"Result is\s*:\s*(\S+)", text)
    said, logged = match[1] if match else "no verdict", values.get("result_validity")
    if logged is not None and said != logged:
        yield Fault(path, said, f"{logged}, as the detail log says", "use both logs of one run")
    of_queries = "result_mean_query_latency_ns" in values  # MultiStream's summary is of queries
    p99, mean = ("per_query_latency", "query_latency") if of_queries else ("latency", "latency")
    pairs = (
        (r"Samples per second:\s*(\S+)", "result_samples_per_second", 1e-3),
        (r"Completed samples per second\s*:\s*(\S+)", "result_completed_samples_per_sec", 1e-2),
        (r"99\.00 percentile latency \(ns\)\s*:\s*(\d+)", f"result_99.00_percentile_{p99}_ns", 0),
        (r"Mean latency \(ns\)\s*:\s*(\d+)", f"result_mean_{mean}_ns", 0),
    )
    for pattern, key, tolerance in pairs:
        match, value = re.search(pattern, text), values.get(key)
        if match is None or not isinstance(value, int | float):
            continue
        stated = number(match[1])
        if stated is None or abs(stated - value) > max(
            tolerance * abs(value), 1.0 * (tolerance == 0)
        ):
            yield Fault(path, f"{key} {match[1]}", f"{value:g}, as the detail log says", RERUN)


def _verdict(
    path: Path, values: dict[str, Any], scenario: str, percentile: float
) -> Iterator[Fault]:
    """LoadGen's verdict and its parts, early stopping recomputed."""
    if values["result_validity"] != "VALID":
        reason = str(values.get("result_invalid_reason", ""))[:200]
        yield Fault(path, f"verdict {values['result_validity']} {reason}".strip(), "VALID", RERUN)
    for key in ("result_min_duration_met", "result_min_queries_met", "early_stopping_met"):
        if values.get(key, True) is not True:
            yield Fault(path, f"{key} is {values[key]}", "true", "run longer")
    if values.get("result_perf_constraints_met", True) is not True:
        yield Fault(path, "result_perf_constraints_met is false", "true", "lower the target QPS")
    queries = values.get("result_query_count")
    if not isinstance(queries, int) or scenario == "Offline":
        return
    if scenario in ("SingleStream", "MultiStream"):
        least = least_queries(percentile)
        if queries < least:
            yield Fault(path, f"{queries:,} queries", f"at least {least:,}", "run longer")
        return
    over = values.get("result_overlatency_query_count")
    if isinstance(over, int) and TOKEN_RATE not in values:
        missing = missing_queries(queries, over, percentile)
        if missing:
            text = f"{over:,} of {queries:,} queries over the latency"
            yield Fault(path, text, f"{missing:,} queries more", "run longer, or lower the rate")


def _limits(path: Path, values: dict[str, Any], row: Benchmark, scenario: str) -> Iterator[Fault]:
    """The limits of Server; of tokens the log holds what was reached, and not what was asked."""
    limit = row.latency_limit(scenario) if scenario in ("Server", "Interactive") else None
    if limit is None:
        return
    if limit.ttft is not None and TOKEN_RATE not in values:
        yield Fault(path, "no times of tokens", "use_token_latencies", RERUN)
        return
    pairs = (
        ("effective_target_latency_ns", limit.value),
        ("result_first_token_99.00_percentile_latency_ns", limit.ttft),
        ("result_time_per_output_token_99.00_percentile_ns", limit.tpot),
    )
    for key, wanted_ms in pairs:
        found = values.get(key)
        if wanted_ms is not None and isinstance(found, int | float) and found > wanted_ms * 1e6:
            yield Fault(path, f"{key} {found:g}", f"at most {wanted_ms * 1e6:.0f}", RERUN)
