"""Goodput against published optima, against a simulation of failures, and at its limits."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.cluster.goodput import (
    checkpoint_seconds,
    daly_interval_s,
    document,
    goodput,
    goodput_lines,
    young_interval_s,
)
from lydite.errors import InputError

HOUR, DAY = 3600.0, 86400.0


def job(**given):
    """A step of 2 s, 1,000 devices of which one fails every 1,000 days: a failure a day."""
    usual = {
        "step_s": 2.0,
        "samples": 512,
        "devices": 1000,
        "mtbf_device_s": 1000 * DAY,
        "checkpoint_s": 60.0,
        "restart_s": 600.0,
    }
    return goodput(**(usual | given))


@pytest.mark.parametrize(("mtbf_min", "optimum_min"), [(24 * 60, 117), (6 * 60, 57), (15, 9.1)])
def test_the_optima_that_daly_states(mtbf_min, optimum_min):
    """Figures 3 to 5 of the paper, a checkpoint of 5 min."""
    found = daly_interval_s(5 * 60, mtbf_min * 60) / 60
    assert found == pytest.approx(optimum_min, abs=0.05 if optimum_min < 10 else 0.5)


def test_the_optimum_is_one():
    best = job()
    assert not best.given
    for factor in (0.5, 0.8, 1.25, 2.0):
        other = job(interval_s=best.interval_s * factor)
        assert other.given
        assert other.useful_share < best.useful_share


def test_daly_becomes_young_where_failures_are_rare():
    assert daly_interval_s(1.0, 1e10) == pytest.approx(young_interval_s(1.0, 1e10), rel=1e-4)
    assert young_interval_s(2.0, 900.0) == 60.0
    assert daly_interval_s(100.0, 50.0) == 50.0


def played(job, stretches, seed):
    """Seconds by kind that a job of so many stretches takes, failure by failure."""
    chance = np.random.default_rng(seed)
    spent = {"useful": 0.0, "checkpoints": 0.0, "rework": 0.0, "restarts": 0.0}
    for _ in range(stretches):
        whole = job.interval_s + job.checkpoint_s
        while (failed := chance.exponential(job.mtbf_s)) < whole:
            spent["rework"] += failed
            while (again := chance.exponential(job.mtbf_s)) < job.restart_s:
                spent["restarts"] += again
            spent["restarts"] += job.restart_s
        spent["useful"] += job.interval_s
        spent["checkpoints"] += job.checkpoint_s
    return spent


@pytest.mark.parametrize(
    ("mtbf_s", "interval_s", "restart_s"), [(3600, 1200, 300), (900, 600, 600), (900, None, 60)]
)
def test_against_failures_one_by_one(mtbf_s, interval_s, restart_s):
    found = job(mtbf_device_s=1000 * mtbf_s, interval_s=interval_s, restart_s=restart_s)
    spent = played(found, 20_000, seed=7)
    whole = sum(spent.values())
    expected = {"useful": found.useful_share, **found.lost_shares}
    for kind, seconds in spent.items():
        assert seconds / whole == pytest.approx(expected[kind], abs=0.01)


def test_dalys_expression():
    found = job(interval_s=2 * HOUR)
    mean = found.mtbf_s
    expected = mean * math.exp(600 / mean) * (math.exp((2 * HOUR + 60) / mean) - 1)
    assert found.expected_s == pytest.approx(expected)
    assert found.useful_share + sum(found.lost_shares.values()) == pytest.approx(1)


def test_without_failures_checkpoints_are_all_that_is_lost():
    found = job(mtbf_device_s=1e18, interval_s=600.0)
    assert found.useful_share == pytest.approx(600 / 660)
    assert found.lost_shares["rework"] == pytest.approx(0, abs=1e-9)
    assert found.samples_per_s == pytest.approx(256 * 600 / 660)


def test_checkpoints_that_cost_nothing_are_written_after_each_step():
    found = job(checkpoint_s=0.0)
    assert found.interval_s == found.step_s
    assert "every 2.00 s (after each step)" in goodput_lines(found)[2]


spans = st.floats(1.0, 3600.0)


@given(
    checkpoint=spans,
    restart=spans,
    interval=spans,
    mean=st.floats(900.0, 1e7),
    worse=st.floats(1.0, 3.0),
)
def test_more_failures_never_give_more(checkpoint, restart, interval, mean, worse):
    base = {"step_s": 0.5, "devices": 1, "checkpoint_s": checkpoint, "restart_s": restart}
    for chosen in (interval, None):
        few = job(**base, mtbf_device_s=mean, interval_s=chosen)
        many = job(**base, mtbf_device_s=mean / worse, interval_s=chosen)
        # Daly's optimum is one to a thousandth.
        assert many.useful_share <= few.useful_share * (1 + (1e-9 if chosen else 1e-3))
        assert 0 < many.useful_share < 1


def test_devices_share_their_failures():
    assert job(devices=10, mtbf_device_s=10 * DAY).useful_share == pytest.approx(
        job(devices=1, mtbf_device_s=DAY).useful_share
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"interval_s": 0.0}, "checkpoint interval 0; allowed: > 0"),
        ({"interval_s": -1.0}, "checkpoint interval -1; allowed: > 0"),
        ({"interval_s": 1.0}, "a checkpoint every 1.00 s, but a step takes 2.00 s"),
        ({"mtbf_device_s": 0.0}, "mean time between failures 0; allowed: > 0"),
        ({"mtbf_device_s": -DAY}, "mean time between failures -86400; allowed: > 0"),
        ({"mtbf_device_s": math.inf}, "mean time between failures inf; allowed: > 0, finite"),
        ({"mtbf_device_s": math.nan}, "mean time between failures nan"),
        ({"checkpoint_s": -1.0}, "checkpoint -1; allowed: >= 0"),
        ({"restart_s": math.inf}, "restart inf"),
        ({"devices": 0}, "devices 0"),
        ({"mtbf_device_s": 60.0}, "with a failure every 60.0 ms, no interval of"),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(InputError) as error:
        job(**given)
    assert message in str(error.value)


def test_a_checkpoint_is_weights_and_states_of_the_fullest_rank():
    stage = {"weights": 2e9, "gradients": 9e9, "optimizer": 12e9, "activations": 50e9}
    assert checkpoint_seconds([stage, stage | {"optimizer": 6e9}], 2e9) == pytest.approx(7.0)
    with pytest.raises(InputError, match="checkpoint write rate 0"):
        checkpoint_seconds([stage], 0.0)


def test_what_people_and_programs_read():
    found = replace(job(interval_s=2 * HOUR), restart_s=0.0)
    head, failures, checkpoints, lost = goodput_lines(found)
    assert head.startswith("goodput (modelled): 95.1 % of the time is progress, 243.4 samples/s")
    assert failures == "  a failure every 24 h: 1000 devices, each once in 2.74 years"
    assert checkpoints.startswith("  a checkpoint of 60.0 s every 2 h (given; Daly's optimum is ")
    assert lost == "  lost: checkpoints 0.8 %, rework 4.1 %, restarts 0.0 %"
    written = document(found)
    assert written["mtbf_s"] == DAY
    assert written["useful_share"] == found.useful_share
    assert written["kind"] == "modelled"
    assert all(not isinstance(value, float) or math.isfinite(value) for value in written.values())
