"""Scores from raw samples, against figures worked out by hand and brute force."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.errors import InputError
from lydite.score.baseline import FROZEN, Baseline, BaselineRow, find_baseline
from lydite.score.compare import comparison
from lydite.score.figures import figures_of
from lydite.score.result import derived, document_of, faults_of
from lydite.score.scoring import (
    board,
    geometric_mean,
    repeat_interval,
    scores,
)
from lydite.score.sets import find_set

ENVIRONMENT = {"device": "card", "utc": "2026-01-01T00:00:00Z", "lydite": "0", "kind": "cpu"}


def a_row(model="a", ms=2.0, precision="fp32", batch=1, rounds=4, energy_j=None, **more):
    """A row whose iterations all take `ms`, three of them in a sample, ten samples a turn."""
    turns = []
    for number in range(rounds):
        begin = 10**9 * number
        turn = {
            "begin_ns": begin,
            "end_ns": begin + int(30 * ms * 1e6),
            "stage_ns": [[int(ms * 1e6)] * 10, [int(2 * ms * 1e6)] * 10],
            "grouped": 3,
        }
        if energy_j is not None:
            turn["energy"] = {"source": "counter", "joules": 30 * energy_j, "above_idle_j": 3.0}
        turns.append(turn)
    return {
        "key": f"{model}/{precision}/{batch}",
        "model": model,
        "title": model,
        "unit": "inference",
        "units": 1,
        "precision": precision,
        "batch": batch,
        "is_board": True,
        "parameters": 1,
        "flops": 6e6,
        "bound_s": None,
        "fidelity": {"cosine": 1.0, "reason": ""},
        "status": "ok",
        "reason": "",
        "memory_bytes": 1,
        "warm": {},
        "turns": turns,
        **more,
    }


def a_baseline(**models):
    rows = {
        name: BaselineRow(latency_ms=ms, energy_j=joules) for name, (ms, joules) in models.items()
    }
    return Baseline("b", "card", "own", "test", rows, "0" * 64)


def a_document(rows, baseline=None, **weights):
    names = {row["model"] for row in rows}
    weights = weights or dict.fromkeys(sorted(names), 1.0)
    chosen = {"name": "own", "digest": "d", "weights": weights}
    document = document_of(chosen, ENVIRONMENT, rows, baseline)
    return json.loads(json.dumps({"schema": "lydite/score/1", **document}))


def test_figures_follow_from_the_samples():
    figure = figures_of(a_row(ms=2.0, energy_j=0.5))
    assert figure["latency_s"] == pytest.approx(2e-3)  # (2 + 4) ms in a sample of three
    assert figure["throughput_per_s"] == pytest.approx(500)
    assert figure["iterations"] == 4 * 10 * 3
    assert figure["flops_per_s"] == pytest.approx(6e6 / 2e-3)
    assert figure["stages_s"] == pytest.approx([2e-3 / 3, 4e-3 / 3])
    assert figure["energy_j"] == pytest.approx(0.5)
    assert figure["energy_above_idle_j"] == pytest.approx(0.1)
    assert figure["mean_power_w"] == pytest.approx(15 / (30 * 2e-3))
    per_token = figures_of(a_row(ms=2.0, units=4))
    assert per_token["latency_s"] == pytest.approx(0.5e-3)


def test_a_turn_without_a_sensor_has_no_energy_at_all():
    row = a_row(energy_j=0.5)
    del row["turns"][1]["energy"]
    assert figures_of(row)["energy_j"] is None
    assert figures_of(row)["energy_source"] == "none"
    mixed = a_row(energy_j=0.5)
    mixed["turns"][0]["energy"]["source"] = "polled"
    assert figures_of(mixed)["energy_source"] == "none"


def test_modelled_power_never_scores():
    row = a_row(energy_j=0.5)
    for turn in row["turns"]:
        turn["energy"]["source"] = "modelled"
    document = a_document([row], a_baseline(a=(4.0, 1.0)))
    device = document["scores"]["equal"]["device"]
    assert device["energy"]["score"] is None
    assert device["energy"]["missing"] == {"a": "its power is modelled"}
    assert device["latency"]["score"] == pytest.approx(2000)


def test_the_device_score_is_the_weighted_geometric_mean():
    rows = [a_row("a", 2.0), a_row("b", 3.0)]
    baseline = a_baseline(a=(4.0, None), b=(1.5, None))
    document = a_document(rows, baseline, a=3.0, b=1.0)
    latency = document["scores"]["equal"]["device"]["latency"]
    assert latency["score"] == pytest.approx((2000**3 * 500) ** 0.25)
    assert latency["arithmetic"] == pytest.approx(1250)
    assert latency["thousand_over_geomean_ms"] == pytest.approx(1000 / (2**3 * 3) ** 0.25)
    assert not latency["is_partial"]


def test_a_missing_model_makes_the_score_partial_and_bounds_the_whole():
    rows = [a_row("a", 2.0), a_row("b", 1.0)]
    rows.append({**a_row("c", 1.0, rounds=0), "status": "crash", "reason": "the process ended"})
    document = a_document(rows, a_baseline(a=(4.0, None), b=(8.0, None), c=(1.0, None)))
    latency = document["scores"]["equal"]["device"]["latency"]
    assert document["status"] == "partial"
    assert latency["missing"] == {"c": "the process ended"}
    assert latency["whole_low"] == pytest.approx((2000 * 8000 * 2000) ** (1 / 3))
    assert latency["whole_high"] == pytest.approx((2000 * 8000 * 8000) ** (1 / 3))


def test_boards_take_the_baselines_precision_or_the_fastest_valid_one():
    rows = [
        a_row("a", 4.0),
        a_row("a", 2.0, "fp16"),
        a_row("a", 1.0, "int8"),
        a_row("a", 0.5, "int4", fidelity={"cosine": 0.9, "reason": ""}),
        a_row("a", 0.1, batch=8),
    ]
    figures = [figures_of(row) for row in rows]
    row = BaselineRow(latency_ms=4.0, precision="fp16")
    baseline = Baseline("b", "card", "own", "test", {"a": row}, "")
    assert board(rows, figures, baseline, "equal") == {"a": 1}
    assert board(rows[:1], figures[:1], baseline, "equal") == {"a": 0}  # wider stands in
    assert board(rows[2:3], figures[2:3], baseline, "equal") == {}  # narrower does not
    assert board(rows, figures, baseline, "best") == {"a": 2}  # int4 is too far off
    found = scores(rows[:1], figures[:1], baseline, {"a": 1.0})
    assert found["models"]["a"]["note"] == "fp32, and fp16 in the baseline"


def test_what_the_baselines_precision_loses_is_not_held_against_it():
    rows = [a_row("a", 2.0, "int4", fidelity={"cosine": 0.9, "reason": ""})]
    figures = [figures_of(row) for row in rows]
    row = BaselineRow(latency_ms=4.0, precision="int4")
    baseline = Baseline("b", "card", "own", "test", {"a": row}, "")
    assert board(rows, figures, baseline, "equal") == {"a": 0}


def test_scores_per_watt_and_per_dollar():
    row = a_row(ms=2.0, energy_j=0.5)
    found = scores([row], [figures_of(row)], a_baseline(a=(4.0, 1.0)), {"a": 1.0}, 400.0)
    assert found["models"]["a"]["energy"] == pytest.approx(2000)
    assert found["models"]["a"]["per_dollar"] == pytest.approx(5)
    assert found["models"]["a"]["per_watt"] == pytest.approx(2000 / 250)


@given(st.lists(st.floats(1, 1e4), min_size=1, max_size=8), st.floats(0.1, 10))
def test_the_geometric_mean_scales_and_stays_between(values, factor):
    mean = geometric_mean(values, [1.0] * len(values))
    assert min(values) * (1 - 1e-9) <= mean <= max(values) * (1 + 1e-9)
    scaled = geometric_mean([factor * value for value in values], [1.0] * len(values))
    assert scaled == pytest.approx(factor * mean)


def test_the_interval_covers_a_repeat():
    """Of 400 pairs of runs with independent noise of 3 % a round, 95 % lie within the interval."""
    draw = np.random.default_rng(5)
    inside = 0
    for _ in range(400):
        first, second = draw.normal(0, 0.03, (2, 8))
        low, high = repeat_interval([first], [1.0], [0.0])
        inside += low <= np.median(second) - np.median(first) <= high
    assert 0.90 <= inside / 400 <= 0.99


def test_noise_that_models_share_is_not_averaged_away():
    draw = np.random.default_rng(1)
    shared = draw.normal(0, 0.05, 8)
    common = repeat_interval([shared, shared, shared, shared], [1.0] * 4, [0.0] * 4)
    apart = repeat_interval([draw.normal(0, 0.05, 8) for _ in range(4)], [1.0] * 4, [0.0] * 4)
    assert common == pytest.approx(repeat_interval([shared], [1.0], [0.0]))
    assert common[1] - common[0] > 1.3 * (apart[1] - apart[0])
    assert repeat_interval([np.zeros(1)], [1.0], [0.0]) == (None, None)


def test_cores_that_others_took_widen_the_interval():
    """Half a core: a repeat may meet nobody, or as many again, so 1.5 times to both sides."""
    quiet = [np.log([1.0, 1.01, 0.99, 1.0])] * 2
    alone = repeat_interval(quiet, [1.0, 3.0], [0.0, 0.0])
    both = repeat_interval(quiet, [1.0, 3.0], [0.5, 0.5])
    one = repeat_interval(quiet, [1.0, 3.0], [0.0, 0.5])
    many = repeat_interval(quiet, [1.0, 3.0], [40.0, 40.0])
    for side, sign in ((0, -1), (1, 1)):
        assert sign * (both[side] - alone[side]) == pytest.approx(np.log(1.5))
        assert sign * (one[side] - alone[side]) == pytest.approx(0.75 * np.log(1.5))
        assert sign * (many[side] - alone[side]) == pytest.approx(np.log(2))


def test_the_shipped_baselines_are_frozen():
    full = find_set("full")
    for name in FROZEN:
        chosen = full if name.startswith("rtx") else find_set("small")
        assert find_baseline(name, chosen).models.keys() == chosen.models.keys()
    with pytest.raises(InputError, match="baseline of the set 'full'"):
        find_baseline("rtx-2080-ti", find_set("small"))
    with pytest.raises(InputError, match="did you mean 'rtx-2080-ti'"):
        find_baseline("rtx-2080", full)


def test_a_whole_result_verifies():
    document = a_document([a_row("a"), a_row("b", 3.0)], a_baseline(a=(4.0, None), b=(1.0, None)))
    assert faults_of(document) == []


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda d: d["figures"][0].update(latency_s=1e-3), "figures[a].latency_s"),
        (
            lambda d: d["scores"]["equal"]["device"]["latency"].update(score=9999.0),
            "scores.equal.device.latency.score",
        ),
        (lambda d: d["rows"][1]["turns"][0]["stage_ns"][0].__setitem__(0, 1), "rows of b/fp32/1"),
        (lambda d: d["baseline"]["models"]["a"].update(latency_ms=8.0), "baseline"),
        (lambda d: d["environment"].update(device="faster"), "environment"),
        (lambda d: d.update(status="partial"), "status"),
        (lambda d: d["figures"].pop(), "figures"),
        (lambda d: d["digests"]["rows"].pop("a/fp32/1"), "rows of a/fp32/1"),
    ],
)
def test_an_edited_result_is_named(edit, named):
    document = a_document([a_row("a"), a_row("b", 3.0)], a_baseline(a=(4.0, None), b=(1.0, None)))
    edit(document)
    assert named in {fault.where for fault in faults_of(document)}


def test_a_damaged_result_is_refused():
    document = a_document([a_row("a")])
    document["rows"][0]["turns"][0]["stage_ns"] = "x"
    with pytest.raises(InputError, match="cannot be computed from"):
        faults_of(document)


def test_two_results_are_compared():
    draw = np.random.default_rng(3)
    slow, fast = a_row("a", 2.0, rounds=8), a_row("a", 1.0, rounds=8)
    for row in (slow, fast):
        for turn in row["turns"]:
            factor = 1 + draw.normal(0, 0.01)
            turn["stage_ns"] = [[int(v * factor) for v in column] for column in turn["stage_ns"]]
    first, second = a_document([slow, a_row("b")]), a_document([fast])
    second["set"]["digest"] = first["set"]["digest"]
    found = comparison(first, second)
    assert found["ratio"] == pytest.approx(2, rel=0.02)
    assert found["models"][0]["is_significant"]
    assert found["models"][0]["low"] < found["models"][0]["ratio"] < found["models"][0]["high"]
    assert found["only_first"] == ["b/fp32/1"]
    same = comparison(first, first)
    assert same["ratio"] == 1
    other = copy.deepcopy(first)
    other["environment"]["driver"] = "1.2"
    assert "drivers differ" in comparison(first, other)["warnings"][0]
    other["set"]["digest"] = "other"
    with pytest.raises(InputError, match="different sets"):
        comparison(first, other)


def test_figures_are_plain_numbers():
    found = derived(a_document([a_row("a")], a_baseline(a=(4.0, None))))
    assert json.loads(json.dumps(found)) == found
    assert not any(
        isinstance(value, float) and not math.isfinite(value)
        for figure in found["figures"]
        for value in figure.values()
    )
