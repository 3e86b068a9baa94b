"""The shapes of an operator to split into tiles; images are NHWC, matrices NC."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from lydite.errors import InputError
from lydite.records import dataclass

Dims = tuple[int, ...]
Padding = Literal["same", "valid"]


class Kind(StrEnum):
    """Kinds of operators that are split differently."""

    CONVOLUTION = "convolution"
    INNER_PRODUCT = "inner_product"
    POOLING = "pooling"
    BATCH_NORM = "batch_norm"
    FLAT = "flat"
    ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Problem:
    """The shapes of one operator.

    Attributes:
        kind: How the operator is split; FLAT is element-wise, ROWS works on whole rows (softmax).
        input: Sizes of the input, [N, H, W, C] or [N, C].
        output: Sizes of the output, [N, H, W, C] or [N, C].
        weights: Sizes of the weights: [output channels, rows, columns, input channels] for a
            convolution, [outputs, inputs] for an inner product, [4, channels] for a batch norm;
            else empty.
        kernel: Rows and columns of the window.
        stride: Vertical and horizontal strides of the window.
        pads: Zeros above, below, left and right of the image.
    """

    kind: Kind
    input: Dims
    output: Dims
    weights: Dims = ()
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        if min((*self.input, *self.output, *self.weights, *self.stride), default=0) < 1:
            raise InputError(f"an empty tensor or stride cannot be tiled: {self}")

    def __str__(self) -> str:
        window = f" window {self.kernel} stride {self.stride} pads {self.pads}"
        weights = f" * {list(self.weights)}" if self.weights else ""
        shown = window if self.kernel != (1, 1) or self.stride != (1, 1) else ""
        return f"{self.kind} {list(self.input)}{weights} -> {list(self.output)}{shown}"


def same_pads(kernel: tuple[int, int]) -> tuple[int, int, int, int]:
    """SMAUG's "same" padding: kernel - 1 zeros in total for any stride, the larger half first."""
    rows, cols = kernel
    return rows // 2, rows - 1 - rows // 2, cols // 2, cols - 1 - cols // 2


def out_size(size: int, kernel: int, stride: int, pad: int = 0) -> int:
    """Number of positions of a window of `kernel` on `size` elements and `pad` zeros."""
    return (size + pad - kernel) // stride + 1


def convolution(
    image: Dims,
    channels: int,
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> Problem:
    """A dense convolution of an image [N, H, W, C] with `channels` output channels."""
    rows, cols = _window(image, kernel, stride, pads)
    weights = (channels, *kernel, image[3])
    output = (image[0], rows, cols, channels)
    return Problem(Kind.CONVOLUTION, image, output, weights, kernel, stride, pads)


def pooling(image: Dims, kernel: tuple[int, int], stride: tuple[int, int]) -> Problem:
    """Pooling of an image [N, H, W, C] without padding."""
    rows, cols = _window(image, kernel, stride, (0, 0, 0, 0))
    output = (image[0], rows, cols, image[3])
    return Problem(Kind.POOLING, image, output, (), kernel, stride)


def inner_product(matrix: Dims, outputs: int) -> Problem:
    """A matrix [N, C] times the transpose of weights [outputs, C]."""
    return Problem(Kind.INNER_PRODUCT, matrix, (matrix[0], outputs), weights=(outputs, matrix[1]))


def batch_norm(tensor: Dims) -> Problem:
    """A batch norm of [N, H, W, C] or [N, C]; its four vectors are one matrix [4, C]."""
    return Problem(Kind.BATCH_NORM, tensor, tensor, weights=(4, tensor[-1]))


def flat(elements: int) -> Problem:
    """An element-wise operator on this many stored elements."""
    return Problem(Kind.FLAT, (1, elements), (1, elements))


def rows(matrix: Dims) -> Problem:
    """An operator on whole rows of a matrix [N, C]."""
    return Problem(Kind.ROWS, matrix, matrix)


def _window(
    image: Dims, kernel: tuple[int, int], stride: tuple[int, int], pads: tuple[int, int, int, int]
) -> tuple[int, int]:
    if len(image) != 4:
        raise InputError(f"the image {list(image)}", allowed="[N, H, W, C]")
    sizes = (
        out_size(image[1], kernel[0], stride[0], pads[0] + pads[1]),
        out_size(image[2], kernel[1], stride[1], pads[2] + pads[3]),
    )
    if min(*sizes, *kernel) < 1:
        raise InputError(f"a window of {kernel} does not fit the image {list(image)}, pads {pads}")
    return sizes
