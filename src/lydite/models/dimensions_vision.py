"""Dimensions of the convolutional families; nothing here builds a graph, as in `dimensions`."""

from __future__ import annotations

import math

from lydite.records import dataclass


@dataclass(frozen=True)
class ResNet:
    """A residual network.

    Attributes:
        blocks: of each of four stages.
        bottleneck: three convolutions a block, the outer ones 1x1; else two of 3x3.
    """

    blocks: tuple[int, int, int, int]
    bottleneck: bool

    @property
    def depth(self) -> int:
        """Layers with weights, shortcuts aside."""
        return 2 + (3 if self.bottleneck else 2) * sum(self.blocks)


@dataclass(frozen=True)
class NASNet:
    """NASNet-A.

    Attributes:
        cells: normal cells of each of three stages.
        filters: of a cell of the first stage.
        stem: filters of the first convolution.
        skips: the first normal cell behind a reduction looks back past the cell before it.
    """

    cells: int
    filters: int
    stem: int
    skips: bool


@dataclass(frozen=True)
class YOLOv5:
    """YOLOv5, as multiples of its largest but one (l).

    Attributes:
        depth: of the blocks of a stage.
        width: of the channels, which are rounded up to eights.
    """

    depth: float
    width: float

    def blocks(self, count: int) -> int:
        """Of a stage that has `count` in l."""
        return max(round(count * self.depth), 1)

    def channels(self, count: int) -> int:
        """Of a layer that has `count` in l."""
        return math.ceil(count * self.width / 8) * 8
