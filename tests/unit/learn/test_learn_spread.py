"""Intervals over devices: closed forms, coverage of new devices, and that none judges itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.estimate.learned.families import FAMILIES
from lydite.estimate.learned.physics import Problem
from lydite.estimate.learned.trees import Trees
from lydite.learn.evaluate import evaluate
from lydite.learn.rows import Rows
from lydite.learn.spread import left_open, quantile, spread_of

FAMILY = "product16"
NAMES = FAMILIES[FAMILY].features


def rows(device: str, error: np.ndarray, first: np.ndarray) -> Rows:
    """Rows with a base time of 1 ms that take `exp(error)` ms; `first` is their first feature."""
    number = len(error)
    features = np.zeros((number, len(NAMES)))
    features[:, 0] = first
    base_s, ones = np.full(number, 1e-3), np.ones(number)
    problem = Problem(base_s, base_s / 100, features)
    whole = np.full(number, True)
    return Rows(FAMILY, device, problem, 1e-3 * np.exp(error), ones, whole, np.zeros(number, int))


def constant(value: float) -> Trees:
    nothing = np.zeros(1, int)
    return Trees(NAMES, np.array([-1]), np.array([value]), nothing, nothing, nothing)


@given(st.integers(1, 400), st.sampled_from([0.05, 0.5, 0.9, 0.95]))
def test_a_percentile_of_equal_weights_is_a_rank(number, level):
    """The conformal quantile: the ceil(level n)-th of n values, whatever their order."""
    values = np.random.default_rng(number).permutation(number) + 1.0
    expected = np.ceil(round(level * number, 9))
    assert quantile(values, np.full(number, 0.3), level) == max(expected, 1)


def test_weights_count_as_repeats():
    draw = np.random.default_rng(1)
    values, repeats = draw.normal(size=50), draw.integers(1, 9, 50)
    for level in (0.05, 0.4, 0.95):
        repeated = np.repeat(values, repeats)
        expected = quantile(repeated, np.ones(len(repeated)), level)
        assert quantile(values, repeats.astype(float), level) == expected


def test_what_devices_leave_open_in_closed_form():
    """Half the width is 0.2; devices a apart deviate a / 2 from their mean."""
    error = np.linspace(-1, 1, 1001)
    sides = constant(-0.2), constant(0.2)
    one = rows("a", error, error)
    assert left_open([one], [error], sides, True) == pytest.approx(0.85 * 0.2)
    pair = [one, rows("b", error, error)]
    assert left_open(pair, [error, error], sides, True) == pytest.approx(0.85 * 0.2 / 2)
    found = left_open(pair, [error, error + 0.3], sides, True)
    assert found == pytest.approx(np.hypot(0.85 * 0.2 / 2, 0.15))
    assert left_open(pair, [error, error + 0.3], sides, False) == pytest.approx(0.85 * 0.2 / 2)
    four = [rows(name, error, error) for name in "abcd"]
    shifted = [error - 0.3, error - 0.3, error + 0.3, error + 0.3]
    found = left_open(four, shifted, sides, True)
    assert found == pytest.approx(np.hypot(0.85 * 0.2 / 4, 0.3 / 3**0.5))


def drawn(draw: np.random.Generator, device: str) -> Rows:
    """A device whose errors share a shift; half of its operators have three times the error."""
    first = draw.integers(0, 2, 400).astype(float)
    error = draw.normal(0, 0.2) + draw.normal(0, 1, 400) * np.where(first > 0, 0.3, 0.1)
    return rows(device, error, first)


@pytest.mark.parametrize("devices", [2, 4])
def test_nine_of_ten_operators_of_the_next_device_are_inside(devices):
    pytest.importorskip("lightgbm", reason="LightGBM is not installed")
    draw = np.random.default_rng(devices)
    inside, widths = [], []
    for _ in range(60):
        known = [drawn(draw, str(number)) for number in range(devices)]
        spread = spread_of(known, {part.device: part.problem.base_s for part in known}, True)
        new = drawn(draw, "new")
        low, high = spread.factors(new.problem.features)
        ratio = new.seconds / new.problem.base_s
        inside.append(np.mean((low <= ratio) & (ratio <= high)))
        wide = new.problem.features[:, 0] > 0
        widths.append([np.log(high / low)[chosen].mean() for chosen in (wide, ~wide)])
    assert 0.87 <= np.mean(inside) <= 0.95
    wide, narrow = np.mean(widths, axis=0)
    assert wide > 1.3 * narrow


def test_a_device_changes_nothing_of_the_interval_that_judges_it():
    pytest.importorskip("lightgbm", reason="LightGBM is not installed")
    draw = np.random.default_rng(0)
    parts = [drawn(draw, name) for name in "abc"]
    before = evaluate(parts)[0]
    slow = replace(parts[0], seconds=parts[0].seconds * 3)
    after = evaluate([slow, *parts[1:]])[0]
    assert after["device"] == "a"
    assert after["width"] == before["width"]
    assert after["inside"] < before["inside"]


def test_two_devices_judge_each_other():
    """From one device an interval is wider than its own rows lie apart."""
    pytest.importorskip("lightgbm", reason="LightGBM is not installed")
    draw = np.random.default_rng(3)
    parts = [drawn(draw, name) for name in "ab"]
    for row, other in zip(evaluate(parts), reversed(parts), strict=True):
        own = np.exp(np.diff(np.quantile(np.log(other.seconds), [0.05, 0.95])))[0]
        assert row["width"] > own
