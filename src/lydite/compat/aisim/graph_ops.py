"""PyTorch's modules and functions, as AISim names them, in ONNX's or aten's vocabulary."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from lydite.errors import GraphError
from lydite.graph import Attr
from lydite.opkey import TensorType
from lydite.records import dataclass


@dataclass(frozen=True)
class ModuleCall:
    """What the file says of a module's call."""

    op: str
    inputs: Sequence[TensorType]
    outputs: Sequence[TensorType]
    weight: TensorType | None
    bias: TensorType | None
    attrs: Mapping[str, Any]

    def pair(self, name: str, default: int | None = None) -> list[int]:
        """An attribute for rows and columns, given once or for each.

        Raises:
            GraphError: missing, or no numbers.
        """
        value = self.attrs.get(name, default)
        pair = [value, value] if isinstance(value, int) else value
        if (
            not isinstance(pair, list)
            or not all(isinstance(n, int) for n in pair)
            or len(pair) != 2
        ):
            raise GraphError(f"{name} is {value!r}", allowed="a number, or two")
        return pair

    def number(self, name: str, default: float) -> float:
        """A numeric attribute."""
        value = self.attrs.get(name, default)
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise GraphError(f"{name} is {value!r}", allowed="a number")
        return float(value)


ModuleOperator: TypeAlias = "tuple[str, dict[str, Attr], Mapping[str, TensorType]] | None"
Module: TypeAlias = Callable[[ModuleCall], ModuleOperator]
"""The ONNX operator, its attributes and its weights in order; None if it is not the same."""


def _weights(call: ModuleCall) -> dict[str, TensorType]:
    found = {"weight": call.weight, "bias": call.bias}
    return {name: type_ for name, type_ in found.items() if type_ is not None}


def _simple(op_type: str, **attrs: Attr) -> Module:
    return lambda call: (op_type, dict(attrs), {}) if len(call.inputs) == 1 else None


def _conv(call: ModuleCall) -> ModuleOperator:
    if call.weight is None or isinstance(call.attrs.get("padding"), str):
        return None
    filters, groups = tuple(call.weight.shape or ()), int(call.number("groups", 1))
    channels = tuple(call.inputs[0].shape or ())[1:2] if call.inputs else ()
    if len(filters) != 4 or channels != (int(filters[1]) * groups,):
        raise GraphError(f"filters {call.weight} in {groups} groups do not fit {call.inputs[:1]}")
    padding = call.pair("padding", 0)
    attrs: dict[str, Attr] = {
        "kernel_shape": filters[2:],
        "strides": tuple(call.pair("stride", 1)),
        "dilations": tuple(call.pair("dilation", 1)),
        "group": groups,
    }
    if any(padding):
        attrs["pads"] = tuple(padding * 2)
    return "Conv", attrs, _weights(call)


def _pool(op_type: str) -> Module:
    def rule(call: ModuleCall) -> ModuleOperator:
        kernel = call.pair("kernel_size")
        stride = call.attrs.get("stride")
        attrs: dict[str, Attr] = {
            "kernel_shape": tuple(kernel),
            "pads": tuple(call.pair("padding", 0) * 2),
            "strides": tuple(kernel if stride is None else call.pair("stride")),
            "ceil_mode": int(call.number("ceil_mode", 0)),
        }
        if op_type == "MaxPool":
            attrs["dilations"] = tuple(call.pair("dilation", 1))
        else:
            attrs["count_include_pad"] = int(call.number("count_include_pad", 1))
        return op_type, attrs, {}

    return rule


def _adaptive_pool(call: ModuleCall) -> ModuleOperator:
    one = call.outputs and (call.outputs[0].shape or ())[2:] == (1, 1)
    return ("GlobalAveragePool", {}, {}) if one else None


def _batch_norm(call: ModuleCall) -> ModuleOperator:
    if call.weight is None or call.bias is None:
        return None
    parts = {"weight": call.weight, "bias": call.bias, "mean": call.weight, "var": call.weight}
    return "BatchNormalization", {"epsilon": call.number("eps", 1e-5)}, parts


def _linear(call: ModuleCall) -> ModuleOperator:
    matrix = call.inputs and len(call.inputs[0].shape or ()) == 2
    return ("Gemm", {"transB": 1}, _weights(call)) if matrix and call.weight else None


def _layer_norm(call: ModuleCall) -> ModuleOperator:
    if call.weight is None:
        return None
    axis = -len(call.weight.shape or (1,))
    return "LayerNormalization", {"axis": axis, "epsilon": call.number("eps", 1e-5)}, _weights(call)


def _softmax(call: ModuleCall) -> ModuleOperator:
    dim = call.attrs.get("dim")
    return ("Softmax", {"axis": dim}, {}) if isinstance(dim, int) else None


def _flatten(call: ModuleCall) -> ModuleOperator:
    start, end = call.number("start_dim", 1), call.number("end_dim", -1)
    return ("Flatten", {"axis": 1}, {}) if (start, end) == (1, -1) else None


MODULES: dict[str, Module] = {
    "Conv2d": _conv,
    "BatchNorm2d": _batch_norm,
    "Linear": _linear,
    "LayerNorm": _layer_norm,
    "MaxPool2d": _pool("MaxPool"),
    "AvgPool2d": _pool("AveragePool"),
    "AdaptiveAvgPool2d": _adaptive_pool,
    "Flatten": _flatten,
    "Softmax": _softmax,
    "ReLU": _simple("Relu"),
    "Tanh": _simple("Tanh"),
    "Sigmoid": _simple("Sigmoid"),
    "GELU": _simple("Gelu"),
    "Dropout": _simple("Dropout"),
    "Identity": _simple("Identity"),
}
"""By class name, for names such as "torch.nn.modules.conv.Conv2d"."""

_BOTH = {"add": "Add", "mul": "Mul", "sub": "Sub", "matmul": "MatMul", "truediv": "Div"}
_ATEN = (
    "view",
    "permute",
    "transpose",
    "contiguous",
    "flatten",
    "reshape",
    "addmm",
    "bmm",
    "softmax",
    "cat",
    "relu",
    "gelu",
    "tanh",
    "pow",
    "sqrt",
    "where",
    "unsqueeze",
    "squeeze",
    "expand",
    "dropout",
    "linear",
    "layer_norm",
    "embedding",
    "mean",
    "sum",
    "to",
    "ones",
    "arange",
    "baddbmm",
    "masked_fill",
    "adaptive_avg_pool2d",
    "chunk",
    "stack",
    "type_as",
    "full",
    "tril",
)

FUNCTIONS: dict[str, tuple[str, str]] = {
    **{name: ("", name) for name in _ATEN},
    **{name: (onnx, "div" if name == "truediv" else name) for name, onnx in _BOTH.items()},
}
"""By bare name: ONNX's operator on two tensors, and aten's on whatever flows in."""
