"""A network on a chip: mapped, played, and summed up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lydite.chip.dataflow import dataflow_of
from lydite.chip.figures import energy_of
from lydite.chip.memory import check_weights_fit
from lydite.chip.plan import ChipPlan
from lydite.chip.result import ChipRun
from lydite.chip.soc import play_soc
from lydite.chip.tilings import TILINGS, USUAL, TilingPolicy
from lydite.graph import Graph
from lydite.graph.passes import fused
from lydite.hardware.chip import Chip


def run_chip(
    graph: Graph,
    chip: Chip,
    *,
    threads: int = 1,
    soc: bool = True,
    fuse: bool = True,
    tiling: str = "usual",
) -> ChipRun:
    """A network on a chip.

    Args:
        graph: with fixed sizes.
        chip: where.
        threads: of the processor, that copy tiles.
        soc: whether processor, transfers and memory play; without, memory never stalls and
            operators that the processor runs are left out of the time (they stay in the list).
        fuse: whether activations, norms and attention are fused before the network is mapped
            (SMV's lowering fuses what SMAUG fuses, whatever is asked for).
        tiling: name of a policy in `TILINGS`: "usual" (on SMV SMAUG's; on other arrays those that
            promise least time); "best" or "best-energy": searched for each layer, and never more
            time or energy than the usual.

    Raises:
        InputError: a scratchpad too small for an operator (named); weights that DRAM cannot hold.
        GraphError: a tensor of open size.
    """
    policy = TILINGS.find(tiling)
    if soc:
        check_weights_fit(graph, chip)
    usual = _run(graph, chip, threads, soc, fuse, USUAL)
    price = policy.price
    if price is None:
        return usual
    both = usual, _run(graph, chip, threads, soc, fuse, policy)
    return min(both, key=lambda result: price(result.seconds, lambda: energy_of(result).joules))


def _run(
    graph: Graph, chip: Chip, threads: int, soc: bool, fuse: bool, tiling: TilingPolicy
) -> ChipRun:
    dataflow = dataflow_of(chip)
    plan = dataflow.plan(fused(graph) if fuse and dataflow.takes_fused else graph, chip, tiling)
    if not soc:
        return ChipRun(graph.name, chip, plan, None, _alone_s(plan, chip))
    played = play_soc(chip, plan.jobs, plan.layers, threads=threads)
    return ChipRun(graph.name, chip, plan, played, played.seconds)


def _alone_s(plan: ChipPlan, chip: Chip) -> float:
    """Layer by layer, each as long as its busiest accelerator, memory of systolic arrays free."""
    jobs, count = plan.jobs, max(1, chip.accelerators)
    each = jobs.compute_s
    if not jobs.ahead:
        each = jobs.begin_s + jobs.load_s + jobs.compute_s + jobs.store_s
    place = jobs.layer * count + jobs.accelerator
    busy = np.bincount(place, each, len(plan.costs) * count).reshape(-1, count)
    return float(busy.max(axis=1).sum()) if len(jobs) else 0.0


def varied(chip: Chip, **changes: object) -> Chip:
    """The chip with other sizes of its array, or other parts.

    Args:
        chip: left as it is.
        changes: fields of `Chip`, or parameters of its array (`pes`, `rows`, ...), whose dataflow
            says how scratchpads grow with it.
    """
    names = chip.array.__dataclass_fields__
    sizes: dict[str, Any] = {name: value for name, value in changes.items() if name in names}
    parts: dict[str, Any] = {name: value for name, value in changes.items() if name not in names}
    array = replace(chip.array, **sizes)
    pads = dataflow_of(chip).widened(chip, array)
    return replace(chip, array=array, **{"scratchpads": pads, **parts})
