"""YOLOv5 (version 6): boxes of 80 classes from three sizes of the image.

As Ultralytics exports it: boxes are decoded to pixels, what overlaps is not yet removed.
"""

from __future__ import annotations

import numpy as np

from lydite.graph import Builder, Graph, Tensor
from lydite.graph.dtypes import dtype_number
from lydite.models.dimensions_vision import YOLOv5
from lydite.models.parts import conv_bn, divisible, resized, vision

_STRIDES = (8, 16, 32)
_ANCHORS = (  # width and height in pixels, three for each stride
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
_OUTPUTS = 85  # centre, size, whether there is something, and 80 classes


def yolov5(size: YOLOv5, *, batch: int, image_size: int, dtype: str) -> Graph:
    """Boxes [batch, 3 anchors of each position of each size, 85].

    Raises:
        InputError: the image is no multiple of 32 pixels.
    """
    g, x = vision("yolov5", dtype, batch, divisible(image_size, _STRIDES[-1], "yolov5"))
    levels = _neck(g, _backbone(g, x, size), size)
    found = [
        _detected(g, level, stride, anchors)
        for level, stride, anchors in zip(levels, _STRIDES, _ANCHORS, strict=True)
    ]
    return g.build(g.concat(found, 1))


def _backbone(g: Builder, x: Tensor, size: YOLOv5) -> list[Tensor]:
    """What is seen at an eighth, a 16th and a 32nd of the image."""
    x = _conv(g, x, size.channels(64), 6, stride=2, pad=2)
    levels = []
    for channels, count in ((128, 3), (256, 6), (512, 9), (1024, 3)):
        x = _conv(g, x, size.channels(channels), 3, stride=2)
        x = _stage(g, x, x.shape[1], size.blocks(count), adds=True)
        levels.append(x)
    levels[-1] = _pyramid(g, x)
    return levels[1:]


def _neck(g: Builder, levels: list[Tensor], size: YOLOv5) -> list[Tensor]:
    """Up from the coarsest level to the finest, and down again (a path aggregation network)."""
    blocks = size.blocks(3)
    finer, middle, x = levels
    sides = []
    for level, channels in ((middle, 512), (finer, 256)):
        sides.append(_conv(g, x, size.channels(channels), 1))
        x = g.concat([resized(g, sides[-1], 2), level], 1)
        x = _stage(g, x, sides[-1].shape[1], blocks, adds=False)
    found = [x]
    for side in reversed(sides):
        x = g.concat([_conv(g, x, x.shape[1], 3, stride=2), side], 1)
        x = _stage(g, x, 2 * side.shape[1], blocks, adds=False)
        found.append(x)
    return found


def _conv(
    g: Builder, x: Tensor, channels: int, kernel: int, *, stride: int = 1, pad: int | None = None
) -> Tensor:
    """A convolution with batch normalisation and x sigmoid(x)."""
    pad = kernel // 2 if pad is None else pad
    x = conv_bn(g, x, channels, kernel, stride=stride, pad=pad, eps=1e-3)
    return x * g.op("Sigmoid", x)


def _stage(g: Builder, x: Tensor, channels: int, blocks: int, *, adds: bool) -> Tensor:
    """Blocks on half of the channels, past which the other half goes (C3)."""
    y, past = _conv(g, x, channels // 2, 1), _conv(g, x, channels // 2, 1)
    for _ in range(blocks):
        z = _conv(g, _conv(g, y, channels // 2, 1), channels // 2, 3)
        y = y + z if adds else z
    return _conv(g, g.concat([y, past], 1), channels, 1)


def _pyramid(g: Builder, x: Tensor) -> Tensor:
    """Maxima of wider and wider surroundings, next to each other (SPPF)."""
    parts = [_conv(g, x, x.shape[1] // 2, 1)]
    for _ in range(3):
        parts.append(g.pool("Max", parts[-1], 5, stride=1, pad=2))
    return _conv(g, g.concat(parts, 1), x.shape[1], 1)


def _detected(g: Builder, x: Tensor, stride: int, anchors: tuple[tuple[int, int], ...]) -> Tensor:
    """Boxes of one level in pixels: [batch, anchors x height x width, 85]."""
    batch, _, height, width = x.shape
    x = g.conv(x, len(anchors) * _OUTPUTS, 1, name="detect")
    x = g.reshape(x, [batch, len(anchors), _OUTPUTS, height, width])
    x = g.op("Sigmoid", g.transpose(x, (0, 1, 3, 4, 2)))
    parts = g.constant([2, 2, _OUTPUTS - 4], "parts")
    centre, extent, rest = g.ops("Split", x, parts, axis=-1, outputs=3)
    two = g.constant(2, "two", g.dtype)
    corners = _cast(g, _axis(g, width, 0) + _axis(g, height, 1))
    grid = corners + g.constant(-0.5, "half", g.dtype)
    centre = (centre * two + grid) * g.constant(stride, "stride", g.dtype)
    sizes = _cast(g, g.constant(np.reshape(anchors, (1, len(anchors), 1, 1, 2)), "anchors"))
    extent = g.op("Pow", extent * two, two) * sizes
    return g.reshape(g.concat([centre, extent, rest], -1), [batch, -1, _OUTPUTS])


def _cast(g: Builder, numbers: Tensor) -> Tensor:
    """Whole numbers, which are no weights, as activations."""
    return g.op("Cast", numbers, to=dtype_number(g.dtype))


def _axis(g: Builder, positions: int, axis: int) -> Tensor:
    """Positions along x (0) or y (1): [1, 1, height or 1, width or 1, 2]."""
    values = np.zeros((positions, 2), np.int64)
    values[:, axis] = np.arange(positions)
    shape = (1, 1, 1, positions, 2) if axis == 0 else (1, 1, positions, 1, 2)
    return g.constant(values.reshape(shape), "grid")
