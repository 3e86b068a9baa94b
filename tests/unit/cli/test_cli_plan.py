"""Plans of operators to measure: chosen by expected gain, written, carried, measured, resumed."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

import lydite as ly
from lydite.errors import InputError
from lydite.estimate import Estimate
from lydite.estimate.gain import Candidate, choose, relative_width
from lydite.store.foreign import forms

QUICK = ("--backend", "replay", "--budget", "0.05")


def candidate(m, share, *, low=0.5, high=2.0, weight=1.0, known=True):
    estimate = Estimate(1e-3, low * 1e-3, high * 1e-3, "roofline") if known else None
    return Candidate(forms.product("float32", m, 64, 64), estimate, 1, share, weight)


def test_the_greatest_share_of_the_uncertainty_comes_first():
    each = [
        candidate(1, 0.2),
        candidate(1 << 10, 0.7, low=0.99, high=1.01),
        candidate(1 << 20, 0.5),
    ]
    chosen, covered = choose(each, 2)
    assert [choice.candidate for choice in chosen] == [each[2], each[0]]
    assert chosen[0].gain == pytest.approx(0.5 * (0.75 - 0.02))
    assert covered.tolist() == pytest.approx([1, 0, 1], abs=0.01)


def test_neighbours_are_not_measured_twice():
    near = [candidate(100, 0.4), candidate(105, 0.39), candidate(1 << 16, 0.2)]
    chosen, _ = choose(near, 2)
    assert [choice.candidate for choice in chosen] == [near[0], near[2]]


def test_what_nobody_knows_comes_first_and_certainties_never():
    each = [candidate(1, 0.9), candidate(1 << 9, 0.0, known=False)]
    chosen, _ = choose(each, 5)
    assert [choice.candidate.estimate for choice in chosen] == [None, each[0].estimate]
    assert choose([candidate(1, 0.9, low=0.99, high=1.01)], 5)[0] == []


def test_greedy_is_near_the_best_of_all_choices():
    from itertools import combinations

    random = np.random.default_rng(3)
    for _ in range(20):
        each = [
            candidate(int(2 ** random.uniform(0, 12)), float(random.uniform(0, 1)))
            for _ in range(7)
        ]
        greedy = sum(choice.gain for choice in choose(each, 3)[0])
        best = 0.0
        for three in combinations(each, 3):
            # Of three alone all are chosen, so that their order does not matter to what is covered.
            rest = [other for other in each if other not in three]
            weights = np.array([c.uncertainty for c in [*three, *rest]])
            alike = _alike([*three, *rest])
            best = max(best, float(alike[:3].max(axis=0) @ weights))
        assert greedy >= (1 - 1 / np.e) * best


def _alike(candidates):
    from lydite.estimate import gain

    return gain._similarity(candidates)


def test_the_expected_interval_is_that_of_what_is_left():
    each = [candidate(1, 0.5), candidate(1 << 20, 0.5)]
    before = relative_width(each)
    assert relative_width(each, np.array([1.0, 0.0])) < before
    assert relative_width(each, np.array([1.0, 1.0])) == pytest.approx(0.02 / np.sqrt(2))


def test_measuring_a_plan_narrows_the_prediction(lydite, net, recording):
    before = ly.predict(str(net), backend="replay")
    planned = {
        row["key"] for row in ly.profile_plan(str(net), operators=2, backend="replay").operators
    }
    ran = lydite("profile", "--plan-for", net, "--operators", 2, *QUICK)
    assert ran.code == 0, ran.err
    assert "2 operators to measure on toy-cpu for small" in ran.err
    assert "interval of the sum of all operators: now within" in ran.err
    after = ly.predict(str(net), backend="replay")
    truth = 2 * 4e-4 + 2 * 1e-4 + 5e-5 + 1e-5 + 2e-4
    assert after.coverage.nodes["measured"] >= 2
    assert abs(after.seconds - truth) < abs(before.seconds - truth)
    assert after.high_s / after.low_s < before.high_s / before.low_s
    plan = ly.profile_plan(str(net), operators=9, backend="replay")
    assert not planned & {row["key"] for row in plan.operators}


def test_a_plan_is_carried_and_resumed(lydite, net, recording, tmp_path):
    for name in ("plan.json", "plan.csv"):
        path = tmp_path / name
        ran = lydite("profile", "--plan-for", net, "--operators", 3, "--write", path, *QUICK)
        assert ran.code == 0, ran.err
        assert "measured" not in ly.predict(str(net), backend="replay").coverage.nodes
    rows = list(csv.DictReader((tmp_path / "plan.csv").read_text().splitlines()))
    assert len(rows) == 3
    assert json.loads((tmp_path / "plan.json").read_text())["device"] == "toy-cpu"
    first = json.loads(lydite("profile", "--plan", tmp_path / "plan.csv", *QUICK, "--json").out)
    assert (first["models"][0]["measured"], first["models"][0]["reused"]) == (3, 0)
    again = ly.profile_planned(tmp_path / "plan.json", backend="replay", budget=0.05)
    assert (again.models[0]["measured"], again.models[0]["reused"]) == (0, 3)


def test_operators_of_other_sizes_follow(lydite, net, recording):
    plan = ly.profile_plan(str(net), operators=12, backend="replay")
    sizes = [row["size"] for row in plan.operators]
    assert len(sizes) > 6
    assert set(sizes) >= {1.0, 2.0}


def test_a_plan_for_a_device_that_is_elsewhere(lydite, net, refused, tmp_path):
    ran = lydite("profile", "--plan-for", "gpt2", "--on", "l40s", "--operators", 4)
    assert ran.code == 0
    assert ran.out.startswith("4 operators to measure on nvidia-l40s for gpt2")
    assert "nvidia-l40s is not here: add --write FILE" in ran.err
    path = tmp_path / "plan.json"
    lydite("profile", "--plan-for", "gpt2", "--on", "l40s", "--operators", 4, "--write", path)
    line = refused("profile", "--plan", path)
    assert f"{path}: is a plan for nvidia-l40s, which onnxruntime does not find here" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to measure; allowed: one of MODEL..., --plan-for MODEL and --plan FILE"),
        (["lenet5", "--plan-for", "lenet5", "--operators", 3], "MODEL and --plan-for together"),
        (["--plan-for", "lenet5"], "--plan-for needs --operators N"),
        (["--plan-for", "lenet5", "--operators", 0], "0 operators; allowed: 1 or more"),
        (["--plan-for", "lenet5", "--operators", -2], "-2 operators; allowed: 1 or more"),
        (["lenet5", "--operators", 3], "--operators needs --plan-for MODEL"),
        (["lenet5", "--write", "x.json"], "--write needs --plan-for MODEL"),
        (
            ["--plan-for", "lenet5", "--operators", 3, "--write", "x.txt"],
            "'x.txt' is no plan file; allowed: .json or .csv",
        ),
        (["--plan", "none.json"], "none.json: cannot be read"),
    ],
)
def test_what_does_not_go_together(refused, arguments, words):
    assert words in refused("profile", *arguments)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "nonsense",
        '{"operators": [], "device": "cpu"}',
        '{"operators": [{"key": "{}", "span_bytes": 0}], "device": "cpu"}',
        '{"operators": 7, "device": "cpu"}',
        '{"operators": [' * 2000,
    ],
)
def test_files_that_are_no_plan(tmp_path, text):
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        ly.profile_planned(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
