"""What a dataflow asks of its tiles, as data: the tiler itself knows no dataflow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lydite.errors import unknown_name

Extent = int | str
"""A size of a tile: a number, "kernel" or "stride" (of that dimension), or "full"."""


class Strategy(StrEnum):
    """Along which dimensions an operand is cut; SMAUG's names."""

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
        """The dimensions that it cuts, in the order in which they are cut: "" or "NCH"."""
        return "" if self is Strategy.NONE else self.value.removeprefix("Dim")


def strategy_named(name: str) -> Strategy:
    """A strategy by its name, in any case.

    Raises:
        InputError: unknown (with the nearest match).
    """
    known = {one.value.lower(): one for one in Strategy}
    if name.lower() not in known:
        raise unknown_name("tiling strategy", name, known)
    return known[name.lower()]


@dataclass(frozen=True, slots=True)
class Limits:
    """How one operand of one kind of operator may be cut.

    Attributes:
        capacity_elements: Elements that the scratchpad holds, padding of the innermost dimension
            included.
        smallest: Least tile, by dimension (N, H, W, C or N, C; weights count their output channels
            as N); a tensor that is smaller still is taken whole.
        step: Steps in which sizes grow above the least, by dimension.
        strategies: Strategies that are allowed, the preferred first.
    """

    capacity_elements: int
    smallest: tuple[Extent, ...]
    step: tuple[Extent, ...]
    strategies: tuple[Strategy, ...] = tuple(Strategy)


@dataclass(frozen=True, slots=True)
class Roles:
    """The operands of one kind of operator.

    Attributes:
        input: Limits of the input.
        output: Limits of the output.
        weights: Limits of the weights; None for an operator without.
        output_leaves_early: Whether each weight tile's output channels leave the scratchpad as soon
            as they are done, even where the whole output would fit.
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
    """All that a dataflow asks.

    Attributes:
        name: Name of the dataflow.
        element_bytes: Bytes of one element in memory, off the chip.
        alignment: Multiple to which the innermost dimension is padded in memory.
        convolution: Limits on the operands of a convolution.
        inner_product: Limits on the operands of an inner product.
        pooling: Limits on the operands of pooling.
        batch_norm: Limits on the operands of a batch norm of images.
        batch_norm_2d: Limits on the operands of a batch norm of matrices.
        flat_elements: Longest tile of an operator that treats a tensor as a line of elements.
        exact_halos: Whether a first tile of a padded input that holds less than one whole stride
            beyond its kernel shrinks as every other does. SMAUG leaves it as it is (False) and then
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
        """Elements that a tensor takes in memory, its innermost dimension padded."""
        return math.prod(dims[:-1]) * (-(-dims[-1] // self.alignment) * self.alignment)
