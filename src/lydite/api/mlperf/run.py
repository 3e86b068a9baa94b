"""`mlperf run`: scenarios under LoadGen on a device that is here, or in virtual time."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.mlperf.accuracy import QualityDocument, document_of
from lydite.api.mlperf.benchmark import (
    Target,
    scenarios_of,
    settings_of,
    target_of,
    with_data,
)
from lydite.api.mlperf.keywords import RunKeywords
from lydite.api.mlperf.options import RunOptions
from lydite.api.mlperf.scenario import ScenarioRun
from lydite.api.options import chosen
from lydite.errors import InputError
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session

SIMULATED = "SIMULATED"


class RuleDocument(TypedDict):
    """One rule of a verdict."""

    rule: str
    passed: bool
    value: str
    limit: str
    next_step: str


class ScenarioDocument(TypedDict):
    """One scenario; latencies by percentile, in seconds."""

    scenario: str
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
    """Runs of one benchmark; `simulated` says that no clock was read."""

    benchmark: str
    model: str
    round: str
    official: bool
    simulated: bool
    device: str
    runs: list[ScenarioDocument]


@dataclass(frozen=True, eq=False, repr=False)
class MlperfRunResult(Result):
    """Runs of one benchmark.

    Attributes:
        target: What was run.
        device: Device that ran it, or that was simulated.
        simulated: Whether the runs were played in virtual time.
        runs: One run for each scenario.
    """

    verb = "mlperf-run"

    target: Target
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
            "benchmark": self.target.name,
            "model": self.target.model,
            "round": self.target.chosen.name,
            "official": self.target.row is not None,
            "simulated": self.simulated,
            "device": self.device,
            "runs": [self._run(run) for run in self.runs],
        }

    def _run(self, run: ScenarioRun) -> ScenarioDocument:
        verdict = run.verdict
        return {
            "scenario": run.name,
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
            "source": "simulated" if self.simulated else "measured",
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


def run(
    session: Session,
    model: str,
    *,
    scenario: str = "offline",
    mode: str = "performance",
    virtual: bool = False,
    on: str = "cpu",
    service: str | None = None,
    replay: Path | None = None,
    out: Path | None = None,
    options: RunOptions | None = None,
    **given: Unpack[RunKeywords],
) -> MlperfRunResult:
    """Run a benchmark of MLPerf Inference, or any model under its rules.

    On a device that is here, LoadGen issues the queries in a process of its own. In virtual time
    the same schedule and rules are played with service times that are estimated for any device,
    stated, or recorded.

    Args:
        session: Session.
        model: Benchmark of the round, name of the model set, or file.
        scenario: Scenarios, separated by commas: offline, server, singlestream, multistream,
            interactive.
        mode: "performance" or "accuracy".
        virtual: Whether to play the runs in virtual time.
        on: Device: "cpu", or in virtual time any device.
        service: Service times in virtual time, such as "1.2ms", "1:1ms,8:4ms" or "1.2ms±5%".
        replay: Folder of a run whose recorded batches are played in virtual time.
        out: Folder for the logs of real runs.
        options: Settings.
        given: Fields of `RunOptions`.

    Raises:
        InputError: an unknown benchmark, scenario or setting, or one that is missing.
        BackendError: the backend cannot run here, or LoadGen is not installed.
    """
    wanted = chosen(RunOptions, options, given)
    target = target_of(model, wanted)
    wanted = with_data(target, wanted)
    scenarios = scenarios_of(scenario)
    resolved = [(name, settings_of(target, name, wanted)) for name in scenarios]
    mode = mode.lower().removesuffix("only")  # LoadGen and Sinian say PerformanceOnly
    if mode not in ("performance", "accuracy"):
        raise InputError(f"unknown mode '{mode}'", allowed="performance, accuracy")
    is_virtual = virtual or service is not None or replay is not None
    if is_virtual:
        from lydite.api.mlperf.virtual import play_one

        if mode != "performance":
            raise InputError("virtual time has no outputs to judge", allowed="--mode performance")
        runs = [
            play_one(session, target, settings, on=on, stated=service, replay=replay)
            for _, settings in resolved
        ]
        result = MlperfRunResult(target, on, True, tuple(runs))
    else:
        from lydite.api.mlperf.real import run_all

        folder = out or Path("mlperf-runs") / time.strftime("%Y%m%d-%H%M%S")
        device, runs = run_all(session, target, resolved, wanted, mode, on, folder)
        result = MlperfRunResult(target, device, False, tuple(runs))
    if out is not None and is_virtual:
        _write_simulated(result, out)
    return result


def _write_simulated(result: MlperfRunResult, folder: Path) -> None:
    """A file type of its own, which no checker takes for a log of LoadGen."""
    from lydite.files import write_atomic
    from lydite.mlperf.draws import ALGORITHM

    marks = {"kind": SIMULATED, "draws": ALGORITHM}
    lines = [json.dumps({**marks, **row}, default=_finite) for row in result.document()["runs"]]
    write_atomic(folder / "simulated.jsonl", "\n".join(lines) + "\n")


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else str(value)
