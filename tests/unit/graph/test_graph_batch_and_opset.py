"""Files whose batch is fixed, and files of old opsets."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from lydite.errors import GraphError, InputError
from lydite.graph import (
    Builder,
    Op,
    TensorType,
    graph_from_model,
    model_to_proto,
    rebatched,
    total_work,
)
from lydite.graph.passes import in_precision
from lydite.graph.training import training_step
from lydite.graph.upgrade import upgraded
from lydite.models import build_model


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2", "vgg16", "lenet5", "inception-v3"])
def test_another_batch_is_as_if_built_with_it(name):
    found, wanted = rebatched(build_model(name), 6), build_model(name, batch=6)
    for graph in (found, wanted):
        assert total_work(graph).unknown == ()
    assert [found.type_of(n) for n in found.outputs] == [wanted.type_of(n) for n in wanted.outputs]
    assert total_work(found).total == total_work(wanted).total
    assert rebatched(found, 6) is found
    assert rebatched(found, 1).type_of(found.inputs[0]) == build_model(name).type_of(
        build_model(name).inputs[0]
    )


def flattening(target):
    g = Builder("net")
    x = g.input("x", (1, 4, 6))
    return g.build(g.op("Relu", g.op("Reshape", x, g.constant(target, "sizes"))))


def test_a_constant_that_begins_with_the_batch_gets_the_new_one():
    assert rebatched(flattening([1, 24]), 5).type_of("relu.out").shape == (5, 24)
    assert rebatched(flattening([1, -1]), 5).type_of("relu.out").shape == (5, 24)
    assert rebatched(flattening([-1, 24]), 5).type_of("relu.out").shape == (5, 24)


def test_a_weight_that_is_reshaped_has_no_batch():
    g = Builder("net")
    x = g.input("x", (1, 8, 4, 4))
    bias = g.op("Reshape", g.weight((1, 8), "b"), g.constant([1, 8, 1, 1], "sizes"))
    found = rebatched(g.build(g.op("Add", x, bias)), 5)
    assert found.type_of("add.out").shape == (5, 8, 4, 4)
    assert found.type_of("reshape.out").shape == (1, 8, 1, 1)


def test_a_batch_that_an_operator_holds_is_refused():
    with pytest.raises(InputError, match=r"net: its batch of 1 is fixed by reshape \(Reshape\)"):
        rebatched(flattening([4, 6]), 5)
    g = Builder("two")
    two = g.build(g.op("MatMul", g.input("x", (2, 3)), g.input("y", (3, 4))))
    with pytest.raises(InputError, match="two: its inputs do not share a first size"):
        rebatched(two, 5)
    g = Builder("sum")
    whole = g.build(g.op("Add", g.input("x", (2, 3)), g.weight((2, 3), "table")))
    with pytest.raises(InputError, match=r"sum: its batch of 2 is fixed by add \(Add\)"):
        rebatched(whole, 5)


def old_file():
    """Opset 9: axes are attributes, the batch stands in a constant."""
    draw = np.random.default_rng(1)
    weights = {
        "w": draw.normal(size=(8, 3, 3, 3)),
        "b": draw.normal(size=8),
        "v": draw.normal(size=(8, 5)),
        "sizes": np.array([1, 8]),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["c"], ["m"], axes=[2, 3], keepdims=1),
        helper.make_node("Squeeze", ["m"], ["s"], axes=[2, 3]),
        helper.make_node("Reshape", ["s", "sizes"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "old",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])],
        [
            numpy_helper.from_array(v.astype(np.int64 if n == "sizes" else np.float32), n)
            for n, v in weights.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


def answers(model, x):
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]


def test_an_old_file_says_the_same_at_a_newer_opset():
    graph = graph_from_model(old_file())
    found = upgraded(graph)
    assert (graph.opsets[""], found.opsets[""]) == (9, 13)
    assert found.inputs == graph.inputs
    assert found.parameters == graph.parameters
    assert upgraded(found) is found
    x = np.random.default_rng(2).normal(size=(1, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(answers(model_to_proto(found), x), answers(old_file(), x), rtol=1e-5)


def test_an_old_file_can_be_trained_and_lowered():
    graph = rebatched(graph_from_model(old_file()), 4)
    step = training_step(graph, optimizer="adam")
    assert set(step.gradients) == {"w", "b", "v"}
    for name, gradient in step.gradients.items():
        assert step.graph.type_of(gradient).shape == graph.type_of(name).shape
    lowered = in_precision(graph, "float16")
    assert lowered.type_of(lowered.outputs[0]).dtype == "float16"
    assert total_work(lowered).unknown == ()


def test_what_has_no_newer_form_is_said():
    g = Builder("net", opset=9)
    x, labels = g.input("x", (4, 10)), g.input("labels", (4,), dtype="int64")
    names = (x.name, labels.name)
    loss = Op("loss", "NegativeLogLikelihoodLoss", names, ("loss.out",), {"reduction": "mean"})
    made = g.build(*g.append(loss, [TensorType("float32", ())]))  # came with opset 12
    with pytest.raises(GraphError, match=r"net: has opset 9 and cannot be converted to 13: .*Nega"):
        upgraded(made)
