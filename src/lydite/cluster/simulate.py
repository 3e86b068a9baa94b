"""Simulation of a step on a cluster: time, memory, energy and cost from graph and plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lydite.cluster.blocks import in_blocks
from lydite.cluster.collectives import Group, group_of, link_between, with_measured
from lydite.cluster.constants import ASSUMED, Constants
from lydite.cluster.costs import PARTS, BlockCost, Outline, outline, timed
from lydite.cluster.memory import memory_by_stage, states_of
from lydite.cluster.plan import Plan, checked
from lydite.cluster.program import CATEGORIES, SENT, STREAMS, WORK, Played, folded
from lydite.cluster.program import unfolded as all_ranks
from lydite.cluster.seen import widened
from lydite.cluster.stages import Unit, partition_stages, units_of
from lydite.cluster.tasks import step_programs
from lydite.cluster.tensor import rank_share
from lydite.cluster.tokens import context_parallel, expert_parallel
from lydite.cluster.wiring import wiring_of
from lydite.engine import Interference, Timeline
from lydite.engine import simulate as play
from lydite.errors import InputError, unknown_name
from lydite.estimate.base import Estimator
from lydite.estimate.runtimes import Runtime, find_runtime, usual_runtime
from lydite.graph import Graph, work_of
from lydite.graph.passes.attention import written_out
from lydite.graph.training import OPTIMIZERS, training_step
from lydite.graph.training.losses import usual_loss
from lydite.graph.training.step import with_loss
from lydite.hardware import Device
from lydite.hardware.cluster import Cluster
from lydite.results import OneLine
from lydite.units import format_seconds

NETWORKS = ("closed", "links")
"""How long collectives take: closed forms, or messages that share the cluster's links."""


