"""`mlperf audit`: the audit tests of a benchmark, against runs that were made before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.mlperf.benchmark import scenarios_of, settings_of, target_of
from lydite.api.mlperf.keywords import RunKeywords
from lydite.api.mlperf.options import RunOptions
from lydite.api.mlperf.scenario import Job
from lydite.api.options import chosen
from lydite.errors import InputError, unknown_name
from lydite.files import write_atomic
from lydite.mlperf import tree
from lydite.mlperf.audit import (
    TESTS,
    AuditVerdict,
    audit_config,
    compare_outputs,
    compare_performance,
)
from lydite.mlperf.loadgen import ACCURACY, DETAIL, read_detail
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session


class AuditDocument(TypedDict):
    """One audit test in one scenario."""

    test: str
    scenario: str
    passed: bool
    lines: list[str]
    folder: str


class MlperfAuditDocument(TypedDict):
    """Audit tests of a benchmark."""

    benchmark: str
    passed: bool
    audits: list[AuditDocument]


@dataclass(frozen=True, eq=False, repr=False)
class MlperfAuditResult(Result):
    """Audit tests.

    Attributes:
        benchmark: Name of the benchmark.
        audits: Scenario, verdict and folder of each test.
    """

    verb = "mlperf-audit"

    benchmark: str
    audits: tuple[tuple[str, AuditVerdict, Path], ...]

    @property
    def passed(self) -> bool:
        """Whether every test passed."""
        return all(verdict.passed for _, verdict, _ in self.audits)

    def document(self) -> MlperfAuditDocument:
        """All tests with what was compared."""
        return {
            "benchmark": self.benchmark,
            "passed": self.passed,
            "audits": [
                {
                    "test": verdict.test,
                    "scenario": scenario,
                    "passed": verdict.passed,
                    "lines": list(verdict.lines),
                    "folder": str(folder),
                }
                for scenario, verdict, folder in self.audits
            ],
        }

    def summary(self) -> str:
        """Verdict of each test, and what was compared."""
        lines: list[str] = []
        for scenario, verdict, folder in self.audits:
            word = "PASS" if verdict.passed else "FAIL"
            lines += [f"{verdict.test} {scenario}: {word} ({folder})"]
            lines += [f"  {line}" for line in verdict.lines]
        return "\n".join(lines)

    def headline(self) -> str:
        """Whether every test passed."""
        return f"{self.benchmark}: audits {'passed' if self.passed else 'failed'}"

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per test."""
        return self.document()["audits"]


def audit(
    session: Session,
    model: str,
    runs: Path | str,
    *,
    test: str | None = None,
    scenario: str = "offline",
    on: str = "cpu",
    options: RunOptions | None = None,
    **given: Unpack[RunKeywords],
) -> MlperfAuditResult:
    """Run audit tests, and compare them with the runs of the same folder.

    Args:
        session: Session.
        model: Benchmark of the round, name of the model set, or file.
        runs: Folder of the runs to be audited, as `mlperf_run` wrote it with `out`.
        test: Tests, separated by commas; None for those of the benchmark.
        scenario: Scenarios, separated by commas.
        on: Device.
        options: Settings, the same as for the run.
        given: Fields of `RunOptions`.

    Raises:
        InputError: an unknown test, or a run to compare with is missing.
    """
    from lydite.api.mlperf.real import run_all

    wanted = chosen(RunOptions, options, given)
    target = target_of(model, wanted)
    usual = target.row.audits if target.row is not None else TESTS
    names = [t.strip().upper() for t in test.split(",")] if test else list(usual)
    found: list[tuple[str, AuditVerdict, Path]] = []
    for name in names:
        if name not in TESTS:
            raise unknown_name("audit test", name, TESTS)
        for scenario_name in scenarios_of(scenario):
            base = Path(runs) / target.name / scenario_name
            reference, _ = _reference(base)
            settings = settings_of(target, scenario_name, wanted)
            settings = replace(settings, audit=audit_config(name, settings.scenario))
            folder = base / name
            run_all(session, [Job(target, scenario_name, settings, wanted, "audit")], on, folder)
            audited, _ = read_detail(folder / tree.PERFORMANCE / DETAIL)
            verdict = compare_performance(name, settings.scenario, reference, audited)
            write_atomic(folder / "verify_performance.txt", verdict.text)
            if name == "TEST01":
                verdict = _with_outputs(verdict, base, folder)
            found.append((scenario_name, verdict, folder))
    return MlperfAuditResult(target.name, tuple(found))


def _reference(base: Path) -> tuple[dict[str, Any], list[str]]:
    path = base / tree.PERFORMANCE / DETAIL
    if not path.is_file():
        raise InputError(
            "there is no performance run to compare with",
            where=str(base),
            hint="lydite mlperf run ... --out, then the audit of that folder",
        )
    return read_detail(path)


def _with_outputs(verdict: AuditVerdict, base: Path, folder: Path) -> AuditVerdict:
    """The outputs of TEST01 compared with those of the accuracy run, too."""
    outputs = compare_outputs(base / tree.ACCURACY / ACCURACY, folder / tree.PERFORMANCE / ACCURACY)
    write_atomic(folder / "verify_accuracy.txt", outputs.text)
    lines = (*verdict.lines, *outputs.lines)
    return AuditVerdict("TEST01", verdict.passed and outputs.passed, lines)
