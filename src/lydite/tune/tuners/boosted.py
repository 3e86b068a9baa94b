"""Boosted trees over measured configurations, as AutoTVM's `XGBTuner`; LightGBM is the learner.

Sixteen random trials come first. Then the model of all trials so far ranks the space, and the best
unmeasured configuration is tried, at random once in twenty trials.
"""

from __future__ import annotations

import math
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from lydite.errors import MissingExtra
from lydite.tune.problem import Problem

_FIRST, _RANDOM_SHARE, _BATCH = 16, 0.05, 4
_TREES = {"num_leaves": 15, "learning_rate": 0.15, "min_child_samples": 2, "verbose": -1}


def learner() -> Any:
    """The package `lightgbm`.

    Raises:
        MissingExtra: it is not installed.
    """
    if find_spec("lightgbm") is None:
        raise MissingExtra("lightgbm", "tvm")
    return import_module("lightgbm")


def fitted(
    features: np.ndarray,
    target: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    seed: int = 0,
    ranks: bool = False,
    rounds: int = 80,
) -> Any:
    """Boosted trees on a few rows: a regression, or an order with `ranks`."""
    lightgbm = learner()
    wanted: dict[str, Any] = {**_TREES, "seed": seed, "num_threads": 1, "deterministic": True}
    group = None
    if ranks:
        wanted |= {"objective": "lambdarank", "label_gain": list(range(32))}
        order = np.argsort(np.argsort(-target))  # the fastest has the highest rank
        target = (order * 31 // max(1, len(order) - 1)).astype(int)
        group = [len(target)]
    data = lightgbm.Dataset(features, target, weight=weights, group=group, free_raw_data=False)
    return lightgbm.train(wanted, data, num_boost_round=rounds)


class Boosted:
    """Model-based search.

    Args:
        problem: Problem.
        seed: Random seed.
        features: Features of the configurations.
        ranks: Whether the model orders configurations instead of predicting their time.
    """

    def __init__(
        self, problem: Problem, seed: int, features: np.ndarray, *, ranks: bool = False
    ) -> None:
        learner()
        self._random, self._seed = np.random.default_rng(seed), seed
        self._features, self._ranks = features, ranks
        self._order = self._random.permutation(len(problem.configs)).tolist()
        self._logs: dict[int, float] = {}
        self._plan: list[int] = []

    def propose(self) -> int | None:
        """The best by the model that is not measured."""
        fresh = [n for n in self._order if n not in self._logs]
        if not fresh:
            return None
        if len(self._logs) < _FIRST or self._random.random() < _RANDOM_SHARE:
            return fresh[0]
        self._plan = [n for n in self._plan if n not in self._logs]
        if not self._plan:
            self._plan = self._best(fresh)
        return self._plan.pop(0)

    def observe(self, number: int, seconds: float | None) -> None:
        """Keep the logarithm; a failure is as slow as ten times the slowest."""
        slowest = max(self._logs.values(), default=0.0)
        self._logs[number] = math.log(seconds) if seconds else slowest + math.log(10)

    def _best(self, fresh: list[int]) -> list[int]:
        rows = list(self._logs)
        target = np.array([self._logs[n] for n in rows])
        model = fitted(self._features[rows], target, seed=self._seed, ranks=self._ranks)
        scores = model.predict(self._features[fresh])
        scores = -scores if self._ranks else scores
        return [fresh[i] for i in np.argsort(scores, kind="stable")[:_BATCH]]


def knob(problem: Problem, seed: int) -> Boosted:
    """Features are the factors themselves."""
    return Boosted(problem, seed, problem.knobs)


def rank(problem: Problem, seed: int) -> Boosted:
    """As `knob`, with a model that orders."""
    return Boosted(problem, seed, problem.knobs, ranks=True)


def itervar(problem: Problem, seed: int) -> Boosted:
    """Features of the loops: sums in registers, body, panels, waste; what the space derives."""
    return Boosted(problem, seed, problem.features)


def curve(problem: Problem, seed: int) -> Boosted:
    """Features of reuse: the products of the factors in turn, as the loops enclose each other."""
    numbers = np.where(np.isnan(problem.knobs), 1.0, np.maximum(problem.knobs, 1.0))
    return Boosted(problem, seed, np.cumsum(np.log2(numbers), axis=1))
