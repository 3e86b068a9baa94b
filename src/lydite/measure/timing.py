"""The timing protocol, common to operators, models and all comparisons.

1. *Warm up* until the last calls agree, or a share of the budget is spent. 2. *Calibrate* the loop:
a sample spans enough calls that the timer's own cost and resolution stay
   under 0.1 % of it.
3. *Interleave*: what is compared is sampled round by round, in an order drawn anew each round, so
   that a change of the machine's speed meets all alike.
4. *Keep* every raw sample, with the state of the machine before and after. 5. *Warn* when the
samples do not agree, and say what to do.

`synchronize` is called inside the timed region, once a sample.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import cache
from typing import Any, Literal, Protocol

import numpy as np

from lydite.measure.environment import machine_state
from lydite.records import dataclass
from lydite.results import OneLine
from lydite.units import format_seconds

Clock = Literal["wall", "process"]
_CLOCKS: dict[str, Callable[[], int]] = {
    "wall": time.perf_counter_ns,
    "process": time.process_time_ns,
}


_SETTLING_S = 0.25
"""Calls longer than this refill the caches in a small part of their own time."""


_MOST_SETTLING, _SETTLED_S = 24, 0.15
"""Most untimed calls after another item ran, and seconds of them."""


class Runnable(Protocol):
    """Something that can be timed."""

    def run(self) -> None:
        """One call."""
        ...

    def synchronize(self) -> None:
        """Wait until the device has finished the call."""
        ...


@dataclass(frozen=True, slots=True)
class TimingPlan:
    """Number of samples to take, and time to spend.

    Attributes:
        rounds: Maximum number of samples per item.
        budget_s: Wall seconds for all items together, warm-up included, after which no round
            starts.
        sample_s: Minimum duration of one sample in seconds.
        clock: Clock: "wall" (latency) or "process" (CPU time of all threads, for figures on noisy
            hosts).
        seed: Random seed of the order within a round.
        min_rounds: Number of rounds to make even if the budget is spent.
        flush: Function called before each sample, untimed; samples are then single calls on cold
            caches.
    """

    rounds: int = 15
    budget_s: float = 1.0
    sample_s: float = 0.002
    clock: Clock = "wall"
    seed: int = 0
    min_rounds: int = 3
    flush: Callable[[], None] | None = None


@dataclass(frozen=True, repr=False)
class Timing(OneLine):
    """Samples of one item.

    Attributes:
        samples_s: Seconds per call, one per round.
        calls: Number of calls per sample.
        warmup_calls: Number of calls before the first sample.
        environment: State of the machine before, and changes until after.
        warnings: Reasons to doubt the figures, with advice.
    """

    samples_s: np.ndarray
    calls: int
    warmup_calls: int
    environment: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def median_s(self) -> float:
        """Median seconds per call."""
        return float(np.median(self.samples_s))

    def headline(self) -> str:
        """Median and number of samples."""
        return f"{format_seconds(self.median_s)}, {len(self.samples_s)} samples"


@cache
def clock_cost_s(clock: Clock) -> float:
    """Seconds that reading the clock costs, or its resolution if that is larger."""
    read = _CLOCKS[clock]
    start = read()
    for _ in range(1000):
        read()
    return max((read() - start) * 1e-9 / 1000, time.get_clock_info(_info_name(clock)).resolution)


def _info_name(clock: Clock) -> Literal["perf_counter", "process_time"]:
    return "perf_counter" if clock == "wall" else "process_time"


def sample(item: Runnable, calls: int, clock: Clock = "wall") -> float:
    """Seconds per call over one sample of `calls` calls.

    If the device has its own timer (`device_seconds`), it is used instead of the host's clock.
    """
    device = getattr(item, "device_seconds", None)
    if device is not None:
        return device(calls)
    read, run = _CLOCKS[clock], item.run
    start = read()
    for _ in range(calls):
        run()
    item.synchronize()
    return (read() - start) * 1e-9 / calls


def warm_up(item: Runnable, budget_s: float) -> tuple[int, float]:
    """Call at least twice, until the last three agree within 3 %; number of calls, last seconds.

    The budget is wall time; a longer first call ends the warm-up.
    """
    deadline = time.perf_counter() + budget_s
    recent: list[float] = []
    while True:
        recent.append(sample(item, 1))
        tail = recent[-3:]
        settled = len(recent) >= 4 and max(tail) <= 1.03 * min(tail)
        if settled or (len(recent) >= 2 and time.perf_counter() > deadline):
            return len(recent), float(np.median(tail))
        if len(recent) == 1 and recent[0] > max(budget_s, 1.0):
            return 1, recent[0]


def settle(item: Runnable) -> int:
    """Call until three calls in a row agree within 2 %, or a few times; number of calls.

    A network that was just switched to takes several calls to fill the caches and predictors: the
    second to tenth call of one of 350 us took 456, 417, 397 ... 353 us. Two that agree are not
    enough: by chance they do while the calls still get faster (one of 10 ms was timed 4 % slower).
    """
    recent: list[float] = []
    while len(recent) < _MOST_SETTLING and sum(recent) <= _SETTLED_S:
        recent.append(sample(item, 1))
        tail = recent[-3:]
        if len(tail) == 3 and max(tail) <= 1.02 * min(tail):
            break
    return len(recent)


def measure(items: Mapping[str, Runnable], plan: TimingPlan) -> dict[str, Timing]:
    """Time the items, interleaved; see the module's docstring for the protocol.

    Returns:
        A `Timing` per item, all with the same number of samples, round by round.
    """
    before, began = machine_state(), time.perf_counter()
    warm: dict[str, int] = {}
    calls: dict[str, int] = {}
    latencies: dict[str, float] = {}
    shortest = max(plan.sample_s, 1000 * clock_cost_s(plan.clock))
    for name, item in items.items():
        warm[name], latencies[name] = warm_up(item, plan.budget_s * 0.2 / len(items))
        wanted = max(1, round(shortest / max(latencies[name], 1e-9)))
        calls[name] = 1 if plan.flush else wanted
    samples: dict[str, list[float]] = {name: [] for name in items}
    order, shuffle = list(items), random.Random(plan.seed)
    for done in range(plan.rounds):
        if done >= plan.min_rounds and time.perf_counter() - began > plan.budget_s:
            break
        shuffle.shuffle(order)
        for name in order:
            if plan.flush:
                plan.flush()
            elif len(order) > 1 and latencies[name] < _SETTLING_S:
                settle(items[name])  # earlier calls have taken the caches
            samples[name].append(sample(items[name], calls[name], plan.clock))
    after = machine_state()
    environment = {
        **before,
        "clock": plan.clock,
        "load_average_1min_after": after["load_average_1min"],
        "steal_s": round(after["steal_s"] - before["steal_s"], 2),
        "wall_s": round(time.perf_counter() - began, 4),
    }
    return {
        name: Timing(
            np.array(samples[name]),
            calls[name],
            warm[name],
            environment,
            warnings_for(np.array(samples[name]), environment),
        )
        for name in items
    }


def warnings_for(samples_s: np.ndarray, environment: Mapping[str, Any]) -> tuple[str, ...]:
    """Warnings about doubtful samples, each with advice.

    Outliers are judged by the median absolute deviation (Iglewicz and Hoaglin 1993: modified
    z-score above 3.5), spread by the interquartile range over the median.
    """
    found: list[str] = []
    median = float(np.median(samples_s))
    low, high = np.percentile(samples_s, [25, 75])
    if median > 0 and (high - low) / median > 0.1:
        found.append(
            f"unstable: the middle half of the samples spans {(high - low) / median:.0%} of the "
            "median; close other programs or measure longer (--budget)"
        )
    deviation = float(np.median(np.abs(samples_s - median)))
    if deviation > 0:
        outliers = int(np.sum(0.6745 * np.abs(samples_s - median) / deviation > 3.5))
        if outliers > max(1, len(samples_s) // 5):
            found.append(
                f"{outliers} of {len(samples_s)} samples are outliers; another program is running"
            )
    wall = float(environment.get("wall_s", 0.0))
    if wall > 0 and float(environment.get("steal_s", 0.0)) > 0.05 * wall:
        found.append("the hypervisor took over 5 % of the time; repeat, or move to a quiet host")
    return tuple(found)
