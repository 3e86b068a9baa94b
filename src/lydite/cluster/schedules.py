"""Pipeline schedules: the order of forward and backward passes in each stage.

A step is (pass type, micro-batch, chunk). Pass types are "F" forward, "B" backward (gradients of
data only, if gradients of weights are steps of their own) and "W" gradients of weights.

- gpipe: all forward, then all backward (arXiv:1811.06965). Bubble: (p - 1) / (m + p - 1).
- 1f1b: one forward pass per later stage, then alternately one forward, one backward
  (PipeDream-Flush, arXiv:2006.09503). The same bubble, but at most p micro-batches in flight.
- interleaved: v chunks of layers per rank (arXiv:2104.04473). Bubble: (p - 1) / v forward and
  backward passes of a whole rank.
- zero-bubble: the weights' gradients fill the bubble (ZB-H1, arXiv:2401.10241).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeAlias

from lydite.records import dataclass
from lydite.registry import Registry

Step: TypeAlias = tuple[str, int, int]


@dataclass(frozen=True)
class Schedule:
    """A pipeline schedule.

    Attributes:
        steps: Steps of a stage in order, given the stage, the number of stages, of micro-batches
            and of model chunks on a rank.
        chunked: Whether a rank may hold several model chunks; the number of micro-batches must then
            be a multiple of the number of stages.
        splits_backward: Whether gradients of weights are steps of their own ("W").
    """

    steps: Callable[[int, int, int, int], list[Step]]
    chunked: bool = False
    splits_backward: bool = False


SCHEDULES: Registry[Schedule] = Registry(
    "lydite.schedules",
    "schedule",
    {
        "gpipe": f"{__name__}:GPIPE",
        "1f1b": f"{__name__}:ONE_FORWARD_ONE_BACKWARD",
        "interleaved": f"{__name__}:INTERLEAVED",
        "zero-bubble": f"{__name__}:ZERO_BUBBLE",
    },
)


def steps_of(schedule: str, stage: int, stages: int, batches: int, chunks: int = 1) -> list[Step]:
    """The steps of a rank, in order.

    Args:
        schedule: Name of the schedule, one of `SCHEDULES`.
        stage: Index of the rank's pipeline stage.
        stages: Number of stages.
        batches: Number of micro-batches.
        chunks: Number of model chunks on a rank.

    Raises:
        InputError: an unknown schedule.
    """
    return SCHEDULES.find(schedule).steps(stage, stages, batches, chunks)


def _gpipe(stage: int, stages: int, batches: int, chunks: int) -> list[Step]:
    del stage, stages, chunks
    forward: list[Step] = [("F", batch, 0) for batch in range(batches)]
    return forward + [("B", batch, 0) for batch in reversed(range(batches))]


def _one_forward_one_backward(stage: int, stages: int, batches: int, chunks: int) -> list[Step]:
    del chunks
    ahead = min(batches, stages - 1 - stage)
    steps: list[Step] = [("F", batch, 0) for batch in range(ahead)]
    for batch in range(batches - ahead):
        steps += [("F", ahead + batch, 0), ("B", batch, 0)]
    return steps + [("B", batch, 0) for batch in range(batches - ahead, batches)]


def _zero_bubble(stage: int, stages: int, batches: int, chunks: int) -> list[Step]:
    """1F1B with weight gradients deferred as long as earlier stages are idle."""
    steps: list[Step] = []
    done = waiting = 0
    for pass_type, batch, _ in _one_forward_one_backward(stage, stages, batches, chunks):
        steps.append((pass_type, batch, 0))
        waiting += pass_type == "B"
        if pass_type == "B" and waiting > stage:
            steps.append(("W", done, 0))
            done, waiting = done + 1, waiting - 1
    return steps + [("W", batch, 0) for batch in range(done, batches)]


def _interleaved(stage: int, stages: int, batches: int, chunks: int) -> list[Step]:
    """Megatron-LM's: groups of `stages` micro-batches pass through one chunk after another."""
    total = batches * chunks
    warm = min(total, (stages - stage - 1) * 2 + (chunks - 1) * stages)

    def unit(index: int, *, forward: bool) -> Step:
        group, place = divmod(index, stages * chunks)
        chunk = place // stages
        batch = group * stages + place % stages
        return ("F", batch, chunk) if forward else ("B", batch, chunks - 1 - chunk)

    steps = [unit(i, forward=True) for i in range(warm)]
    for i in range(total - warm):
        steps += [unit(warm + i, forward=True), unit(i, forward=False)]
    return steps + [unit(i, forward=False) for i in range(total - warm, total)]


GPIPE = Schedule(_gpipe)
ONE_FORWARD_ONE_BACKWARD = Schedule(_one_forward_one_backward)
INTERLEAVED = Schedule(_interleaved, chunked=True)
ZERO_BUBBLE = Schedule(_zero_bubble, splits_backward=True)


@cache
def in_flight(schedule: str, stage: int, stages: int, batches: int, chunks: int = 1) -> int:
    """Largest number of micro-batches (of one chunk each) whose activations a rank holds at once.

    Arguments as for `steps_of`.
    """
    alive = most = 0
    frees = "W" if SCHEDULES.find(schedule).splits_backward else "B"
    for pass_type, _, _ in steps_of(schedule, stage, stages, batches, chunks):
        alive += (pass_type == "F") - (pass_type == frees)
        most = max(most, alive)
    return most
