"""Memory over a step: what a rank of each stage holds at every moment, from the tasks as played.

Weights, gradients, optimiser states and buffers are there all the time. What a layer keeps of a
micro-batch comes when its forward task ends and goes when the last of its backward tasks ends (the
weights' gradients, wherever the schedule puts them). What is computed again is there from the
beginning of the layer's backward pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lydite.cluster.program import CATEGORIES
from lydite.cluster.simulate import StepResult
from lydite.cluster.stages import Unit

Floats = npt.NDArray[np.float64]
_NAME = re.compile(r"(?:rank \d+: )?(?P<unit>.+?) (?P<kind>[FBW])(?P<batch>\d+)(?: |$)")
_KERNELS = frozenset(
    CATEGORIES.index(name) for name in ("forward", "backward", "weights", "recompute")
)


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """Bytes on a rank over a step.

    Attributes:
        seconds: float64[n] when they change, from 0 to the end of the step.
        bytes: float64[n] from then on.
        static_bytes: of that, what is there all the time.
    """

    seconds: Floats
    bytes: Floats
    static_bytes: float

    @property
    def peak_bytes(self) -> float:
        """The most at any moment."""
        return float(self.bytes.max())


def memory_course(result: StepResult) -> list[Course]:
    """What a rank of each pipeline stage holds over the step.

    The peak is that of `result.memory` to the byte where nothing is computed again. The closed
    form is an upper bound where something is: it counts the largest layer at work beside all that
    is kept.

    Args:
        result: of a training step; without a backward pass what is held does not change.
    """
    ends = result.timeline.makespan_ps * 1e-12
    pp, stages = result.plan.pp, result.stages
    found: list[Course] = []
    for stage, tasks in enumerate(_tasks_by_stage(result)):
        units = {unit.name: unit for units in stages[stage::pp] for unit in units}
        kinds = result.memory[stage]
        static = sum(size for kind, size in kinds.items() if kind != "activations")
        events = sorted(_events(result, tasks, units))
        if not any(change < 0 for _, change in events):
            events = [(0.0, kinds["activations"])]
        times, changes = np.array([(0.0, 0.0), *events, (ends, 0.0)]).T
        found.append(Course(times, static + np.cumsum(changes), static))
    return found


def _tasks_by_stage(result: StepResult) -> Iterator[list[int]]:
    """Kernels on the first rank of each stage that was played."""
    places = [name.rpartition(" ")[0] for name in result.played.server_names]
    known = list(dict.fromkeys(places))
    shown = known[:: len(known) // result.plan.pp]
    number = {place: at for at, place in enumerate(shown)}
    stage_of = np.array([number.get(place, -1) for place in places])
    tasks = result.played.tasks
    stage = stage_of[tasks.resource]
    kernel = np.isin(tasks.category, list(_KERNELS))
    for at in range(len(shown)):
        yield np.flatnonzero((stage == at) & kernel).tolist()


def _events(
    result: StepResult, tasks: Sequence[int], units: Mapping[str, Unit]
) -> list[tuple[float, float]]:
    """Moments (seconds) and by how many bytes more or less is held from then on."""
    timeline, names = result.timeline, result.played.tasks.names
    begins: dict[tuple[str, str], float] = {}
    ends: dict[tuple[str, str], float] = {}
    done: dict[tuple[str, str], float] = {}
    for task in tasks:
        match = _NAME.match(names[task])
        if match is None or match["unit"] not in units:
            continue
        key, end = (match["unit"], match["batch"]), float(timeline.end_ps[task]) * 1e-12
        if match["kind"] == "F":
            ends[key] = max(ends.get(key, 0.0), end)
        else:
            start = float(timeline.start_ps[task]) * 1e-12
            begins[key] = min(begins.get(key, start), start)
            done[key] = max(done.get(key, 0.0), end)
    found: list[tuple[float, float]] = []
    for key, end in ends.items():
        unit = units[key[0]]
        kept, again = unit.kept_bytes, max(0.0, unit.saved_bytes - unit.kept_bytes)
        found.append((end, kept))
        if key in done:
            found += [(begins[key], again), (done[key], -kept - again)]
    return found
