"""`lydite validate --baseline` through the real entry point."""

from __future__ import annotations

import json

import pytest

BASELINES = {"1": {"resnet18": 10.0, "gpt2": 0, "alexnet": 4}, "4": {"resnet18": 12.0}}


@pytest.fixture
def baseline(tmp_path):
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(BASELINES))
    return path


def test_the_tables(lydite, baseline):
    ran = lydite("validate", "--baseline", baseline, "--on", "dgx-a100", "--batch", 4, "--quiet")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == (
        "Training steps on NVIDIA DGX A100 with 8 x A100 40GB, batch 4 per device, adam; simulated"
    )
    assert [line.split()[:4] for line in lines[3:6]] == [
        ["resnet18", "1", "10.0", "ms"],
        ["resnet18", "4", "12.0", "ms"],
        ["alexnet", "1", "4.00", "ms"],
    ]
    assert "Accuracy over 3 steps; the constant is fitted to these same baselines:" in lines
    assert any(line.startswith("one constant efficiency ") for line in lines)
    assert "not compared: gpt2 on 1: baseline is 0 ms" in lines
    assert max(map(len, lines)) <= 100


def test_as_json(lydite, baseline):
    ran = lydite(
        "validate",
        "resnet18",
        "--baseline",
        baseline,
        "--on",
        "dgx-a100",
        "--optimizer",
        "momentum",
        "--json",
    )
    found = json.loads(ran.out)
    assert (found["cluster"], found["batch_per_device"], found["optimizer"]) == (
        "dgx-a100",
        1,
        "momentum",
    )
    assert [(s["model"], s["devices"], s["baseline_s"]) for s in found["steps"]] == [
        ("resnet18", 1, 0.01),
        ("resnet18", 4, 0.012),
    ]
    for step in found["steps"]:
        assert step["error"] == pytest.approx(step["predicted_s"] / step["baseline_s"] - 1)
    assert found["not_compared"] == []
    assert found["accuracy"]["simulated"]["points"] == 2


def test_language_models_go_forward(lydite, tmp_path):
    path = tmp_path / "b.json"
    path.write_text('{"1": {"gpt2": 50}}')
    ran = lydite("validate", "--baseline", path, "--on", "dgx-a100", "--sequence", 64, "--json")
    (step,) = json.loads(ran.out)["steps"]
    assert step["predicted_s"] > 0


def test_an_option_that_one_model_does_not_take_leaves_the_others(lydite, tmp_path):
    path = tmp_path / "b.json"
    path.write_text('{"1": {"gpt2": 50, "resnet18": 5}}')
    ran = lydite("validate", "--baseline", path, "--on", "dgx-a100", "--sequence", 64, "--json")
    found = json.loads(ran.out)
    assert [step["model"] for step in found["steps"]] == ["gpt2"]
    assert found["not_compared"] == ["resnet18: takes no sequence"]


def test_what_is_refused(refused, baseline, tmp_path):
    on = ("--on", "dgx-a100")
    assert refused("validate") == (
        "no model is named; allowed: MODEL..., or --baseline FILE --on CLUSTER"
    )
    assert refused("validate", "--baseline", baseline) == (
        f"--baseline {baseline} needs a cluster; add --on CLUSTER"
    )
    line = refused("validate", "vgg16", *on)
    assert line == "--on dgx-a100 is only for --baseline; add --baseline FILE"
    assert refused("validate", "--baseline", tmp_path / "none.json", *on).startswith(
        f"{tmp_path / 'none.json'}: "
    )
    assert "unknown cluster" in refused("validate", "--baseline", baseline, "--on", "dgx-a1000")
    assert "unknown model 'resnet1'; allowed: " in refused(
        "validate", "resnet1", "--baseline", baseline, *on
    )
    baseline.write_text('{"1": {')
    assert refused("validate", "--baseline", baseline, *on).startswith(f"{baseline}: is not JSON")
    baseline.write_text('{"1": {"alexnet": 0, "vgg16": -1}}')
    assert refused("validate", "--baseline", baseline, *on) == (
        f"{baseline}: nothing to compare: alexnet on 1: baseline is 0 ms; vgg16 on 1: baseline is "
        "-1 ms"
    )
