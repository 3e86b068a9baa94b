"""Tuners on tables whose best is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tune_samples import HERE, gemm_key, task

from lydite.backends.tuned import all_configs, ranked
from lydite.errors import InputError, MissingExtra
from lydite.store import Software, Trial
from lydite.tune import TUNERS, Problem, good_share, race, run_search
from lydite.tune.rig import Outcome
from lydite.tune.tuning import interval

PACKAGES = {"own": "lightgbm", "tpe": "optuna", "nevergrad": "nevergrad"}


def needs(name: str) -> None:
    package = PACKAGES.get(name, "lightgbm" if name.startswith("xgb") else None)
    if package:
        pytest.importorskip(package, reason=f"{package} is not installed")


def problem(size: int = 60, prior=()) -> Problem:
    made = task(gemm_key(128, 768, 768))
    every = all_configs(made, HERE)
    return Problem(made, HERE, every[:: len(every) // size][:size], tuple(prior))


def truth(made: Problem, seed: int = 0) -> np.ndarray:
    """The formula with a twist that depends on the factors, and some noise."""
    random = np.random.default_rng(seed)
    twist = np.array([1 + 0.3 * (config.factors["unroll"] == 4) for config in made.configs])
    return made.formula_s * twist * np.exp(random.normal(0, 0.05, len(twist)))


@pytest.mark.parametrize("name", TUNERS.names())
def test_every_tuner_tries_everything_once_and_copes_with_failures(name):
    needs(name)
    made = problem(40)
    seconds = truth(made)
    tried: list[int] = []

    def attempt(_, config):
        number = made.number[config]
        tried.append(number)
        return Outcome("ok", seconds=seconds[number]) if number % 5 else Outcome("timeout")

    search = TUNERS.find(name)(made, 1)
    outcomes = run_search(made, search, attempt, 40)
    assert len(tried) == len(set(tried)) == len(outcomes)
    if name != "own":  # which stops when another trial is not worth its time
        assert len(tried) == 40
        assert search.propose() is None


@pytest.mark.parametrize("name", ["own", "random", "ga", "xgb"])
def test_a_seed_fixes_the_search(name):
    needs(name)
    made = problem(40)
    seconds = truth(made)

    def attempt(_, config):
        return Outcome("ok", seconds=seconds[made.number[config]])

    runs = [list(run_search(made, TUNERS.find(name)(made, 3), attempt, 25)) for _ in range(2)]
    assert runs[0] == runs[1]


def test_what_is_known_is_not_tried_again():
    made = problem(20)
    search = TUNERS.find("formula")(made, 0)
    first = int(np.argmin(made.formula_s))
    search.observe(first, 1e-3)
    assert search.propose() != first


def test_own_starts_where_the_formula_says():
    needs("own")
    made = problem(60)
    start = TUNERS.find("own")(made, 0).propose()
    assert start is not None
    assert made.formula_s[start] <= 1.05 * made.formula_s.min()


def test_rows_of_other_shapes_teach_what_the_formula_lacks():
    """The truth punishes an unroll of 4 fourfold; rows of another shape say so."""
    needs("own")
    other = task(gemm_key(196, 512, 256))
    rows = []
    for config, formula in zip(
        all_configs(other, HERE)[::7],
        ranked(other, HERE, all_configs(other, HERE)[::7]),
        strict=True,
    ):
        slow = 4 if config.factors["unroll"] == 4 else 1
        rows.append(
            Trial(
                other.key,
                "cpu",
                Software("tvm", {}),
                HERE.target,
                config.space,
                config.factors,
                seconds=formula * slow,
            )
        )
    made = problem(60, rows)
    predicted = TUNERS.find("own")(made, 0).predicted_log_s() - np.log(made.formula_s)
    unrolled = np.array([config.factors["unroll"] == 4 for config in made.configs])
    assert predicted[unrolled].mean() > 1.0
    assert abs(predicted[~unrolled].mean()) < 0.3


def test_own_beats_random_on_a_table_like_its_formula():
    needs("own")
    made = problem(200)
    seconds = truth(made).tolist()
    own, random = race(made, seconds, ["own", "random"], seeds=5, most=100)
    assert own.trials[1] is not None
    assert own.trials[1] <= 8
    assert random.trials[1] is None or random.trials[1] > own.trials[1]


def test_own_stops_when_nothing_is_to_be_gained():
    needs("own")
    made = problem(60)
    seconds = made.formula_s

    def attempt(_, config):
        return Outcome("ok", seconds=seconds[made.number[config]])

    outcomes = run_search(made, TUNERS.find("own")(made, 0), attempt, 60)
    assert len(outcomes) < 40
    assert min(o.seconds for o in outcomes.values()) == seconds.min()


def test_share_of_good_configurations():
    assert good_share([1.0, 1.01, 1.04, 2.0, None], 0.02) == 0.4
    assert good_share([1.0, 1.01, 1.04, 2.0, None], 0.05) == 0.6


def test_the_interval_covers_the_median():
    logs = np.random.default_rng(0).normal(math.log(0.8), 0.05, 15)
    low, high = interval(logs)
    assert low <= math.exp(np.median(logs)) <= high
    assert 0.7 < low < high < 0.9


def test_a_tuner_whose_package_is_missing_says_so(monkeypatch):
    from lydite.tune.tuners import adapters, boosted

    for module in (adapters, boosted):
        monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match="pip install 'lydite\\[tuners\\]'"):
        TUNERS.find("tpe")(problem(10), 0)
    with pytest.raises(MissingExtra, match="pip install 'lydite\\[tvm\\]'"):
        TUNERS.find("own")(problem(10), 0)
    with pytest.raises(InputError, match="did you mean 'gridsearch'"):
        TUNERS.find("gridsearh")
