"""ResNet-50 v1.5: bottleneck blocks whose 3x3 convolution carries the stride."""

from __future__ import annotations

from lydite.graph import Builder, Graph, Tensor
from lydite.models.parts import classifier, conv_bn, vision

_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # width, blocks
_EXPANSION = 4


def resnet50(batch: int, image_size: int, dtype: str) -> Graph:
    """ResNet-50 for 1000 classes."""
    g, x = vision("resnet50", dtype, batch, image_size)
    x = g.relu(conv_bn(g, x, 64, 7, stride=2, pad=3))
    x = g.pool("Max", x, 3, stride=2, pad=1)
    for stage, (width, blocks) in enumerate(_STAGES):
        for block in range(blocks):
            x = _bottleneck(g, x, width, stride=2 if stage and not block else 1)
    return g.build(classifier(g, x))


def _bottleneck(g: Builder, x: Tensor, width: int, stride: int) -> Tensor:
    channels = width * _EXPANSION
    shortcut = x
    if stride != 1 or x.shape[1] != channels:
        shortcut = conv_bn(g, x, channels, 1, stride=stride)
    x = g.relu(conv_bn(g, x, width, 1))
    x = g.relu(conv_bn(g, x, width, 3, stride=stride, pad=1))
    return g.relu(conv_bn(g, x, channels, 1) + shortcut)
