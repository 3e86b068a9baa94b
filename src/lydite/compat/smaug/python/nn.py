"""SMAUG's layers; each may have a fused activation ("relu", ...) with parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lydite.compat.smaug.python.activations import (
    elu,
    fused,
    hard_tanh,
    lrelu,
    relu,
    selu,
    sigmoid,
    softmax,
    tanh,
)
from lydite.compat.smaug.python.array import image_layout, laid_out
from lydite.compat.smaug.python.attention import BahdanauAttention
from lydite.compat.smaug.python.dense import mat_mul
from lydite.compat.smaug.python.graph import Tensor, add_node, misfit
from lydite.compat.smaug.python.recurrent import LSTM, BidirectionalLSTM
from lydite.errors import unknown_name

__all__ = [
    "LSTM",
    "BahdanauAttention",
    "BidirectionalLSTM",
    "batch_norm",
    "convolution",
    "elu",
    "hard_tanh",
    "lrelu",
    "mat_mul",
    "max_pool",
    "relu",
    "selu",
    "sigmoid",
    "softmax",
    "tanh",
]

_PADDINGS = {"same": "SamePadding", "valid": "ValidPadding"}


def convolution(
    input_tensor: Tensor,
    filter_tensor: Tensor,
    stride: Sequence[int],
    padding: str,
    activation: str | None = None,
    activation_params: Mapping[str, float] | None = None,
    name: str = "conv",
) -> Tensor:
    """A convolution of an image with filters of as many channels.

    Args:
        input_tensor: the image, NCHW or NHWC.
        filter_tensor: the filters in the same layout, N of them.
        stride: [rows, columns].
        padding: "same" or "valid".
        activation, activation_params: what is applied to the result.
        name: the node's name.

    Raises:
        GraphError: the channels differ, or the filter is larger than the padded image.
    """
    if padding not in _PADDINGS:
        raise unknown_name("padding", padding, _PADDINGS)
    layout = image_layout()
    x, w = laid_out(input_tensor, layout), laid_out(filter_tensor, layout)
    if x.layout != w.layout or x.layout not in ("NCHW", "NHWC"):
        raise misfit(name, "Convolution3d", "both NCHW or both NHWC", x, w)
    rows, columns, channels = _axes(x)
    if x.dims[channels] != w.dims[channels]:
        raise misfit(name, "Convolution3d", "as many channels in filters and image", x, w)
    dims = list(x.dims)
    dims[channels] = w.dims[0]
    for axis, step in zip((rows, columns), _pair(stride, "stride", name, x), strict=True):
        pad = w.dims[axis] - 1 if padding == "same" else 0
        dims[axis] = (x.dims[axis] - w.dims[axis] + pad) // step + 1
    if min(dims) < 1:
        raise misfit(name, "Convolution3d", "filters no larger than the image", x, w)
    params = {"padding": _PADDINGS[padding], "stride": tuple(stride)}
    params |= fused(activation, activation_params)
    return add_node(name, "Convolution3d", [x, w], [dims], params=params)[0]


def batch_norm(
    input_tensor: Tensor,
    mean_tensor: Tensor,
    var_tensor: Tensor,
    gamma_tensor: Tensor,
    beta_tensor: Tensor,
    activation: str | None = None,
    activation_params: Mapping[str, float] | None = None,
    name: str = "batch_norm",
) -> Tensor:
    """Batch normalisation of an image or a matrix with four parameters [1, channels].

    As in SMAUG, `var_tensor` holds 1 / sqrt(variance + epsilon).
    """
    x = input_tensor if len(input_tensor.dims) == 2 else laid_out(input_tensor, image_layout())
    channels = x.dims[1 if x.layout in ("NC", "NCHW") else -1]
    parts = [mean_tensor, var_tensor, gamma_tensor, beta_tensor]
    for part in parts:
        if len(part.dims) != 2 or math.prod(part.dims) != channels:
            raise misfit(name, "BatchNorm", f"parameters [1, {channels}]", x, part)
    params = fused(activation, activation_params)
    return add_node(name, "BatchNorm", [x, *parts], [x.dims], params=params)[0]


def max_pool(
    input_tensor: Tensor, pool_size: Sequence[int], stride: Sequence[int], name: str = "max_pool"
) -> Tensor:
    """Maximum of every window of [rows, columns]."""
    x = laid_out(input_tensor, image_layout())
    rows, columns, _ = _axes(x)
    dims = list(x.dims)
    sizes, steps = _pair(pool_size, "pool_size", name, x), _pair(stride, "stride", name, x)
    for axis, size, step in zip((rows, columns), sizes, steps, strict=True):
        dims[axis] = (x.dims[axis] - size) // step + 1
    if min(dims) < 1:
        raise misfit(name, f"MaxPooling of {list(sizes)}", "a window within the image", x)
    params = {"stride": tuple(steps), "pool_size": tuple(sizes)}
    return add_node(name, "MaxPooling", [x], [dims], params=params)[0]


def _axes(x: Tensor) -> tuple[int, int, int]:
    """Rows, columns and channels of an image."""
    return (2, 3, 1) if x.layout == "NCHW" else (1, 2, 3)


def _pair(values: Sequence[int], what: str, name: str, x: Tensor) -> Sequence[int]:
    if len(values) != 2 or min(values) < 1 or len(x.dims) != 4:
        raise misfit(name, f"{what} {list(values)}", "two positive numbers for an image", x)
    return values
