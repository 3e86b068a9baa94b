"""A benchmark folder from its files to its two tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import Any

from lydite.cluster import Baselines, average_loss, read_baselines, summaries, summary_json
from lydite.compat.aisim.accuracy import Cell
from lydite.compat.aisim.coverage import GraphCoverage, coverage_of
from lydite.compat.aisim.exchange import Exchange, read_nccl_logs
from lydite.compat.aisim.folder import SEVERAL, Benchmark, Task
from lydite.compat.aisim.nodes import ALLREDUCE, SEND, GraphNode, read_nodes
from lydite.compat.aisim.step import Execution, play_step
from lydite.compat.aisim.times import Timed, Times
from lydite.errors import InputError
from lydite.records import dataclass
from lydite.results import OneLine

DEFAULT = Execution()


@dataclass(frozen=True, repr=False)
class Report(OneLine):
    """What came out.

    Attributes:
        single, multi: coverage of the graphs for one GPU and for several, by model.
        cells: each environment with each model; empty if accuracy was skipped.
        execution: what was assumed.
        notes: what a reader should know.
        refused: why models or environments are left out, one text each.
    """

    single: Sequence[GraphCoverage]
    multi: Sequence[GraphCoverage]
    cells: Sequence[Cell]
    execution: Execution
    notes: Sequence[str]
    refused: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """All of it, units in the keys."""
        assumed = {name: getattr(self.execution, name) for name in Execution.__dataclass_fields__}
        return {
            "coverage": {
                "single_gpu": [c.to_json() for c in self.single],
                "multi_gpu": [c.to_json() for c in self.multi],
            },
            "steps": [cell.to_json() for cell in self.cells],
            "average_loss": average_loss(self.cells),
            "accuracy": summary_json(summaries(self.cells)),
            "assumed": assumed,
            "notes": list(self.notes),
            "refused": list(self.refused),
            "kind": "simulated",
        }

    def headline(self) -> str:
        """Numbers of steps."""
        return f"{len(self.cells)} steps of an AISim benchmark"


def run_benchmark(
    benchmark: Benchmark,
    models: Sequence[str] = (),
    *,
    coverage: bool = True,
    accuracy: bool = True,
    nccl_logs: Path | None = None,
    execution: Execution = DEFAULT,
) -> Report:
    """Cover, play and compare.

    Args:
        benchmark: as `read_benchmark` gives it.
        models: only these tasks; all without any.
        coverage, accuracy: which of the two.
        nccl_logs: a folder of logs, instead of the configuration's.
        execution: what is assumed of host and streams.

    Raises:
        InputError: an unknown model, no baselines, logs that cannot be read; or nothing is left,
            for a file that is missing or wrong, a pool with too few GPUs. Where something is left,
            these are reported.
    """
    loaded = [_Loaded(task, benchmark) for task in benchmark.chosen(models)]
    refusals: list[InputError] = []
    cells: list[Cell] = []
    if accuracy:
        folder = nccl_logs or benchmark.nccl
        exchange = Exchange(read_nccl_logs(folder) if folder else {}, benchmark.pool)
        cells = _cells(benchmark, loaded, exchange, execution, refusals)
    single = _coverages(loaded, 1, refusals) if coverage else []
    multi = _coverages(loaded, SEVERAL, refusals) if coverage else []
    if refusals and not (cells if accuracy else single or multi):
        raise refusals[0]
    refused = list(dict.fromkeys(map(str, refusals)))
    return Report(single, multi, cells, execution, _notes(benchmark, loaded, cells), refused)


def _coverages(
    loaded: Sequence[_Loaded], gpus: int, refusals: list[InputError]
) -> list[GraphCoverage]:
    """Coverage of the graphs for so many GPUs; why those of other models cannot be read."""
    found = []
    for item in loaded:
        if not item.task.has_graph(gpus):
            continue
        try:
            found.append(item.coverage(item.task.graph_for(gpus)))
        except InputError as error:
            refusals.append(error)
    return found


@dataclass
class _Loaded:
    """A task with what has been read of it."""

    task: Task
    benchmark: Benchmark
    _graphs: dict[Path, list[GraphNode]] = field(default_factory=dict)
    _timed: dict[Path, dict[str, Timed]] = field(default_factory=dict)

    @cached_property
    def times(self) -> Times:
        b = self.benchmark
        return Times(self.task.the_database(), b.platform, b.device, self.task.model)

    def nodes(self, path: Path) -> list[GraphNode]:
        if path not in self._graphs:
            self._graphs[path] = read_nodes(path, self.benchmark.platform)
        return self._graphs[path]

    def timed(self, path: Path) -> dict[str, Timed]:
        if path not in self._timed:
            self._timed[path] = self.times.of(self.nodes(path))
        return self._timed[path]

    def coverage(self, path: Path) -> GraphCoverage:
        return coverage_of(self.task.model, self.nodes(path), self.timed(path))

    @property
    def all_timed(self) -> list[Timed]:
        return [timed for times in self._timed.values() for timed in times.values()]


def _cells(
    benchmark: Benchmark,
    loaded: Sequence[_Loaded],
    exchange: Exchange,
    execution: Execution,
    refusals: list[InputError],
) -> list[Cell]:
    """What can be played; why the rest cannot is added to the refusals."""
    if benchmark.baseline is None:
        raise InputError(
            "missing",
            where=f"{benchmark.where}: baseline_path",
            hint="add --skip-accuracy to do without",
        )
    baselines = read_baselines(benchmark.baseline)
    cells = []
    for name, gpus in benchmark.environments.items():
        for item in loaded:
            try:
                cells.append(_cell(name, gpus, item, exchange, execution, baselines))
            except InputError as error:
                refusals.append(error)
    return cells


def _cell(
    environment: str,
    gpus: int,
    item: _Loaded,
    exchange: Exchange,
    execution: Execution,
    baselines: Baselines,
) -> Cell:
    task = item.task
    path = task.graph_for(gpus)
    timed = item.timed(path)
    moved, source = _exchanges(item.nodes(path), gpus, exchange, item.times)
    seconds = {name: known.seconds for name, known in timed.items()} | moved
    try:
        step = play_step(item.nodes(path), seconds, execution)
    except InputError as error:
        raise InputError(error.what, where=str(path), allowed=error.allowed) from error
    alone = item.timed(task.graphs.get(1, path)).values()
    why = baselines.why_not(gpus, task.model)
    if not why and not step.seconds:
        why = f"{task.model} on {gpus}: no node's time is known"
    return Cell(
        environment,
        gpus,
        task.model,
        step,
        sum_s=sum(known.seconds or 0.0 for known in alone),
        deviation_s=sum(known.deviation_s**2 for known in timed.values()) ** 0.5,
        exchange_source=source,
        baseline_s=baselines.seconds.get((gpus, task.model)),
        why_not=why,
    )


def _exchanges(
    nodes: Sequence[GraphNode], gpus: int, exchange: Exchange, times: Times
) -> tuple[dict[str, float | None], str]:
    """Seconds of all exchanges and messages by name, and where those of the exchanges come from."""
    reduced = [node for node in nodes if node.kind == ALLREDUCE]
    sent = {n.name: exchange.send(gpus, n.bytes) for n in nodes if n.kind == SEND}
    if not reduced:
        return sent, ""
    rows = times.allreduce_s.get(gpus, {})
    found, source = exchange.allreduce(gpus, [node.bytes for node in reduced], rows)
    return sent | dict(zip([n.name for n in reduced], found, strict=True)), source


def _notes(benchmark: Benchmark, loaded: Sequence[_Loaded], cells: Sequence[Cell]) -> list[str]:
    notes = list(benchmark.notes)
    for item in loaded:
        several = sum(timed.several > 1 for timed in item.all_timed)
        if several:
            notes.append(
                f"{item.task.model}: {several} nodes fit several entries of the database; "
                "their mean is taken"
            )
    bounds = dict.fromkeys(f"{c.model} on {c.gpus}" for c in cells if c.is_lower_bound)
    if bounds:
        notes.append(f"lower bounds (some node's time is unknown): {', '.join(bounds)}")
    refused = dict.fromkeys(cell.why_not for cell in cells if cell.why_not)
    if refused:
        notes.append(f"not compared, nor averaged: {'; '.join(refused)}")
    return notes
