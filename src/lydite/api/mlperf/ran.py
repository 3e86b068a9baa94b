"""What `mlperf run` returns: runs of benchmarks, each with its verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import TypedDict

from lydite.api.mlperf.accuracy import QualityDocument, document_of
from lydite.api.mlperf.benchmark import Target
from lydite.api.mlperf.scenario import ScenarioRun
from lydite.exhibits import Exhibit
from lydite.records import dataclass
from lydite.results import Result


class RuleDocument(TypedDict):
    """One rule of a verdict."""

    rule: str
    passed: bool
    value: str
    limit: str
    next_step: str


class ScenarioDocument(TypedDict):
    """One scenario; latencies by percentile, in seconds."""

    benchmark: str
    model: str
    official: bool
    scenario: str
    mode: str
    verdict: str
    metric: str
    value: float
    unit: str
    rules: list[RuleDocument]
    next_steps: list[str]
    latency_s: dict[str, float]
    queries: int
    samples: int
    duration_s: float
    source: str
    service: str
    engine: str
    data: str
    accuracy: str
    quality: QualityDocument | None
    settings: dict[str, Any]
    origins: dict[str, str]
    folder: str


class MlperfRunDocument(TypedDict):
    """Runs of benchmarks; `simulated` says that no clock was read."""

    benchmark: str
    round: str
    official: bool
    simulated: bool
    device: str
    runs: list[ScenarioDocument]


@dataclass(frozen=True, eq=False, repr=False)
class MlperfRunResult(Result):
    """Runs of one or several benchmarks.

    Attributes:
        targets: What was run.
        device: Device that ran it, or that was simulated.
        simulated: Whether the runs were played in virtual time.
        runs: One run for each benchmark, scenario and mode.
    """

    verb = "mlperf-run"
    exhibits = (
        Exhibit(
            "Verdicts",
            "/runs",
            {
                "scenario": "scenario",
                "benchmark": "benchmark",
                "mode": "mode",
                "verdict": "verdict",
                "value": "value",
                "unit": "unit",
                "metric": "metric",
                "latency_s.p99": "latency at 99 %",
                "queries": "queries",
                "duration_s": "duration",
                "accuracy": "accuracy",
            },
            {"verdict": "VALID"},
            beside="value",
            label="/device",
        ),
        Exhibit(
            "{benchmark}, {scenario}, {mode}: {verdict}",
            "/runs/*/rules",
            {
                "rule": "rule",
                "value": "value",
                "limit": "limit",
                "passed": "met",
                "next_step": "next step",
            },
            {"passed": True},
        ),
    )

    targets: tuple[Target, ...]
    device: str
    simulated: bool
    runs: tuple[ScenarioRun, ...]

    @property
    def valid(self) -> bool:
        """Whether every run is valid."""
        return all(run.verdict.word == "VALID" for run in self.runs)

    def document(self) -> MlperfRunDocument:
        """All runs, with every rule and every setting."""
        return {
            "benchmark": ", ".join(target.name for target in self.targets),
            "round": self.targets[0].chosen.name,
            "official": all(target.row is not None for target in self.targets),
            "simulated": self.simulated,
            "device": self.device,
            "runs": [self._run(run) for run in self.runs],
        }

    def _run(self, run: ScenarioRun) -> ScenarioDocument:
        verdict = run.verdict
        is_simulated = self.simulated or not run.engine
        return {
            "benchmark": run.target.name,
            "model": run.target.model,
            "official": run.target.row is not None,
            "scenario": run.name,
            "mode": run.mode,
            "verdict": verdict.word,
            "metric": verdict.metric,
            "value": verdict.value,
            "unit": verdict.unit,
            "rules": [
                {
                    "rule": rule.name,
                    "passed": rule.passed,
                    "value": rule.value,
                    "limit": rule.limit,
                    "next_step": rule.next_step,
                }
                for rule in verdict.rules
            ],
            "next_steps": list(verdict.next_steps),
            "latency_s": {
                f"p{share * 100:g}": ns * 1e-9 for share, ns in verdict.latency_ns.items()
            },
            "queries": run.queries,
            "samples": run.samples,
            "duration_s": run.duration_s,
            "source": "simulated" if is_simulated else "measured",
            "service": run.service,
            "engine": run.engine,
            "data": run.data,
            "accuracy": run.accuracy,
            "quality": document_of(run.quality),
            "settings": {name: s.value for name, s in run.settings.values.items()},
            "origins": {name: s.origin for name, s in run.settings.values.items()},
            "folder": str(run.folder or ""),
        }

    def summary(self) -> str:
        """Verdict, figure, rules and next steps of each scenario."""
        from lydite.report.text.mlperf import runs_text

        return runs_text(self.document())

    def headline(self) -> str:
        """Verdict and figure of each scenario."""
        from lydite.report.text.mlperf import headline

        return headline(self.document())

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per scenario."""
        return [
            {
                key: value
                for key, value in run.items()
                if key not in ("rules", "settings", "origins")
            }
            for run in self.document()["runs"]
        ]
