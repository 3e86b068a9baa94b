"""Find the stages of a model, run them for real beside ONNX Runtime's own choices, and choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lydite.backends import Settings
from lydite.backends.lowered import lowered
from lydite.backends.onnxruntime import OnnxRuntimeBackend
from lydite.errors import BackendError
from lydite.graph import Graph, Op, work_of
from lydite.graph.dtypes import numpy_dtype
from lydite.measure.timing import TimingPlan, measure
from lydite.parallel.costs import measured_costs
from lydite.parallel.runner import UNDISTURBED, Pinned, StagedRun, Workers, cores_for
from lydite.parallel.stages import Costs, Stage, Units, best_stages, together_seconds
from lydite.parallel.units import Cut, cut, with_drawn_weights
from lydite.records import dataclass

SEQUENTIAL, THREADS, STAGED = "sequential", "threads", "staged"
PAYS = 0.98
"""Staged execution is chosen at this share of the time of ONNX Runtime's better choice."""
_DENSE = 8.0
"""FLOP per byte from which an operator counts as bound by computation."""
_PROFILED = 8


@dataclass(frozen=True)
class Measured:
    """One way to run the model.

    Attributes:
        name: "sequential" (ONNX Runtime, 1 thread), "threads" (ONNX Runtime, all workers' cores for
            each operator) or "staged".
        samples_s: Seconds per call, round by round beside the others.
        predicted_s: Time that was predicted before; None for ONNX Runtime's own.
    """

    name: str
    samples_s: np.ndarray
    predicted_s: float | None = None

    @property
    def seconds(self) -> float:
        """Median."""
        return float(np.median(self.samples_s))

    def percentile(self, share: float) -> float:
        """The given percentile of the samples, in seconds."""
        return float(np.percentile(self.samples_s, share))


@dataclass(frozen=True)
class Corun:
    """A model run side by side.

    Attributes:
        cut: Units of the lowered graph.
        units: Their times.
        costs: Measured costs of running side by side.
        stages: Stages of the staged execution, with predicted times.
        stage_s: Measured seconds of each stage.
        ways: All ways to run the model, measured interleaved.
        chosen: Name of the way that is best.
        equal: Whether all outputs are bit for bit those of one session.
        warnings: Reasons to doubt the samples.
    """

    cut: Cut
    units: Units
    costs: Costs
    stages: tuple[Stage, ...]
    stage_s: tuple[float, ...]
    ways: tuple[Measured, ...]
    chosen: str
    equal: bool
    warnings: tuple[str, ...] = ()

    def way(self, name: str) -> Measured:
        """A way to run the model, by name."""
        return next(way for way in self.ways if way.name == name)


def corun(
    graph: Graph, *, workers: int = 2, plan: TimingPlan | None = None, seed: int = 0
) -> Corun:
    """Run a graph on pinned workers, stage by stage, beside ONNX Runtime's own choices.

    Weights are drawn: the lowered graph holds types only.

    Args:
        graph: Graph as read, not lowered.
        workers: Number of workers, each with a core of its own.
        plan: Amount of measurement.
        seed: Random seed of weights and inputs.

    Raises:
        InputError: there are fewer cores than workers.
        BackendError: the graph cannot run, or has inputs or outputs of unknown size.
    """
    cores = cores_for(workers)
    plan = plan or TimingPlan(rounds=25, budget_s=10.0)
    backend = OnnxRuntimeBackend()
    settings = Settings(seed=seed)
    low = with_drawn_weights(lowered(backend, graph, settings), seed)
    _check_sizes(low)
    whole = cut(low)
    inputs = {name: _input(low, name, seed + n) for n, name in enumerate(low.inputs)}
    with Pinned(cores[0]):
        threads = Workers(cores)
        try:
            costs = measured_costs(backend, threads)
            units = _units(backend, whole, workers)
            return _compared(backend, graph, whole, units, costs, inputs, threads, plan)
        finally:
            threads.close()


def _compared(
    backend: OnnxRuntimeBackend,
    graph: Graph,
    whole: Cut,
    units: Units,
    costs: Costs,
    inputs: Mapping[str, np.ndarray],
    threads: Workers,
    plan: TimingPlan,
) -> Corun:
    items: dict[str, Any] = {}
    alone = Stage("one", (tuple(range(len(units))),), 0.0)
    try:
        reference = items["reference"] = StagedRun(backend, whole, [alone], inputs, threads)
        reference.run()
        expected = {name: array.tobytes() for name, array in reference.outputs().items()}
        items.pop("reference").close()
        stages, equal, staged = _staged(backend, whole, units, costs, inputs, threads, expected)
        items[STAGED] = staged
        predicted = sum(stage.seconds for stage in stages)
        for name, count in ((SEQUENTIAL, 1), (THREADS, costs.workers)):
            arrays = {**inputs, **_outputs(graph)}
            items[name] = backend.prepare_bound(
                graph, Settings(threads=count), arrays, threads.cores[1:] if count > 1 else ()
            )
        timings = measure({name: items[name] for name in (SEQUENTIAL, THREADS, STAGED)}, plan)
        stage_s = staged.stage_seconds()
    finally:
        for item in items.values():
            item.close()
    ways = tuple(
        Measured(name, timing.samples_s, predicted if name == STAGED else None)
        for name, timing in timings.items()
    )
    warnings = dict.fromkeys(text for timing in timings.values() for text in timing.warnings)
    return Corun(
        whole,
        units,
        costs,
        stages,
        tuple(stage_s),
        ways,
        _choice(ways, equal),
        equal,
        tuple(warnings),
    )


