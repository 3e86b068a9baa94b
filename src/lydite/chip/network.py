"""A network on a chip: laid out, played, and summed up."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from lydite.chip.energy import energy_of, layer_joules, leakage_w
from lydite.chip.memory import check_weights_fit
from lydite.chip.plan import ChipPlan, LayerCost
from lydite.chip.result import ChipResult
from lydite.chip.smv.plan import smv_plan
from lydite.chip.soc import Jobs, Layer, play_soc
from lydite.chip.systolic.best import Price
from lydite.chip.systolic.plan import systolic_plan
from lydite.errors import unknown_name
from lydite.graph import Graph
from lydite.graph.passes import fused
from lydite.hardware.chip import Chip, Scratchpad, SmvArray, SystolicArray

TILINGS = ("usual", "best", "best-energy")


def run_chip(
    graph: Graph,
    chip: Chip,
    *,
    threads: int = 1,
    soc: bool = True,
    fuse: bool = True,
    tiling: str = "usual",
) -> ChipResult:
    """A network on a chip.

    Args:
        graph: with fixed sizes.
        chip: where.
        threads: of the processor, that copy tiles.
        soc: whether processor, transfers and memory play; without, memory never stalls and
            operators that the processor runs are left out of the time (they stay in the list).
        fuse: whether activations, norms and attention are fused before (systolic arrays; SMV's
            lowering fuses what SMAUG fuses).
        tiling: "usual" (SMAUG's; on systolic arrays those that promise least time); "best" or
            "best-energy": searched for each layer, and never more time or energy than the usual.

    Raises:
        InputError: a scratchpad too small for an operator (named); weights that DRAM cannot hold.
        GraphError: a tensor of open size.
    """
    if tiling not in TILINGS:
        raise unknown_name("tiling", tiling, TILINGS)
    if soc:
        check_weights_fit(graph, chip)
    usual = _run(graph, chip, threads, soc, fuse, "usual")
    if tiling == "usual":
        return usual
    found = usual, _run(graph, chip, threads, soc, fuse, tiling)
    if tiling == "best":
        return min(found, key=lambda result: result.seconds)
    return min(found, key=lambda result: energy_of(result).joules)


def _run(graph: Graph, chip: Chip, threads: int, soc: bool, fuse: bool, tiling: str) -> ChipResult:
    if isinstance(chip.array, SmvArray):
        plan = smv_plan(graph, chip, tiling)
    else:
        plan = systolic_plan(fused(graph) if fuse else graph, chip, _price(chip, tiling))
    if not soc:
        return ChipResult(graph.name, chip, plan, None, _alone_s(plan, chip))
    played = play_soc(chip, plan.jobs, plan.layers, threads=threads)
    return ChipResult(graph.name, chip, plan, played, played.seconds)


def _price(chip: Chip, tiling: str) -> Price | None:
    """Time or energy of a layer played alone."""

    def seconds(cost: LayerCost, jobs: Jobs) -> float:
        return play_soc(chip, jobs, [Layer(cost.name)]).seconds

    def joules(cost: LayerCost, jobs: Jobs) -> float:
        return sum(layer_joules(chip, cost).values()) + leakage_w(chip) * seconds(cost, jobs)

    return {"usual": None, "best": seconds, "best-energy": joules}[tiling]


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
        changes: fields of `Chip`, or of its array (`pes`, `rows`, `dataflow`, ...); with a larger
            systolic array the scratchpads get as many more banks.
    """
    own = {k: v for k, v in changes.items() if k in chip.array.__dataclass_fields__}
    rest = {k: v for k, v in changes.items() if k not in own}
    array: SmvArray | SystolicArray = replace(chip.array, **own)  # type: ignore[arg-type]
    return replace(chip, array=array, **{"scratchpads": _widened(chip, array), **rest})  # type: ignore[arg-type]


def _widened(chip: Chip, array: SmvArray | SystolicArray) -> tuple[Scratchpad, ...]:
    """Scratchpads with as many more banks as a systolic array has grown."""
    old = chip.array
    if not (isinstance(array, SystolicArray) and isinstance(old, SystolicArray)):
        return chip.scratchpads
    grown = max(array.rows / old.rows, array.columns / old.columns, 1.0)
    return tuple(replace(pad, banks=math.ceil(pad.banks * grown)) for pad in chip.scratchpads)
