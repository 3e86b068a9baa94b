"""A dataflow's constraints on its tiles, as data, so that the tiler is independent of dataflows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum

from lydite.errors import unknown_name
from lydite.records import dataclass

Extent = int | str
"""Size of a tile: a number, "kernel" or "stride" (of the dimension), or "full"."""


class Strategy(StrEnum):
    """Dimensions along which an operand is split; SMAUG's names."""

    NONE = "None"
    N = "DimN"
    NC = "DimNC"
    NH = "DimNH"
    NW = "DimNW"
    NHW = "DimNHW"
    NCH = "DimNCH"
    NCW = "DimNCW"

    @property
    def axes(self) -> str:
        """The dimensions that are split, in order: "" or "NCH"."""
        return "" if self is Strategy.NONE else self.value.removeprefix("Dim")


def strategy_named(name: str) -> Strategy:
    """A strategy by name, ignoring case.

    Raises:
        InputError: the name is unknown (the error suggests the nearest one).
    """
    known = {one.value.lower(): one for one in Strategy}
    if name.lower() not in known:
        raise unknown_name("tiling strategy", name, known)
    return known[name.lower()]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on splitting one operand of one kind of operator.

    Attributes:
        capacity_elements: Elements that the scratchpad holds, padding of the innermost dimension
            included.
        smallest: Smallest tile, by dimension (N, H, W, C or N, C; weights count their output
            channels as N); a smaller tensor is taken whole.
        step: Increment of sizes above the smallest, by dimension.
        strategies: Allowed strategies, in order of preference.
    """

    capacity_elements: int
    smallest: tuple[Extent, ...]
    step: tuple[Extent, ...]
    strategies: tuple[Strategy, ...] = tuple(Strategy)


@dataclass(frozen=True, slots=True)
class Roles:
    """Limits on the operands of one kind of operator.

    Attributes:
        input: Limits of the input.
        output: Limits of the output.
        weights: Limits of the weights; None for an operator without weights.
        output_leaves_early: Whether each weight tile's output channels leave the scratchpad as soon
            as they are computed, even where the whole output would fit.
        output_in_parts: Whether one weight tile can serve several output tiles, each taking a part
            of its output channels.
        one_image: Whether a tile holds one image of the batch only.
    """

    input: Limits
    output: Limits
    weights: Limits | None = None
    output_leaves_early: bool = False
    output_in_parts: bool = False
    one_image: bool = False


@dataclass(frozen=True, slots=True)
class Constraints:
    """All constraints of a dataflow.

    Attributes:
        name: Name of the dataflow.
        element_bytes: Bytes per element in off-chip memory.
        alignment: Multiple to which the innermost dimension is padded in memory.
        convolution: Limits on the operands of a convolution.
        inner_product: Limits on the operands of an inner product.
        pooling: Limits on the operands of pooling.
        batch_norm: Limits on the operands of a batch norm of images.
        batch_norm_2d: Limits on the operands of a batch norm of matrices.
        flat_elements: Longest tile of an operator that treats a tensor as a line of elements.
        exact_halos: Whether the first tile of a padded input shrinks like all others if it holds
            less than one whole stride beyond its kernel. SMAUG does not shrink it (False) and then
            reads wrong rows for the tiles behind it.
    """

    name: str
    element_bytes: int
    alignment: int
    convolution: Roles
    inner_product: Roles
    pooling: Roles
    batch_norm: Roles
    batch_norm_2d: Roles
    flat_elements: int
    exact_halos: bool = True

    def stored(self, dims: Sequence[int]) -> int:
        """Elements that a tensor occupies in memory, with its innermost dimension padded."""
        return math.prod(dims[:-1]) * (-(-dims[-1] // self.alignment) * self.alignment)
