"""Plans over the ranks of a cluster: filled up, and checked against its size and the model's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lydite.cluster.plan import Plan
from lydite.cluster.schedules import SCHEDULES
from lydite.errors import InputError


def checked(plan: Plan, ranks: int, depth: int) -> Plan:
    """The plan, if it fits the cluster and divides batch and layers.

    Args:
        plan: Plan to check.
        ranks: Number of devices of the cluster.
        depth: Number of layers that can be distributed over pipeline stages.

    Raises:
        InputError: it needs more ranks, or a factor does not divide; the error names the factor
            and the nearest that does.
    """
    if plan.ranks > ranks:
        raise InputError(
            f"{degrees(plan)} = {plan.ranks} ranks are more than the cluster's {ranks}",
            hint="use more hosts or a smaller plan",
        )
    if plan.batch and plan.batch % (plan.dp * plan.micro_batch):
        per_round = plan.dp * plan.micro_batch
        near = max(per_round, round(plan.batch / per_round) * per_round)
        raise InputError(
            f"a batch of {plan.batch} does not divide into dp {plan.dp} x micro-batch "
            f"{plan.micro_batch}",
            allowed=f"multiples of {per_round}; the nearest is {near}",
        )
    stages = plan.pp * plan.chunks
    if stages > depth:
        raise InputError(
            f"pp {plan.pp} x {plan.chunks} chunks need {stages} layers, and the model has {depth}",
            allowed=f"pp up to {depth // plan.chunks}",
        )
    most = -(-depth // stages)
    if plan.recompute_num_layers > most:
        raise InputError(
            f"--recompute-num-layers {plan.recompute_num_layers}: a stage has {most} layers",
            allowed=f"1 to {most}",
        )
    if SCHEDULES.find(plan.schedule).chunked and plan.micro_batches % plan.pp:
        raise InputError(
            f"the {plan.schedule} schedule needs micro-batches in multiples of pp {plan.pp}, not "
            f"{plan.micro_batches}",
            hint="change --batch or --micro-batch",
        )
    return plan


def degrees(plan: Plan) -> str:
    """Degrees as text, "dp 2 x tp 4 x pp 1"; the context degree only where it is above 1."""
    context = f" x cp {plan.cp}" if plan.cp > 1 else ""
    return f"dp {plan.dp} x tp {plan.tp} x pp {plan.pp}{context}"


def filled(
    ranks: int, *, tp: int = 1, pp: int = 1, cp: int = 1, dp: int | None = None, **rest: Any
) -> Plan:
    """A plan over all ranks, whose data-parallel degree is what the other degrees leave.

    Args:
        ranks: Number of ranks of the plan.
        tp, pp, cp: Degrees of tensor, pipeline and context parallelism.
        dp: Degree of data parallelism; None for `ranks` over the product of the others.
        rest: Other attributes of the `Plan`.

    Raises:
        InputError: the degrees do not divide the ranks; the error names the nearest that do.
    """
    if dp is None:
        taken = tp * pp * cp
        if ranks % taken:
            fits = [n for n in range(1, ranks + 1) if ranks % n == 0]
            near = min(fits, key=lambda n: abs(n - taken))
            context = f" x cp {cp}" if cp > 1 else ""
            raise InputError(
                f"tp {tp} x pp {pp}{context} = {taken} does not divide {ranks} ranks",
                allowed=f"divisors of {ranks}; the nearest is {near}",
            )
        dp = ranks // taken
    return replace(Plan(dp=dp, tp=tp, pp=pp, cp=cp), **rest)
