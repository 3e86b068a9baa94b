"""Two runs, operator by operator: which differ beyond their spread, and what makes the difference.

The interval of a ratio of medians is that of Price and Bonett, "Distribution-free confidence
intervals for difference and ratio of medians", J. Stat. Comput. Simul. 72(2), 2002: the variance of
a log-median follows from two order statistics of its samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
from sqlalchemy import select

from lydite.api.dashboard.measurements import named
from lydite.api.dashboard.reader import Reader
from lydite.errors import InputError
from lydite.records import dataclass
from lydite.store import schema

FEWEST_SAMPLES = 5
MOST_ROWS = 20_000
ALPHA = 0.05
_Z = NormalDist().inv_cdf(1 - ALPHA / 2)
_m, _o = schema.measurements.c, schema.ops.c


@dataclass(frozen=True, slots=True)
class OperatorPair:
    """An operator that both runs measured under the same conditions.

    Attributes:
        op: Digest of its key.
        operator, shapes: Its type with the domain, and the types of its inputs.
        threads, cache, scope: Conditions.
        first, second: Ids of the measurements.
        first_s, second_s: Medians in seconds.
        ratio: `second_s / first_s`.
        low, high: Interval of 95 % of the ratio; None with fewer than 5 samples on either side.
        p: Probability of such a difference by chance; None likewise.
        is_significant: Whether it differs, at 5 % for all operators together (Holm); None likewise.
    """

    op: str
    operator: str
    shapes: str
    threads: int
    cache: str
    scope: str
    first: str
    second: str
    first_s: float
    second_s: float
    ratio: float
    low: float | None
    high: float | None
    p: float | None
    is_significant: bool | None

    @property
    def difference_s(self) -> float:
        """Seconds that the second run takes longer."""
        return self.second_s - self.first_s


@dataclass(frozen=True, slots=True)
class TypeShare:
    """What the operators of a type contribute to the difference, in seconds."""

    operator: str
    pairs: int
    first_s: float
    second_s: float
    difference_s: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs.

    Attributes:
        pairs: Operators of both, the largest difference first.
        types: The same by operator type.
        only_first, only_second: Number of operators that only one of them measured.
        first_s, second_s: Sums of the medians of the operators of both, each once, in seconds.
    """

    pairs: Sequence[OperatorPair]
    types: Sequence[TypeShare]
    only_first: int
    only_second: int
    first_s: float
    second_s: float


def compare(reader: Reader, first: str, second: str) -> Comparison:
    """Compare the successful measurements of two runs; devices and software may differ.

    Raises:
        InputError: a run has more than 20,000 measurements.
    """
    with reader.reading() as connection:
        read = [_rows(connection, identity) for identity in (first, second)]
        ours, theirs = map(_newest, read)
        both = [key for key in ours if key in theirs]
        texts = _texts(connection, [key[0] for key in both])
    for identity, rows in zip((first, second), read, strict=True):
        if len(rows) > MOST_ROWS:
            raise InputError(f"run '{identity}' has more than {MOST_ROWS:,} measurements")
    intervals = [_interval(ours[key], theirs[key]) for key in both]
    verdicts = _holm([p for _, _, p in intervals])
    pairs = [
        _pair(key, ours[key], theirs[key], texts[key[0]], interval, verdict)
        for key, interval, verdict in zip(both, intervals, verdicts, strict=True)
    ]
    pairs.sort(key=lambda pair: -abs(pair.difference_s))
    return Comparison(
        pairs,
        _types(pairs),
        len(ours) - len(both),
        len(theirs) - len(both),
        math.fsum(pair.first_s for pair in pairs),
        math.fsum(pair.second_s for pair in pairs),
    )


