"""`demo`: the main workflow from measurement to report, in at most two minutes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import TypedDict

from lydite.api.doctor import examine
from lydite.api.measuring import make_measuring, recorded_run
from lydite.api.validate import (
    AccuracyDocument,
    ModelAccuracy,
    ValidateResult,
)
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.backends import NodeTime
    from lydite.graph import Graph
    from lydite.measure import MeasuringSession, Validation

MODELS = ("resnet50", "mobilenetv2", "bert-base")
_SEQUENCE = {"bert-base": 64}


class DemoDocument(TypedDict):
    """Each model's accuracy, the files written, and the elapsed time."""

    models: list[ModelAccuracy]
    accuracy: AccuracyDocument
    files: list[str]
    elapsed_s: float


@dataclass(frozen=True, eq=False, repr=False)
class DemoResult(Result):
    """Results of the demo.

    Attributes:
        accuracy: Predictions compared with measurements.
        files: Page and trace that were written.
        elapsed_s: Elapsed time in seconds.
    """

    verb = "demo"
    deprecated: ClassVar[Mapping[str, str]] = {"seconds": "elapsed_s"}

    accuracy: ValidateResult
    files: tuple[Path, ...]
    elapsed_s: float

    def document(self) -> DemoDocument:
        """Accuracy, files and time."""
        found = self.accuracy.document()
        return {
            "models": found["models"],
            "accuracy": found["accuracy"],
            "files": [str(file) for file in self.files],
            "elapsed_s": self.elapsed_s,
        }

    def summary(self) -> str:
        """Tables of accuracy and coverage, and the files."""
        from lydite.report.text.validate import accuracy_table, coverage_table

        page, trace = self.files
        done = self.accuracy.validations
        return (
            f"{accuracy_table(done)}\n\n{coverage_table(done)}\n\n"
            f"written: {page} (open it in a browser), {trace} (open it in ui.perfetto.dev)"
        )

    def headline(self) -> str:
        """Accuracy of the predictions."""
        return self.accuracy.headline()

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per model."""
        return self.accuracy.rows()


def demo(session: Session, *, out: Path | str = "lydite-demo", budget: float = 16.0) -> DemoResult:
    """Measure a large CNN, a depthwise CNN and a transformer; predict each from its operators.

    Args:
        session: Session whose database receives the rows.
        out: Folder for the page and the trace.
        budget: Seconds to spend on the measurement of each model and its operators.
    """
    from lydite.hardware import find_device
    from lydite.measure import profile_in_graph, validate
    from lydite.models import build_model

    start = time.monotonic()
    device = find_device("cpu")
    graphs = [build_model(name, sequence=_SEQUENCE.get(name)) for name in MODELS]
    done: list[Validation] = []
    traces: list[list[NodeTime]] = []
    arguments = {"models": list(MODELS), "out": str(out)}
    with session.database() as database, recorded_run(database, "demo", arguments) as run:
        with make_measuring(
            "onnxruntime",
            database,
            threads=1,
            budget=budget,
            seed=session.seed,
            run=run.id,
            rounds=7,
        ) as measuring:
            for graph in graphs:
                with session.bar(f"{graph.name:<12}") as progress:
                    done.append(validate(graph, measuring, device, progress=progress))
                traces.append(list(profile_in_graph(graph, measuring, runs=3)[-1]))
            files = _write(Path(out), examine(), measuring, graphs, done, traces)
        accuracy = ValidateResult(tuple(done), measuring.device, "onnxruntime", 1)
        run.keep(accuracy)
    return DemoResult(accuracy, tuple(files), time.monotonic() - start)


def _write(
    folder: Path,
    machine: Mapping[str, Any],
    measuring: MeasuringSession,
    graphs: list[Graph],
    results: list[Validation],
    traces: list[list[NodeTime]],
) -> list[Path]:
    from lydite.hardware import find_device
    from lydite.measure.environment import utc_now
    from lydite.report import Section, Slice, write_page, write_trace
    from lydite.report.plots import predicted_against_measured, roofline, time_by_type
    from lydite.report.text import percent, signed_percent
    from lydite.report.text.doctor import report_lines
    from lydite.units import format_seconds

    points = [v.point for v in results]
    device = find_device("cpu")
    versions = ", ".join(f"{k} {v}" for k, v in measuring.software.versions.items())
    sections = [
        Section(
            "Accuracy",
            "Each model was predicted from its operators and measured whole, in turns. All times "
            "are medians; the interval claims 90 %.",
            ["model", "measured", "predicted", "90 % interval", "error", "nodes", "time measured"],
            [
                [
                    p.name,
                    format_seconds(p.measured),
                    format_seconds(p.predicted),
                    f"{format_seconds(p.low)} - {format_seconds(p.high)}",
                    signed_percent(p.error),
                    percent(v.prediction.coverage.node_coverage),
                    percent(v.prediction.coverage.time_share("measured")),
                ]
                for v, p in zip(results, points, strict=True)
            ],
            predicted_against_measured(points),
        ),
        Section("Where the time goes", plot=time_by_type(_times(results))),
        Section(
            "Roofline",
            "Peaks are what the processor's clock and vector units allow; an operator whose data "
            "stay in the caches can lie above the slope, which is that of main memory.",
            plot=roofline(device, measuring.settings.threads, _dots(results)),
        ),
        Section("Machine", f"Software: {versions}.", pre="\n".join(report_lines(machine))),
    ]
    page = write_page(
        folder / "report.html", "Lydite demo", f"{device.title}, {utc_now()}; measured", sections
    )
    slices: list[Slice] = []
    for graph, nodes in zip(graphs, traces, strict=True):
        origin = nodes[0].start_s if nodes else 0.0
        slices += [
            Slice(
                graph.name,
                node.op_name,
                node.start_s - origin,
                node.seconds,
                {"source": "measured"},
            )
            for node in nodes
        ]
    return [
        page,
        write_trace(folder / "trace.pftrace", slices, process="lydite demo, in-graph times"),
    ]


def _times(results: list[Validation]) -> dict[str, dict[str, float]]:
    times: dict[str, dict[str, float]] = {}
    for result in results:
        kinds = times.setdefault(result.prediction.model, {})
        for node in result.prediction.nodes:
            if node.estimate is not None:
                kinds[node.op_type] = kinds.get(node.op_type, 0.0) + node.estimate.seconds
    return times


def _dots(results: list[Validation]) -> list[tuple[str, str, float, float, float]]:
    from lydite.graph.work import work_of_key

    dots: list[tuple[str, str, float, float, float]] = []
    for result in results:
        for node in {n.key: n for n in result.prediction.nodes}.values():
            work = work_of_key(node.key) if node.key else None
            if work and work.flops and node.estimate is not None:
                rate = work.flops / node.estimate.seconds
                label = f"{node.op_type} {node.name}"
                dots.append(
                    (
                        result.prediction.model,
                        label,
                        work.arithmetic_intensity,
                        rate,
                        node.estimate.seconds,
                    )
                )
    return dots
