"""Translations to PyTorch by ONNX operator, from inputs and attributes to one or more tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F

from lydite.graph import TensorType

Tensors: TypeAlias = Sequence[Any]
Attrs: TypeAlias = Mapping[str, Any]
Translation: TypeAlias = Callable[[Tensors, Attrs], Any]


STEERING: Mapping[str, tuple[int, ...]] = {
    "Clip": (1, 2),
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Pad": (1, 2, 3),
    "Range": (0, 1, 2),
    "ReduceMax": (1,),
    "ReduceMean": (1,),
    "ReduceSum": (1,),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "Unsqueeze": (1,),
    "lydite:ClipGrad": (2, 3),
    "lydite:SliceGrad": (1, 2, 3, 4),
    "lydite:GradientDescent": (0,),
    **{f"ai.onnx.preview.training:{name}": (0, 1) for name in ("Adam", "Adagrad", "Momentum")},
}
"""Inputs that are parameters of the call rather than data: constants there are passed as arrays."""


def _integers(value: Any) -> list[int]:
    return [int(item) for item in value.flatten().tolist()]


def full_pads(spatial: Sequence[int], attrs: Attrs, kernel: Sequence[int]) -> list[int]:
    """Padding before each axis, then after each, for an input of the given spatial sizes."""
    rank = len(kernel)
    pads = list(attrs.get("pads", [0] * (2 * rank)))
    strides = list(attrs.get("strides", [1] * rank))
    dilations = list(attrs.get("dilations", [1] * rank))
    if attrs.get("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER"):
        upper = attrs["auto_pad"] == "SAME_UPPER"
        for axis, size in enumerate(spatial):
            reach = (kernel[axis] - 1) * dilations[axis] + 1
            total = max(0, (-(-size // strides[axis]) - 1) * strides[axis] + reach - size)
            low = total // 2 if upper else total - total // 2
            pads[axis], pads[rank + axis] = low, total - low
    return pads


def _spatial_padding(
    x: Any, attrs: Attrs, kernel: Sequence[int], value: float = 0.0
) -> tuple[Any, Any]:
    """The input, padded if the padding is uneven, and the even padding left for torch."""
    rank = len(kernel)
    pads = full_pads(x.shape[2:], attrs, kernel)
    if pads[:rank] == pads[rank:]:
        return x, pads[:rank]
    flat = [side for axis in reversed(range(rank)) for side in (pads[axis], pads[rank + axis])]
    return F.pad(x, flat, value=value), [0] * rank


def _three(inputs: Tensors) -> tuple[Any, Any, Any]:
    """First, second and optional third input."""
    return inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else None


def _conv(inputs: Tensors, attrs: Attrs) -> Any:
    x, weight, bias = _three(inputs)
    x, padding = _spatial_padding(x, attrs, weight.shape[2:])
    rank = weight.dim() - 2
    function = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[rank]
    return function(
        x,
        weight,
        bias,
        list(attrs.get("strides", [1] * rank)),
        padding,
        list(attrs.get("dilations", [1] * rank)),
        attrs.get("group", 1),
    )


def _max_pool(inputs: Tensors, attrs: Attrs) -> Any:
    kernel = list(attrs["kernel_shape"])
    x, padding = _spatial_padding(inputs[0], attrs, kernel, float("-inf"))
    function = F.max_pool1d if len(kernel) == 1 else F.max_pool2d
    return function(
        x,
        kernel,
        list(attrs.get("strides", [1] * len(kernel))),
        padding,
        list(attrs.get("dilations", [1] * len(kernel))),
        ceil_mode=bool(attrs.get("ceil_mode", 0)),
    )


def _average_pool(inputs: Tensors, attrs: Attrs) -> Any:
    """Average pooling; with uneven padding, each sum is divided by its real elements."""
    x, kernel = inputs[0], list(attrs["kernel_shape"])
    strides = list(attrs.get("strides", [1] * len(kernel)))
    ceil, counted = bool(attrs.get("ceil_mode", 0)), bool(attrs.get("count_include_pad", 0))
    function = F.avg_pool1d if len(kernel) == 1 else F.avg_pool2d
    padded, padding = _spatial_padding(x, attrs, kernel)
    pooled = function(padded, kernel, strides, padding, ceil_mode=ceil, count_include_pad=counted)
    if padded is x or counted:
        return pooled
    ones, _ = _spatial_padding(torch.ones_like(x[:1, :1]), attrs, kernel)
    return pooled / function(ones, kernel, strides, padding, ceil_mode=ceil)


def _gemm(inputs: Tensors, attrs: Attrs) -> Any:
    a, b, c = _three(inputs)
    a = a.t() if attrs.get("transA") else a
    if attrs.get("transB") and attrs.get("alpha", 1.0) == 1.0 and attrs.get("beta", 1.0) == 1.0:
        return F.linear(a, b, c)
    b = b.t() if attrs.get("transB") else b
    product, alpha, beta = a @ b, attrs.get("alpha", 1.0), attrs.get("beta", 1.0)
    product = product if alpha == 1.0 else alpha * product
    return product if c is None else product + (c if beta == 1.0 else beta * c)


def _batch_norm(inputs: Tensors, attrs: Attrs) -> Any:
    x, scale, bias, mean, var = inputs[:5]
    return F.batch_norm(x, mean, var, scale, bias, False, 0.0, attrs.get("epsilon", 1e-5))


def _layer_norm(inputs: Tensors, attrs: Attrs) -> Any:
    x, scale, bias = _three(inputs)
    axis = attrs.get("axis", -1) % x.dim()
    return F.layer_norm(x, list(x.shape[axis:]), scale, bias, attrs.get("epsilon", 1e-5))


def _saving_layer_norm(inputs: Tensors, attrs: Attrs) -> Any:
    x, scale, bias = _three(inputs)
    axis = attrs.get("axis", -1) % x.dim()
    shape = list(x.shape[axis:])
    return torch.native_layer_norm(x, shape, scale, bias, attrs.get("epsilon", 1e-5))


def _rms_norm(inputs: Tensors, attrs: Attrs) -> Any:
    x, axis = inputs[0], attrs.get("axis", -1) % inputs[0].dim()
    return F.rms_norm(x, list(x.shape[axis:]), inputs[1], attrs.get("epsilon", 1e-5))


def _group_norm(inputs: Tensors, attrs: Attrs) -> Any:
    return F.group_norm(
        inputs[0], attrs["num_groups"], inputs[1], inputs[2], attrs.get("epsilon", 1e-5)
    )


def _conv_transpose(inputs: Tensors, attrs: Attrs) -> Any:
    x, weight, bias = _three(inputs)
    rank = weight.dim() - 2
    pads = list(attrs.get("pads", [0] * (2 * rank)))
    extra = list(attrs.get("output_padding", [0] * rank))
    if pads[:rank] != pads[rank:]:
        extra = [
            e + low - high for e, low, high in zip(extra, pads[:rank], pads[rank:], strict=True)
        ]
    function = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[rank]
    return function(
        x,
        weight,
        bias,
        list(attrs.get("strides", [1] * rank)),
        pads[:rank],
        extra,
        attrs.get("group", 1),
        list(attrs.get("dilations", [1] * rank)),
    )


def _resize(inputs: Tensors, attrs: Attrs) -> Any:
    """Resize to sizes or by factors, with torch's coordinates unless corners are aligned."""
    x = inputs[0]
    sizes = _integers(inputs[3])[2:] if len(inputs) > 3 and inputs[3] is not None else None
    if sizes is None:
        factors = inputs[2].flatten().tolist()[2:]
        sizes = [int(size * factor) for size, factor in zip(x.shape[2:], factors, strict=True)]
    if attrs.get("mode", "nearest") == "nearest":
        return F.interpolate(x, sizes, mode="nearest")
    aligned = attrs.get("coordinate_transformation_mode") == "align_corners"
    mode = {"linear": "bilinear", "cubic": "bicubic"}[attrs["mode"]]
    return F.interpolate(x, sizes, mode=mode, align_corners=aligned)


