"""Arrays that run matrix products; a vector unit and the processor run the rest.

A dataflow of this family says three things: what it must know of a product (`problem`), which tiles
are possible (`tiles`), and what the product takes in one of them (`map_product`). Planning,
products inside operators, attention, search and memory are the same for all.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

from lydite.chip.attention import Rooms, map_attention
from lydite.chip.dataflow import Dataflow
from lydite.chip.mapped import (
    Flushes,
    MappedLayer,
    flushed,
    jobs_of,
    joined,
    map_beside,
    map_vector,
    plan_of,
    with_functions,
)
from lydite.chip.memory import ELEMENT_BYTES
from lydite.chip.operands import Shares, shares_of, stage_shares
from lydite.chip.operators import fallback_reason, is_grouped, product_of, products_inside
from lydite.chip.plan import ChipPlan
from lydite.chip.product import Product, ProductCost
from lydite.chip.soc import Layer, play_soc
from lydite.chip.tilings import LayerPrice, TilingPolicy
from lydite.graph import Graph, Op
from lydite.graph.operators import Products
from lydite.graph.operators.products import MatrixProduct
from lydite.hardware.chip import Chip

Problem = TypeVar("Problem", bound=Hashable)
Tile = TypeVar("Tile")

TRIED = 16
"""Number of tiles per product that a search maps and prices."""

USUALLY_TRIED = 4
"""Number of tiles of a product that are played to find the usual one."""


class ProductDataflow(Dataflow, Generic[Problem, Tile]):
    """An array that runs matrix products in tiles."""

    @abstractmethod
    def problem(self, op: Op, graph: Graph, product: Product, shares: Shares) -> Problem:
        """What decides how a product is tiled; equal problems get equal tiles."""

    @abstractmethod
    def tiles(self, problem: Problem, chip: Chip, where: str, most: int) -> Sequence[Tile]:
        """About so many possible tiles, those that promise most first.

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

    def rooms(self, chip: Chip) -> Rooms:
        """Bytes that a left operand, a right operand and sums may have on the chip at a time."""
        third = chip.scratchpad_bytes / 6
        return third, third, third

    def kernel(self, chip: Chip) -> str:
        """Name in results of the kernel that the array runs."""
        return chip.array.kind

    def plan(self, graph: Graph, chip: Chip, tiling: TilingPolicy) -> ChipPlan:
        """Products in their tiles, attention in blocks, the rest beside the array."""
        tiler = _Tiler(self, graph, chip, tiling.layer_price(chip))
        layers: list[MappedLayer] = []
        for op in graph.ops:
            product = product_of(op, graph)
            if product is not None:
                shares = shares_of(op, graph, product, chip, self.rooms(chip)[1])
                layers.append(tiler.beside_or_on(op, tiler.mapped(op, product, shares)))
            elif (inside := products_inside(op, graph)) is not None:
                layers.append(self._map_inside(op, graph, chip, inside, tiler))
            else:
                layers.append(map_beside(op, graph, chip))
        return plan_of(layers, graph, chip)

    def _map_inside(
        self, op: Op, graph: Graph, chip: Chip, inside: Products, tiler: _Tiler
    ) -> MappedLayer:
        """Products one after the other, attention in blocks, and functions beside them."""
        left, right, _ = self.rooms(chip)
        element = ELEMENT_BYTES[chip.dtype]
        stages = inside.products[: len(inside.products) - inside.attended]
        parts: list[MappedLayer] = []
        again = 0.0
        for stage in stages:
            whole = 0.0 if stage.stored else float(stage.m) * stage.n * element
            spilled = whole * stage.count if whole > left else 0.0
            shares = stage_shares(op, graph, stage, chip, right, (again, spilled))
            again = again + spilled if stage is not stages[-1] else spilled
            parts.append(tiler.mapped(op, _plain(stage), shares))
        if inside.attended:
            attended = [_plain(each) for each in inside.products[-inside.attended :]]
            parts.append(
                map_attention(
                    op, graph, chip, attended, self, (bool(stages), again), self.rooms(chip)
                )
            )
            return joined(op, self.kernel(chip), parts)
        return with_functions(
            joined(op, self.kernel(chip), parts), float(inside.special_elements), chip
        )


def _plain(product: MatrixProduct) -> Product:
    return Product(product.m, product.k, product.n, product.count)


def _is_beside(op: Op, graph: Graph) -> bool:
    """Whether an operator has no products, so that it does not run on the array."""
    return product_of(op, graph) is None and products_inside(op, graph) is None


class _Tiler(Generic[Problem, Tile]):
    """Tiles of the products of one network, each problem's searched once."""

    def __init__(
        self,
        dataflow: ProductDataflow[Problem, Tile],
        graph: Graph,
        chip: Chip,
        price: LayerPrice | None,
    ) -> None:
        self._dataflow, self._graph, self._chip = dataflow, graph, chip
        self._most = USUALLY_TRIED if price is None else TRIED
        self._price = price or (lambda cost, jobs: play_soc(chip, jobs, [Layer(cost.name)]).seconds)
        host = [op for op in graph.ops if _is_beside(op, graph) and fallback_reason(op) is not None]
        self._flushes = Flushes(graph, chip, host)
        self._known: dict[tuple[Problem, float], Tile] = {}

    def mapped(self, op: Op, product: Product, shares: Shares) -> MappedLayer:
        """A product in the cheapest of the tiles that are tried."""
        problem = self._dataflow.problem(op, self._graph, product, shares)
        key = problem, self._flushes.cycles(op)
        if key not in self._known:
            where = f"{self._graph.name}: {op.name}"
            tiles = self._dataflow.tiles(problem, self._chip, where, self._most)
            self._known[key] = (
                tiles[0]
                if len(tiles) == 1
                else min(
                    tiles,
                    key=lambda tile: self.priced(
                        op, self._dataflow.map_product(op, self._chip, problem, tile)
                    ),
                )
            )
        return self._dataflow.map_product(op, self._chip, problem, self._known[key])

    def priced(self, op: Op, mapped: MappedLayer) -> float:
        """Price of a layer alone on the chip, with the flushes that it waits for."""
        rows = flushed(mapped.invocations, self._flushes.cycles(op))
        return self._price(mapped.cost, jobs_of(rows, [0] * len(rows), self._chip))

    def beside_or_on(self, op: Op, on_array: MappedLayer) -> MappedLayer:
        """A convolution in groups on the array or on the vector unit, whichever is cheaper."""
        if not is_grouped(op, self._graph):
            return on_array
        beside = map_vector(op, self._graph, self._chip, macs=on_array.cost.macs)
        return min(on_array, beside, key=lambda mapped: self.priced(op, mapped))
