"""`mlperf calibrate`: the table of an int8 engine, and the nodes to keep in fp32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from typing_extensions import TypedDict

from lydite.api.mlperf.accuracy import metric_of
from lydite.api.mlperf.benchmark import Target, data_of, target_of, with_data
from lydite.api.mlperf.engines import graph_of
from lydite.api.mlperf.keywords import RunKeywords
from lydite.api.mlperf.options import CalibrateOptions, RunOptions
from lydite.api.options import chosen
from lydite.errors import InputError
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.graph import Graph
    from lydite.mlperf.calibration import Table
    from lydite.mlperf.dataset import DataSet
    from lydite.mlperf.keeping import Found
    from lydite.mlperf.metrics import Metric
    from lydite.mlperf.quantiser import Quantiser

_RANKED = 16
"""Samples by which single nodes are ranked."""


class CalibrateKeywords(RunKeywords, total=False):
    """Fields of `CalibrateOptions`, and of `RunOptions`."""

    calibration_list: Path | None
    calibration_samples: int
    method: str
    per_channel: bool
    operators: str
    keep: str
    gate: float
    search: bool
    evaluate: int


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


def calibrate(
    session: Session,
    model: str,
    *,
    how: CalibrateOptions | None = None,
    out: Path | None = None,
    options: RunOptions | None = None,
    **given: Unpack[CalibrateKeywords],
) -> MlperfCalibrateResult:
    """Calibrate an int8 engine, judge its accuracy, and propose nodes to keep in fp32.

    Args:
        session: Session.
        model: Benchmark of the round, name of the model set, or file.
        how: How to calibrate.
        out: Folder for a copy of the table.
        options: Settings, the data set among them.
        given: Fields of `CalibrateOptions` and `RunOptions`.

    Raises:
        InputError: no data set, a list that names absent samples, or operators that are not there.
        BackendError: ONNX Runtime's quantiser refuses the model.
    """
    own = CalibrateOptions.__dataclass_fields__
    how = chosen(CalibrateOptions, how, {k: v for k, v in given.items() if k in own})
    wanted = chosen(RunOptions, options, {k: v for k, v in given.items() if k not in own})
    target = target_of(model, wanted)
    wanted = with_data(target, wanted)
    data = data_of(wanted, verify=True)
    if data is None:
        raise InputError("calibration needs a data set", where=target.name, hint="--data FOLDER")
    work = _Work(session, target, data, how, wanted.threads or 1)
    table = work.table
    nodes = work.quantiser.chosen(table.operators)
    absent = [name for name in table.keep if name not in nodes]
    if absent:
        raise InputError(
            f"{', '.join(absent[:3])} is no node that is quantised",
            where="--keep",
            allowed=", ".join(nodes[:20]),
        )
    found = work.found(nodes)
    table = replace(table, keep=(*table.keep, *found.keep))
    return _written(work, table, found, len(nodes) - len(table.keep), out)


def _written(
    work: _Work, table: Table, found: Found, nodes: int, out: Path | None
) -> MlperfCalibrateResult:
    from lydite.mlperf.calibration import usual_path, write_table

    path = write_table(table, usual_path(table.model))
    if out is not None:
        path = write_table(table, out / f"{work.target.name}.calibration.txt")
    return MlperfCalibrateResult(
        work.target,
        table,
        work.metric.name if work.metric is not None else "fidelity (agreement)",
        work.evaluated.samples,
        work.fp32,
        work.how.gate,
        found,
        nodes,
        path,
    )


class _Work:
    """What a calibration computes once: the graph, its table, and the fp32 model's answers."""

    def __init__(
        self,
        session: Session,
        target: Target,
        data: DataSet,
        how: CalibrateOptions,
        threads: int,
    ) -> None:
        self.session, self.target, self.data = session, target, data
        self.how, self.threads = how, threads
        self.metric: Metric | None = metric_of(target, data)

    @cached_property
    def graph(self) -> Graph:
        graph = graph_of(self.session, self.target, 1, "float32", self.data)
        self.data.check_fits(graph)
        return graph

    @cached_property
    def quantiser(self) -> Quantiser:
        from lydite.mlperf.quantiser import Quantiser

        return Quantiser(self.graph)

    @cached_property
    def table(self) -> Table:
        import onnxruntime

        from lydite.mlperf.calibration import Table
        from lydite.mlperf.engine import model_digest

        how = self.how
        operators = tuple(word.strip() for word in how.operators.split(",") if word.strip())
        indices = self._calibration_indices()
        ranges = self.quantiser.ranges(self._batches(indices), how.method, operators)
        return Table(
            model_digest(self.graph),
            how.method,
            how.per_channel,
            operators,
            tuple(word.strip() for word in how.keep.split(",") if word.strip()),
            self.data.digest,
            len(indices),
            f"onnxruntime {onnxruntime.__version__}",
            ranges,
        )

    def _calibration_indices(self) -> list[int]:
        from lydite.mlperf.calibration import indices_listed

        if self.how.calibration_list is not None:
            return indices_listed(self.how.calibration_list, self.data.names)
        return list(range(min(self.how.calibration_samples, self.data.samples)))

    def _batches(self, indices: Sequence[int]) -> Iterator[dict[str, np.ndarray]]:
        with self.session.bar(f"{self.target.name} calibration") as show:
            for number, index in enumerate(indices):
                show(number, len(indices), "samples")
                yield {
                    name: np.ascontiguousarray(array[index : index + 1])
                    for name, array in self.data.inputs.items()
                    if name in self.graph.inputs
                }

    @cached_property
    def evaluated(self) -> DataSet:
        """Samples that the gate is judged on, spread evenly over the data set."""
        count = min(self.how.evaluate, self.data.samples)
        rows = np.linspace(0, self.data.samples - 1, count).round().astype(np.int64)
        inputs = {name: np.asarray(array[rows]) for name, array in self.data.inputs.items()}
        labels = None if self.data.labels is None else np.asarray(self.data.labels[rows])
        return replace(self.data, inputs=inputs, labels=labels)

    @cached_property
    def _fp32_answers(self) -> list[np.ndarray]:
        return self._answers(self.graph)

    @cached_property
    def fp32(self) -> float:
        """Score of the fp32 model; 1 where its answers are the reference themselves."""
        return 1.0 if self.metric is None else self._score(self._fp32_answers)

    def _answers(self, graph: Graph, count: int | None = None) -> list[np.ndarray]:
        from lydite.backends import Settings, find_backend

        inputs = {n: a for n, a in self.evaluated.inputs.items() if n in graph.inputs}
        prepared = find_backend("onnxruntime").prepare(graph, Settings(self.threads))
        said: list[np.ndarray] = []
        try:
            for index in range(self.evaluated.samples if count is None else count):
                prepared.bind({name: array[index : index + 1] for name, array in inputs.items()})
                prepared.run()
                said.append(next(iter(prepared.outputs().values()))[0].copy())
        finally:
            prepared.close()
        return said

    def _score(self, outputs: Sequence[np.ndarray]) -> float:
        from lydite.mlperf.accuracy import fidelity_of

        if self.metric is None:
            return fidelity_of(outputs, self._fp32_answers)[0]
        assert self.evaluated.labels is not None
        return next(iter(self.metric.score(outputs, self.evaluated.labels).values()))

    def found(self, nodes: Sequence[str]) -> Found:
        """The gate's verdict, and what to keep where it fails."""
        from lydite.mlperf.keeping import Found, Trial, search

        table, floor = self.table, self.how.gate * self.fp32
        tried = {name: self.quantiser.nodes[name] for name in nodes if name not in table.keep}

        def score(kept: frozenset[str]) -> float:
            graph = self.quantiser.quantised(replace(table, keep=(*table.keep, *kept)))
            return self._score(self._answers(graph))

        if not self.how.search:
            value = score(frozenset())
            passed = value >= floor - 1e-12
            return Found((), passed, value, (Trial("none", 0, value, passed),))
        count = min(_RANKED, self.evaluated.samples)
        with self.session.bar(f"{self.target.name} nodes") as show:
            seen: list[str] = []

            def damage(name: str) -> float:
                show(len(seen), len(tried), name)
                seen.append(name)
                said = self._answers(self.quantiser.quantised(table, [name]), count)
                return sum(
                    float(np.sum((a.astype(np.float64) - b) ** 2))
                    for a, b in zip(said, self._fp32_answers[:count], strict=True)
                )

            return search(tried, score, damage, floor)
