"""ResNet v1.5: where a bottleneck halves the image, its 3x3 convolution does."""

from __future__ import annotations

from lydite.graph import Builder, Graph, Tensor
from lydite.models.dimensions_vision import ResNet
from lydite.models.parts import classifier, conv_bn, vision

_WIDTH, _EXPANSION = 64, 4


def resnet(size: ResNet, *, batch: int, image_size: int, dtype: str) -> Graph:
    """A residual network for 1000 classes."""
    g, x = vision(f"resnet{size.depth}", dtype, batch, image_size)
    x = g.relu(conv_bn(g, x, _WIDTH, 7, stride=2, pad=3))
    x = g.pool("Max", x, 3, stride=2, pad=1)
    for stage, blocks in enumerate(size.blocks):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            x = _block(g, x, _WIDTH << stage, stride, size.bottleneck)
    return g.build(classifier(g, x))


def _block(g: Builder, x: Tensor, width: int, stride: int, bottleneck: bool) -> Tensor:
    channels = width * _EXPANSION if bottleneck else width
    shortcut = x
    if stride != 1 or x.shape[1] != channels:
        shortcut = conv_bn(g, x, channels, 1, stride=stride)
    if bottleneck:
        x = g.relu(conv_bn(g, x, width, 1))
        x = g.relu(conv_bn(g, x, width, 3, stride=stride, pad=1))
        x = conv_bn(g, x, channels, 1)
    else:
        x = g.relu(conv_bn(g, x, width, 3, stride=stride, pad=1))
        x = conv_bn(g, x, width, 3, pad=1)
    return g.relu(x + shortcut)
