"""TensorFlow's GraphDef in text form: a training step written by hand, and what is refused."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lydite.errors import InputError, LyditeError
from lydite.graph import keys_of, total_work, work_of
from lydite.graph.formats.pbtxt import Name, format_pbtxt, parse_pbtxt
from lydite.graph.formats.tensorflow_attrs import attr_of
from lydite.graph.formats.tensorflow_reader import (
    graph_of_graphdef,
    read_graphdef,
    untranslated,
)

TYPES = {"float32": "DT_FLOAT", "int32": "DT_INT32", "int64": "DT_INT64"}


def shape(dims):
    return ("shape", [("dim", [("size", dim)]) for dim in dims])


def value(given):
    if isinstance(given, bool):
        return [("b", Name(str(given).lower()))]
    if isinstance(given, int):
        return [("i", given)]
    if isinstance(given, float):
        return [("f", given)]
    if isinstance(given, Name):
        return [("type", given)]
    if isinstance(given, str):
        return [("s", given)]
    if isinstance(given, np.ndarray):
        field = "int_val" if given.dtype == np.int32 else "float_val"
        dims = [("dim", [("size", dim)]) for dim in given.shape]
        numbers = [(field, number) for number in given.ravel().tolist()]
        dtype = ("dtype", Name(TYPES[given.dtype.name]))
        return [("tensor", [dtype, ("tensor_shape", dims), *numbers])]
    if isinstance(given, tuple):
        return [shape(given)]
    return [("list", [("i", number) for number in given])]


def node(name, op, *inputs, **attrs):
    fields = [("name", name), ("op", op), *(("input", i) for i in inputs)]
    attrs.setdefault("T", Name("DT_FLOAT"))
    return (
        "node",
        [*fields, *(("attr", [("key", k), ("value", value(v))]) for k, v in attrs.items())],
    )


def const(name, numbers):
    array = np.array(numbers, np.int32)
    return node(name, "Const", dtype=Name("DT_INT32"), value=array)


FLOAT = Name("DT_FLOAT")
WINDOW = {"strides": [1, 2, 2, 1], "padding": "SAME", "data_format": "NHWC"}
STEP = [
    node("x", "Placeholder", dtype=FLOAT, shape=(8, 32, 32, 3)),
    node("w", "VariableV2", dtype=FLOAT, shape=(5, 5, 3, 64)),
    node("b", "VariableV2", dtype=FLOAT, shape=(64,)),
    node("w/read", "Identity", "w"),
    node("conv", "Conv2D", "x", "w/read", **WINDOW),
    node("bias", "BiasAdd", "conv", "b"),
    node("relu", "Relu", "bias"),
    node("pool", "MaxPool", "relu", ksize=[1, 3, 3, 1], strides=[1, 2, 2, 1], padding="VALID"),
    const("flat", [-1, 7 * 7 * 64]),
    node("reshape", "Reshape", "pool", "flat"),
    node("v", "VariableV2", dtype=FLOAT, shape=(3136, 10)),
    node("dense", "MatMul", "reshape", "v", transpose_a=False, transpose_b=False),
    node("back", "MatMul", "dense", "v", transpose_a=False, transpose_b=True),
    node("pool_shape", "Shape", "pool", out_type=Name("DT_INT32")),
    const("sizes", [8, 7, 7, 64]),
    node("back4", "Reshape", "back", "sizes"),
    node(
        "pool_grad",
        "MaxPoolGrad",
        "relu",
        "pool",
        "back4",
        ksize=[1, 3, 3, 1],
        strides=[1, 2, 2, 1],
        padding="VALID",
    ),
    node("relu_grad", "ReluGrad", "pool_grad", "relu"),
    node("bias_grad", "BiasAddGrad", "relu_grad"),
    const("w_sizes", [5, 5, 3, 64]),
    node("w_grad", "Conv2DBackpropFilter", "x", "w_sizes", "relu_grad", **WINDOW),
    const("x_sizes", [8, 32, 32, 3]),
    node("x_grad", "Conv2DBackpropInput", "x_sizes", "w/read", "relu_grad", **WINDOW),
    node("rate", "Const", dtype=FLOAT, value=np.array(0.5, np.float32)),
    node("Allreduce_w", "Allreduce", "w_grad"),
    node("update", "ApplyGradientDescent", "w", "rate", "Allreduce_w", "^x_grad", "^bias_grad"),
    node("train", "NoOp", "^update"),
]


def graph_of(nodes, **rest):
    return graph_of_graphdef(parse_pbtxt(format_pbtxt(nodes), "step.pbtxt"), **rest)


def test_a_training_step_is_typed_without_stated_shapes():
    graph = graph_of(STEP, strict=True)
    assert graph.inputs == ("x",)
    assert {
        n: str(graph.type_of(n))
        for n in (
            "conv",
            "bias",
            "pool",
            "reshape",
            "dense",
            "back",
            "pool_shape",
            "back4",
            "pool_grad",
            "bias_grad",
            "w_grad",
            "x_grad",
            "update",
        )
    } == {
        "conv": "float32[8,16,16,64]",
        "bias": "float32[8,16,16,64]",
        "pool": "float32[8,7,7,64]",
        "reshape": "float32[8,3136]",
        "dense": "float32[8,10]",
        "back": "float32[8,3136]",
        "pool_shape": "int32[4]",
        "back4": "float32[8,7,7,64]",
        "pool_grad": "float32[8,16,16,64]",
        "bias_grad": "float32[64]",
        "w_grad": "float32[5,5,3,64]",
        "x_grad": "float32[8,32,32,3]",
        "update": "float32[5,5,3,64]",
    }
    weights = [init.type for init in graph.initializers.values() if not init.has_data]
    assert sum(type_.numel for type_ in weights) == 5 * 5 * 3 * 64 + 64 + 31360


def test_operators_are_onnx_where_they_are_the_same():
    graph = graph_of(STEP)
    types = {op.name: op.qualified_type for op in graph.ops}
    assert types["bias"] == "Add"
    assert types["dense"] == "MatMul"
    assert types["back"] == "Gemm"
    assert types["conv"] == "tensorflow:Conv2D"
    conv = next(op for op in graph.ops if op.name == "conv")
    assert conv.attrs["strides"] == (1, 2, 2, 1)
    assert conv.attrs["padding"] == "SAME"
    # every key can be made, and a convolution is the same wherever it stands
    assert set(keys_of(graph)) == {op.name for op in graph.ops if op.name not in ("train",)} | {
        "train"
    }


def test_control_inputs_are_kept():
    graph = graph_of(STEP)
    ops = {op.name: op for op in graph.ops}
    assert ops["train"].attrs["control"] == ("update",)
    assert ops["update.wait"].attrs["control"] == ("x_grad", "bias_grad")
    assert ops["update"].inputs == ("update.wait", "rate", "Allreduce_w")


def test_the_work_of_a_convolution_and_its_gradients_is_the_same():
    graph = graph_of(STEP)
    ops = {op.name: op for op in graph.ops}
    flops = 2 * 5 * 5 * 3 * 8 * 16 * 16 * 64
    for name in ("conv", "w_grad", "x_grad"):
        assert work_of(ops[name], graph).flops == flops
    assert work_of(ops["x_grad"], graph).bytes_read == 4 * (5 * 5 * 3 * 64 + 8 * 16 * 16 * 64)
    assert total_work(graph).unknown == ("Allreduce_w",)


def test_stated_shapes_are_taken():
    text = format_pbtxt(
        [
            node("x", "Placeholder", dtype=FLOAT),
            node("new", "SomethingNew", "x"),
        ]
    )
    stated = 'attr { key: "_output_shapes" value { list { shape { dim { size: -1 } dim { size: 3 } } shape { unknown_rank: true } } } } }'  # noqa: E501
    text = text.rstrip().removesuffix("}") + stated
    graph = graph_of_graphdef(parse_pbtxt(text, "x.pbtxt"))
    assert str(graph.type_of("new")) == "float32[new.0,3]"
    assert str(graph.type_of("new:1")) == "float32[*]"
    assert graph.outputs == ("new", "new:1")


def test_what_nobody_translates_is_listed(tmp_path):
    path = tmp_path / "x.pbtxt"
    path.write_text(format_pbtxt([*STEP[:2], node("odd", "SomethingNew", "x")]))
    found = untranslated(path)
    assert [(item.name, item.op_type) for item in found] == [("odd", "SomethingNew")]
    assert path.read_text().splitlines()[found[0].line - 1] == "node {"
    assert read_graphdef(path).producers["odd"].qualified_type == "tensorflow:SomethingNew"
    with pytest.raises(InputError, match=r"no translation for odd \(SomethingNew, line \d+\)"):
        read_graphdef(path, strict=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type: DT_HALF", "float16"),
        ("type: DT_RESOURCE", "DT_RESOURCE"),
        ("i: -3", -3),
        ("f: 0.5", 0.5),
        ("b: true", True),
        ('s: "NHWC"', "NHWC"),
        ("shape { dim { size: 2 } dim { size: -1 } }", (2, -1)),
        ("shape { unknown_rank: true }", "unknown"),
        ("list { i: 1 i: 2 }", (1, 2)),
        ('list { s: "a" s: "b" }', ("a", "b")),
        ("list { type: DT_INT32 }", ("int32",)),
        ("list { shape { dim { size: 1 } } }", ((1,),)),
        ("list { }", ()),
        ('func { name: "f" }', "func { name: f }"),
        ('placeholder: "T"', "placeholder: T"),
    ],
)
def test_attributes_are_decoded_and_unknown_ones_kept_as_text(text, expected):
    assert attr_of(parse_pbtxt(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dtype: DT_INT32 tensor_shape { dim { size: 2 } } int_val: 3 int_val: 4", [3, 4]),
        ("dtype: DT_FLOAT tensor_shape { dim { size: 3 } } float_val: 0.5", [0.5] * 3),
        (
            "dtype: DT_INT32 tensor_shape { dim { size: 2 } } "
            'tensor_content: "\\005\\000\\000\\000@\\000\\000\\000"',
            [5, 64],
        ),
        ("dtype: DT_HALF tensor_shape { dim { size: 1 } } half_val: 15360", [1.0]),
        ("dtype: DT_BOOL tensor_shape { dim { size: 2 } } bool_val: true bool_val: false", [1, 0]),
    ],
)
def test_tensors_are_decoded(text, expected):
    np.testing.assert_array_equal(attr_of(parse_pbtxt(f"tensor {{ {text} }}")), expected)


def test_a_repeated_value_takes_no_memory():
    text = "tensor { dtype: DT_FLOAT tensor_shape { dim { size: 1099511627775 } } float_val: 2 }"
    found = attr_of(parse_pbtxt(text))
    assert found.shape == (1099511627775,)
    assert found[-1] == 2


def test_an_operator_without_its_inputs_stays_tensorflows():
    graph = graph_of([node("x", "Identity"), node("y", "MatMul", "x")])
    assert {op.qualified_type for op in graph.ops} == {"tensorflow:Identity", "tensorflow:MatMul"}
    assert graph.type_of("x").shape is None


def test_impossible_sizes_are_unknown():
    nodes = [
        node("x", "Placeholder", dtype=FLOAT, shape=(1, 2, 2, 3)),
        node("w", "VariableV2", dtype=FLOAT, shape=(5, 5, 3, 4)),
        node("y", "Conv2D", "x", "w", strides=[1, 1, 1, 1], padding="VALID"),
        const("axis", 0),
        node("z", "Split", "axis", "x", num_split=10**9),
    ]
    graph = graph_of(nodes)
    assert graph.type_of("y").shape is graph.type_of("z").shape is None


REFUSED = [
    ([node("a", "Relu", "b")], r"line 1: a \(Relu\): unknown input 'b'"),
    ([node("a", "Relu", "a")], "wait for each other in a cycle"),
    ([node("a", "NoOp", "^b"), node("b", "NoOp", "^a")], "'a', 'b'.* in a cycle|'b', 'a'"),
    ([STEP[0], STEP[0]], "there is already a node 'x'"),
    ([STEP[0], node("a", "Relu", "x:1")], "reads output 1 of 'x', which has only 1"),
    ([STEP[0], node("a", "Relu", "x:y")], "has the invalid input 'x:y'"),
    (
        [
            STEP[0],
            node("v", "VariableV2", dtype=FLOAT, shape=(7, 7)),
            node("a", "MatMul", "x", "v"),
        ],
        r"a \(MatMul\): ",
    ),
    ([("node", [("name", "a")])], "a node needs a name and an op"),
    ([("versions", [("producer", 1)])], "not a GraphDef"),
]


@pytest.mark.parametrize(("nodes", "message"), REFUSED)
def test_files_that_contradict_themselves(nodes, message):
    with pytest.raises(InputError, match=message):
        graph_of(nodes)


TEXT = format_pbtxt(STEP[:12])


@settings(max_examples=150)
@given(st.data())
def test_a_damaged_file_gives_a_graph_or_one_of_our_errors(data):
    at = data.draw(st.integers(0, len(TEXT) - 1))
    length = data.draw(st.integers(0, 30))
    patch = data.draw(
        st.sampled_from(
            [
                "",
                "0",
                "-7",
                "9" * 30,
                "}",
                "{",
                '"',
                "DT_INT64",
                "i: 0",
                "size: 0",
                '"conv"',
                "NCHW",
            ]
        )
    )
    damaged = TEXT[:at] + patch + TEXT[at + length :]
    with contextlib.suppress(LyditeError):
        graph_of_graphdef(parse_pbtxt(damaged))
