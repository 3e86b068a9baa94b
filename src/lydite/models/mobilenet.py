"""MobileNetV2: inverted residuals around depthwise convolutions."""

from __future__ import annotations

from lydite.graph import Builder, Graph, Tensor
from lydite.models.parts import classifier, conv_bn, vision

_STAGES = (  # expansion, channels, blocks, stride of the first
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(batch: int, image_size: int, dtype: str) -> Graph:
    """MobileNetV2 of width 1.0 for 1000 classes."""
    g, x = vision("mobilenetv2", dtype, batch, image_size)
    x = _relu6(g, conv_bn(g, x, 32, 3, stride=2, pad=1))
    for expansion, channels, blocks, first_stride in _STAGES:
        for block in range(blocks):
            x = _inverted_residual(g, x, expansion, channels, 1 if block else first_stride)
    x = _relu6(g, conv_bn(g, x, 1280, 1))
    return g.build(classifier(g, x))


def _relu6(g: Builder, x: Tensor) -> Tensor:
    return g.clip(x, 0.0, 6.0)


def _inverted_residual(g: Builder, x: Tensor, expansion: int, channels: int, stride: int) -> Tensor:
    width = x.shape[1] * expansion
    y = x if expansion == 1 else _relu6(g, conv_bn(g, x, width, 1))
    y = _relu6(g, conv_bn(g, y, width, 3, stride=stride, pad=1, group=width))
    y = conv_bn(g, y, channels, 1)
    return x + y if stride == 1 and x.shape[1] == channels else y
