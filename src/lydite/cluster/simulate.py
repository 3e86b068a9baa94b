"""Simulation of a step on a cluster: time, memory, energy and cost from graph and plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lydite.cluster.assembled import folded
from lydite.cluster.assembled import unfolded as all_ranks
from lydite.cluster.breakdown import breakdown_of, sources_of, spread_of
from lydite.cluster.collectives import Group
from lydite.cluster.constants import ASSUMED, Constants
from lydite.cluster.costs import BlockCost
from lydite.cluster.groups import groups_of
from lydite.cluster.memory import memory_by_stage, states_of
from lydite.cluster.offload import HOST_MEMORY_BYTES_PER_S, HostStates, host_of
from lydite.cluster.plan import Plan
from lydite.cluster.planning import checked
from lydite.cluster.program import CATEGORIES, WORK
from lydite.cluster.rank import RankStep, depth, launching, rank_costs, rank_step
from lydite.cluster.recompute import stages_of
from lydite.cluster.repeated import every_rank, fits
from lydite.cluster.seen import widened
from lydite.cluster.stages import units_of
from lydite.cluster.step_result import NETWORKS, StepResult
from lydite.cluster.tasks import step_programs
from lydite.cluster.wiring import wiring_of
from lydite.engine import Interference, Repeated, simulate_ranks
from lydite.engine import simulate as play
from lydite.errors import InputError, unknown_name
from lydite.estimate.base import Estimator
from lydite.graph import Graph
from lydite.hardware import Device
from lydite.hardware.cluster import Cluster


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


def played_step(
    rank: RankStep,
    costs: Sequence[BlockCost],
    cluster: Cluster,
    plan: Plan,
    constants: Constants = ASSUMED,
    *,
    unfolded: bool = False,
    network: str = "closed",
    groups: Mapping[str, Group] | None = None,
) -> StepResult:
    """Simulate a step from the costs of one rank's blocks; other arguments as `simulate_step`.

    Args:
        groups: Communication groups of the plan by name, where they are known already.

    Raises:
        InputError: an unknown `network`; with network "links", links that cannot be shared or an
            `exchange_slowdown` other than 1.
    """
    if network not in NETWORKS:
        raise unknown_name("network", network, NETWORKS)
    training, constants = rank.training, launching(constants, rank)
    groups = groups or groups_of(cluster, plan, constants)
    launch_s, ahead = constants.dispatch_s or 0.0, rank.runtime.ahead
    units = units_of(costs, plan, groups, dispatch_s=launch_s, ahead=ahead)
    stages = stages_of(units, plan)
    host = None
    if training and plan.offload != "none":
        rate = constants.host_memory_bytes_per_s or HOST_MEMORY_BYTES_PER_S
        host = host_of(cluster, plan, HostStates.of(rank.dtype, rank.states), rate)
    programs = step_programs(
        stages,
        plan,
        groups,
        training=training,
        detail=unfolded,
        constant_s=constants.step_s if training else 0.0,
        host=host,
    )
    factors = cluster.device_factor[: plan.ranks]
    together = not unfolded and bool((factors == 1).all())
    wiring = None
    if network == "links":
        _refuse_over_links(constants, plan)
        wiring = wiring_of(cluster, plan, programs, folded=together)
    slow = interference(constants, plan.pp if together else plan.ranks)
    if together:
        played = folded(programs, wiring)
    elif wiring is None and slow is None and fits(programs, plan):
        played = every_rank(programs, plan, factors)
    else:
        played = all_ranks(programs, plan, factors, wiring)
    if isinstance(played.tasks, Repeated):
        timeline = simulate_ranks(played.tasks, played.servers)
    else:
        timeline = play(played.tasks, played.servers, played.network, slow)
    seconds = timeline.makespan_ps * 1e-12
    if not seconds:
        raise InputError("no operator does any work, so a step takes no time", where=rank.name)
    spread = spread_of(costs)
    if constants.achieved.spread and constants.seen:
        spread = widened(spread, constants.seen, cluster, plan)
    states = states_of(rank.dtype, rank.states)
    memory = memory_by_stage(stages, plan, states, training=training)
    breakdown, hidden = breakdown_of(timeline, played, stages, plan)
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
        sources_of(costs),
        plan.samples,
        rank.dtype,
        constants,
        stages,
        groups,
        _arithmetic(rank.shape.dtype, cluster.device, constants),
        rank.computed_whole,
        rank.runtime.name,
        host,
    )


def _arithmetic(dtype: str, device: Device, constants: Constants) -> str:
    """The type that MFU refers to: of most of the arithmetic, as the products run in it."""
    wanted = {"tf32": ("tf32",), "fp8": ("float8e4m3fn",), "fp8-block": ("float8e4m3fn",)}
    for name in wanted.get(constants.achieved.arithmetic, ()):
        same = dtype == "float32" if name == "tf32" else dtype in ("float16", "bfloat16")
        if same and name in device.peak_flops:
            return name
    return dtype


def _refuse_over_links(constants: Constants, plan: Plan) -> None:
    """Refuse what flows over links would silently ignore."""
    if plan.overlap_tensor:
        raise InputError(
            "--network links with --overlap-tensor, whose hidden messages it does not show",
            hint="leave one of them out",
        )
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
