"""Operators found only in files of other systems: SMAUG, TensorFlow and AISim.

The gradient of a product takes as many multiply-adds as the product for the data, and again for
the weights. The cost of exchanging gradients depends on the number of participants and has no rule.
"""

from __future__ import annotations

import math

from lydite.graph.operators import products, split
from lydite.graph.operators.call import (
    DIVIDE,
    FUNCTION,
    SQRT,
    VIEW,
    Call,
    Cost,
    NotKnownError,
    WorkRule,
    per_input,
    per_output,
)
from lydite.graph.operators.decompositions import common
from lydite.graph.operators.decompositions import tensorflow as in_onnx_images
from lydite.graph.operators.decompositions.call import Decomposition
from lydite.graph.operators.missing import NEVER_RUN, OTHER_GRAPHS, SECOND_ORDER, no_array
from lydite.graph.operators.operator import ALIAS, RECORDED, VECTOR, ZERO, Family, Operator
from lydite.graph.operators.products import MatrixProduct, ProductRule, Products
from lydite.graph.operators.reduce import SOFTMAX
from lydite.graph.operators.split import SplitRule
from lydite.graph.operators.typing.contrib import like

_BATCH_NORM_TRAINED = 9
"""FLOPs per element: mean (1), variance (3), normalisation, scale and shift (5)."""

_BATCH_NORM_GRADIENT = 11
"""FLOPs per element: two sums (3), normalisation again (2), the gradient from them (6)."""


def _tf_conv(call: Call) -> Cost:
    """Filters are [rows, columns, channels, multiplier or filters]."""
    rows, columns, channels, _ = call.shape(1)
    taps = rows * columns * (1 if call.op_type.startswith("Depthwise") else channels)
    return Cost(2 * taps * call.out_count())


def _tf_conv_data(call: Call) -> Cost:
    """Data gradient, from the inputs [input sizes, filters, dy]."""
    rows, columns, channels, _ = call.shape(1)
    taps = rows * columns * (1 if call.op_type.startswith("Depthwise") else channels)
    return Cost(2 * taps * call.count(2), call.bytes_of(1, 2))


def _tf_conv_filter(call: Call) -> Cost:
    """Filter gradient, from the inputs [x, filter sizes, dy]."""
    rows, columns, channels, _ = call.out_shape()
    taps = rows * columns * (1 if call.op_type.startswith("Depthwise") else channels)
    return Cost(2 * taps * call.count(2), call.bytes_of(0, 2))


def _data_products(call: Call) -> Products:
    """Gradient of the data: each pixel of dy contributes to one window."""
    rows, columns, channels, filters = call.shape(1)
    pixels = math.prod(call.shape(2)[:-1])
    if call.op_type.startswith("Depthwise"):
        return Products((MatrixProduct(pixels, filters, rows * columns, channels),), inside=False)
    return Products((MatrixProduct(pixels, filters, rows * columns * channels),), inside=False)


def _filter_products(call: Call) -> Products:
    """Gradient of the filters: summed over batch and pixels."""
    rows, columns, channels, filters = call.out_shape()
    pixels = math.prod(call.shape(2)[:-1])
    if call.op_type.startswith("Depthwise"):
        return Products((MatrixProduct(filters, pixels, rows * columns, channels),), inside=False)
    return Products((MatrixProduct(filters, pixels, rows * columns * channels),), inside=False)


def _tf_pool(each: float, last: float) -> WorkRule:
    def rule(call: Call) -> Cost:
        return Cost((each * math.prod(call.integers("ksize")) + last) * call.out_count())

    return rule


def _updated(each: float) -> WorkRule:
    """A variable updated in place."""

    def rule(call: Call) -> Cost:
        return Cost(each * call.count(0))

    return rule


def _moved(_: Call) -> Cost:
    return Cost(0)


def _filled(_: Call) -> Cost:
    return Cost(0, read=0)


def _conv_gradient(call: Call) -> Cost:
    """Inputs dy, and gradients of the data [N, C, ...], weights [M, C / groups, ...] and bias."""
    outs = [call.out_shape(i) for i in range(len(call.outs))]
    weights = [dims for dims in outs[1:] if len(dims) == len(outs[0]) > 2]
    if not weights:
        raise NotKnownError
    return Cost(2 * 2 * math.prod(weights[0][1:]) * call.count(0))


