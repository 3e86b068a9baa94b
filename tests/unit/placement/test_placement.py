"""Placements against brute force; play on the engine."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from lydite.errors import InputError
from lydite.placement import Problem, exact, grouped, heft, play, schedule, single_device


def random_problem(rng, units, devices, density=0.35, sparse=0.0):
    edges = [(i, j) for j in range(units) for i in range(j) if rng.random() < density]
    seconds = 10 ** rng.uniform(-4, -2.5, (units, devices))
    for unit in range(units):
        if rng.random() < sparse:
            seconds[unit, rng.integers(devices)] = np.inf
    return Problem(
        seconds,
        tuple(edges),
        rng.uniform(1e4, 2e7, len(edges)),
        np.full((devices, devices), 25e9),
        np.full((devices, devices), 2e-5),
        {0: 0} if np.isfinite(seconds[0, 0]) and rng.random() < 0.3 else {},
    )


def brute_force(problem):
    """Every assignment in every topological order."""
    n, devices = problem.seconds.shape
    orders = [
        order
        for order in permutations(range(n))
        if all(order.index(a) < order.index(b) for a, b in problem.edges)
    ]
    best = np.inf
    for device in product(range(devices), repeat=n):
        if any(device[u] != d for u, d in problem.fixed.items()):
            continue
        if not all(np.isfinite(problem.seconds[u, d]) for u, d in enumerate(device)):
            continue
        for order in orders:
            end, free = {}, [0.0] * devices
            for u in order:
                begin = free[device[u]]
                for number, (a, b) in enumerate(problem.edges):
                    if b == u:
                        apart = device[a] != device[u]
                        wait = problem.edge_bytes[number] / 25e9 + 2e-5 if apart else 0.0
                        begin = max(begin, end[a] + wait)
                end[u] = free[device[u]] = begin + problem.seconds[u, device[u]]
            best = min(best, max(end.values()))
    return best


def test_two_hundred_small_cases_are_solved_exactly():
    rng = np.random.default_rng(0)
    for _ in range(200):
        devices = int(rng.integers(2, 4))
        problem = random_problem(
            rng, int(rng.integers(2, 6 if devices == 2 else 5)), devices, sparse=0.2
        )
        found = exact(problem)
        assert found.proven
        assert found.gap == 0
        assert found.placement.makespan_s == pytest.approx(brute_force(problem), rel=1e-6)


def test_thirty_units_end_in_time_with_a_bound():
    problem = random_problem(np.random.default_rng(3), 30, 3, 0.12)
    found = exact(problem, 1.0)
    assert 0 < found.bound_s <= found.placement.makespan_s
    assert found.placement.makespan_s <= heft(problem).makespan_s * (1 + 1e-9)
    assert found.gap == pytest.approx(
        0.0 if found.proven else 1 - found.bound_s / found.placement.makespan_s
    )


def test_memory_is_a_limit():
    still = np.zeros((2, 2))
    problem = Problem(
        np.array([[1.0, 0.1], [1.0, 0.1]]),
        ((0, 1),),
        np.array([1.0]),
        np.full((2, 2), 1e9),
        still,
        weight_bytes=np.array([6.0, 6.0]),
        memory_bytes=np.array([20.0, 10.0]),
    )
    found = exact(problem)
    assert found.placement.makespan_s == pytest.approx(1.1, rel=1e-6)
    assert problem.fits(found.placement.device.tolist())


def test_the_engine_plays_what_was_planned():
    """One transfer at a time shares no link: the engine's end is the plan's."""
    rng = np.random.default_rng(4)
    for _ in range(10):
        n = 6
        chain = Problem(
            10 ** rng.uniform(-4, -3, (n, 2)),
            tuple((i, i + 1) for i in range(n - 1)),
            rng.uniform(1e5, 1e7, n - 1),
            np.full((2, 2), 1e10),
            np.full((2, 2), 1e-5),
        )
        planned = schedule(chain, rng.integers(0, 2, n).tolist(), range(n))
        played = play(chain, planned).makespan_ps * 1e-12
        assert played == pytest.approx(planned.makespan_s, rel=1e-6)


def test_transfers_that_share_a_link_take_longer_than_planned():
    fan = Problem(
        np.array([[1e-6, np.inf], [1e-6, np.inf], [np.inf, 1e-6], [np.inf, 1e-6]]),
        ((0, 2), (0, 3)),
        np.array([1e6, 1e6]),
        np.full((2, 2), 1e9),
        np.zeros((2, 2)),
    )
    planned = exact(fan).placement
    assert planned.makespan_s == pytest.approx(1e-6 + 1e-3 + 2e-6, rel=1e-6)
    played = play(fan, planned).makespan_ps * 1e-12
    assert played == pytest.approx(1e-6 + 2e-3 + 2e-6, rel=1e-3)


def test_nonsense_is_refused():
    ones, still = np.ones((2, 2)), np.zeros((2, 2))
    with pytest.raises(InputError, match="topological order"):
        Problem(ones, ((1, 0),), np.ones(1), ones, still)
    with pytest.raises(InputError, match="no device can run 'b'"):
        Problem(np.array([[1, 1], [np.inf, np.inf]]), (), np.ones(0), ones, still, units=("a", "b"))
    half = Problem(np.array([[1.0, np.inf], [np.inf, 1.0]]), (), np.ones(0), ones, still)
    assert single_device(half, 0) is None


def test_groups_are_chains_then_neighbours():
    seconds = np.ones((6, 2))
    edges = {(0, 1): 1.0, (1, 2): 1.0, (2, 3): 1.0, (2, 4): 1.0, (3, 5): 1.0, (4, 5): 1.0}
    assert grouped(seconds, edges, 10) == [[0, 1, 2], [3], [4], [5]]
    few = grouped(seconds, edges, 2)
    assert len(few) == 2
    assert sorted(u for group in few for u in group) == list(range(6))
    place = {u: number for number, group in enumerate(few) for u in group}
    assert all(place[a] <= place[b] for a, b in edges)
    split = seconds.copy()
    split[:3, 0], split[3:, 1] = np.inf, np.inf
    assert len(grouped(split, edges, 1)) == 2  # no device could run all of them
