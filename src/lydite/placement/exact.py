"""Exact placement as a mixed-integer linear program, solved by HiGHS.

Variables: x[i, d] (unit i runs on device d), y[e, d, d'] (edge e goes from d to d'), o[i, j] (i
runs before j, if both are on one device and neither waits for the other), starts, the makespan.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix

from lydite.placement.heuristics import fastest, heft, improved, single_device
from lydite.placement.problem import Array, Placement, Problem, schedule
from lydite.records import dataclass


@dataclass(frozen=True)
class Exact:
    """The best placement that was found.

    Attributes:
        placement: Placement.
        bound_s: No placement takes less, in seconds.
        seconds: Time of the search.
        proven: Whether the placement is optimal.
    """

    placement: Placement
    bound_s: float
    seconds: float
    proven: bool

    @property
    def gap(self) -> float:
        """Share by which the placement may exceed the optimum."""
        if self.proven:
            return 0.0
        return max(0.0, 1 - self.bound_s / self.placement.makespan_s)


def exact(problem: Problem, time_limit_s: float = 5.0) -> Exact:
    """The placement of least makespan, or the best within the time limit, with a bound.

    Args:
        problem: Units, devices and edges.
        time_limit_s: Seconds that the solver may take.
    """
    began = time.perf_counter()
    known = best_known(problem)
    program = _Program(problem, known.makespan_s)
    found = program.solve(time_limit_s)
    bound = getattr(found, "mip_dual_bound", None)
    bound_s = 0.0 if bound is None else float(bound) * program.scale
    bound_s = min(max(bound_s, _simple_bound(problem)), known.makespan_s)
    best = known
    if found.x is not None:
        device, start = program.read(found.x)
        order = sorted(range(len(problem)), key=lambda u: (start[u], u))
        tried = schedule(problem, device, order, "MILP")
        if tried.makespan_s <= known.makespan_s * (1 + 1e-9):
            best = tried
    proven = found.status == 0 or best.makespan_s <= bound_s * (1 + 1e-6)
    if found.status == 2:  # nothing is shorter than what was known
        proven, bound_s = True, known.makespan_s
    best = replace(best, method="MILP")
    spent = time.perf_counter() - began
    return Exact(best, best.makespan_s if proven else bound_s, spent, proven)


def best_known(problem: Problem) -> Placement:
    """The best placement of the heuristics."""
    found = [heft(problem), *heuristics(problem)]
    fitting = [p for p in found if problem.fits(p.device.tolist())] or found[:1]
    fitting.sort(key=lambda p: p.makespan_s)
    return min((improved(problem, p) for p in fitting[:2]), key=lambda p: p.makespan_s)


def heuristics(problem: Problem) -> list[Placement]:
    """The fastest device for each unit, then each device alone that can run all."""
    alone = [single_device(problem, device) for device in range(problem.seconds.shape[1])]
    return [fastest(problem), *(placement for placement in alone if placement is not None)]


def _simple_bound(problem: Problem) -> float:
    """The longest path with every unit on its fastest device, and the fastest work shared out."""
    least = problem.seconds.min(axis=1)
    end = np.zeros(len(problem))
    for unit in range(len(problem)):
        end[unit] = least[unit] + max((end[first] for _, first in problem.into[unit]), default=0.0)
    return float(max(end.max(initial=0.0), least.sum() / problem.seconds.shape[1]))


class _Program:
    """The program's columns and rows; times are divided by the best known makespan."""

    def __init__(self, problem: Problem, known_s: float) -> None:
        self.problem, self.scale = problem, known_s or 1.0
        n, devices, edges = len(problem), problem.seconds.shape[1], len(problem.edges)
        self.pairs = _incomparable(problem)
        self.n, self.devices = n, devices
        self.x0, self.y0 = 0, n * devices
        self.o0 = self.y0 + edges * devices * devices
        self.s0 = self.o0 + len(self.pairs)
        self.m0 = self.s0 + n
        self.columns = self.m0 + 1
        self.rows: list[dict[int, float]] = []
        self.low: list[float] = []
        self.high: list[float] = []
        self.time = np.where(np.isfinite(problem.seconds), problem.seconds, 0.0) / self.scale
        self.transfer = problem.transfer_s / self.scale
        self._assign()
        self._edges()
        self._loads()
        self._order()

    def x(self, unit: int, device: int) -> int:
        return self.x0 + unit * self.devices + device

    def y(self, edge: int, first: int, second: int) -> int:
        return self.y0 + (edge * self.devices + first) * self.devices + second

    def add(self, row: dict[int, float], low: float, high: float = np.inf) -> None:
        """A row: low <= row <= high."""
        self.rows.append(row)
        self.low.append(low)
        self.high.append(high)

    def _assign(self) -> None:
        for unit in range(self.n):
            self.add({self.x(unit, d): 1.0 for d in range(self.devices)}, 1, 1)
            ends = {self.x(unit, d): -self.time[unit, d] for d in range(self.devices)}
            self.add({**ends, self.s0 + unit: -1.0, self.m0: 1.0}, 0)

    def _edges(self) -> None:
        span = range(self.devices)
        for edge, (first, second) in enumerate(self.problem.edges):
            for d in span:
                self.add({**{self.y(edge, d, k): 1.0 for k in span}, self.x(first, d): -1.0}, 0, 0)
                self.add({**{self.y(edge, k, d): 1.0 for k in span}, self.x(second, d): -1.0}, 0, 0)
            row = {self.s0 + second: 1.0, self.s0 + first: -1.0}
            row |= {self.x(first, d): -self.time[first, d] for d in span}
            row |= {self.y(edge, d, k): -self.transfer[edge, d, k] for d in span for k in span}
            self.add(row, 0)

    def _loads(self) -> None:
        problem = self.problem
        for d in range(self.devices):
            load = {self.x(unit, d): -self.time[unit, d] for unit in range(self.n)}
            self.add({**load, self.m0: 1.0}, 0)
            if problem.memory_bytes.size and problem.weight_bytes.size:
                unit = problem.memory_bytes[d] or 1.0
                held = {self.x(u, d): problem.weight_bytes[u] / unit for u in range(self.n)}
                self.add(held, -np.inf, 1.0)

    def _order(self) -> None:
        for number, (first, second) in enumerate(self.pairs):
            order = self.o0 + number
            for d in range(self.devices):
                one, other = self.x(first, d), self.x(second, d)
                later = {self.s0 + second: 1.0, self.s0 + first: -1.0}
                ends = {one: -1.0 - self.time[first, d], other: -1.0}
                self.add({**ends, **later, order: -1.0}, -3.0)
                earlier = {self.s0 + second: -1.0, self.s0 + first: 1.0}
                ends = {one: -1.0, other: -1.0 - self.time[second, d]}
                self.add({**ends, **earlier, order: 1.0}, -2.0)

    def solve(self, time_limit_s: float) -> Any:
        """HiGHS's answer."""
        cost = np.zeros(self.columns)
        cost[self.m0] = 1.0
        low, high = np.zeros(self.columns), np.ones(self.columns)
        for unit in range(self.n):
            allowed = self.problem.allowed(unit)
            for d in range(self.devices):
                high[self.x(unit, d)] = float(d in allowed)
        low[self.m0] = _simple_bound(self.problem) / self.scale * (1 - 1e-9)
        high[self.m0] = 1 + 1e-9
        kind = np.zeros(self.columns)
        kind[: self.y0] = kind[self.o0 : self.s0] = 1
        limits: Any = (np.array(self.low), np.array(self.high))  # scipy's types say float
        bounds: Any = (low, high)
        return milp(
            cost,
            integrality=kind,
            bounds=Bounds(*bounds),
            constraints=LinearConstraint(self._matrix(), *limits),
            options={"time_limit": time_limit_s, "mip_rel_gap": 1e-7},
        )

    def _matrix(self) -> csr_matrix:
        at = [number for number, row in enumerate(self.rows) for _ in row]
        columns = [column for row in self.rows for column in row]
        values = [value for row in self.rows for value in row.values()]
        return csr_matrix((values, (at, columns)), shape=(len(self.rows), self.columns))

    def read(self, x: Array) -> tuple[list[int], Array]:
        """Devices and starts."""
        spots = x[: self.y0].reshape(self.n, self.devices).argmax(axis=1)
        return [int(d) for d in spots], x[self.s0 : self.m0]


def _incomparable(problem: Problem) -> list[tuple[int, int]]:
    """Pairs of units of which neither waits for the other."""
    n = len(problem)
    before = np.zeros((n, n), bool)
    for unit in range(n):
        for _, first in problem.into[unit]:
            before[unit] |= before[first]
            before[unit, first] = True
    return [(i, j) for j in range(n) for i in range(j) if not before[j, i]]
