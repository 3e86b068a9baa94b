"""Operator keys: their text is lossless, names do not matter, and everything else does."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite.errors import GraphError, InputError
from lydite.graph import (
    Builder,
    Graph,
    Initializer,
    Op,
    Operand,
    OpKey,
    TensorType,
    key_of,
    keys_of,
    model_key,
    work_of_key,
)
from lydite.graph.keys import MODEL_DOMAIN, graph_digest, graph_of_key

DTYPES = st.sampled_from(["float32", "float16", "bfloat16", "int64", "uint4", "bool", "string"])
NAMES = st.from_regex(r"[a-z_][a-z0-9_.]{0,8}", fullmatch=True)
TYPES = st.builds(
    TensorType,
    DTYPES,
    st.none() | st.lists(st.integers(0, 1 << 40) | NAMES | st.just("?"), max_size=5).map(tuple),
    st.sampled_from(["", "channels_last", "nchwc16"]),
)
VALUES = st.lists(
    st.integers(-(1 << 63), (1 << 63) - 1) | st.booleans() | st.floats(allow_nan=False), max_size=6
).map(tuple)
OPERANDS = (
    st.just(Operand(None))
    | st.builds(Operand, TYPES, st.booleans(), st.none() | VALUES)
    | st.builds(lambda i: Operand(None, same_as=i), st.integers(0, 9))
)
JSON = st.recursive(
    st.integers(-(1 << 63), 1 << 63) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)
KEYS = st.builds(
    OpKey,
    op_type=NAMES,
    inputs=st.lists(OPERANDS, max_size=5).map(tuple),
    outputs=st.lists(TYPES, max_size=3).map(tuple),
    attrs=st.dictionaries(NAMES, JSON, max_size=4),
    domain=st.sampled_from(["", "com.microsoft", "aten"]),
    version=st.integers(1, 30),
    fused=st.lists(NAMES, max_size=3).map(tuple),
)


@given(TYPES)
def test_types_survive_their_text(type_):
    assert TensorType.parse(str(type_)) == type_


@given(OPERANDS)
def test_operands_survive_their_text(operand):
    assert Operand.parse(str(operand)) == operand


@given(KEYS)
def test_keys_survive_their_text(key):
    again = OpKey.parse(key.text)
    assert again == key
    assert (again.text, again.digest, hash(again)) == (key.text, key.digest, hash(key))
    assert again.inputs == key.inputs
    assert json.loads(key.text)["op"] == key.op_type


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"op": "Relu"}', "{", '"Relu"', '{"op":1,"inputs":3}']
)
def test_what_is_no_key_is_refused(text):
    with pytest.raises(InputError, match="not an operator key"):
        OpKey.parse(text)


@pytest.mark.parametrize("text", ["float32", "float32[", "[1]]", "float32[1]{"])
def test_what_is_no_type_is_refused(text):
    with pytest.raises(InputError, match="not a tensor type"):
        TensorType.parse(text)


def test_sizes_in_bytes():
    found = {
        dtype: TensorType(dtype, (3, 3)).nbytes
        for dtype in ("float64", "float32", "bfloat16", "int8", "int4", "int2", "bool", "string")
    }
    assert found == {
        "float64": 72,
        "float32": 36,
        "bfloat16": 18,
        "int8": 9,
        "int4": 5,
        "int2": 3,
        "bool": 9,
        "string": None,
    }
    assert TensorType("float32", ()).nbytes == 4
    assert TensorType("float32", (0, 5)).nbytes == 0
    assert TensorType("float32", ("n", 5)).nbytes is None
    assert TensorType("float32").numel is None


def net(**change) -> Graph:
    """One Slice and one Conv, with one thing changed."""
    given = {
        "dtype": "float32",
        "size": 8,
        "channels": 4,
        "kernel": 3,
        "stride": 1,
        "group": 1,
        "start": 0,
        "const": True,
        "alias": False,
        "names": "",
        **change,
    }
    names = given["names"]
    g = Builder("net", dtype=given["dtype"])
    x = g.input(f"x{names}", (1, 4, given["size"], given["size"]))
    bounds = [g.constant([v], f"bound{names}") for v in (given["start"], given["start"] + 6, 2)]
    y = g.op("Slice", x, *bounds, name=f"cut{names}")
    y = g.conv(
        y,
        given["channels"],
        given["kernel"],
        stride=given["stride"],
        group=given["group"],
        pad=1,
        bias=False,
        name=f"conv{names}",
    )
    other = y if given["alias"] else g.relu(y)
    if given["const"]:
        other = g.op("Add", other, g.weight((given["channels"], 1, 1), f"w{names}"))
    else:
        other = g.op("Add", other, g.input(f"w{names}", (given["channels"], 1, 1)))
    return g.build(g.op("Mul", y, y if given["alias"] else other), other)


def key_texts(graph: Graph) -> list[str]:
    return [key_of(op, graph).text for op in graph.ops]


def test_names_do_not_matter():
    assert key_texts(net()) == key_texts(net(names="_other"))
    assert graph_digest(net()) == graph_digest(net(names="_other"))


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "float16"},
        {"size": 9},
        {"channels": 8},
        {"kernel": 1},
        {"stride": 2},
        {"group": 2},
        {"start": 1},
        {"const": False},
        {"alias": True},
    ],
)
def test_everything_else_matters(change):
    assert set(key_texts(net())) != set(key_texts(net(**change)))
    assert graph_digest(net()) != graph_digest(net(**change))


def test_a_slice_elsewhere_is_another_key_though_all_types_are_equal():
    keys = [key_of(net(start=start).ops[0], net(start=start)) for start in (0, 1)]
    assert keys[0].outputs == keys[1].outputs
    assert keys[0] != keys[1]


def test_an_attribute_at_its_default_is_left_out():
    g = Builder("g")
    x = g.input("x", (2, 3, 4))
    spoken, silent = g.op("Softmax", x, axis=-1), g.op("Softmax", x)
    other = g.op("Softmax", x, axis=1)
    keys = keys_of(g.build(spoken, silent, other))
    assert keys["softmax"] == keys["softmax_1"] != keys["softmax_2"]


def test_a_constant_operator_counts_as_a_constant():
    g = Builder("g")
    x = g.input("x", (8, 8))
    parts = [g.op("Constant", value=np.array([v])) for v in (0, 4)]
    made = g.build(g.op("Slice", x, *parts))
    h = Builder("h")
    x = h.input("x", (8, 8))
    held = h.build(h.op("Slice", x, h.constant([0]), h.constant([4])))
    assert key_of(made.ops[-1], made) == key_of(held.ops[0], held)


def test_an_alias_is_marked_and_resolved():
    g = Builder("g")
    x = g.input("x", (2, 3))
    key = key_of((graph := g.build(x * x)).ops[0], graph)
    assert str(key.inputs[1]) == "@0"
    assert key.operand_types() == [TensorType("float32", (2, 3))] * 2
    assert work_of_key(key).bytes_read == 24


def test_an_operator_of_unknown_type_has_no_key():
    graph = Graph(
        "g",
        (Op("odd", "Odd", ("x",), ("y",), {}, "com.microsoft"),),
        {"x": TensorType("float32", (2,))},
        ("x",),
        ("y",),
    )
    with pytest.raises(GraphError, match=r"'odd'.*com\.microsoft:Odd.*unknown"):
        key_of(graph.ops[0], graph)
    assert keys_of(graph) == {}


def test_a_key_gives_back_its_operator():
    for op in (graph := net()).ops:
        key = key_of(op, graph)
        small = graph_of_key(OpKey.parse(key.text))
        assert key_of(small.ops[0], small) == key


def test_a_key_with_a_large_tensor_attribute_gives_no_operator_back():
    g = Builder("g")
    graph = g.build(g.op("Constant", value=np.arange(99.0)))
    with pytest.raises(GraphError, match="only by digest"):
        graph_of_key(key_of(graph.ops[0], graph))


def test_a_model_has_a_key_of_its_own():
    key = model_key(net())
    assert (key.domain, key.op_type) == (MODEL_DOMAIN, "net")
    assert key == model_key(net(names="_other"))
    assert key != model_key(net(start=1))
    assert key != model_key(replace(net(), opsets={"": 19}))
    assert OpKey.parse(key.text) == key


def test_weights_do_not_matter_to_a_key_but_steering_numbers_do():
    def graph(weight, exponent):
        init = {
            "w": Initializer(TensorType("float32", (2, 2)), value=weight),
            "e": Initializer(TensorType("float32", ()), value=np.float32(exponent)),
        }
        ops = (Op("p", "Pow", ("w", "e"), ("y",)), Op("m", "MatMul", ("y", "w"), ("z",)))
        types = {n: TensorType("float32", (2, 2)) for n in ("w", "y", "z")}
        types["e"] = TensorType("float32", ())
        return Graph("g", ops, types, (), ("z",), init)

    ones, twos = np.ones((2, 2), np.float32), np.full((2, 2), 2, np.float32)
    assert key_texts(graph(ones, 2)) == key_texts(graph(twos, 2))
    assert key_texts(graph(ones, 2)) != key_texts(graph(ones, 3))


def test_scales_of_a_resize_are_in_its_key_and_statistics_of_channels_are_not():
    g = Builder("g", opset=13)
    x = g.input("x", (1, 6, 8, 8))
    scales = g.constant([1, 1, 2, 2], "scales", "float32")
    graph = g.build(g.batch_norm(g.op("Resize", x, None, scales, mode="nearest")))
    keys = {op.op_type: key_of(op, graph) for op in graph.ops}
    assert keys["Resize"].inputs[2].value == (1.0, 1.0, 2.0, 2.0)
    assert all(operand.value is None for operand in keys["BatchNormalization"].inputs)
