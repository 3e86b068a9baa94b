"""VGG: stacks of 3x3 convolutions, halved in size by pooling five times."""

from __future__ import annotations

from lydite.graph import Graph
from lydite.models.parts import adaptive_pool, vision

_CHANNELS = (64, 128, 256, 512, 512)


def vgg(convolutions: tuple[int, ...], *, batch: int, image_size: int, dtype: str) -> Graph:
    """VGG without batch normalisation for 1000 classes.

    Args:
        convolutions: of each of five stages.
        batch: images at once.
        image_size: height and width in pixels.
        dtype: of weights and activations.

    Raises:
        InputError: what is left of the image does not divide into 7x7 windows.
    """
    g, x = vision(f"vgg{sum(convolutions) + 3}", dtype, batch, image_size)
    for channels, count in zip(_CHANNELS, convolutions, strict=True):
        for _ in range(count):
            x = g.relu(g.conv(x, channels, 3, pad=1))
        x = g.pool("Max", x, 2)
    x = g.flatten(adaptive_pool(g, x, 7))
    for _ in range(2):
        x = g.relu(g.linear(x, 4096))
    return g.build(g.linear(x, 1000))
