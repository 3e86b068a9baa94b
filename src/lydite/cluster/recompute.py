"""Recomputation of some layers of a stage, as Megatron-LM's --recompute-method has it.

- block: the first N layers of each stage (of each model chunk) are recomputed one by one, the
  others keep their activations.
- uniform: layers are recomputed in groups of N. Of each group only the input is kept, and the
  activations of the whole group are there at once in its backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

from lydite.cluster.plan import Plan
from lydite.cluster.stages import NOTHING, Phase, Unit, partition_stages


def stages_of(units: Sequence[Unit], plan: Plan) -> list[list[Unit]]:
    """Units by virtual stage, of which only those recompute that the plan's method selects.

    Args:
        units: Units of the model, in order, each with the plan's recomputation.
        plan: Plan whose stages, chunks and method of recomputation apply.
    """
    stages = partition_stages(units, plan.pp * plan.chunks)
    if plan.recompute_method == "block":
        return [_block(stage, plan.recompute_num_layers) for stage in stages]
    if plan.recompute_method == "uniform":
        return [_uniform(stage, plan.recompute_num_layers) for stage in stages]
    return stages


def _block(stage: Sequence[Unit], count: int) -> list[Unit]:
    """The stage with all but its first `count` layers keeping their activations."""
    units = list(stage)
    for at in _recomputed(stage)[count:]:
        saved = units[at].saved_bytes
        units[at] = replace(
            units[at], recompute=NOTHING, kept_bytes=saved, again_bytes=0.0, freed_bytes=saved
        )
    return units


def _uniform(stage: Sequence[Unit], count: int) -> list[Unit]:
    """The stage with its layers recomputed in groups, each when the last one's gradients begin."""
    units, layers = list(stage), _recomputed(stage)
    for start in range(0, len(layers), count):
        group = layers[start : start + count]
        first, last = group[0], group[-1]
        whole = reduce(Phase.and_then, (units[at].recompute for at in group))
        kept = units[first].kept_bytes
        freed = {at: max(units[at].saved_bytes, kept if at == first else 0.0) for at in group}
        for at in group:
            units[at] = replace(
                units[at],
                recompute=whole if at == last else NOTHING,
                kept_bytes=kept if at == first else 0.0,
                again_bytes=sum(freed.values()) - kept if at == last else 0.0,
                freed_bytes=freed[at],
            )
    return units


def _recomputed(stage: Sequence[Unit]) -> list[int]:
    """Positions of the units that the plan recomputes."""
    return [at for at, unit in enumerate(stage) if unit.recompute is not NOTHING]
