"""PyTorch's aten operators, as `torch.export` writes them.

Operands are the tensor arguments in schema order, with tensor lists flattened; all other arguments
are attributes under their schema names. Permuting, slicing and expanding create views, which move
no data.
"""

from __future__ import annotations

import math

from lydite.graph.operators import aten_elementwise, products, split, split_heads, split_products
from lydite.graph.operators.aten_rows import ATTENTIONS, row, rows
from lydite.graph.operators.attention import scores_flops
from lydite.graph.operators.call import (
    DIVIDE,
    FUNCTION,
    SQRT,
    VIEW,
    Call,
    Cost,
    NotKnownError,
    WorkRule,
    at,
)
from lydite.graph.operators.elementwise import GELU_ERF, GELU_TANH, SIGMOID
from lydite.graph.operators.matmul import matmul_flops
from lydite.graph.operators.norm import LAYER_NORM, RMS_NORM
from lydite.graph.operators.operator import (
    Operator,
)
from lydite.graph.operators.products import MatrixProduct, Products


def plain_name(name: str) -> str:
    """Name without overload and in-place suffix: "add_.Tensor" and "aten.add.Scalar" are "add"."""
    bare = name.removeprefix("aten.").partition(".")[0]
    return bare.rstrip("_") if not bare.endswith("__") else bare


def _conv(call: Call) -> Cost:
    taps = math.prod(call.shape(1)[1:])
    products = call.count(0) if call.attrs.get("transposed") else call.out_count()
    return Cost(2 * taps * products + call.has(2) * call.out_count())


def _conv_transpose(call: Call) -> Cost:
    taps = math.prod(call.shape(1)[1:])
    return Cost(2 * taps * call.count(0) + call.has(2) * call.out_count())


def _linear(call: Call) -> Cost:
    return Cost(matmul_flops(call) + call.has(2) * call.out_count())


def _product(call: Call) -> Cost:
    return Cost(matmul_flops(call))


def _added_product(call: Call) -> Cost:
    """addmm and baddbmm: beta * first + alpha * second @ third."""
    scaled = sum(call.number(name, 1) != 1 for name in ("alpha", "beta"))
    return Cost(matmul_flops(call, 1) + (1 + scaled) * call.out_count())


def _attention(call: Call) -> Cost:
    """Query, key, value [..., heads, length, head size]; a mask adds one FLOP per score."""
    query, key, value = call.shape(0), call.shape(1), call.shape(2)
    pairs = math.prod(query[:-1]) * at(key, -2)
    return Cost(scores_flops(pairs, query[-1], value[-1], call.has(3)))


def _embedding(call: Call) -> Cost:
    written = call.all_outputs()
    return Cost(0, written + call.bytes_of(1), written)


def _taken(call: Call) -> Cost:
    written = call.all_outputs()
    return Cost(0, written + call.bytes_of(*range(1, len(call.ins))), written)


def _window(each: float, last: float) -> WorkRule:
    def rule(call: Call) -> Cost:
        dims = len(call.out_shape()) - 2
        kernel = call.integers("kernel_size")
        volume = math.prod(kernel) if len(kernel) > 1 else kernel[0] ** dims
        return Cost((each * volume + last) * call.out_count())

    return rule


def _normalise(each: float) -> WorkRule:
    """Work of a normalisation; scale and shift, if given, add one FLOP per element each."""

    def rule(call: Call) -> Cost:
        return Cost((each + call.has(1) + call.has(2)) * call.count(0))

    return rule


def _gelu(call: Call) -> Cost:
    tanh = call.text("approximate", "none") == "tanh"
    return Cost((GELU_TANH if tanh else GELU_ERF) * call.out_count())


def _power(call: Call) -> Cost:
    simple = {2: 1, 3: 2, 0.5: SQRT, -1: DIVIDE, -0.5: SQRT + DIVIDE}
    exponent = call.attrs.get("exponent")
    each = simple.get(exponent, FUNCTION) if isinstance(exponent, int | float) else FUNCTION
    return Cost(each * call.out_count())


def _recurrent(gates: int) -> WorkRule:
    """Work of a recurrent layer: each weight matrix is multiplied once per step and sample."""

    def rule(call: Call) -> Cost:
        places = math.prod(call.shape(0)[:-1])
        matrices = [call.shape(i) for i in range(1, len(call.ins)) if call.has(i)]
        matrices = [dims for dims in matrices if len(dims) == 2]
        if not matrices:
            raise NotKnownError
        functions = (SIGMOID * (gates - 1) + 2 * FUNCTION + gates) / 2
        each = sum(2 * math.prod(dims) + functions * dims[0] / gates for dims in matrices)
        return Cost(places * each)

    return rule


