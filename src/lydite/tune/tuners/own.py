"""Lydite's own tuner: the cost formula, corrected by boosted trees, from the first trial on.

    log t = log formula + trees(features)

Rows of the same operator at other shapes teach the trees before the first trial, at a weight of 1
against 20 for trials of the operator itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from lydite.tune.problem import Problem
from lydite.tune.tuners.boosted import fitted, learner

_OWN_WEIGHT, _JITTER, _ENOUGH = 20.0, 0.01, 4
_FAR = 3.0
_PATIENCE, _GAIN = 10, 0.01
"""Trials without a gain of that share before the search may end."""


def _algorithm(space: str, factors: Mapping[str, int | float | str]) -> tuple[str, object]:
    """The space, and the size of Winograd's tile where there is one."""
    return space, factors.get("m")


def _algorithms(problem: Problem) -> dict[tuple[str, object], np.ndarray]:
    """Numbers of the configurations of each algorithm."""
    groups: dict[tuple[str, object], list[int]] = {}
    for number, config in enumerate(problem.configs):
        groups.setdefault(_algorithm(config.space, config.factors), []).append(number)
    return {name: np.array(numbers) for name, numbers in groups.items()}


class Own:
    """Proposes what formula and trees predict to be fastest."""

    def __init__(self, problem: Problem, seed: int) -> None:
        learner()
        self._problem, self._random, self._seed = problem, np.random.default_rng(seed), seed
        self._formula = np.log(problem.formula_s)
        self._seconds: dict[int, float | None] = {}
        self._groups = _algorithms(problem)
        taught = {_algorithm(row.space, row.factors) for row in problem.prior if row.seconds}
        self._seen = {int(self._groups[name][0]) for name in taught & self._groups.keys()}
        self._best_s, self._since = math.inf, 0

    def propose(self) -> int | None:
        """The best by prediction, or None when another trial promises less than a percent."""
        fresh = np.array([n not in self._seconds for n in range(len(self._formula))])
        if not fresh.any():
            return None
        predicted = self.predicted_log_s()
        predicted = np.where(fresh, predicted, math.inf)
        first = self._unseen(predicted)
        if first is not None:
            return first
        if self._since >= _PATIENCE and predicted.min() > math.log(self._best_s * (1 - _GAIN)):
            return None
        noise = self._random.normal(0.0, _JITTER, len(predicted))
        return int(np.argmin(predicted + noise))

    def _unseen(self, predicted: np.ndarray) -> int | None:
        """The best configuration of an algorithm of which no row is known.

        An error of the formula that is common to one algorithm cannot be told from one that is
        common to all until each was tried; those that the formula puts far behind are left out.
        """
        limit = predicted.min() + math.log(_FAR)
        for group in self._groups.values():
            best = group[int(np.argmin(predicted[group]))]
            if predicted[best] <= limit and not self._seen.intersection(group.tolist()):
                return int(best)
        return None

    def observe(self, number: int, seconds: float | None) -> None:
        """Learn from a trial; a failure counts as ten times the formula."""
        gained = seconds is not None and seconds < self._best_s * (1 - _GAIN)
        self._since = 0 if gained else self._since + 1
        self._best_s = min(self._best_s, seconds or math.inf)
        self._seconds[number] = seconds
        self._seen.add(number)

    def predicted_log_s(self) -> np.ndarray:
        """Logarithm of the predicted seconds of every configuration."""
        features, logs = self._problem.lessons
        rows = list(self._seconds)
        if len(rows) + len(logs) < _ENOUGH:
            return self._formula
        measured = [self._seconds[n] for n in rows]
        residual = [
            math.log(t) - self._formula[n] if t else math.log(10)
            for n, t in zip(rows, measured, strict=True)
        ]
        target = np.concatenate([logs, residual])
        weights = np.concatenate([np.ones(len(logs)), np.full(len(rows), _OWN_WEIGHT)])
        points = np.vstack([features, self._problem.features[rows]])
        model = fitted(points, target, weights=weights, seed=self._seed)
        return self._formula + model.predict(self._problem.features)
