"""Closed loops of `serve`: a client needs a while between an answer and the next request."""

from __future__ import annotations

import pytest

from lydite.api.serving.options import WorkloadOptions
from lydite.api.serving.workload import ROUND_TRIP_S, workload_of


def test_a_closed_loop_makes_a_round_trip_between_requests():
    load = WorkloadOptions(concurrency=2, requests=6, think=0.5)
    assert workload_of(load, 0, searching=False).requests.think_s == pytest.approx(
        0.5 + ROUND_TRIP_S
    )


def test_arrivals_at_a_rate_make_none():
    load = WorkloadOptions(rate=2.0, requests=6, turns=2, think=0.5)
    assert workload_of(load, 0, searching=False).requests.think_s == pytest.approx(0.5)
