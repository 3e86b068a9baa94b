"""Stages of a graph on several workers, found by dynamic programming.

A stage runs its units in one of three ways: one after another on the first worker ("one"), one
after another with all workers' cores for each operator ("wide"), or at the same time on several
workers ("side"), where units that depend on each other stay on one worker. Workers meet at the end
of a stage. This is the inter-operator scheduler of Ding et al., IOS, MLSys 2021, with operators on
several threads as a third way.

    best(done) = min over next stages S of time(S) + best(done and S)

Small graphs are searched over all sets of finished units, which is exact. Large graphs are searched
over the prefixes of a few topological orders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from functools import cache
from itertools import product
from typing import Any, Literal

import numpy as np

from lydite.records import dataclass

Array = np.ndarray[Any, Any]
Way = Literal["one", "side", "wide"]
EXACT = 12
"""Most units of a graph that is searched over all sets."""
_WINDOW = 96
"""Most units of a stage of a large graph."""
_TIE_S = 1e-15
"""Added to each stage in the search, so that of equal plans the one of fewer stages wins."""
_SPLITS = 6
"""Most components whose every distribution over workers is tried."""


@dataclass(frozen=True)
class Units:
    """Units of work and what they wait for, in topological order.

    Attributes:
        seconds: float[n], time on one worker alone.
        wide: float[n], time with all workers' cores; infinite if that is not allowed.
        memory: float[n], share of the time that is bound by memory, 0 to 1.
        after: Units that each unit waits for, all before it.
    """

    seconds: Array
    wide: Array
    memory: Array
    after: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.seconds)


@dataclass(frozen=True)
class Costs:
    """What running side by side costs.

    Attributes:
        workers: Number of workers.
        handoff_s: Seconds to start the other workers and to wait for them.
        wake_s: Seconds to start an operator's further threads, per stage.
        call_s: Seconds of a call into the runtime, per segment.
        slowdown: float[2, 2], factor on the time of a unit of the first kind beside one of the
            second: bound by computation, bound by memory.
    """

    workers: int = 2
    handoff_s: float = 0.0
    wake_s: float = 0.0
    call_s: float = 0.0
    slowdown: Array = field(default_factory=lambda: np.ones((2, 2)))


@dataclass(frozen=True)
class Stage:
    """Units that run between two meetings of the workers.

    Attributes:
        way: "one", "side" or "wide".
        lanes: Units of each worker, in order; a single lane unless side by side.
        seconds: Predicted time.
    """

    way: Way
    lanes: tuple[tuple[int, ...], ...]
    seconds: float

    @property
    def units(self) -> tuple[int, ...]:
        """All units, in order."""
        return tuple(sorted(unit for lane in self.lanes for unit in lane))


def best_stages(units: Units, costs: Costs, *, exact: int = EXACT) -> tuple[Stage, ...]:
    """The stages of least predicted time.

    Args:
        units: Units of work.
        costs: Costs of running side by side.
        exact: Most units that are searched over all sets.
    """
    if not len(units):
        return ()
    if len(units) <= exact:
        return _over_sets(units, costs)
    orders = {tuple(range(len(units))), _by_depth(units), _by_height(units)}
    found = [_over_prefixes(units, costs, order) for order in sorted(orders)]
    return min(found, key=lambda stages: sum(stage.seconds for stage in stages))


def one_stage(units: Units, costs: Costs, chosen: Sequence[int]) -> Stage:
    """The best way to run the chosen units as one stage."""
    chosen = sorted(chosen)
    best = Stage(
        "one", (tuple(chosen),), costs.call_s + float(sum(units.seconds[u] for u in chosen))
    )
    wide = costs.call_s + costs.wake_s + float(sum(units.wide[u] for u in chosen))
    if wide < best.seconds:
        best = Stage("wide", (tuple(chosen),), wide)
    parts = _components(units, chosen)
    if len(parts) > 1:
        side = _side(units, costs, parts)
        if side.seconds < best.seconds:
            best = side
    return best


def side_seconds(units: Units, costs: Costs, chosen: Sequence[int]) -> float | None:
    """Predicted time of the chosen units side by side; None if they all depend on each other."""
    parts = _components(units, sorted(chosen))
    return _side(units, costs, parts).seconds if len(parts) > 1 else None


def _components(units: Units, chosen: Sequence[int]) -> list[list[int]]:
    """Groups of the chosen units that depend on each other, within the stage."""
    leader = {unit: unit for unit in chosen}

    def lead(unit: int) -> int:
        while leader[unit] != unit:
            leader[unit] = leader[leader[unit]]
            unit = leader[unit]
        return unit

    for unit in chosen:
        for earlier in units.after[unit]:
            if earlier in leader:
                leader[lead(unit)] = lead(earlier)
    parts: dict[int, list[int]] = {}
    for unit in chosen:
        parts.setdefault(lead(unit), []).append(unit)
    return list(parts.values())


@cache
def _splits(parts: int, workers: int) -> Array:
    """Every distribution of parts over workers with the first part on the first worker."""
    rest = list(product(range(workers), repeat=parts - 1))
    owner = np.array([(0, *row) for row in rest])
    return (owner[:, None, :] == np.arange(workers)[None, :, None]).astype(float)


def _side(units: Units, costs: Costs, parts: list[list[int]]) -> Stage:
    """The best distribution of components over workers."""
    kinds = np.array(
        [
            [
                sum(units.seconds[u] * (1 - units.memory[u]) for u in part),
                sum(units.seconds[u] * units.memory[u] for u in part),
            ]
            for part in parts
        ]
    )
    if len(parts) <= _SPLITS:
        splits = _splits(len(parts), costs.workers)
    else:
        splits = _longest_first(kinds.sum(axis=1), costs.workers)[None]
    seconds = together_seconds(splits @ kinds, costs.slowdown)
    at = int(seconds.argmin())
    lanes = []
    for mask in splits[at]:
        lane = [unit for part, here in zip(parts, mask, strict=True) if here for unit in part]
        lanes.append(tuple(sorted(lane)))
    total = float(seconds[at]) + costs.handoff_s + costs.call_s
    return Stage("side", tuple(lane for lane in lanes if lane), total)


def together_seconds(loads: Array, slowdown: Array) -> Array:
    """Time until all workers are done.

    Args:
        loads: float[splits, workers, 2], seconds alone, by what bounds them.
        slowdown: As in `Costs`.
    """
    totals = loads.sum(axis=-1, keepdims=True)
    share = loads / np.where(totals > 0, totals, 1)
    factor = np.ones(loads.shape)
    beside = share @ (slowdown.T - 1)  # of each worker on others: [splits, worker, kind of others]
    idle = totals[..., 0] <= 0
    for worker in range(loads.shape[1]):
        others = [w for w in range(loads.shape[1]) if w != worker]
        factor[:, worker] += np.where(idle[:, others, None], 0, beside[:, others]).sum(axis=1)
    overlap = np.minimum(totals[..., 0], _others_longest(totals[..., 0]))
    part = np.where(totals[..., 0] > 0, overlap / np.where(idle, 1, totals[..., 0]), 0)
    slowed = 1 + part[..., None] * (factor - 1)
    return (loads * slowed).sum(axis=-1).max(axis=-1)


def _others_longest(totals: Array) -> Array:
    """For each worker the longest load of another."""
    count = totals.shape[1]
    return np.stack(
        [np.delete(totals, worker, axis=1).max(axis=1) for worker in range(count)], axis=1
    )


def _longest_first(loads: Array, workers: int) -> Array:
    """Each component, the longest first, to the worker with the least to do; then moves that help.

    Graham 1969: at most 4/3 of the best.
    """
    owner, busy = np.zeros(len(loads), int), np.zeros(workers)
    for part in np.argsort(-loads, kind="stable"):
        worker = int(busy.argmin())
        owner[part], busy[worker] = worker, busy[worker] + loads[part]
    for _ in range(len(loads)):
        most, least = int(busy.argmax()), int(busy.argmin())
        gap = busy[most] - busy[least]
        moves = [part for part in np.flatnonzero(owner == most) if loads[part] < gap]
        if not moves:
            break
        part = min(moves, key=lambda p: abs(loads[p] - gap / 2))
        owner[part] = least
        busy[most] -= loads[part]
        busy[least] += loads[part]
    return (owner[None, :] == np.arange(workers)[:, None]).astype(float)


def _over_sets(units: Units, costs: Costs) -> tuple[Stage, ...]:
    """Exact: over all sets of finished units."""
    n = len(units)
    needs = [sum(1 << earlier for earlier in units.after[unit]) for unit in range(n)]
    stage: Callable[[int], Stage] = cache(
        lambda mask: one_stage(units, costs, [u for u in range(n) if mask >> u & 1])
    )

    @cache
    def best(done: int) -> tuple[float, int]:
        if done == (1 << n) - 1:
            return 0.0, 0
        return min(
            (_TIE_S + stage(chosen).seconds + best(done | chosen)[0], chosen)
            for chosen in _next_sets(done, needs)
        )

    done, stages = 0, []
    while done != (1 << n) - 1:
        chosen = best(done)[1]
        stages.append(stage(chosen))
        done |= chosen
    return tuple(stages)


def _next_sets(done: int, needs: Sequence[int]) -> Iterable[int]:
    """All sets of unfinished units whose needs are finished or in the set."""
    found = {0}
    for unit, need in enumerate(needs):  # in topological order: needs come first
        if done >> unit & 1:
            continue
        found |= {mask | 1 << unit for mask in found if need & ~(done | mask) == 0}
    return found - {0}


def _over_prefixes(units: Units, costs: Costs, order: Sequence[int]) -> tuple[Stage, ...]:
    """Over the prefixes of one topological order."""
    n = len(order)
    best, choice = [0.0] + [np.inf] * n, [0] * (n + 1)
    kept: dict[tuple[int, int], Stage] = {}
    for end in range(1, n + 1):
        for start in range(max(0, end - _WINDOW), end):
            stage = one_stage(units, costs, order[start:end])
            total = best[start] + stage.seconds + _TIE_S
            if total < best[end]:
                best[end], choice[end] = total, start
                kept[start, end] = stage
    stages, end = [], n
    while end:
        stages.append(kept[choice[end], end])
        end = choice[end]
    return tuple(reversed(stages))


def _by_depth(units: Units) -> tuple[int, ...]:
    """By the number of units that must come before."""
    depth = np.zeros(len(units), int)
    for unit, after in enumerate(units.after):
        depth[unit] = 1 + max((depth[earlier] for earlier in after), default=-1)
    return tuple(int(u) for u in np.argsort(depth, kind="stable"))


def _by_height(units: Units) -> tuple[int, ...]:
    """By the longest path that still follows, the longest first."""
    height = units.seconds.astype(float).copy()
    for unit in range(len(units) - 1, -1, -1):
        for earlier in units.after[unit]:
            height[earlier] = max(height[earlier], units.seconds[earlier] + height[unit])
    return tuple(int(u) for u in np.argsort(-height, kind="stable"))
