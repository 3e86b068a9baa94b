"""AlexNet in one tower, as torchvision builds it.

The version of 2014 ("one weird trick"): 61.1 million parameters. The one of 2012 split its
convolutions over two GPUs (groups of two), had local response normalisation and other widths.
"""

from __future__ import annotations

from lydite.graph import Graph
from lydite.models.parts import adaptive_pool, vision

_CONVOLUTIONS = (  # channels, kernel, stride, pad, pooled after
    (64, 11, 4, 2, True),
    (192, 5, 1, 2, True),
    (384, 3, 1, 1, False),
    (256, 3, 1, 1, False),
    (256, 3, 1, 1, True),
)


def alexnet(batch: int, image_size: int, dtype: str) -> Graph:
    """AlexNet for 1000 classes."""
    g, x = vision("alexnet", dtype, batch, image_size)
    for channels, kernel, stride, pad, pooled in _CONVOLUTIONS:
        x = g.relu(g.conv(x, channels, kernel, stride=stride, pad=pad))
        if pooled:
            x = g.pool("Max", x, 3, stride=2)
    x = g.flatten(adaptive_pool(g, x, 6))
    for _ in range(2):
        x = g.relu(g.linear(x, 4096))
    return g.build(g.linear(x, 1000))