@dataclass(frozen=True, repr=False)
class StepResult(OneLine):
    """Result of simulating one step.

    Attributes:
        model: Name of the model.
        cluster: Cluster that was simulated.
        plan: Parallel plan of the step.
        seconds: Time of the step in seconds.
        low, high: Bounds on that time in seconds, from the bounds of the operators' estimates.
        timeline, played: Start and end of every simulated task, and the tasks themselves.
        breakdown_s: Seconds of the step by category, averaged over the stages: compute by phase,
            exposed communication, pipeline bubble, launches.
        hidden_s: Communication in seconds that overlaps with computation, averaged over the stages.
        memory: Bytes by kind on one rank of each stage.
        capacity_bytes: Memory of one device in bytes.
        flops: Model FLOPs of a step over all ranks, without recomputation.
        by_source: Share of the operators' time by source of the estimate.
        samples: Number of samples in a step.
        dtype: Data type of the weights.
        constants: Host, framework and device constants used.
        stages: Units of each virtual stage.
        groups: Communication groups by name.
        arithmetic: Data type of most of the arithmetic; MFU refers to the device's peak for it.
        computed_whole: Number of operators by type that every tensor-parallel rank computes in
            full, because no rule says how to split them along the axis that divides their inputs.
        runtime: Name of the runtime that launched and fused.
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
    constants: Constants = ASSUMED
    stages: Sequence[Sequence[Unit]] = ()
    groups: Mapping[str, Group] = field(default_factory=dict)
    arithmetic: str = "float32"
    computed_whole: Mapping[str, int] = field(default_factory=dict)
    runtime: str = ""

    @property
    def network(self) -> str:
        """How collectives were timed, one of `NETWORKS`."""
        return "closed" if self.played.network is None else "links"

    @property
    def folded(self) -> bool:
        """Whether one simulated rank of each stage represented all ranks of the stage."""
        return self.played.ranks < self.plan.ranks

    @property
    def critical_s(self) -> dict[str, float]:
        """Seconds by category along the critical path."""
        path = self.timeline.critical_path()
        category = self.played.tasks.category[path]
        seconds = np.bincount(category, self.timeline.span_ps[path] * 1e-12, len(CATEGORIES))
        by_category = {CATEGORIES[at]: float(seconds[at]) for at in np.unique(category).tolist()}
        return dict(sorted(by_category.items(), key=lambda item: -item[1]))

    @property
    def mfu(self) -> float:
        """Model FLOPs utilisation: model FLOPs over the devices' peak in the same time, a share.

        Definition: PaLM, arXiv:2204.02311, appendix B.
        """
        peak = self.cluster.device.peak(self.arithmetic) * self.plan.ranks
        return self.flops / (self.seconds * peak) if self.seconds else 0.0

    @property
    def peak_memory_bytes(self) -> float:
        """Peak memory in bytes of the rank that needs most."""
        return max(sum(stage.values()) for stage in self.memory)

    @property
    def computation_s(self) -> float:
        """Seconds of all operators of the busiest stage, without launches and messages."""
        passes, stages = self.plan.micro_batches, self.plan.pp
        return max(
            sum(
                passes * sum(phase.work_ps * 1e-12 - phase.launch_s for phase in unit.phases)
                + unit.optimizer.work_ps * 1e-12
                for virtual in self.stages[stage::stages]
                for unit in virtual
            )
            for stage in range(stages)
        )

    @property
    def fits(self) -> bool:
        """Whether every rank fits into the memory of its device."""
        return self.peak_memory_bytes <= self.capacity_bytes

    @property
    def energy_j(self) -> float | None:
        """Energy of the step in joules at rated power; None where the power is unknown.

        Includes host and data-centre overhead where they are given. Modelled, not measured.
        """
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
        """Cost of the step in US dollars; None without a price per device hour."""
        price = self.cluster.economics.price_per_device_hour_usd
        return None if price is None else price * self.plan.ranks * self.seconds / 3600

    @property
    def co2_kg(self) -> float | None:
        """CO2 emissions of the step in kilograms; None without a carbon intensity of the grid."""
        grid, energy = self.cluster.economics.grid_kg_per_kwh, self.energy_j
        return None if grid is None or energy is None else grid * energy / 3.6e6

    def headline(self) -> str:
        """Time of the step with its bounds, in one line."""
        low, high = format_seconds(self.low), format_seconds(self.high)
        where = f"{self.model} on {self.cluster.name}"
        if not self.fits:
            seconds = format_seconds(self.seconds)
            return f"{where}: does not fit, {fitting(self)} (with room {seconds} a step)"
        return f"{where}: {format_seconds(self.seconds)} a step ({low} to {high}), modelled"


@dataclass(frozen=True)
class RankStep:
    """One rank's part of a step before its operators are timed.

    Attributes:
        name: Name of the model.
        shape: Blocks, operators and messages of the rank.
        training: Whether it is a training step.
        dtype: Data type of the weights.
        states: Bytes that the optimiser keeps per parameter, over those of a float32.
        forward_flops: FLOPs of the whole model's forward pass for one micro-batch.
        runtime: Runtime that launches and fuses.
        computed_whole: Operators computed in full on every rank, as in `StepResult`.
    """

    name: str
    shape: Outline
    training: bool
    dtype: str
    states: float
    forward_flops: float
    runtime: Runtime
    computed_whole: Mapping[str, int] = field(default_factory=dict)


def rank_step(
    graph: Graph, plan: Plan, *, loss: str | None = None, optimizer: str | None = "adam"
) -> RankStep:
    """One rank's share of a model; arguments as for `simulate_step`.

    Raises:
        InputError: heads, widths, experts or layers do not divide.
        GraphError: the model cannot be trained or partitioned.
    """
    blocks = in_blocks(graph, plan.pp * plan.chunks)
    short, step = blocks.graph, None
    if optimizer is not None:
        loss_name = loss or usual_loss([short.type_of(name) for name in short.outputs])
        short = with_loss(short, loss_name)
    share = rank_share(short, plan.tp, sequence=plan.sequence_parallel)
    short = share.graph
    parts = plan.tp if plan.sequence_parallel else 1
    short = context_parallel(expert_parallel(short, plan.ep, parts=parts), plan.cp)
    if plan.attention == "written":
        short = written_out(short)
    if optimizer is not None:
        step = training_step(short, loss="given", optimizer=optimizer)
    floats = [graph.type_of(name).dtype for name in graph.parameters]
    dtype = max(set(floats), key=floats.count) if floats else "float32"
    states = OPTIMIZERS[optimizer].bytes_per_parameter / 4 if optimizer else 0.0
    wire = 4.0 if dtype in ("float16", "bfloat16") else None
    training = step is not None
    runtime = find_runtime(plan.runtime or usual_runtime(dtype, plan.attention, training=training))
    chains = training and runtime.elementwise == "chains"
    shape = outline(blocks, step, step.graph if step else short, wire, chains=chains)
    whole = context_parallel(blocks.graph, plan.cp)
    counts = {name: block.count for block in blocks.blocks for name in block.ops}
    work = [(work_of(op, whole), counts.get(op.name, 1)) for op in whole.ops]
    flops = sum(count * op_work.flops for op_work, count in work if op_work is not None)
    return RankStep(graph.name, shape, training, dtype, states, flops, runtime, share.whole)


def launching(constants: Constants, rank: RankStep) -> Constants:
    """The constants with the launch time of the rank's runtime, where they have none."""
    if constants.dispatch_s is not None:
        return constants
    runtime = rank.runtime
    seconds = runtime.training_launch_s if rank.training else runtime.launch_s
    return replace(constants, dispatch_s=seconds)