def _product_gradient(call: Call) -> Cost:
    """Input dy [rows, columns]; the outputs include the gradients of the two factors."""
    rows, columns = call.shape(0)[-2:]
    batch = math.prod(call.shape(0)[:-2])
    flops = 0.0
    for index in range(len(call.outs)):
        dims = call.out_shape(index)
        if len(dims) < 2:
            flops += call.count(0)  # a bias gradient: the sum over the rows
        else:
            inner = math.prod(dims) // batch // (rows if rows in dims[-2:] else columns)
            flops += 2 * batch * rows * columns * inner
    return Cost(flops)


_TF_VIEWS = (
    "Reshape",
    "Squeeze",
    "ExpandDims",
    "Shape",
    "NoOp",
    "Enter",
    "Exit",
    "Wait",
    "PreventGradient",
)
_TF_COPIES = (
    "ZerosLike",
    "OnesLike",
    "Assign",
    "Pad",
    "PadV2",
    "Tile",
    "Split",
    "Pack",
    "ConcatV2",
    "Transpose",
)
_TENSORFLOW: dict[str, WorkRule] = {
    **dict.fromkeys(_TF_VIEWS, lambda _: VIEW),
    **dict.fromkeys(_TF_COPIES, _moved),
    **dict.fromkeys(("Conv2D", "DepthwiseConv2dNative"), _tf_conv),
    **dict.fromkeys(("Conv2DBackpropInput", "DepthwiseConv2dNativeBackpropInput"), _tf_conv_data),
    **dict.fromkeys(
        ("Conv2DBackpropFilter", "DepthwiseConv2dNativeBackpropFilter"), _tf_conv_filter
    ),
    "MaxPool": _tf_pool(1, 0),
    "AvgPool": _tf_pool(1, DIVIDE),
    "MaxPoolGrad": lambda call: Cost(call.count(2)),
    "AvgPoolGrad": lambda call: Cost((math.prod(call.integers("ksize")) + DIVIDE) * call.count(1)),
    **dict.fromkeys(("ReluGrad", "BiasAdd", "Square", "Relu6Grad"), per_output(1)),
    **dict.fromkeys(("Relu6", "LeakyRelu"), per_output(2)),
    **dict.fromkeys(("TanhGrad", "SigmoidGrad"), per_output(3)),
    "Rsqrt": per_output(SQRT + DIVIDE),
    **dict.fromkeys(("BiasAddGrad", "Mean", "Sum", "Max", "Min", "Prod"), per_input(1)),
    "L2Loss": per_input(2),
    "AddN": lambda call: Cost((len(call.ins) - 1) * call.out_count()),
    **dict.fromkeys(
        ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), per_input(_BATCH_NORM_TRAINED)
    ),
    **dict.fromkeys(
        ("FusedBatchNormGrad", "FusedBatchNormGradV2", "FusedBatchNormGradV3"),
        per_input(_BATCH_NORM_GRADIENT),
    ),
    **dict.fromkeys(
        ("SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits"),
        per_input(SOFTMAX + FUNCTION + 3),
    ),
    "ApplyGradientDescent": _updated(2),
    "ApplyMomentum": _updated(4),
    "ResourceApplyMomentum": _updated(4),
    "ApplyAdam": _updated(10 + SQRT + DIVIDE),
    "AssignAdd": _updated(1),
    "AssignSub": _updated(1),
    "Fill": _filled,
}

_GRADIENTS: dict[str, WorkRule] = {
    **dict.fromkeys(
        ("CudnnConvolutionBackward0", "ConvolutionBackward0", "MkldnnConvolutionBackward0"),
        _conv_gradient,
    ),
    **dict.fromkeys(("AddmmBackward0", "MmBackward0", "BmmBackward0"), _product_gradient),
    **dict.fromkeys(
        ("CudnnBatchNormBackward0", "NativeBatchNormBackward0"), per_input(_BATCH_NORM_GRADIENT)
    ),
    **dict.fromkeys(("ReluBackward0", "MulBackward0", "DivBackward0"), per_input(1)),
    **dict.fromkeys(
        (
            "AddBackward0",
            "ViewBackward0",
            "ReshapeAliasBackward0",
            "TBackward0",
            "PermuteBackward0",
            "TransposeBackward0",
            "Wait",
            "size",
            "ddp_pre",
        ),
        lambda _: VIEW,
    ),
    "AccumulateGrad": per_input(1),
}


def _family(name: str) -> Family:
    return Family(
        name,
        {
            "types": RECORDED,
            "gradient": SECOND_ORDER,
            "split": OTHER_GRAPHS,
            "array": VECTOR,
            "torch": NEVER_RUN,
        },
    )


