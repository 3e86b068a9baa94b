"""Memory over a step: its peak is that of the closed form, and everything that comes goes."""

from __future__ import annotations

import numpy as np
import pytest

from lydite.cluster import filled, simulate_step
from lydite.cluster.live import memory_course
from lydite.estimate.roofline import Roofline
from lydite.hardware.cluster import read_cluster
from lydite.models import build_model


def courses(model="gpt2", **plan):
    """A step of a small net on four devices: its result and its memory over time."""
    cluster = read_cluster("dgx-a100", 4)
    chosen = filled(cluster.ranks, **plan)
    options = {"phase": "forward", "sequence": 64} if model == "gpt2" else {}
    graph = build_model(model, batch=chosen.micro_batch, **options)
    result = simulate_step(graph, cluster, chosen, Roofline())
    return result, memory_course(result)


def over_closed_form(result, found):
    return [
        course.peak_bytes / sum(kinds.values())
        for course, kinds in zip(found, result.memory, strict=True)
    ]


EXACT = [
    *({"pp": 4, "batch": 8, "schedule": s} for s in ("gpipe", "1f1b", "zero-bubble")),
    {"pp": 2, "tp": 2, "batch": 6, "micro_batch": 2},
    {"pp": 2, "batch": 8, "schedule": "interleaved", "chunks": 2},
    {"dp": 4, "batch": 8, "zero": 3},
    {"dp": 4, "batch": 8, "zero": 2, "micro_batch": 2},
]


@pytest.mark.parametrize("model", ["gpt2", "resnet50"])
@pytest.mark.parametrize("plan", EXACT, ids=str)
def test_the_peak_is_that_of_the_closed_form(model, plan):
    if model == "resnet50" and "tp" in plan:
        plan = plan | {"tp": 1, "pp": 4}
    assert over_closed_form(*courses(model, **plan)) == pytest.approx([1.0] * plan.get("pp", 1))


@pytest.mark.parametrize("recompute", ["selective", "full"])
@pytest.mark.parametrize("model", ["gpt2", "resnet50"])
@pytest.mark.parametrize("schedule", ["gpipe", "1f1b", "zero-bubble"])
def test_with_recomputation_the_closed_form_is_an_upper_bound(model, schedule, recompute):
    """It takes the largest layer at work beside all that is kept, whichever layer comes first."""
    shares = over_closed_form(
        *courses(model, pp=4, batch=8, schedule=schedule, recompute=recompute)
    )
    assert all(0.9 < share < 1 + 1e-9 for share in shares)


@pytest.mark.parametrize(
    "plan",
    [
        {"pp": 4, "batch": 8},
        {"pp": 4, "batch": 8, "schedule": "zero-bubble", "recompute": "full"},
        {"pp": 2, "dp": 2, "batch": 8, "schedule": "interleaved", "chunks": 2},
    ],
    ids=str,
)
def test_what_comes_goes(plan):
    result, found = courses(**plan)
    for course, kinds in zip(found, result.memory, strict=True):
        assert course.seconds[0] == 0
        assert course.seconds[-1] == pytest.approx(result.seconds)
        assert (np.diff(course.seconds) >= 0).all()
        assert course.static_bytes == sum(kinds.values()) - kinds["activations"]
        assert course.bytes.min() >= course.static_bytes * (1 - 1e-9)
        assert course.bytes[[0, -1]] == pytest.approx(course.static_bytes)
        assert course.peak_bytes > course.static_bytes


def test_by_hand_a_micro_batch_at_a_time():
    """A stage that works on one micro-batch after the other holds one at most: 1F1B's last."""
    result, found = courses(pp=4, batch=8)
    kept = result.memory[3]["activations"]
    assert found[3].peak_bytes - found[3].static_bytes == pytest.approx(kept)
    held = found[3].bytes - found[3].static_bytes
    full, empty = np.isclose(held, kept), np.isclose(held, 0, atol=1e-3 * kept)
    assert full.sum() == 8
    assert empty[1:-1].sum() == 8


def test_all_ranks_played_hold_what_one_of_each_stage_does():
    cluster = read_cluster("dgx-a100", 4)
    plan = filled(4, tp=2, pp=2, batch=4)
    graph = build_model("gpt2", phase="forward", sequence=64)
    result = simulate_step(graph, cluster, plan, Roofline(), unfolded=True)
    found = memory_course(result)
    assert over_closed_form(result, found) == pytest.approx([1.0, 1.0])


def test_a_forward_pass_holds_what_it_holds():
    cluster = read_cluster("dgx-a100", 1)
    graph = build_model("resnet50")
    result = simulate_step(graph, cluster, filled(1), Roofline(), optimizer=None)
    (course,) = memory_course(result)
    assert set(course.bytes[1:]) == {result.peak_memory_bytes}