def rank_costs(rank: RankStep, estimator: Estimator, device: Device) -> list[BlockCost]:
    """Time the blocks of a rank on a device.

    Raises:
        InputError: there is no estimate for some operators.
    """
    return timed(rank.shape, estimator, device)


def simulate_step(
    graph: Graph,
    cluster: Cluster,
    plan: Plan,
    estimator: Estimator,
    *,
    loss: str | None = None,
    optimizer: str | None = "adam",
    constants: Constants = ASSUMED,
    unfolded: bool = False,
    network: str = "closed",
) -> StepResult:
    """Simulate a training step, or a forward pass where `optimizer` is None.

    Ranks with the same work are simulated once: one rank of each pipeline stage represents the
    whole stage, unless devices differ in speed or `unfolded` is set.

    Args:
        graph: Inference graph at the size of one micro-batch; with context parallelism, for the
            tokens of one rank.
        cluster: Cluster to simulate.
        plan: Degrees of parallelism, schedule and recomputation.
        estimator: Source of operator times on the cluster's device.
        loss, optimizer: Names of loss and optimiser, as for `training_step`.
        constants: Launch overhead and other host, framework and device constants.
        unfolded: Whether to simulate every kernel and every message of every rank.
        network: How collectives are timed, one of `NETWORKS`.

    Raises:
        InputError: the plan does not divide or exceeds the cluster, an operator has no estimate,
            or a reason given at `played_step`.
        GraphError: the model cannot be trained or partitioned.
    """
    layers = depth(graph, plan)
    checked(plan, cluster.ranks, layers)
    rank = rank_step(graph, plan, loss=loss, optimizer=optimizer)
    costs = rank_costs(rank, estimator, cluster.device)
    return played_step(rank, costs, cluster, plan, constants, unfolded=unfolded, network=network)


def depth(graph: Graph, plan: Plan) -> int:
    """Number of layers that can be distributed over pipeline stages."""
    blocks = in_blocks(graph, plan.pp * plan.chunks).blocks
    layers = max(block.count for block in blocks)
    return layers if layers > 1 else len(blocks)


