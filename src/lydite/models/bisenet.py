"""BiSeNetV2: details from few wide layers, meaning from many narrow ones, and both together.

arXiv:2004.02147, as CoinCheung/BiSeNet builds it for the 19 classes of Cityscapes; without the
heads that only training has.
"""

from __future__ import annotations

from lydite.graph import Builder, Graph, Tensor
from lydite.models.parts import conv_bn, divisible, resized, vision

_CLASSES, _DETAIL, _EXPANSION, _HEAD = 19, 128, 6, 1024
_DETAILS = ((64, 2), (64, 3), (128, 3))  # channels, convolutions of a stage
_MEANINGS = ((32, 2), (64, 2), (_DETAIL, 4))  # channels, layers of a stage


def bisenet_v2(batch: int, image_size: int, dtype: str) -> Graph:
    """Scores of the classes for every pixel: [batch, 19, height, width].

    Args:
        batch: images at once.
        image_size: height in pixels; the width is twice that.
        dtype: of weights and activations.

    Raises:
        InputError: the height is no multiple of 32.
    """
    height = divisible(image_size, 32, "bisenetv2")
    g, image = vision("bisenetv2", dtype, batch, height, 2 * height)
    x = _aggregated(g, _detail(g, image), _semantic(g, image))
    x = g.conv(_unit(g, x, _HEAD, 3), _CLASSES, 1)
    return g.build(resized(g, x, 8, "linear"))


def _unit(g: Builder, x: Tensor, channels: int, kernel: int, stride: int = 1) -> Tensor:
    return g.relu(conv_bn(g, x, channels, kernel, stride=stride, pad=kernel // 2))


def _depthwise(g: Builder, x: Tensor, channels: int, stride: int = 1) -> Tensor:
    """Each channel by itself, into one or several."""
    return conv_bn(g, x, channels, 3, stride=stride, pad=1, group=x.shape[1])


def _detail(g: Builder, x: Tensor) -> Tensor:
    for channels, count in _DETAILS:
        for layer in range(count):
            x = _unit(g, x, channels, 3, stride=1 if layer else 2)
    return x


def _semantic(g: Builder, x: Tensor) -> Tensor:
    x = _unit(g, x, 16, 3, stride=2)
    narrow = _unit(g, _unit(g, x, 8, 1), 16, 3, stride=2)
    x = _unit(g, g.concat([narrow, g.pool("Max", x, 3, stride=2, pad=1)], 1), 16, 3)
    for channels, count in _MEANINGS:
        for layer in range(count):
            x = _expanded(g, x, channels, halves=not layer)
    mean = _unit(g, g.batch_norm(g.global_average_pool(x)), _DETAIL, 1)
    return _unit(g, mean + x, _DETAIL, 3)


def _expanded(g: Builder, x: Tensor, channels: int, *, halves: bool) -> Tensor:
    """Gather and expand: six times the channels and back, next to a shortcut."""
    width, wide = x.shape[1], _EXPANSION * x.shape[1]
    y = _unit(g, x, width, 3)
    if halves:
        y = _depthwise(g, _depthwise(g, y, wide, 2), wide)
        x = conv_bn(g, _depthwise(g, x, width, 2), channels, 1)
    else:
        y = _depthwise(g, y, wide)
    return g.relu(conv_bn(g, g.relu(y), channels, 1) + x)


def _aggregated(g: Builder, detail: Tensor, semantic: Tensor) -> Tensor:
    """Each branch weighs the other, at its own size (bilateral guided aggregation)."""
    fine = _separable(g, detail)
    coarse = conv_bn(g, detail, _DETAIL, 3, stride=2, pad=1)
    coarse = g.pool("Average", coarse, 3, stride=2, pad=1, count_include_pad=1)
    raised = resized(g, conv_bn(g, semantic, _DETAIL, 3, pad=1), 4)
    fine = fine * g.op("Sigmoid", raised)
    coarse = coarse * g.op("Sigmoid", _separable(g, semantic))
    return _unit(g, fine + resized(g, coarse, 4), _DETAIL, 3)


def _separable(g: Builder, x: Tensor) -> Tensor:
    return g.conv(_depthwise(g, x, x.shape[1]), _DETAIL, 1, bias=False)
