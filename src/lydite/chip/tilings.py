"""Policies that choose among an operator's possible tiles, by name.

A policy is a price. Without one, an operator gets its dataflow's usual tile; with one, the cheapest
of the candidates that the dataflow tries, and the network is never dearer than with usual tiles.
"""

from __future__ import annotations

from collections.abc import Callable

from lydite.chip.energy import layer_joules, leakage_w
from lydite.chip.plan import LayerCost
from lydite.hardware.chip import Chip
from lydite.records import dataclass
from lydite.registry import Registry

Price = Callable[[float, Callable[[], float]], float]
"""Price of work from its seconds and, on demand, its joules; the lowest price wins."""

LayerPrice = Callable[[LayerCost, float], float]
"""Price of a layer from its cost and its seconds alone on the chip."""


@dataclass(frozen=True)
class TilingPolicy:
    """How to choose among the possible tiles.

    Attributes:
        price: Price of a candidate; None to use the dataflow's usual tile.
    """

    price: Price | None = None

    def layer_price(self, chip: Chip) -> LayerPrice | None:
        """Price function for a layer alone on a chip; None for the usual tile."""
        price = self.price
        if price is None:
            return None

        def priced(cost: LayerCost, seconds: float) -> float:
            return price(
                seconds, lambda: sum(layer_joules(chip, cost).values()) + leakage_w(chip) * seconds
            )

        return priced


USUAL = TilingPolicy()
BEST = TilingPolicy(lambda seconds, joules: seconds)  # noqa: ARG005
BEST_ENERGY = TilingPolicy(lambda seconds, joules: joules())  # noqa: ARG005

TILINGS: Registry[TilingPolicy] = Registry(
    "lydite.tilings",
    "tiling",
    {
        "usual": "lydite.chip.tilings:USUAL",
        "best": "lydite.chip.tilings:BEST",
        "best-energy": "lydite.chip.tilings:BEST_ENERGY",
    },
)
"""Policies by name; packages add theirs through the entry-point group `lydite.tilings`."""