def played_step(
    rank: RankStep,
    costs: Sequence[BlockCost],
    cluster: Cluster,
    plan: Plan,
    constants: Constants = ASSUMED,
    *,
    unfolded: bool = False,
    network: str = "closed",
) -> StepResult:
    """Simulate a step from the costs of one rank's blocks; other arguments as `simulate_step`.

    Raises:
        InputError: an unknown `network`; with network "links", links that cannot be shared or an
            `exchange_slowdown` other than 1.
    """
    if network not in NETWORKS:
        raise unknown_name("network", network, NETWORKS)
    training, constants = rank.training, launching(constants, rank)
    groups = groups_of(cluster, plan, constants)
    launch_s, ahead = constants.dispatch_s or 0.0, rank.runtime.ahead
    units = units_of(costs, plan, groups, dispatch_s=launch_s, ahead=ahead)
    stages = partition_stages(units, plan.pp * plan.chunks)
    programs = step_programs(
        stages,
        plan,
        groups,
        training=training,
        detail=unfolded,
        constant_s=constants.step_s if training else 0.0,
    )
    factors = cluster.device_factor[: plan.ranks]
    together = not unfolded and bool((factors == 1).all())
    wiring = None
    if network == "links":
        _refuse_slowed_messages(constants)
        wiring = wiring_of(cluster, plan, programs, folded=together)
    every = None if together else all_ranks(programs, plan, factors, wiring)
    played = every or folded(programs, wiring)
    slow = interference(constants, played.ranks)
    timeline = play(played.tasks, played.servers, played.network, slow)
    seconds = timeline.makespan_ps * 1e-12
    if not seconds:
        raise InputError("no operator does any work, so a step takes no time", where=rank.name)
    spread = _spread(costs)
    if constants.achieved.spread and constants.seen:
        spread = widened(spread, constants.seen, cluster, plan)
    states = states_of(rank.dtype, rank.states)
    memory = memory_by_stage(stages, plan, states, training=training)
    breakdown, hidden = _breakdown(timeline, played, stages, plan)
    forward, all_of_it = (sum(unit.flops[i] for unit in units) for i in (0, 1))
    times = all_of_it / forward if training and forward else 1.0
    return StepResult(
        rank.name,
        cluster,
        plan,
        seconds,
        seconds * spread[0],
        seconds * spread[1],
        timeline,
        played,
        breakdown,
        hidden,
        memory,
        cluster.device.memory_bytes,
        rank.forward_flops * times * plan.replicas * plan.micro_batches,
        _sources(costs),
        plan.samples,
        rank.dtype,
        constants,
        stages,
        groups,
        _arithmetic(rank.shape.dtype, cluster.device, constants),
        rank.computed_whole,
        rank.runtime.name,
    )


def _arithmetic(dtype: str, device: Device, constants: Constants) -> str:
    """The type that MFU refers to: of most of the arithmetic, as the products run in it."""
    wanted = {"tf32": ("tf32",), "fp8": ("float8e4m3fn",), "fp8-block": ("float8e4m3fn",)}
    for name in wanted.get(constants.achieved.arithmetic, ()):
        same = dtype == "float32" if name == "tf32" else dtype in ("float16", "bfloat16")
        if same and name in device.peak_flops:
            return name
    return dtype


def _refuse_slowed_messages(constants: Constants) -> None:
    """Refuse an `exchange_slowdown` that flows over links would silently ignore."""
    if constants.exchange_slowdown != 1:
        raise InputError(
            f"--network links with exchange_slowdown {constants.exchange_slowdown:g}",
            where="constants",
            allowed="exchange_slowdown 1: over links only other messages slow messages down",
        )


def interference(constants: Constants, ranks: int) -> Interference | None:
    """How computation and communication slow each other on a rank; None if they do not."""
    if constants.compute_slowdown == constants.exchange_slowdown == 1:
        return None
    rates = np.ones((len(CATEGORIES), len(CATEGORIES)))
    sent = CATEGORIES.index("data")
    for name in WORK:
        rates[CATEGORIES.index(name), sent] = 1 / constants.compute_slowdown
    # kinds of computation never run at the same time, so their factors do not multiply
    for name in WORK:
        rates[sent, CATEGORIES.index(name)] = 1 / constants.exchange_slowdown
    return Interference.of(rates, ranks)


