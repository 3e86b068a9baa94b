"""The tables of work rules: complete, without doubles, calm about operators without sense."""

from __future__ import annotations

import itertools
from collections import Counter
from importlib.metadata import EntryPoint, EntryPoints

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import lydite.graph.operators as table
from lydite.errors import InputError
from lydite.graph import (
    Operand,
    OpKey,
    TensorType,
    Work,
    bind_dims,
    graph_from_model,
    key_of,
    total_work,
    work_of,
    work_of_key,
)
from lydite.graph.operators import TABLES, Cost, Family, Missing, operator, operators
from lydite.graph.operators.missing import usual
from lydite.graph.operators.typing.contrib import like
from lydite.graph.work import products_of_key

FUSED_BY_ONNXRUNTIME = (
    "FusedConv",
    "FusedGemm",
    "FusedMatMul",
    "Attention",
    "MultiHeadAttention",
    "GroupQueryAttention",
    "QAttention",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
    "EmbedLayerNormalization",
    "BiasGelu",
    "Gelu",
    "FastGelu",
    "QuickGelu",
    "QLinearAdd",
    "QLinearMul",
    "QLinearAveragePool",
    "QLinearGlobalAveragePool",
    "QLinearConcat",
    "QLinearSigmoid",
    "QLinearLeakyRelu",
    "QLinearSoftmax",
    "QLinearWhere",
    "QGemm",
    "MatMulNBits",
    "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul",
    "DynamicQuantizeLSTM",
    "QuantizeLinear",
    "DequantizeLinear",
    "RotaryEmbedding",
    "BiasSoftmax",
    "NhwcMaxPool",
)
BLOCKED = (
    "Conv",
    "MaxPool",
    "AveragePool",
    "GlobalMaxPool",
    "GlobalAveragePool",
    "ReorderInput",
    "ReorderOutput",
    "Upsample",
)


def names_of_the_standard():
    schemas = onnx.defs.get_all_schemas()
    return sorted({f"{s.domain}:{s.name}" if s.domain else s.name for s in schemas})


@pytest.mark.parametrize("name", names_of_the_standard())
def test_every_operator_of_the_standard_has_a_row(name):
    assert operator(name) is not None


def test_few_are_declared_unknown_and_each_says_why():
    unknown = {row.name: row.work for row in operators().values() if isinstance(row.work, Missing)}
    assert len([name for name in unknown if not name.startswith("com.microsoft:")]) <= 4
    assert len(unknown) <= 14
    assert all(len(missing.reason.split()) >= 4 for missing in unknown.values())


@pytest.mark.parametrize("name", FUSED_BY_ONNXRUNTIME)
def test_fused_operators_of_onnx_runtime_have_rules(name):
    row = operator(f"com.microsoft:{name}")
    assert row is not None
    assert not isinstance(row.work, Missing)


@pytest.mark.parametrize("name", BLOCKED)
def test_blocked_operators_of_onnx_runtime_have_rules(name):
    row = operator(f"com.microsoft.nchwc:{name}")
    assert row is not None
    assert not isinstance(row.work, Missing)


def test_no_operator_stands_in_two_tables():
    counts = Counter(row.name for table in TABLES for row in table.OPERATORS)
    assert [name for name, count in counts.items() if count > 1] == []


def test_overloads_and_in_place_forms_share_an_aten_rule():
    forms = ["add", "add_", "add.Tensor", "aten.add_.Scalar", "aten.add.out"]
    assert len({operator(f"aten:{form}").name for form in forms}) == 1
    assert operator("aten:no_such_operator") is None


DIMS = st.lists(st.integers(0, 5), max_size=4).map(tuple)
TYPES = st.builds(
    TensorType,
    st.sampled_from(["float32", "int64", "uint8", "string", "bool", "seq(float32)", "int4"]),
    st.none() | DIMS,
)
OPERANDS = st.builds(
    Operand,
    st.none() | TYPES,
    st.booleans(),
    st.none() | st.lists(st.integers(-2, 5), max_size=4).map(tuple),
)
ATTRS = st.dictionaries(
    st.sampled_from(
        [
            "axis",
            "kernel_shape",
            "group",
            "alpha",
            "num_heads",
            "equation",
            "mode",
            "K",
            "hidden_size",
            "activation",
            "transA",
            "p",
            "size",
            "bits",
            "kernel_size",
        ]
    ),
    st.integers(-3, 9)
    | st.floats(-2, 2)
    | st.lists(st.integers(-2, 4), max_size=4)
    | st.sampled_from(["linear", "ij,jk->ik", "..., b->", "NONE", ""]),
    max_size=3,
)


