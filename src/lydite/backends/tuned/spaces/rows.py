"""Softmax and GELU: rows of exponentials by a polynomial instead of a call for each number.

`exp` is split as 2^n e^r with |r| <= ln(2) / 2 and a polynomial of degree 6 (Cephes' expf); `erf`
is a rational function of x^2 (as in Eigen's `generic_fast_erf_float`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lydite.backends.tuned.emit import Emit, Value, tiles
from lydite.backends.tuned.space import HERTZ, Space
from lydite.backends.tuned.task import Task
from lydite.backends.tuned.toolchain import Machine

_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5)
_ROUNDING, _ROUNDING_BITS = 12582912.0, 0x4B400000
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
_ERF_TOP = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_ERF_BOTTOM = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)


def fast_exp(e: Emit, x: Value) -> Value:
    """e^x of a vector of numbers up to 0, within 2 units in the last place; 0 below -87.

    Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits of the sum. It is taken
    from there: TVM would simplify a subtraction of the same number.
    """
    t = e.tirx
    integers, floats = f"int32x{e.lanes}", f"float32x{e.lanes}"
    x = e.bind(e.most(x, e.splat(-87.0)))
    bits = t.reinterpret(integers, x * e.splat(math.log2(math.e)) + e.splat(_ROUNDING))
    base, bias, shift = (t.Broadcast(e.index(i), e.lanes) for i in (_ROUNDING_BITS, 127, 23))
    whole = e.bind(bits - base, integers)
    n = e.bind(t.Cast(floats, whole))
    r = e.bind(x - n * e.splat(_LN2_HIGH) - n * e.splat(_LN2_LOW))
    value = e.splat(_EXP[0])
    for coefficient in _EXP[1:]:
        value = value * r + e.splat(coefficient)
    value = value * r * r + r + e.splat(1.0)
    return e.bind(value) * t.reinterpret(floats, t.shift_left(whole + bias, shift))


def fast_erf(e: Emit, x: Value) -> Value:
    """erf(x) of a vector, within 1e-6."""
    x = e.bind(e.least(e.most(x, e.splat(-4.0)), e.splat(4.0)))
    square = e.bind(x * x)

    def polynomial(coefficients: tuple[float, ...]) -> Value:
        value = e.splat(coefficients[0])
        for coefficient in coefficients[1:]:
            value = value * square + e.splat(coefficient)
        return e.bind(value)

    return x * polynomial(_ERF_TOP) / polynomial(_ERF_BOTTOM)


def long_enough(task: Task, here: Machine) -> bool:
    """Whether a row fills a vector."""
    return task.dims["n"] >= here.lanes


def no_constants(
    task: Task, here: Machine, f: Mapping[str, Any], constants: Mapping[int, np.ndarray]
) -> list[np.ndarray]:
    """Nothing to pack."""
    del task, here, f, constants
    return []


def anything(task: Task, here: Machine, f: Mapping[str, Any]) -> bool:
    """Every combination can be compiled."""
    del task, here, f
    return True


def in_row(e: Emit, n: int, unroll: int, each: Any) -> None:
    """Call `each(start, number)` for the vectors of a row, unrolled; the last one overlaps.

    Args:
        e: Writer.
        n: Length of the row, at least one vector.
        unroll: Number of vectors in a loop's body.
        each: Called with the first index, the number of the vector within the body, and how many
            lanes at its beginning earlier vectors have done.
    """
    whole = n // e.lanes
    if whole // unroll > 1:
        with e.loop(whole // unroll) as turn:
            for u in range(unroll):
                each((turn * unroll + u) * e.lanes, u, 0)
    elif whole // unroll == 1:
        for u in range(unroll):
            each(u * e.lanes, u, 0)
    for u in range(whole % unroll):
        each((whole - whole % unroll + u) * e.lanes, u, 0)
    if n % e.lanes:
        each(n - e.lanes, 0, e.lanes - n % e.lanes)


def combined(e: Emit, values: list[Value], combine: Callable[[Any, Any], Any]) -> Value:
    """One number from the lanes of several vectors."""
    value = values[0]
    for other in values[1:]:
        value = combine(value, other)
    return e.across(value, combine)


def masked(e: Emit, value: Value, done: int) -> Value:
    """A vector whose first `done` lanes are 0, since earlier vectors have counted them."""
    if not done:
        return value
    t = e.tirx
    lanes = t.Ramp(e.index(0), 1, e.lanes)
    return t.Select(lanes >= t.Broadcast(e.index(done), e.lanes), value, e.splat(0.0))


def _softmax_factors(task: Task, here: Machine) -> Mapping[str, list[int | str]]:
    whole = max(1, task.dims["n"] // here.lanes)
    return {
        "max_unroll": [u for u in (1, 2, 4, 8) if u <= whole],
        "sum_unroll": [u for u in (1, 2, 3, 4, 6, 8) if u <= whole],
        "scale_unroll": [u for u in (1, 2, 4, 8) if u <= whole],
        "scale": ["multiply", "divide"],
        "kept": ["memory", "registers"],
    }


def _softmax_valid(task: Task, here: Machine, f: Mapping[str, Any]) -> bool:
    """Whole rows in registers have no tail and leave room for the polynomial."""
    n = task.dims["n"]
    if f["kept"] == "memory":
        return True
    return n % here.lanes == 0 and n // here.lanes <= here.registers // 2 and f["scale_unroll"] == 1


def _softmax_write(task: Task, here: Machine, f: Mapping[str, Any]) -> Any:
    e, rows, n = Emit(here.lanes), task.dims["rows"], task.dims["n"]
    x, y = e.argument("x", rows * n), e.argument("y", rows * n)
    with e.loop(rows) as row:
        largest = e.registers(f["max_unroll"])
        for u in range(f["max_unroll"]):
            largest[u] = e.splat(-3.4e38)

        def compare(start: Any, u: int, done: int) -> None:
            del done
            largest[u] = e.most(largest[u], e.vector(x, row * n + start))

        in_row(e, n, f["max_unroll"], compare)
        every = [largest[u] for u in range(f["max_unroll"])]
        peak = e.bind(e.splat(combined(e, every, e.most)))
        sums = e.registers(f["sum_unroll"])
        for u in range(f["sum_unroll"]):
            sums[u] = e.splat(0.0)

        kept: list[Any] = []

        def add(start: Any, u: int, done: int) -> None:
            value = e.bind(fast_exp(e, e.vector(x, row * n + start) - peak))
            if f["kept"] == "registers":
                kept.append(value)
            else:
                e.put(y, row * n + start, value)
            u %= f["sum_unroll"]
            sums[u] = sums[u] + masked(e, value, done)

        whole = f["kept"] == "registers"
        in_row(e, n, n // e.lanes if whole else f["sum_unroll"], add)
        every = [sums[u] for u in range(f["sum_unroll"])]
        total = e.bind(e.splat(combined(e, every, lambda a, b: a + b)))
        inverse = e.bind(e.splat(1.0) / total) if f["scale"] == "multiply" else None

        def scale(start: Any, u: int, done: int) -> None:
            del u
            value = e.vector(y, row * n + start)
            scaled = value / total if inverse is None else value * inverse
            if done:  # what an earlier vector has scaled stays
                t = e.tirx
                later = t.Ramp(e.index(0), 1, e.lanes) >= t.Broadcast(e.index(done), e.lanes)
                scaled = t.Select(later, scaled, value)
            e.put(y, row * n + start, scaled)

        if kept:
            for number, value in enumerate(kept):
                scaled = value / total if inverse is None else value * inverse
                e.put(y, row * n + number * e.lanes, scaled)
        else:
            in_row(e, n, f["scale_unroll"], scale)
    return e.function()


def _softmax_seconds(task: Task, here: Machine, f: Mapping[str, Any]) -> float:
    vectors = tiles(task.dims["n"], here.lanes)
    chains = 4.0 / f["max_unroll"] + max(14.0, 40.0 / f["sum_unroll"]) + 2.0
    divide = 8.0 * vectors if f["scale"] == "divide" else 12.0
    passes = vectors if f["kept"] == "memory" else 0
    return task.dims["rows"] * (vectors * chains + passes + divide + 80) / HERTZ


def _softmax_features(task: Task, here: Machine, f: Mapping[str, Any]) -> list[float]:
    del here
    return [float(f["sum_unroll"]), math.log2(task.dims["n"]), math.log2(task.dims["rows"] + 1)]


def exp_error(factors: Mapping[str, Any]) -> float:
    """Rounding of the polynomial, in standard deviations of the output."""
    del factors
    return 1e-5


SOFTMAX = Space(
    "softmax",
    "softmax",
    long_enough,
    _softmax_factors,
    _softmax_valid,
    _softmax_write,
    no_constants,
    _softmax_seconds,
    _softmax_features,
    exp_error,
)


def _gelu_factors(task: Task, here: Machine) -> Mapping[str, list[int | str]]:
    whole = max(1, task.dims["n"] // here.lanes)
    return {"unroll": [u for u in (1, 2, 3, 4, 6, 8) if u <= whole]}


def _gelu_write(task: Task, here: Machine, f: Mapping[str, Any]) -> Any:
    e, n = Emit(here.lanes), task.dims["n"]
    x, y = e.argument("x", n), e.argument("y", n)

    def each(start: Any, u: int, done: int) -> None:
        del u, done
        value = e.bind(e.vector(x, start))
        half = e.splat(0.5) * value
        e.put(y, start, half + half * fast_erf(e, value * e.splat(math.sqrt(0.5))))

    in_row(e, n, f["unroll"], each)
    return e.function()


def _gelu_seconds(task: Task, here: Machine, f: Mapping[str, Any]) -> float:
    return tiles(task.dims["n"], here.lanes) * max(12.0, 50.0 / f["unroll"]) / HERTZ


def _gelu_features(task: Task, here: Machine, f: Mapping[str, Any]) -> list[float]:
    del here
    return [float(f["unroll"]), math.log2(task.dims["n"])]


GELU = Space(
    "gelu",
    "gelu",
    long_enough,
    _gelu_factors,
    anything,
    _gelu_write,
    no_constants,
    _gelu_seconds,
    _gelu_features,
    exp_error,
)