def _fused_matmul(inputs: Tensors, attrs: Attrs) -> Any:
    a, b = inputs[0], inputs[1]
    a = a.transpose(-2, -1) if attrs.get("transA") else a
    b = b.transpose(-2, -1) if attrs.get("transB") else b
    product = torch.matmul(a, b)
    return product if attrs.get("alpha", 1.0) == 1.0 else product * attrs["alpha"]


def _reduce(function: Callable[[Any, list[int], bool], Any]) -> Translation:
    return lambda inputs, attrs: function(inputs[0], *_reduced(inputs, attrs))


def _pad(inputs: Tensors, attrs: Attrs) -> Any:
    x, pads = inputs[0], _integers(inputs[1])
    value = _scalar(inputs[2]) if len(inputs) > 2 and inputs[2] is not None else 0.0
    rank = x.dim()
    flat = [side for axis in reversed(range(rank)) for side in (pads[axis], pads[rank + axis])]
    return F.pad(x, flat, attrs.get("mode", "constant"), float(value))


def _clip(inputs: Tensors, attrs: Attrs) -> Any:
    low = inputs[1] if len(inputs) > 1 else attrs.get("min")
    high = inputs[2] if len(inputs) > 2 else attrs.get("max")
    return torch.clamp(inputs[0], _scalar(low), _scalar(high))


