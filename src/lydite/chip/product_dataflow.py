"""Arrays that run matrix products; a vector unit and the processor run the rest.

A dataflow of this family defines what decides the tiling of a product (`problem`), which tiles are
possible (`tiles`), and what the product costs in a given tile (`map_product`). Planning, attention,
search and memory are common to all of them.
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
"""Number of tiles per product that a search maps and prices."""


@dataclass(frozen=True)
class ProductCost:
    """Cost of a product on the array alone.

    Attributes:
        cycles: Cycles by part; the sum is the total.
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
        """Everything that decides the tiling of a product; equal problems get equal tiles."""

    @abstractmethod
    def tiles(self, problem: Problem, chip: Chip, where: str, most: int) -> Sequence[Tile]:
        """At most `most` possible tiles, the usual one first.

        Args:
            problem: Problem to tile.
            chip: Chip whose scratchpads hold the tiles.
            where: Network and operator, for messages.
            most: Maximum number of tiles.

        Raises:
            InputError: not even the smallest tile fits.
        """

    @abstractmethod
    def map_product(self, op: Op, chip: Chip, problem: Problem, tile: Tile) -> MappedLayer:
        """Cost and invocations of a product in tiles of the given size."""

    @abstractmethod
    def product_cost(self, product: Product, chip: Chip) -> ProductCost:
        """Cost of a product whose operands are already on the chip, as within attention."""

    def kernel(self, chip: Chip) -> str:
        """Name in results of the kernel that the array runs."""
        return chip.array.kind

    def plan(self, graph: Graph, chip: Chip, tiling: TilingPolicy) -> ChipPlan:
        """Map products in tiles, attention as a whole, the rest to vector unit or processor."""
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
        """The usual tile, or the cheapest of the candidates if there is a price."""
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
        """Map products to the array, functions to the vector unit; intermediates stay on chip."""
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
