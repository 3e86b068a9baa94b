"""Memory over a step: bytes held by one rank of each stage over time, from the simulated tasks.

Weights, gradients, optimiser states and buffers are held throughout. The activations that a layer
keeps for a micro-batch are allocated when its forward task ends and freed when the last of its
backward tasks ends (the weights' gradients, wherever the schedule places them). Recomputed
activations are held from the start of the layer's backward pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from lydite.cluster.program import CATEGORIES, STREAMS
from lydite.cluster.stages import Unit
from lydite.cluster.step_result import StepResult
from lydite.records import dataclass

Floats = npt.NDArray[np.float64]
_NAME = re.compile(r"(?:rank \d+: )?(?P<unit>.+?) (?P<kind>[FBW])(?P<batch>\d+)(?: |$)")
_KERNELS = frozenset(
    CATEGORIES.index(name) for name in ("forward", "backward", "weights", "recompute")
)


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """Memory in use on a rank over a step.

    Attributes:
        seconds: float64[n], times in seconds at which it changes, from 0 to the end of the step.
        bytes: float64[n], bytes in use from each of those times on.
        static_bytes: Part of those bytes that is in use throughout the step.
    """

    seconds: Floats
    bytes: Floats
    static_bytes: float

    @property
    def peak_bytes(self) -> float:
        """Peak memory in bytes."""
        return float(self.bytes.max())


def memory_course(result: StepResult) -> list[Course]:
    """Memory of one rank of each pipeline stage over the step.

    Without recomputation the peak equals that of `result.memory` to the byte. With recomputation
    `result.memory` is an upper bound: it adds the largest active layer to everything that is kept.

    Args:
        result: Result of a training step; without a backward pass the memory in use is constant.
    """
    ends = result.timeline.makespan_ps * 1e-12
    pp, stages = result.plan.pp, result.stages
    courses: list[Course] = []
    for stage, tasks in enumerate(_tasks_by_stage(result)):
        units = {unit.name: unit for units in stages[stage::pp] for unit in units}
        kinds = result.memory[stage]
        static = sum(size for kind, size in kinds.items() if kind != "activations")
        events = sorted(_events(result, tasks, units))
        if not any(change < 0 for _, change in events):
            events = [(0.0, kinds["activations"])]
        times, changes = np.array([(0.0, 0.0), *events, (ends, 0.0)]).T
        courses.append(Course(times, static + np.cumsum(changes), static))
    return courses


def _tasks_by_stage(result: StepResult) -> Iterator[np.ndarray]:
    """Numbers of the kernel tasks on the first simulated rank of each stage."""
    each = result.played.ranks // result.plan.pp * len(STREAMS)
    for stage in range(result.plan.pp):
        tasks = result.timeline.tasks_on(stage * each, stage * each + len(STREAMS))
        yield tasks[np.isin(result.timeline.categories_of(tasks), list(_KERNELS))]


def _events(
    result: StepResult, tasks: np.ndarray, units: Mapping[str, Unit]
) -> list[tuple[float, float]]:
    """Times in seconds of allocations and frees, and the bytes added or removed at each."""
    timeline, names = result.timeline, result.played.tasks.names
    begins: dict[tuple[str, str], float] = {}
    ends: dict[tuple[str, str], float] = {}
    done: dict[tuple[str, str], float] = {}
    times = zip(timeline.start_ps[tasks].tolist(), timeline.ends_of(tasks).tolist(), strict=True)
    for task, (start_ps, end_ps) in zip(tasks.tolist(), times, strict=True):
        match = _NAME.match(names[int(task)])
        if match is None or match["unit"] not in units:
            continue
        key, end = (match["unit"], match["batch"]), end_ps * 1e-12
        if match["kind"] == "F":
            ends[key] = max(ends.get(key, 0.0), end)
        else:
            start = start_ps * 1e-12
            begins[key] = min(begins.get(key, start), start)
            done[key] = max(done.get(key, 0.0), end)
    events: list[tuple[float, float]] = []
    for key, end in ends.items():
        unit = units[key[0]]
        events.append((end, unit.kept_bytes))
        if key in done:
            events += [(begins[key], unit.again_bytes), (done[key], -unit.freed_bytes)]
    return events
