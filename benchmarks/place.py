"""Placement against brute force, its time and gap at thirty operators, games on shared devices.

python benchmarks/place.py
"""

from __future__ import annotations

import time
from itertools import permutations, product

import numpy as np
from _figures import Figure, publish

from lydite.placement import (
    Game,
    Job,
    Problem,
    best_responses,
    exact,
    fastest,
    heft,
    optimum,
    pure_equilibria,
)

BANDWIDTH, LATENCY_S = 25e9, 2e-5
CASES, GAMES = 200, 200


def random_problem(rng: np.random.Generator, units: int, devices: int, density: float) -> Problem:
    edges = [(i, j) for j in range(units) for i in range(j) if rng.random() < density]
    return Problem(
        10 ** rng.uniform(-4, -2.5, (units, devices)),
        tuple(edges),
        rng.uniform(1e4, 2e7, len(edges)),
        np.full((devices, devices), BANDWIDTH),
        np.full((devices, devices), LATENCY_S),
    )


def brute_force(problem: Problem) -> float:
    """Every assignment, with the units of each device in every topological order."""
    n, devices = problem.seconds.shape
    into = [[(k, a) for k, (a, b) in enumerate(problem.edges) if b == u] for u in range(n)]
    orders = [
        order
        for order in permutations(range(n))
        if all(order.index(a) < order.index(b) for a, b in problem.edges)
    ]
    best = np.inf
    for device in product(range(devices), repeat=n):
        for order in orders:
            end, free = [0.0] * n, [0.0] * devices
            for u in order:
                begin = free[device[u]]
                for k, a in into[u]:
                    apart = device[a] != device[u]
                    wait = problem.edge_bytes[k] / BANDWIDTH + LATENCY_S if apart else 0.0
                    begin = max(begin, end[a] + wait)
                free[device[u]] = end[u] = begin + problem.seconds[u, device[u]]
            best = min(best, max(end))
    return best


def small_cases() -> list[Figure]:
    rng, equal, spent = np.random.default_rng(0), 0, []
    for _ in range(CASES):
        devices = int(rng.integers(2, 4))
        problem = random_problem(rng, int(rng.integers(3, 6)), devices, 0.4)
        start = time.perf_counter()
        found = exact(problem)
        spent.append(time.perf_counter() - start)
        wanted = brute_force(problem)
        equal += found.proven and abs(found.placement.makespan_s / wanted - 1) < 1e-6
    return [
        Figure(f"equal to brute force, {CASES} cases", equal / CASES, "share", 1.0, "higher"),
        Figure("time of a small case, median", float(np.median(spent)), "s", None, "lower"),
    ]


def thirty_units() -> list[Figure]:
    figures, densities = [], {"dense": 0.35, "sparse": 0.12}
    for name, density in densities.items():
        spent, gaps, greedy, ranked = [], [], [], []
        for seed in range(10):
            problem = random_problem(np.random.default_rng(seed), 30, 3, density)
            found = exact(problem, 4.5)
            spent.append(found.seconds)
            gaps.append(found.gap)
            greedy.append(fastest(problem).makespan_s / found.placement.makespan_s)
            ranked.append(heft(problem).makespan_s / found.placement.makespan_s)
        shown = {"fastest_over_best": float(np.median(greedy)), "heft": float(np.median(ranked))}
        label = f"30 operators, 3 devices, {name}"
        figures += [
            Figure(f"{label}: longest search", max(spent), "s", 5.0, "lower", shown),
            Figure(f"{label}: largest gap", max(gaps), "share", None, "lower"),
        ]
    return figures


def random_game(rng: np.random.Generator) -> Game:
    devices, jobs = int(rng.integers(2, 4)), []
    for number in range(int(rng.integers(2, 4))):
        groups = int(rng.integers(1, 4))
        moved = rng.uniform(0, 2e-3, (groups - 1, devices, devices)) * (1 - np.eye(devices))
        edges = [(i, i + 1) for i in range(groups - 1)]
        seconds = 10 ** rng.uniform(-3, -2, (groups, devices))
        jobs.append(Job.of(str(number), seconds, moved, edges))
    slowdown = rng.uniform(0, 3, (len(jobs), len(jobs))) if rng.random() < 0.5 else None
    return Game(tuple(jobs), slowdown)


def fleeing() -> Game:
    """Three jobs of which each flees the next: no equilibrium on two devices."""
    job = Job.of("job", np.ones((1, 2)), np.zeros((0, 2, 2)), [])
    return Game((job, job, job), np.array([[0, 1.0, 0], [0, 0, 1.0], [1.0, 0, 0]]))


def games() -> list[Figure]:
    rng, verified, cycles, anarchy = np.random.default_rng(1), 0, 0, []
    for _ in range(GAMES):
        game = random_game(rng)
        outcome = best_responses(game)
        stable = outcome.profile in pure_equilibria(game)
        verified += stable == outcome.equilibrium and stable != bool(outcome.cycle)
        cycles += bool(outcome.cycle)
        if stable:
            social = float(game.latencies(outcome.profile).sum())
            anarchy.append(social / optimum(game)[1])
    found = best_responses(fleeing(), (0, 0, 0))
    return [
        Figure(
            f"games verified, {GAMES}",
            verified / GAMES,
            "share",
            1.0,
            "higher",
            {"cycles": cycles, "price_of_anarchy_worst": max(anarchy)},
        ),
        Figure("cycle of fleeing jobs detected", float(bool(found.cycle)), "", 1.0, "higher"),
        Figure("price of anarchy, median", float(np.median(anarchy)), "ratio", None, "lower"),
    ]


def main() -> None:
    publish("place", [*small_cases(), *thirty_units(), *games()])


if __name__ == "__main__":
    main()
