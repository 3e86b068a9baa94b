"""Parts that several families share."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace

from lydite.errors import InputError
from lydite.graph import Builder, Graph, Tensor


def classic(name: str, dtype: str) -> Builder:
    """A builder of convolutional and recurrent nets, which know bfloat16 since opset 22."""
    return Builder(name, dtype=dtype, opset=22 if dtype == "bfloat16" else 20)


def vision(
    name: str, dtype: str, batch: int, height: int, width: int | None = None
) -> tuple[Builder, Tensor]:
    """A builder and its input, colour images; as wide as they are high where not said otherwise."""
    g = classic(name, dtype)
    return g, g.input("image", (batch, 3, height, width or height))


def divisible(image_size: int, multiple: int, name: str) -> int:
    """The image size itself, if it is a multiple.

    Raises:
        InputError: it is none (names the nearest).
    """
    if image_size % multiple:
        nearest = max(round(image_size / multiple), 1) * multiple
        raise InputError(
            f"image_size {image_size} is impossible",
            where=name,
            allowed=f"a multiple of {multiple}",
            hint=f"the nearest is {nearest}",
        )
    return image_size


def resized(g: Builder, x: Tensor, scale: int, mode: str = "nearest") -> Tensor:
    """`scale` times the height and width: of the nearest position, or "linear" between them."""
    batch, channels, height, width = x.shape
    sizes = g.constant([batch, channels, scale * height, scale * width], "sizes")
    nearest = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    attrs = nearest if mode == "nearest" else {"coordinate_transformation_mode": "half_pixel"}
    return g.op("Resize", x, None, None, sizes, mode=mode, **attrs)


def adaptive_pool(g: Builder, x: Tensor, size: int) -> Tensor:
    """Average to `size` x `size` positions, as PyTorch's adaptive pooling does.

    Raises:
        InputError: that takes windows of different sizes, which ONNX has no operator for.
    """
    positions = x.shape[2]
    if positions == size:
        return x
    if size % positions == 0:
        return resized(g, x, size // positions)
    starts = [i * positions // size for i in range(size)]
    windows = {-(-(i + 1) * positions // size) - starts[i] for i in range(size)}
    strides = {later - earlier for earlier, later in itertools.pairwise(starts)}
    if len(windows) > 1 or len(strides) > 1:
        raise InputError(
            f"the image leaves {positions}x{positions} positions before the classifier, which do "
            f"not divide into {size}x{size} equal windows",
            where=g.name,
            hint=f"take an image size that leaves {size}x{size} or a multiple",
        )
    return g.pool("Average", x, windows.pop(), stride=strides.pop())


def conv_bn(
    g: Builder,
    x: Tensor,
    channels: int,
    kernel: int | tuple[int, int],
    *,
    stride: int = 1,
    pad: int | tuple[int, int] = 0,
    group: int = 1,
    eps: float = 1e-5,
) -> Tensor:
    """A convolution without bias, then batch normalisation."""
    x = g.conv(x, channels, kernel, stride=stride, pad=pad, group=group, bias=False)
    return g.batch_norm(x, eps=eps)


def classifier(g: Builder, x: Tensor, classes: int = 1000) -> Tensor:
    """Global average, then one dense layer."""
    return g.linear(g.flatten(g.global_average_pool(x)), classes)


def with_names(graph: Graph, names: Mapping[str, str]) -> Graph:
    """The same graph with some of its tensors called otherwise: {old name: new name}."""

    def named(tensors: Iterable[str]) -> tuple[str, ...]:
        return tuple(names.get(name, name) for name in tensors)

    return replace(
        graph,
        ops=tuple(
            replace(op, inputs=named(op.inputs), outputs=named(op.outputs)) for op in graph.ops
        ),
        tensors={names.get(name, name): type_ for name, type_ in graph.tensors.items()},
        outputs=named(graph.outputs),
    )