def _conv_products(call: Call) -> Products:
    """Products of a convolution, transposed or not."""
    rule = products.spread() if call.attrs.get("transposed") else products.conv()
    return rule(call)


def _recurrent_products(call: Call) -> Products:
    """One product per weight matrix, with a row for every step and sample."""
    places = math.prod(call.shape(0)[:-1])
    matrices = [call.shape(i) for i in range(1, len(call.ins)) if call.has(i)]
    products = [MatrixProduct(places, dims[1], dims[0]) for dims in matrices if len(dims) == 2]
    if not products:
        raise NotKnownError
    return Products(
        tuple(products), special_elements=places * sum(product.n for product in products)
    )


def _dropout(call: Call) -> Cost:
    return Cost(2 * call.out_count()) if call.attrs.get("train") else VIEW


def _batch_norm(call: Call) -> Cost:
    """In training mode, the batch's mean and variance are computed first."""
    training = call.attrs.get("training") or call.attrs.get("train")
    return Cost((6 if training else 2) * call.count(0))


def _interpolated(taps: float) -> WorkRule:
    def rule(call: Call) -> Cost:
        return Cost((3 * (taps - 1)) * call.out_count())

    return rule


OPERATORS: tuple[Operator, ...] = (
    *aten_elementwise.OPERATORS,
    *rows(ATTENTIONS, _attention, array=products.attention(past=None), split=split_heads.heads),
    *rows(
        ("conv1d", "conv2d", "conv3d", "convolution", "_convolution"), _conv, array=_conv_products
    ),
    *rows(
        ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
        _conv_transpose,
        array=products.spread(),
    ),
    *rows(
        ("addmm", "baddbmm", "addmv"), _added_product, array=products.matmul(1, 2), operands=(1, 2)
    ),
    *rows(
        ("mm", "bmm", "matmul", "mv", "dot"),
        _product,
        array=products.matmul(),
        split=split_products.matmul,
    ),
    row("linear", _linear, array=products.linear, split=split_products.linear),
    *rows(
        ("layer_norm", "native_layer_norm"),
        _normalise(LAYER_NORM - 2),
        special=True,
        split=split.last_axis,
    ),
    *rows(
        ("group_norm", "native_group_norm", "instance_norm"),
        _normalise(LAYER_NORM - 2),
        special=True,
        split=split.rows_alone,
    ),
    *rows(
        ("rms_norm", "_fused_rms_norm"),
        _normalise(RMS_NORM - 1),
        special=True,
        split=split.last_axis,
    ),
    *rows(
        (
            "batch_norm",
            "native_batch_norm",
            "cudnn_batch_norm",
            "_native_batch_norm_legit_no_training",
            "_batch_norm_no_update",
        ),
        _batch_norm,
        split=split.per_channel,
        fixed_inputs=(3, 5),
    ),
    row("gelu", _gelu, special=True, split=split.pointwise),
    row("pow", _power, special=True, split=split.pointwise),
    *rows(
        ("dropout", "native_dropout", "alpha_dropout", "feature_dropout"),
        _dropout,
        split=split.pointwise,
    ),
    row("embedding", _embedding, split=split_products.embedding),
    *rows(("index", "index_select", "gather", "take_along_dim"), _taken),
    *rows(
        (
            "max_pool1d",
            "max_pool2d",
            "max_pool3d",
            "max_pool2d_with_indices",
            "max_pool3d_with_indices",
        ),
        _window(1, 0),
        split=split.windows,
    ),
    *rows(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _window(1, DIVIDE), split=split.windows),
    row("lstm", _recurrent(4), array=_recurrent_products),
    row("gru", _recurrent(3), array=_recurrent_products),
    *rows(("rnn_tanh", "rnn_relu"), _recurrent(1), array=_recurrent_products),
    *rows(
        ("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d"),
        _interpolated(1),
        split=split.rows_alone,
    ),
    *rows(
        ("upsample_bilinear2d", "_upsample_bilinear2d_aa"),
        _interpolated(4),
        split=split.rows_alone,
    ),
    row("upsample_linear1d", _interpolated(2), split=split.rows_alone),
    row("upsample_bicubic2d", _interpolated(16), split=split.rows_alone),
)
