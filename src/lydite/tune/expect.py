"""How fast an operator could be after some trials, and which factors matter, before any trial.

Bootstrap samples of the rows at hand (of the same kind of operator, at any shape) each teach trees
what the cost formula lacks. A tuner would try what they rank first; the expectation is the best of
these under the spread that the trees leave unexplained on rows they were not taught.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lydite.backends.tuned.task import Task
from lydite.backends.tuned.toolchain import Machine
from lydite.records import dataclass
from lydite.store import Trial
from lydite.tune.problem import Problem, problem_for
from lydite.tune.tuners.boosted import fitted

_SAMPLES, _DRAWS, _FEWEST = 12, 50, 12
_UNTAUGHT = (0.8, 1.3, 3.0)
"""Time over the formula's best where too few rows are known: low, likely, high (assumed)."""


@dataclass(frozen=True, slots=True)
class Importance:
    """What a factor is worth: how much worse times are predicted once its values are shuffled.

    Attributes:
        factor: Name.
        error: Mean increase of the error of log seconds.
        low, high: 90 % interval over the bootstrap samples.
    """

    factor: str
    error: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Expectation:
    """Expected time of an operator after tuning.

    Attributes:
        seconds: Expected best time in seconds.
        low, high: 90 % interval.
        rows: Number of trials that it rests on.
        source: "trials", or "formula" where there are too few.
        factors: Importance of each factor, the most important first; empty without trials.
    """

    seconds: float
    low: float
    high: float
    rows: int
    source: str
    factors: tuple[Importance, ...] = ()


def expect(
    task: Task, here: Machine, rows: Sequence[Trial], trials: int, seed: int = 0
) -> Expectation:
    """Expected best time of a task after so many trials.

    Args:
        task: Operator.
        here: Processor.
        rows: Trials of operators of this kind on this processor.
        trials: Number of trials.
        seed: Random seed of the bootstrap.

    Raises:
        InputError: no schedule space is for the operator.
    """
    problem = problem_for(task, here, rows)
    features, logs = problem.lessons
    if len(logs) < _FEWEST:
        best = float(problem.formula_s.min())
        low, likely, high = (best * share for share in _UNTAUGHT)
        return Expectation(likely, low, high, len(logs), "formula")
    random = np.random.default_rng(seed)
    formula = np.log(problem.formula_s)
    bests: list[float] = []
    losses: list[np.ndarray] = []
    for sample in range(_SAMPLES):
        picks = random.integers(len(logs), size=len(logs))
        left = np.setdiff1d(np.arange(len(logs)), picks)
        if not len(left):
            continue
        model = fitted(features[picks], logs[picks], seed=seed + sample, rounds=60)
        errors = logs[left] - model.predict(features[left])
        losses.append(_shuffled(model, features[left], logs[left], random))
        predicted = formula + model.predict(problem.features)
        first = np.sort(predicted)[:trials]
        noise = random.choice(errors, (_DRAWS, len(first)))
        bests += np.min(first + noise, axis=1).tolist()
    low, likely, high = (float(math.exp(q)) for q in np.percentile(bests, [5, 50, 95]))
    return Expectation(likely, low, high, len(logs), "trials", _importances(problem, losses))


def _shuffled(
    model: Any, features: np.ndarray, logs: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Increase of the mean absolute error with each column shuffled."""
    predict = model.predict
    plain = np.abs(logs - predict(features)).mean()
    increases = []
    for column in range(features.shape[1]):
        mixed = features.copy()
        mixed[:, column] = random.permutation(mixed[:, column])
        increases.append(np.abs(logs - predict(mixed)).mean() - plain)
    return np.array(increases)


def _importances(problem: Problem, losses: Sequence[np.ndarray]) -> tuple[Importance, ...]:
    table = np.array(losses)
    found: list[Importance] = []
    for column, name in enumerate(problem.columns):
        if "." in name:
            continue  # derived from several factors
        low, high = np.percentile(table[:, column], [5, 95])
        found.append(Importance(name, float(table[:, column].mean()), float(low), float(high)))
    return tuple(sorted(found, key=lambda item: -item.error))
