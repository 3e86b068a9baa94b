"""Work of single operators against closed forms, written out by hand."""

from __future__ import annotations

import pytest

from lydite.graph import Builder, Operand, OpKey, TensorType, Work, work_of, work_of_key

F, H, I8, I64 = 4, 2, 1, 8  # bytes of an element
EXP, DIV, ROOT = 8, 4, 4


def t(*dims, dtype="float32"):
    return TensorType(dtype, dims)


def x(*dims, dtype="float32"):
    return Operand(t(*dims, dtype=dtype))


def w(*dims, dtype="float32", value=None):
    return Operand(t(*dims, dtype=dtype), const=True, value=value)


def ints(*value):
    return w(len(value), dtype="int64", value=value)


NONE = Operand(None)


def work(op, inputs, outputs, attrs=None, *, version=20, domain=""):
    found = work_of_key(OpKey(op, tuple(inputs), tuple(outputs), attrs or {}, domain, version))
    assert found is not None
    return found


MS, NCHWC = "com.microsoft", "com.microsoft.nchwc"

FLOPS = {
    "a convolution": (
        work,
        ("Conv", [x(2, 3, 224, 224), w(64, 3, 7, 7), w(64)], [t(2, 64, 112, 112)]),
        {},
        2 * 64 * 112 * 112 * (2 * 3 * 7 * 7 + 1),
    ),
    "a depthwise convolution": (
        work,
        ("Conv", [x(1, 32, 56, 56), w(32, 1, 3, 3)], [t(1, 32, 56, 56)], {"group": 32}),
        {},
        32 * 56 * 56 * 2 * 9,
    ),
    "a blocked convolution with sum and Relu": (
        work,
        (
            "Conv",
            [x(1, 64, 56, 56), w(64, 64, 1, 1), w(64), x(1, 64, 56, 56)],
            [t(1, 64, 56, 56)],
            {"activation": "Relu"},
        ),
        {"domain": NCHWC, "version": 1},
        64 * 56 * 56 * (2 * 64 + 1 + 1 + 1),
    ),
    "a blocked convolution over three channels padded to sixteen": (
        work,
        ("Conv", [x(1, 16, 8, 8), w(32, 16, 3, 3)], [t(1, 32, 6, 6)]),
        {"domain": NCHWC, "version": 1},
        32 * 6 * 6 * 2 * 16 * 9,
    ),
    "a transposed convolution": (
        work,
        ("ConvTranspose", [x(1, 16, 10, 10), w(16, 8, 2, 2), w(8)], [t(1, 8, 20, 20)]),
        {},
        2 * 16 * 10 * 10 * 8 * 4 + 8 * 20 * 20,
    ),
    "a quantised convolution": (
        work,
        (
            "QLinearConv",
            [
                x(1, 8, 6, 6, dtype="uint8"),
                w(),
                w(dtype="uint8"),
                w(4, 8, 3, 3, dtype="int8"),
                w(),
                w(dtype="int8"),
                w(),
                w(dtype="uint8"),
                w(4, dtype="int32"),
            ],
            [t(1, 4, 4, 4, dtype="uint8")],
        ),
        {},
        4 * 16 * (2 * 8 * 9 + 1 + 5),
    ),
    "a matrix product with bias": (
        work,
        ("Gemm", [x(8, 512), w(1000, 512), w(1000)], [t(8, 1000)], {"transB": 1}),
        {},
        8 * 1000 * (2 * 512 + 1),
    ),
    "a scaled transposed matrix product": (
        work,
        (
            "Gemm",
            [x(512, 8), x(512, 10), x(8, 10)],
            [t(8, 10)],
            {"transA": 1, "alpha": 0.5, "beta": 2.0},
        ),
        {},
        80 * (2 * 512 + 1 + 1 + 1),
    ),
    "a batched matrix product": (
        work,
        ("MatMul", [x(2, 12, 128, 64), x(2, 12, 64, 128)], [t(2, 12, 128, 128)]),
        {},
        2 * 2 * 12 * 128 * 128 * 64,
    ),
    "a dot product": (work, ("MatMul", [x(7), x(7)], [t()]), {}, 2 * 7),
    "a fused matrix product": (
        work,
        ("FusedMatMul", [x(3, 5, 4), x(3, 5, 6)], [t(3, 4, 6)], {"transA": 1, "alpha": 0.5}),
        {"domain": MS, "version": 1},
        3 * 4 * 6 * (2 * 5 + 1),
    ),
    "a product with four-bit weights": (
        work,
        (
            "MatMulNBits",
            [x(1, 16, 64), w(32, 2, 16, dtype="uint8"), w(64)],
            [t(1, 16, 32)],
            {"K": 64, "N": 32, "bits": 4, "block_size": 32},
        ),
        {"domain": MS, "version": 1},
        16 * 32 * 2 * 64 + 2 * 64 * 32,
    ),
    "einsum of a batched product": (
        work,
        ("Einsum", [x(2, 3, 4), x(2, 4, 5)], [t(2, 3, 5)], {"equation": "bij,bjk->bik"}),
        {},
        2 * 2 * 3 * 4 * 5,
    ),
    "einsum of an outer product": (
        work,
        ("Einsum", [x(3), x(4)], [t(3, 4)], {"equation": "i,j"}),
        {},
        12,
    ),
    "einsum that transposes": (
        work,
        ("Einsum", [x(3, 4)], [t(4, 3)], {"equation": "ij->ji"}),
        {},
        0,
    ),
    "einsum over batches that an ellipsis names": (
        work,
        ("Einsum", [x(2, 3, 4), x(2, 4, 5)], [t(2, 3, 5)], {"equation": "...ij,...jk->...ik"}),
        {},
        2 * 2 * 3 * 4 * 5,
    ),
    "einsum of three, from left to right": (
        work,
        ("Einsum", [x(2, 3), x(3, 4), x(4, 5)], [t(2, 5)], {"equation": "ij,jk,kl->il"}),
        {},
        2 * 2 * 3 * 4 + 2 * 2 * 4 * 5,
    ),
    "a determinant": (work, ("Det", [x(5, 6, 6)], [t(5)]), {}, 2 / 3 * 6 * 5 * 6 * 6),
    "addition that broadcasts": (work, ("Add", [x(2, 1, 4), x(3, 1)], [t(2, 3, 4)]), {}, 24),
    "division": (work, ("Div", [x(6), x(6)], [t(6)]), {}, 6 * DIV),
    "a sum of four": (work, ("Sum", [x(6), x(6), x(6), x(1)], [t(6)]), {}, 18),
    "a mean of two": (work, ("Mean", [x(6), x(6)], [t(6)]), {}, 6 * (1 + DIV)),
    "a square": (work, ("Pow", [x(9), w(value=(2.0,))], [t(9)]), {}, 9),
    "a power": (work, ("Pow", [x(9), x(9)], [t(9)]), {}, 9 * EXP),
    "one bound": (work, ("Clip", [x(9), w(value=(0.0,))], [t(9)]), {}, 9),
    "two bounds": (work, ("Clip", [x(9), w(value=(0.0,)), w(value=(6.0,))], [t(9)]), {}, 18),
    "gelu": (work, ("Gelu", [x(9)], [t(9)]), {}, 9 * (4 + EXP)),
    "gelu by tanh": (work, ("Gelu", [x(9)], [t(9)], {"approximate": "tanh"}), {}, 9 * (8 + EXP)),
    "sigmoid": (work, ("Sigmoid", [x(9)], [t(9)]), {}, 9 * (2 + EXP + DIV)),
    "softmax": (work, ("Softmax", [x(3, 5)], [t(3, 5)]), {}, 15 * (3 + EXP + DIV)),
    "a reduced mean": (work, ("ReduceMean", [x(4, 10), ints(1)], [t(4, 1)]), {}, 4 * 10 + 4 * DIV),
    "a norm of two": (work, ("ReduceL2", [x(4, 10), ints(1)], [t(4)]), {}, 2 * 40 + 4 * ROOT),
    "top three": (
        work,
        ("TopK", [x(10, 100), ints(3)], [t(10, 3), t(10, 3, dtype="int64")]),
        {},
        1000 * 2,
    ),
    "max pooling": (
        work,
        (
            "MaxPool",
            [x(1, 8, 12, 12)],
            [t(1, 8, 6, 6)],
            {"kernel_shape": [3, 3], "strides": [2, 2]},
        ),
        {},
        8 * 36 * 9,
    ),
    "average pooling": (
        work,
        ("AveragePool", [x(1, 8, 12, 12)], [t(1, 8, 6, 6)], {"kernel_shape": [2, 2]}),
        {},
        8 * 36 * (4 + DIV),
    ),
    "global average pooling": (
        work,
        ("GlobalAveragePool", [x(2, 8, 7, 7)], [t(2, 8, 1, 1)]),
        {},
        2 * 8 * 49 + 2 * 8 * DIV,
    ),
    "batch normalisation": (
        work,
        ("BatchNormalization", [x(2, 8, 5, 5), *[w(8)] * 4], [t(2, 8, 5, 5)]),
        {},
        2 * 2 * 8 * 25 + 8 * (4 + ROOT + DIV),
    ),
    "layer normalisation": (
        work,
        ("LayerNormalization", [x(6, 10), w(10), w(10)], [t(6, 10)]),
        {},
        60 * 7 + 6 * (ROOT + 3 * DIV + 1),
    ),
    "skip and layer normalisation": (
        work,
        ("SkipLayerNormalization", [x(6, 10), x(6, 10), w(10), w(10), w(10)], [t(6, 10)]),
        {"domain": MS, "version": 1},
        60 * (7 + 1 + 1),
    ),
    "local response normalisation": (
        work,
        ("LRN", [x(1, 8, 3, 3)], [t(1, 8, 3, 3)], {"size": 5}),
        {},
        72 * (1 + 5 + 2 + EXP + DIV),
    ),
    "an LSTM in two directions": (
        work,
        (
            "LSTM",
            [x(10, 2, 16), w(2, 128, 16), w(2, 128, 32), w(2, 256)],
            [t(10, 2, 2, 32)],
            {"direction": "bidirectional", "hidden_size": 32},
        ),
        {},
        10 * 2 * 2 * 32 * (2 * 4 * (16 + 32) + 8 + 3 * (2 + EXP + DIV) + 2 * EXP + 4),
    ),
    "a GRU without biases": (
        work,
        ("GRU", [x(10, 2, 16), w(1, 96, 16), w(1, 96, 32)], [t(10, 1, 2, 32)], {"hidden_size": 32}),
        {},
        10 * 2 * 32 * (2 * 3 * (16 + 32) + 2 * (2 + EXP + DIV) + EXP + 5),
    ),
    "attention of grouped heads": (
        work,
        ("Attention", [x(2, 8, 16, 64), x(2, 2, 24, 64), x(2, 2, 24, 32)], [t(2, 8, 16, 32)]),
        {"version": 23},
        2 * 8 * 16 * 24 * (2 * 64 + 2 * 32 + 1 + 15),
    ),
    "attention with projection": (
        work,
        ("Attention", [x(1, 128, 768), w(768, 2304), w(2304)], [t(1, 128, 768)], {"num_heads": 12}),
        {"domain": MS, "version": 1},
        128 * 2304 * (2 * 768 + 1) + 12 * 128 * 128 * (4 * 64 + 16),
    ),
    "grouped attention with a cache": (
        work,
        (
            "GroupQueryAttention",
            [x(1, 1, 512), x(1, 1, 128), x(1, 1, 128), x(1, 2, 99, 64), x(1, 2, 99, 64)],
            [t(1, 1, 512), t(1, 2, 100, 64), t(1, 2, 100, 64)],
            {"num_heads": 8, "kv_num_heads": 2, "do_rotary": 1},
        ),
        {"domain": MS, "version": 1},
        8 * 100 * (4 * 64 + 16) + 3 * (8 + 2) * 64,
    ),
    "quantising": (
        work,
        ("QuantizeLinear", [x(9), w(), w(dtype="uint8")], [t(9, dtype="uint8")]),
        {},
        9 * (DIV + 4),
    ),
    "dequantising": (work, ("DequantizeLinear", [x(9, dtype="uint8"), w()], [t(9)]), {}, 18),
    "bilinear resizing": (
        work,
        (
            "Resize",
            [x(1, 3, 8, 8), NONE, w(4, value=(1, 1, 2, 2))],
            [t(1, 3, 16, 16)],
            {"mode": "linear"},
        ),
        {},
        3 * 256 * 3 * 3,
    ),
    "a Fourier transform": (
        work,
        ("DFT", [x(4, 1024, 2), NONE, w(dtype="int64", value=(1,))], [t(4, 1024, 2)]),
        {},
        4 * 5 * 1024 * 10,
    ),
    "a linear classifier": (
        work,
        ("LinearRegressor", [x(10, 4)], [t(10, 3)], {"coefficients": [0.1] * 12, "targets": 3}),
        {"domain": "ai.onnx.ml", "version": 1},
        10 * 2 * 12 + 10 * 3,
    ),
    "a loss": (
        work,
        ("SoftmaxCrossEntropyLoss", [x(8, 10), x(8, dtype="int64")], [t()]),
        {},
        80 * (4 + EXP) + 8 * 2,
    ),
    "a gated delta net by tokens of all sequences": (
        work,
        (
            "GatedDeltaNet",
            [
                x(20, 4, 64),
                x(20, 4, 64),
                x(20, 8, 32),
                w(3, dtype="int32"),
                x(20, 8),
                x(20, 8),
                x(2, 8, 32, 64),
            ],
            [t(20, 8, 32), t(2, 8, 32, 64)],
        ),
        {"domain": MS, "version": 1},
        20 * 8 * (64 * 32 * (2 + 1 + 2 + 2) + 32 * 2 + 32),
    ),
    "a gated delta net without a state": (
        work,
        (
            "GatedDeltaNet",
            [x(2, 10, 4, 64), x(2, 10, 4, 64), x(2, 10, 8, 32)],
            [t(2, 10, 8, 32)],
            {"update_rule": "linear"},
        ),
        {"domain": MS, "version": 1},
        20 * 8 * (64 * 32 * (2 + 2) + 32),
    ),
    "a causal convolution over packed sequences": (
        work,
        (
            "VarlenCausalConvWithState",
            [x(20, 16), w(16, 1, 4), w(3, dtype="int32"), w(16), x(2, 16, 3)],
            [t(20, 16), t(2, 16, 3)],
        ),
        {"domain": MS, "version": 1},
        20 * 16 * (2 * 4 + 1),
    ),
    "a router of experts with its own projection": (
        work,
        ("MoEGroupRouter", [x(20, 256), w(8), w(8, 256)], [t(20, 8), t(20, 8)]),
        {"domain": MS, "version": 1},
        20 * 8 * (2 * 256 + 2 + EXP + DIV + 1),
    ),
    "a router that chooses two of eight experts": (
        work,
        ("MoEGroupRouter", [x(20, 8), w(8)], [t(20, 8)], {"top_k": 2}),
        {"domain": MS, "version": 1},
        20 * (8 * (2 + EXP + DIV + 1 + 1 + 1) + 2 * EXP),
    ),
}


