"""What a tuner knows of a task: its configurations, the formula's ranking, rows of other shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cached_property

import numpy as np

from lydite.backends.tuned.space import (
    SPACES,
    Config,
    all_configs,
    config_from,
    ranked,
)
from lydite.backends.tuned.task import Task, task_of
from lydite.backends.tuned.toolchain import Machine
from lydite.errors import InputError
from lydite.records import dataclass
from lydite.store import Trial


@dataclass(frozen=True)
class Problem:
    """A task to be tuned.

    Attributes:
        task: Operator.
        here: Processor.
        configs: Every valid configuration of every space.
        prior: Rows of the same kind of operator at other shapes.
    """

    task: Task
    here: Machine
    configs: Sequence[Config]
    prior: Sequence[Trial] = field(default_factory=tuple)

    @cached_property
    def number(self) -> dict[Config, int]:
        """Position of each configuration."""
        return {config: index for index, config in enumerate(self.configs)}

    @cached_property
    def formula_s(self) -> np.ndarray:
        """Seconds of each configuration by the cost formula."""
        return np.array(ranked(self.task, self.here, self.configs))

    @cached_property
    def columns(self) -> list[str]:
        """Names of the features, those of every space that occurs."""
        names: dict[str, None] = {}
        for space in dict.fromkeys(config.space for config in self.configs):
            first = next(config for config in self.configs if config.space == space)
            named = features_of(self.task, self.here, first)
            names |= dict.fromkeys(named)
        return list(names)

    @cached_property
    def features(self) -> np.ndarray:
        """Features of each configuration, NaN where a space lacks one."""
        return self.matrix([(self.task, config) for config in self.configs])

    def matrix(self, points: Sequence[tuple[Task, Config]]) -> np.ndarray:
        """Features of configurations of this or of other tasks."""
        rows = np.full((len(points), len(self.columns)), math.nan)
        place = {name: index for index, name in enumerate(self.columns)}
        for row, (task, config) in zip(rows, points, strict=True):
            for name, value in features_of(task, self.here, config).items():
                if name in place:
                    row[place[name]] = value
        return rows

    @cached_property
    def knobs(self) -> np.ndarray:
        """The factors alone."""
        chosen = [i for i, name in enumerate(self.columns) if "." not in name]
        return self.features[:, chosen]

    @cached_property
    def lessons(self) -> tuple[np.ndarray, np.ndarray]:
        """Features, and log of seconds over the formula, of rows at other shapes."""
        points: list[tuple[Task, Config]] = []
        logs: list[float] = []
        for row in self.prior:
            task = task_of(row.key)
            if task is None or row.seconds is None or task.kind != self.task.kind:
                continue
            try:
                config = config_from(row.space, row.factors, task, self.here)
            except InputError:
                continue
            formula = SPACES.find(config.space).seconds(task, self.here, config.factors)
            points.append((task, config))
            logs.append(math.log(row.seconds / formula))
        return self.matrix(points), np.array(logs)


def problem_for(task: Task, here: Machine, prior: Sequence[Trial] = ()) -> Problem:
    """The problem of a task.

    Raises:
        InputError: no schedule space is for it.
    """
    configs = all_configs(task, here)
    if not configs:
        shapes = ", ".join(map(str, task.inputs))
        raise InputError(f"no schedule space for {task.key.qualified_type}", where=shapes)
    return Problem(task, here, configs, tuple(prior))


def features_of(task: Task, here: Machine, config: Config) -> Mapping[str, float]:
    """Features by name: the factors, then "space.number" for those that the space derives."""
    space = SPACES.find(config.space)
    named = {
        name: _as_number(space.factors(task, here)[name], value) for name, value in config.values
    }
    derived = space.features(task, here, config.factors)
    named |= {f"{config.space}.{index}": value for index, value in enumerate(derived)}
    named["space"] = float(SPACES.names().index(config.space))
    return named


def _as_number(values: Sequence[int | str], value: int | str) -> float:
    return float(value) if isinstance(value, int) else float(list(values).index(value))
