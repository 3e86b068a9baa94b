"""Gradients of the training graph, run on PyTorch, against PyTorch's autograd of the same net."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")

import onnxruntime as ort  # noqa: E402
from training_oracle import compare  # noqa: E402

from lydite.backends.base import Settings  # noqa: E402
from lydite.backends.torch import TorchBackend, _Net  # noqa: E402
from lydite.graph import Builder, key_of, model_to_proto  # noqa: E402
from lydite.graph.training import training_step  # noqa: E402
from lydite.models import build_model  # noqa: E402

NETS = [
    ("alexnet", {"image_size": 63}),
    ("resnet50", {"batch": 2, "image_size": 64}),
    ("mobilenetv2", {"batch": 2, "image_size": 64}),
    ("inceptionv3", {"batch": 2, "image_size": 75}),
    ("bert-base", {"batch": 2, "sequence": 8}),
]


@pytest.mark.parametrize(("name", "sizes"), NETS, ids=[name for name, _ in NETS])
def test_whole_nets(name, sizes):
    compare(build_model(name, **sizes))


def test_recomputation_changes_no_number():
    compare(build_model("resnet50", batch=2, image_size=64), recompute=5)


def image(g, *shape):
    return g.conv(g.input("x", shape or (2, 3, 9, 9)), 4, 3, pad=1, name="first")


def rows(g, *shape):
    return g.linear(g.input("x", shape or (3, 5)), 6, name="first")


def function(op_type, **attrs):
    return lambda g: g.op(op_type, rows(g), **attrs)


def two(op_type):
    """Both operands are computed, and one is repeated along an axis."""
    return lambda g: g.op(op_type, rows(g, 4, 3, 5), g.op("Exp", g.weight((3, 1), "other")))


def recurrent(op_type, gates, direction, **attrs):
    def build(g):
        x = g.op("Tanh", rows(g, 5, 2, 3))
        n = 2 if direction == "bidirectional" else 1
        weights = [
            g.weight((n, gates * 4, 6), "w"),
            g.weight((n, gates * 4, 4), "r"),
            g.weight((n, 2 * gates * 4), "b"),
        ]
        names = ("h", "c") if gates == 4 else ("h",)
        states = [g.weight((n, 2, 4), name) for name in names if direction != "forward"]
        found = g.ops(
            op_type,
            x,
            *weights,
            None,
            *states,
            outputs=3 if gates == 4 else 2,
            hidden_size=4,
            direction=direction,
            **attrs,
        )
        return [found[0], *found[1:]]

    return build


def attention(flat, kv, **attrs):
    def build(g):
        if flat:
            x = rows(g, 2, 7, 5)
            q, k, v = (g.linear(x, n * 8, name="qkv") for n in (4, kv, kv))
            return g.op("Attention", q, k, v, q_num_heads=4, kv_num_heads=kv, **attrs)
        q = g.linear(g.input("q", (2, 4, 7, 8)), 8, name="q")
        k = g.linear(g.input("k", (2, kv, 7, 8)), 8, name="k")
        return g.op("Attention", q, k, g.op("Tanh", k), g.input("mask", (7, 7)), **attrs)

    return build


def rotary(g):
    x = g.linear(g.input("x", (2, 6, 5)), 16, name="first")
    cos, sin = g.input("cos", (2, 6, 2)), g.input("sin", (2, 6, 2))
    return g.op("RotaryEmbedding", x, cos, sin, num_heads=4)


def chosen(g):
    x = rows(g)
    low = g.op("Less", x, g.constant(0.0, "zero", "float32"))
    return g.op("Where", low, x, g.weight((6,), "other"))


def sliced(g):
    x = image(g)
    starts, ends, axes, steps = ([1, -8], [9, 8], [2, 3], [2, 1])
    return g.op("Slice", x, *(g.constant(v) for v in (starts, ends, axes, steps)))


def split(g):
    parts = g.ops("Split", image(g), g.constant([1, 2, 1]), axis=1, outputs=3)
    return g.concat([parts[2], g.op("Sigmoid", parts[0])], 1)  # the second is never read


def group_norm(g):
    return g.op(
        "GroupNormalization", image(g), g.weight((4,), "s"), g.weight((4,), "b"), num_groups=2
    )


def resized(mode, coordinates, *factors):
    def build(g):
        scales = g.constant([1.0, 1.0, *factors], "scales", "float32")
        return g.op(
            "Resize",
            image(g),
            None,
            scales,
            mode=mode,
            coordinate_transformation_mode=coordinates,
            **({"nearest_mode": "floor"} if mode == "nearest" else {}),
        )

    return build


LAYERS = {
    **{
        name: function(name)
        for name in (
            "Relu",
            "Sigmoid",
            "Tanh",
            "Exp",
            "Gelu",
            "LeakyRelu",
            "Elu",
            "Selu",
            "HardSigmoid",
            "HardSwish",
            "Softplus",
            "Softsign",
            "Mish",
            "Erf",
            "Abs",
            "Sin",
            "Cos",
            "Neg",
            "Identity",
            "Softmax",
            "LogSoftmax",
            "ReduceL1",
            "ReduceL2",
            "ReduceLogSumExp",
            "ReduceMax",
            "ReduceMean",
            "ReduceProd",
            "ReduceSum",
            "ReduceSumSquare",
            "Swish",
        )
    },
    "Gelu tanh": function("Gelu", approximate="tanh"),
    "Softmax axis 0": function("Softmax", axis=0),
    **{name: two(name) for name in ("Add", "Sub", "Mul", "Div", "Max", "Min")},
    "ReduceLogSum": lambda g: g.op("ReduceLogSum", g.op("Exp", rows(g)), keepdims=0),
    "ReduceL2, one axis": lambda g: g.op("ReduceL2", rows(g), g.constant([1]), keepdims=0),
    "Log": lambda g: g.op("Log", g.op("Exp", rows(g))),
    "Sqrt": lambda g: g.op("Sqrt", g.op("Exp", rows(g))),
    "Reciprocal": lambda g: g.op("Reciprocal", g.op("Exp", rows(g))),
    "Pow 2": lambda g: g.op("Pow", rows(g), g.constant(2.0, "p", "float32")),
    "Pow 3": lambda g: g.op("Pow", rows(g), g.constant(3.0, "p", "float32")),
    "PRelu": lambda g: g.op("PRelu", image(g), g.weight((4, 1, 1), "slope")),
    "Clip": lambda g: g.clip(rows(g), -0.2, 0.3),
    "Where": chosen,
    "Gemm, both transposed": lambda g: g.op(
        "Gemm",
        rows(g),
        g.weight((4, 3), "w"),
        g.weight((6, 1), "c"),
        transA=1,
        transB=1,
        alpha=0.5,
        beta=2.0,
    ),
    "Gemm, plain": lambda g: g.op("Gemm", rows(g), g.weight((6, 4), "w")),
    "MatMul of batches": lambda g: g.op(
        "MatMul", rows(g, 2, 3, 5), g.op("Tanh", g.weight((1, 6, 4)))
    ),
    "Einsum": lambda g: g.op(
        "Einsum", rows(g, 2, 3, 5), g.weight((2, 6, 4)), equation="bij,bjk->bik"
    ),
    "Conv, strided": lambda g: g.conv(image(g), 6, 3, stride=2, pad=1),
    "Conv, uneven padding": lambda g: g.conv(image(g), 6, 3, pad=(0, 1, 2, 0)),
    "Conv, same": lambda g: g.conv(image(g), 6, 2, stride=2, pad="same"),
    "Conv, dilated groups": lambda g: g.conv(image(g), 8, 3, dilation=2, group=2),
    "Conv, one axis": lambda g: g.conv(g.conv(g.input("x", (2, 3, 9)), 4, 3), 5, 3),
    "ConvTranspose": lambda g: g.op(
        "ConvTranspose", image(g), g.weight((4, 5, 2, 2), "w"), g.weight((5,), "b"), strides=[2, 2]
    ),
    "MaxPool": lambda g: g.pool("Max", image(g), 3, stride=2, pad=1),
    "AveragePool": lambda g: g.pool("Average", image(g), 3, stride=2, pad=1),
    "AveragePool, padding counted": lambda g: g.pool(
        "Average", image(g), 3, stride=1, pad=1, count_include_pad=1
    ),
    "GlobalAveragePool": lambda g: g.global_average_pool(image(g)),
    "GlobalMaxPool": lambda g: g.op("GlobalMaxPool", image(g)),
    "BatchNormalization": lambda g: g.batch_norm(image(g)),
    "LayerNormalization": lambda g: g.layer_norm(rows(g)),
    "LayerNormalization without bias": lambda g: g.op(
        "LayerNormalization", rows(g), g.weight((6,), "s")
    ),
    "RMSNormalization": lambda g: g.op("RMSNormalization", rows(g, 2, 3, 5), g.weight((6,), "s")),
    "GroupNormalization": group_norm,
    "InstanceNormalization": lambda g: g.op(
        "InstanceNormalization", image(g), g.weight((4,), "s"), g.weight((4,), "b")
    ),
    "LRN": lambda g: g.op("LRN", image(g), size=3, alpha=0.1),
    "Reshape": lambda g: g.reshape(rows(g), [2, 9]),
    "Transpose": lambda g: g.transpose(image(g), (0, 2, 3, 1)),
    "Unsqueeze": lambda g: g.op("Unsqueeze", rows(g), g.constant([1])),
    "Slice": sliced,
    "Split": split,
    "Pad": lambda g: g.op("Pad", image(g), g.constant([0, 0, 1, 2, 0, 0, 0, 1])),
    "Pad, cut off": lambda g: g.op("Pad", image(g), g.constant([0, 0, 1, -2, 0, 0, -3, 1])),
    "Expand": lambda g: g.op("Expand", g.op("Exp", g.weight((3, 1))), g.constant([2, 3, 4])),
    "Tile": lambda g: g.op("Tile", rows(g), g.constant([2, 3])),
    "Gather rows": lambda g: g.op(
        "Gather", g.weight((7, 4), "table"), g.constant([[1, 2], [6, 1]])
    ),
    "Gather one": lambda g: g.op("Gather", rows(g, 2, 3, 5), g.constant(1), axis=1),
    "Gather columns": lambda g: g.op("Gather", rows(g), g.constant([0, 5, 0]), axis=1),
    "Resize, nearest": resized("nearest", "asymmetric", 2.0, 2.0),
    "Resize, linear": resized("linear", "half_pixel", 2.0, 1.0),
    "DepthToSpace": lambda g: g.op("DepthToSpace", image(g), blocksize=2),
    "Cast": lambda g: g.op("Cast", rows(g), to=11),
    **{
        f"{cell} {direction}": recurrent(cell, gates, direction, **attrs)
        for cell, gates, attrs in (
            ("RNN", 1, {}),
            ("GRU", 3, {"linear_before_reset": 1}),
            ("LSTM", 4, {}),
        )
        for direction in ("forward", "reverse", "bidirectional")
    },
    "Attention, causal": attention(True, 4, is_causal=1),
    "Attention, grouped": attention(True, 2, is_causal=1),
    "Attention, masked, four axes": attention(False, 4, scale=0.3),
    "RotaryEmbedding": rotary,
}


@pytest.mark.parametrize("name", LAYERS)
def test_one_layer(name):
    g = Builder(name, opset=24)
    found = LAYERS[name](g)
    outputs = found if isinstance(found, list) else [found]
    compare(g.build(*outputs), loss="mean_square")


@pytest.mark.parametrize("shape", [(3, 5), (2, 4, 5), (2, 5, 3, 3)])
def test_cross_entropy(shape):
    g = Builder("scores")
    x = g.input("x", shape)
    y = g.conv(x, 5, 1) if len(shape) == 4 else g.linear(x, 5)
    compare(g.build(y), loss="cross_entropy")


@pytest.mark.parametrize("name", LAYERS)
def test_the_forward_operators_compute_what_onnxruntime_does(name):
    """What autograd differentiates above is ONNX's operator, not a relative of it."""
    g = Builder(name, opset=24)
    found = LAYERS[name](g)
    graph = g.build(*(found if isinstance(found, list) else [found]))
    torch.manual_seed(0)
    drawn = {
        weight: init if init.has_data else replace(init, value=some(init, weight))
        for weight, init in graph.initializers.items()
    }
    graph = replace(graph, initializers=drawn)
    net = _Net(graph, Settings())
    feeds = [torch.randn_like(x) if x.is_floating_point() else x for x in net.feeds]
    session = ort.InferenceSession(model_to_proto(graph).SerializeToString())
    given = {name: x.numpy() for name, x in zip(graph.inputs, feeds, strict=True)}
    for ours, theirs in zip(net(*feeds), session.run(None, given), strict=True):
        assert ours.shape == theirs.shape
        assert np.abs(ours.numpy() - theirs).max() <= 1e-4 * (np.abs(theirs).max() + 1e-6)


def some(init, name):
    drawn = 0.4 * torch.randn([int(size) for size in init.type.shape])
    return (drawn.abs() if name.endswith("var") else drawn).numpy()


MEASURED = {
    "resnet50": {"image_size": 64},
    "bert-base": {"sequence": 8},
    "lstm": {"sequence": 5},
    "gpt2": {"sequence": 8, "phase": "forward"},
}


@pytest.mark.parametrize("name", MEASURED)
def test_every_operator_of_a_step_runs_by_its_key(name):
    step = training_step(build_model(name, **MEASURED[name]), optimizer="adam")
    firsts = {}
    for op in step.graph.ops:
        firsts.setdefault(op.qualified_type, op)
    for op in firsts.values():
        key = key_of(op, step.graph)
        prepared = TorchBackend().prepare_op(key, Settings(), 2)
        prepared.run()
        prepared.close()
