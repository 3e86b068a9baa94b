"""Parts that several families share."""

from __future__ import annotations

from lydite.errors import InputError
from lydite.graph import Builder, Tensor


def adaptive_pool(g: Builder, x: Tensor, size: int) -> Tensor:
    """Average to `size` x `size` positions, where equal windows do it.

    Raises:
        InputError: the positions do not divide into equal windows.
    """
    height, width = x.shape[2:]
    if height == width == size:
        return x
    if height % size or width % size or not height:
        raise InputError(
            f"the image leaves {height}x{width} positions before the classifier",
            where=g.name,
            allowed=f"multiples of {size}x{size}",
            hint=f"the usual image size leaves {size}x{size}",
        )
    return g.pool("Average", x, (height // size, width // size))


def conv_bn(
    g: Builder, x: Tensor, channels: int, kernel: int | tuple[int, int], *, stride: int = 1,
    pad: int | tuple[int, int] = 0, group: int = 1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """A convolution without bias, then batch normalisation."""
    x = g.conv(x, channels, kernel, stride=stride, pad=pad, group=group, bias=False)
    return g.batch_norm(x, eps=eps)


def classifier(g: Builder, x: Tensor, classes: int = 1000) -> Tensor:
    """Global average, then one dense layer."""
    return g.linear(g.flatten(g.global_average_pool(x)), classes)
