"""Searches: the fewest GPUs, the greatest rate, or the best layout under objectives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from lydite.errors import InputError
from lydite.records import dataclass
from lydite.serving.layout import Layout, Part

if TYPE_CHECKING:
    from lydite.api.serving.deployment import Deployer
    from lydite.api.serving.workload import Source
    from lydite.serving import Outcome, Replica, Traffic
    from lydite.serving.metrics import Objective

MOST_REPLICAS = 4096
_DEGREES = (1, 2, 4, 8, 16)
_PRECISION = 0.01
GOALS = ("gpus", "rate", "config")


@dataclass(frozen=True)
class Tried:
    """A layout that was played, and whether it met the objectives.

    Attributes:
        layout: Replicas.
        rate: Requests per second.
        met: Whether all objectives were met.
        outcome: What happened.
    """

    layout: Layout
    rate: float
    met: bool
    outcome: Outcome


@dataclass(frozen=True)
class Rates:
    """A layout that can be played at any rate, in this process or another.

    Attributes:
        layout: The layout.
        replicas: Its replicas.
        traffic: What connects them.
        source: Where requests come from.
        objectives: What must be met.
    """

    layout: Layout
    replicas: Sequence[Replica]
    traffic: Traffic
    source: Source
    objectives: Sequence[Objective]

    def play(self, rate: float) -> Tried:
        """Play the layout at a rate."""
        from lydite.serving import simulate_serving
        from lydite.serving.metrics import met

        outcome = simulate_serving(self.source.at_rate(rate), self.replicas, self.traffic)
        kept = met(outcome, self.objectives)
        return Tried(self.layout, rate, all(ok for _, ok in kept.values()), outcome)


@dataclass(frozen=True)
class Search:
    """What a search needs: how a layout is played, and what must be met."""

    deployer: Deployer
    source: Source
    objectives: Sequence[Objective]
    factor: float = 1.0

    def rates(self, layout: Layout) -> Rates:
        """A layout with its replicas."""
        replicas = self.deployer.replicas(layout)
        if self.factor != 1.0:
            scaled = cache(lambda times: times.scaled(self.factor))
            replicas = [replica.scaled(scaled) for replica in replicas]
        traffic = self.deployer.traffic(layout)
        return Rates(layout, replicas, traffic, self.source, self.objectives)

    def play(self, layout: Layout, rate: float) -> Tried:
        """Play a layout at a rate."""
        return self.rates(layout).play(rate)


def degrees(deployer: Deployer, asked: Part | None) -> Iterator[Part]:
    """A replica of each degree of tensor parallelism that the model fits and is divided by."""
    for part in (asked,) if asked else [Part(1, tp) for tp in _DEGREES]:
        try:
            deployer.rank(part)
        except InputError as error:
            if asked:
                raise
            deployer.notes.append(f"tp{part.tp}: {error}")
            continue
        yield part


def spreads(deployer: Deployer) -> Iterator[Part]:
    """Replicas that spread experts over 2 and more devices, as far as the model fits."""
    for ep in _DEGREES[1:]:
        try:
            deployer.rank(part := Part(1, 1, "both", ep))
        except InputError as error:
            if "no experts" in error.what:
                return
            deployer.notes.append(f"ep{ep}: {error}")
            continue
        yield part


def fewest(search: Search, part: Part, rate: float, most: int = MOST_REPLICAS) -> Tried | None:
    """The fewest of some replicas that meet the objectives; None where no number does."""

    def at(count: int) -> Tried:
        return search.play(Layout((replace(part, count=count),)), rate)

    low, high, best = 0, 1, None
    while high <= most:
        tried = at(high)
        if tried.met:
            best = tried
            break
        if high > 1 and _is_alone(tried):
            return None
        low, high = high, high * 2
    if best is None:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        tried = at(middle)
        if tried.met:
            high, best = middle, tried
        else:
            low = middle
    return best


def _is_alone(tried: Tried) -> bool:
    """Whether hardly anything runs beside a request, so that more replicas change nothing."""
    busy = float(tried.outcome.busy_s.sum()) / max(tried.outcome.end_s, 1e-12)
    return busy < 0.05 * len(tried.outcome.busy_s)


def greatest_rate(rates: Rates) -> tuple[Tried | None, Tried]:
    """The greatest rate that meets the objectives, and the least that does not.

    The rates differ by 1 %. The first is None where no rate does.
    """
    low, low_tried = 0.0, None
    rate = 1.0
    tried = rates.play(rate)
    while tried.met and rate < 1e7:
        low, low_tried = rate, tried
        rate *= 2
        tried = rates.play(rate)
    high_tried, high = tried, rate
    while low_tried is None and high > 1e-3:
        rate = high / 2
        tried = rates.play(rate)
        if tried.met:
            low, low_tried = rate, tried
        else:
            high, high_tried = rate, tried
    while low_tried is not None and high / low > 1 + _PRECISION:
        rate = (low * high) ** 0.5
        tried = rates.play(rate)
        if tried.met:
            low, low_tried = rate, tried
        else:
            high, high_tried = rate, tried
    return low_tried, high_tried


def layouts_of(devices: int, parts: Sequence[Part]) -> list[Layout]:
    """Layouts of some devices: equal replicas, and prefill and decode apart."""
    fitting = [part for part in parts if devices % part.size == 0]
    made = [Layout((replace(part, count=devices // part.size),)) for part in fitting]
    for part in fitting:
        count = devices // part.size
        splits = {max(1, round(count * share)) for share in (0.125, 0.25, 0.375, 0.5, 0.625, 0.75)}
        made += [
            Layout(
                (
                    replace(part, count=n, role="prefill"),
                    replace(part, count=count - n, role="decode"),
                )
            )
            for n in sorted(splits)
            if 0 < n < count
        ]
    return made
