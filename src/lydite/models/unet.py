"""U-Net for two classes: down by pooling, up by transposed convolutions, joined at every size.

arXiv:1505.04597 with padding and batch normalisation, as milesial/Pytorch-UNet builds it.
"""

from __future__ import annotations

from lydite.graph import Builder, Graph, Tensor
from lydite.models.parts import conv_bn, divisible, vision

_WIDTHS = (64, 128, 256, 512, 1024)
_CLASSES = 2


def unet(batch: int, image_size: int, dtype: str) -> Graph:
    """Scores of the classes for every pixel: [batch, 2, height, width].

    Raises:
        InputError: the image does not halve four times.
    """
    side = divisible(image_size, 1 << (len(_WIDTHS) - 1), "unet")
    g, x = vision("unet", dtype, batch, side)
    x = _double(g, x, _WIDTHS[0])
    skips = []
    for width in _WIDTHS[1:]:
        skips.append(x)
        x = _double(g, g.pool("Max", x, 2), width)
    for skip in reversed(skips):
        x = _double(g, g.concat([skip, _raised(g, x)], 1), skip.shape[1])
    return g.build(g.conv(x, _CLASSES, 1))


def _double(g: Builder, x: Tensor, channels: int) -> Tensor:
    for _ in range(2):
        x = g.relu(conv_bn(g, x, channels, 3, pad=1))
    return x


def _raised(g: Builder, x: Tensor) -> Tensor:
    """Twice the height and width, half the channels."""
    channels = x.shape[1]
    weight = g.weight((channels, channels // 2, 2, 2), "up.weight")
    bias = g.weight((channels // 2,), "up.bias")
    return g.op("ConvTranspose", x, weight, bias, kernel_shape=[2, 2], strides=[2, 2])
