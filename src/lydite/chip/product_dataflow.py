"""Arrays that run matrix products; a vector unit and the processor run the rest.

A dataflow of this family says three things: what it must know of a product (`problem`), which tiles
are possible (`tiles`), and what the product takes in one of them (`map_product`). Planning,
attention, search and memory are the same for all.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from lydite.chip.dataflow import Dataflow
from lydite.chip.mapped import (
    MappedLayer,
    jobs_of,
    map_beside,
    moved_bytes,
    plan_of,
    spread,
    tensor_bytes,
)
from lydite.chip.memory import ELEMENT_BYTES
from lydite.chip.operators import product_of, products_inside
from lydite.chip.plan import ARRAY, ChipPlan, LayerCost
from lydite.chip.product import Product
from lydite.chip.tilings import LayerPrice, TilingPolicy
from lydite.graph import Graph, Op
from lydite.hardware.chip import Chip

Problem = TypeVar("Problem", bound=Hashable)
Tile = TypeVar("Tile")

TRIED = 16
"""Number of tiles of a product that a search maps and prices."""


@dataclass(frozen=True)
class ProductCost:
    """What a product takes on the array alone.

    Attributes:
        cycles: Cycles by what they go to; they add up to the whole.
        sram_bytes: Bytes between scratchpads and array.
        local_bytes: Bytes read and written in memories inside the processing elements.
    """

    cycles: Mapping[str, float]
    sram_bytes: float
    local_bytes: float = 0.0


class ProductDataflow(Dataflow, Generic[Problem, Tile]):
    """An array that runs matrix products in tiles."""

    @abstractmethod
    def problem(self, op: Op, graph: Graph, product: Product) -> Problem:
        """What decides how a product is tiled; equal problems get equal tiles."""

    @abstractmethod
    def tiles(self, problem: Problem, chip: Chip, where: str, most: int) -> Sequence[Tile]:
        """At most so many possible tiles, the usual one first.

        Args:
            problem: what is tiled.
            chip: whose scratchpads hold the tiles.
            where: network and operator, for messages.
            most: number of tiles wanted.

        Raises:
            InputError: not even the smallest tile fits.
        """

    @abstractmethod
    def map_product(self, op: Op, chip: Chip, problem: Problem, tile: Tile) -> MappedLayer:
        """A product in tiles of that size: its cost and its invocations."""

    @abstractmethod
    def product_cost(self, product: Product, chip: Chip) -> ProductCost:
        """What a product takes whose operands are on the chip already, as inside attention."""

    def kernel(self, chip: Chip) -> str:
        """Name of what the array runs, as it stands in results."""
        return chip.array.kind

    def plan(self, graph: Graph, chip: Chip, tiling: TilingPolicy) -> ChipPlan:
        """Products in their tiles, attention whole, the rest beside the array."""
        price, known = tiling.layer_price(chip), dict[Problem, Tile]()
        layers: list[MappedLayer] = []
        for op in graph.ops:
            product = product_of(op, graph)
            if product is not None:
                problem = self.problem(op, graph, product)
                if problem not in known:
                    where = f"{graph.name}: {op.name}"
                    known[problem] = self._tile(op, chip, problem, where, price)
                layers.append(self.map_product(op, chip, problem, known[problem]))
            elif (inside := products_inside(op, graph)) is not None:
                layers.append(self._map_inside(op, graph, chip, *inside))
            else:
                layers.append(map_beside(op, graph, chip))
        return plan_of(layers, graph, chip)

    def _tile(
        self, op: Op, chip: Chip, problem: Problem, where: str, price: LayerPrice | None
    ) -> Tile:
        """The usual tile, or the cheapest of those that are tried."""
        if price is None:
            return self.tiles(problem, chip, where, 1)[0]

        def priced(tile: Tile) -> float:
            mapped = self.map_product(op, chip, problem, tile)
            rows = mapped.invocations
            return price(mapped.cost, jobs_of(rows, [0] * len(rows), chip))

        return min(self.tiles(problem, chip, where, TRIED), key=priced)

    def _map_inside(
        self, op: Op, graph: Graph, chip: Chip, products: Sequence[Product], special: int
    ) -> MappedLayer:
        """Products on the array and functions beside them; what lies between stays on the chip."""
        size = ELEMENT_BYTES[chip.dtype]
        split: dict[str, float] = {}
        sram, local = 0.0, 0.0
        for product in products:
            cost = self.product_cost(product, chip)
            for part, cycles in cost.cycles.items():
                split[part] = split.get(part, 0.0) + cycles
            sram += cost.sram_bytes
            local += cost.local_bytes
        split["vector"] = special * chip.vector.special_cycles / chip.vector.lanes
        inputs = [name for name in op.inputs if name]
        load, store = moved_bytes(op, graph, size)
        macs = sum(float(np.sum(product.macs)) for product in products)
        rows = spread(load, sum(split.values()), store, int(products[0].count), chip)
        cost = LayerCost(
            op.name,
            op.op_type,
            self.kernel(chip),
            ARRAY,
            len(rows),
            split,
            macs,
            load,
            store,
            sram + load + store,
            float(special),
            local_bytes=local,
        )
        whole = tensor_bytes(graph, inputs, size)
        share = load / whole if whole else 0.0
        loaded = [(name, share * tensor_bytes(graph, [name], size)) for name in inputs]
        return MappedLayer(cost, rows, loaded)
