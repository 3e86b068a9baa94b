"""`mlperf audit`: the audit tests of a benchmark, against runs that were made before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.mlperf.benchmark import data_of, scenarios_of, settings_of, targets_of
from lydite.api.mlperf.keywords import RunKeywords
from lydite.api.mlperf.options import RunOptions
from lydite.api.mlperf.scenario import Job
from lydite.api.mlperf.system import token_type
from lydite.api.options import chosen
from lydite.errors import InputError
from lydite.exhibits import Exhibit
from lydite.files import write_atomic
from lydite.mlperf import tree
from lydite.mlperf.audit import (
    COMPARED,
    LEGACY,
    AuditVerdict,
    audit_config,
    audits_of,
    compare_performance,
)
from lydite.mlperf.audit_outputs import (
    check_lengths,
    check_score,
    check_tokens,
    compare_entropies,
    compare_outputs,
    outputs_of,
    read_outputs,
)
from lydite.mlperf.check_audit import OTHER_SEEDS, took_effect
from lydite.mlperf.loadgen import ACCURACY, DETAIL, read_detail
from lydite.records import dataclass
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
    exhibits = (
        Exhibit(
            "Audit tests",
            "/audits",
            {"test": "test", "scenario": "scenario", "passed": "passed", "lines": "compared"},
            {"passed": True},
        ),
    )

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
    legacy: bool = False,
    on: str = "cpu",
    service: str | None = None,
    options: RunOptions | None = None,
    **given: Unpack[RunKeywords],
) -> MlperfAuditResult:
    """Run audit tests, and compare them with the runs of the same folder.

    Args:
        session: Session.
        model: Benchmark of the round, name of the model set, or file; several separated by commas.
        runs: Folder of the runs to be audited, as `mlperf_run` wrote it with `out`.
        test: Tests, separated by commas; None for those that the round names for the benchmark.
        scenario: Scenarios, separated by commas.
        legacy: Whether to take TEST05 too, which no round since v5.0 asks for.
        on: Device.
        service: Times of tokens that the runs slept.
        options: Settings, the same as for the run.
        given: Fields of `RunOptions`.

    Raises:
        InputError: an unknown test, one that the round does not name for the benchmark, or a run
            to compare with is missing.
    """
    wanted = chosen(RunOptions, options, given)
    found: list[tuple[str, AuditVerdict, Path]] = []
    for target, own in targets_of(model, wanted):
        for name in audits_of(target.row, test, legacy):
            for scenario_name in scenarios_of(scenario):
                job = Job(target, scenario_name, settings_of(target, scenario_name, own), own)
                base = Path(runs) / target.name / scenario_name
                found.append((scenario_name, *_audited(session, job, name, base, on, service)))
    return MlperfAuditResult(model, tuple(found))


def _audited(
    session: Session, job: Job, test: str, base: Path, on: str, service: str | None
) -> tuple[AuditVerdict, Path]:
    """Run one test, judge it, and write its files."""
    from lydite.api.mlperf.real import run_all
    from lydite.api.mlperf.service import token_service

    settings, folder = job.settings, base / test
    reference = _reference(base)[0] if test in COMPARED else {}
    samples = settings["total_samples"] or settings["samples"]
    config = audit_config(test, settings.scenario, samples)
    seeds = OTHER_SEEDS if test in LEGACY else {}
    job = replace(job, mode="audit", settings=replace(settings, audit=config, seeds=seeds))
    table = None if service is None else token_service(job.target, service, None)
    run_all(session, [job], on, folder, table)
    audited, errors = read_detail(folder / tree.PERFORMANCE / DETAIL)
    sampled = folder / tree.PERFORMANCE / ACCURACY
    if test in COMPARED:
        verdict = compare_performance(test, settings.scenario, reference, audited)
        write_atomic(folder / "verify_performance.txt", verdict.text)
        if test != "TEST01":
            return verdict, folder
        more = compare_outputs(base / tree.ACCURACY / ACCURACY, sampled)
    else:
        verdict = AuditVerdict(test, True, ())
        more = _outputs(job, test, base, sampled, samples)
        faults = [str(fault) for fault in took_effect(Path(DETAIL), audited, test)]
        faults += [f"LoadGen's error: {error}" for error in errors]
        more = AuditVerdict(test, more.passed and not faults, (*more.lines, *faults))
    write_atomic(folder / tree.AUDIT_FILES[test][0], more.text)
    lines = (*verdict.lines, *more.lines)
    return AuditVerdict(test, verdict.passed and more.passed, lines), folder


def _outputs(job: Job, test: str, base: Path, sampled: Path, samples: int) -> AuditVerdict:
    """The verdict on the outputs of TEST06 to TEST09."""
    dtype = token_type(job.target)
    if test == "TEST06":
        return check_tokens(sampled, job.settings.scenario, dtype)
    if test == "TEST08":
        return compare_entropies(base / tree.ACCURACY / ACCURACY, sampled)
    bounds = {} if job.target.row is None else job.target.row.audit_bounds
    if test not in bounds:
        raise InputError(
            f"{job.target.chosen.name} states no bound of {test}", where=job.target.name
        )
    if test == "TEST09":
        return check_lengths(sampled, bounds[test], samples, dtype)
    adapter, data = job.target.adapter, data_of(job.options)
    if adapter is None or adapter.score is None or data is None or data.labels is None:
        raise InputError(
            "the accuracy of TEST07 is not computed here",
            where=job.target.name,
            hint="an adapter with `score`, and labels (--adapter)",
        )
    said = outputs_of(read_outputs(sampled), dtype)
    indices = sorted(said)
    score = 100 * float(
        adapter.score([said[i] for i in indices], [data.labels[i] for i in indices])
    )
    return check_score(score, len(said), samples, bounds[test])


def _reference(base: Path) -> tuple[dict[str, Any], list[str]]:
    path = base / tree.PERFORMANCE / DETAIL
    if not path.is_file():
        raise InputError(
            "there is no performance run to compare with",
            where=str(base),
            hint="lydite mlperf run ... --out, then the audit of that folder",
        )
    return read_detail(path)
