"""Stages: the search against an exhaustive one that shares no code with it."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from lydite.parallel import Costs, Units, best_stages, side_seconds


def random_units(rng, most=8):
    n = int(rng.integers(1, most + 1))
    after = tuple(tuple(j for j in range(i) if rng.random() < 0.35) for i in range(n))
    seconds = 10 ** rng.uniform(-4.5, -2.5, n)
    wide = seconds * rng.uniform(0.4, 1.2, n)
    return Units(seconds, wide, rng.uniform(0, 1, n).round(), after)


def random_costs(rng):
    return Costs(
        2,
        handoff_s=rng.uniform(0, 1e-3),
        wake_s=rng.uniform(0, 3e-4),
        call_s=rng.uniform(0, 1e-4),
        slowdown=1 + rng.uniform(0, 0.3, (2, 2)),
    )


def stage_time(units, costs, chosen):
    """The best of all ways to run the chosen units, by trying each owner of each unit."""
    best = costs.call_s + sum(units.seconds[u] for u in chosen)
    best = min(best, costs.call_s + costs.wake_s + sum(units.wide[u] for u in chosen))
    for owners in product((0, 1), repeat=len(chosen)):
        owner = dict(zip(chosen, owners, strict=True))
        if len(set(owners)) < 2:
            continue
        if any(a in owner and owner[a] != owner[u] for u in chosen for a in units.after[u]):
            continue
        loads = [[0.0, 0.0], [0.0, 0.0]]
        for u in chosen:
            loads[owner[u]][0] += units.seconds[u] * (1 - units.memory[u])
            loads[owner[u]][1] += units.seconds[u] * units.memory[u]
        totals = [sum(load) for load in loads]
        ends = []
        for me, other in ((0, 1), (1, 0)):
            overlapped = min(totals) / totals[me]
            end = 0.0
            for mine in (0, 1):
                beside = sum(
                    loads[other][kind] / totals[other] * costs.slowdown[mine, kind]
                    for kind in (0, 1)
                )
                end += loads[me][mine] * (1 + overlapped * (beside - 1))
            ends.append(end)
        best = min(best, max(ends) + costs.handoff_s + costs.call_s)
    return best


def exhaustive(units, costs):
    """Every ordered partition into stages, without remembering anything but finished sets."""
    n, known = len(units), {}

    def rest(done):
        if len(done) == n:
            return 0.0
        if done not in known:
            left = [u for u in range(n) if u not in done]
            known[done] = min(
                stage_time(units, costs, chosen) + rest(done | set(chosen))
                for size in range(1, len(left) + 1)
                for chosen in combinations(left, size)
                if all(a in done or a in chosen for u in chosen for a in units.after[u])
            )
        return known[done]

    return rest(frozenset())


def valid(units, stages):
    done = set()
    for stage in stages:
        for lane in stage.lanes:
            for unit in lane:
                before = [u for u in lane if u < unit]
                assert all(a in done or a in before for a in units.after[unit])
        done |= set(stage.units)
    return sorted(u for stage in stages for u in stage.units) == list(range(len(units)))


def test_two_hundred_small_graphs_are_solved_exactly():
    rng = np.random.default_rng(0)
    ways = set()
    for _ in range(200):
        units, costs = random_units(rng, 6), random_costs(rng)
        stages = best_stages(units, costs)
        assert valid(units, stages)
        total = sum(stage.seconds for stage in stages)
        assert total == pytest.approx(exhaustive(units, costs), rel=1e-9)
        ways |= {stage.way for stage in stages}
    assert ways == {"one", "side", "wide"}


def test_eight_operators_are_solved_exactly():
    rng = np.random.default_rng(7)
    for _ in range(10):
        units, costs = random_units(rng, 8), random_costs(rng)
        total = sum(stage.seconds for stage in best_stages(units, costs))
        assert total == pytest.approx(exhaustive(units, costs), rel=1e-9)


def test_the_search_of_large_graphs_is_valid_and_near_the_exact_one():
    rng = np.random.default_rng(1)
    ratios = []
    for _ in range(30):
        units, costs = random_units(rng, 9), random_costs(rng)
        large = best_stages(units, costs, exact=0)
        assert valid(units, large)
        exact = sum(stage.seconds for stage in best_stages(units, costs))
        ratios.append(sum(stage.seconds for stage in large) / exact)
    assert min(ratios) >= 1 - 1e-9
    assert np.median(ratios) < 1.02


def test_a_chain_stays_on_one_worker_and_branches_part_where_it_pays():
    chain = Units(np.full(3, 1e-3), np.full(3, np.inf), np.zeros(3), ((), (0,), (1,)))
    assert [stage.way for stage in best_stages(chain, Costs(2, handoff_s=1e-5))] == ["one"]
    assert side_seconds(chain, Costs(), (0, 1, 2)) is None
    fork = Units(np.full(3, 1e-3), np.full(3, np.inf), np.zeros(3), ((), (0,), (0,)))
    stages = best_stages(fork, Costs(2, handoff_s=1e-5))
    assert [stage.way for stage in stages] == ["one", "side"]
    assert stages[1].seconds == pytest.approx(1e-3 + 1e-5)
    dear = best_stages(fork, Costs(2, handoff_s=2e-3))
    assert [stage.way for stage in dear] == ["one"]


def test_many_components_are_shared_out_evenly():
    n = 20
    units = Units(np.full(n, 1e-3), np.full(n, np.inf), np.zeros(n), ((),) * n)
    (stage,) = best_stages(units, Costs(4))
    assert stage.way == "side"
    assert [len(lane) for lane in stage.lanes] == [5, 5, 5, 5]
    assert stage.seconds == pytest.approx(5e-3)


def test_nothing_has_no_stages():
    nothing = Units(np.zeros(0), np.zeros(0), np.zeros(0), ())
    assert best_stages(nothing, Costs()) == ()
