"""The work of a calibration: ranges, answers, scores, and the search for nodes to keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lydite.api.mlperf.accuracy import metric_of
from lydite.api.mlperf.benchmark import Target
from lydite.api.mlperf.engines import graph_of
from lydite.api.mlperf.options import CalibrateOptions

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


class Work:
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
        """The fp32 graph of one sample."""
        graph = graph_of(self.session, self.target, 1, "float32", self.data)
        self.data.check_fits(graph)
        return graph

    @cached_property
    def quantiser(self) -> Quantiser:
        """The quantiser of the graph."""
        from lydite.mlperf.quantiser import Quantiser

        return Quantiser(self.graph)

    @cached_property
    def table(self) -> Table:
        """Ranges of all tensors, from the calibration samples."""
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
