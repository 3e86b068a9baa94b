"""Tiles of products that take less time or energy than the usual ones.

Those that promise most are laid out and priced.
"""

from __future__ import annotations

from collections.abc import Callable

from lydite.chip.plan import LayerCost
from lydite.chip.soc import Jobs
from lydite.chip.systolic.laid import jobs_of, lay_product
from lydite.chip.systolic.tiles import Matrices, Sizes, ranked_sizes
from lydite.graph import Op
from lydite.hardware.chip import Chip

Price = Callable[[LayerCost, Jobs], float]
"""Of a layer alone, in any unit."""

TRIED = 16
"""How many sizes of a product are laid out."""


def cheapest_sizes(op: Op, chip: Chip, of: Matrices, where: str, price: Price) -> Sizes:
    """The tile of a product of the least price, the usual one where nothing is cheaper.

    Raises:
        InputError: not even one fold fits.
    """

    def priced(sizes: Sizes) -> float:
        laid = lay_product(op, chip, of, sizes)
        return price(laid.cost, jobs_of(laid.rows, [0] * len(laid.rows), chip))

    return min(ranked_sizes(chip, of, where, most=TRIED), key=priced)
