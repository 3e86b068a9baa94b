"""Translation of TensorFlow's operators into equivalent ONNX ones, and their output types.

An operator is translated only if ONNX's takes the same operands in the same layout: a convolution
over NHWC images and HWIO filters is not ONNX's Conv, and stays TensorFlow's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from lydite.graph.dtypes import dtype_number
from lydite.graph.formats.tensorflow_attrs import TfNode
from lydite.graph.graph import UNKNOWN
from lydite.graph.op import Attr
from lydite.opkey import Dim, TensorType
from lydite.records import dataclass


@dataclass(frozen=True)
class NodeInputs:
    """Types and small values of a node's inputs, and its attributes."""

    node: TfNode
    types: Sequence[TensorType]
    values: Sequence[np.ndarray | None]

    def dims(self, index: int) -> list[int]:
        """Known sizes of an input.

        Raises:
            LookupError: the input is omitted, or one of its sizes is unknown.
        """
        shape = self.types[index].shape
        if shape is None or not self.types[index].is_static:
            raise LookupError(index)
        return [int(dim) for dim in shape]

    def ints(self, index: int) -> list[int]:
        """Values of a constant integer input.

        Raises:
            LookupError: the input is not constant.
        """
        value = self.values[index]
        if value is None or value.size > 4096:
            raise LookupError(index)
        return [int(number) for number in value.ravel()]

    def attr(self, name: str, default: Any) -> Any:
        """Value of an attribute, or `default` if it is absent."""
        return self.node.attrs.get(name, default)

    def like(self, index: int, dims: Sequence[Dim] | None) -> TensorType:
        """The element type of an input, with other sizes."""
        return TensorType(self.types[index].dtype, None if dims is None else tuple(dims))


Translation: TypeAlias = Callable[[NodeInputs], tuple[str, dict[str, Attr], int] | None]
"""ONNX operator, attributes and number of inputs; None if no ONNX operator is equivalent."""

Typed: TypeAlias = Callable[[NodeInputs], list[TensorType]]


def _as(op_type: str, inputs: int, **attrs: Attr) -> Translation:
    return lambda _: (op_type, dict(attrs), inputs)


def _matmul(known: NodeInputs) -> tuple[str, dict[str, Attr], int]:
    turned = {
        "transA": known.attr("transpose_a", False),
        "transB": known.attr("transpose_b", False),
    }
    given: dict[str, Attr] = {name: 1 for name, value in turned.items() if value}
    return ("Gemm", given, 2) if given else ("MatMul", {}, 2)


def _batch_matmul(known: NodeInputs) -> tuple[str, dict[str, Attr], int] | None:
    turned = known.attr("adj_x", False) or known.attr("adj_y", False)
    return None if turned else ("MatMul", {}, 2)


def _bias_add(known: NodeInputs) -> tuple[str, dict[str, Attr], int] | None:
    return ("Add", {}, 2) if known.attr("data_format", "NHWC") == "NHWC" else None


def _cast(known: NodeInputs) -> tuple[str, dict[str, Attr], int]:
    return "Cast", {"to": dtype_number(str(known.attr("DstT", "float32")))}, 1


def _concat(known: NodeInputs) -> tuple[str, dict[str, Attr], int] | None:
    count = len(known.types) - 1
    value = known.values[-1]
    return None if value is None else ("Concat", {"axis": int(value.item())}, count)


def _transpose(known: NodeInputs) -> tuple[str, dict[str, Attr], int] | None:
    value = known.values[1]
    return None if value is None else ("Transpose", {"perm": tuple(map(int, value))}, 1)


SAME: dict[str, Translation] = {
    **{
        name: _as(name, 1)
        for name in (
            "Relu",
            "Tanh",
            "Sigmoid",
            "Exp",
            "Log",
            "Sqrt",
            "Neg",
            "Abs",
            "Identity",
            "Floor",
            "Sign",
            "Erf",
            "Reciprocal",
            "Sin",
            "Cos",
            "Ceil",
            "Elu",
            "Selu",
        )
    },
    **{name: _as(name, 2) for name in ("Add", "Sub", "Mul", "Pow", "Greater", "Less", "Equal")},
    "AddV2": _as("Add", 2),
    "RealDiv": _as("Div", 2),
    "Div": _as("Div", 2),
    "Maximum": _as("Max", 2),
    "Minimum": _as("Min", 2),
    "Softmax": _as("Softmax", 1, axis=-1),
    "LogSoftmax": _as("LogSoftmax", 1, axis=-1),
    "StopGradient": _as("Identity", 1),
    "Snapshot": _as("Identity", 1),
    "Inv": _as("Reciprocal", 1),
    "Softplus": _as("Softplus", 1),
    "LogicalAnd": _as("And", 2),
    "LogicalOr": _as("Or", 2),
    "LogicalNot": _as("Not", 1),
    "GreaterEqual": _as("GreaterOrEqual", 2),
    "LessEqual": _as("LessOrEqual", 2),
    "MatMul": _matmul,
    "BatchMatMul": _batch_matmul,
    "BatchMatMulV2": _batch_matmul,
    "BiasAdd": _bias_add,
    "Cast": _cast,
    "ConcatV2": _concat,
    "Transpose": _transpose,
}


