"""PyTorch's aten operators, as `torch.export` writes them.

Operands are the tensor arguments in schema order, with tensor lists flattened; all other arguments
are attributes under their schema names. Permuting, slicing and expanding create views, which move
no data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from lydite.graph.operators import products, split
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
    per_input,
    per_output,
)
from lydite.graph.operators.decompositions import aten as in_onnx
from lydite.graph.operators.decompositions import common, functions
from lydite.graph.operators.decompositions.call import Decomposition
from lydite.graph.operators.elementwise import FUNCTIONS, GELU_ERF, GELU_TANH, SIGMOID
from lydite.graph.operators.matmul import matmul_flops
from lydite.graph.operators.missing import ATEN, UNWRITTEN, WHOLE
from lydite.graph.operators.norm import LAYER_NORM, RMS_NORM
from lydite.graph.operators.operator import (
    ALIAS,
    BY_DECOMPOSITION,
    RECORDED,
    VECTOR,
    ZERO,
    Family,
    Operator,
)
from lydite.graph.operators.products import MatrixProduct, Products
from lydite.graph.operators.reduce import LOG_SOFTMAX, SOFTMAX


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


def _filled(_: Call) -> Cost:
    return Cost(0, read=0)


def _interpolated(taps: float) -> WorkRule:
    def rule(call: Call) -> Cost:
        return Cost((3 * (taps - 1)) * call.out_count())

    return rule


_SAME: dict[str, str] = {
    "abs": "Abs",
    "neg": "Neg",
    "sign": "Sign",
    "floor": "Floor",
    "ceil": "Ceil",
    "round": "Round",
    "relu": "Relu",
    "sqrt": "Sqrt",
    "reciprocal": "Reciprocal",
    "exp": "Exp",
    "log": "Log",
    "erf": "Erf",
    "sin": "Sin",
    "cos": "Cos",
    "tan": "Tan",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "leaky_relu": "LeakyRelu",
    "prelu": "PRelu",
    "elu": "Elu",
    "selu": "Selu",
    "celu": "Celu",
    "silu": "SiLU",
    "hardswish": "HardSwish",
    "hardsigmoid": "HardSigmoid",
    "mish": "Mish",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "logical_not": "Not",
    "bitwise_not": "Not",
    "isnan": "IsNaN",
    "isinf": "IsInf",
    "_prelu_kernel": "PRelu",
}
_EACH: dict[str, float] = {
    "add": 1,
    "sub": 1,
    "rsub": 1,
    "mul": 1,
    "div": DIVIDE,
    "remainder": DIVIDE,
    "fmod": DIVIDE,
    "maximum": 1,
    "minimum": 1,
    "clamp": 2,
    "clamp_min": 1,
    "clamp_max": 1,
    "hardtanh": 2,
    "relu6": 2,
    "rsqrt": SQRT + DIVIDE,
    "addcmul": 3,
    "addcdiv": 2 + DIVIDE,
    "lerp": 3,
    "eq": 1,
    "ne": 1,
    "lt": 1,
    "le": 1,
    "gt": 1,
    "ge": 1,
    "logical_and": 1,
    "logical_or": 1,
    "bitwise_and": 1,
    "bitwise_or": 1,
    "bitwise_xor": 1,
    "floor_divide": DIVIDE,
    "exp2": FUNCTION,
    "expm1": FUNCTION,
    "log2": FUNCTION,
    "log10": FUNCTION,
    "log1p": FUNCTION,
    "atan": FUNCTION,
    "atan2": FUNCTION + DIVIDE,
    "log_sigmoid": SIGMOID + FUNCTION,
    "where": 0,
    "masked_fill": 0,
    "clone": 0,
    "_to_copy": 0,
    "to": 0,
    "copy": 0,
    "cat": 0,
    "stack": 0,
    "contiguous": 0,
    "pad": 0,
    "constant_pad_nd": 0,
    "repeat": 0,
    "flip": 0,
    "roll": 0,
    "tril": 0,
    "triu": 0,
    "pixel_shuffle": 0,
    "type_as": 0,
    "repeat_interleave": 0,
    "tile": 0,
    "channel_shuffle": 0,
    "native_channel_shuffle": 0,
}
_VIEWS = (
    "view",
    "_unsafe_view",
    "reshape",
    "flatten",
    "unflatten",
    "squeeze",
    "unsqueeze",
    "permute",
    "transpose",
    "t",
    "expand",
    "expand_as",
    "split",
    "split_with_sizes",
    "chunk",
    "unbind",
    "select",
    "slice",
    "narrow",
    "detach",
    "alias",
    "lift_fresh_copy",
    "view_as",
    "numpy_T",
    "as_strided",
    "movedim",
    "swapaxes",
    "lift_fresh",
    "sym_size",
    "diagonal",
    "unfold",
)
_FILLED = (
    "arange",
    "full",
    "zeros",
    "ones",
    "empty",
    "full_like",
    "zeros_like",
    "ones_like",
    "empty_like",
    "new_zeros",
    "new_ones",
    "new_full",
    "scalar_tensor",
    "eye",
    "fill",
)
_REDUCED: dict[str, float] = {
    "sum": 1,
    "mean": 1,
    "amax": 1,
    "amin": 1,
    "max": 1,
    "min": 1,
    "prod": 1,
    "argmax": 1,
    "argmin": 1,
    "any": 1,
    "all": 1,
    "cumsum": 1,
    "cumprod": 1,
    "var": 4,
    "var_mean": 4,
    "std": 4,
    "norm": 2,
    "linalg_vector_norm": 2,
    "logsumexp": 3 + FUNCTION,
    "adaptive_avg_pool1d": 1,
    "adaptive_avg_pool2d": 1,
    "_adaptive_avg_pool2d": 1,
    "adaptive_avg_pool3d": 1,
    "adaptive_max_pool2d": 1,
    "softmax": SOFTMAX,
    "_softmax": SOFTMAX,
    "_safe_softmax": SOFTMAX,
    "log_softmax": LOG_SOFTMAX,
    "_log_softmax": LOG_SOFTMAX,
    "local_response_norm": 17,
}
_ATTENTIONS = (
    "scaled_dot_product_attention",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_attention_math",
)

_MOVING = frozenset(
    (
        "clone",
        "_to_copy",
        "to",
        "copy",
        "cat",
        "stack",
        "contiguous",
        "pad",
        "constant_pad_nd",
        "repeat",
        "flip",
        "roll",
        "tril",
        "triu",
        "pixel_shuffle",
        "type_as",
        "repeat_interleave",
        "tile",
        "channel_shuffle",
        "native_channel_shuffle",
    )
)
_ZERO = frozenset(
    (
        "sign",
        "floor",
        "ceil",
        "round",
        "logical_not",
        "bitwise_not",
        "isnan",
        "isinf",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "logical_and",
        "logical_or",
        "bitwise_and",
        "bitwise_or",
        "bitwise_xor",
        "floor_divide",
        "argmax",
        "argmin",
        "any",
        "all",
        "sym_size",
    )
)
_ALONG = frozenset(
    (
        "cumsum",
        "cumprod",
        "softmax",
        "_softmax",
        "_safe_softmax",
        "log_softmax",
        "_log_softmax",
    )
)
_BY_SIZE = frozenset(
    ["view", "_unsafe_view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as"]
)
_RENAMED: dict[str, Decomposition] = {
    **{
        name: common.renamed(same)
        for name, same in _SAME.items()
        if same not in ("SiLU", "HardSigmoid", "Elu", "LeakyRelu", "Celu", "Selu")
    },
    "silu": functions.swish,
    "leaky_relu": common.with_alpha("LeakyRelu", "negative_slope", 0.01),
    "elu": common.with_alpha("Elu", "alpha", 1.0),
    "gelu": common.renamed("Gelu", keep=("approximate",)),
    **{name: common.reshaped for name in _BY_SIZE},
    **{name: common.same for name in ("detach", "alias", "contiguous", "clone", "lift_fresh")},
    "add": functions.arithmetic("Add"),
    "sub": functions.arithmetic("Sub"),
    "mul": functions.arithmetic("Mul"),
    "div": functions.arithmetic("Div"),
    "maximum": common.renamed("Max"),
    "minimum": common.renamed("Min"),
    **{name: common.renamed("MatMul") for name in ("mm", "bmm", "matmul")},
    **{name: in_onnx.added_product for name in ("addmm", "baddbmm")},
    "linear": in_onnx.linear,
    "transpose": in_onnx.swapped_axes,
    "t": in_onnx.swapped_axes,
    "permute": in_onnx.permuted,
    **{name: functions.along("Softmax") for name in ("softmax", "_softmax", "_safe_softmax")},
    **{name: functions.along("LogSoftmax") for name in ("log_softmax", "_log_softmax")},
    "cat": functions.along("Concat", attribute="axis", default=0),
    **{name: in_onnx.layer_norm for name in ("layer_norm", "native_layer_norm")},
    "embedding": common.renamed("Gather"),
    **{name: functions.clamped for name in ("clamp", "clamp_min", "clamp_max", "hardtanh")},
    "relu6": common.between(0.0, 6.0),
    "selu": common.renamed("Selu"),
    "hardsigmoid": common.renamed("HardSigmoid", alpha=1 / 6, beta=0.5),
    "pow": functions.power,
    "rsqrt": common.inverse_root,
    "where": in_onnx.chosen,
    **{name: in_onnx.expanded for name in ("expand", "expand_as")},
    "select": in_onnx.picked,
    "slice": in_onnx.sliced,
    **{name: in_onnx.in_pieces for name in ("split", "split_with_sizes", "chunk")},
    "sum": in_onnx.reduced("ReduceSum"),
    "mean": in_onnx.reduced("ReduceMean"),
    "amax": in_onnx.reduced("ReduceMax"),
    "amin": in_onnx.reduced("ReduceMin"),
    **{
        name: in_onnx.averaged
        for name in (
            "adaptive_avg_pool1d",
            "adaptive_avg_pool2d",
            "_adaptive_avg_pool2d",
            "adaptive_avg_pool3d",
        )
    },
    **{
        name: in_onnx.convolution
        for name in (
            "conv1d",
            "conv2d",
            "conv3d",
            "convolution",
            "_convolution",
            "conv_transpose1d",
            "conv_transpose2d",
            "conv_transpose3d",
        )
    },
    **{f"max_pool{rank}d": in_onnx.pooled_window("MaxPool") for rank in (1, 2, 3)},
    **{f"avg_pool{rank}d": in_onnx.pooled_window("AveragePool") for rank in (1, 2, 3)},
    **{
        name: in_onnx.batch_norm
        for name in (
            "batch_norm",
            "native_batch_norm",
            "cudnn_batch_norm",
            "_native_batch_norm_legit_no_training",
            "_batch_norm_no_update",
        )
    },
    **{name: in_onnx.scaled_attention for name in _ATTENTIONS},
    "atan": common.renamed("Atan"),
    "exp2": functions.exponential(2.0),
    "expm1": functions.exponential(math.e, -1.0),
    "log2": functions.logarithm(2.0),
    "log10": functions.logarithm(10.0),
    "log1p": functions.logarithm(math.e, 1.0),
    "log_sigmoid": functions.log_sigmoid,
    "lerp": functions.interpolated,
    "addcmul": functions.added("Mul"),
    "addcdiv": functions.added("Div"),
    "rsub": functions.reversed_difference,
    "stack": in_onnx.stacked,
    **{name: in_onnx.padded for name in ("pad", "constant_pad_nd")},
    **{name: in_onnx.tiled for name in ("repeat", "tile")},
    "triu": in_onnx.triangle(1),
    "tril": in_onnx.triangle(0),
    "cumsum": in_onnx.running("CumSum"),
    "logsumexp": in_onnx.reduced("ReduceLogSumExp"),
    **{name: in_onnx.swapped_axes for name in ("swapaxes", "numpy_T")},
    **{name: common.renamed("MatMul") for name in ("mv", "dot")},
    "addmv": in_onnx.added_product,
    **{f"upsample_nearest{rank}d": in_onnx.nearest for rank in (1, 2, 3)},
    **{name: in_onnx.group_norm for name in ("group_norm", "native_group_norm")},
    "masked_fill": in_onnx.masked,
    "index_select": in_onnx.taken("Gather"),
    "gather": in_onnx.taken("GatherElements"),
    "take_along_dim": in_onnx.taken("GatherElements"),
    "celu": common.with_alpha("Celu", "alpha", 1.0),
    "copy": common.same,
    **{name: common.same for name in ("dropout", "alpha_dropout", "feature_dropout")},
    **{name: common.same for name in ("_to_copy", "to", "type_as", "lift_fresh_copy")},
}
"""Rows whose gradient follows from the decomposition into the equivalent ONNX operator."""

_family = Family(
    "aten",
    {
        "types": RECORDED,
        "gradient": UNWRITTEN,
        "split": WHOLE,
        "array": VECTOR,
        "torch": ATEN,
    },
)


def _row(name: str, work: WorkRule, **facets: Any) -> Operator:
    """A row for "aten:<name>", with the facets that the tables above list for it."""
    given: dict[str, Any] = {}
    if name in _ZERO or name in _FILLED:
        given["gradient"] = ZERO
    if name in _RENAMED:
        given |= {"gradient": BY_DECOMPOSITION, "decomposition": _RENAMED[name]}
    return _family.row(f"aten:{name}", work, **{**given, **facets})


def _rows(names: Iterable[str], work: WorkRule, **facets: Any) -> list[Operator]:
    return [_row(name, work, **facets) for name in names]


OPERATORS: tuple[Operator, ...] = (
    *(
        _row(
            name,
            per_output(FUNCTIONS[same]),
            split=split.pointwise,
            special=FUNCTIONS[same] >= DIVIDE and same != "HardSigmoid",
        )
        for name, same in _SAME.items()
    ),
    *(
        _row(
            name,
            per_output(flops),
            split=split.joined_along("dim")
            if name == "cat"
            else split.pointwise
            if name not in _MOVING
            else split.same_sizes,
            special=flops >= DIVIDE,
        )
        for name, flops in _EACH.items()
    ),
    *(
        _row(
            name,
            per_input(flops),
            split=split.along("dim", -1) if name in _ALONG else split.reduced(name == "sum"),
            special=name in _ALONG and "softmax" in name,
        )
        for name, flops in _REDUCED.items()
    ),
    *(
        _row(
            name,
            lambda _: VIEW,
            array=ALIAS,
            aliases=True,
            split=split.reordered if name in _BY_SIZE else split.same_sizes,
        )
        for name in _VIEWS
    ),
    *_rows(_FILLED, _filled, split=split.source),
    *_rows(_ATTENTIONS, _attention, array=products.attention(past=None), split=split.heads),
    *_rows(
        ("conv1d", "conv2d", "conv3d", "convolution", "_convolution"), _conv, array=_conv_products
    ),
    *_rows(
        ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
        _conv_transpose,
        array=products.spread(),
    ),
    *_rows(
        ("addmm", "baddbmm", "addmv"), _added_product, array=products.matmul(1, 2), operands=(1, 2)
    ),
    *_rows(
        ("mm", "bmm", "matmul", "mv", "dot"),
        _product,
        array=products.matmul(),
        split=split.matmul,
    ),
    _row("linear", _linear, array=products.linear, split=split.linear),
    *_rows(
        ("layer_norm", "native_layer_norm"),
        _normalise(LAYER_NORM - 2),
        special=True,
        split=split.last_axis,
    ),
    *_rows(
        ("group_norm", "native_group_norm", "instance_norm"),
        _normalise(LAYER_NORM - 2),
        special=True,
        split=split.rows_alone,
    ),
    *_rows(
        ("rms_norm", "_fused_rms_norm"),
        _normalise(RMS_NORM - 1),
        special=True,
        split=split.last_axis,
    ),
    *_rows(
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
    _row("gelu", _gelu, special=True, split=split.pointwise),
    _row("pow", _power, special=True, split=split.pointwise),
    *_rows(
        ("dropout", "native_dropout", "alpha_dropout", "feature_dropout"),
        _dropout,
        split=split.pointwise,
    ),
    _row("embedding", _embedding, split=split.embedding),
    *_rows(("index", "index_select", "gather", "take_along_dim"), _taken),
    *_rows(
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
    *_rows(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _window(1, DIVIDE), split=split.windows),
    _row("lstm", _recurrent(4), array=_recurrent_products),
    _row("gru", _recurrent(3), array=_recurrent_products),
    *_rows(("rnn_tanh", "rnn_relu"), _recurrent(1), array=_recurrent_products),
    *_rows(
        ("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d"),
        _interpolated(1),
        split=split.rows_alone,
    ),
    *_rows(
        ("upsample_bilinear2d", "_upsample_bilinear2d_aa"),
        _interpolated(4),
        split=split.rows_alone,
    ),
    _row("upsample_linear1d", _interpolated(2), split=split.rows_alone),
    _row("upsample_bicubic2d", _interpolated(16), split=split.rows_alone),
)
