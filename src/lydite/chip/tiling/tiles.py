"""The tiles of a tensor as columns: sizes and origins by dimension, without an object per tile."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from lydite.chip.tiling.constraints import Strategy
from lydite.records import dataclass

Columns = np.ndarray


@dataclass(frozen=True, eq=False)
class Grid:
    """Tiles in the order of their index, the last dimension fastest.

    Attributes:
        sizes: Size of each tile along each dimension.
        origins: Origin of each tile along each dimension; neighbours overlap with halos, and have
            gaps with strides larger than the kernel.
    """

    sizes: tuple[Columns, ...]
    origins: tuple[Columns, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of tiles by dimension."""
        return tuple(len(size) for size in self.sizes)

    @property
    def count(self) -> int:
        """Total number of tiles."""
        return math.prod(self.counts)

    @cached_property
    def indices(self) -> Columns:
        """Index of each tile by dimension, [count, dimensions]."""
        return np.indices(self.counts).reshape(len(self.counts), -1).T

    @cached_property
    def shapes(self) -> Columns:
        """Size of each tile, [count, dimensions]."""
        return self._columns(self.sizes)

    @cached_property
    def starts(self) -> Columns:
        """Origin of each tile, [count, dimensions]."""
        return self._columns(self.origins)

    def _columns(self, values: tuple[Columns, ...]) -> Columns:
        return np.stack([v[i] for v, i in zip(values, self.indices.T, strict=True)], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class TileOperand:
    """How one tensor is split.

    Attributes:
        strategy: Dimensions along which the tensor is split.
        tile: Size of all tiles that are not at an edge.
        grid: The tiles.
    """

    strategy: Strategy
    tile: tuple[int, ...]
    grid: Grid


@dataclass(frozen=True, slots=True, eq=False)
class Tiling:
    """How an operator is split.

    `pads` are the zeros above, below, left and right of each input tile, by its place along H
    (first two) and W (last two).
    """

    input: TileOperand
    output: TileOperand
    weights: TileOperand | None = None
    pads: tuple[Columns, Columns, Columns, Columns] | None = None


def plain(size: int, tile: int) -> tuple[Columns, Columns]:
    """Sizes and origins of tiles without halos along one dimension."""
    origins = np.arange(0, size, tile)
    return np.minimum(tile, size - origins), origins


def windowed(
    size: int, tile: int, kernel: int, stride: int, pad: int, exact: bool
) -> tuple[Columns, Columns]:
    """Sizes and origins of tiles under a moving window, which overlap by kernel - stride.

    The first tile, preceded by `pad` zeros, shrinks to whole strides, with `exact` even if that
    leaves it one position of the window. With a stride larger than the kernel the overlap is
    negative, and elements between two tiles are skipped.
    """
    if tile >= size:
        return np.array([size]), np.array([0])
    strides, halo = (tile + pad - kernel) // stride, kernel - stride
    first = kernel + stride * strides - pad if strides > 0 or exact else tile
    count = 1 + max(0, -(-(size - first + min(halo, 0)) // (tile - halo)))
    origins = first - halo + (tile - halo) * np.arange(-1, count - 1)
    origins[0] = 0
    sizes = np.minimum(tile, size - origins)
    sizes[0] = first
    return sizes, origins


def grid(*axes: tuple[Columns, Columns]) -> Grid:
    """A grid from the sizes and origins along each dimension."""
    return Grid(tuple(size for size, _ in axes), tuple(origin for _, origin in axes))
