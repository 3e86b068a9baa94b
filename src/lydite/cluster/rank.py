"""One rank's part of a step: from the model's graph to timed blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace

from lydite.cluster.blocks import in_blocks
from lydite.cluster.constants import Constants
from lydite.cluster.costs import BlockCost, Outline, outline, timed
from lydite.cluster.lora import Adapted, adapted
from lydite.cluster.plan import Plan
from lydite.cluster.tensor import rank_share
from lydite.cluster.tokens import context_parallel, expert_parallel
from lydite.estimate.base import Estimator
from lydite.estimate.runtimes import Runtime, find_runtime, usual_runtime
from lydite.graph import Graph, work_of
from lydite.graph.passes.attention import written_out
from lydite.graph.training import OPTIMIZERS, training_step
from lydite.graph.training.losses import usual_loss
from lydite.graph.training.step import with_loss
from lydite.hardware import Device
from lydite.records import dataclass


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
    spread = plan.spreads_experts
    share = rank_share(short, plan.tp, sequence=plan.sequence_parallel, spread_experts=spread)
    short = share.graph
    parts = plan.tp if plan.sequence_parallel and not spread else 1
    short = context_parallel(expert_parallel(short, plan.ep, parts=parts), plan.cp)
    if plan.attention == "written":
        short = written_out(short)
    adapters = Adapted(short)
    if plan.lora_rank and optimizer is not None:
        adapters = adapted(short, plan.lora_rank, plan.lora_targets, blocks)
    short = adapters.graph
    adapters = replace(adapters, summed=(*adapters.summed, *share.summed))
    if optimizer is not None:
        step = training_step(short, loss="given", optimizer=optimizer, through=adapters.through)
    floats = [graph.type_of(name).dtype for name in graph.parameters]
    dtype = max(set(floats), key=floats.count) if floats else "float32"
    states = OPTIMIZERS[optimizer].bytes_per_parameter / 4 if optimizer else 0.0
    wire = 4.0 if dtype in ("float16", "bfloat16") else None
    training = step is not None
    runtime = find_runtime(plan.runtime or usual_runtime(dtype, plan.attention, training=training))
    chains = training and runtime.elementwise == "chains"
    graph_of_step = step.graph if step else short
    shape = outline(blocks, step, graph_of_step, wire, chains=chains, adapters=adapters)
    whole = context_parallel(blocks.graph, plan.cp)
    if plan.lora_rank and optimizer is not None:
        whole = adapted(whole, plan.lora_rank, plan.lora_targets, blocks).graph
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


def depth(graph: Graph, plan: Plan) -> int:
    """Number of layers that can be distributed over pipeline stages."""
    blocks = in_blocks(graph, plan.pp * plan.chunks).blocks
    layers = max(block.count for block in blocks)
    return layers if layers > 1 else len(blocks)
