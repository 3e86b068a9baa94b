"""Stages of a pipeline: which blocks each holds, and what they cost there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from lydite.cluster.collectives import Group
from lydite.cluster.costs import BlockCost, Part
from lydite.cluster.plan import Plan

_PS = 1e12


@dataclass(frozen=True)
class Unit:
    """One layer (or head, or tail) on a rank, for one micro-batch.

    Attributes:
        name: "layer 17".
        forward_ps, data_ps, weights_ps, optimizer_ps: of its operators, launches included.
        forward_tensor_ps, data_tensor_ps: of the collectives inside, which nothing hides.
        gradient_bytes: of its weights, as they are sent.
        weight_bytes, parameters: of its weights on this rank.
        saved_bytes: what a micro-batch leaves for the backward pass.
        boundary_bytes: what it hands on.
        cache_bytes: keys and values that it keeps.
        flops: forward, and forward and backward without recomputation.
        launch_s: by how much launches are longer than the work, forward and backward.
        cost: what it was made from.
    """

    name: str
    forward_ps: int
    forward_tensor_ps: int
    data_ps: int
    data_tensor_ps: int
    weights_ps: int
    optimizer_ps: int
    gradient_bytes: float
    weight_bytes: float
    parameters: int
    saved_bytes: float
    boundary_bytes: float
    cache_bytes: float
    flops: tuple[float, float]
    launch_s: float
    cost: BlockCost


def units_of(
    costs: Sequence[BlockCost], plan: Plan, groups: Mapping[str, Group], *, dispatch_s: float,
    gradient_bytes_each: float | None = None,
) -> list[Unit]:  # fmt: skip
    """All blocks in order, repetitions written out.

    Args:
        costs: by block.
        plan: recomputation adds a forward pass to the backward pass.
        groups: who talks, by the messages' group.
        dispatch_s: what launching an operator takes on the processor; a device that is faster
            than that waits.
        gradient_bytes_each: bytes of a gradient's element on the wire; None for the weight's own.
    """
    found: list[Unit] = []
    for cost in costs:
        unit = _unit(cost, plan, groups, dispatch_s, gradient_bytes_each)
        for number in range(cost.block.count):
            name = cost.block.name if cost.block.count == 1 else f"{cost.block.name} {number}"
            found.append(replace(unit, name=name))
    return found


def _unit(
    cost: BlockCost, plan: Plan, groups: Mapping[str, Group], dispatch_s: float,
    gradient_bytes_each: float | None,
) -> Unit:  # fmt: skip
    parts = cost.parts
    work = {name: max(part.seconds, part.operators * dispatch_s) for name, part in parts.items()}
    sent = {name: _sent(part, groups) for name, part in parts.items()}
    again = plan.recompute == "full"
    weight_bytes = sum(cost.weights)
    gradient = weight_bytes if gradient_bytes_each is None else (
        cost.parameters * gradient_bytes_each
    )  # fmt: skip
    flops = parts["forward"].flops
    return Unit(
        cost.block.name, _ps(work["forward"]), _ps(sent["forward"]),
        _ps(work["data"] + (work["forward"] if again else 0)),
        _ps(sent["data"] + (sent["forward"] if again else 0)),
        _ps(work["weights"] + sent["weights"]), _ps(work["optimizer"]),
        gradient, weight_bytes, cost.parameters,
        cost.saved_bytes, cost.boundary_bytes, cost.cache_bytes,
        (flops, flops + parts["data"].flops + parts["weights"].flops),
        sum(work[n] - parts[n].seconds for n in ("forward", "data", "weights")), cost,
    )  # fmt: skip


def _sent(part: Part, groups: Mapping[str, Group]) -> float:
    return sum(groups[m.group].seconds(m.kind, m.bytes) for m in part.messages)


def _ps(seconds: float) -> int:
    return round(seconds * _PS)


def shared_out(units: Sequence[Unit], stages: int) -> list[list[Unit]]:
    """Units by stage: layers as evenly as they divide, head first and tail last."""
    layers = [i for i, unit in enumerate(units) if unit.cost.block.count > 1]
    if not layers:
        edges = [len(units) * s // stages for s in range(stages + 1)]
        return [list(units[a:b]) for a, b in pairwise(edges)]
    first, count = layers[0], len(layers)
    edges = [first + count * s // stages for s in range(stages + 1)]
    edges[0], edges[-1] = 0, len(units)
    return [list(units[a:b]) for a, b in pairwise(edges)]