def _first(known: NodeInputs) -> list[TensorType]:
    return [known.types[0]]


def _like(index: int) -> Typed:
    return lambda known: [known.types[index]]


def _nothing(_: NodeInputs) -> list[TensorType]:
    return []


def _axes(known: NodeInputs) -> tuple[int, int, int]:
    """Indices of the row, column and channel axes."""
    return (2, 3, 1) if known.attr("data_format", "NHWC") == "NCHW" else (1, 2, 3)


def _placed(
    known: NodeInputs, dims: list[int], kernel: Sequence[int], axes: Sequence[int]
) -> list[int]:
    """Output sizes of a window that moves over an image."""
    strides, dilations = known.attr("strides", ()), known.attr("dilations", (1, 1, 1, 1))
    for axis, size in zip(axes, kernel, strict=True):
        step = max(1, int(strides[axis]))
        reach = (size - 1) * int(dilations[axis]) + 1
        same = known.attr("padding", "VALID") == "SAME"
        dims[axis] = -(-dims[axis] // step) if same else -(-(dims[axis] - reach + 1) // step)
    return dims


def _conv(known: NodeInputs) -> list[TensorType]:
    rows, columns, channels = _axes(known)
    filters = known.dims(1)
    dims = _placed(known, known.dims(0), filters[:2], (rows, columns))
    depthwise = known.node.op.startswith("Depthwise")
    dims[channels] = filters[2] * filters[3] if depthwise else filters[3]
    return [known.like(0, dims)]


def _pool(known: NodeInputs) -> list[TensorType]:
    axes = _axes(known)[:2]
    sizes = known.attr("ksize", ())
    dims = _placed(known, known.dims(0), [int(sizes[a]) for a in axes], axes)
    return [known.like(0, dims)]


def _sized_by(index: int, dtype_of: int) -> Typed:
    """Output sizes given by the value of an input."""
    return lambda known: [known.like(dtype_of, known.ints(index))]


def _reshape(known: NodeInputs) -> list[TensorType]:
    shape = known.ints(1)
    if -1 in shape:
        rest = math.prod(size for size in shape if size != -1)
        shape[shape.index(-1)] = math.prod(known.dims(0)) // max(1, rest)
    return [known.like(0, shape)]


def _batch_norm(known: NodeInputs) -> list[TensorType]:
    channel = known.types[1]
    spare = [TensorType(channel.dtype, None)] if known.node.op.endswith("V3") else []
    return [known.types[0], channel, channel, channel, channel, *spare]


def _batch_norm_grad(known: NodeInputs) -> list[TensorType]:
    channel = known.types[2]
    return [known.types[0], channel, channel]


def _channels(known: NodeInputs) -> list[TensorType]:
    return [known.like(0, [known.dims(0)[_axes(known)[2] if len(known.dims(0)) == 4 else -1]])]


def _reduced(known: NodeInputs) -> list[TensorType]:
    dims, keep = known.dims(0), known.attr("keep_dims", False)
    axes = {axis % max(1, len(dims)) for axis in known.ints(1)}
    kept = [1 if i in axes else dim for i, dim in enumerate(dims) if keep or i not in axes]
    return [known.like(0, kept)]


def _cross_entropy(known: NodeInputs) -> list[TensorType]:
    return [known.like(0, known.dims(0)[:1]), known.types[0]]


def _squeezed(known: NodeInputs) -> list[TensorType]:
    dims = known.dims(0)
    axes = {axis % max(1, len(dims)) for axis in known.attr("squeeze_dims", ())}
    axes = axes or {i for i, dim in enumerate(dims) if dim == 1}
    return [known.like(0, [dim for i, dim in enumerate(dims) if i not in axes])]


def _expanded(known: NodeInputs) -> list[TensorType]:
    dims, (axis,) = known.dims(0), known.ints(1)
    dims.insert(axis if axis >= 0 else len(dims) + 1 + axis, 1)
    return [known.like(0, dims)]


def _shape_of(known: NodeInputs) -> list[TensorType]:
    return [TensorType(known.attr("out_type", "int32"), (len(known.types[0].shape or ()),))]


def _padded(known: NodeInputs) -> list[TensorType]:
    pads = known.ints(1)
    dims = [dim + pads[2 * i] + pads[2 * i + 1] for i, dim in enumerate(known.dims(0))]
    return [known.like(0, dims)]


def _gathered(known: NodeInputs) -> list[TensorType]:
    axis = known.ints(2)[0] if len(known.values) > 2 else 0
    dims = known.dims(0)
    return [known.like(0, [*dims[:axis], *known.dims(1), *dims[axis + 1 :]])]


def _split(known: NodeInputs) -> list[TensorType]:
    count, dims, (axis,) = int(known.attr("num_split", 1)), known.dims(1), known.ints(0)
    dims[axis] //= count
    if count > dims[axis] * count:
        raise ValueError(count)
    return [known.like(1, dims)] * count


def _packed(known: NodeInputs) -> list[TensorType]:
    dims, axis = known.dims(0), int(known.attr("axis", 0))
    dims.insert(axis % (len(dims) + 1), len(known.types))
    return [known.like(0, dims)]


TYPED: dict[str, Typed] = {
    **dict.fromkeys(
        (
            "ReluGrad",
            "Relu6",
            "Relu6Grad",
            "LeakyRelu",
            "TanhGrad",
            "SigmoidGrad",
            "EluGrad",
            "Rsqrt",
            "RsqrtGrad",
            "Square",
            "AddN",
            "BiasAdd",
            "ZerosLike",
            "OnesLike",
            "MaxPoolGrad",
            "LRN",
            "ApplyMomentum",
            "ApplyGradientDescent",
            "ApplyAdam",
            "ApplyRMSProp",
            "ResourceApplyMomentum",
            "Assign",
            "AssignAdd",
            "AssignSub",
            "Allreduce",
            "HorovodAllreduce",
            "HorovodBroadcast",
            "L2Grad",
            "InvGrad",
            "SqrtGrad",
            "ReciprocalGrad",
            "CheckNumerics",
            "PreventGradient",
            "Dropout",
            "Enter",
            "Exit",
            "_Send",
        ),
        _first,
    ),
    **dict.fromkeys(("NoOp", "_HostSend", "Assert"), _nothing),
    **dict.fromkeys(("Conv2D", "DepthwiseConv2dNative"), _conv),
    **dict.fromkeys(("MaxPool", "AvgPool"), _pool),
    **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), _batch_norm),
    **dict.fromkeys(
        ("FusedBatchNormGrad", "FusedBatchNormGradV2", "FusedBatchNormGradV3"), _batch_norm_grad
    ),
    **dict.fromkeys(("Mean", "Sum", "Max", "Min", "Prod"), _reduced),
    **dict.fromkeys(
        ("SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits"), _cross_entropy
    ),
    **dict.fromkeys(("GatherV2", "Gather"), _gathered),
    **dict.fromkeys(("Pad", "PadV2", "MirrorPad"), _padded),
    "Conv2DBackpropInput": _sized_by(0, 2),
    "DepthwiseConv2dNativeBackpropInput": _sized_by(0, 2),
    "Conv2DBackpropFilter": _sized_by(1, 2),
    "DepthwiseConv2dNativeBackpropFilter": _sized_by(1, 2),
    "AvgPoolGrad": _sized_by(0, 1),
    "Fill": _sized_by(0, 1),
    "BroadcastTo": _sized_by(1, 0),
    "Reshape": _reshape,
    "BiasAddGrad": _channels,
    "Squeeze": _squeezed,
    "ExpandDims": _expanded,
    "Shape": _shape_of,
    "L2Loss": lambda known: [known.like(0, ())],
    "Split": _split,
    "Pack": _packed,
    "Tile": lambda known: [
        known.like(0, [a * b for a, b in zip(known.dims(0), known.ints(1), strict=True)])
    ],
}


def output_types(known: NodeInputs) -> list[TensorType] | None:
    """Output types by this module's rules; None if there is no rule for the operator.

    A type that depends on an unknown size or a computed value is unknown.
    """
    rule = TYPED.get(known.node.op)
    if rule is None:
        return None
    try:
        types = rule(known)
        return [
            UNKNOWN if any(isinstance(d, int) and d < 0 for d in t.shape or ()) else t
            for t in types
        ]
    except (LookupError, ValueError, TypeError, ArithmeticError, OverflowError):
        return [UNKNOWN]
