"""Memory of a rank in bytes, by kind."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from lydite.cluster.plan import Plan
from lydite.cluster.schedules import SCHEDULES, steps_of
from lydite.cluster.stages import Unit
from lydite.records import dataclass

KINDS = ("weights", "gradients", "optimizer", "activations", "cache", "buffers")


@dataclass(frozen=True)
class States:
    """Bytes kept per parameter besides the weight itself.

    Attributes:
        gradient: Bytes of the gradient per parameter.
        optimizer: Bytes of the optimiser's states and, in half precision, the master weight, per
            parameter.
    """

    gradient: float
    optimizer: float


def states_of(dtype: str, states: float) -> States:
    """Bytes per parameter of gradients and optimiser states.

    Mixed precision keeps float32 master weights, states and sums of gradients (arXiv:1710.03740).

    Args:
        dtype: Data type of the weights.
        states: Bytes that the optimiser keeps per parameter, over those of a float32.
    """
    half = dtype in ("float16", "bfloat16")
    return States(4.0, 4.0 * states + (4.0 if half else 0.0))


def memory_by_stage(
    stages: Sequence[Sequence[Unit]], plan: Plan, states: States, *, training: bool = True
) -> list[dict[str, float]]:
    """Bytes by kind on a rank of each pipeline stage.

    Args:
        stages: Units of each virtual stage; rank s holds stages s, s + pp, ...
        plan: Plan whose ZeRO stage, schedule and recomputation apply.
        states: Bytes per parameter of gradients and optimiser states.
        training: Whether the step trains; else only weights and activations of one micro-batch
            count.
    """
    return [memory_of_rank(stages, plan, states, rank, training) for rank in range(plan.pp)]


def memory_of_rank(
    stages: Sequence[Sequence[Unit]], plan: Plan, states: States, rank: int, training: bool = True
) -> dict[str, float]:
    """Bytes by kind on a rank of one pipeline stage; arguments as for `memory_by_stage`."""
    units = [unit for units in stages[rank :: plan.pp] for unit in units]
    memory = states_of_rank(units, plan, states, training)
    if not training:
        memory["activations"] = max(
            (max(unit.boundary_bytes, unit.peak_bytes) for unit in units), default=0.0
        )
        memory["cache"] = sum(unit.cache_bytes for unit in units)
        return memory
    memory["activations"] = peak_activations(stages, plan, rank)
    return memory


def states_of_rank(
    units: Sequence[Unit], plan: Plan, states: States, training: bool = True
) -> dict[str, float]:
    """Bytes of weights, gradients, optimiser states and buffers of a rank that holds these units.

    The other kinds are 0.
    """
    largest = max((unit.weight_bytes for unit in units), default=0.0)
    memory: dict[str, float] = {kind: 0.0 for kind in KINDS}
    memory["buffers"] = 2 * largest if plan.zero == 3 else 0.0
    shares = {
        group: [plan.shard_count(group) if plan.zero >= level else 1 for level in (3, 2, 1)]
        for group in {group for unit in units for group in unit.held}
    }
    for group, held in ((g, h) for unit in units for g, h in unit.held.items()):
        share = shares[group]
        memory["weights"] += held.bytes / share[0]
        if training:
            memory["gradients"] += held.parameters * states.gradient / share[1]
            memory["optimizer"] += held.parameters * states.optimizer / share[2]
    if plan.offload != "none":
        memory["optimizer"] = 0.0
    if plan.offload == "parameters":
        memory["weights"] = 0.0
    return memory


def peak_activations(stages: Sequence[Sequence[Unit]], plan: Plan, rank: int) -> float:
    """Peak bytes of activations over the rank's schedule.

    Recomputed layers keep only the inputs of recomputation. Recomputed activations are freed after
    the layer's backward pass, or where weight gradients are deferred, after those.
    """
    chunks = stages[rank :: plan.pp]
    again = [[unit.again_bytes for unit in units] for units in chunks]
    sizes = [sum(unit.kept_bytes for unit in units) for units in chunks]
    sizes += [sum(each) for each in again] + [max(each, default=0.0) for each in again]
    held = _held(plan.schedule, rank, plan.pp, plan.micro_batches, plan.chunks)
    return float((held @ sizes).max(initial=0.0))


@cache
def _held(schedule: str, rank: int, stages: int, batches: int, chunks: int) -> np.ndarray:
    """What a rank holds during its steps, each state once.

    Returns:
        int64[states, 3 * chunks], per chunk: how often what a forward pass keeps, how often what
        all its layers recompute, and whether what the largest of them does.
    """
    waits = SCHEDULES.find(schedule).splits_backward
    kept, again, largest = (
        [1 << _BITS * (kind * chunks + chunk) for chunk in range(chunks)] for kind in range(3)
    )
    now, states = 0, set[int]()  # the counts as the digits of one number
    for pass_type, _, chunk in steps_of(schedule, rank, stages, batches, chunks):
        if pass_type == "F":
            now += kept[chunk]
            states.add(now)
        elif pass_type == "B" and waits:
            now += again[chunk]
            states.add(now)
        elif pass_type == "B":
            states.add(now + largest[chunk])
            now -= kept[chunk]
        else:
            now -= kept[chunk] + again[chunk]
    size = 3 * chunks * _BITS // 8
    digits = b"".join(state.to_bytes(size, "little") for state in sorted(states))
    return np.frombuffer(digits, "<u4").astype(np.int64).reshape(len(states), 3 * chunks)


_BITS = 32
"""Bits of a count of micro-batches."""
