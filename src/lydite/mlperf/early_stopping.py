"""LoadGen's early stopping: whether enough queries ran to be confident of a percentile.

MLPerf Inference rules, "Early stopping": with `t` queries over the latency, a run of `n` queries
shows with confidence c that at most 1 - p of all queries are over it, if n >= h + t, where h is the
smallest number of queries under the latency with I_p(h, t + 1) <= 1 - c (I: the regularised
incomplete beta function; c = 0.99, tolerance 0).
"""

from __future__ import annotations

from functools import cache

import numpy as np

CONFIDENCE = 0.99


@cache
def queries_under(over: int, percentile: float, confidence: float = CONFIDENCE) -> int:
    """Fewest queries under the latency that make up for `over` queries over it.

    Args:
        over: Number of queries over the latency.
        percentile: Share of queries that has to be under the latency, between 0 and 1.
        confidence: Confidence.
    """
    from scipy.special import betainc

    low, high = 1, int(10 * (over + 2) / (1 - percentile)) + 10
    while low < high:
        middle = (low + high) // 2
        if betainc(middle, over + 1, percentile) < 1 - confidence:
            high = middle
        else:
            low = middle + 1
    return low


def least_queries(percentile: float) -> int:
    """Fewest queries with which SingleStream and MultiStream give an estimate: 64 at 90 %."""
    return queries_under(1, percentile) + 1


def discarded(queries: int, percentile: float) -> int:
    """Rank from the slowest of the query whose latency is the estimate; 0 with too few queries.

    LoadGen discards the `rank - 1` slowest.
    """
    if queries < least_queries(percentile):
        return 0
    low, high = 1, queries
    while low < high:
        middle = (low + high + 1) // 2
        if queries_under(middle, percentile) + middle <= queries:
            low = middle
        else:
            high = middle - 1
    return low


def estimate_ns(latencies_ns: np.ndarray, percentile: float) -> int | None:
    """Estimate of a percentile that holds with confidence; None with too few queries.

    Args:
        latencies_ns: Latencies of all queries: int64[queries], in any order.
        percentile: Percentile, between 0 and 1.
    """
    rank = discarded(len(latencies_ns), percentile)
    if not rank:
        return None
    place = len(latencies_ns) - rank
    return int(np.partition(latencies_ns, place)[place])


def missing_queries(queries: int, over: int, percentile: float) -> int:
    """Further queries under the latency that a Server run needs to pass; 0 if it passes."""
    return max(0, queries_under(over, percentile) + over - queries)
