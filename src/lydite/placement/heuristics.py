"""Placements found fast: single devices, the fastest device per unit, HEFT, single moves."""

from __future__ import annotations

import numpy as np

from lydite.placement.problem import Array, Placement, Problem, schedule


def ranks(problem: Problem) -> Array:
    """Upward ranks: mean time of the longest way to the end (Topcuoglu, Hariri and Wu 2002)."""
    finite = np.isfinite(problem.seconds)
    mean = np.where(finite, problem.seconds, 0).sum(axis=1) / finite.sum(axis=1)
    count = problem.seconds.shape[1]
    apart = problem.transfer_s.sum(axis=(1, 2)) / max(1, count * (count - 1))
    rank = np.zeros(len(problem))
    for unit in range(len(problem) - 1, -1, -1):
        ways = [apart[edge] + rank[after] for edge, after in problem.out_of[unit]]
        rank[unit] = mean[unit] + max(ways, default=0.0)
    return rank


def by_rank(problem: Problem) -> list[int]:
    """Units by falling rank, in a topological order."""
    rank = ranks(problem)
    waits = [len(edges) for edges in problem.into]
    ready = [unit for unit in range(len(problem)) if not waits[unit]]
    order: list[int] = []
    while ready:
        unit = max(ready, key=lambda u: (rank[u], -u))
        ready.remove(unit)
        order.append(unit)
        for _, after in problem.out_of[unit]:
            waits[after] -= 1
            if not waits[after]:
                ready.append(after)
    return order


def heft(problem: Problem) -> Placement:
    """Each unit, by rank, to the device on which it ends first."""
    end, free = np.zeros(len(problem)), np.zeros(problem.seconds.shape[1])
    device = np.zeros(len(problem), int)
    room = problem.memory_bytes.astype(float).copy()
    order = by_rank(problem)
    for unit in order:
        best = np.inf
        for here in problem.allowed(unit):
            ready = free[here]
            for edge, first in problem.into[unit]:
                ready = max(ready, end[first] + problem.transfer_s[edge, device[first], here])
            ends = ready + problem.seconds[unit, here]
            if ends < best and _room(problem, room, unit, here):
                best, device[unit] = ends, here
        end[unit] = free[device[unit]] = best
        if room.size and problem.weight_bytes.size:
            room[device[unit]] -= problem.weight_bytes[unit]
    return schedule(problem, device.tolist(), order, "HEFT")


def _room(problem: Problem, room: Array, unit: int, device: int) -> bool:
    if not room.size or not problem.weight_bytes.size:
        return True
    return bool(problem.weight_bytes[unit] <= room[device])


def fastest(problem: Problem) -> Placement:
    """Each unit on the device that runs it fastest, whatever moves."""
    device = []
    for unit in range(len(problem)):
        times = problem.seconds[unit]
        device.append(min(problem.allowed(unit), key=lambda d, times=times: times[d]))
    return schedule(problem, device, by_rank(problem), "fastest per operator")


def single_device(problem: Problem, device: int) -> Placement | None:
    """All units that can be moved on one device; None if one cannot run there."""
    spots = [problem.fixed.get(unit, device) for unit in range(len(problem))]
    if not all(np.isfinite(problem.seconds[u, d]) for u, d in enumerate(spots)):
        return None
    name = problem.devices[device] if problem.devices else str(device)
    return schedule(problem, spots, by_rank(problem), f"all on {name}")


def improved(problem: Problem, placement: Placement) -> Placement:
    """Moves of single units, and of neighbours together, as long as one helps."""
    order = by_rank(problem)
    best = placement
    again = True
    while again:
        again = False
        for group in _groups(problem):
            for here in range(problem.seconds.shape[1]):
                device = best.device.copy()
                device[group] = here
                if any(here not in problem.allowed(unit) for unit in group):
                    continue
                tried = schedule(problem, device.tolist(), order, placement.method)
                shorter = tried.makespan_s < best.makespan_s * (1 - 1e-9)
                if shorter and problem.fits(device.tolist()):
                    best, again = tried, True
    return best


def _groups(problem: Problem) -> list[list[int]]:
    """Single units, neighbours, and runs of units."""
    loose = [unit for unit in range(len(problem)) if unit not in problem.fixed]
    pairs = [list(edge) for edge in problem.edges if not problem.fixed.keys() & set(edge)]
    runs = [loose[i : i + size] for size in (4, 8) for i in range(0, len(loose), size // 2)]
    return [*([unit] for unit in loose), *pairs, *runs, loose]
