"""Bounds far from the steps that constants were fitted to."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from lydite.cluster import Plan, filled, simulate_step
from lydite.cluster.constants import ASSUMED, read_constants, write_constants
from lydite.cluster.seen import TENSOR, WIDER, ranges, widened
from lydite.errors import InputError
from lydite.estimate import Roofline
from lydite.hardware.cluster import read_cluster
from lydite.models import build_model

CLUSTER = read_cluster("dgx-a100 x 4")
SEEN = ranges([(CLUSTER, Plan(dp=2)), (CLUSTER, Plan(tp=2, dp=2)), (CLUSTER, Plan(pp=2))])


def test_ranges():
    assert SEEN == {"ranks": (2, 4), "hosts": (1, 1), "tp": (1, 2), "pp": (1, 2)}


def test_inside_nothing_widens():
    assert widened((0.9, 1.2), SEEN, CLUSTER, Plan(tp=2)) == pytest.approx((0.9, 1.2))


@pytest.mark.parametrize(
    ("plan", "doublings", "tensor"),
    [
        (Plan(dp=8), 1, 0),
        (Plan(dp=1), 1, 0),  # fewer ranks than were seen
        (Plan(dp=32), 3 + 2, 0),  # ranks, hosts
        (Plan(tp=8), 1, 2),
        (Plan(pp=4, dp=2), 1 + 1, 0),
    ],
)
def test_each_doubling_widens(plan, doublings, tensor):
    low, high = widened((0.9, 1.2), SEEN, CLUSTER, plan)
    factor = 1 + WIDER * doublings
    assert math.log(high) == pytest.approx(factor * math.log(1.2) + TENSOR * tensor)
    assert math.log(low) == pytest.approx(factor * math.log(0.9) - TENSOR * tensor)


def test_a_step_has_them_and_a_file_keeps_them(tmp_path):
    achieved = replace(ASSUMED.achieved, spread=(0.9, 1.2))
    known = replace(ASSUMED, achieved=achieved, seen=SEEN)
    assert read_constants(write_constants(tmp_path / "c.json", known)).seen == SEEN
    graph = build_model("gpt2", batch=1, sequence=128, phase="forward")
    near, far = (
        simulate_step(graph, CLUSTER, plan, Roofline(achieved=achieved), constants=known)
        for plan in (filled(4), filled(32, tp=4))
    )
    assert near.high / near.seconds == pytest.approx(1.2)
    assert far.high / far.seconds > 1.3
    (tmp_path / "c.json").write_text('{"seen": {"tp": [2, 1]}}')
    with pytest.raises(InputError, match=r"seen.tp is \[2, 1\]; allowed: two numbers"):
        read_constants(tmp_path / "c.json")
