"""Tuners by name: each proposes configurations and observes their times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lydite.registry import Registry
from lydite.tune.problem import Problem


class Tuner(Protocol):
    """A search over the configurations of a problem, by ask and tell."""

    def propose(self) -> int | None:
        """Number of the configuration to try next; None if another trial is not worth its time."""
        ...

    def observe(self, number: int, seconds: float | None) -> None:
        """Take the time of a configuration, None if it failed; not only of proposed ones."""
        ...


TUNERS: Registry[Callable[[Problem, int], Tuner]] = Registry(
    "lydite.tuners",
    "tuner",
    {
        "own": "lydite.tune.tuners.own:Own",
        "random": "lydite.tune.tuners.plain:Random",
        "gridsearch": "lydite.tune.tuners.plain:GridSearch",
        "formula": "lydite.tune.tuners.plain:Formula",
        "ga": "lydite.tune.tuners.genetic:Genetic",
        "xgb": "lydite.tune.tuners.boosted:knob",
        "xgb-rank": "lydite.tune.tuners.boosted:rank",
        "xgb_knob": "lydite.tune.tuners.boosted:knob",
        "xgb_itervar": "lydite.tune.tuners.boosted:itervar",
        "xgb_curve": "lydite.tune.tuners.boosted:curve",
        "tpe": "lydite.tune.tuners.adapters:Tpe",
        "nevergrad": "lydite.tune.tuners.adapters:Nevergrad",
    },
)
"""Makes a tuner from a problem and a random seed."""

__all__ = ["TUNERS", "Tuner"]
