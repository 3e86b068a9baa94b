"""GhostNet: half of the channels come out of cheap depthwise convolutions of the other half.

arXiv:1911.11907, width 1.0.
"""

from __future__ import annotations

from lydite.graph import Builder, Graph, Tensor
from lydite.models.parts import conv_bn, vision

_SIXTH = 1 / 6
_BLOCKS = (  # kernel, expanded channels, channels, squeezes, stride
    (3, 16, 16, False, 1),
    (3, 48, 24, False, 2),
    (3, 72, 24, False, 1),
    (5, 72, 40, True, 2),
    (5, 120, 40, True, 1),
    (3, 240, 80, False, 2),
    (3, 200, 80, False, 1),
    (3, 184, 80, False, 1),
    (3, 184, 80, False, 1),
    (3, 480, 112, True, 1),
    (3, 672, 112, True, 1),
    (5, 672, 160, True, 2),
    (5, 960, 160, False, 1),
    (5, 960, 160, True, 1),
    (5, 960, 160, False, 1),
    (5, 960, 160, True, 1),
)


def ghostnet(batch: int, image_size: int, dtype: str) -> Graph:
    """GhostNet for 1000 classes."""
    g, x = vision("ghostnet", dtype, batch, image_size)
    x = g.relu(conv_bn(g, x, 16, 3, stride=2, pad=1))
    for kernel, expanded, channels, squeezes, stride in _BLOCKS:
        y = _ghost(g, x, expanded, active=True)
        if stride > 1:
            y = conv_bn(g, y, expanded, kernel, stride=stride, pad=kernel // 2, group=expanded)
        y = _squeezed(g, y) if squeezes else y
        y = _ghost(g, y, channels, active=False)
        x = y + _shortcut(g, x, channels, kernel, stride)
    x = g.global_average_pool(g.relu(conv_bn(g, x, 960, 1)))
    x = g.relu(g.conv(x, 1280, 1))
    return g.build(g.linear(g.flatten(x), 1000))


def _ghost(g: Builder, x: Tensor, channels: int, *, active: bool) -> Tensor:
    half = channels // 2
    first = conv_bn(g, x, half, 1)
    first = g.relu(first) if active else first
    ghosts = conv_bn(g, first, half, 3, pad=1, group=half)
    return g.concat([first, g.relu(ghosts) if active else ghosts], 1)


def _squeezed(g: Builder, x: Tensor) -> Tensor:
    """Each channel times a weight that depends on the means of all."""
    channels = x.shape[1]
    y = g.conv(g.global_average_pool(x), (channels // 4 + 2) // 4 * 4, 1)  # in fours
    y = g.conv(g.relu(y), channels, 1)
    return x * g.op("HardSigmoid", y, alpha=_SIXTH, beta=0.5)


def _shortcut(g: Builder, x: Tensor, channels: int, kernel: int, stride: int) -> Tensor:
    if stride == 1 and x.shape[1] == channels:
        return x
    width = x.shape[1]
    x = conv_bn(g, x, width, kernel, stride=stride, pad=kernel // 2, group=width)
    return conv_bn(g, x, channels, 1)
