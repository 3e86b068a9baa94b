"""Simulation of a network on a chip: mapping, system simulation, totals."""

from __future__ import annotations

from collections.abc import Collection
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
from lydite.graph.passes import InLine, fused, in_line
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
    """Simulate a network on a chip.

    Args:
        graph: Graph with fixed sizes.
        chip: Chip to run it on.
        threads: Number of processor threads that copy tiles.
        soc: Whether to simulate processor, transfers and memory. Without them, memory never stalls
            and operators on the processor are left out of the time (they stay in the list).
        fuse: Whether to fuse activations, norms and attention before mapping (SMV's lowering always
            fuses what SMAUG fuses).
        tiling: Name of a policy in `TILINGS`: "usual" (SMAUG's tiles on SMV; on other arrays those
            with the least closed-form time); "best" or "best-energy": searched per layer, never
            slower or of more energy than the usual ones.

    Raises:
        InputError: a scratchpad is too small for an operator (named), or the weights do not fit in
            DRAM.
        GraphError: the size of a tensor is not fixed.
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
    line = in_line(graph, lambda body: _run(body, chip, threads, soc, fuse, tiling).seconds)
    plan = dataflow.plan(_played(line, fuse and dataflow.takes_fused), chip, tiling)
    if line.times:
        plan = plan.repeated(line.runs)
    if not soc:
        seconds, played = _alone_s(plan, chip), None
    else:
        played = play_soc(chip, plan.jobs, plan.layers, threads=threads)
        seconds = played.seconds
        if line.times:  # layers wait for the one before, so that all runs of a layer take as long
            spans = played.layer_spans_s()
            seconds += float(((plan.runs - 1) * (spans[:, 1] - spans[:, 0])).sum())
    shapes = {name: tuple(map(int, graph.type_of(name).shape or ())) for name in graph.inputs}
    return ChipRun(graph.name, chip, plan, played, seconds, threads, shapes, line.open)


def _played(line: InLine, fuse: bool) -> Graph:
    """The graph that is mapped, after fusion if so asked, the same one each time."""
    graph = line.graph
    known: dict[bool, Graph] = graph.memo("played")
    if fuse not in known:
        whole = graph.functions or any(op.subgraphs for op in graph.ops)  # no pass takes those
        made = fused(graph) if fuse and not whole else graph
        known[fuse] = _without_views(made, line.views) if line.views else made
    return known[fuse]


def _without_views(graph: Graph, views: Collection[str]) -> Graph:
    """The graph without the slices of loops, which nobody makes: they lie in the whole."""
    gone = [op for op in graph.ops if op.name in views]
    slices = {name for op in gone for name in op.outputs}
    kept = tuple(op for op in graph.ops if op.name not in views)
    return replace(graph, ops=kept, outer=graph.outer | slices)


def _alone_s(plan: ChipPlan, chip: Chip) -> float:
    """Seconds layer by layer, each as long as its busiest accelerator, without memory stalls."""
    jobs, count = plan.jobs, max(1, chip.accelerators)
    each = jobs.compute_s
    if not jobs.ahead:
        each = jobs.begin_s + jobs.load_s + jobs.compute_s + jobs.store_s
    place = jobs.layer * count + jobs.accelerator
    busy = np.bincount(place, each, len(plan.costs) * count).reshape(-1, count)
    return float((plan.runs * busy.max(axis=1)).sum()) if len(jobs) else 0.0


def varied(chip: Chip, **changes: object) -> Chip:
    """The chip with changed fields or array parameters.

    Args:
        chip: Chip to copy; not changed.
        changes: Fields of `Chip`, or parameters of its array (`pes`, `rows`, ...); the dataflow
            decides how scratchpads grow with the array.
    """
    names = chip.array.__dataclass_fields__
    sizes: dict[str, Any] = {name: value for name, value in changes.items() if name in names}
    parts: dict[str, Any] = {name: value for name, value in changes.items() if name not in names}
    array = replace(chip.array, **sizes)
    pads = dataflow_of(chip).widened(chip, array)
    return replace(chip, array=array, **{"scratchpads": pads, **parts})
