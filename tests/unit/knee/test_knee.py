"""Turning points: of curves whose turning point follows from a closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls

from lydite.errors import InputError
from lydite.knee import CURVES, find_turning_point, turning_index
from lydite.knee.curves import designs_for, fit

X = np.arange(1.0, 17.0)


def noisy(y, samples=5, seed=0):
    rng = np.random.default_rng(seed)
    return np.asarray(y)[:, None] * np.exp(0.02 * rng.standard_normal((len(y), samples)))


def test_the_index_is_the_first_value_from_which_no_later_one_pays():
    assert turning_index(1 / X) == 15  # 15 -> 16 saves 6.25 %
    assert turning_index(1 / X, gain=0.1) == 8  # 9 -> 10 saves exactly 10 %, rounding aside
    assert turning_index(np.ones(16)) == 0
    # f + (1 - f)/x with f = 0.1: x -> x + 1 saves 0.9/(x (x + 1)) of 0.1 + 0.9/x
    steps = [0.9 / (x * (x + 1)) / (0.1 + 0.9 / x) for x in X]
    first = next(i for i, saved in enumerate(steps) if saved < 0.05)
    assert turning_index(0.1 + 0.9 / X) == first
    # a tread does not stop the search: from 8 to 16 the time halves
    assert turning_index(np.ceil(16 / X)) == 15


@pytest.mark.parametrize("gain", [0.02, 0.05, 0.2])
def test_the_index_is_that_of_the_definition(gain):
    rng = np.random.default_rng(1)
    for _ in range(200):
        y = rng.uniform(0.1, 1.0, 9)
        wanted = next(
            i
            for i in range(9)
            if all(y[j] >= y[i] * (1 - gain) ** (j - i) for j in range(i + 1, 9))
        )
        assert turning_index(y, gain) == wanted


def test_fits_are_those_of_scipy():
    rng = np.random.default_rng(2)
    designs = designs_for(tuple(X), 12)
    y = (0.1 + 1 / X) * np.exp(0.1 * rng.standard_normal((3, 16)))
    coefficients, rss = fit(designs, y)
    for series in range(3):
        for design in range(len(designs.matrix)):
            used = designs.matrix[design].any(axis=0)
            matrix = designs.matrix[design][:, used] / y[series][:, None]
            wanted, norm = nnls(matrix, np.ones(16))
            assert rss[series, design] == pytest.approx(norm**2, rel=1e-6, abs=1e-9)
            assert coefficients[series, design][used] == pytest.approx(wanted, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("y", "value", "curves"),
    [
        (np.ones(16), 1, {"flat"}),
        (1 / X, 16, {"perfect"}),
        (0.2 + 0.8 / X, 7, {"amdahl", "scalability"}),
        (1 / np.minimum(X, 6), 6, {"roof", "fixed roof"}),
        (np.where(X <= 5, 1 / X, 1 / X + 0.2), 5, {"cliff"}),
        (np.ceil(9 / X), 9, {"staircase"}),
    ],
)
def test_each_curve_is_recognised(y, value, curves):
    found = find_turning_point(X, noisy(y), extent=9)
    assert abs(found.value - value) <= 1
    assert found.curve in curves
    assert found.low <= found.value <= found.high
    assert found.beyond == (value == 16)
    assert sum(found.weights.values()) == pytest.approx(1)
    assert set(found.weights) == {curve.name for curve in CURVES}


def test_a_staircase_is_tried_only_where_the_pieces_are_known():
    found = find_turning_point(X, noisy(0.2 + 0.8 / X))
    assert "staircase" not in found.weights


def test_reasons_are_in_words():
    assert "used up at 6" in find_turning_point(X, noisy(1 / np.minimum(X, 6))).reason
    flat = find_turning_point(X, noisy(np.ones(16)), what="threads")
    assert flat.reason == "nothing in it depends on threads"
    assert flat.headline().startswith("more than 1 stops paying")
    assert "no turning point within 1..16" in find_turning_point(X, noisy(1 / X)).headline()


def test_none_of_the_curves_fits():
    wild = np.array([1, 3, 1, 4, 1, 3, 1, 5, 1, 3, 1, 4, 1, 3, 1, 6.0])
    found = find_turning_point(X, noisy(wild))
    assert found.value is None
    assert found.low is None
    assert "none of the curves fits" in found.reason
    assert "none of the curves fits" in found.headline()


def test_few_values_are_judged_by_their_steps():
    found = find_turning_point([1, 2], [[1.0, 1.1, 1.05], [0.5, 0.52, 0.51]])
    assert found.value == 2
    assert found.beyond
    assert found.curve == ""
    assert "2 values of it are too few for a curve; 2 changes the time by -51%" in found.reason


@pytest.mark.parametrize(
    ("x", "samples", "gain"),
    [
        ([1], [1.0], 0.05),
        ([1, 2], [1.0], 0.05),
        ([2, 1], [1.0, 2.0], 0.05),
        ([0, 1], [1.0, 2.0], 0.05),
        ([1, 2], [1.0, -2.0], 0.05),
        ([1, 2], [1.0, np.nan], 0.05),
        ([1, 2], [1.0, 2.0], 0.0),
        ([1, 2], [1.0, 2.0], 1.0),
    ],
)
def test_nonsense_is_refused(x, samples, gain):
    with pytest.raises(InputError):
        find_turning_point(x, samples, gain=gain)


def test_intervals_hold_the_turning_point_and_the_answer_is_reproducible():
    rng = np.random.default_rng(5)
    held = right = 0
    for number in range(60):
        y = rng.uniform(0.02, 0.4) + 1 / X
        taken = y * np.exp(0.05 * rng.standard_normal(16))
        found = find_turning_point(X, taken, seed=number)
        truth = X[turning_index(y)]
        held += found.low <= truth <= found.high
        right += abs(found.value - truth) <= 1
    assert right >= 54
    assert held >= 45
    again = find_turning_point(X, taken, seed=59)
    assert (again.value, again.low, again.high) == (found.value, found.low, found.high)
