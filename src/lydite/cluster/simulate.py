"""A step of a model on a cluster: from graph, cluster and plan to time, memory, energy and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lydite.cluster.blocks import in_blocks
from lydite.cluster.collectives import Group, group_of, link_between
from lydite.cluster.costs import PARTS, BlockCost, block_costs
from lydite.cluster.memory import memory_by_stage, states_of
from lydite.cluster.plan import Plan, checked
from lydite.cluster.stages import Unit, shared_out, units_of
from lydite.cluster.tasks import CATEGORIES, Played, step_tasks
from lydite.cluster.tensor import tensor_parallel
from lydite.engine import Timeline
from lydite.engine import simulate as play
from lydite.errors import InputError
from lydite.estimate.base import Estimator
from lydite.graph import Graph
from lydite.graph.training import OPTIMIZERS, training_step
from lydite.graph.training.losses import usual_loss
from lydite.graph.training.step import with_loss
from lydite.hardware.cluster import Cluster

DISPATCH_S = 4e-6
"""What launching an operator takes on the host's processor (assumed)."""


@dataclass(frozen=True)
class StepResult:
    """What a step takes.

    Attributes:
        model, cluster, plan: what was simulated.
        seconds, low, high: of the step; the bounds are those of the operators' estimates.
        timeline, played: one rank of each pipeline stage, task by task.
        breakdown_s: seconds of the step by what they went to, mean over the stages: compute by
            phase, communication that nothing hides, bubble, launches.
        hidden_s: communication behind computation, mean over the stages.
        memory: bytes by kind on a rank of each stage.
        capacity_bytes: of a device.
        flops: of the model in a step over all ranks, without recomputation.
        by_source: share of the operators' time by where the estimate comes from.
        samples: of a step.
    """

    model: str
    cluster: Cluster
    plan: Plan
    seconds: float
    low: float
    high: float
    timeline: Timeline
    played: Played
    breakdown_s: Mapping[str, float]
    hidden_s: float
    memory: Sequence[Mapping[str, float]]
    capacity_bytes: float
    flops: float
    by_source: Mapping[str, float]
    samples: int
    dtype: str = "float32"

    @property
    def critical_s(self) -> dict[str, float]:
        """Seconds by category along the critical path: what would have to be faster."""
        found: dict[str, float] = {}
        for task in self.timeline.critical_path():
            category = CATEGORIES[self.played.tasks.category[task]]
            seconds = float(self.timeline.span_ps[task]) * 1e-12
            found[category] = found.get(category, 0.0) + seconds
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    @property
    def mfu(self) -> float:
        """Model FLOPs over what all devices could do in that time (PaLM, arXiv:2204.02311)."""
        peak = self.cluster.device.peak(self.dtype) * self.plan.ranks
        return self.flops / (self.seconds * peak)

    @property
    def peak_memory_bytes(self) -> float:
        """On the fullest rank."""
        return max(sum(stage.values()) for stage in self.memory)

    @property
    def fits(self) -> bool:
        """Whether every rank has room."""
        return self.peak_memory_bytes <= self.capacity_bytes

    @property
    def energy_j(self) -> float | None:
        """At rated power, host and data centre included where known; modelled, not measured."""
        economics, device = self.cluster.economics, self.cluster.device
        if economics.host_power_w is not None:
            watts = economics.host_power_w / self.cluster.devices_per_host
        elif device.power_w is not None:
            watts = device.power_w
        else:
            return None
        return watts * (economics.pue or 1.0) * self.plan.ranks * self.seconds

    @property
    def cost_usd(self) -> float | None:
        """At the price of a device hour, where one is given."""
        price = self.cluster.economics.price_per_device_hour_usd
        return None if price is None else price * self.plan.ranks * self.seconds / 3600

    @property
    def co2_kg(self) -> float | None:
        """Of the energy, where the grid's intensity is given."""
        grid, energy = self.cluster.economics.grid_kg_per_kwh, self.energy_j
        return None if grid is None or energy is None else grid * energy / 3.6e6


