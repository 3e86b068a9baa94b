"""Energy of windows against closed forms: jitter, gaps, wraps, frozen and disagreeing sensors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.errors import InputError
from lydite.measure.telemetry import (
    DeviceTrace,
    SensorDevice,
    Trace,
    idle_power,
    modelled_energy,
    modelled_power,
    window_energy,
)
from lydite.measure.telemetry.base import Cumulative

MEAN_W, SWING_W, PERIOD_S = 300.0, 150.0, 4.0
START_NS = 10**15 + 7


def watts(seconds):
    return MEAN_W + SWING_W * np.sin(2 * np.pi * seconds / PERIOD_S)


def joules(seconds):
    """The exact integral of `watts` from 0."""
    omega = 2 * np.pi / PERIOD_S
    return MEAN_W * seconds + SWING_W / omega * (1 - np.cos(omega * seconds))


def jittered(rng, length_s, interval_s=0.1):
    count = int(length_s / interval_s)
    return interval_s * np.arange(count) + rng.uniform(0, 0.6 * interval_s, count)


def a_trace(seconds, interval_s=0.1, limit_w=None, **channels):
    times = START_NS + np.round(np.asarray(seconds) * 1e9).astype(np.int64)
    columns = {name: np.asarray(column, float) for name, column in channels.items()}
    device = SensorDevice("x:0", "x", power_limit_w=limit_w)
    return Trace(interval_s, {"x:0": DeviceTrace(device, "x", interval_s, times, columns)})


def window(trace, start_s, end_s, **more):
    edges = (START_NS + round(1e9 * each) for each in (start_s, end_s))
    return window_energy(trace, "x:0", *edges, **more)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("start_s", "end_s"), [(1.03, 18.77), (0.7, 3.9), (2.0, 3.05)])
def test_jitter(seed, start_s, end_s):
    seconds = jittered(np.random.default_rng(seed), 20.0)
    exact = joules(end_s) - joules(start_s)
    polled = window(a_trace(seconds, power_w=watts(seconds)), start_s, end_s)
    assert polled.source == "polled"
    assert polled.joules == pytest.approx(exact, rel=0.01)
    assert abs(polled.joules - exact) <= polled.uncertainty_j
    counter = window(a_trace(seconds, energy_j=joules(seconds)), start_s, end_s)
    assert counter.source == "counter"
    assert counter.joules == pytest.approx(exact, rel=0.01)
    assert abs(counter.joules - exact) <= counter.uncertainty_j
    assert counter.polled_j is None


def test_a_counter_that_wraps_several_times():
    seconds = jittered(np.random.default_rng(1), 60.0)
    span = 4096.0
    counter = Cumulative(span)
    unwrapped = [counter.add(joules(s) % span, s) for s in seconds]
    found = window(a_trace(seconds, energy_j=unwrapped), 1.0, 59.0)
    assert joules(59.0) > 4 * span
    assert found.joules == pytest.approx(joules(59.0) - joules(1.0), rel=0.01)


def test_a_small_gap_is_told_and_a_large_one_refused():
    seconds = jittered(np.random.default_rng(2), 60.0)
    small = seconds[(seconds < 20.0) | (seconds > 21.5)]
    found = window(a_trace(small, power_w=watts(small)), 1.0, 59.0)
    assert found.joules == pytest.approx(joules(59.0) - joules(1.0), rel=0.01)
    assert "1 gap in the window, the longest 1." in found.notes[0]
    large = seconds[(seconds < 20.0) | (seconds > 30.0)]
    found = window(a_trace(large, power_w=watts(large)), 1.0, 59.0)
    assert (found.joules, found.source) == (None, "none")
    assert "polled power refused: 17.4 % of the window lies in gaps" in found.notes[-1]


def test_a_gap_inside_does_not_harm_a_counter_and_one_at_an_edge_does():
    seconds = jittered(np.random.default_rng(3), 60.0)
    holed = seconds[(seconds < 10.0) | (seconds > 30.0)]
    trace = a_trace(holed, energy_j=joules(holed))
    found = window(trace, 1.0, 59.0)
    assert found.joules == pytest.approx(joules(59.0) - joules(1.0), rel=1e-3)
    assert window(trace, 20.0, 40.0).source == "none"
    assert "counter refused" in window(trace, 20.0, 40.0).notes[-1]


def test_the_counter_scores_and_a_difference_is_told():
    seconds = np.arange(0, 10, 0.1)
    trace = a_trace(seconds, energy_j=100 * seconds, power_w=np.full(100, 94.0))
    found = window(trace, 1.0, 9.0)
    assert (found.source, found.joules) == ("counter", pytest.approx(800.0))
    assert (found.counter_j, found.polled_j) == (pytest.approx(800.0), pytest.approx(752.0))
    assert any("differs by 6 %" in note for note in found.notes)
    close = a_trace(seconds, energy_j=100 * seconds, power_w=watts(seconds) * 0 + 96.0)
    assert not any("differs" in note for note in window(close, 1.0, 9.0).notes)


def test_a_unit_that_is_a_thousand_off_is_refused():
    seconds = np.arange(0, 10, 0.1)
    trace = a_trace(seconds, energy_j=0.1 * seconds, power_w=100 + 0.1 * np.sin(seconds))
    found = window(trace, 1.0, 9.0)
    assert found.source == "none"
    assert any("one has the wrong unit" in note for note in found.notes)


def test_faults_of_a_counter():
    seconds = np.arange(0, 10, 0.1)
    frozen = window(a_trace(seconds, energy_j=np.full(100, 5.0)), 1.0, 9.0)
    assert "frozen at 5 J" in frozen.notes[0]
    back = np.where(seconds < 5, 100 * seconds, 100 * (seconds - 5))
    assert "steps back" in window(a_trace(seconds, energy_j=back), 1.0, 9.0).notes[0]
    assert window(a_trace(seconds, energy_j=back), 6.0, 9.0).joules == pytest.approx(300.0)
    jump = 100 * seconds + 1e6 * (seconds > 5)
    found = window(a_trace(seconds, energy_j=jump, power_w=np.full(100, 100.0)), 1.0, 9.0)
    assert (found.source, found.joules) == ("polled", pytest.approx(800.0))
    assert "jumps beyond belief" in found.notes[0]
    assert found.counter_j is None


def test_frozen_power():
    seconds = np.arange(0, 10, 0.1)
    busy = 100.0 * (seconds > 5)
    still = a_trace(seconds, power_w=np.full(100, 42.0), utilisation_percent=busy)
    assert window(still, 1.0, 9.0).source == "none"
    assert (
        "frozen, all 79 readings are 42 W while the use changes"
        in (window(still, 1.0, 9.0).notes[0])
    )
    idle = a_trace(seconds, power_w=np.full(100, 42.0))
    assert window(idle, 1.0, 9.0).joules == pytest.approx(336.0)
    assert "may be frozen" in window(idle, 1.0, 9.0).notes[0]


def test_a_counter_that_is_updated_rarely_says_so_in_its_uncertainty():
    seconds = np.arange(0, 10, 0.02)
    stepped = 100 * np.floor(seconds / 0.1) * 0.1
    found = window(a_trace(seconds, interval_s=0.02, energy_j=stepped), 1.05, 9.04)
    assert abs(found.joules - 799.0) <= found.uncertainty_j
    assert found.uncertainty_j == pytest.approx(20.0, rel=0.1)


def test_a_rare_update_between_two_close_readings_is_no_jump():
    """A counter of a 700 W board that is updated every 100 ms, read 2 ms before and after."""
    seconds = np.array([0.0, 0.1, 0.198, 0.202, 0.3, 0.4])
    counted = np.array([0.0, 70.0, 70.0, 140.0, 210.0, 280.0])
    found = window(a_trace(seconds, limit_w=700.0, energy_j=counted), 0.0, 0.4)
    assert (found.source, found.joules) == ("counter", pytest.approx(280.0))


def test_windows_beyond_the_samples():
    seconds = np.arange(0, 10.05, 0.1)
    trace = a_trace(seconds, power_w=np.full(101, 50.0), energy_j=50 * seconds)
    beyond = window(trace, 0.5, 10.5)
    assert beyond.joules == pytest.approx(500.0)
    assert any("0.5 s of the window lie beyond the samples" in note for note in beyond.notes)
    assert beyond.uncertainty_j >= 25.0
    assert window(trace, 5.0, 15.0).source == "none"
    assert window(trace, 20.0, 30.0).source == "none"
    assert window(a_trace([], power_w=[]), 0.0, 1.0).notes == (
        "no sensor of this device reads energy or power",
    )
    with pytest.raises(InputError, match="is empty"):
        window(trace, 2.0, 2.0)
    with pytest.raises(InputError, match="unknown device 'y:0'"):
        window_energy(trace, "y:0", 0, 1)


def test_idle():
    seconds = np.arange(0, 10, 0.1)
    power = np.where(seconds < 4, 50.0 + np.arange(100) % 3, 200.0)
    trace = a_trace(seconds, power_w=power)
    idle = idle_power(trace, "x:0", START_NS, START_NS + 3_950_000_000)
    assert (idle.watts, idle.source, idle.samples) == (51.0, "polled", 40)
    assert idle.spread_w == 2.0
    found = window(trace, 5.0, 9.0, idle_w=idle.watts)
    assert found.above_idle_j == pytest.approx(4 * (200.0 - 51.0))
    counted = a_trace(seconds, energy_j=70 * seconds)
    idle = idle_power(counted, "x:0", START_NS, START_NS + 10**10)
    assert (idle.watts, idle.source) == (pytest.approx(70.0), "counter")
    assert idle_power(a_trace(seconds, memory_bytes=power), "x:0", 0, 2**62) is None


def test_modelled_energy_is_marked_and_says_what_it_assumes():
    assert modelled_power(20.0, 220.0, np.array([0.0, 0.5, 1.0, 2.0])).tolist() == [
        20.0,
        120.0,
        220.0,
        220.0,
    ]
    seconds = np.arange(0, 10, 0.1)
    trace = a_trace(seconds, utilisation_percent=np.full(100, 50.0))
    edges = START_NS + 10**9, START_NS + 9 * 10**9
    found = modelled_energy(trace, "x:0", *edges, idle_w=20.0, tdp_w=220.0)
    assert (found.source, found.joules) == ("modelled", pytest.approx(960.0))
    assert found.above_idle_j == pytest.approx(800.0)
    assert "20 W idle, and 220 W (TDP) at full use; not measured" in found.notes[0]
    assert found.counter_j is found.polled_j is None
    none = modelled_energy(a_trace(seconds), "x:0", *edges, idle_w=1.0, tdp_w=2.0)
    assert none.source == "none"
    with pytest.raises(InputError):
        modelled_power(30.0, 20.0, np.ones(1))


powers = st.lists(st.floats(0, 1000), min_size=15, max_size=60)
edges = st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3, unique=True).map(sorted)


@given(powers, edges, st.integers(0, 2**32 - 1), st.booleans())
def test_energy_is_never_negative_and_parts_add_up(power, shares, seed, is_counter):
    rng = np.random.default_rng(seed)
    seconds = np.cumsum(rng.uniform(0.05, 0.25, len(power)))
    spent = np.concatenate([[0.0], np.cumsum(np.asarray(power)[1:] * np.diff(seconds))])
    channels = {"energy_j": spent} if is_counter else {"power_w": power}
    trace = a_trace(seconds, **channels)
    length = seconds[-1] - seconds[0]
    cuts = [START_NS + int(1e9 * (seconds[0] + share * length)) for share in shares]
    if len(set(cuts)) < 3:
        return
    whole, first, second = (
        window_energy(trace, "x:0", cuts[a], cuts[b]) for a, b in ((0, 2), (0, 1), (1, 2))
    )
    for each in (whole, first, second):
        assert each.joules is None or each.joules >= 0
    if None not in (whole.joules, first.joules, second.joules):
        assert first.joules + second.joules == pytest.approx(whole.joules, abs=1e-6)