@settings(max_examples=15)
@given(
    inputs=st.lists(OPERANDS, max_size=5).map(tuple),
    outputs=st.lists(TYPES, max_size=2).map(tuple),
    attrs=ATTRS,
    version=st.integers(1, 25),
)
def test_nonsense_is_unknown_but_never_a_crash(inputs, outputs, attrs, version):
    for name in operators():
        domain, _, op_type = name.rpartition(":")
        work = work_of_key(OpKey(op_type, inputs, outputs, attrs, domain, version))
        products_of_key(OpKey(op_type, inputs, outputs, attrs, domain, version))
        if work is not None:
            assert work.flops >= 0
            assert min(work.bytes_read, work.bytes_written, work.parameters) >= 0


def value(name, shape, dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def model(nodes, inputs, outputs, initializers=(), functions=(), opsets=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    imports = [helper.make_opsetid("", 20), *opsets]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=10)


def number(name, array):
    return onnx.numpy_helper.from_array(np.asarray(array), name)


def branch(op_type, count):
    nodes, last = [], "x"
    for step in range(count):
        nodes.append(helper.make_node(op_type, [last], [f"{op_type}{step}"]))
        last = f"{op_type}{step}"
    return helper.make_graph(nodes, op_type, [], [value(last, [4])])


def if_model(initializers=()):
    node = helper.make_node(
        "If", ["c"], ["y"], then_branch=branch("Relu", 2), else_branch=branch("Neg", 5)
    )
    condition = [] if initializers else [value("c", [], TensorProto.BOOL)]
    return model([node], [*condition, value("x", [4])], [value("y", [4])], initializers)


def test_an_if_costs_its_dearer_branch():
    graph = graph_from_model(if_model())
    work = work_of(graph.ops[0], graph)
    assert (work.flops, work.bytes_read, work.bytes_written) == (20, 5 * 16, 5 * 16)


@pytest.mark.parametrize(("condition", "flops"), [(True, 8), (False, 20)])
def test_an_if_on_a_constant_costs_the_branch_that_it_takes(condition, flops):
    graph = graph_from_model(if_model([number("c", condition)]))
    assert work_of(graph.ops[0], graph).flops == flops


def loop_model(trips):
    body = helper.make_graph(
        [
            helper.make_node("Add", ["carried", "step"], ["next"]),
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Neg", ["next"], ["scan"]),
        ],
        "body",
        [
            value("i", [], TensorProto.INT64),
            value("go", [], TensorProto.BOOL),
            value("carried", None),
        ],
        [value("on", [], TensorProto.BOOL), value("next", None), value("scan", None)],
    )
    node = helper.make_node("Loop", ["m", "", "x"], ["last", "all"], body=body)
    inputs = [value("x", [4]), value("step", [4])]
    known = [number("m", np.array(trips, np.int64))] if trips is not None else []
    unknown = [] if known else [value("m", [], TensorProto.INT64)]
    return model([node], [*inputs, *unknown], [value("last", None), value("all", None)], known)


def test_a_loop_costs_its_body_as_often_as_it_runs():
    graph = graph_from_model(loop_model(7))
    assert work_of(graph.ops[0], graph).flops == 7 * 8
    assert [str(graph.type_of(name)) for name in ("last", "all")] == ["float32[4]", "float32[7,4]"]


def test_a_loop_of_unknown_length_is_unknown():
    graph = graph_from_model(loop_model(None))
    assert work_of(graph.ops[0], graph) is None
    assert total_work(graph).unknown == (graph.ops[0].name,)


def test_what_a_loop_makes_longer_has_an_open_size():
    body = helper.make_graph(
        [
            helper.make_node("Concat", ["v", "v"], ["vv"], axis=0),
            helper.make_node("Identity", ["go"], ["on"]),
        ],
        "body",
        [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("v", None)],
        [value("on", [], TensorProto.BOOL), value("vv", None)],
    )
    node = helper.make_node("Loop", ["m", "", "x"], ["y"], body=body)
    graph = graph_from_model(
        model([node], [value("x", [4])], [value("y", None)], [number("m", np.array(3))])
    )
    assert str(graph.type_of("y")) == "float32[?]"
    assert work_of(graph.ops[0], graph) is None


def scan_model(steps):
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "slice"], ["t"]), helper.make_node("Neg", ["t"], ["o"])],
        "body",
        [value("s", [3]), value("slice", [3])],
        [value("t", [3]), value("o", [3])],
    )
    node = helper.make_node(
        "Scan", ["s0", "x"], ["s1", "y"], body=body, num_scan_inputs=1, scan_input_axes=[1]
    )
    return model(
        [node], [value("s0", [3]), value("x", [3, steps])], [value("s1", [3]), value("y", None)]
    )