def simulate_step(
    graph: Graph, cluster: Cluster, plan: Plan, estimator: Estimator, *,
    loss: str | None = None, optimizer: str | None = "adam", dispatch_s: float = DISPATCH_S,
) -> StepResult:  # fmt: skip
    """Simulate a training step, or a forward pass where `optimizer` is None.

    Ranks with the same work are played once: one rank of each pipeline stage stands for all data-
    and tensor-parallel ones.

    Args:
        graph: the net in inference, at the micro-batch's size.
        cluster: where.
        plan: how it is shared out.
        estimator: who says how long an operator takes on a device of the cluster.
        loss, optimizer: as `training_step`.
        dispatch_s: seconds that launching one operator takes.

    Raises:
        InputError: the plan does not divide or fits no cluster, or an operator is unknown.
        GraphError: the net cannot be trained or shared out.
    """
    training = optimizer is not None
    units, costs, dtype = rank_units(graph, cluster, plan, estimator, loss, optimizer, dispatch_s)
    stages = shared_out(units, plan.pp * plan.chunks)
    groups = groups_of(cluster, plan)
    played = step_tasks(stages, plan, groups["dp"], groups["pp"], training=training)
    timeline = play(played.tasks, played.servers)
    seconds = timeline.makespan_ps * 1e-12
    spread = _spread(costs)
    states = states_of(dtype, len(OPTIMIZERS[optimizer].states) if optimizer else 0)
    memory = memory_by_stage(stages, plan, states, training=training)
    breakdown, hidden = _breakdown(timeline, plan, stages)
    model_flops = sum(unit.flops[1 if training else 0] for unit in units)
    return StepResult(
        graph.name, cluster, plan, seconds, seconds * spread[0], seconds * spread[1],
        timeline, played, breakdown, hidden, memory, cluster.device.memory_bytes,
        model_flops * plan.tp * plan.dp * plan.micro_batches, _sources(costs), plan.samples, dtype,
    )  # fmt: skip


def rank_units(
    graph: Graph, cluster: Cluster, plan: Plan, estimator: Estimator, loss: str | None,
    optimizer: str | None, dispatch_s: float = DISPATCH_S,
) -> tuple[list[Unit], list[BlockCost], str]:  # fmt: skip
    """A rank's layers, what they were made from, and the weights' dtype; see `simulate_step`."""
    blocks = in_blocks(graph, plan.pp * plan.chunks)
    layers = max(block.count for block in blocks.blocks)
    checked(plan, cluster.ranks, layers if layers > 1 else len(blocks.blocks))
    short, step = blocks.graph, None
    if optimizer is not None:
        kind = loss or usual_loss([short.type_of(name) for name in short.outputs])
        short = with_loss(short, kind)
    short = tensor_parallel(short, plan.tp, sequence=plan.sequence_parallel)
    if optimizer is not None:
        step = training_step(short, loss="given", optimizer=optimizer)
    whole = step.graph if step is not None else short
    costs = block_costs(blocks, step, whole, estimator, cluster.device)
    floats = [graph.type_of(name).dtype for name in graph.parameters]
    dtype = max(set(floats), key=floats.count) if floats else "float32"
    wire = 4.0 if dtype in ("float16", "bfloat16") else None
    groups = {"tp": groups_of(cluster, plan)["tp"]}
    units = units_of(costs, plan, groups, dispatch_s=dispatch_s, gradient_bytes_each=wire)
    return units, costs, dtype


def groups_of(cluster: Cluster, plan: Plan) -> dict[str, Group]:
    """Who talks with whom: neighbours are tensor-parallel, then data-, then pipeline-parallel.

    Rank = tp index + tp * (dp index + dp * stage), as Megatron-LM places them.
    """
    tp, dp, pp = plan.tp, plan.dp, plan.pp
    host = cluster.devices_per_host
    tensor = [[first + i for i in range(tp)] for first in range(0, min(host, tp * dp), tp)]
    data = [[first + tp * i for i in range(dp)] for first in range(min(tp, host))]
    found = {"tp": group_of(cluster, tensor or [[0]]), "dp": group_of(cluster, data)}
    found["pp"] = Group(1, float("inf"), 0.0)
    if pp > 1:
        senders = list(range(min(tp * dp, host)))
        found["pp"] = link_between(cluster, senders, [rank + tp * dp for rank in senders])
    return found


