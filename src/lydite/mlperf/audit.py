"""Audit tests: what LoadGen is told, and whether a run passes.

TEST01 runs in performance mode with some outputs sampled, which have to be those of the accuracy
run. TEST04 issues one sample again and again: a system that keeps results would be much faster.
Sources: mlcommons/inference, compliance/TEST01 and TEST04, README.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lydite.errors import InputError, unknown_name
from lydite.mlperf.check_logs import took_effect
from lydite.mlperf.loadgen import DETAIL

TESTS = ("TEST01", "TEST04")
SAMPLED = 128
"""Outputs that TEST01 samples, about."""
_SLOWER, _FASTER = 0.10, 0.10
_FAST_NS = 200_000
_FAST_TOLERANCE = 0.20
"""Runs with a latency below 0.2 ms may differ by more, as they are noisier."""
_MOST_LOG_BYTES = 2 << 30


@dataclass(frozen=True)
class AuditVerdict:
    """What an audit found.

    Attributes:
        test: Name of the test.
        passed: Whether it passed.
        lines: What was compared, line by line.
    """

    test: str
    passed: bool
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The file of the result."""
        return "\n".join((*self.lines, "TEST PASS" if self.passed else "TEST FAIL")) + "\n"


def audit_config(test: str, scenario: str) -> str:
    """The audit.config of a test.

    Raises:
        InputError: no such test.
    """
    if test == "TEST01":
        lines = {"mode": 2, "accuracy_log_rng_seed": 0, "accuracy_log_sampling_target": SAMPLED}
    elif test == "TEST04":
        lines = {
            "mode": 2,
            "performance_issue_unique": 0,
            "performance_issue_same": 1,
            "performance_issue_same_index": 3,
        }
    else:
        raise unknown_name("audit test", test, TESTS)
    return "".join(f"*.{scenario}.{key} = {value}\n" for key, value in lines.items())


def compare_performance(
    test: str, scenario: str, reference: Mapping[str, Any], audited: Mapping[str, Any]
) -> AuditVerdict:
    """Compare an audit's speed with that of the performance run.

    TEST01 may be at most 10 % slower than it, since sampling costs little. TEST04 may be at most
    10 % faster (20 % below 0.2 ms): a faster one keeps results.

    Args:
        test: Name of the test.
        scenario: Scenario.
        reference: Values of the performance run's log.
        audited: Values of the audit's log.

    Raises:
        InputError: a log holds no result.
    """
    by_latency = test == "TEST04" and scenario in ("Server", "Interactive")
    before, after = (_speed(scenario, run, by_latency) for run in (reference, audited))
    fast = float(reference.get("result_mean_latency_ns", _FAST_NS)) < _FAST_NS
    tolerance = _FAST_TOLERANCE if fast and scenario == "SingleStream" else _FASTER
    ratio = after / before
    if test == "TEST04":
        passed, rule = ratio <= 1 + tolerance, f"at most {1 + tolerance:.2f}"
    else:
        passed, rule = ratio >= 1 - _SLOWER, f"at least {1 - _SLOWER:.2f}"
    faults = [str(fault) for fault in took_effect(Path(DETAIL), dict(audited), test)]
    lines = (
        f"reference score = {before:.6g}",
        f"test score = {after:.6g}",
        f"ratio = {ratio:.4f}, {rule} asked for",
        *faults,
    )
    return AuditVerdict(test, passed and not faults, lines)


def _speed(scenario: str, values: Mapping[str, Any], by_latency: bool) -> float:
    """Samples per second, whatever the scenario reports; or the reciprocal of the mean latency.

    In Server the rate is LoadGen's own, so that kept results would only show in the latency.
    """
    keys = {
        "Offline": "result_samples_per_second",
        "Server": "result_completed_samples_per_sec",
        "SingleStream": "result_qps_without_loadgen_overhead",
    }
    try:
        if by_latency:
            return 1e9 / float(values["result_mean_latency_ns"])
        if scenario == "MultiStream":
            return 1e9 / float(values["result_mean_query_latency_ns"])
        return float(values[keys["Server" if scenario == "Interactive" else scenario]])
    except (KeyError, ValueError, ZeroDivisionError):
        raise InputError("the log holds no result", where=scenario, hint="run it again") from None


def compare_outputs(accuracy_log: Path, sampled_log: Path) -> AuditVerdict:
    """Compare the outputs that TEST01 sampled with those of the accuracy run.

    Raises:
        InputError: a log that is missing or no list of outputs.
    """
    reference = {entry["qsl_idx"]: entry["data"] for entry in read_outputs(accuracy_log)}
    sampled = read_outputs(sampled_log)
    missing = sum(entry["qsl_idx"] not in reference for entry in sampled)
    unequal = sum(
        entry["qsl_idx"] in reference and reference[entry["qsl_idx"]] != entry["data"]
        for entry in sampled
    )
    lines = (
        f"sampled outputs = {len(sampled)}",
        f"unequal = {unequal}",
        f"without a counterpart = {missing}",
    )
    return AuditVerdict("TEST01", bool(sampled) and not missing and not unequal, lines)


def read_outputs(path: Path) -> list[dict[str, Any]]:
    """Entries of a mlperf_log_accuracy.json: qsl_idx, seq_id and data as hexadecimal text.

    Raises:
        InputError: no such file, too large a one, or no list of outputs.
    """
    if not path.is_file():
        raise InputError("is missing", where=str(path), hint="lydite mlperf run --mode accuracy")
    if path.stat().st_size > _MOST_LOG_BYTES:
        raise InputError(f"has {path.stat().st_size:,} bytes", where=str(path))
    try:
        entries = json.loads(path.read_text("utf-8") or "[]")
        if not all({"qsl_idx", "data"} <= set(entry) for entry in entries):
            raise ValueError("an entry without qsl_idx and data")
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"is no accuracy log: {error}", where=str(path)) from None
    return entries
