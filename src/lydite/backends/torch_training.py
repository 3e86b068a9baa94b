"""Translations to PyTorch: the domain "lydite" (aten's backward operators), ONNX's optimisers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from lydite.backends.torch_ops import Attrs, Tensors, Translation, full_pads
from lydite.backends.torch_recurrent import RECURRENT
from lydite.errors import BackendError

_aten = torch.ops.aten


def _shape(attrs: Attrs) -> list[int]:
    return [int(size) for size in attrs["shape"]]


def _convolution(attrs: Attrs, rank: int) -> tuple[list[int], list[int], int]:
    """Strides, dilations and number of groups."""
    ones = [1] * rank
    return (
        list(attrs.get("strides", ones)),
        list(attrs.get("dilations", ones)),
        attrs.get("group", 1),
    )


def _conv_input(inputs: Tensors, attrs: Attrs) -> Any:
    """Gradient of a convolution's input; with uneven padding, cropped from the padded one."""
    dy, weight, shape = inputs[0], inputs[1], _shape(attrs)
    rank = len(shape) - 2
    strides, dilations, group = _convolution(attrs, rank)
    pads = full_pads(shape[2:], attrs, weight.shape[2:])
    low, high = pads[:rank], pads[rank:]
    even = low == high
    whole = (
        shape
        if even
        else [*shape[:2], *(s + a + b for s, a, b in zip(shape[2:], low, high, strict=True))]
    )
    padding = low if even else [0] * rank
    gradient = _aten.convolution_backward(
        dy,
        dy.new_empty(whole),
        weight,
        None,
        strides,
        padding,
        dilations,
        False,
        [0] * rank,
        group,
        [True, False, False],
    )[0]
    if not even:
        for axis, (start, size) in enumerate(zip(low, shape[2:], strict=True)):
            gradient = gradient.narrow(2 + axis, start, size)
    return gradient


def _conv_weight(inputs: Tensors, attrs: Attrs) -> Any:
    dy, x, shape = inputs[0], inputs[1], _shape(attrs)
    rank = len(shape) - 2
    strides, dilations, group = _convolution(attrs, rank)
    pads = full_pads(x.shape[2:], attrs, shape[2:])
    if pads[:rank] != pads[rank:]:
        flat = [side for axis in reversed(range(rank)) for side in (pads[axis], pads[rank + axis])]
        x, pads = F.pad(x, flat), [0] * rank
    return _aten.convolution_backward(
        dy,
        x,
        dy.new_empty(shape),
        None,
        strides,
        pads[:rank],
        dilations,
        False,
        [0] * rank,
        group,
        [False, True, False],
    )[1]


def _max_pool_saving(inputs: Tensors, attrs: Attrs) -> Any:
    return _aten.max_pool2d_with_indices(inputs[0], *_window(attrs, inputs[0].shape))


def _max_pool(inputs: Tensors, attrs: Attrs) -> Any:
    dy, x, indices = inputs
    return _aten.max_pool2d_with_indices_backward(dy, x, *_window(attrs, x.shape), indices)


def _window(attrs: Attrs, shape: Any) -> list[Any]:
    """Kernel, strides, padding, dilations and rounding mode of a pooling operator."""
    kernel = list(attrs["kernel_shape"])
    rank = len(kernel)
    pads = full_pads(list(shape)[2:], attrs, kernel)
    if rank != 2 or pads[:rank] != pads[rank:]:
        raise BackendError("PyTorch saves indices only for pooling over two axes with even padding")
    strides, dilations, _ = _convolution(attrs, rank)
    return [kernel, strides, pads[:rank], dilations, bool(attrs.get("ceil_mode", 0))]


def _average_pool(inputs: Tensors, attrs: Attrs) -> Any:
    dy, shape = inputs[0], _shape(attrs)
    kernel, strides, padding, _dilation, ceil = _window(attrs, shape)
    counted = bool(attrs.get("count_include_pad", 0))
    return _aten.avg_pool2d_backward(
        dy, dy.new_empty(shape), kernel, strides, padding, ceil, counted, None
    )


def _batch_norm(inputs: Tensors, attrs: Attrs) -> Any:
    x, scale, bias, mean, var = inputs[:5]
    momentum = 1 - attrs.get("momentum", 0.9)
    return _aten.native_batch_norm(
        x, scale, bias, mean, var, True, momentum, attrs.get("epsilon", 1e-5)
    )


