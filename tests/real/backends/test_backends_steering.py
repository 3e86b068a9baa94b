"""Operators whose sizes and indices another one computes are run alone by ONNX Runtime."""

from __future__ import annotations

import pytest

from lydite.backends import Settings, find_backend
from lydite.backends.isolate import replicated
from lydite.backends.steering import steering
from lydite.opkey import Operand, OpKey, TensorType

pytest.importorskip("onnxruntime")


def key(op_type, inputs, *outputs, version=13, **attrs):
    operands = tuple(
        given if isinstance(given, Operand) else Operand(TensorType.parse(given))
        for given in inputs
    )
    return OpKey(
        op_type, operands, tuple(TensorType.parse(o) for o in outputs), attrs=attrs, version=version
    )


AXES = Operand(TensorType("int64", (1,)), const=True, value=(1,))
KEYS = {
    "Reshape": key("Reshape", ["float32[60,400]", "int64[3]"], "float32[1,60,400]"),
    "Expand": key("Expand", ["float32[1,1]", "int64[2]"], "float32[5,400]"),
    "ConstantOfShape": key("ConstantOfShape", ["int64[2]"], "float32[3,400]", version=9),
    "Tile": key("Tile", ["float32[2,3]", "int64[2]"], "float32[4,9]"),
    "Slice": key("Slice", ["float32[4,9]", "int64[2]", "int64[2]"], "float32[3,5]"),
    "Slice of an axis": key(
        "Slice", ["float32[4,9]", "int64[1]", "int64[1]", AXES, "int64[1]"], "float32[4,6]"
    ),
    "Slice of an axis that is computed": key(
        "Slice",
        ["float32[1,400]", "int64[1]", "int64[1]", "int64[1]", Operand(None, same_as=3)],
        "float32[1,240]",
    ),
    "TopK": key("TopK", ["float32[4,9]", "int64[1]"], "float32[4,5]", "int64[4,5]", axis=-1),
    "Split": key("Split", ["float32[4,9]", "int64[2]"], "float32[4,2]", "float32[4,7]", axis=1),
    "Gather": key("Gather", ["float32[1,60,224]", "int64[1]"], "float32[1,60,224]"),
    "Gather of many": key("Gather", ["float32[9,60]", "int64[4]"], "float32[4,60]"),
    "GatherElements": key("GatherElements", ["float32[3,1]", "int64[3,1]"], "float32[3,1]", axis=1),
    "GatherND": key("GatherND", ["float32[1,5]", "int64[3,2]"], "float32[3]"),
    "ScatterElements": key(
        "ScatterElements", ["int64[1]", "int64[1]", "int64[1]"], "int64[1]", version=16
    ),
}


@pytest.mark.parametrize("name", KEYS)
def test_an_operator_with_computed_sizes_runs_and_makes_what_its_type_says(name):
    made = KEYS[name]
    prepared = find_backend("onnxruntime").prepare_op(made, Settings(), 3)
    try:
        prepared.run()
        prepared.run()
        outputs = prepared.outputs()
    finally:
        prepared.close()
    for index, type_ in enumerate(made.outputs):
        assert outputs[f"out{index}_2"].shape == type_.shape


def test_what_is_constant_or_not_known_is_left_as_it_is():
    constant = Operand(TensorType("int64", (2,)), const=True, value=(60, 400))
    assert steering(key("Reshape", ["float32[24000]", constant], "float32[60,400]")) == {}
    assert steering(key("Reshape", ["float32[24000]", "int64[2]"], "float32[n,400]")) == {}
    assert steering(key("Relu", ["float32[24000]"], "float32[24000]")) == {}
    graph = replicated(KEYS["Reshape"], 2)
    assert graph.inputs == ("in0",)
