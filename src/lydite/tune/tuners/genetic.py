"""A genetic search as AutoTVM's `GATuner`: elite, fitness-proportional parents, mutation."""

from __future__ import annotations

import numpy as np

from lydite.backends.tuned.space import Config
from lydite.tune.problem import Problem

_POPULATION, _ELITE, _MUTATION = 24, 3, 0.1


class Genetic:
    """Factors are genes; parents of different spaces do not cross."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self._problem, self._random = problem, np.random.default_rng(seed)
        self._waiting = self._random.permutation(len(problem.configs))[:_POPULATION].tolist()
        self._score: dict[int, float] = {}
        self._generation: list[int] = list(self._waiting)

    def propose(self) -> int | None:
        """The next child; a new generation once all are measured."""
        if len(self._score) >= len(self._problem.configs):
            return None
        while True:
            while self._waiting:
                number = self._waiting.pop()
                if number not in self._score:
                    return number
            self._breed()

    def observe(self, number: int, seconds: float | None) -> None:
        """Speed is fitness; a failure has none."""
        self._score[number] = 1.0 / seconds if seconds else 0.0

    def _breed(self) -> None:
        pool = [n for n in self._generation if n in self._score]
        pool = sorted(set(pool), key=lambda n: -self._score[n])[:_POPULATION]
        elite = sorted(self._score, key=lambda n: -self._score[n])[:_ELITE]
        parents = list(dict.fromkeys([*elite, *pool]))
        fitness = np.array([self._score[n] for n in parents])
        total = fitness.sum()
        odds = fitness / total if total > 0 else np.full(len(parents), 1 / len(parents))
        children: set[int] = set()
        for _ in range(20 * _POPULATION):
            first, second = self._random.choice(len(parents), 2, p=odds)
            child = self._cross(parents[first], parents[second])
            if child is not None and child not in self._score:
                children.add(child)
            if len(children) >= _POPULATION:
                break
        fresh = [n for n in range(len(self._problem.configs)) if n not in self._score]
        while len(children) < min(_POPULATION, len(fresh)) and len(children) < _ELITE:
            children.add(int(self._random.choice(fresh)))
        self._waiting = sorted(children)
        self._generation = [*elite, *self._waiting]

    def _cross(self, first: int, second: int) -> int | None:
        """A child of two configurations; None if it is not a valid configuration."""
        configs, random = self._problem.configs, self._random
        a, b = configs[first], configs[second]
        if a.space != b.space:
            b = a
        values = [
            (n, v if random.random() < 0.5 else w)
            for (n, v), (_, w) in zip(a.values, b.values, strict=True)
        ]
        if random.random() < _MUTATION * len(values):
            donors = [
                c
                for c in (configs[int(i)] for i in random.integers(len(configs), size=8))
                if c.space == a.space
            ]
            spot = int(random.integers(len(values)))
            if donors:
                values[spot] = donors[0].values[spot]
        return self._problem.number.get(Config(a.space, tuple(values)))