def _batch_norm_gradient(inputs: Tensors, attrs: Attrs) -> Any:
    dy, x, scale, mean, inverse = inputs
    return _aten.native_batch_norm_backward(
        dy, x, scale, None, None, mean, inverse, True, attrs.get("epsilon", 1e-5), [True] * 3
    )


def _layer_norm(inputs: Tensors, attrs: Attrs) -> Any:
    dy, x, scale, mean, inverse = inputs
    axis = attrs.get("axis", -1) % x.dim()
    return _aten.native_layer_norm_backward(
        dy, x, list(x.shape[axis:]), mean, inverse, scale, scale, [True] * 3
    )


def _rms_norm(inputs: Tensors, attrs: Attrs) -> Any:
    """Gradient of RMS normalisation; with n = x / rms: dx = (dy w - n mean(dy w n)) / rms."""
    dy, x, scale = inputs
    axes = list(range(attrs.get("axis", -1) % x.dim(), x.dim()))
    inverse = torch.rsqrt(x.pow(2).mean(axes, keepdim=True) + attrs.get("epsilon", 1e-5))
    normal = x * inverse
    slope = dy * scale
    data = (slope - normal * (slope * normal).mean(axes, keepdim=True)) * inverse
    rows = list(range(axes[0]))
    return data, (dy * normal).sum(rows)


def _group_norm(inputs: Tensors, attrs: Attrs) -> Any:
    x, scale, bias = inputs[:3]
    groups = attrs.get("num_groups") or x.shape[1]
    per_channel = x.shape[1]
    return _aten.native_group_norm(
        x,
        scale,
        bias,
        x.shape[0],
        per_channel,
        math.prod(x.shape[2:]),
        groups,
        attrs.get("epsilon", 1e-5),
    )


def _group_norm_gradient(inputs: Tensors, attrs: Attrs) -> Any:
    dy, x, scale, mean, inverse = inputs
    groups = attrs.get("num_groups") or x.shape[1]
    return _aten.native_group_norm_backward(
        dy,
        x,
        mean,
        inverse,
        scale,
        x.shape[0],
        x.shape[1],
        math.prod(x.shape[2:]),
        groups,
        [True] * 3,
    )


def _gather(inputs: Tensors, attrs: Attrs) -> Any:
    dy, indices, shape = inputs[0], inputs[1], _shape(attrs)
    axis = attrs.get("axis", 0) % len(shape)
    if axis == 0 and len(shape) == 2 and indices.ndim > 0:
        return _aten.embedding_dense_backward(dy, indices, shape[0], -1, False)
    if indices.ndim == 0:
        return _aten.select_backward(dy, shape, axis, int(indices))
    flat = dy.flatten(axis, axis + indices.dim() - 1)
    return dy.new_zeros(shape).index_add(axis, indices.flatten(), flat)


def _slice(inputs: Tensors, attrs: Attrs) -> Any:
    """Gradient of slicing: undo one axis after another, last first."""
    lists = [attrs.get(name) for name in ("starts", "ends", "axes")]
    given = [x.flatten().tolist() if x is not None else None for x in inputs[1:]]
    starts, ends, axes, steps = [*given, None, None, None, None][:4] if given else [*lists, None]
    shape = _shape(attrs)
    axes = [axis % len(shape) for axis in (axes or range(len(starts)))]
    sizes = [list(shape)]
    for n, axis in enumerate(axes[:-1]):
        step = steps[n] if steps else 1
        sizes.append(list(sizes[-1]))
        sizes[-1][axis] = len(range(*slice(starts[n], ends[n], step).indices(shape[axis])))
    dy = inputs[0]
    for n in reversed(range(len(axes))):
        step = steps[n] if steps else 1
        dy = _aten.slice_backward(dy, sizes[n], axes[n], starts[n], ends[n], step)
    return dy


def _resize(inputs: Tensors, attrs: Attrs) -> Any:
    dy, shape = inputs[0], _shape(attrs)
    sizes = list(dy.shape[2:])
    if attrs.get("mode", "nearest") == "nearest":
        return _aten.upsample_nearest2d_backward(dy, sizes, shape)
    if attrs["mode"] != "linear" or len(shape) != 4:
        raise BackendError(f"PyTorch has no gradient for resizing with mode '{attrs['mode']}'")
    aligned = attrs.get("coordinate_transformation_mode") == "align_corners"
    return _aten.upsample_bilinear2d_backward(dy, sizes, shape, aligned)


