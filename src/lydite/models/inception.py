"""Inception v3: branches of factorised convolutions, joined along the channels."""

from __future__ import annotations

from lydite.graph import Builder, Graph, Tensor
from lydite.models.parts import classifier, conv_bn, vision


def inception_v3(batch: int, image_size: int, dtype: str) -> Graph:
    """Inception v3 for 1000 classes, in evaluation: without the auxiliary head."""
    g, x = vision("inceptionv3", dtype, batch, image_size)
    x = _unit(g, x, 32, 3, stride=2)
    x = _unit(g, x, 32, 3)
    x = _unit(g, x, 64, 3, pad=1)
    x = g.pool("Max", x, 3, stride=2)
    x = _unit(g, x, 80, 1)
    x = _unit(g, x, 192, 3)
    x = g.pool("Max", x, 3, stride=2)
    for pooled in (32, 64, 64):
        x = _block_a(g, x, pooled)
    x = _block_b(g, x)
    for width in (128, 160, 160, 192):
        x = _block_c(g, x, width)
    x = _block_d(g, x)
    for _ in range(2):
        x = _block_e(g, x)
    return g.build(classifier(g, x))


def _unit(
    g: Builder,
    x: Tensor,
    channels: int,
    kernel: int | tuple[int, int],
    *,
    stride: int = 1,
    pad: int | tuple[int, int] = 0,
) -> Tensor:
    return g.relu(conv_bn(g, x, channels, kernel, stride=stride, pad=pad, eps=1e-3))


def _averaged(g: Builder, x: Tensor, channels: int) -> Tensor:
    return _unit(g, g.pool("Average", x, 3, stride=1, pad=1, count_include_pad=1), channels, 1)


def _block_a(g: Builder, x: Tensor, pooled: int) -> Tensor:
    five = _unit(g, _unit(g, x, 48, 1), 64, 5, pad=2)
    three = _unit(g, x, 64, 1)
    for _ in range(2):
        three = _unit(g, three, 96, 3, pad=1)
    return g.concat([_unit(g, x, 64, 1), five, three, _averaged(g, x, pooled)], 1)


def _block_b(g: Builder, x: Tensor) -> Tensor:
    twice = _unit(g, _unit(g, _unit(g, x, 64, 1), 96, 3, pad=1), 96, 3, stride=2)
    return g.concat([_unit(g, x, 384, 3, stride=2), twice, g.pool("Max", x, 3, stride=2)], 1)


def _chain(g: Builder, x: Tensor, width: int, count: int, last: int) -> Tensor:
    """1x1, then `count` convolutions that are in turn 1x7 and 7x1 and end with 7x1 or 1x7."""
    x = _unit(g, x, width, 1)
    for step in range(count):
        wide = (count == 2) == (step % 2 == 0)
        x = _unit(
            g,
            x,
            last if step == count - 1 else width,
            (1, 7) if wide else (7, 1),
            pad=(0, 3) if wide else (3, 0),
        )
    return x


def _block_c(g: Builder, x: Tensor, width: int) -> Tensor:
    once, twice = _chain(g, x, width, 2, 192), _chain(g, x, width, 4, 192)
    return g.concat([_unit(g, x, 192, 1), once, twice, _averaged(g, x, 192)], 1)


def _block_d(g: Builder, x: Tensor) -> Tensor:
    three = _unit(g, _unit(g, x, 192, 1), 320, 3, stride=2)
    seven = _unit(g, _chain(g, x, 192, 2, 192), 192, 3, stride=2)
    return g.concat([three, seven, g.pool("Max", x, 3, stride=2)], 1)


def _split(g: Builder, x: Tensor) -> Tensor:
    wide, tall = _unit(g, x, 384, (1, 3), pad=(0, 1)), _unit(g, x, 384, (3, 1), pad=(1, 0))
    return g.concat([wide, tall], 1)


def _block_e(g: Builder, x: Tensor) -> Tensor:
    three = _split(g, _unit(g, x, 384, 1))
    twice = _split(g, _unit(g, _unit(g, x, 448, 1), 384, 3, pad=1))
    return g.concat([_unit(g, x, 320, 1), three, twice, _averaged(g, x, 192)], 1)
