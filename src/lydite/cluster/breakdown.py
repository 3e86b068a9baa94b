"""Where a step goes: seconds by category, by source of the estimates, and their bounds."""

from __future__ import annotations

from collections.abc import Sequence

from lydite.cluster.assembled import Played
from lydite.cluster.costs import PARTS, BlockCost
from lydite.cluster.plan import Plan
from lydite.cluster.program import CATEGORIES, SENT, STREAMS, WORK
from lydite.cluster.stages import Unit
from lydite.engine import Timeline


def spread_of(costs: Sequence[BlockCost]) -> tuple[float, float]:
    """Sums of the operators' lower and upper bounds over the sum of their times."""
    parts = [(part, cost.block.count) for cost in costs for part in cost.parts.values()]
    total = sum(part.seconds * count for part, count in parts)
    if not total:
        return 1.0, 1.0
    low = sum(part.low * count for part, count in parts) / total
    return low, sum(part.high * count for part, count in parts) / total


def sources_of(costs: Sequence[BlockCost]) -> dict[str, float]:
    """Share of the operators' time by source of the estimate."""
    by_source: dict[str, float] = {}
    for cost in costs:
        for name in PARTS:
            for source, seconds in cost.parts[name].by_source.items():
                by_source[source] = by_source.get(source, 0.0) + seconds * cost.block.count
    total = sum(by_source.values()) or 1.0
    return {source: seconds / total for source, seconds in by_source.items()}


def breakdown_of(
    timeline: Timeline, played: Played, stages: Sequence[Sequence[Unit]], plan: Plan
) -> tuple[dict[str, float], float]:
    """Seconds by category and seconds of hidden communication, averaged over the stages.

    Where all ranks were simulated, one rank of each stage is taken.
    """
    by_category: dict[str, float] = {name: 0.0 for name in (*CATEGORIES, "bubble")}
    hidden, wide = 0.0, played.ranks // plan.pp
    for stage in range(plan.pp):
        first = stage * wide * len(STREAMS)
        on_stage = timeline.on_servers(first, first + len(STREAMS))
        spent_ps: dict[str, int] = {}  # whole picoseconds, so that what is left over is exact
        for name in WORK:
            spent_ps[name] = on_stage.covered_ps(CATEGORIES.index(name))
        behind = [CATEGORIES.index(name) for name in WORK]
        for name in SENT:
            category = CATEGORIES.index(name)
            spent_ps[name] = on_stage.exposed_ps(category, behind)
            hidden += (on_stage.covered_ps(category) - spent_ps[name]) * 1e-12 / plan.pp
            behind.append(category)
        spent_ps["bubble"] = timeline.makespan_ps - sum(spent_ps.values())
        for name, time_ps in spent_ps.items():
            by_category[name] += time_ps * 1e-12 / plan.pp
    phases = [
        p for units in stages for u in units for p in (u.forward, u.recompute, u.data, u.weights)
    ]
    by_category["of it launches"] = sum(p.launch_s for p in phases) * plan.micro_batches / plan.pp
    hidden += sum(p.hidden_ps for p in phases) * 1e-12 * plan.micro_batches / plan.pp
    return by_category, hidden
