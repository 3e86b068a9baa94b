"""Whatever the API gives to a user says what it is in one line."""

from __future__ import annotations

import lydite as ly
from lydite.hardware import find_device
from lydite.hardware.chip import read_chip
from lydite.hardware.cluster import read_cluster
from lydite.results import REPR_WIDTH


def things():
    model = ly.load("resnet18")
    yield model
    yield model.graph
    yield ly.load("lenet5", train=True).step
    yield ly.predict("resnet18", on="h100").prediction
    step = ly.simulate("resnet18", train=True, batch=8).step
    yield from (step, step.timeline, step.played, step.constants, step.cluster, step.plan)
    chip = ly.chip("lenet5").network
    yield from (chip, chip.plan, chip.soc)
    yield from (find_device("h100"), read_cluster("dgx-h100 x 128"), read_chip("systolic-128"))


def test_reprs_are_one_line():
    for thing in things():
        text = repr(thing)
        assert text.startswith(f"<{type(thing).__name__} ")
        assert "\n" not in text
        assert len(text) <= REPR_WIDTH


def test_a_few_of_them():
    assert repr(find_device("h100")) == "<Device nvidia-h100-sxm5-80gb: NVIDIA H100 80GB HBM3, gpu>"
    assert repr(ly.load("resnet18")) == "<Model resnet18: 69 operators, 11.7 M parameters, float32>"
