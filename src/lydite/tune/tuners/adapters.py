"""Tuners of other packages by ask and tell; each wish becomes the nearest unmeasured point."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from lydite.errors import MissingExtra
from lydite.tune.problem import Problem


class _Nearest:
    """The unmeasured configuration nearest to a wish, factor by factor."""

    def __init__(self, problem: Problem) -> None:
        configs = problem.configs
        self.choices: dict[str, list[Any]] = {"space": sorted({c.space for c in configs})}
        for config in configs:
            for name, value in config.values:
                known = self.choices.setdefault(name, [])
                if value not in known:
                    known.append(value)
        for name, values in self.choices.items():
            self.choices[name] = sorted(values, key=lambda v: (isinstance(v, str), v))
        self._ranks = np.array(
            [
                [
                    self._rank(name, {"space": c.space, **c.factors}.get(name))
                    for name in self.choices
                ]
                for c in configs
            ]
        )
        self.seen: set[int] = set()

    def _rank(self, name: str, value: Any) -> float:
        values = self.choices[name]
        if value is None:
            return np.nan
        scale = 4.0 if name == "space" else 1.0
        return scale * values.index(value) / max(1, len(values) - 1)

    def number(self, wish: dict[str, Any]) -> int | None:
        """Number of that configuration; None when all are measured."""
        if len(self.seen) >= len(self._ranks):
            return None
        wanted = np.array([self._rank(name, wish[name]) for name in self.choices])
        distance = np.nansum((self._ranks - wanted) ** 2, axis=1)
        distance[list(self.seen)] = np.inf
        return int(np.argmin(distance))


class Tpe:
    """Optuna's tree-structured Parzen estimator."""

    def __init__(self, problem: Problem, seed: int) -> None:
        if find_spec("optuna") is None:
            raise MissingExtra("optuna", "tuners")
        self._optuna: Any = import_module("optuna")
        self._optuna.logging.set_verbosity(self._optuna.logging.ERROR)
        sampler = self._optuna.samplers.TPESampler(seed=seed)
        self._study = self._optuna.create_study(sampler=sampler)
        self._nearest = _Nearest(problem)
        self._space = {
            name: self._optuna.distributions.CategoricalDistribution(values)
            for name, values in self._nearest.choices.items()
        }
        self._asked: dict[int, Any] = {}

    def propose(self) -> int | None:
        """What Optuna asks for."""
        trial = self._study.ask(self._space)
        number = self._nearest.number(trial.params)
        if number is not None:
            self._asked[number] = trial
        return number

    def observe(self, number: int, seconds: float | None) -> None:
        """Tell Optuna the time of what it asked for."""
        self._nearest.seen.add(number)
        trial = self._asked.pop(number, None)
        if trial is None:
            return
        if seconds is None:
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(trial, float(np.log(seconds)))


class Nevergrad:
    """nevergrad's NGOpt, which picks an algorithm for the size of the space."""

    def __init__(self, problem: Problem, seed: int) -> None:
        if find_spec("nevergrad") is None:
            raise MissingExtra("nevergrad", "tuners")
        library: Any = import_module("nevergrad")
        self._nearest = _Nearest(problem)
        choices = {
            name: library.p.TransitionChoice(values) if len(values) > 1 else values[0]
            for name, values in self._nearest.choices.items()
        }
        space = library.p.Dict(**choices)
        space.random_state = np.random.RandomState(seed)
        self._search = library.optimizers.NGOpt(space, budget=200)
        self._asked: dict[int, Any] = {}

    def propose(self) -> int | None:
        """What nevergrad asks for."""
        asked = self._search.ask()
        number = self._nearest.number(asked.value)
        if number is not None:
            self._asked[number] = asked
        return number

    def observe(self, number: int, seconds: float | None) -> None:
        """Tell nevergrad the time of what it asked for; a failure is a second."""
        self._nearest.seen.add(number)
        asked = self._asked.pop(number, None)
        if asked is not None:
            self._search.tell(asked, float(np.log(seconds or 1.0)))
