import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.errors import InputError
from lydite.estimate import Chain, Estimate, add_up


def estimate(seconds, half, shared=None):
    return Estimate(seconds, seconds - half, seconds + half, "measured", shared=shared)


def test_independent_errors_add_as_monte_carlo_says():
    """90 % half-widths of independent normal errors: the simulated sum's own 90 % half-width."""
    parts = [
        (estimate(1.0, 0.1), 3, "a"),
        (estimate(2.0, 0.3), 1, "b"),
        (estimate(0.5, 0.2), 2, "c"),
    ]
    total = add_up(parts)
    z = 1.6448536
    rng = np.random.default_rng(1)
    draws = sum(
        count * (e.seconds + rng.normal(0, (e.high - e.seconds) / z, 400_000))
        for e, count, _ in parts
    )
    low, high = np.percentile(draws, [5, 95])
    assert total.seconds == pytest.approx(6.0)
    assert total.low == pytest.approx(low, abs=0.01)
    assert total.high == pytest.approx(high, abs=0.01)


def test_shared_errors_add_linearly():
    parts = [(estimate(1.0, 0.1, "model"), 1, "a"), (estimate(1.0, 0.2, "model"), 1, "b")]
    assert add_up(parts).high == pytest.approx(2.3)


def test_a_systematic_error_widens_the_sum():
    total = add_up([(estimate(1.0, 0.03), 1, "a")], systematic=0.04)
    assert total.high == pytest.approx(1.05)
    assert total.low == pytest.approx(0.95)


@given(st.lists(st.tuples(st.floats(1e-6, 1.0), st.floats(0, 0.9), st.integers(1, 9)), min_size=1))
def test_bounds_contain_the_sum_and_never_exceed_the_linear_ones(items):
    parts = [
        (Estimate(s, s * (1 - share), s * (1 + share), "roofline"), count, index)
        for index, (s, share, count) in enumerate(items)
    ]
    total = add_up(parts)
    linear = sum(count * (e.high - e.seconds) for e, count, _ in parts)
    assert total.low <= total.seconds <= total.high <= total.seconds + linear * (1 + 1e-9)


@pytest.mark.parametrize(
    "values", [(0.0, 0.0, 1.0), (1.0, 2.0, 3.0), (1.0, 0.5, 0.9), (1.0, 0.5, math.inf), (1, -1, 2)]
)
def test_an_estimate_without_sense_is_refused(values):
    with pytest.raises(InputError):
        Estimate(values[0], values[1], values[2], "measured")


def test_an_unknown_source_is_refused():
    with pytest.raises(InputError, match="guessed"):
        Estimate(1.0, 0.5, 2.0, "guessed")


class Knows:
    name = "knows"

    def __init__(self, wanted, seconds):
        self.wanted, self.seconds, self.asked = wanted, seconds, []

    def estimate(self, keys, device):
        self.asked += keys
        return [estimate(self.seconds, 0.1) if key in self.wanted else None for key in keys]


def test_the_first_that_knows_answers_and_nobody_is_asked_twice():
    first, second = Knows({"a"}, 1.0), Knows({"a", "b"}, 2.0)
    answers = Chain([first, second]).estimate(["a", "b", "c"], None)
    assert [a.seconds if a else None for a in answers] == [1.0, 2.0, None]
    assert second.asked == ["b", "c"]
