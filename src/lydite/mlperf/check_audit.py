"""Rules of audits: their files, and whether they took effect."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lydite.errors import InputError
from lydite.mlperf import tree
from lydite.mlperf.fault import Fault
from lydite.mlperf.loadgen import DETAIL, read_detail
from lydite.mlperf.log_rules import RERUN, at_least, ended, mode_is, seeds_are
from lydite.mlperf.round import Benchmark, Round

SAMPLING_SEED = 720381539243781796
"""Seed by which TEST06, TEST07 and TEST09 sample outputs (their audit.config)."""
OTHER_SEEDS = {
    "qsl_rng_seed": 7975553102935885558,
    "sample_index_rng_seed": 11403566307062068064,
    "schedule_rng_seed": 15816800565822761601,
}
"""Seeds of TEST05: loadgen/mlperf.conf of round v5.1, "not needed from v5.0 onwards"."""
_PASSED = r"TEST PASS|pass: True|Accuracy test passed|verification complete"
_FAILED = r"TEST FAIL|pass: False|verification failed"


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
        elif not _passed(path.read_text("utf-8", "replace")):
            yield Fault(path, "the test did not pass", "TEST PASS", "find out why, run it again")
    detail = folder / tree.PERFORMANCE / DETAIL
    if test not in tree.AUDIT_RUNS and not detail.is_file():
        return  # the official verifiers of these tests keep no logs
    try:
        values, errors = read_detail(detail)
    except InputError as error:
        yield Fault(detail, error.what, f"the log of {test}", RERUN)
        return
    yield from ended(detail, values, errors)
    if "result_validity" not in values:
        return
    yield from mode_is(detail, values, scenario, "PerformanceOnly")
    yield from seeds_are(detail, values, chosen)
    if test in tree.AUDIT_RUNS:
        minimum = chosen.min_duration_ms if row.min_duration_ms is None else row.min_duration_ms
        yield from at_least(detail, values, "effective_min_duration_ms", minimum, "run longer")
    yield from took_effect(detail, values, test)


def _passed(text: str) -> bool:
    return re.search(_PASSED, text) is not None and re.search(_FAILED, text) is None


def took_effect(path: Path, values: dict[str, Any], test: str) -> Iterator[Fault]:
    """Whether the audit's settings reached LoadGen."""
    sampled = values.get("effective_accuracy_log_sampling_target") or values.get(
        "effective_accuracy_log_probability"
    )
    if test == "TEST04" and not values.get("effective_performance_issue_same"):
        yield Fault(path, "performance_issue_same is off", "on", "run it with its audit.config")
    elif test not in ("TEST04", "TEST05") and not sampled:
        yield Fault(path, "no outputs were sampled", "a sampling target", "use its audit.config")
    if test == "TEST05":
        for key, seed in OTHER_SEEDS.items():
            if values.get(f"effective_{key}") != seed:
                yield Fault(path, f"{key} {values.get(f'effective_{key}')}", str(seed), RERUN)
    if test in ("TEST06", "TEST07", "TEST09"):
        if values.get("effective_sample_concatenate_permutation"):
            yield Fault(path, "equal issue is on", "off", "run it with its audit.config")
        seed = values.get("effective_accuracy_log_rng_seed")
        if seed != SAMPLING_SEED:
            found = f"accuracy_log_rng_seed {seed}"
            yield Fault(path, found, str(SAMPLING_SEED), "run it with its audit.config")