def groups_of(cluster: Cluster, plan: Plan, constants: Constants = ASSUMED) -> dict[str, Group]:
    """Communication groups by name (see `Plan.groups`), and "pp": from a stage to the next.

    Each is timed from the groups of its kind that begin in the first host and share its links.
    """
    wide, host = plan.tp * plan.replicas, cluster.devices_per_host
    groups: dict[str, Group] = {}
    for name, (stride, size) in plan.groups.items():
        firsts = [r for r in range(min(host, wide)) if r // stride % size == 0]
        members = [[r + i * stride for i in range(size)] for r in firsts]
        groups[name] = _measured(group_of(cluster, members, constants.collectives), constants)
    groups["pp"] = Group(1, float("inf"), 0.0)
    if plan.pp > 1:
        senders = list(range(min(wide, host)))
        groups["pp"] = link_between(
            cluster, senders, [rank + wide for rank in senders], constants.collectives
        )
    return groups


def _measured(group: Group, constants: Constants) -> Group:
    """The group with measured times for as many ranks in one host, if there are any."""
    for kind, curves in constants.curves.items():
        if group.hosts == 1 and group.ranks in curves:
            group = with_measured(group, curves[group.ranks], kind)
    return group


def _spread(costs: Sequence[BlockCost]) -> tuple[float, float]:
    """Sums of the operators' lower and upper bounds over the sum of their times."""
    parts = [(part, cost.block.count) for cost in costs for part in cost.parts.values()]
    total = sum(part.seconds * count for part, count in parts)
    if not total:
        return 1.0, 1.0
    low = sum(part.low * count for part, count in parts) / total
    return low, sum(part.high * count for part, count in parts) / total


def _sources(costs: Sequence[BlockCost]) -> dict[str, float]:
    by_source: dict[str, float] = {}
    for cost in costs:
        for name in PARTS:
            for source, seconds in cost.parts[name].by_source.items():
                by_source[source] = by_source.get(source, 0.0) + seconds * cost.block.count
    total = sum(by_source.values()) or 1.0
    return {source: seconds / total for source, seconds in by_source.items()}


def _breakdown(
    timeline: Timeline, played: Played, stages: Sequence[Sequence[Unit]], plan: Plan
) -> tuple[dict[str, float], float]:
    """Seconds by category and seconds of hidden communication, averaged over the stages.

    Where all ranks were simulated, one rank of each stage is taken.
    """
    by_category: dict[str, float] = {name: 0.0 for name in (*CATEGORIES, "bubble")}
    hidden, wide = 0.0, played.ranks // plan.pp
    whole = timeline.makespan_ps * 1e-12
    for stage in range(plan.pp):
        first = stage * wide * len(STREAMS)
        servers = list(range(first, first + len(STREAMS)))
        spent: dict[str, float] = {}
        for name in WORK:
            spent[name] = timeline.covered_ps(CATEGORIES.index(name), servers) * 1e-12
        behind = [CATEGORIES.index(name) for name in WORK]
        for name in SENT:
            category = CATEGORIES.index(name)
            spent[name] = timeline.exposed_ps(category, behind, servers) * 1e-12
            hidden += (timeline.covered_ps(category, servers) * 1e-12 - spent[name]) / plan.pp
            behind.append(category)
        for name, seconds in spent.items():
            by_category[name] += seconds / plan.pp
        by_category["bubble"] += (whole - sum(spent.values())) / plan.pp
    phases = [
        p for units in stages for u in units for p in (u.forward, u.recompute, u.data, u.weights)
    ]
    by_category["of it launches"] = sum(p.launch_s for p in phases) * plan.micro_batches / plan.pp
    return by_category, hidden


def fitting(result: StepResult) -> str:
    """By how much a plan exceeds the device's memory, and remedies; "" where it fits."""
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
    what = "optimiser states" if largest == "optimizer" else largest
    return f"needs {over / 2**30:.1f} GiB more than a device has, mostly for {what}; try {advice}"


def require_fit(result: StepResult) -> StepResult:
    """The result, if every rank fits into its device's memory.

    Raises:
        InputError: a rank does not fit; the error says by how much, and what would help.
    """
    missing = fitting(result)
    if missing:
        raise InputError(f"does not fit: {missing}", where=result.model)
    return result
