"""Arrays that run matrix products; a vector unit and the processor run the rest.

A dataflow of this family says three things: what it must know of a product (`problem`), which tiles
are possible (`tiles`), and what the product takes in one of them (`map_product`). Planning,
products inside operators, attention, search and memory are the same for all.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from typing import Generic

from lydite.chip.attention import Rooms, map_attention
from lydite.chip.dataflow import Dataflow
from lydite.chip.mapped import MappedLayer, joined, map_beside, plan_of, with_functions
from lydite.chip.memory import ELEMENT_BYTES
from lydite.chip.operands import Shares, shares_of, stage_shares
from lydite.chip.operators import product_of, products_inside
from lydite.chip.plan import ChipPlan
from lydite.chip.product import Product, ProductCost
from lydite.chip.product_tiles import Problem, Tile, Tiler, Work
from lydite.chip.shared import View, whole_view
from lydite.chip.tilings import TilingPolicy
from lydite.graph import Graph, Op
from lydite.graph.operators import Products
from lydite.graph.operators.products import MatrixProduct
from lydite.hardware.chip import Chip

_MOST_WORKS = 16
"""Sizes of scratchpads for which the products of a graph are held."""


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

    def bounded_tiles(
        self, problem: Problem, chip: Chip, where: str, most: int
    ) -> Sequence[tuple[Tile, float]]:
        """`tiles`, each with seconds that it takes at least; tiles that cannot win are not played.

        Seconds are those that `lydite.chip.soc.play_soc` takes for the product alone; 0 if nothing
        is known.
        """
        return [(tile, 0.0) for tile in self.tiles(problem, chip, where, most)]

    def mapping_view(self, chip: Chip) -> View:
        """What `map_product` uses of a chip: designs with the same view share what tiles take."""
        return whole_view(chip)

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
        works = self._works(graph, chip)
        tiler = Tiler(self, graph, chip, tiling.layer_price(chip))
        tiler.choose([work for each in works for work in each])
        layers = [
            self._mapped(op, graph, chip, each, tiler)
            for op, each in zip(graph.ops, works, strict=True)
        ]
        return plan_of(layers, graph, chip)

    def _works(self, graph: Graph, chip: Chip) -> list[list[Work[Problem]]]:
        """The products of all operators that are tiled, by operator."""
        known: dict[Hashable, list[list[Work[Problem]]]] = graph.memo("chip works")
        key = self, chip.dtype, self.rooms(chip)
        if key not in known:
            if len(known) >= _MOST_WORKS:
                known.clear()
            known[key] = [self._works_of(op, graph, chip) for op in graph.ops]
        return known[key]

    def _works_of(self, op: Op, graph: Graph, chip: Chip) -> list[Work[Problem]]:
        """The products of an operator that are tiled, in order; none of others."""
        _, right, _ = self.rooms(chip)
        product = product_of(op, graph)
        if product is not None:
            shares = shares_of(op, graph, product, chip, right)
            return [Work(op, self.problem(op, graph, product, shares))]
        inside = products_inside(op, graph)
        works: list[Work[Problem]] = []
        again = 0.0
        for stage, spilled in self._stages(inside, chip):
            shares = stage_shares(op, graph, stage, chip, right, (again, spilled))
            again = _spilled_after(again, spilled, stage, inside)
            works.append(Work(op, self.problem(op, graph, _plain(stage), shares)))
        return works

    def _mapped(
        self,
        op: Op,
        graph: Graph,
        chip: Chip,
        works: Sequence[Work[Problem]],
        tiler: Tiler[Problem, Tile],
    ) -> MappedLayer:
        """An operator in the tiles that were chosen."""
        inside = products_inside(op, graph)
        if inside is None:
            if not works:
                return map_beside(op, graph, chip)
            return tiler.beside_or_on(op, tiler.mapped(works[0]))
        parts = [tiler.mapped(work) for work in works]
        if not inside.attended:
            whole = joined(op, self.kernel(chip), parts)
            return with_functions(whole, float(inside.special_elements), chip)
        again = 0.0
        for stage, spilled in self._stages(inside, chip):
            again = _spilled_after(again, spilled, stage, inside)
        attended = [_plain(each) for each in inside.products[-inside.attended :]]
        made = bool(parts), again
        parts.append(map_attention(op, graph, chip, attended, self, made, self.rooms(chip)))
        return joined(op, self.kernel(chip), parts)

    def _stages(self, inside: Products | None, chip: Chip) -> list[tuple[MatrixProduct, float]]:
        """Products inside an operator but those of attention, and bytes of theirs that spill."""
        if inside is None:
            return []
        left, element = self.rooms(chip)[0], ELEMENT_BYTES[chip.dtype]
        found: list[tuple[MatrixProduct, float]] = []
        for stage in _before_attention(inside):
            whole = 0.0 if stage.stored else float(stage.m) * stage.n * element
            found.append((stage, whole * stage.count if whole > left else 0.0))
        return found


def _before_attention(inside: Products) -> Sequence[MatrixProduct]:
    return inside.products[: len(inside.products) - inside.attended]


def _spilled_after(
    again: float, spilled: float, stage: MatrixProduct, inside: Products | None
) -> float:
    """Bytes that the next product loads of results that did not stay on the chip."""
    assert inside is not None
    return again + spilled if stage is not _before_attention(inside)[-1] else spilled


def _plain(product: MatrixProduct) -> Product:
    return Product(product.m, product.k, product.n, product.count)
