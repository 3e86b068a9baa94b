"""VGG-16: stacks of 3x3 convolutions, halved in size by pooling five times."""

from __future__ import annotations

from lydite.graph import Graph
from lydite.models.parts import adaptive_pool, vision

_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, convolutions


def vgg16(batch: int, image_size: int, dtype: str) -> Graph:
    """VGG-16 (configuration D, without batch normalisation) for 1000 classes."""
    g, x = vision("vgg16", dtype, batch, image_size)
    for channels, count in _STAGES:
        for _ in range(count):
            x = g.relu(g.conv(x, channels, 3, pad=1))
        x = g.pool("Max", x, 2)
    x = g.flatten(adaptive_pool(g, x, 7))
    for _ in range(2):
        x = g.relu(g.linear(x, 4096))
    return g.build(g.linear(x, 1000))
