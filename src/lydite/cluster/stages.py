"""Pipeline stages: the blocks that each stage holds, and their costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from lydite.cluster.collectives import Group
from lydite.cluster.costs import BlockCost, Part, Weights
from lydite.cluster.overlap import Room
from lydite.cluster.plan import Plan
from lydite.records import dataclass

_PS = 1e12


@dataclass(frozen=True)
class CollectiveCall:
    """A collective between two kernels.

    Attributes:
        after: Number of kernels of the phase that come before it.
        group: Name of the group of ranks that takes part, such as "tp".
        steps: Number of messages that each rank sends in sequence.
        span_ps: Time of the collective, in picoseconds.
        wire_ps: Part of that time in which the links are busy, in picoseconds.
        kind: Kind of the collective, such as "AllReduce".
        algorithm: Name of its algorithm, such as "ring".
        hidden_ps: Time that it takes beyond `span_ps`, hidden behind products, in picoseconds.
    """

    after: int
    group: str
    steps: int
    span_ps: int
    wire_ps: int = 0
    kind: str = "AllReduce"
    algorithm: str = "ring"
    hidden_ps: int = 0

    @classmethod
    def of(cls, group: Group, name: str, kind: str, size: float, after: int = 0) -> CollectiveCall:
        """The collective of `kind` over `size` bytes in the group called `name`."""
        choice = group.choice(kind, size)
        span = round(choice.seconds * _PS)
        wire = min(span, round(choice.wire_s * _PS))
        steps = ring_steps(kind, group.ranks)
        return cls(after, name, steps, span, wire, kind, choice.algorithm)

    def and_then(self, other: CollectiveCall) -> CollectiveCall:
        """Both collectives in sequence, as one; it takes the links of the longer one."""
        longer = self if self.wire_ps >= other.wire_ps else other
        return replace(
            longer,
            steps=self.steps,
            span_ps=self.span_ps + other.span_ps,
            wire_ps=self.wire_ps + other.wire_ps,
            hidden_ps=self.hidden_ps + other.hidden_ps,
        )

    def behind(self, hidden_s: float) -> CollectiveCall:
        """The collective with some of its time hidden behind products."""
        hidden = min(self.span_ps, round(hidden_s * _PS))
        left = self.span_ps - hidden
        return replace(
            self, span_ps=left, wire_ps=min(self.wire_ps, left), hidden_ps=self.hidden_ps + hidden
        )


@dataclass(frozen=True)
class Phase:
    """Kernels and collectives of a layer in one phase of a micro-batch.

    Attributes:
        work_ps: Time of all kernels in picoseconds, launch overhead included.
        sent: Collectives between the kernels, with the time that no computation hides.
        kernels_ps: Time of each kernel in picoseconds; their sum is `work_ps`.
        launch_s: Seconds by which launching the kernels takes longer than running them.
    """

    work_ps: int = 0
    sent: tuple[CollectiveCall, ...] = ()
    kernels_ps: tuple[int, ...] = ()
    launch_s: float = 0.0

    @cached_property
    def sent_ps(self) -> int:
        """Time of all collectives in picoseconds."""
        return sum(sent.span_ps for sent in self.sent)

    @cached_property
    def hidden_ps(self) -> int:
        """Time of collectives that is hidden behind products, in picoseconds."""
        return sum(sent.hidden_ps for sent in self.sent)

    @cached_property
    def seconds(self) -> float:
        """Time of kernels and collectives in seconds."""
        return (self.work_ps + self.sent_ps) * 1e-12

    def and_then(self, other: Phase) -> Phase:
        """Both phases in sequence, as one."""
        later = tuple(replace(c, after=c.after + len(self.kernels_ps)) for c in other.sent)
        return Phase(
            self.work_ps + other.work_ps,
            (*self.sent, *later),
            (*self.kernels_ps, *other.kernels_ps),
            self.launch_s + other.launch_s,
        )


NOTHING = Phase()


@dataclass(frozen=True)
class Unit:
    """One layer (or head, or tail) on a rank, for one micro-batch.

    Attributes:
        name: Name of the layer, such as "layer 17".
        forward, recompute, data, weights, optimizer: Phases of the layer: forward pass,
            recomputation, gradients of data, gradients of weights, update.
        held: Weights by the group that replicates them: "dp", or "edp" for experts.
        saved_bytes: Activations that one micro-batch keeps for the backward pass.
        kept_bytes: Part of `saved_bytes` that is still kept under the plan's recomputation.
        again_bytes: Bytes that recomputation adds when the layer's backward pass begins.
        freed_bytes: Bytes that are freed when the layer's backward pass ends.
        boundary_bytes: Largest tensor that the layer passes on.
        cache_bytes: Keys and values kept for the tokens to come.
        peak_bytes: Largest inputs and outputs of a single operator, weights excluded.
        flops: FLOPs of the forward pass, and of forward and backward pass without recomputation.
        cost: Block cost that the unit was made from.
    """

    name: str
    forward: Phase
    data: Phase
    weights: Phase
    cost: BlockCost
    optimizer: Phase = NOTHING
    recompute: Phase = NOTHING
    held: Mapping[str, Weights] = field(default_factory=dict)
    saved_bytes: float = 0.0
    kept_bytes: float = 0.0
    again_bytes: float = 0.0
    freed_bytes: float = 0.0
    boundary_bytes: float = 0.0
    cache_bytes: float = 0.0
    flops: tuple[float, float] = (0.0, 0.0)
    peak_bytes: float = 0.0

    @cached_property
    def weight_bytes(self) -> float:
        """Size in bytes of all weights of the layer on this rank."""
        return sum(weights.bytes for weights in self.held.values())

    @property
    def phases(self) -> tuple[Phase, Phase, Phase, Phase]:
        """The phases of a micro-batch."""
        return self.forward, self.recompute, self.data, self.weights

    @cached_property
    def backward_s(self) -> float:
        """Time in seconds of the backward pass, without recomputation."""
        return self.data.seconds + self.weights.seconds


def units_of(
    costs: Sequence[BlockCost],
    plan: Plan,
    groups: Mapping[str, Group],
    *,
    dispatch_s: float,
    ahead: bool = True,
) -> list[Unit]:
    """One unit per block, in order; a repeated block yields one unit per repetition.

    Args:
        costs: Cost of each block.
        plan: Plan whose recomputation applies (in a model with layers only to the layers, not to
            its head and tail), and whose overlap of tensor-parallel messages.
        groups: Communication groups by name.
        dispatch_s: Time in seconds in which the host launches an operator or a collective; a
            device that is faster waits for the host.
        ahead: Whether the host launches ahead while the device is busy.
    """
    units: list[Unit] = []
    repeats = any(cost.block.count > 1 for cost in costs)
    for cost in costs:
        again = plan.recompute if cost.block.count > 1 or not repeats else "none"
        unit = _unit(cost, again, groups, dispatch_s, ahead, plan.overlap_tensor)
        for number in range(cost.block.count):
            name = cost.block.name if cost.block.count == 1 else f"{cost.block.name} {number}"
            units.append(replace(unit, name=name))
    return units


def _unit(
    cost: BlockCost,
    recompute: str,
    groups: Mapping[str, Group],
    dispatch_s: float,
    ahead: bool,
    overlap: bool,
) -> Unit:
    made = {
        name: _phase(part, groups, dispatch_s, ahead, overlap) for name, part in cost.parts.items()
    }
    again = {"none": NOTHING, "selective": made["again"], "full": made["forward"]}[recompute]
    kept = {
        "none": cost.saved_bytes,
        "selective": cost.saved_bytes - cost.attention_bytes,
        "full": cost.boundary_bytes,
    }[recompute]
    flops = {name: part.flops for name, part in cost.parts.items()}
    return Unit(
        cost.block.name,
        made["forward"],
        made["data"],
        made["weights"],
        cost,
        made["optimizer"],
        again,
        cost.held,
        cost.saved_bytes,
        kept,
        max(0.0, cost.saved_bytes - kept),
        max(cost.saved_bytes, kept),
        cost.boundary_bytes,
        cost.cache_bytes,
        (flops["forward"], flops["forward"] + flops["data"] + flops["weights"]),
        cost.peak_bytes,
    )


def ring_steps(kind: str, ranks: int) -> int:
    """Number of messages that each rank of a ring sends in sequence in a collective."""
    return (2 if kind == "AllReduce" else 1) * (ranks - 1)


def _phase(
    part: Part, groups: Mapping[str, Group], dispatch_s: float, ahead: bool, overlap: bool
) -> Phase:
    room, sent = Room(part.kernels), list[CollectiveCall]()
    for m in part.messages:
        ranks = groups[m.group].ranks
        if ranks > 1:
            call = CollectiveCall.of(groups[m.group], m.group, m.kind, m.bytes, m.after)
            if overlap and m.group == "tp":
                call = call.behind(room.hidden_s(call.span_ps / _PS, m.beside, ranks))
            sent.append(call)
    waiting = sum(call.span_ps for call in sent) / _PS
    if ahead:  # the host also launches while the device works, not only while ranks wait
        late = (len(part.kernels) + len(sent)) * dispatch_s - part.seconds - waiting
    else:
        late = sum(max(0.0, dispatch_s - seconds) for seconds in part.kernels) - waiting
    late = max(0.0, late) if part.kernels else 0.0
    total = round((part.seconds + late) * _PS)
    pace = total / part.seconds if part.seconds else 0.0
    reach = np.rint(np.cumsum([0.0, *part.kernels]) * pace).astype(np.int64)
    if part.kernels:
        reach[-1] = total  # corrects the sum's rounding error
    return Phase(total, tuple(sent), tuple(np.diff(reach).tolist()), late)


def partition_stages(units: Sequence[Unit], stages: int) -> list[list[Unit]]:
    """Units by stage: layers distributed evenly, head in the first stage, tail in the last."""
    layers = [i for i, unit in enumerate(units) if unit.cost.block.count > 1]
    if not layers:
        edges = [len(units) * s // stages for s in range(stages + 1)]
        return [list(units[a:b]) for a, b in pairwise(edges)]
    first, count = layers[0], len(layers)
    edges = [first + count * s // stages for s in range(stages + 1)]
    edges[0], edges[-1] = 0, len(units)
    return [list(units[a:b]) for a, b in pairwise(edges)]
