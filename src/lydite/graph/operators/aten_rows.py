"""What rows of PyTorch's aten operators have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from lydite.graph.operators.call import (
    WorkRule,
)
from lydite.graph.operators.decompositions import aten as in_onnx
from lydite.graph.operators.decompositions import common, functions
from lydite.graph.operators.decompositions.call import Decomposition
from lydite.graph.operators.missing import ATEN, UNWRITTEN, WHOLE
from lydite.graph.operators.operator import (
    BY_DECOMPOSITION,
    RECORDED,
    VECTOR,
    ZERO,
    Family,
    Operator,
)

SAME: dict[str, str] = {
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
BY_SIZE = frozenset(
    ["view", "_unsafe_view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as"]
)
ATTENTIONS = (
    "scaled_dot_product_attention",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_attention_math",
)
FILLED = (
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
RENAMED: dict[str, Decomposition] = {
    **{
        name: common.renamed(same)
        for name, same in SAME.items()
        if same not in ("SiLU", "HardSigmoid", "Elu", "LeakyRelu", "Celu", "Selu")
    },
    "silu": functions.swish,
    "leaky_relu": common.with_alpha("LeakyRelu", "negative_slope", 0.01),
    "elu": common.with_alpha("Elu", "alpha", 1.0),
    "gelu": common.renamed("Gelu", keep=("approximate",)),
    **{name: common.reshaped for name in BY_SIZE},
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
    **{name: in_onnx.scaled_attention for name in ATTENTIONS},
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


def row(name: str, work: WorkRule, **facets: Any) -> Operator:
    """A row for "aten:<name>", with the facets that the tables above list for it."""
    given: dict[str, Any] = {}
    if name in _ZERO or name in FILLED:
        given["gradient"] = ZERO
    if name in RENAMED:
        given |= {"gradient": BY_DECOMPOSITION, "decomposition": RENAMED[name]}
    return _family.row(f"aten:{name}", work, **{**given, **facets})


def rows(names: Iterable[str], work: WorkRule, **facets: Any) -> list[Operator]:
    """A row for each name, all with the same work."""
    return [row(name, work, **facets) for name in names]