@pytest.mark.parametrize("what", FLOPS)
def test_flops(what):
    count, args, kwargs, expected = FLOPS[what]
    assert count(*args, **kwargs).flops == pytest.approx(expected, rel=1e-12)


BYTES = {
    "everything in and out": (work("Add", [x(3, 4), x(3, 4)], [t(3, 4)]), (2 * 12 * F, 12 * F)),
    "an alias is read once": (
        work("Mul", [x(3, 4), Operand(None, same_as=0)], [t(3, 4)]),
        (12 * F, 12 * F),
    ),
    "half floats": (
        work("Relu", [x(10, dtype="float16")], [t(10, dtype="float16")]),
        (10 * H, 10 * H),
    ),
    "packed four-bit weights": (
        work("DequantizeLinear", [w(9, dtype="int4"), w()], [t(9)]),
        (5 + F, 9 * F),
    ),
    "gather reads what it takes": (
        work("Gather", [w(30522, 768), x(1, 128, dtype="int64")], [t(1, 128, 768)]),
        (128 * 768 * F + 128 * I64, 128 * 768 * F),
    ),
    "slice reads what it takes": (
        work("Slice", [x(100, 8), ints(0), ints(5)], [t(5, 8)]),
        (5 * 8 * F + 2 * I64, 5 * 8 * F),
    ),
    "a view moves nothing": (work("Reshape", [x(2, 6), ints(3, 4)], [t(3, 4)]), (0, 0)),
    "a shape moves nothing": (work("Shape", [x(2, 6)], [t(2, dtype="int64")]), (0, 0)),
    "dropout in inference is a view": (work("Dropout", [x(2, 6)], [t(2, 6)]), (0, 0)),
    "expand reads the small tensor": (
        work("Expand", [x(1, 6), ints(5, 6)], [t(5, 6)]),
        (6 * F, 30 * F),
    ),
    "a constant fill reads nothing": (
        work("ConstantOfShape", [ints(5, 6)], [t(5, 6)]),
        (0, 30 * F),
    ),
    "a transpose copies": (work("Transpose", [x(5, 6)], [t(6, 5)]), (30 * F, 30 * F)),
    "nearest upsampling reads the source once": (
        work("Resize", [x(1, 1, 4, 4), NONE, w(4, value=(1, 1, 2, 2))], [t(1, 1, 8, 8)]),
        (16 * F, 64 * F),
    ),
    "texts count as string objects": (
        work("StringNormalizer", [x(3, dtype="string")], [t(3, dtype="string")]),
        (96, 96),
    ),
    "an embedding reads a row a token": (
        work(
            "EmbedLayerNormalization",
            [
                x(1, 8, dtype="int32"),
                x(1, 8, dtype="int32"),
                w(1000, 16),
                w(512, 16),
                w(2, 16),
                w(16),
                w(16),
            ],
            [t(1, 8, 16)],
            domain=MS,
            version=1,
        ),
        (3 * 8 * 16 * F + 2 * 8 * 4 + 2 * 16 * F, 8 * 16 * F),
    ),
    "only the experts that are chosen are read": (
        work(
            "MoE",
            [x(2, 16), x(2, 8), w(8, 32, 16), NONE, w(8, 16, 32)],
            [t(2, 16)],
            {"k": 1},
            domain=MS,
            version=1,
        ),
        ((2 * 16 + 2 * 8) * F + (1 - (7 / 8) ** 2) * (8 * 32 * 16 * 2) * F, 2 * 16 * F),
    ),
    "rows of packed bytes": (
        work(
            "GatherPacked",
            [w(1000, 36, dtype="uint8"), x(2, 5, dtype="int64")],
            [t(2, 5, 64)],
            domain=MS,
            version=1,
        ),
        (10 * 36 + 10 * I64, 10 * 64 * F),
    ),
}


