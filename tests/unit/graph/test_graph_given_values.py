"""Inputs with a given value: branches that they decide are put in the place of the If."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from lydite.errors import InputError
from lydite.graph import Graph, model_to_proto, with_values
from lydite.graph.onnx_reader import graph_from_model

INT = TensorProto.INT64


def value(name, shape, dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def scaled(name: str, factor: float, *, inner: onnx.GraphProto | None = None) -> onnx.GraphProto:
    """x times a factor; with `inner`, an If in the body that x's doubled value goes through."""
    weight = numpy_helper.from_array(np.float32(factor), f"{name}_k")
    nodes = [helper.make_node("Mul", ["x", f"{name}_k"], [f"{name}_y"])]
    if inner is not None:
        nodes += [
            helper.make_node("If", ["fast"], [f"{name}_z"], then_branch=inner, else_branch=inner),
            helper.make_node("Add", [f"{name}_y", f"{name}_z"], [f"{name}_s"]),
        ]
    out = f"{name}_s" if inner is not None else f"{name}_y"
    return helper.make_graph(nodes, name, [], [value(out, [4])], [weight])


def detector() -> tuple[onnx.ModelProto, Graph]:
    """Which branch runs depends on the sampling rate, as in a voice detector."""
    nodes = [
        helper.make_node("Constant", [], ["high"], value_int=16000),
        helper.make_node("Equal", ["sr", "high"], ["fast"]),
        helper.make_node(
            "If",
            ["fast"],
            ["out"],
            then_branch=scaled("a", 2.0, inner=scaled("b", 10.0)),
            else_branch=scaled("c", 3.0),
        ),
        helper.make_node("Relu", ["out"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "detector", [value("x", [4]), value("sr", [], INT)], [value("y", [4])]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    copied = onnx.ModelProto.FromString(model.SerializeToString())
    return model, graph_from_model(copied)


@pytest.mark.parametrize(("rate", "kinds"), [(16000, "Mul Mul Add Relu"), (8000, "Mul Relu")])
def test_the_branch_that_the_value_chooses(rate, kinds):
    model, graph = detector()
    decided = with_values(graph, {"sr": rate})
    assert decided.inputs == ("x",)
    assert " ".join(op.op_type for op in decided.ops) == kinds
    x = np.array([1, -2, 3, 4], np.float32)
    expected = ReferenceEvaluator(model).run(None, {"x": x, "sr": np.int64(rate)})[0]
    given = ReferenceEvaluator(model_to_proto(decided)).run(None, {"x": x})[0]
    np.testing.assert_array_equal(given, expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rate": 1}, "unknown input 'rate'"),
        ({"x": 1}, "the input 'x' is float32\\[4\\], not a single number"),
        ({"sr": 1.5}, "1.5 does not fit int64"),
    ],
)
def test_values_that_do_not_fit(given, message):
    with pytest.raises(InputError, match=message):
        with_values(detector()[1], given)
