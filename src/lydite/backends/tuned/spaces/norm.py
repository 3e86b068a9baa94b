"""Layer normalisation over the last axis, with the addition before it where it is fused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lydite.backends.tuned.emit import Emit, tiles
from lydite.backends.tuned.space import HERTZ, Space
from lydite.backends.tuned.spaces.rows import (
    anything,
    combined,
    exp_error,
    in_row,
    long_enough,
    masked,
)
from lydite.backends.tuned.task import Task
from lydite.backends.tuned.toolchain import Machine


def _factors(task: Task, here: Machine) -> Mapping[str, list[int | str]]:
    unrolls: list[int | str] = [u for u in (1, 2, 4, 8) if u * here.lanes <= task.dims["n"]]
    return {"sum_unroll": unrolls, "square_unroll": unrolls, "scale_unroll": unrolls}


def _constants(
    task: Task, here: Machine, f: Mapping[str, Any], constants: Mapping[int, np.ndarray]
) -> list[np.ndarray]:
    """Scale and shift."""
    del here, f
    first = 2 if task.dims["skip"] else 1
    return [constants[first].ravel(), constants[first + 1].ravel()]


def _write(task: Task, here: Machine, f: Mapping[str, Any]) -> Any:
    e, rows, n = Emit(here.lanes), task.dims["rows"], task.dims["n"]
    x = e.argument("x", rows * n)
    added = e.argument("added", rows * n) if task.dims["skip"] else None
    gamma, beta = e.argument("gamma", n), e.argument("beta", n)
    y = e.argument("y", rows * n)
    row_sums = e.scratch(n)

    def plus(a: Any, b: Any) -> Any:
        return a + b

    with e.loop(rows) as row:
        sums, squares = e.registers(f["sum_unroll"]), e.registers(f["square_unroll"])
        for u in range(f["sum_unroll"]):
            sums[u] = e.splat(0.0)
        for u in range(f["square_unroll"]):
            squares[u] = e.splat(0.0)

        def add(start: Any, u: int, done: int) -> None:
            value = e.vector(x, row * n + start)
            if added is not None:
                value = e.bind(value + e.vector(added, row * n + start))
                e.put(row_sums, start, value)
            sums[u] = sums[u] + masked(e, value, done)

        in_row(e, n, f["sum_unroll"], add)
        total = combined(e, [sums[u] for u in range(f["sum_unroll"])], plus)
        mean = e.bind(e.splat(total) * e.splat(1 / n))

        def read(start: Any) -> Any:
            return e.vector(x, row * n + start) if added is None else e.vector(row_sums, start)

        def square(start: Any, u: int, done: int) -> None:
            less = e.bind(read(start) - mean)
            squares[u] = squares[u] + masked(e, less * less, done)

        in_row(e, n, f["square_unroll"], square)
        every = [squares[u] for u in range(f["square_unroll"])]
        variance = e.splat(combined(e, every, plus)) * e.splat(1 / n)
        epsilon = task.dims["epsilon_e15"] / 1e15
        inverse = e.bind(e.splat(1.0) / e.tirx.sqrt(variance + e.splat(epsilon)))

        def scale(start: Any, u: int, done: int) -> None:
            del u, done
            value = (read(start) - mean) * inverse
            scaled = value * e.vector(gamma, start) + e.vector(beta, start)
            e.put(y, row * n + start, scaled)

        in_row(e, n, f["scale_unroll"], scale)
    return e.function()


def _seconds(task: Task, here: Machine, f: Mapping[str, Any]) -> float:
    vectors = tiles(task.dims["n"], here.lanes)
    chains = 4.0 / f["sum_unroll"] + 4.0 / f["square_unroll"] + 2.0
    return task.dims["rows"] * (vectors * chains + 100) / HERTZ


def _features(task: Task, here: Machine, f: Mapping[str, Any]) -> list[float]:
    del here
    return [float(f["sum_unroll"]), float(f["square_unroll"]), math.log2(task.dims["n"])]


NORM = Space(
    "norm",
    "norm",
    long_enough,
    _factors,
    anything,
    _write,
    _constants,
    _seconds,
    _features,
    exp_error,
)