def _scalar(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _reshape(inputs: Tensors, attrs: Attrs) -> Any:
    x, target = inputs[0], _integers(inputs[1])
    if not attrs.get("allowzero"):
        target = [x.shape[i] if size == 0 else size for i, size in enumerate(target)]
    return x.reshape(target)


def _flatten(inputs: Tensors, attrs: Attrs) -> Any:
    x, axis = inputs[0], attrs.get("axis", 1)
    if axis == 1:
        return torch.flatten(x, 1)
    rows = 1
    for size in x.shape[: axis % (x.dim() + 1)]:
        rows *= size
    return x.reshape(rows, -1)


def _gather(inputs: Tensors, attrs: Attrs) -> Any:
    data, indices = inputs[:2]
    axis = attrs.get("axis", 0)
    if axis == 0 and data.dim() == 2 and indices.ndim > 0:
        return F.embedding(indices, data)
    if indices.ndim == 0:
        return data.select(axis, int(indices))
    shape = (*data.shape[:axis], *indices.shape, *data.shape[axis:][1:])
    return data.index_select(axis, indices.flatten()).reshape(shape)


def _slice(inputs: Tensors, attrs: Attrs) -> Any:
    x = inputs[0]
    if len(inputs) > 1:
        starts, ends = _integers(inputs[1]), _integers(inputs[2])
        axes = _integers(inputs[3]) if len(inputs) > 3 and inputs[3] is not None else None
        steps = _integers(inputs[4]) if len(inputs) > 4 and inputs[4] is not None else None
    else:
        starts, ends = list(attrs["starts"]), list(attrs["ends"])
        axes, steps = attrs.get("axes"), None
    for n, axis in enumerate(axes or range(len(starts))):
        step = steps[n] if steps else 1
        x = torch.ops.aten.slice.Tensor(x, axis, starts[n], ends[n], step)
    return x


def _softmax(inputs: Tensors, attrs: Attrs) -> Any:
    return F.softmax(inputs[0], attrs.get("axis", -1))


def _sum(inputs: Tensors, _: Attrs) -> Any:
    total = inputs[0]
    for other in inputs[1:]:
        total = total + other
    return total


def _axes(inputs: Tensors, attrs: Attrs) -> list[int]:
    return _integers(inputs[1]) if len(inputs) > 1 else list(attrs["axes"])


def _reduced(inputs: Tensors, attrs: Attrs) -> tuple[list[int], bool]:
    """Axes to reduce over (all if none are named), and whether they are kept."""
    named = _axes(inputs, attrs) if len(inputs) > 1 or "axes" in attrs else []
    return named or list(range(inputs[0].dim())), bool(attrs.get("keepdims", 1))


def _unsqueeze(inputs: Tensors, attrs: Attrs) -> Any:
    x = inputs[0]
    for axis in sorted(_axes(inputs, attrs)):
        x = x.unsqueeze(axis)
    return x


def _squeeze(inputs: Tensors, attrs: Attrs) -> Any:
    return inputs[0].squeeze(_axes(inputs, attrs))


def _split(inputs: Tensors, attrs: Attrs) -> Any:
    x, axis = inputs[0], attrs.get("axis", 0)
    sizes = _integers(inputs[1]) if len(inputs) > 1 else list(attrs.get("split", ()))
    parts = attrs.get("num_outputs", 2)
    return x.split(sizes or -(-x.shape[axis] // parts), axis)


def _lrn(inputs: Tensors, attrs: Attrs) -> Any:
    return F.local_response_norm(
        inputs[0],
        attrs["size"],
        attrs.get("alpha", 1e-4),
        attrs.get("beta", 0.75),
        attrs.get("bias", 1.0),
    )


def _cast(inputs: Tensors, attrs: Attrs) -> Any:
    from lydite.graph.dtypes import dtype_name

    return inputs[0].to(torch_dtype(dtype_name(attrs["to"])))


def _depth_to_space(x: Any, block: int) -> Any:
    batch, channels, height, width = x.shape
    apart = x.reshape(batch, block, block, channels // block**2, height, width)
    mixed = apart.permute(0, 3, 4, 1, 5, 2)
    return mixed.reshape(batch, channels // block**2, height * block, width * block)


def _space_to_depth(x: Any, block: int) -> Any:
    batch, channels, height, width = x.shape
    apart = x.reshape(batch, channels, height // block, block, width // block, block)
    mixed = apart.permute(0, 3, 5, 1, 2, 4)
    return mixed.reshape(batch, channels * block**2, height // block, width // block)


def _unary(function: Callable[[Any], Any]) -> Translation:
    return lambda inputs, _: function(inputs[0])


def _binary(function: Callable[[Any, Any], Any]) -> Translation:
    return lambda inputs, _: function(inputs[0], inputs[1])


RULES: dict[str, Translation] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _unary(lambda x: F.adaptive_avg_pool2d(x, 1)),
    "Gemm": _gemm,
    "MatMul": _binary(torch.matmul),
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "LayerNormalization:3": _saving_layer_norm,
    "RMSNormalization": _rms_norm,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": lambda inputs, attrs: F.instance_norm(
        inputs[0], None, None, inputs[1], inputs[2], eps=attrs.get("epsilon", 1e-5)
    ),
    "com.microsoft:FusedMatMul": _fused_matmul,
    "Einsum": lambda inputs, attrs: torch.einsum(attrs["equation"], *inputs),
    "LRN": _lrn,
    "Relu": _unary(F.relu),
    "Clip": _clip,
    "Sigmoid": _unary(torch.sigmoid),
    "Tanh": _unary(torch.tanh),
    "Erf": _unary(torch.erf),
    "Sqrt": _unary(torch.sqrt),
    "Log": _unary(torch.log),
    "Sin": _unary(torch.sin),
    "Cos": _unary(torch.cos),
    "Reciprocal": _unary(torch.reciprocal),
    "Mish": _unary(F.mish),
    "Softplus": _unary(F.softplus),
    "Softsign": _unary(F.softsign),
    "HardSwish": _unary(F.hardswish),
    "HardSigmoid": lambda inputs, attrs: torch.clamp(
        inputs[0] * attrs.get("alpha", 0.2) + attrs.get("beta", 0.5), 0, 1
    ),
    "LeakyRelu": lambda inputs, attrs: F.leaky_relu(inputs[0], attrs.get("alpha", 0.01)),
    "Elu": lambda inputs, attrs: F.elu(inputs[0], attrs.get("alpha", 1.0)),
    "Selu": _unary(F.selu),
    "PRelu": _binary(lambda x, slope: torch.where(x > 0, x, slope * x)),
    "Swish": lambda inputs, attrs: (
        F.silu(inputs[0])
        if attrs.get("alpha", 1.0) == 1.0
        else inputs[0] * torch.sigmoid(attrs["alpha"] * inputs[0])
    ),
    "Exp": _unary(torch.exp),
    "Neg": _unary(torch.neg),
    "Abs": _unary(torch.abs),
    "Identity": _unary(lambda x: x),
    "Dropout": _unary(lambda x: x),
    "Gelu": lambda inputs, attrs: F.gelu(inputs[0], approximate=attrs.get("approximate", "none")),
    "Softmax": _softmax,
    "Add": _binary(torch.add),
    "Sub": _binary(torch.sub),
    "Mul": _binary(torch.mul),
    "Div": _binary(torch.div),
    "Pow": _binary(torch.pow),
    "Sum": _sum,
    "Where": lambda inputs, _: torch.where(*inputs),
    "Equal": _binary(torch.eq),
    "Less": _binary(torch.lt),
    "Greater": _binary(torch.gt),
    "Not": _unary(torch.logical_not),
    "And": _binary(torch.logical_and),
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": lambda inputs, attrs: inputs[0].permute(
        list(attrs.get("perm", reversed(range(inputs[0].dim()))))
    ),
    "Concat": lambda inputs, attrs: torch.cat(list(inputs), attrs["axis"]),
    "Split": _split,
    "Gather": _gather,
    "Slice": _slice,
    "Expand": lambda inputs, _: (
        inputs[0] * torch.ones(_integers(inputs[1]), dtype=inputs[0].dtype, device=inputs[0].device)
    ),
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "ReduceMax": _reduce(torch.amax),
    "GlobalMaxPool": _unary(lambda x: F.adaptive_max_pool2d(x, 1)),
    "LogSoftmax": lambda inputs, attrs: F.log_softmax(inputs[0], attrs.get("axis", -1)),
    "Max": lambda inputs, _: functools.reduce(torch.maximum, inputs),
    "Min": lambda inputs, _: functools.reduce(torch.minimum, inputs),
    "Resize": _resize,
    "Pad": _pad,
    "Tile": lambda inputs, _: inputs[0].repeat(_integers(inputs[1])),
    "ConstantOfShape": lambda inputs, _: torch.zeros(_integers(inputs[0])),
    "Range": lambda inputs, _: torch.arange(*(_scalar(bound) for bound in inputs)),
    "DepthToSpace": lambda inputs, attrs: _depth_to_space(inputs[0], attrs["blocksize"]),
    "SpaceToDepth": lambda inputs, attrs: _space_to_depth(inputs[0], attrs["blocksize"]),
    "Cast": _cast,
    "Shape": _unary(lambda x: torch.tensor(x.shape)),
}


def torch_dtype(name: str) -> torch.dtype:
    """Torch's dtype by our name; complex and 4-bit types cannot run."""
    return getattr(torch, name)


def dtype_text(dtype: torch.dtype) -> str:
    """Our name for torch's dtype."""
    return str(dtype).removeprefix("torch.")


def tensor_type(tensor: torch.Tensor) -> TensorType:
    """The tensor's type; a layout other than row-major is "channels_last" or its strides."""
    shape = tuple(int(size) for size in tensor.shape)
    layout = (
        ""
        if tensor.is_contiguous()
        else (
            "channels_last"
            if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
            else "strides:" + ",".join(str(int(s)) for s in tensor.stride())
        )
    )
    return TensorType(dtype_text(tensor.dtype), shape, layout.replace(",", "."))
