"""Searches without a model: at random, in order, and by the cost formula alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lydite.tune.problem import Problem


class InOrder:
    """Proposes configurations in an order that is fixed beforehand."""

    def __init__(self, order: Iterable[int]) -> None:
        self._order, self._seen = iter(order), set[int]()

    def propose(self) -> int | None:
        """The next that is not measured."""
        return next((number for number in self._order if number not in self._seen), None)

    def observe(self, number: int, seconds: float | None) -> None:
        """Remember that it is measured."""
        del seconds
        self._seen.add(number)


class Random(InOrder):
    """Without replacement, every configuration as likely as another."""

    def __init__(self, problem: Problem, seed: int) -> None:
        super().__init__(np.random.default_rng(seed).permutation(len(problem.configs)).tolist())


class GridSearch(InOrder):
    """In the order of the space."""

    def __init__(self, problem: Problem, seed: int) -> None:
        del seed
        super().__init__(range(len(problem.configs)))


class Formula(InOrder):
    """In the order of the cost formula."""

    def __init__(self, problem: Problem, seed: int) -> None:
        del seed
        super().__init__(np.argsort(problem.formula_s, kind="stable").tolist())
