"""Rules of the logs: performance runs, accuracy runs, audits."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lydite.errors import InputError
from lydite.mlperf import tree
from lydite.mlperf.early_stopping import least_queries, missing_queries
from lydite.mlperf.fault import Fault
from lydite.mlperf.loadgen import ACCURACY, DETAIL, SUMMARY, read_detail
from lydite.mlperf.round import Benchmark, Round

_HARMLESS = ("Loadgen built with uncommitted changes", "Multiple conf files")
_RERUN = "run it again"
_ACCURACY_TEXT = {
    "acc": r"^accuracy=([\d.]+)",
    "mAP": r"^mAP=([\d.]+)",
    "F1": r"[\"']f1[\"']:\s*([\d.]+)",
    "DICE": r"mean\s*=\s*([\d.]+)",
    "AUC": r"^AUC=([\d.]+)",
    "NE": r"^NE=([\d.]+)",
    "ROUGE1": r"[\"']rouge1[\"']:\s*([\d.]+)",
    "ROUGE2": r"[\"']rouge2[\"']:\s*([\d.]+)",
    "ROUGEL": r"[\"']rougeL[\"']:\s*([\d.]+)",
    "ROUGELSUM": r"[\"']rougeLsum[\"']:\s*([\d.]+)",
    "exact_match": r"exact_match[\"']?\s*[:=]\s*([\d.]+)",
    "accuracy": r"accuracy=([\d.]+)",
    "CLIP": r"CLIP_SCORE[\"']?:\s*([\d.]+)",
    "FID": r"FID_SCORE[\"']?:\s*([\d.]+)",
}
"""How accuracy.txt states each metric."""


def check_performance(
    folder: Path, row: Benchmark, scenario: str, chosen: Round, division: str
) -> Iterator[Fault]:
    """A performance run: both logs, their verdict, and what was asked of LoadGen."""
    detail = folder / DETAIL
    try:
        values, errors = read_detail(detail)
    except InputError as error:
        yield Fault(detail, error.what, "the log of a run", _RERUN)
        return
    yield from _ended(detail, values, errors)
    yield from _summary(folder / SUMMARY, values)
    if "result_validity" not in values:
        return
    yield from _mode(detail, values, scenario, "PerformanceOnly")
    yield from _seeds(detail, values, chosen)
    yield from _verdict(detail, values, scenario)
    minimum = chosen.min_duration_ms if row.min_duration_ms is None else row.min_duration_ms
    yield from _at_least(detail, values, "effective_min_duration_ms", minimum, "run longer")
    if division != "open":
        samples = (row.samples_interactive if scenario == "Interactive" else 0) or row.samples
        yield from _at_least(detail, values, "effective_performance_sample_count", samples, _RERUN)
        if scenario == "Offline":
            yield from _at_least(
                detail, values, "effective_samples_per_query", row.min_samples, _RERUN
            )
        yield from _limits(detail, values, row, scenario)
        if row.equal_issue and not values.get("effective_sample_concatenate_permutation"):
            yield Fault(
                detail, "no equal issue", "equal issue", "set sample_concatenate_permutation"
            )


def _ended(path: Path, values: dict[str, Any], errors: list[str]) -> Iterator[Fault]:
    if "result_validity" not in values:
        yield Fault(path, "no result", "a run that came to its end", _RERUN)
    for error in errors:
        if not any(harmless in error for harmless in _HARMLESS):
            yield Fault(
                path, f"LoadGen's error: {error[:200]}", "none", "mend the cause, run again"
            )


def _summary(path: Path, values: dict[str, Any]) -> Iterator[Fault]:
    """The summary has to be there and to say what the detail log says."""
    if not path.is_file() or not path.stat().st_size:
        yield Fault(path, "missing or empty", "LoadGen's summary", _RERUN)
        return
    text = path.read_text("utf-8", errors="replace")[: 1 << 20]
    match = re.search(r"Result is\s*:\s*(\S+)", text)
    said, logged = match[1] if match else "no verdict", values.get("result_validity")
    if logged is not None and said != logged:
        yield Fault(path, said, f"{logged}, as the detail log says", "use both logs of one run")
    pairs = (
        (r"Samples per second:\s*(\S+)", "result_samples_per_second", 1e-3),
        (r"Completed samples per second\s*:\s*(\S+)", "result_completed_samples_per_sec", 1e-2),
        (r"99\.00 percentile latency \(ns\)\s*:\s*(\d+)", "result_99.00_percentile_latency_ns", 0),
        (r"Mean latency \(ns\)\s*:\s*(\d+)", "result_mean_latency_ns", 0),
    )
    for pattern, key, tolerance in pairs:
        match, value = re.search(pattern, text), values.get(key)
        if match is None or not isinstance(value, int | float):
            continue
        stated = _number(match[1])
        if stated is None or abs(stated - value) > max(
            tolerance * abs(value), 1.0 * (tolerance == 0)
        ):
            yield Fault(path, f"{key} {match[1]}", f"{value:g}, as the detail log says", _RERUN)


def _mode(path: Path, values: dict[str, Any], scenario: str, mode: str) -> Iterator[Fault]:
    found = str(values.get("effective_test_mode", "")) or "nothing"
    if found != mode:
        yield Fault(path, f"test mode {found}", mode, _RERUN)
    base = "Server" if scenario == "Interactive" else scenario
    found = str(values.get("effective_scenario", "")) or "nothing"
    if found != base:
        yield Fault(path, f"scenario {found}", base, "put the logs into their scenario's folder")


def _seeds(path: Path, values: dict[str, Any], chosen: Round) -> Iterator[Fault]:
    seeds = chosen.seeds_of()
    wanted = {
        "effective_qsl_rng_seed": seeds.qsl,
        "effective_sample_index_rng_seed": seeds.sample_index,
        "effective_schedule_rng_seed": seeds.schedule,
    }
    for key, seed in wanted.items():
        if values.get(key) != seed:
            yield Fault(path, f"{key} {values.get(key)}", f"{seed} ({chosen.name})", _RERUN)


def _verdict(path: Path, values: dict[str, Any], scenario: str) -> Iterator[Fault]:
    """LoadGen's verdict and its parts, early stopping recomputed."""
    if values["result_validity"] != "VALID":
        reason = str(values.get("result_invalid_reason", ""))[:200]
        yield Fault(path, f"verdict {values['result_validity']} {reason}".strip(), "VALID", _RERUN)
    for key in ("result_min_duration_met", "result_min_queries_met", "early_stopping_met"):
        if values.get(key, True) is not True:
            yield Fault(path, f"{key} is {values[key]}", "true", "run longer")
    if values.get("result_perf_constraints_met", True) is not True:
        yield Fault(path, "result_perf_constraints_met is false", "true", "lower the target QPS")
    queries = values.get("result_query_count")
    if not isinstance(queries, int) or scenario == "Offline":
        return
    if scenario in ("SingleStream", "MultiStream"):
        least = least_queries(0.9 if scenario == "SingleStream" else 0.99)
        if queries < least:
            yield Fault(path, f"{queries:,} queries", f"at least {least:,}", "run longer")
        return
    over = values.get("result_overlatency_query_count")
    if isinstance(over, int) and not values.get("effective_use_token_latencies"):
        missing = missing_queries(queries, over, 0.99)
        if missing:
            text = f"{over:,} of {queries:,} queries over the latency"
            yield Fault(path, text, f"{missing:,} queries more", "run longer, or lower the rate")


