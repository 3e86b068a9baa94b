"""What `mlperf calibrate` returns: the table, the scores, and the trials of the search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from lydite.api.mlperf.benchmark import Target
from lydite.exhibits import Exhibit
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.mlperf.calibration import Table
    from lydite.mlperf.keeping import Found


class TrialDocument(TypedDict):
    """One evaluation of the search."""

    kept: str
    nodes: int
    score: float
    passed: bool


class MlperfCalibrateDocument(TypedDict):
    """A calibration; scores are shares between 0 and 1."""

    benchmark: str
    model: str
    method: str
    per_channel: bool
    operators: list[str]
    nodes_quantised: int
    calibration_samples: int
    metric: str
    evaluated_samples: int
    fp32_score: float
    int8_score: float
    gate: float
    passed: bool
    keep_fp32: list[str]
    kept_score: float
    kept_passed: bool
    trials: list[TrialDocument]
    digest: str
    path: str


@dataclass(frozen=True, eq=False, repr=False)
class MlperfCalibrateResult(Result):
    """A calibration table, and whether it passes the gate.

    Attributes:
        target: What was calibrated.
        table: The table, with the nodes that the search proposes.
        metric: Name of the metric.
        evaluated: Number of samples that the gate was judged on.
        fp32: Score of the fp32 model.
        gate: Share of it that is asked for.
        found: Outcome of the search; its first trial keeps no node.
        nodes: Number of nodes that are quantised.
        path: File of the table.
    """

    verb = "mlperf-calibrate"
    exhibits = (
        Exhibit(
            "Nodes kept in fp32",
            "/trials",
            {"kept": "kept", "nodes": "nodes", "score": "score", "passed": "passed"},
            {"passed": True},
        ),
    )

    target: Target
    table: Table
    metric: str
    evaluated: int
    fp32: float
    gate: float
    found: Found
    nodes: int
    path: Path

    def document(self) -> MlperfCalibrateDocument:
        """The settings, the scores and all trials."""
        first = self.found.trials[0]
        return {
            "benchmark": self.target.name,
            "model": self.target.model,
            "method": self.table.method,
            "per_channel": self.table.per_channel,
            "operators": list(self.table.operators),
            "nodes_quantised": self.nodes,
            "calibration_samples": self.table.samples,
            "metric": self.metric,
            "evaluated_samples": self.evaluated,
            "fp32_score": self.fp32,
            "int8_score": first.score,
            "gate": self.gate,
            "passed": first.passed,
            "keep_fp32": list(self.found.keep),
            "kept_score": self.found.score,
            "kept_passed": self.found.passed,
            "trials": [
                {"kept": t.what, "nodes": t.kept, "score": t.score, "passed": t.passed}
                for t in self.found.trials
            ],
            "digest": self.table.digest,
            "path": str(self.path),
        }

    def summary(self) -> str:
        """Scores, the verdict, the nodes to keep and the trials."""
        from lydite.report.text.mlperf import calibrate_text

        return calibrate_text(self.document())

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per trial."""
        return self.document()["trials"]
