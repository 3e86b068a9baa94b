"""Early stopping against a sum of binomial probabilities, and published thresholds."""

import math

import numpy as np
import pytest

from lydite.mlperf.early_stopping import (
    discarded,
    estimate_ns,
    least_queries,
    missing_queries,
    queries_under,
)

PUBLISHED = {  # MLPerf Inference rules, appendix on early stopping: h + t by percentile and t
    0.90: {0: 44, 1: 64, 10: 197, 100: 1246},
    0.99: {0: 459, 1: 662, 10: 2010, 100: 12571},
    0.999: {0: 4603, 1: 6636, 10: 20140, 100: 125826},
}


@pytest.mark.parametrize("percentile", PUBLISHED)
def test_thresholds_are_the_published_ones(percentile):
    for over, total in PUBLISHED[percentile].items():
        assert queries_under(over, percentile) + over == total


@pytest.mark.parametrize("over", [0, 1, 3, 8])
def test_so_many_queries_show_it_with_confidence_and_one_less_does_not(over):
    """P(at most `over` of n are over the latency | 10 % are) falls below 1 % just there."""

    def chance(queries):
        return sum(math.comb(queries, i) * 0.1**i * 0.9 ** (queries - i) for i in range(over + 1))

    total = queries_under(over, 0.9) + over
    assert chance(total) <= 0.01 < chance(total - 1)


def test_the_estimate_is_a_real_latency_and_no_less_than_the_percentile():
    draw = np.random.default_rng(0)
    for queries in (64, 100, 777, 5000):
        latencies = draw.integers(1, 10**6, queries)
        estimate = estimate_ns(latencies, 0.9)
        assert estimate in latencies
        assert estimate >= np.sort(latencies)[int(queries * 0.9)]
        rank = discarded(queries, 0.9)
        assert queries_under(rank, 0.9) + rank <= queries < queries_under(rank + 1, 0.9) + rank + 1


def test_too_few_queries_give_no_estimate():
    assert (least_queries(0.9), least_queries(0.99)) == (64, 662)
    assert estimate_ns(np.arange(63), 0.9) is None
    assert missing_queries(459, 0, 0.99) == 0
    assert missing_queries(458, 0, 0.99) == 1
