"""The request of a real run: what LoadGen is told, and what it will issue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from lydite.api.mlperf.accuracy import answer_of, metric_of
from lydite.api.mlperf.scenario import Job
from lydite.api.mlperf.system import System, token_type
from lydite.api.mlperf.virtual import rate_of
from lydite.errors import InputError
from lydite.mlperf.child import Request
from lydite.mlperf.dataset import DataSet
from lydite.mlperf.engine import output_type
from lydite.mlperf.forecast import Forecast, forecast
from lydite.mlperf.loadgen import Issue, check_memory
from lydite.mlperf.schedule import offline_samples

if TYPE_CHECKING:
    from lydite.mlperf.settings import Settings

Values = dict[str, int | float | bool]
_PILOTS = {
    "SingleStream": "single_stream_expected_latency_ns",
    "MultiStream": "multi_stream_expected_latency_ns",
    "Offline": "offline_expected_qps",
}


def request_of(job: Job, system: System, data: DataSet | None, logs: Path, seed: int) -> Request:
    """The request of a run.

    Raises:
        InputError: LoadGen's queries would not fit in memory.
    """
    settings = job.settings
    memory = psutil.virtual_memory().available // 2
    values, pilot = _values(job, system, memory)
    batching = settings.batching
    total = settings["total_samples"] or settings["samples"]
    return Request(
        "" if system.spec is None else str(system.spec.folder),
        "" if job.options.data is None else str(job.options.data),
        (max(settings["samples"], 1), seed),
        Issue(
            settings.scenario,
            "AccuracyOnly" if job.mode == "accuracy" else "PerformanceOnly",
            job.target.conf_name,
            total if data is None else data.samples,
            settings["samples"],
            values,
            settings.audit,
        ),
        (batching.batch, batching.delay_ns, batching.workers),
        settings["threads"],
        token_type(job.target) if system.spec is None else _answer(job, system, data),
        "" if job.mode == "accuracy" else pilot,
        str(logs),
        memory,
        system.devices,
        system.tokens(logs),
    )


def foretold(job: Job, system: System) -> Forecast | None:
    """What the run will issue, where that is known without a pilot.

    Raises:
        InputError: the schedule does not fit in memory.
    """
    settings = job.settings
    if job.mode == "accuracy":
        return None
    hint = _hint(settings, system)
    if hint is None:
        return None
    rate = hint
    if system.table is not None and settings.scenario in ("SingleStream", "MultiStream"):
        width = settings["samples_per_query"] if settings.scenario == "MultiStream" else 1
        rounds = -(-width // settings["workers"])
        rate = 1e9 / (float(system.table.whole_ns.mean()) * rounds)
    plan = settings.plan(job.target.chosen, hint)
    return forecast(plan, rate, settings["percentile"])


def _hint(settings: Settings, system: System) -> float | None:
    """Queries a second that LoadGen is told to issue or to expect; None where a pilot says it."""
    if system.table is not None:
        return rate_of(settings, system.table)
    if settings.scenario == "Server":
        return settings["target_qps"]
    if settings.scenario == "Offline":
        return settings["expected_qps"]
    expected = settings["expected_latency_ms"]
    return None if expected is None else 1e3 / expected


def _values(job: Job, system: System, memory: int) -> tuple[Values, str]:
    """Attributes of LoadGen's settings, and the one that a pilot fills in; "" for none."""
    settings = job.settings
    scenario = settings.scenario
    values: Values = {
        "min_duration_ms": settings["min_duration_ms"],
        "min_query_count": settings["min_samples" if scenario == "Offline" else "min_queries"],
        "performance_sample_count_override": settings["samples"],
        "sample_concatenate_permutation": settings["equal_issue"],
        **settings.seeds,
    }
    if settings["tokens"]:
        values["use_token_latencies"] = True
        for name in ("ttft", "tpot"):
            if settings[f"{name}_limit_ms"] is not None:
                values[f"{name}_latency"] = round(settings[f"{name}_limit_ms"] * 1e6)
    if scenario == "MultiStream":
        values["multi_stream_samples_per_query"] = settings["samples_per_query"]
    hint, duration_s = _hint(settings, system), settings["min_duration_ms"] / 1000
    if scenario == "Server":
        values["server_target_qps"] = settings["target_qps"]
        values["server_target_latency_percentile"] = settings["percentile"]
        if settings["latency_limit_ms"] is not None:
            values["server_target_latency_ns"] = round(settings["latency_limit_ms"] * 1e6)
        check_memory(settings["target_qps"] * duration_s, memory, scenario)
        return values, ""
    pilot = _PILOTS[scenario]
    if hint is None:
        return values, pilot
    if scenario == "Offline":
        check_memory(offline_samples(hint, round(duration_s * 1000)), memory, scenario)
        values[pilot] = hint
    else:
        check_memory(2 * duration_s * hint, memory, scenario)
        values[pilot] = round(1e9 / hint)
    return values, ""


def _answer(job: Job, system: System, data: DataSet | None) -> str:
    """What the engine says: the same in every mode, so that audits can compare the runs."""
    assert system.spec is not None
    assert data is not None
    try:
        metric = metric_of(job.target, data)
    except InputError:  # which an accuracy run refuses before it begins
        return "first"
    return answer_of(metric, output_type(system.spec))