def _spread(costs: Sequence[BlockCost]) -> tuple[float, float]:
    """The operators' bounds over their sum."""
    parts = [(part, cost.block.count) for cost in costs for part in cost.parts.values()]
    total = sum(part.seconds * count for part, count in parts)
    if not total:
        return 1.0, 1.0
    low = sum(part.low * count for part, count in parts) / total
    return low, sum(part.high * count for part, count in parts) / total


def _sources(costs: Sequence[BlockCost]) -> dict[str, float]:
    found: dict[str, float] = {}
    for cost in costs:
        for name in PARTS:
            for source, seconds in cost.parts[name].by_source.items():
                found[source] = found.get(source, 0.0) + seconds * cost.block.count
    total = sum(found.values()) or 1.0
    return {source: seconds / total for source, seconds in found.items()}


_COMPUTE = tuple(CATEGORIES.index(name) for name in ("forward", "backward", "weights", "optimizer"))


def _breakdown(
    timeline: Timeline, plan: Plan, stages: Sequence[Sequence[Unit]]
) -> tuple[dict[str, float], float]:
    """Seconds by what they went to, mean over ranks, and what communication was hidden."""
    names = ("forward", "backward", "weights", "optimizer", "tensor", "data", "pipeline", "bubble")
    found: dict[str, float] = {name: 0.0 for name in names}
    hidden, ranks, per_rank = 0.0, plan.pp, len(timeline.servers) // plan.pp
    tensor, data, pipe = (CATEGORIES.index(n) for n in ("tensor", "data", "pipeline"))
    for rank in range(ranks):
        own = list(range(rank * per_rank, (rank + 1) * per_rank))
        spent = 0.0
        for name in ("forward", "backward", "weights", "optimizer"):
            seconds = timeline.covered_ps(CATEGORIES.index(name), own) * 1e-12
            found[name] += seconds / ranks
            spent += seconds
        behind = [*_COMPUTE]
        for name, category in (("tensor", tensor), ("data", data), ("pipeline", pipe)):
            seconds = timeline.exposed_ps(category, behind, own) * 1e-12
            found[name] += seconds / ranks
            hidden += (timeline.covered_ps(category, own) * 1e-12 - seconds) / ranks
            behind.append(category)
            spent += seconds
        found["bubble"] += (timeline.makespan_ps * 1e-12 - spent) / ranks
    launch = sum(u.launch_s for units in stages for u in units) * plan.micro_batches / plan.pp
    found["of it launches"] = launch
    return found, hidden


def fitting(result: StepResult) -> str:
    """By how much a plan misses the memory, and what would make it fit; "" where it fits."""
    if result.fits:
        return ""
    over = result.peak_memory_bytes - result.capacity_bytes
    worst = max(result.memory, key=lambda stage: sum(stage.values()))
    largest = max(worst, key=lambda kind: worst[kind])
    advice = {
        "activations": "--recompute full, a smaller --micro-batch or more --tp",
        "optimizer": "--zero 1, or more --tp or --pp",
        "gradients": "--zero 2, or more --tp or --pp",
        "weights": "--zero 3, or more --tp or --pp",
        "buffers": "more --tp or --pp",
        "cache": "a shorter --context, a smaller --batch or more --tp",
    }[largest]
    return f"{over / 2**30:.1f} GiB more than a device has; {largest} are the most: {advice}"


def require_fit(result: StepResult) -> StepResult:
    """The result, if every rank has room.

    Raises:
        InputError: it has not (by how much, and what would help).
    """
    missing = fitting(result)
    if missing:
        raise InputError(f"does not fit: {missing}", where=result.model)
    return result