def ratio_interval(
    first: np.ndarray, second: np.ndarray
) -> tuple[float | None, float | None, float | None]:
    """Interval of 95 % of `median(second) / median(first)`, and the probability of no difference.

    Args:
        first, second: Samples in seconds, float64[n].

    Returns:
        Low, high and p; all None with fewer than 5 samples on a side, or one that is not positive.
    """
    first, second = np.sort(first), np.sort(second)
    if min(first.size, second.size) < FEWEST_SAMPLES or min(first[0], second[0]) <= 0:
        return None, None, None
    middle = math.log(_median(second) / _median(first))
    deviation = math.sqrt(_log_median_variance(first) + _log_median_variance(second))
    if deviation == 0:  # times of a recording do not vary, and nothing can be said
        return None, None, None
    p = math.erfc(abs(middle) / deviation / math.sqrt(2))
    return math.exp(middle - _Z * deviation), math.exp(middle + _Z * deviation), p


def _median(ranked: np.ndarray) -> float:
    # numpy.median takes ten times as long for a few sorted samples.
    return float(ranked[(ranked.size - 1) // 2] + ranked[ranked.size // 2]) / 2


def _log_median_variance(ranked: np.ndarray) -> float:
    c, z = _order_statistic(ranked.size)
    return (math.log(ranked[-c] / ranked[c - 1]) / (2 * z)) ** 2


@lru_cache(maxsize=1000)
def _order_statistic(n: int) -> tuple[int, float]:
    """Rank c of n samples, and how many deviations of the median lie between it and n + 1 - c."""
    c = max(1, round((n + 1) / 2 - math.sqrt(n)))
    outside = sum(math.comb(n, i) for i in range(c)) / 2**n
    return c, NormalDist().inv_cdf(1 - outside)


def _interval(first: Any, second: Any) -> tuple[float | None, float | None, float | None]:
    return ratio_interval(*(np.frombuffer(row.samples, "<f8") for row in (first, second)))


def _holm(chances: Sequence[float | None]) -> list[bool | None]:
    """Which differ at 5 % for all together (Holm, Scand. J. Statist. 6, 1979)."""
    verdicts: list[bool | None] = [None] * len(chances)
    known = sorted((p, number) for number, p in enumerate(chances) if p is not None)
    still = True
    for place, (p, number) in enumerate(known):
        still = still and p <= ALPHA / (len(known) - place)
        verdicts[number] = still
    return verdicts


def _rows(connection: Any, run: str) -> Sequence[Any]:
    columns = (_m.id, _m.op, _m.threads, _m.cache, _m.scope, _m.median_s, _m.samples)
    query = select(*columns, _m.measured_at).where(_m.run == run, _m.status == "ok")
    return connection.execute(query.limit(MOST_ROWS + 1)).all()


def _newest(rows: Sequence[Any]) -> dict[tuple[str, int, str, str], Any]:
    """The newest measurement of each operator under each condition."""
    ordered = sorted(rows, key=lambda row: (row.measured_at, row.id))
    return {(row.op, row.threads, row.cache, row.scope): row for row in ordered if row.median_s}


def _texts(connection: Any, digests: Sequence[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for start in range(0, len(digests), 500):
        query = select(_o.digest, _o.text).where(_o.digest.in_(digests[start : start + 500]))
        texts |= {row.digest: row.text for row in connection.execute(query)}
    return texts


def _pair(
    key: tuple[str, int, str, str],
    first: Any,
    second: Any,
    text: str,
    interval: tuple[float | None, float | None, float | None],
    verdict: bool | None,
) -> OperatorPair:
    return OperatorPair(
        key[0],
        *named(text),
        *key[1:],
        first.id,
        second.id,
        first.median_s,
        second.median_s,
        second.median_s / first.median_s,
        *interval,
        verdict,
    )


def _types(pairs: Sequence[OperatorPair]) -> list[TypeShare]:
    by_type: dict[str, list[OperatorPair]] = {}
    for pair in pairs:
        by_type.setdefault(pair.operator, []).append(pair)
    shares = []
    for operator, several in by_type.items():
        first, second = (
            math.fsum(getattr(pair, name) for pair in several) for name in ("first_s", "second_s")
        )
        shares.append(TypeShare(operator, len(several), first, second, second - first))
    return sorted(shares, key=lambda share: -abs(share.difference_s))
