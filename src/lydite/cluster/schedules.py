"""Pipeline schedules: in which order a stage works through forward and backward passes.

A step is (kind, micro-batch, chunk): "F" forward, "B" backward (all of it, or of the data where
"W", the weights' part, stands alone).

- gpipe: all forward, then all backward (arXiv:1811.06965). Bubble: (p - 1) / (m + p - 1).
- 1f1b: as many forward as stages lie behind, then one forward, one backward (PipeDream-Flush,
  arXiv:2006.09503). The same bubble, but at most p micro-batches alive.
- interleaved: v chunks of layers a rank (arXiv:2104.04473). Bubble (p - 1) / v forward and backward
  passes of a whole rank.
- zero-bubble: the weights' gradients fill the bubble (ZB-H1, arXiv:2401.10241).
"""

from __future__ import annotations

from functools import cache
from typing import TypeAlias

Step: TypeAlias = tuple[str, int, int]


def steps_of(schedule: str, stage: int, stages: int, batches: int, chunks: int = 1) -> list[Step]:
    """What a rank does, in order.

    Args:
        schedule: one of `lydite.cluster.plan.SCHEDULES`.
        stage, stages: the rank's place along the pipeline, and the pipeline's length.
        batches: micro-batches.
        chunks: model chunks a rank ("interleaved").
    """
    if schedule == "gpipe":
        return _gpipe(batches)
    if schedule == "interleaved":
        return _interleaved(stage, stages, batches, chunks)
    if schedule == "zero-bubble":
        return _zero_bubble(stage, stages, batches)
    return _one_forward_one_backward(stage, stages, batches)


def _gpipe(batches: int) -> list[Step]:
    forward: list[Step] = [("F", batch, 0) for batch in range(batches)]
    return forward + [("B", batch, 0) for batch in reversed(range(batches))]


def _one_forward_one_backward(stage: int, stages: int, batches: int) -> list[Step]:
    ahead = min(batches, stages - 1 - stage)
    found: list[Step] = [("F", batch, 0) for batch in range(ahead)]
    for batch in range(batches - ahead):
        found += [("F", ahead + batch, 0), ("B", batch, 0)]
    return found + [("B", batch, 0) for batch in range(batches - ahead, batches)]


def _zero_bubble(stage: int, stages: int, batches: int) -> list[Step]:
    """1F1B whose weight gradients wait as long as the stages before are waiting."""
    found: list[Step] = []
    done = waiting = 0
    for kind, batch, _ in _one_forward_one_backward(stage, stages, batches):
        found.append((kind, batch, 0))
        waiting += kind == "B"
        if kind == "B" and waiting > stage:
            found.append(("W", done, 0))
            done, waiting = done + 1, waiting - 1
    return found + [("W", batch, 0) for batch in range(done, batches)]


def _interleaved(stage: int, stages: int, batches: int, chunks: int) -> list[Step]:
    """Megatron-LM's: groups of `stages` micro-batches go through one chunk after the other."""
    total = batches * chunks
    warm = min(total, (stages - stage - 1) * 2 + (chunks - 1) * stages)

    def unit(index: int, *, forward: bool) -> Step:
        group, place = divmod(index, stages * chunks)
        chunk = place // stages
        batch = group * stages + place % stages
        return ("F", batch, chunk) if forward else ("B", batch, chunks - 1 - chunk)

    found = [unit(i, forward=True) for i in range(warm)]
    for i in range(total - warm):
        found += [unit(warm + i, forward=True), unit(i, forward=False)]
    return found + [unit(i, forward=False) for i in range(total - warm, total)]


@cache
def in_flight(schedule: str, stage: int, stages: int, batches: int, chunks: int = 1) -> int:
    """Most micro-batches (of one chunk each) whose activations a rank holds at once."""
    alive = most = 0
    frees = "W" if schedule == "zero-bubble" else "B"
    for kind, _, _ in steps_of(schedule, stage, stages, batches, chunks):
        alive += (kind == "F") - (kind == frees)
        most = max(most, alive)
    return most