@pytest.mark.parametrize("what", BYTES)
def test_bytes(what):
    found, expected = BYTES[what]
    assert (found.bytes_read, found.bytes_written) == pytest.approx(expected)


def test_only_weights_are_parameters():
    conv = work("Conv", [x(1, 3, 8, 8), w(4, 3, 3, 3), w(4)], [t(1, 4, 6, 6)])
    norm = work("BatchNormalization", [x(1, 8, 2, 2), *[w(8)] * 4], [t(1, 8, 2, 2)])
    clip = work("Clip", [x(9), w(value=(0.0,)), w(value=(6.0,))], [t(9)])
    gather = work("Gather", [x(5, 6), w(2, dtype="int64")], [t(2, 6)])
    assert [k.parameters for k in (conv, norm, clip, gather)] == [4 * 27 + 4, 16, 0, 0]


def test_unknown_is_none_and_never_zero():
    operators = [
        OpKey("Relu", (x("batch", 3),), (t("batch", 3),)),
        OpKey("Relu", (Operand(TensorType("float32")),), (TensorType("float32"),)),
        OpKey("Frobnicate", (x(3),), (t(3),)),
        OpKey("Relu", (x(3),), (t(3),), {}, "example.org"),
        OpKey("Gather", (x("n", 4), x(2, dtype="int64")), (t("k", 4),)),
        OpKey("Conv", (x(1, 3, 8, 8),), (t(1, 4, 6, 6),)),
        OpKey("Gemm", (x(2, 3), w(3, 4)), (t(2, 4),), {"alpha": "two"}),
        OpKey("If", (x(dtype="bool"),), (t(3),), {"then_branch": {"graph": "00"}}),
    ]
    assert [work_of_key(key) for key in operators] == [None] * len(operators)