def _limits(path: Path, values: dict[str, Any], row: Benchmark, scenario: str) -> Iterator[Fault]:
    limit = row.latency_limit(scenario) if scenario in ("Server", "Interactive") else None
    if limit is None:
        return
    pairs = (
        ("effective_target_latency_ns", limit.value),
        ("effective_ttft_latency_ns", limit.ttft),
        ("effective_tpot_latency_ns", limit.tpot),
    )
    for key, wanted_ms in pairs:
        found = values.get(key)
        if wanted_ms is not None and isinstance(found, int | float) and found > wanted_ms * 1e6:
            yield Fault(path, f"{key} {found:g}", f"at most {wanted_ms * 1e6:.0f}", _RERUN)


def _at_least(
    path: Path, values: dict[str, Any], key: str, least: int, step: str
) -> Iterator[Fault]:
    found = values.get(key)
    if not isinstance(found, int | float) or found < least:
        yield Fault(path, f"{key} {found}", f"at least {least:,}", step)


def check_accuracy(folder: Path, row: Benchmark, division: str) -> Iterator[Fault]:
    """An accuracy run: its logs, the accuracy that it states, and the hash of the full log."""
    detail = folder / DETAIL
    try:
        values, errors = read_detail(detail)
    except InputError as error:
        yield Fault(detail, error.what, "the log of an accuracy run", _RERUN)
    else:
        mode = str(values.get("effective_test_mode", "")) or "nothing"
        if mode != "AccuracyOnly":
            yield Fault(detail, f"test mode {mode}", "AccuracyOnly", _RERUN)
        for error in errors:
            if not any(harmless in error for harmless in _HARMLESS):
                yield Fault(detail, f"LoadGen's error: {error[:200]}", "none", _RERUN)
        total = values.get(
            "effective_accuracy_sample_count", values.get("qsl_reported_total_count")
        )
        if division != "open" and isinstance(total, int) and total < row.total:
            yield Fault(
                detail, f"{total:,} samples", f"all {row.total:,}", "use the whole data set"
            )
    if not (folder / SUMMARY).is_file():
        yield Fault(folder / SUMMARY, "missing", "LoadGen's summary", _RERUN)
    log = folder / ACCURACY
    if not log.is_file() or not log.stat().st_size:
        yield Fault(log, "missing or empty", "the accuracy log", _RERUN)
    elif log.stat().st_size > tree.MOST_ACCURACY_BYTES:
        size = f"{log.stat().st_size:,} bytes"
        yield Fault(log, size, "at most 10,240", "lydite mlperf submission truncates it")
    yield from _stated(folder / "accuracy.txt", log, row, division)