def test_a_scan_costs_its_body_once_a_slice():
    graph = graph_from_model(scan_model(9))
    assert work_of(graph.ops[0], graph).flops == 9 * 6
    assert str(graph.type_of("y")) == "float32[9,3]"


def test_binding_a_size_types_bodies_anew():
    graph = graph_from_model(scan_model("n"))
    assert total_work(graph).unknown == (graph.ops[0].name,)
    assert total_work(bind_dims(graph, {"n": 5})).total.flops == 5 * 6


def function_model():
    double = helper.make_function(
        "own",
        "Twice",
        ["a"],
        ["c"],
        [helper.make_node("Add", ["a", "a"], ["b"]), helper.make_node("Relu", ["b"], ["c"])],
        [helper.make_opsetid("", 20)],
    )
    nodes = [
        helper.make_node("Twice", ["x"], ["y"], domain="own"),
        helper.make_node("Twice", ["y"], ["z"], domain="own"),
    ]
    own = [helper.make_opsetid("own", 1)]
    return model(nodes, [value("x", ["n", 3])], [value("z", None)], (), [double], own)


def test_a_models_own_function_costs_what_it_is_made_of():
    graph = bind_dims(graph_from_model(function_model()), {"n": 5})
    assert str(graph.type_of("z")) == "float32[5,3]"
    works = [work_of(op, graph) for op in graph.ops]
    assert [work.flops for work in works] == [30, 30]
    assert works[0].bytes_read == 60 * 2


def test_functions_of_one_name_and_different_bodies_have_different_keys():
    first = function_model()
    second = onnx.ModelProto()
    second.CopyFrom(first)
    second.functions[0].node[1].op_type = "Sigmoid"
    graphs = [graph_from_model(m, dims={"n": 5}) for m in (first, second)]
    keys = [key_of(graph.ops[0], graph) for graph in graphs]
    assert keys[0] != keys[1]


def test_work_is_summed_by_type_and_shared_weights_count_once():
    nodes = [helper.make_node("MatMul", [a, "w"], [b]) for a, b in itertools.pairwise("xyz")]
    shared = number("w", np.ones((4, 4), np.float32))
    graph = graph_from_model(model(nodes, [value("x", [2, 4])], [value("z", [2, 4])], [shared]))
    found = total_work(graph)
    assert found.total.parameters == 16
    assert found.by_type["MatMul"].parameters == 32
    assert found.total.flops == found.by_type["MatMul"].flops == 2 * 2 * 2 * 4 * 4
    assert found.unknown == ()


def test_flex_attention_adds_the_work_of_its_own_functions():
    body = helper.make_graph(
        [helper.make_node("Tanh", ["scores"], ["out"])],
        "mod",
        [value("scores", ["B", "H", "L", "S"])],
        [value("out", ["B", "H", "L", "S"])],
    )
    domain = "ai.onnx.preview"
    works = []
    for attrs in ({}, {"score_mod": body}):
        node = helper.make_node("FlexAttention", ["q", "k", "v"], ["y"], domain=domain, **attrs)
        inputs = [value(name, [1, 2, 6, 8]) for name in "qkv"]
        graph = graph_from_model(
            model([node], inputs, [value("y", None)], opsets=[helper.make_opsetid(domain, 1)])
        )
        works.append(work_of(graph.ops[0], graph))
    assert works[1].flops - works[0].flops == 2 * 6 * 6 * 8
    assert works[1].bytes_moved == works[0].bytes_moved


TRIPLE = [
    Family("mine", usual(types=like(0))).row(
        "example.org:Triple", lambda call: Cost(3 * call.out_count())
    )
]


def test_a_package_adds_operators(monkeypatch):
    node = helper.make_node("Triple", ["x"], ["y"], domain="example.org")
    opset = helper.make_opsetid("example.org", 1)
    made = model([node], [value("x", [2, 5])], [value("y", [2, 5])], opsets=[opset])
    with pytest.raises(InputError, match="unknown operator domain"):
        graph_from_model(made)
    entry = EntryPoint("mine", f"{__name__}:TRIPLE", "lydite.operators")
    monkeypatch.setattr(table, "entry_points", lambda **q: EntryPoints([entry]).select(**q))
    operators.cache_clear()
    try:
        assert total_work(graph_from_model(made)).total == Work(30, 40, 40, 0)
    finally:
        operators.cache_clear()
