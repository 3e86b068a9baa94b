"""The greatest valid rate: supported by valid runs, and contradicted by none."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lydite as ly
from lydite.api.mlperf.rates import greatest, shares_of
from lydite.mlperf.verdict import Rule, Verdict

NOISY = {"service": "1:4ms,8:8ms", "batch_size": 8, "min_duration": 10, "latency_limit": 10}


def verdict(word):
    rule = Rule("latency", word == "VALID", "", "", "", word == "too short")
    return Verdict((rule,), "", 0.0, "", {})


def test_no_rate_at_or_below_the_peak_fails():
    """Ten slow queries of 2,000 decide: 222.9 queries/s pass, and 211.8 and 188.5 do not."""
    found = ly.mlperf_peak("lenet5", **NOISY)
    words = {rate: run.verdict.word for rate, run in found.points}
    failed = [rate for rate, word in words.items() if word == "INVALID"]
    assert words[found.peak_qps] == "VALID"
    assert found.peak_qps < min(failed)
    (note,) = found.notes
    beyond = max(rate for rate, word in words.items() if word == "VALID")
    assert beyond > min(failed)
    assert f"{beyond:,.6g} queries/s was VALID, but {min(failed):,.6g}" in note
    assert note in found.summary()


def test_runs_that_are_too_short_do_not_speak_against_a_rate():
    found = ly.mlperf_peak("lenet5", **{**NOISY, "service": "4ms", "latency_limit": 20})
    first, last = found.points[0][1].verdict, found.points[-1][1].verdict
    assert (first.word, first.too_short) == ("INVALID", True)
    assert (last.word, last.too_short) == ("INVALID", False)
    assert found.points[0][0] < found.peak_qps < found.points[-1][0]
    assert found.notes == ()


def test_a_run_too_short_at_any_rate_says_so():
    found = ly.mlperf_peak("lenet5", **{**NOISY, "min_duration": 0.1})
    assert found.peak_qps is None
    (note,) = found.notes
    assert "too short to be valid" in note


def test_find_peak_knows_the_run_of_a_rate_with_many_digits():
    timed = {"service": "1ms±30%", "min_duration": 2.0, "latency_limit": 20}
    peak = ly.mlperf_peak("lenet5", **timed).peak_qps
    assert peak is not None
    assert peak != round(peak, 9)
    (run,) = ly.mlperf_run("lenet5", scenario="server", mode="find-peak", **timed).runs
    assert run.settings["target_qps"] == peak


@given(
    st.floats(0.01, 2000.0),
    st.floats(0.0, 1.0),
    st.lists(st.tuples(st.floats(1.0, 1000.0), st.floats(1.0, 50.0)), max_size=4),
)
def test_the_answer_is_what_the_tried_rates_support(limit, short, holes):
    """Verdicts with holes of failure below the limit, against a look over all that was tried."""
    tried = {}

    def judged(rate):
        fails = rate > limit or any(low <= rate < low + width for low, width in holes)
        word = "INVALID" if fails else "too short" if rate < short * limit else "VALID"
        tried[rate] = word
        return verdict(word)

    said = greatest(judged, 1000.0)
    failed = min((rate for rate, word in tried.items() if word == "INVALID"), default=math.inf)
    below = [rate for rate, word in tried.items() if word == "VALID" and rate < failed]
    beyond = [rate for rate, word in tried.items() if word == "VALID" and rate > failed]
    assert said.rate == max(below, default=None)
    assert (said.failed or math.inf) == failed
    assert said.beyond == max(beyond, default=None)
    if said.rate is not None:
        least_failed = min(failed, 1020.0)
        assert least_failed - max(r for r in tried if r < failed) <= 0.002 * least_failed
        assert set(shares_of(max(r for r in tried if r < failed)).values()) <= set(tried)


@pytest.mark.parametrize("most", [1e-3, 1.0, 1e6])
def test_where_verdicts_are_monotone_the_limit_is_found(most):
    limit = 0.37 * most
    said = greatest(lambda rate: verdict("VALID" if rate <= limit else "INVALID"), most)
    assert said.rate == pytest.approx(limit, rel=0.002)
    assert said.beyond is None