_PRODUCTS: dict[str, ProductRule] = {
    **dict.fromkeys(("Conv2D", "DepthwiseConv2dNative"), products.filters_last),
    **dict.fromkeys(("Conv2DBackpropInput", "DepthwiseConv2dNativeBackpropInput"), _data_products),
    **dict.fromkeys(
        ("Conv2DBackpropFilter", "DepthwiseConv2dNativeBackpropFilter"), _filter_products
    ),
}
_OPERANDS = {
    **dict.fromkeys(("Conv2DBackpropInput", "DepthwiseConv2dNativeBackpropInput"), (2, 1)),
    **dict.fromkeys(("Conv2DBackpropFilter", "DepthwiseConv2dNativeBackpropFilter"), (2, 0)),
}
_SPLITS: dict[str, SplitRule] = {
    **dict.fromkeys(
        (
            "ReluGrad",
            "BiasAdd",
            "Square",
            "Relu6Grad",
            "Relu6",
            "LeakyRelu",
            "TanhGrad",
            "SigmoidGrad",
            "Rsqrt",
            "AddN",
            "ZerosLike",
            "OnesLike",
            "Assign",
            "AssignAdd",
            "AssignSub",
            "ApplyGradientDescent",
            "ApplyMomentum",
            "ResourceApplyMomentum",
            "ApplyAdam",
        ),
        split.pointwise,
    ),
    **dict.fromkeys(("Enter", "Exit", "Wait", "PreventGradient", "NoOp"), split.same_sizes),
    **dict.fromkeys(("MaxPool", "AvgPool"), split.rows_alone),
    "Fill": split.source,
    "Shape": split.source,
}
_DECOMPOSITIONS: dict[str, Decomposition] = {
    **dict.fromkeys(("Reshape", "Squeeze", "ExpandDims"), common.reshaped),
    **dict.fromkeys(("Enter", "Exit", "PreventGradient"), common.same),
    "Square": common.square,
    "Rsqrt": common.inverse_root,
    "Relu6": common.between(0.0, 6.0),
    "LeakyRelu": common.with_alpha("LeakyRelu", "alpha", 0.2),
    "AddN": common.renamed("Sum"),
    "BiasAdd": common.renamed("Add"),
    "Wait": common.same,
    "Conv2D": in_onnx_images.images("Conv"),
    "MaxPool": in_onnx_images.images("MaxPool"),
    "AvgPool": in_onnx_images.images("AveragePool"),
    **{
        name: in_onnx_images.over_axes(f"Reduce{name}")
        for name in ("Mean", "Sum", "Max", "Min", "Prod")
    },
}
_FREE = ("Shape", "NoOp", "ZerosLike", "OnesLike", "Fill")
"""Operators whose outputs do not depend on any weight."""
_ELEMENTWISE = (
    "ReluBackward0",
    "MulBackward0",
    "DivBackward0",
    "AddBackward0",
    "AccumulateGrad",
)
_UNSAID = no_array("its types do not tell which output is the gradient of which input")
_tensorflow, _aisim = _family("tensorflow"), _family("aisim")

OPERATORS: tuple[Operator, ...] = (
    # SMAUG passes tensors on by name
    *_family("smaug").rows(
        ("smaug:Switch", "smaug:Merge"),
        lambda _: VIEW,
        array=ALIAS,
        types=like(0),
        split=split.pointwise,
    ),
    *(
        _tensorflow.row(
            f"tensorflow:{name}",
            work,
            array=_PRODUCTS.get(name, ALIAS if name in _TF_VIEWS else VECTOR),
            operands=_OPERANDS.get(name, (0, 1)),
            split=_SPLITS.get(name, OTHER_GRAPHS),
            decomposition=_DECOMPOSITIONS.get(name),
            gradient=ZERO if name in _FREE else SECOND_ORDER,
            **({"types": like(0)} if name == "Wait" else {}),
        )
        for name, work in _TENSORFLOW.items()
    ),
    *(
        _aisim.row(
            f"aisim:{name}",
            work,
            array=_UNSAID if work in (_conv_gradient, _product_gradient) else VECTOR,
            split=split.pointwise if name in _ELEMENTWISE else OTHER_GRAPHS,
            **({"types": like(0)} if name == "Wait" else {}),
        )
        for name, work in _GRADIENTS.items()
    ),
)
