"""Simulated steps against measured ones: what is compared, what is refused, and by name."""

from __future__ import annotations

import json

import pytest

from lydite.cluster import filled, read_baselines, simulate_step
from lydite.cluster.baseline import compare
from lydite.cluster.constants import Constants
from lydite.errors import InputError
from lydite.estimate.roofline import Roofline
from lydite.hardware.cluster import read_cluster
from lydite.models import build_model

CLUSTER = read_cluster("dgx-a100")


def build(model):
    return build_model(model, batch=2)


def truth(model, devices, **rest):
    graph, plan = build(model), filled(devices, micro_batch=2)
    return simulate_step(graph, CLUSTER.first(devices), plan, Roofline(), **rest).seconds


@pytest.fixture
def compared(tmp_path):
    """Compare with baselines given as AISim writes them, in milliseconds."""

    def call(baselines, **rest):
        path = tmp_path / "baseline.json"
        path.write_text(json.dumps(baselines))
        return compare(read_baselines(path), CLUSTER, build, Roofline(), batch=2, **rest)

    return call


def test_what_is_simulated_is_a_data_parallel_step(compared):
    one, four = truth("alexnet", 1), truth("alexnet", 4)
    found = compared({"1": {"alexnet": one * 1e3}, "4": {"alexnet": four * 0.8e3}})
    first, second = found.steps
    assert (first.devices, second.devices) == (1, 4)
    assert first.error == pytest.approx(0)
    assert second.error == pytest.approx(0.25)
    assert second.predicted_s == four
    assert second.low_s < four < second.high_s
    assert found.not_compared == []


def test_the_null_models_are_those_of_one_device(compared):
    seconds = truth("alexnet", 4)
    found = compared({"1": {"alexnet": 1.0}, "4": {"alexnet": seconds * 1e3}})
    alone = truth("alexnet", 1, constants=Constants(dispatch_s=0.0))
    assert [step.sum_s for step in found.steps] == [alone, alone]
    accuracy = found.to_json()["accuracy"]
    assert set(accuracy) == {"simulated", "sum of operators", "one constant efficiency"}
    assert accuracy["simulated"]["worst"] == "alexnet on 1 device"
    simulated = [step.error for step in found.steps]
    assert accuracy["simulated"]["mean_abs_error"] == pytest.approx(sum(map(abs, simulated)) / 2)
    assert accuracy["simulated"]["bias"] == pytest.approx(sum(simulated) / 2)
    assert accuracy["simulated"]["within_5_percent"] == 0.5


def test_names_of_aisim_are_known(compared):
    (step,) = compared({"1": {"inception3": 20}}, models=["inception3"]).steps
    assert step.model == "inception3"


def test_what_is_no_time_is_named_and_does_not_count(compared):
    found = compared(
        {
            "1": {"alexnet": 5, "vgg16": 0, "resnet50": "fast", "resnet18": True},
            "2": {"alexnet": -3, "vgg16": None},
        }
    )
    assert [(step.model, step.devices) for step in found.steps] == [("alexnet", 1)]
    assert set(found.not_compared) == {
        "alexnet on 2: baseline is -3 ms",
        "vgg16 on 1: baseline is 0 ms",
        "vgg16 on 2: baseline is None",
        "resnet50 on 1: baseline is 'fast'",
        "resnet50 on 2: no baseline",
        "resnet18 on 1: baseline is True",
        "resnet18 on 2: no baseline",
    }
    assert found.to_json()["accuracy"]["simulated"]["points"] == 1


def test_one_bad_model_or_count_leaves_the_others(compared):
    found = compared({"0": {"alexnet": 1}, "1": {"resnet5": 5, "alexnet": 5}, "16": {"alexnet": 9}})
    assert [(step.model, step.devices) for step in found.steps] == [("alexnet", 1)]
    assert "resnet5: unknown model 'resnet5'; did you mean 'resnet50'?" in found.not_compared
    for count in (0, 16):
        assert f"alexnet on {count}: 'dgx-a100' has 8 devices" in found.not_compared


def test_only_the_models_that_are_named(compared):
    found = compared({"1": {"alexnet": 5, "vgg16": 5}}, models=["alexnet", "alexnet"])
    assert [step.model for step in found.steps] == ["alexnet"]
    assert found.not_compared == []


def test_what_does_not_fit_is_noted(tmp_path):
    path = tmp_path / "b.json"
    path.write_text('{"1": {"vgg16": 100}}')
    found = compare(
        read_baselines(path),
        CLUSTER,
        lambda name: build_model(name, batch=1024),
        Roofline(),
        batch=1024,
    )
    assert "vgg16 on 1 does not fit: " in found.notes[0]
    assert "mostly for activations" in found.notes[0]


@pytest.mark.parametrize(
    ("baselines", "models", "message"),
    [
        ({"1": {"alexnet": 0}}, (), "nothing to compare: alexnet on 1: baseline is 0 ms"),
        ({}, (), "nothing to compare: no baselines"),
        ({"1": {"alexnet": 1}}, ["alexnt"], "unknown model 'alexnt'; allowed: alexnet; did you"),
    ],
)
def test_when_nothing_is_left(compared, baselines, models, message):
    with pytest.raises(InputError) as error:
        compared(baselines, models=models)
    assert str(error.value).startswith(message)
