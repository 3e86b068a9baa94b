"""Records of AIPerf (`profile_export.jsonl`): an object per request.

Fields: `MetricRecordInfo` in aiperf/common/models/record_models.py of AIPerf 0.13.0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from lydite.errors import InputError
from lydite.serving.bench_rows import (
    BenchRequest,
    Rows,
    left_out,
    number_of,
    object_of,
    tokens_of,
)

_STARTS = ("request_start_ns", "timestamp_ns")
_PHASES = ("benchmark_phase", "credit_phase")
_FIRST = ("time_to_first_token", "ttft")
"""Names of a field, the earlier releases' (October 2025) last."""
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "sec": 1.0, "s": 1.0}


def is_aiperf(first: Mapping[str, Any]) -> bool:
    """Whether a file's first JSON object is a record of AIPerf's."""
    metadata = first.get("metadata")
    return isinstance(metadata, dict) and "metrics" in first and bool({*_STARTS} & set(metadata))


def aiperf_runs(objects: Iterator[Any], where: str) -> list[Any]:
    """The benchmarks of a file: one, whose records are read as they come."""
    del where
    return [objects]


def read_aiperf(run: Iterator[Any], where: str) -> Rows:
    """The answered requests of a benchmark.

    Raises:
        InputError: a length or start is missing, or a value is no valid number.
    """
    rows = []
    counts = {"of the warm-up": 0, "failed or cancelled": 0, "without output": 0}
    origin: int | None = None
    for n, each in enumerate(run, start=1):
        at = f"{where}, request {n}"
        record = object_of(each, "the request", at)
        metadata = object_of(record.get("metadata"), "metadata", at)
        metrics = object_of(record.get("metrics"), "metrics", at)
        if any(metadata.get(name) == "warmup" for name in _PHASES):
            counts["of the warm-up"] += 1
            continue
        if record.get("error") or metadata.get("was_cancelled"):
            counts["failed or cancelled"] += 1
            continue
        output = tokens_of(_value(metrics, "output_sequence_length", at), "its output", at)
        if not output:
            counts["without output"] += 1
            continue
        name = next((each for each in _STARTS if each in metadata), _STARTS[0])
        start_ns = metadata.get(name)
        if not isinstance(start_ns, int) or not 0 <= start_ns < 1 << 63:
            raise InputError(
                f"{name} is {json.dumps(start_ns)[:40]}",
                where=at,
                allowed="a whole number of nanoseconds",
            )
        # Nanoseconds since 1970 do not fit a float: they are subtracted as whole numbers.
        origin = start_ns if origin is None else origin
        rows.append(
            BenchRequest(
                (start_ns - origin) * 1e-9,
                tokens_of(_value(metrics, "input_sequence_length", at), "its prompt", at),
                output,
                _time(metrics, next((each for each in _FIRST if each in metrics), _FIRST[0]), at),
                _time(metrics, "request_latency", at),
                str(metadata.get("x_request_id") or n),
            )
        )
    return rows, left_out(counts)


def _value(metrics: Mapping[str, Any], name: str, where: str) -> Any:
    """A metric's value; AIPerf leaves a metric out where it could not be computed."""
    if name not in metrics:
        raise InputError(f"has no {name}", where=where, allowed="metrics with both lengths")
    return object_of(metrics[name], name, where).get("value")


def _time(metrics: Mapping[str, Any], name: str, where: str) -> float:
    if name not in metrics:
        return math.nan
    unit = object_of(metrics[name], name, where).get("unit")
    if unit not in _SECONDS:
        allowed = ", ".join(_SECONDS)
        raise InputError(f"{name} is in '{str(unit)[:20]}'", where=where, allowed=allowed)
    return number_of(metrics[name].get("value"), name, where) * _SECONDS[unit]
