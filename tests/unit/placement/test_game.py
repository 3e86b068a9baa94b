"""Games of jobs on shared devices: equilibria verified, cycles detected."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from lydite.errors import InputError
from lydite.placement import Game, Job, best_responses, optimum, play_jobs, pure_equilibria


def random_game(rng):
    devices, jobs = int(rng.integers(2, 4)), []
    for number in range(int(rng.integers(2, 4))):
        groups = int(rng.integers(1, 4))
        moved = rng.uniform(0, 2e-3, (groups - 1, devices, devices)) * (1 - np.eye(devices))
        edges = [(i, i + 1) for i in range(groups - 1)]
        seconds = 10 ** rng.uniform(-3, -2, (groups, devices))
        jobs.append(Job.of(str(number), seconds, moved, edges))
    slowdown = rng.uniform(0, 3, (len(jobs), len(jobs))) if rng.random() < 0.5 else None
    return Game(tuple(jobs), slowdown)


def latency(game, job, profile):
    """From the formula, without the game's own arrays of shares."""
    mine, strategy = game.jobs[job], profile[job]
    total = mine.moved_s[strategy]
    for device in range(mine.busy_s.shape[1]):
        slower = 1.0
        for other, each in enumerate(game.jobs):
            if other == job:
                continue
            busy = each.busy_s[profile[other]]
            share = busy[device] / (each.moved_s[profile[other]] + busy.sum())
            slower += share * (1 if game.slowdown is None else game.slowdown[job, other])
        total += mine.busy_s[strategy, device] * slower
    return total


def stable(game, profile):
    return all(
        latency(game, job, (*profile[:job], other, *profile[job + 1 :]))
        >= latency(game, job, profile) * (1 - 1e-7)
        for job in range(len(game.jobs))
        for other in range(len(game.jobs[job].strategies))
    )


def test_two_hundred_games_end_in_a_verified_equilibrium_or_a_shown_cycle():
    rng = np.random.default_rng(0)
    for _ in range(200):
        game = random_game(rng)
        outcome = best_responses(game)
        assert outcome.equilibrium == stable(game, outcome.profile)
        assert outcome.equilibrium != bool(outcome.cycle)
        if outcome.cycle:
            first, *rest = outcome.cycle
            assert rest[-1] == first
        everything = pure_equilibria(game)
        assert (outcome.profile in everything) == outcome.equilibrium


def test_the_optimum_and_all_equilibria_are_those_of_brute_force():
    rng = np.random.default_rng(1)
    for _ in range(10):
        game = random_game(rng)
        sizes = [range(len(job.strategies)) for job in game.jobs]
        if game.profiles > 2000:
            continue
        totals = {
            p: sum(latency(game, job, p) for job in range(len(game.jobs))) for p in product(*sizes)
        }
        best, seconds = optimum(game)
        assert seconds == pytest.approx(min(totals.values()))
        assert totals[best] == pytest.approx(seconds)
        assert set(pure_equilibria(game)) == {p for p in totals if stable(game, p)}


def one_group(name):
    return Job.of(name, np.array([[1.0, 1.0]]), np.zeros((0, 2, 2)), [])


def test_three_jobs_that_avoid_each_other_in_a_ring_have_no_equilibrium():
    """a flees b, b flees c, c flees a: on two devices two of them always meet."""
    flees = np.array([[0, 1.0, 0], [0, 0, 1.0], [1.0, 0, 0]])
    game = Game((one_group("a"), one_group("b"), one_group("c")), flees)
    outcome = best_responses(game, (0, 0, 0))
    assert not outcome.equilibrium
    assert len(outcome.cycle) > 2
    assert outcome.cycle[0] == outcome.cycle[-1]
    assert pure_equilibria(game) == []


def test_two_equal_jobs_part():
    game = Game((one_group("a"), one_group("b")))
    outcome = best_responses(game, (0, 0))
    assert outcome.equilibrium
    assert sorted(outcome.profile) == [0, 1]
    assert game.latencies(outcome.profile).tolist() == [1.0, 1.0]
    assert game.latencies((0, 0)).tolist() == [2.0, 2.0]


def test_the_engine_shares_a_device_as_the_formula_does():
    game = Game((one_group("a"), one_group("b")))
    assert play_jobs(game, (0, 0)) == pytest.approx([2.0, 2.0], rel=0.05)
    assert play_jobs(game, (0, 1)) == pytest.approx([1.0, 1.0], rel=1e-6)


def test_too_many_profiles_are_refused():
    moved, edges = np.zeros((7, 3, 3)), [(i, i + 1) for i in range(7)]
    job = Job.of("a", np.ones((8, 3)), moved, edges)
    with pytest.raises(InputError, match="profiles"):
        optimum(Game((job, job, job)))
    with pytest.raises(InputError, match="no device"):
        Job.of("a", np.array([[np.inf, np.inf]]), np.zeros((0, 2, 2)), [])
