"""What no operator tells: kept as JSON within its limits, and found again in measured steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lydite.cluster import Plan, simulate_step
from lydite.cluster.calibration.steps import (
    PLAYS,
    START,
    Observed,
    calibrated,
    simulated,
    with_spread,
)
from lydite.cluster.collectives import Calibration
from lydite.cluster.constants import ASSUMED, LIMITS, read_constants, write_constants
from lydite.cluster.rank import rank_step
from lydite.cluster.tasks import step_programs
from lydite.errors import InputError
from lydite.estimate.roofline import AchievedEfficiency, Roofline
from lydite.graph import Builder, key_of
from lydite.hardware.cluster import read_cluster
from lydite.models import build_model


def roofline(constants):
    return Roofline(achieved=constants.achieved, dispatch_s=constants.achieved.kernel_s)


def test_what_is_written_is_read(tmp_path):
    sent = Calibration(1e-5, 2e-12, (2,), 8, 0.01)
    wanted = replace(
        ASSUMED.with_values({"products": 0.8, "step_s": 2e-3}, "measured"), collectives=sent
    )
    assert read_constants(write_constants(tmp_path / "c.json", wanted)) == wanted
    wanted = replace(wanted, achieved=replace(wanted.achieved, spread=(0.9, 1.2)))
    assert read_constants(write_constants(tmp_path / "c.json", wanted)) == wanted


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"products": 1.2}', "products is 1.2; allowed: 0.01 to 0.92"),
        ('{"product": 1}', "unknown constant 'product'.*did you mean 'products'"),
        ('{"step_s": "1"}', "step_s is not a number"),
        ("[]", "is not JSON|not a file of constants"),
        ('{"spread": [0.9]}', "spread is .* allowed: two numbers"),
        ('{"spread": [1.1, 1.2]}', "0 < low <= 1 <= high"),
        ('{"spread": 1}', "spread is 1"),
        ("{", "is not JSON|not a file of constants"),
        ('{"dispatch_s": -1}', "dispatch_s is -1"),
    ],
)
def test_what_is_no_constant(tmp_path, text, told):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        read_constants(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_constants(tmp_path / "none.json")


def observations(constants):
    """Steps of two sizes and several plans, as long as the constants make them."""
    found = []
    for batch, steps in ((1, 1), (1, 8), (16, 1)):
        for degrees in ({"dp": 4}, {"tp": 2, "dp": 2}, {"pp": 2, "dp": 2}):
            plan = Plan(**degrees, micro_batch=batch, batch=4 * batch * steps)
            graph = build_model("gpt2", batch=batch, sequence=256, phase="forward")
            one = Observed(rank_step(graph, plan), read_cluster("dgx-a100", plan.ranks), plan, 1.0)
            seconds = simulated([one], constants, roofline)[0]
            found.append(replace(one, seconds=seconds))
    return found


def test_constants_are_found_again_in_the_steps_that_they_made():
    true = {"dispatch_s": 6e-5, "step_s": 4e-3, "products": 0.5, "streams": 0.85}
    steps = observations(ASSUMED.with_values(true, "true"))
    measured = np.array([one.seconds for one in steps])
    told = []
    found = calibrated(
        steps, roofline, rounds=160, progress=lambda done, _, text: told.append((done, text))
    )
    error = np.abs(simulated(steps, found, roofline) / measured - 1)
    before = np.abs(simulated(steps, ASSUMED, roofline) / measured - 1)
    assert error.mean() < 0.03 < before.mean()
    assert found.values["dispatch_s"] == pytest.approx(6e-5, rel=0.15)
    assert all(low <= found.values[n] <= high for n, (low, high) in LIMITS.items())
    assert told[-1][0] == PLAYS * 160
    assert found.source == "calibrated"


def test_bounds_of_a_step_are_those_of_the_steps_that_were_measured():
    steps = observations(ASSUMED)
    off = np.linspace(0.8, 1.5, len(steps))
    late = [replace(one, seconds=one.seconds * f) for one, f in zip(steps, off, strict=True)]
    found = with_spread(ASSUMED, late, roofline).achieved.spread
    assert found == pytest.approx(np.percentile(off, [5, 95]), rel=1e-6)
    faster = [replace(one, seconds=0.5 * one.seconds) for one in steps]
    assert with_spread(ASSUMED, faster, roofline).achieved.spread == pytest.approx((0.5, 1.0))
    known = replace(ASSUMED, achieved=replace(ASSUMED.achieved, spread=(0.9, 1.2)))
    plan, cluster = Plan(dp=8, micro_batch=4), read_cluster("dgx-a100")
    graph = build_model("gpt2", batch=4, sequence=128, phase="forward")
    told, bare = (
        simulate_step(graph, cluster, plan, roofline(c), constants=c) for c in (known, ASSUMED)
    )
    assert told.seconds == bare.seconds
    assert told.low == pytest.approx(0.9 * told.seconds)
    assert told.high == pytest.approx(1.2 * told.seconds)
    assert bare.low < told.low < told.high < bare.high


def test_a_fit_needs_more_steps_than_figures():
    steps = observations(ASSUMED)
    with pytest.raises(InputError, match=f"3 measured steps for {len(START)} constants"):
        calibrated(steps[:3], roofline)
    with pytest.raises(InputError, match="took no time"):
        calibrated([replace(steps[0], seconds=0.0), *steps[1:]], roofline)


def test_misaligned_rows_take_longer():
    """A vocabulary of 50,257 in half precision: rows of 100,514 bytes."""
    device = read_cluster("dgx-a100").device
    seconds = {}
    for width in (50256, 50257):
        g = Builder("net", dtype="float16")
        graph = g.build(g.linear(g.input("x", (1024, 1024)), width, bias=False))
        key = key_of(graph.ops[0], graph)
        for kept in (1.0, 0.25):
            (answer,) = Roofline(achieved=AchievedEfficiency(misaligned=kept)).estimate(
                [key], device
            )
            assert answer is not None
            seconds[width, kept] = answer.seconds
    assert seconds[50256, 1.0] == seconds[50256, 0.25]
    assert seconds[50257, 0.25] == pytest.approx(4 * seconds[50257, 1.0], rel=0.02)


def step(constants, **plan):
    graph = build_model("gpt2", batch=4, sequence=128, phase="forward")
    chosen = Plan(dp=8, micro_batch=4, **plan)
    return simulate_step(graph, read_cluster("dgx-a100"), chosen, Roofline(), constants=constants)


def test_kernels_and_gradients_slow_each_other():
    """Nothing to slow without overlap; with it no slower than all kernels slowed throughout."""
    slow = ASSUMED.with_values({"compute_slowdown": 1.3, "exchange_slowdown": 2.2}, "AISim's")
    alone = step(slow, overlap=False).seconds
    assert alone == step(ASSUMED, overlap=False).seconds
    assert step(ASSUMED).seconds < step(slow).seconds < 2.2 * step(ASSUMED).seconds


def test_a_steps_constant_is_added_once():
    late = step(ASSUMED.with_values({"step_s": 5e-3}, "x"))
    assert late.seconds - step(ASSUMED).seconds == pytest.approx(5e-3)


def test_a_schedule_that_waits_for_itself_is_shown(monkeypatch):
    result = step(ASSUMED)
    plan = Plan(pp=2, batch=2)
    stages = [list(result.stages[0])] * 2
    orders = [[("B", 0, 0), ("F", 0, 0)], [("F", 0, 0), ("B", 0, 0)]]
    monkeypatch.setattr("lydite.cluster.tasks.steps_of", lambda _, stage, *rest: orders[stage])
    with pytest.raises(InputError, match=r"deadlocks: stage 0 at \('B', 0, 0\) for"):
        step_programs(stages, plan, {})