def _stated(path: Path, log: Path, row: Benchmark, division: str) -> Iterator[Fault]:
    if not path.is_file():
        yield Fault(path, "missing", "the accuracy", "lydite mlperf run --mode accuracy")
        return
    text = path.read_text("utf-8", errors="replace")[: 1 << 20]
    for floor in row.all_floors if division != "open" else ():
        pattern = _ACCURACY_TEXT.get(floor.metric)
        match = re.search(pattern, text, re.MULTILINE) if pattern else None
        if match is None:
            yield Fault(path, f"no {floor.metric}", f"{floor.metric} of the run", _RERUN)
            continue
        value = _number(match[1])
        if value is None or not floor.passed(value):
            most = "" if floor.high is None else f" and at most {floor.high:g}"
            yield Fault(
                path,
                f"{floor.metric} {match[1]}",
                f"at least {floor.least:g}{most} ({floor.source})",
                "a more exact engine: lydite mlperf calibrate",
            )
    match = re.search(r"hash=([0-9a-f]{64})", text)
    if match is None:
        yield Fault(path, "no hash", "the SHA-256 of the full log", "lydite mlperf submission")
    elif log.is_file() and log.stat().st_size < tree.MOST_ACCURACY_BYTES:
        content = log.read_bytes()
        whole = hashlib.sha256(content).hexdigest()
        if not _shortened(content) and whole != match[1]:
            yield Fault(path, "the hash of another file", whole, "use the hash of this log")


def _shortened(content: bytes) -> bool:
    """Whether a log holds only its beginning and its end."""
    return not content.strip().endswith(b"]") or b"..." in content or not _is_list(content)


def _is_list(content: bytes) -> bool:
    import json

    try:
        return isinstance(json.loads(content), list)
    except (ValueError, RecursionError):
        return False


def check_audit(
    scenario_folder: Path, test: str, row: Benchmark, scenario: str, chosen: Round
) -> Iterator[Fault]:
    """An audit: its files, and whether it took effect."""
    folder = scenario_folder / test
    if not folder.is_dir():
        yield Fault(
            folder, "missing", f"{test} of this benchmark", f"lydite mlperf audit --test {test}"
        )
        return
    for name in tree.AUDIT_FILES.get(test, ()):
        path = folder / name
        if not path.is_file():
            yield Fault(
                path, "missing", "the result of the audit", f"lydite mlperf audit --test {test}"
            )
        elif not re.search(
            r"TEST PASS|pass: True|Accuracy test passed", path.read_text("utf-8", "replace")
        ):
            yield Fault(path, "the test did not pass", "TEST PASS", "find out why, run it again")
    if test not in tree.AUDIT_RUNS:
        return
    run = folder / tree.PERFORMANCE
    detail = run / DETAIL
    try:
        values, errors = read_detail(detail)
    except InputError as error:
        yield Fault(detail, error.what, f"the log of {test}", _RERUN)
        return
    yield from _ended(detail, values, errors)
    if "result_validity" not in values:
        return
    yield from _mode(detail, values, scenario, "PerformanceOnly")
    yield from _seeds(detail, values, chosen)
    minimum = chosen.min_duration_ms if row.min_duration_ms is None else row.min_duration_ms
    yield from _at_least(detail, values, "effective_min_duration_ms", minimum, "run longer")
    yield from took_effect(detail, values, test)


def took_effect(path: Path, values: dict[str, Any], test: str) -> Iterator[Fault]:
    """Whether the audit's settings reached LoadGen."""
    if test == "TEST04" and not values.get("effective_performance_issue_same"):
        yield Fault(path, "performance_issue_same is off", "on", "run it with its audit.config")
    sampled = values.get("effective_accuracy_log_sampling_target") or values.get(
        "effective_accuracy_log_probability"
    )
    if test == "TEST01" and not sampled:
        yield Fault(path, "no outputs were sampled", "a sampling target", "use its audit.config")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
