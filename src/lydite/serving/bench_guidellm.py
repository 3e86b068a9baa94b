"""Reports of GuideLLM: benchmarks with their requests by status.

Fields: guidellm/benchmark/schemas and guidellm/schemas/base/request_stats.py of GuideLLM 0.8.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from lydite.errors import InputError
from lydite.serving.bench_rows import (
    BenchRequest,
    Rows,
    left_out,
    list_of,
    number_of,
    object_of,
    seconds_of,
    tokens_of,
)


def is_guidellm(first: Mapping[str, Any]) -> bool:
    """Whether a file's JSON object is a report of GuideLLM's."""
    runs = first.get("benchmarks")
    return isinstance(runs, list) and all(isinstance(r, dict) and "requests" in r for r in runs)


def guidellm_runs(objects: Iterator[Any], where: str) -> list[Any]:
    """The benchmarks of a report."""
    return list_of(next(objects)["benchmarks"], "benchmarks", where)


def read_guidellm(run: Mapping[str, Any], where: str) -> Rows:
    """The answered requests of a benchmark.

    Raises:
        InputError: it keeps only a sample of its requests, or a value is no valid number.
    """
    by_status = object_of(run["requests"], "requests", where)
    answered = list_of(by_status.get("successful"), "requests.successful", where)
    totals = object_of(run.get("metrics") or {}, "metrics", where).get("request_totals") or {}
    total = object_of(totals, "metrics.request_totals", where).get("successful")
    if isinstance(total, int) and total > len(answered):
        raise InputError(
            f"holds {len(answered)} of {total} answered requests, so the load is not known",
            where=where,
            hint="keep all requests in GuideLLM's report, without sampling",
        )
    rows, empty = [], 0
    for n, each in enumerate(answered):
        at = f"{where}, request {n + 1}"
        cell = object_of(each, "the request", at)
        if not cell.get("output_tokens"):
            empty += 1
            continue
        start = number_of(cell.get("request_start_time"), "request_start_time", at, -math.inf)
        rows.append(
            BenchRequest(
                start,
                tokens_of(cell.get("prompt_tokens"), "prompt_tokens", at),
                tokens_of(cell["output_tokens"], "output_tokens", at),
                seconds_of(cell.get("time_to_first_token_ms"), "time_to_first_token_ms", at, 1e-3),
                _latency(cell, start, at),
                str(cell.get("request_id", n + 1)),
            )
        )
    lost = {name: by_status.get(name) or () for name in ("errored", "incomplete")}
    return rows, left_out({"without output": empty, **{k: len(v) for k, v in lost.items()}})


def _latency(cell: Mapping[str, Any], start_s: float, where: str) -> float:
    """Time to the last token; to the end of the request where no token was seen on its own."""
    info = object_of(cell.get("info") or {}, "info", where)
    timings = object_of(info.get("timings") or {}, "info.timings", where)
    last = timings.get("last_token_iteration")
    if last is None:
        return seconds_of(cell.get("request_latency"), "request_latency", where)
    return number_of(last, "last_token_iteration", where, start_s) - start_s
