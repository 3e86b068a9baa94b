"""Schedule spaces: the named factors of a kernel, and how it is written, packed and ranked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from lydite.backends.tuned.task import Task
from lydite.backends.tuned.toolchain import Machine
from lydite.errors import InputError, unknown_name
from lydite.records import dataclass
from lydite.registry import Registry

Factors: TypeAlias = Mapping[str, int | str]
"""Values of the factors by name."""


@dataclass(frozen=True, slots=True)
class Config:
    """One point of a space.

    Attributes:
        space: Name of the space.
        values: Name and value of each factor.
    """

    space: str
    values: tuple[tuple[str, int | str], ...]

    @property
    def factors(self) -> dict[str, int | str]:
        """Values by name."""
        return dict(self.values)

    def __str__(self) -> str:
        return f"{self.space}({', '.join(f'{name}={value}' for name, value in self.values)})"


@dataclass(frozen=True)
class Space:
    """The schedules of one algorithm.

    Attributes:
        name: Name, such as "conv-winograd".
        kind: Kind of task that it is for.
        fits: Whether it can compute a task on a machine.
        factors: Values of each factor for a task, by name.
        valid: Whether a combination can be compiled within the limits.
        write: Writes the kernel and returns TVM's module; arguments are the inputs that change, the
            packed constants and the output.
        pack: Constants in the order in which the kernel reads them, from the operator's.
        seconds: Cost formula; it ranks configurations before any trial.
        features: Numbers that a model learns from, besides the factors.
        error: Largest error against ONNX Runtime that is accepted, in standard deviations of the
            output.
        alike: Names of the dimensions that another shape must share for its rows to be of use.
    """

    name: str
    kind: str
    fits: Callable[[Task, Machine], bool]
    factors: Callable[[Task, Machine], Mapping[str, Sequence[int | str]]]
    valid: Callable[[Task, Machine, Mapping[str, Any]], bool]
    write: Callable[[Task, Machine, Mapping[str, Any]], Any]
    pack: Callable[[Task, Machine, Mapping[str, Any], Mapping[int, np.ndarray]], list[np.ndarray]]
    seconds: Callable[[Task, Machine, Mapping[str, Any]], float]
    features: Callable[[Task, Machine, Mapping[str, Any]], list[float]]
    error: Callable[[Mapping[str, Any]], float]
    alike: tuple[str, ...] = ()

    def configs(self, task: Task, here: Machine) -> list[Config]:
        """Every valid point, in a fixed order."""
        factors = self.factors(task, here)
        points = (dict(zip(factors, values, strict=True)) for values in product(*factors.values()))
        return [
            Config(self.name, tuple(point.items()))
            for point in points
            if self.valid(task, here, point)
        ]


SPACES: Registry[Space] = Registry(
    "lydite.spaces",
    "schedule space",
    {
        "conv-direct": "lydite.backends.tuned.spaces.conv:DIRECT",
        "conv-pointwise": "lydite.backends.tuned.spaces.pointwise:POINTWISE",
        "conv-winograd": "lydite.backends.tuned.spaces.winograd:WINOGRAD",
        "depthwise": "lydite.backends.tuned.spaces.depthwise:DEPTHWISE",
        "gelu": "lydite.backends.tuned.spaces.rows:GELU",
        "gemv": "lydite.backends.tuned.spaces.gemv:GEMV",
        "matmul": "lydite.backends.tuned.spaces.product:MATMUL",
        "norm": "lydite.backends.tuned.spaces.norm:NORM",
        "softmax": "lydite.backends.tuned.spaces.rows:SOFTMAX",
    },
)
"""Schedule spaces by name; other packages add theirs as entry points."""


def spaces_for(task: Task, here: Machine) -> list[Space]:
    """Spaces that can compute a task."""
    every = [SPACES.find(name) for name in SPACES]
    return [space for space in every if space.kind == task.kind and space.fits(task, here)]


def all_configs(task: Task, here: Machine) -> list[Config]:
    """The union of all spaces of a task: the algorithm is a factor like the others."""
    return [config for space in spaces_for(task, here) for config in space.configs(task, here)]


def ranked(task: Task, here: Machine, configs: Sequence[Config]) -> list[float]:
    """Seconds of each configuration by the cost formula."""
    return [SPACES.find(config.space).seconds(task, here, config.factors) for config in configs]


def default_config(task: Task, here: Machine) -> Config:
    """The configuration that the formula ranks first; a task with a space always has one.

    Raises:
        InputError: the task has no valid configuration.
    """
    configs = all_configs(task, here)
    if not configs:
        raise InputError(
            f"no schedule space for {task.key.qualified_type}",
            where=", ".join(map(str, task.inputs)),
        )
    return configs[int(np.argmin(ranked(task, here, configs)))]


def config_from(space: str, factors: Mapping[str, Any], task: Task, here: Machine) -> Config:
    """A configuration from a file or a database, checked.

    Raises:
        InputError: the space is unknown or does not fit, or the point is not in it.
    """
    if space not in SPACES:
        raise unknown_name("schedule space", space, SPACES.names())
    chosen = SPACES.find(space)
    if chosen.kind != task.kind or not chosen.fits(task, here):
        raise InputError(f"the space {space} does not fit {task.key.qualified_type}")
    allowed = chosen.factors(task, here)
    for name in (*allowed, *factors):
        if name not in factors or name not in allowed:
            raise unknown_name("factor", name, allowed)
        if factors[name] not in allowed[name]:
            values = ", ".join(map(str, allowed[name]))
            raise InputError(f"{name} is {factors[name]!r}", where=space, allowed=values)
    point = {name: factors[name] for name in allowed}
    if not chosen.valid(task, here, point):
        raise InputError(f"{space} has no such combination", where=str(point))
    return Config(space, tuple(point.items()))


HERTZ, L2_BYTES_PER_CYCLE, MEMORY_BYTES_PER_CYCLE = 3e9, 40.0, 4.5
"""Nominal clock and bandwidths of the cost formulas; they rank and need not be right."""


def tile_cycles(here: Machine, rows: int, vectors: int, unroll: int) -> float:
    """Cycles of one step of a register tile: `rows` broadcasts times `vectors` vectors.

    Two multiply-adds and two loads a cycle, a latency of 4 cycles, and what does not fit in the
    registers is stored and loaded again.
    """
    sums = rows * vectors
    arithmetic = sums / 2
    loads = (vectors + rows * (1 if vectors > 1 else 0.5)) / 2
    spilled = max(0, sums + vectors + 1 - here.registers)
    return max(arithmetic, loads, 4.0) + 2.0 * spilled + 1.0 / unroll


def fetched(cycles: float, weight_bytes: float, ahead: bool) -> float:
    """Cycles with the weights' way from memory: hidden behind the arithmetic if fetched ahead."""
    fetch = weight_bytes / MEMORY_BYTES_PER_CYCLE
    return max(1.02 * cycles, fetch) if ahead else cycles + 0.5 * fetch


def tile_features(here: Machine, rows: int, vectors: int, unroll: int) -> list[float]:
    """Features of a register tile: sums, spills, loads per sum, length of the loop's body."""
    sums = rows * vectors
    return [
        float(sums),
        float(sums + vectors + 1 > here.registers),
        (rows + vectors) / sums,
        math.log2(sums * unroll),
    ]
