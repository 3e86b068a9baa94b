"""The tiles of a tensor as columns: sizes and origins by dimension, never an object a tile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lydite.chip.tiling.constraints import Strategy

Columns = np.ndarray


@dataclass(frozen=True, eq=False)
class Grid:
    """Tiles in the order of their index, the last dimension fastest.

    Attributes:
        sizes: Size of each tile along each dimension.
        origins: Where each tile begins in the tensor along each dimension; with halos neighbours
            overlap, with strides beyond the kernel there are gaps.
    """

    sizes: tuple[Columns, ...]
    origins: tuple[Columns, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Tiles by dimension."""
        return tuple(len(size) for size in self.sizes)

    @property
    def count(self) -> int:
        """Tiles in all."""
        return math.prod(self.counts)

    @cached_property
    def indices(self) -> Columns:
        """Each tile's place by dimension, [count, dimensions]."""
        return np.indices(self.counts).reshape(len(self.counts), -1).T

    @cached_property
    def shapes(self) -> Columns:
        """Each tile's sizes, [count, dimensions]."""
        return self._columns(self.sizes)

    @cached_property
    def starts(self) -> Columns:
        """Each tile's origin, [count, dimensions]."""
        return self._columns(self.origins)

    def _columns(self, values: tuple[Columns, ...]) -> Columns:
        return np.stack([v[i] for v, i in zip(values, self.indices.T, strict=True)], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class TileOperand:
    """How one tensor is cut.

    Attributes:
        strategy: Dimensions along which the tensor is cut.
        tile: Sizes that all tiles have but those at an edge.
        grid: The tiles.
    """

    strategy: Strategy
    tile: tuple[int, ...]
    grid: Grid


@dataclass(frozen=True, slots=True, eq=False)
class Tiling:
    """How an operator is cut; `pads` are the zeros above, below, left and right of each input
    tile by its place along H (first two) and W (last two)."""

    input: TileOperand
    output: TileOperand
    weights: TileOperand | None = None
    pads: tuple[Columns, Columns, Columns, Columns] | None = None


def plain(size: int, tile: int) -> tuple[Columns, Columns]:
    """Sizes and origins of tiles without halo along one dimension."""
    origins = np.arange(0, size, tile)
    return np.minimum(tile, size - origins), origins


def windowed(
    size: int, tile: int, kernel: int, stride: int, pad: int, exact: bool
) -> tuple[Columns, Columns]:
    """Sizes and origins of tiles under a moving window, which overlap by kernel - stride.

    The first tile, which `pad` zeros precede, shrinks to whole strides; so it does even if that
    leaves it one position of the window where `exact`. With a stride beyond the kernel the overlap
    is negative, and elements between two tiles are skipped.
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
    """A grid of the sizes and origins along each dimension."""
    return Grid(tuple(size for size, _ in axes), tuple(origin for _, origin in axes))