def test_the_key_alone_gives_the_work_of_an_operator_in_its_graph():
    g = Builder("net")
    image = g.input("image", (1, 3, 32, 32))
    graph = g.build(g.relu(g.batch_norm(g.conv(image, 8, 3, pad=1))))
    for op in graph.ops:
        from lydite.graph import key_of

        key = OpKey.parse(key_of(op, graph).text)
        assert work_of_key(key) == work_of(op, graph)


def test_work_adds_up():
    one, two = Work(1, 2, 3, 4), Work(10, 20, 30, 40)
    assert one + two == Work(11, 22, 33, 44)
    assert two.times(3) == Work(30, 60, 90, 40)
    assert two.bytes_moved == 50
    assert two.arithmetic_intensity == 10 / 50
    assert Work().arithmetic_intensity == 0


ATEN = [
    ("conv2d", [x(1, 3, 8, 8), w(4, 3, 3, 3), w(4)], t(1, 4, 6, 6), {}, 144 * (2 * 27 + 1)),
    (
        "aten.convolution.default",
        [x(1, 3, 8, 8), w(4, 3, 3, 3), NONE],
        t(1, 4, 6, 6),
        {},
        144 * 2 * 27,
    ),
    (
        "convolution",
        [x(1, 4, 5, 5), w(4, 2, 2, 2)],
        t(1, 2, 10, 10),
        {"transposed": True},
        100 * 2 * 8,
    ),
    ("addmm", [w(4), x(2, 3), w(3, 4)], t(2, 4), {}, 8 * (2 * 3 + 1)),
    ("mm", [x(2, 3), x(3, 4)], t(2, 4), {}, 8 * 2 * 3),
    ("bmm", [x(5, 2, 3), x(5, 3, 4)], t(5, 2, 4), {}, 40 * 2 * 3),
    ("linear", [x(7, 2, 3), w(4, 3), w(4)], t(7, 2, 4), {}, 56 * (2 * 3 + 1)),
    ("layer_norm", [x(6, 10), w(10), w(10)], t(6, 10), {}, 60 * 7),
    ("native_batch_norm", [x(1, 8, 5, 5), *[w(8)] * 4], t(1, 8, 5, 5), {}, 400),
    (
        "scaled_dot_product_attention",
        [x(1, 2, 6, 8), x(1, 2, 9, 8), x(1, 2, 9, 4)],
        t(1, 2, 6, 4),
        {},
        108 * (16 + 8 + 16),
    ),
    ("gelu", [x(9)], t(9), {"approximate": "tanh"}, 9 * 16),
    ("relu_", [x(9)], t(9), {}, 9),
    ("add.Tensor", [x(9), x(1)], t(9), {}, 9),
    ("_softmax", [x(3, 5)], t(3, 5), {"dim": -1}, 15 * 15),
    ("max_pool2d", [x(1, 8, 12, 12)], t(1, 8, 6, 6), {"kernel_size": [3, 3]}, 288 * 9),
    ("avg_pool2d", [x(1, 8, 12, 12)], t(1, 8, 6, 6), {"kernel_size": 2}, 288 * 8),
    ("permute", [x(3, 5)], t(5, 3), {}, 0),
    (
        "lstm",
        [x(10, 2, 16), x(1, 2, 32), x(1, 2, 32), w(128, 16), w(128, 32), w(128), w(128)],
        t(10, 2, 32),
        {},
        10 * 2 * (2 * 128 * 48 + 32 * (3 * 14 + 2 * 8 + 4)),
    ),
]


@pytest.mark.parametrize(("name", "inputs", "output", "attrs", "flops"), ATEN)
def test_aten_operators(name, inputs, output, attrs, flops):
    assert work(name, inputs, [output], attrs, domain="aten", version=1).flops == flops


def test_an_aten_view_moves_nothing_and_an_embedding_reads_its_rows():
    view = work("permute", [x(3, 5)], [t(5, 3)], domain="aten", version=1)
    rows = work("embedding", [w(1000, 8), x(4, dtype="int64")], [t(4, 8)], domain="aten", version=1)
    assert view.bytes_moved == 0
    assert rows.bytes_read == 4 * 8 * F + 4 * I64
