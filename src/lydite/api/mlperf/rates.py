"""The greatest valid rate among runs of Server that are played."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lydite.mlperf.verdict import Verdict
from lydite.records import dataclass

SHARES = (0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Rates of the curve, as shares of the greatest valid one."""
_RESOLUTION = 0.002
_LEAST_SHARE = 1e-6


@dataclass(frozen=True)
class Greatest:
    """What the runs say about the greatest rate.

    Attributes:
        rate: Greatest valid rate without a failed one at or below it; None where there is none.
        failed: Least rate that failed; None where none did.
        beyond: Greatest valid rate above `failed`, which contradicts it; None where there is none.
        short: Greatest rate below `failed` whose run was too short for a verdict, where no rate is
            valid; None otherwise.
    """

    rate: float | None
    failed: float | None
    beyond: float | None
    short: float | None


def greatest(judged: Callable[[float], Verdict], most: float) -> Greatest:
    """Search up to `most` by halving, then at `SHARES` of what was found.

    Verdicts are not monotone in the rate: each rate has its own arrivals, and LoadGen's early
    stopping turns on a few slow queries where a run is short. The least rate that fails therefore
    bounds the answer, and the search goes on below it. A run that is only too short says nothing
    against its rate.

    Args:
        judged: Verdict on the run at a rate in queries per second.
        most: Greatest rate that could be valid.
    """
    tried: dict[float, Verdict] = {}

    def fails(rate: float) -> bool:
        tried[rate] = tried.get(rate) or judged(rate)
        return tried[rate].word != "VALID" and not tried[rate].too_short

    low, high = 0.0, most * 1.02
    while True:
        low, high = _halved(fails, low, high, min(most, high))
        lowest = [rate for rate in shares_of(low).values() if fails(rate)]
        if not lowest:
            return _said(tried, high)
        high = min(lowest)
        low = max((rate for rate in tried if rate < high), default=0.0)


def shares_of(rate: float) -> dict[float, float]:
    """Rates of the curve by their shares of a rate; none of rate 0."""
    rates = {share: round(rate * share, 9) for share in SHARES if share < 1} | {1.0: rate}
    return rates if rate else {}


def _halved(
    fails: Callable[[float], bool], low: float, high: float, rate: float
) -> tuple[float, float]:
    """The greatest rate that does not fail, and the least that does above it."""
    rate = (low + high) / 2 if low else rate
    least = rate * _LEAST_SHARE
    while high - low > _RESOLUTION * low and rate >= least:
        if fails(rate):
            high = rate
        else:
            low = rate
        rate = (low + high) / 2 if low else rate / 2
    return low, high


def _said(tried: Mapping[float, Verdict], high: float) -> Greatest:
    """What all runs say; all below `high` that were tried do not fail."""
    valid = [rate for rate, verdict in tried.items() if verdict.word == "VALID"]
    below = [rate for rate in valid if rate < high]
    short = [rate for rate, verdict in tried.items() if rate < high and verdict.too_short]
    return Greatest(
        max(below, default=None),
        high if high in tried else None,
        max((rate for rate in valid if rate > high), default=None),
        None if below else max(short, default=None),
    )