def _likelihood(inputs: Tensors, attrs: Attrs) -> Any:
    dy, labels, logs = inputs
    reduction = {"none": 0, "mean": 1, "sum": 2}[attrs.get("reduction", "mean")]
    ignored = attrs.get("ignore_index", -100)
    count = logs.new_full((), labels.numel())
    backward = _aten.nll_loss2d_backward if logs.dim() > 2 else _aten.nll_loss_backward
    return backward(dy, logs, labels, None, reduction, ignored, count)


def _likelihood_loss(inputs: Tensors, attrs: Attrs) -> Any:
    return F.nll_loss(
        inputs[0],
        inputs[1],
        reduction=attrs.get("reduction", "mean"),
        ignore_index=attrs.get("ignore_index", -100),
    )


def _softmax(function: Any) -> Translation:
    def rule(inputs: Tensors, attrs: Attrs) -> Any:
        dy, y = inputs
        return function(dy, y, attrs.get("axis", -1), y.dtype)

    return rule


def _clip(inputs: Tensors, attrs: Attrs) -> Any:
    def bound(index: int, name: str, limit: float) -> float:
        given = inputs[index] if len(inputs) > index else None
        return float(given.item() if given is not None else attrs.get(name, limit))

    low, high = bound(2, "min", -math.inf), bound(3, "max", math.inf)
    return _aten.hardtanh_backward(inputs[0], inputs[1], low, high)


def _prelu(inputs: Tensors, _: Attrs) -> Any:
    dy, x, slope = inputs
    return torch.where(x > 0, dy, dy * slope), torch.where(x > 0, 0.0, dy * x)


def _hard_sigmoid(inputs: Tensors, attrs: Attrs) -> Any:
    dy, x = inputs
    line = x * attrs.get("alpha", 0.2) + attrs.get("beta", 0.5)
    return torch.where((line > 0) & (line < 1), dy * attrs.get("alpha", 0.2), 0.0)


