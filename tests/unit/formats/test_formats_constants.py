"""Weights in Constant nodes and in bodies, names of sizes, and types that ONNX leaves open."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lydite.errors import InputError
from lydite.graph import Graph, bind_dims, rebatched, total_work
from lydite.graph.onnx_reader import graph_from_model
from lydite.graph.passes.fold import folded
from lydite.graph.training import training_step

FLOAT = TensorProto.FLOAT


def value(name, shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def read(nodes, inputs, outputs, *, opset=17, domains=()) -> Graph:
    graph = helper.make_graph(nodes, "net", inputs, outputs)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return graph_from_model(helper.make_model(graph, opset_imports=opsets))


def constant(name, *shape):
    array = np.full(shape, 0.5, np.float32)
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array))


@pytest.fixture
def paddle() -> Graph:
    """A convolution and its normalisation, all weights in nodes, as Paddle2ONNX writes them."""
    nodes = [
        constant("w", 8, 3, 3, 3),
        *(constant(name, 8) for name in ("scale", "shift", "mean", "var")),
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["y"]),
    ]
    return read(nodes, [value("x", [1, 3, 16, 16])], [value("y", None)])


def test_weights_in_nodes_are_weights(paddle):
    assert [op.op_type for op in paddle.ops] == ["Conv", "BatchNormalization"]
    assert paddle.parameter_count == 8 * 27 + 16
    assert paddle.parameter_bytes == 4 * (8 * 27 + 32)
    assert [op.op_type for op in folded(paddle).ops] == ["Conv"]
    assert len(training_step(paddle).gradients) == 3


@pytest.mark.parametrize(
    ("field", "given", "expected"),
    [
        ("value_float", 2.5, np.float32(2.5)),
        ("value_floats", [1.0, 2.0], np.array([1, 2], np.float32)),
        ("value_int", 7, np.int64(7)),
        ("value_ints", [3, 4], np.array([3, 4])),
    ],
)
def test_every_form_of_a_constant(field, given, expected):
    node = helper.make_node("Constant", [], ["k"], **{field: given})
    kind = FLOAT if "float" in field else TensorProto.INT64
    graph = read(
        [node, helper.make_node("Add", ["x", "k"], ["y"])],
        [value("x", [2], kind)],
        [value("y", [2], kind)],
    )
    np.testing.assert_array_equal(graph.constant("k"), expected)
    assert graph.constant("k").shape == expected.shape


def branching(*, trips: int | None = None) -> Graph:
    """An If whose second branch multiplies twice as much, or a Loop around one product."""

    def body(name: str, width: int, inputs=(), first=()) -> onnx.GraphProto:
        weight = numpy_helper.from_array(np.ones((64, width), np.float32), f"{name}_w")
        back = numpy_helper.from_array(np.ones((width, 64), np.float32), f"{name}_v")
        source = inputs[-1].name if inputs else "x"
        nodes = [
            *first,
            helper.make_node("MatMul", [source, f"{name}_w"], [f"{name}_h"]),
            helper.make_node("MatMul", [f"{name}_h", f"{name}_v"], [f"{name}_y"]),
        ]
        outputs = [value(f"{name}_y", [8, 64])]
        if inputs:
            nodes.append(helper.make_node("Identity", [inputs[1].name], ["go"]))
            outputs = [value("go", [], TensorProto.BOOL), *outputs]
        return helper.make_graph(nodes, name, list(inputs), outputs, [weight, back])

    x = value("x", [8, 64])
    if trips is None:
        node = helper.make_node(
            "If", ["c"], ["y"], then_branch=body("small", 32), else_branch=body("large", 64)
        )
        return read([node], [x, value("c", [], TensorProto.BOOL)], [value("y", [8, 64])])
    inputs = [
        value("i", [], TensorProto.INT64),
        value("cond", [], TensorProto.BOOL),
        value("state", [8, 64]),
    ]
    node = helper.make_node("Loop", ["n", "", "x"], ["y"], body=body("step", 64, inputs))
    count = helper.make_node("Constant", [], ["n"], value_int=trips)
    return read([count, node], [x], [value("y", [8, 64])])


def test_weights_of_bodies_count():
    graph = branching()
    assert graph.parameter_count == 2 * 64 * (32 + 64)
    assert graph.parameter_bytes == 4 * graph.parameter_count
    assert total_work(graph).total.flops == 2 * 2 * 8 * 64 * 64
    assert total_work(branching(trips=5)).total.flops == 5 * 2 * 2 * 8 * 64 * 64


def test_a_size_without_a_name_stands_alone():
    graph = read(
        [helper.make_node("Relu", ["x"], ["y"])],
        [value("x", ["batch", 3, "?", "?"])],
        [value("y", None)],
    )
    assert graph.open_dims == ["batch", "x.2", "x.3"]
    bound = bind_dims(graph, {"x.2": 48, "x.3": 192, "batch": 2})
    assert bound.type_of("y").shape == (2, 3, 48, 192)
    graph = read(
        [helper.make_node("Relu", ["x"], ["y"])],
        [value("x", ["unk__12", "unk__13"])],
        [value("y", None)],
    )
    assert graph.open_dims == ["x.0", "x.1"]


def test_the_size_named_batch_is_the_batch_wherever_it_stands():
    graph = read(
        [
            helper.make_node("Relu", ["x"], ["y"]),
            helper.make_node("Relu", ["state"], ["z"]),
        ],
        [value("x", [5, "batch", 16]), value("state", [1, "batch", 16])],
        [value("y", None), value("z", None)],
    )
    changed = rebatched(graph, 4)
    assert changed.type_of("y").shape == (5, 4, 16)
    assert changed.type_of("z").shape == (1, 4, 16)


def test_states_have_no_other_batch_than_their_own():
    graph = read(
        [helper.make_node("Concat", ["x", "state"], ["y"], axis=0)],
        [value("x", [1, 16]), value("state", [2, 16])],
        [value("y", None)],
    )
    assert rebatched(graph, 1) is graph
    with pytest.raises(InputError, match="do not share a first size"):
        rebatched(graph, 3)


def test_a_transform_is_one_sided_unless_it_says_otherwise():
    """The standard's default, against which ONNX's own inference takes two sides."""
    frame = helper.make_node("Constant", [], ["hop"], value_int=100)
    nodes = [
        frame,
        constant("window", 400),
        helper.make_node("STFT", ["x", "hop", "window"], ["y"]),
    ]
    graph = read(nodes, [value("x", [1, 1600])], [value("y", None)])
    assert graph.type_of("y").shape == (1, 13, 201, 2)


def test_classifiers_have_types():
    nodes = [
        helper.make_node(
            "LinearClassifier",
            ["x"],
            ["label", "scores"],
            domain="ai.onnx.ml",
            coefficients=[0.1] * 6,
            intercepts=[0.0] * 3,
            classlabels_ints=[0, 1, 2],
        ),
        helper.make_node("Normalizer", ["scores"], ["p"], domain="ai.onnx.ml", norm="L1"),
        helper.make_node(
            "ZipMap", ["p"], ["map"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2]
        ),
    ]
    graph = read(
        nodes,
        [value("x", [5, 2])],
        [value("label", [5], TensorProto.INT64), value("p", [5, 3])],
        domains=("ai.onnx.ml",),
    )
    assert str(graph.type_of("scores")) == "float32[5,3]"
    assert str(graph.type_of("label")) == "int64[5]"
    assert total_work(graph).unknown == ()
