"""Activity and stalls of each layer, cycle by cycle of its span, from the simulated system.

While computation and transfers overlap, the slower of the two in a layer is the reason: the one
that goes on for longer in all. Then come flushes and the processor; the rest is waiting for others.
Data in flight is put down to the accelerator's own side ("DMA": requests in flight, page setup,
latency of the port) as far as it would have waited with memory to itself, and beyond that to the
slowest of what all share ("DRAM", "bus", "network on chip").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lydite.chip.memory import hit_bytes_per_s, request_bytes
from lydite.chip.noc import way
from lydite.chip.plan import ChipPlan, LayerCost
from lydite.chip.soc_jobs import CATEGORIES, Jobs, SocResult
from lydite.engine import distinct
from lydite.hardware.chip import Chip

_ORDER = ("compute", "load", "store", "flush", "host", "finish", "prepare", "launch")
_MEMORY_FIRST = ("load", "store", "compute", *_ORDER[3:])
_COMPUTE = (
    "compute",
    "loops",
    "vector",
    "weight load",
    "fill and drain",
    "bank conflict",
    "convert",
    "activation",
)
_MEMORY = ("head", "flush", "cache", "input", "weights", "store")
"""Parts of an invocation that are not computation; the names of the others are the dataflow's."""


def stalls_of(plan: ChipPlan, chip: Chip, soc: SocResult) -> list[dict[str, float]]:
    """Cycles of the span of one run of each layer by part; the sum is the span."""
    clock = chip.clock_hz * 1e-12
    timeline, category = soc.timeline, soc.timeline.tasks.category
    numbers = {name: CATEGORIES.index(name) for name in _ORDER}
    moves = numbers["load"], numbers["store"]
    moving = _own_side(plan.jobs, chip, soc, len(plan.costs))
    begun = np.bincount(plan.jobs.layer, plan.jobs.begin_s, len(plan.costs))
    hits = np.array([cost.hit_bytes / cost.runs for cost in plan.costs]) / hit_bytes_per_s(chip)
    cached = np.divide(hits, begun, out=np.zeros(len(hits)), where=begun > 0)
    by_layer: list[dict[str, float]] = []
    tasks = np.argsort(soc.layer_of_task, kind="stable")
    ends = np.searchsorted(soc.layer_of_task[tasks], np.arange(len(plan.costs) + 1))
    for number, cost in enumerate(plan.costs):
        mine = tasks[ends[number] : ends[number + 1]]
        busy = Busy.of(timeline.start_ps[mine], timeline.end_ps[mine], category[mine])
        moved, computed = busy.of_any(*moves), busy.of_any(numbers["compute"])
        order = _MEMORY_FIRST if moved > computed else _ORDER
        spans = clock * np.array(busy.parts([numbers[name] for name in order]))
        parts: dict[str, float] = dict(zip((*order, "waiting"), spans.tolist(), strict=True))
        _split(parts, "compute", _shares(cost))
        own = min(1.0, float(moving[number]))
        data = parts.pop("load") + parts.pop("store")
        parts["DMA"], parts[shared_by(chip)] = data * own, data * (1 - own)
        hit = min(1.0, round(float(cached[number]), 9))
        _split(parts, "flush", {"flush": 1 - hit, "cache": hit})
        by_layer.append({name: cycles for name, cycles in parts.items() if cycles > 0})
    return by_layer


def shared_by(chip: Chip) -> str:
    """The slowest resource that transfers share; a NoC counts with its links at the port."""
    rates = {"DRAM": chip.dram.stream_bytes_per_s(request_bytes(chip)), "bus": chip.bus_bytes_per_s}
    if chip.noc is not None:
        ways = (way(chip.noc, at, chip.accelerators) for at in range(chip.accelerators))
        rates["network on chip"] = len({one[1] for one in ways}) * chip.noc.link_bytes_per_s
    return min(rates, key=rates.__getitem__)


def _own_side(jobs: Jobs, chip: Chip, soc: SocResult, layers: int) -> np.ndarray:
    """Fraction of each layer's transfer time that it would also have waited alone."""
    rate = min(chip.dram.stream_bytes_per_s(request_bytes(chip)), chip.bus_bytes_per_s)
    rate = min(rate, chip.noc.link_bytes_per_s) if chip.noc is not None else rate
    own, whole = np.zeros(layers), np.zeros(layers)
    for size, alone, kind in (
        (jobs.load_bytes, jobs.load_s, "load"),
        (jobs.store_bytes, jobs.store_s, "store"),
    ):
        mine = soc.timeline.tasks.category == CATEGORIES.index(kind)
        spans = soc.timeline.span_ps[mine] * 1e-12
        own += np.bincount(jobs.layer, np.maximum(alone - size / rate, 0.0), layers)
        whole += np.bincount(soc.layer_of_task[mine], spans, layers)
    return np.divide(own, whole, out=np.zeros(layers), where=whole > 0)


def _shares(cost: LayerCost) -> Mapping[str, float]:
    """Fractions of computation by what the array does."""
    names = [*_COMPUTE, *(name for name in cost.cycles if name not in (*_COMPUTE, *_MEMORY))]
    inside = {name: cost.cycles[name] for name in names if cost.cycles.get(name)}
    whole = sum(inside.values())
    return {name: cycles / whole for name, cycles in inside.items()} if whole else {"compute": 1.0}


def _split(parts: dict[str, float], name: str, shares: Mapping[str, float]) -> None:
    whole = parts.pop(name)
    for part, share in shares.items():
        parts[part] = whole * share


class Busy(NamedTuple):
    """Which categories of tasks run between two instants at which any begins or ends.

    Attributes:
        spans: int64[segments], durations.
        running: bool[CATEGORIES, segments].
    """

    spans: np.ndarray
    running: np.ndarray

    @staticmethod
    def of(start: np.ndarray, end: np.ndarray, category: np.ndarray) -> Busy:
        """Those of tasks, one item each."""
        edges = distinct(np.concatenate([start, end]))
        change = np.zeros((len(CATEGORIES), len(edges)), np.int64)
        np.add.at(change, (category, np.searchsorted(edges, start)), 1)
        np.add.at(change, (category, np.searchsorted(edges, end)), -1)
        return Busy(np.diff(edges), change.cumsum(axis=1)[:, :-1] > 0)

    def of_any(self, *categories: int) -> float:
        """Time in which any of these categories runs."""
        return float(self.spans[self.running[list(categories)].any(axis=0)].sum())

    def parts(self, order: Sequence[int]) -> list[float]:
        """Time of each category that no earlier one covers, then the remaining time."""
        ordered = self.running[list(order)]
        free = ~np.logical_or.accumulate(ordered, axis=0)
        first = ordered & np.vstack([np.ones((1, ordered.shape[1]), bool), free[:-1]])
        return [*(first @ self.spans).astype(float).tolist(), float(self.spans[free[-1]].sum())]