def _staged(
    backend: OnnxRuntimeBackend,
    whole: Cut,
    units: Units,
    costs: Costs,
    inputs: Mapping[str, np.ndarray],
    threads: Workers,
    expected: Mapping[str, bytes],
) -> tuple[tuple[Stage, ...], bool, StagedRun]:
    """Stages from profiled units, then from units corrected by the segments' own times.

    Where operators on several threads round otherwise, they are left out.
    """

    def tried(units: Units) -> tuple[tuple[Stage, ...], bool, StagedRun]:
        stages = best_stages(units, costs)
        staged = StagedRun(backend, whole, stages, inputs, threads)
        for _ in range(2):
            staged.run()
        outputs = staged.outputs().items()
        return stages, all(array.tobytes() == expected[name] for name, array in outputs), staged

    stages, equal, first = tried(units)
    corrected = _corrected(units, stages, first.lane_seconds(), costs)
    first.close()
    if not equal:
        corrected = replace(corrected, wide=np.full(len(units), np.inf))
    stages, equal, staged = tried(corrected)
    told = tuple(
        replace(stage, seconds=_predicted(units, costs, stage, times))
        for stage, times in zip(stages, staged.lane_seconds(), strict=True)
    )
    return told, equal, staged


def _predicted(units: Units, costs: Costs, stage: Stage, lanes: Sequence[float]) -> float:
    """Time of a stage from its segments' times alone, the interference and the hand-off."""
    if stage.way != "side":
        return lanes[0]
    loads = np.zeros((costs.workers, 2))
    for lane, (chosen, seconds) in enumerate(zip(stage.lanes, lanes, strict=True)):
        index = list(chosen)
        weight = units.seconds[index].sum() or 1.0
        bound = float((units.seconds[index] * units.memory[index]).sum() / weight)
        loads[lane] = seconds * (1 - bound), seconds * bound
    return float(together_seconds(loads[None], costs.slowdown)[0]) + costs.handoff_s


def _corrected(
    units: Units, stages: Sequence[Stage], lanes: Sequence[Sequence[float]], costs: Costs
) -> Units:
    """Units whose times add up to those of the segments that they ran in."""
    seconds, wide = units.seconds.copy(), units.wide.copy()
    for stage, times in zip(stages, lanes, strict=True):
        for chosen, taken in zip(stage.lanes, times, strict=True):
            index = list(chosen)
            column = wide if stage.way == "wide" else seconds
            extra = costs.call_s + (costs.wake_s if stage.way == "wide" else 0.0)
            factor = max(0.2, (taken - extra) / max(float(column[index].sum()), 1e-9))
            column[index] *= min(factor, 5.0)
    return replace(units, seconds=seconds, wide=wide)


def _choice(ways: Sequence[Measured], equal: bool) -> str:
    """The better of ONNX Runtime's own, unless stages are faster round by round."""
    times = {way.name: way for way in ways}
    better = min((times[SEQUENTIAL], times[THREADS]), key=lambda way: way.seconds)
    ratio = float(np.median(times[STAGED].samples_s / better.samples_s))
    return STAGED if equal and ratio < PAYS else better.name


def _units(backend: OnnxRuntimeBackend, whole: Cut, workers: int) -> Units:
    """Times of the units from ONNX Runtime's profiler, on one and on all cores."""
    narrow, wide = (
        _profiled(backend, whole.graph, Settings(threads=count)) for count in (1, workers)
    )
    memory = []
    for ops in whole.ops:
        total = sum(narrow.get(op.name, 0.0) for op in ops) or 1.0
        bound = sum(narrow.get(op.name, 0.0) for op in ops if not _dense(op, whole.graph))
        memory.append(bound / total)

    def add_up(times: Mapping[str, float]) -> np.ndarray:
        return np.array([sum(times.get(op.name, 0.0) for op in ops) for ops in whole.ops])

    return Units(add_up(narrow), add_up(wide), np.array(memory), whole.after)


def _profiled(backend: OnnxRuntimeBackend, graph: Graph, settings: Settings) -> dict[str, float]:
    taken: dict[str, list[float]] = {}
    for run in backend.profile(graph, settings, _PROFILED):
        for node in run:
            taken.setdefault(node.op_name, []).append(node.seconds)
    return {name: float(np.percentile(times, UNDISTURBED)) for name, times in taken.items()}


def _dense(op: Op, graph: Graph) -> bool:
    """Whether an operator is bound by computation; False where its work is not known."""
    work = work_of(op, graph)
    if work is None:
        return False
    moved = work.bytes_read + work.bytes_written
    return bool(moved) and work.flops / moved >= _DENSE


def _check_sizes(graph: Graph) -> None:
    for name in (*graph.inputs, *graph.outputs):
        type_ = graph.type_of(name)
        if not type_.is_static or type_.dtype in ("", "string"):
            raise BackendError(
                f"'{name}' is {type_}, for which no buffer can be made", where=graph.name
            )


def _input(graph: Graph, name: str, seed: int) -> np.ndarray:
    from lydite.backends.onnxruntime import input_array

    return np.ascontiguousarray(input_array(graph.type_of(name), seed))


def _outputs(graph: Graph) -> dict[str, np.ndarray]:
    return {
        name: np.zeros(
            [int(dim) for dim in graph.type_of(name).shape or ()],
            numpy_dtype(graph.type_of(name).dtype),
        )
        for name in graph.outputs
    }
