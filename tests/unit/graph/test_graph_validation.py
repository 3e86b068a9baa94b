"""Graphs and builders that contradict themselves, and graphs that only look as if they did."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from lydite.errors import GraphError, InputError
from lydite.graph import (
    Builder,
    Graph,
    Initializer,
    Op,
    TensorType,
    bind_dims,
    graph_from_model,
    keys_of,
    model_to_proto,
    retyped,
    total_work,
)
from lydite.graph.graph import random_weight
from lydite.models import build_model

F = TensorType("float32", (2,))


def relu(name: str, source: str, target: str) -> Op:
    return Op(name, "Relu", (source,), (target,))


def graph(*ops: Op, inputs=("x",), outputs=("y",), **rest) -> Graph:
    names = {name for op in ops for name in (*op.inputs, *op.outputs)} | {*inputs, *outputs}
    return Graph("net", tuple(ops), dict.fromkeys(names, F), inputs, outputs, **rest)


def test_operators_are_put_in_order():
    made = graph(relu("c", "b", "y"), relu("a", "x", "a"), relu("b", "a", "b"))
    assert [op.name for op in made.ops] == ["a", "b", "c"]


def test_a_cycle_names_its_operators():
    with pytest.raises(
        GraphError, match=r"net: the operators 'a'.*'b'.*in a cycle|'b'.*'a'.*cycle"
    ):
        graph(relu("a", "b", "a"), relu("b", "a", "b"), relu("c", "a", "y"))


def test_an_operator_that_feeds_itself():
    with pytest.raises(GraphError, match="cycle"):
        graph(relu("a", "y", "y"))


def test_a_missing_input_names_the_operator_and_the_tensor():
    with pytest.raises(GraphError, match=r"net: operator 'a' \(Relu\) reads 'ghost'"):
        graph(relu("a", "ghost", "y"))


def test_a_tensor_that_is_made_twice():
    with pytest.raises(GraphError, match="'y' is produced twice, by 'a' and by 'b'"):
        graph(relu("a", "x", "y"), relu("b", "x", "y"))


def test_a_tensor_that_is_an_input_and_made():
    with pytest.raises(GraphError, match="'x' is produced twice, by 'the inputs' and by 'a'"):
        graph(relu("a", "x", "x"), relu("b", "x", "y"))


def test_an_output_that_nobody_makes():
    with pytest.raises(GraphError, match="nothing produces the output 'z'"):
        graph(relu("a", "x", "y"), outputs=("y", "z"))


def test_neighbours_are_found_both_ways():
    made = graph(relu("a", "x", "a"), relu("b", "a", "b"), Op("c", "Add", ("a", "b"), ("y",)))
    assert made.producers["b"].name == "b"
    assert [op.name for op in made.consumers["a"]] == ["b", "c"]


def test_an_open_dimension_is_bound_and_everything_typed_anew():
    g = Builder("net")
    x = g.input("x", ("n", 3, "h", "w"))
    y = g.global_average_pool(g.conv(x, 8, 3, pad=1))
    made = g.build(g.flatten(y))
    assert made.open_dims == ["n", "h", "w"]
    assert total_work(made).unknown
    bound = bind_dims(made, {"n": 2, "h": 16, "w": 16})
    assert bound.open_dims == []
    assert bound.type_of(bound.outputs[0]).shape == (2, 8)
    assert total_work(bound).unknown == ()
    half = bind_dims(made, {"n": 2})
    assert half.open_dims == ["h", "w"]
    assert bind_dims(made, {}) is made


def test_a_dimension_that_is_not_there_gets_the_nearest_name():
    g = Builder("net")
    made = g.build(g.relu(g.input("x", ("batch", 3))))
    with pytest.raises(InputError, match=r"symbolic dimension 'bach'.*did you mean 'batch'"):
        bind_dims(made, {"bach": 1})
    with pytest.raises(InputError, match="at least 1"):
        bind_dims(made, {"batch": 0})


def test_shapes_that_are_computed_in_the_graph_are_followed():
    g = Builder("net", opset=11)
    x = g.input("x", ("n", 4, 6))
    size = g.op("Gather", g.op("Shape", x), g.constant(0, "zero"), axis=0)
    parts = [g.op("Unsqueeze", size, axes=[0]), g.constant([-1], "rest")]
    made = g.build(g.op("Reshape", x, g.concat(parts, 0)))
    assert bind_dims(made, {"n": 5}).type_of(made.outputs[0]).shape == (5, 24)


def test_the_builder_says_what_does_not_fit():
    g = Builder("net")
    a, b = g.input("a", (2, 3)), g.input("b", (4, 5))
    with pytest.raises(GraphError, match=r"matmul \(MatMul\).*float32\[2,3\], float32\[4,5\]"):
        g.op("MatMul", a, b)
    with pytest.raises(GraphError, match="not divisible into 2 groups"):
        g.conv(g.input("image", (1, 3, 8, 8)), 4, 3, group=2)
    with pytest.raises(GraphError, match=r"needs \[batch, channels, ...\]"):
        g.conv(a, 4, 3)
    with pytest.raises(GraphError, match="already"):
        g.input("a", (1,))
    with pytest.raises(GraphError, match="Relux"):
        g.op("Relux", a)
    with pytest.raises(GraphError, match="kernel"):
        g.op("Conv", g.input("c", (1, 3, 8, 8)), g.weight((4, 3, 3, 3)), kernel=[3, 3])


def test_reading_a_file_in_any_order_of_nodes():
    model = model_to_proto(build_model("alexnet", image_size=63), with_data=False)
    expected = graph_from_model(model)
    shuffled = onnx.ModelProto()
    for seed in range(3):
        shuffled.CopyFrom(model)
        nodes = list(model.graph.node)
        random.Random(seed).shuffle(nodes)
        del shuffled.graph.node[:], shuffled.graph.value_info[:]
        shuffled.graph.node.extend(nodes)
        found = graph_from_model(shuffled)
        assert {op.name: op for op in found.ops} == {op.name: op for op in expected.ops}
        assert keys_of(found) == keys_of(expected)


def test_a_body_sees_the_tensors_around_it():
    branch = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["out"])],
        "then",
        [],
        [helper.make_empty_tensor_value_info("out")],
    )
    other = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["out2"])],
        "else",
        [],
        [helper.make_empty_tensor_value_info("out2")],
    )
    outer = helper.make_graph(
        [helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=other)],
        "g",
        [
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 3]),
        ],
        [helper.make_empty_tensor_value_info("y")],
        [onnx.numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")],
    )
    model = helper.make_model(outer, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = graph_from_model(model)
    bodies = {body.name: body for body in found.ops[0].subgraphs}
    assert bodies["then"].outer == {"x", "w"}
    assert str(bodies["then"].type_of("out")) == "float32[3,3]"
    assert str(found.type_of("y")) == "float32[3,3]"
    onnx.checker.check_model(model_to_proto(found))
    again = graph_from_model(model_to_proto(found))
    assert keys_of(again) == keys_of(found)


def test_a_body_that_reads_what_nobody_makes():
    branch = helper.make_graph(
        [helper.make_node("Relu", ["ghost"], ["out"])],
        "then",
        [],
        [helper.make_empty_tensor_value_info("out")],
    )
    outer = helper.make_graph(
        [helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)],
        "g",
        [helper.make_tensor_value_info("c", TensorProto.BOOL, [])],
        [helper.make_empty_tensor_value_info("y")],
    )
    model = helper.make_model(outer, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(GraphError, match="reads 'ghost'"):
        graph_from_model(model)


def test_retyping_changes_types_and_nothing_else():
    g = Builder("net")
    made = g.build(g.relu(g.input("x", (2, 3))))
    wider = retyped(made, {"x": TensorType("float16", (5, 3))})
    assert str(wider.type_of(wider.outputs[0])) == "float16[5,3]"
    assert [op.name for op in wider.ops] == [op.name for op in made.ops]


@settings(max_examples=30)
@given(
    dims=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    dtype=st.sampled_from(["float32", "float16", "bfloat16", "float64"]),
    seed=st.integers(0, 1000),
)
def test_random_weights_have_their_shape_type_and_seed(dims, dtype, seed):
    type_ = TensorType(dtype, tuple(dims))
    drawn = random_weight(type_, seed)
    assert (drawn.shape, drawn.dtype.name) == (tuple(dims), dtype)
    assert np.isfinite(drawn.astype(np.float64)).all()
    np.testing.assert_array_equal(drawn, random_weight(type_, seed))


@pytest.mark.parametrize(
    ("shape", "fan_in"), [((512, 256, 3, 3), 2304), ((768, 3072), 768), ((1500, 1500), 1500)]
)
def test_random_matrices_keep_the_variance(shape, fan_in):
    drawn = random_weight(TensorType("float32", shape), 0)
    assert drawn.var() == pytest.approx(1 / fan_in, rel=0.02)
    assert drawn.mean() == pytest.approx(0, abs=3 / np.sqrt(fan_in * 1e6))
    assert abs(drawn).max() <= np.sqrt(3 / fan_in) * 1.0001


def test_random_vectors_serve_as_scale_and_variance():
    drawn = random_weight(TensorType("float32", (100_000,)), 1)
    assert 0.5 <= drawn.min() < 0.51
    assert 1.49 < drawn.max() <= 1.5
    assert drawn.mean() == pytest.approx(1, abs=0.01)
    assert not random_weight(TensorType("int64", (3, 3)), 0).any()
    assert random_weight(TensorType("int64", (3, 3)), 0).dtype == np.int64


def test_an_open_type_has_no_weights():
    with pytest.raises(GraphError, match="unknown sizes"):
        random_weight(TensorType("float32", ("n", 3)), 0)
    with pytest.raises(GraphError, match="unknown sizes"):
        Initializer(TensorType("float32")).array()


def test_the_parameters_of_a_graph_are_what_is_trained():
    g = Builder("net")
    x = g.input("x", (1, 3, 8, 8))
    x = g.clip(g.batch_norm(g.conv(x, 4, 3, bias=False)), 0, 6)
    made = g.build(g.op("Gather", x, g.constant([0, 1], "index"), axis=1))
    assert made.parameter_count == 4 * 27 + 2 * 4
    assert made.parameter_bytes == 4 * (4 * 27 + 4 * 4 + 2) + 16
    assert (
        replace(made, initializers={}, inputs=(*made.inputs, *made.initializers)).parameter_count
        == 0
    )
