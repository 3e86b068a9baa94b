"""Audit tests: what LoadGen is told, and whether its speed passes.

TEST01 runs in performance mode with some outputs sampled, which have to be those of the accuracy
run. TEST04 issues one sample again and again: a system that keeps results would be much faster.
TEST05 takes other seeds. TEST06 to TEST09 look at outputs of performance mode, see
`lydite.mlperf.audit_outputs`.
Sources: mlcommons/inference, compliance/TEST01 to TEST09, audit.config and run_verification.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lydite.errors import InputError, unknown_name
from lydite.mlperf.check_audit import SAMPLING_SEED, took_effect
from lydite.mlperf.loadgen import DETAIL
from lydite.mlperf.round import Benchmark
from lydite.records import dataclass

SAMPLED = 128
"""Outputs that TEST01 samples, about."""
_RNG = {"accuracy_log_rng_seed": SAMPLING_SEED}
_UNPADDED = {"min_duration": 0, "sample_concatenate_permutation": 0}
_ALL = 10_000
"""Sampling target of the tests that log every output: more than any data set of theirs holds."""
SETTINGS: dict[str, dict[str, int]] = {
    "TEST01": {"mode": 2, "accuracy_log_rng_seed": 0, "accuracy_log_sampling_target": SAMPLED},
    "TEST04": {
        "mode": 2,
        "performance_issue_unique": 0,
        "performance_issue_same": 1,
        "performance_issue_same_index": 3,
    },
    "TEST05": {},  # LoadGen takes no seeds from an audit.config
    "TEST06": {
        "mode": 2,
        **_RNG,
        "accuracy_log_sampling_target": 100,
        "min_query_count": 100,
        **_UNPADDED,
    },
    "TEST07": {"mode": 2, **_RNG, "accuracy_log_sampling_target": _ALL, **_UNPADDED},
    "TEST08": {"mode": 2, **_RNG, "accuracy_log_sampling_target": SAMPLED},
    "TEST09": {"mode": 2, **_RNG, "accuracy_log_sampling_target": _ALL, **_UNPADDED},
}
"""What audit.config sets, by test."""
TESTS = tuple(SETTINGS)
OWN_TESTS = ("TEST01", "TEST04")
"""Tests of a model of the user's own, where none are named."""
COMPARED = ("TEST01", "TEST04", "TEST05")
"""Tests that compare speeds."""
LEGACY = ("TEST05",)
"""Tests that no round since v5.0 asks for."""
_SLOWER, _FASTER = 0.10, 0.10
_SEEDED = 0.05
"""Share by which other seeds may change the speed, either way."""
_FAST_NS = 200_000
_FAST_TOLERANCE = 0.20
"""Runs with a latency below 0.2 ms may differ by more, as they are noisier."""


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


def audits_of(row: Benchmark | None, named: str | None, legacy: bool = False) -> list[str]:
    """The tests of a benchmark, or those of a list.

    Args:
        row: The benchmark's row of the round; None for a model of the user's own.
        named: Tests, separated by commas; None for those of the round's table.
        legacy: Whether tests of earlier rounds are taken.

    Raises:
        InputError: an unknown test, or one that the round does not name for the benchmark.
    """
    known = OWN_TESTS if row is None else row.audits
    if named is None:
        return [*known, *(LEGACY if legacy else ())]
    names = [word.strip().upper() for word in named.split(",")]
    for name in names:
        if name not in TESTS:
            raise unknown_name("audit test", name, TESTS)
        if name in LEGACY and not legacy:
            raise InputError(
                f"{name} is of earlier rounds; none asks for it since v5.0", hint="--legacy"
            )
        if name not in (*known, *LEGACY) and not (row is None and name == "TEST06"):
            raise InputError(
                f"{name} is no audit of this benchmark", allowed=", ".join(known) or "none"
            )
    return names


def audit_config(test: str, scenario: str, samples: int = 0) -> str:
    """The audit.config of a test.

    Args:
        test: Name of the test.
        scenario: Scenario.
        samples: Samples that the test has to issue, where it looks at all of them.

    Raises:
        InputError: no such test.
    """
    if test not in SETTINGS:
        raise unknown_name("audit test", test, TESTS)
    lines = dict(SETTINGS[test])
    if lines.get("accuracy_log_sampling_target") == _ALL and samples:
        lines["min_query_count"] = samples
    return "".join(f"*.{scenario}.{key} = {value}\n" for key, value in lines.items())


def compare_performance(
    test: str, scenario: str, reference: Mapping[str, Any], audited: Mapping[str, Any]
) -> AuditVerdict:
    """Compare an audit's speed with that of the performance run.

    TEST01 may be at most 10 % slower than it, since sampling costs little. TEST04 may be at most
    10 % faster (20 % below 0.2 ms): a faster one keeps results. TEST05 may differ by 5 % (20 %).

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
    elif test == "TEST05":
        share = _FAST_TOLERANCE if tolerance == _FAST_TOLERANCE else _SEEDED
        passed, rule = abs(ratio - 1) <= share, f"{1 - share:.2f} to {1 + share:.2f}"
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
