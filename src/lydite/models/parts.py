"""Parts that several families share."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace

from lydite.errors import InputError
from lydite.graph import Builder, Graph, Tensor


def vision(name: str, dtype: str, batch: int, image_size: int) -> tuple[Builder, Tensor]:
    """A builder and its input, colour images; convolutions know bfloat16 since opset 22."""
    g = Builder(name, dtype=dtype, opset=22 if dtype == "bfloat16" else 20)
    return g, g.input("image", (batch, 3, image_size, image_size))


def adaptive_pool(g: Builder, x: Tensor, size: int) -> Tensor:
    """Average to `size` x `size` positions, as PyTorch's adaptive pooling does.

    Raises:
        InputError: that takes windows of different sizes, which ONNX has no operator for.
    """
    positions = x.shape[2]
    if positions == size:
        return x
    if size % positions == 0:
        sizes = g.constant([*x.shape[:2], size, size], "sizes")
        attrs = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return g.op("Resize", x, None, None, sizes, mode="nearest", **attrs)
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
    g: Builder, x: Tensor, channels: int, kernel: int | tuple[int, int], *, stride: int = 1,
    pad: int | tuple[int, int] = 0, group: int = 1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
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
