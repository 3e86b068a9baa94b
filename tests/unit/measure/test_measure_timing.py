import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.measure import timing
from lydite.measure.timing import TimingPlan, measure, sample, warm_up, warnings_for


class Clock:
    """Time that passes only when something runs."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        self.log = []
        monkeypatch.setattr(timing, "_CLOCKS", dict.fromkeys(("wall", "process"), self.ns))
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(timing, "clock_cost_s", lambda _: 1e-7)

    def ns(self):
        return round(self.now * 1e9)


class Thing:
    def __init__(self, clock, name, *seconds):
        self.clock, self.name, self.seconds, self.runs = clock, name, list(seconds), 0
        self.waits = 0

    def run(self):
        self.clock.now += self.seconds[min(self.runs, len(self.seconds) - 1)]
        self.clock.log.append(self.name)
        self.runs += 1

    def synchronize(self):
        self.waits += 1


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_samples_are_seconds_per_call(clock):
    found = measure(
        {"a": Thing(clock, "a", 0.004), "b": Thing(clock, "b", 0.0001)}, TimingPlan(rounds=5)
    )
    assert found["a"].samples_s == pytest.approx([0.004] * 5)
    assert found["b"].samples_s == pytest.approx([0.0001] * 5)


def test_short_things_are_looped_above_the_timer(clock):
    found = measure({"x": Thing(clock, "x", 1e-6)}, TimingPlan(sample_s=0.002))
    assert found["x"].calls == 2000


def test_slow_first_calls_are_no_samples(clock):
    thing = Thing(clock, "x", 1.0, 0.5, 0.1, 0.01)
    found = measure({"x": thing}, TimingPlan(rounds=4, budget_s=60))["x"]
    assert found.samples_s == pytest.approx([0.01] * 4)
    assert found.warmup_calls >= 4


def test_warm_up_goes_on_until_three_calls_agree(clock):
    calls, latency = warm_up(Thing(clock, "x", 9, 7, 5, 3, 1, 1, 1), budget_s=1000)
    assert (calls, latency) == (7, 1)


def test_rounds_are_interleaved_and_their_order_changes(clock):
    things = {name: Thing(clock, name, 0.3) for name in "abc"}
    measure(things, TimingPlan(rounds=8, budget_s=1000))
    rounds = "".join(clock.log[-24:])
    orders = {rounds[i : i + 3] for i in range(0, 24, 3)}
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert len(orders) > 1


def test_the_budget_ends_the_rounds_but_three_are_made(clock):
    found = measure({"x": Thing(clock, "x", 10.0)}, TimingPlan(rounds=50, budget_s=1.0))
    assert len(found["x"].samples_s) == 3


def test_a_flush_stands_before_each_sample_and_is_not_timed(clock):
    def flush():
        clock.now += 5.0
        clock.log.append("flush")

    found = measure({"x": Thing(clock, "x", 1e-6)}, TimingPlan(rounds=3, flush=flush))["x"]
    assert found.calls == 1
    assert found.samples_s == pytest.approx([1e-6] * 3, rel=1e-2)
    assert clock.log[-6:] == ["flush", "x"] * 3


def test_synchronize_is_inside_the_timed_region(clock):
    class Late(Thing):
        def synchronize(self):
            self.clock.now += 0.1

    assert sample(Late(clock, "x", 0.0), 10) == pytest.approx(0.01)


def test_a_device_timer_is_asked_instead_of_the_clock(clock):
    thing = Thing(clock, "x", 1.0)
    thing.device_seconds = lambda calls: 0.25
    assert sample(thing, 4) == 0.25
    assert thing.runs == 0


@pytest.mark.parametrize(
    ("samples", "environment", "word"),
    [
        ([1.0, 1.3, 0.7, 1.25, 0.75, 1.0, 1.35, 0.7], {}, "unstable"),
        ([1.0, 1.001, 0.999, 1.0, 1.002, 5, 6, 7, 1.0, 1.001, 1, 0.998, 1.002, 1], {}, "outliers"),
        ([1.0, 1.01, 0.99], {"wall_s": 10.0, "steal_s": 1.0}, "hypervisor"),
    ],
)
def test_doubtful_samples_are_warned_of_with_advice(samples, environment, word):
    found = warnings_for(np.array(samples), environment)
    assert any(word in text for text in found)


@given(st.floats(1e-9, 10), st.integers(3, 30))
def test_steady_samples_need_no_warning(seconds, count):
    assert warnings_for(np.full(count, seconds), {"wall_s": 1.0, "steal_s": 0.0}) == ()