def _lrn(inputs: Tensors, attrs: Attrs) -> Any:
    """Gradient of LRN: y = x s^-beta, s = bias + alpha / size * windowed sum of x^2."""
    dy, x, y = inputs
    size, alpha, beta = attrs["size"], attrs.get("alpha", 1e-4), attrs.get("beta", 0.75)

    def windowed(z: Any) -> Any:
        padded = F.pad(z, (0, 0, 0, 0, size // 2, (size - 1) // 2))
        return padded.unfold(1, size, 1).sum(-1)

    total = attrs.get("bias", 1.0) + alpha / size * windowed(x * x)
    return dy * total.pow(-beta) - 2 * alpha * beta / size * x * windowed(dy * y / total)


_Slope = Callable[[Any, Any, Attrs], Any]

_SLOPES: dict[str, _Slope] = {
    "Relu": lambda dy, y, _: _aten.threshold_backward(dy, y, 0),
    "Sigmoid": lambda dy, y, _: _aten.sigmoid_backward(dy, y),
    "Tanh": lambda dy, y, _: _aten.tanh_backward(dy, y),
    "Exp": lambda dy, y, _: dy * y,
    "Sqrt": lambda dy, y, _: dy / (2 * y),
    "Reciprocal": lambda dy, y, _: -dy * y * y,
    "Gelu": lambda dy, x, attrs: _aten.gelu_backward(
        dy, x, approximate=attrs.get("approximate", "none")
    ),
    "LeakyRelu": lambda dy, x, attrs: _aten.leaky_relu_backward(
        dy, x, attrs.get("alpha", 0.01), False
    ),
    "Elu": lambda dy, x, attrs: _aten.elu_backward(dy, attrs.get("alpha", 1.0), 1, 1, False, x),
    "Selu": lambda dy, x, _: _aten.elu_backward(
        dy, 1.6732632423543772, 1.0507009873554805, 1, False, x
    ),
    "HardSwish": lambda dy, x, _: _aten.hardswish_backward(dy, x),
    "Swish": lambda dy, x, _: _aten.silu_backward(dy, x),
    "Softplus": lambda dy, x, _: _aten.softplus_backward(dy, x, 1, 20),
    "Softsign": lambda dy, x, _: dy / (1 + x.abs()).square(),
    "Mish": lambda dy, x, _: _aten.mish_backward(dy, x),
    "Erf": lambda dy, x, _: dy * (2 / math.sqrt(math.pi)) * torch.exp(-x * x),
    "Log": lambda dy, x, _: dy / x,
    "Abs": lambda dy, x, _: dy * x.sign(),
    "Sin": lambda dy, x, _: dy * x.cos(),
    "Cos": lambda dy, x, _: -dy * x.sin(),
    "ThresholdedRelu": lambda dy, x, attrs: _aten.threshold_backward(
        dy, x, attrs.get("alpha", 1.0)
    ),
}


def _slope(function: _Slope) -> Translation:
    return lambda inputs, attrs: function(inputs[0], inputs[1], attrs)


def _descent(inputs: Tensors, _: Attrs) -> Any:
    return inputs[1].add_(inputs[2], alpha=-float(inputs[0]))


def _momentum(inputs: Tensors, attrs: Attrs) -> Any:
    rate, _step, weight, gradient, velocity = inputs
    velocity.mul_(attrs["alpha"]).add_(gradient)
    if attrs.get("mode") == "nesterov":
        gradient = gradient.add(velocity, alpha=attrs["alpha"])
        return weight.add_(gradient, alpha=-float(rate)), velocity
    return weight.add_(velocity, alpha=-float(rate)), velocity


def _adagrad(inputs: Tensors, attrs: Attrs) -> Any:
    rate, _step, weight, gradient, square = inputs
    square.addcmul_(gradient, gradient, value=1)
    deviation = square.sqrt().add_(attrs.get("epsilon", 1e-10))
    return weight.addcdiv_(gradient, deviation, value=-float(rate)), square


def _adam(inputs: Tensors, attrs: Attrs) -> Any:
    """One step of Adam with the operators of PyTorch's own, in the same order."""
    rate, step, weight, gradient, mean, square = inputs
    number = int(step) + 1
    first, second = attrs.get("alpha", 0.9), attrs.get("beta", 0.999)
    decay = attrs.get("norm_coefficient_post", 0.0)
    if decay:
        weight.mul_(1 - decay)
    mean.lerp_(gradient, 1 - first)
    square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
    root = (square.sqrt() / math.sqrt(1 - second**number)).add_(attrs.get("epsilon", 1e-8))
    weight.addcdiv_(mean, root, value=-float(rate) / (1 - first**number))
    return weight, mean, square


RULES: dict[str, Translation] = {
    "MaxPool:2": _max_pool_saving,
    "NegativeLogLikelihoodLoss": _likelihood_loss,
    "lydite:BatchNormalizationTraining": _batch_norm,
    "lydite:GroupNormalizationTraining": _group_norm,
    "lydite:InstanceNormalizationTraining": _group_norm,
    "lydite:ConvInputGrad": _conv_input,
    "lydite:ConvWeightGrad": _conv_weight,
    "lydite:MaxPoolGrad": _max_pool,
    "lydite:AveragePoolGrad": _average_pool,
    "lydite:BatchNormalizationGrad": _batch_norm_gradient,
    "lydite:LayerNormalizationGrad": _layer_norm,
    "lydite:RMSNormalizationGrad": _rms_norm,
    "lydite:GroupNormalizationGrad": _group_norm_gradient,
    "lydite:InstanceNormalizationGrad": _group_norm_gradient,
    "lydite:GatherGrad": _gather,
    "lydite:SliceGrad": _slice,
    "lydite:ResizeGrad": _resize,
    "lydite:NegativeLogLikelihoodLossGrad": _likelihood,
    "lydite:SoftmaxGrad": _softmax(_aten._softmax_backward_data),
    "lydite:LogSoftmaxGrad": _softmax(_aten._log_softmax_backward_data),
    "lydite:ClipGrad": _clip,
    "lydite:PReluGrad": _prelu,
    "lydite:HardSigmoidGrad": _hard_sigmoid,
    "lydite:LRNGrad": _lrn,
    **{f"lydite:{name}Grad": _slope(function) for name, function in _SLOPES.items()},
    **RECURRENT,
    "lydite:GradientDescent": _descent,
    "ai.onnx.preview.training:Momentum": _momentum,
    "ai.onnx.preview.training:Adagrad": _adagrad,
    "ai.onnx.preview.training:Adam": _adam,
}
