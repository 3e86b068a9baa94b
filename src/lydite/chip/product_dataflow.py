"""Arrays that run matrix products; a vector unit and the processor run the rest.

A dataflow of this family says three things: what it must know of a product (`problem`), which tiles
are possible (`tiles`), and what the product takes in one of them (`map_product`). Planning,
products inside operators, attention, search and memory are the same for all.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from lydite.chip.attention import Rooms, map_attention
from lydite.chip.dataflow import Dataflow
from lydite.chip.mapped import (
    Flushes,
    InvocationColumns,
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
from lydite.chip.shared import Known, View, whole_view
from lydite.chip.soc import seconds_apart
from lydite.chip.tilings import LayerPrice, TilingPolicy
from lydite.graph import Graph, Op
from lydite.graph.operators import Products
from lydite.graph.operators.products import MatrixProduct
from lydite.hardware.chip import Chip

Problem = TypeVar("Problem", bound=Hashable)
Tile = TypeVar("Tile", bound=Hashable)

TRIED = 16
"""Number of tiles per product that a search maps and prices."""

_MOST_WORKS = 16
"""Sizes of scratchpads for which the products of a graph are held."""

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
        tiler = _Tiler(self, graph, chip, tiling.layer_price(chip))
        tiler.choose([work for each in works for work in each])
        layers = [
            self._mapped(op, graph, chip, each, tiler)
            for op, each in zip(graph.ops, works, strict=True)
        ]
        return plan_of(layers, graph, chip)

    def _works(self, graph: Graph, chip: Chip) -> list[list[_Work[Problem]]]:
        """The products of all operators that are tiled, by operator."""
        known: dict[Hashable, list[list[_Work[Problem]]]] = graph.memo("chip works")
        key = self, chip.dtype, self.rooms(chip)
        if key not in known:
            if len(known) >= _MOST_WORKS:
                known.clear()
            known[key] = [self._works_of(op, graph, chip) for op in graph.ops]
        return known[key]

    def _works_of(self, op: Op, graph: Graph, chip: Chip) -> list[_Work[Problem]]:
        """The products of an operator that are tiled, in order; none of others."""
        _, right, _ = self.rooms(chip)
        product = product_of(op, graph)
        if product is not None:
            shares = shares_of(op, graph, product, chip, right)
            return [_Work(op, self.problem(op, graph, product, shares))]
        inside = products_inside(op, graph)
        works: list[_Work[Problem]] = []
        again = 0.0
        for stage, spilled in self._stages(inside, chip):
            shares = stage_shares(op, graph, stage, chip, right, (again, spilled))
            again = _spilled_after(again, spilled, stage, inside)
            works.append(_Work(op, self.problem(op, graph, _plain(stage), shares)))
        return works

    def _mapped(
        self,
        op: Op,
        graph: Graph,
        chip: Chip,
        works: Sequence[_Work[Problem]],
        tiler: _Tiler[Problem, Tile],
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


def _on_host(graph: Graph) -> list[Op]:
    """Operators that neither the array nor the vector unit runs."""
    known: dict[str, list[Op]] = graph.memo("chip host")
    if "" not in known:
        beside = (op for op in graph.ops if product_of(op, graph) is None)
        beside = (op for op in beside if products_inside(op, graph) is None)
        known[""] = [op for op in beside if fallback_reason(op) is not None]
    return known[""]


@dataclass(frozen=True)
class _Work(Generic[Problem]):
    """A product of an operator, as its dataflow sees it."""

    op: Op
    problem: Problem


@dataclass
class _Choice(Generic[Tile]):
    """The tiles of a problem: seconds that each takes at least, and what is known to take."""

    op: Op
    tiles: Sequence[tuple[Tile, float]]
    seconds: dict[Tile, float]

    def open(self) -> list[Tile]:
        """Tiles that may be faster than all that were played: one if none was."""
        left = [(tile, least) for tile, least in self.tiles if tile not in self.seconds]
        if not self.seconds:
            return [tile for tile, _ in left[:1]]
        best = min(self.seconds.values())
        return [tile for tile, least in left if least <= best]


_SECONDS: Known[Hashable, dict[Any, float]] = Known(1 << 10)
"""Seconds of a product alone by tile, for each dataflow, view, problem and flushes."""
_MOST_TILES = 256
"""Tiles of a product whose seconds are held."""


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
        self._price = price
        self._flushes = Flushes(graph, chip, _on_host(graph))
        self._view = dataflow.mapping_view(chip)
        self._chosen: dict[tuple[Problem, float], Tile] = {}

    def choose(self, works: Sequence[_Work[Problem]]) -> None:
        """Find the cheapest of the tiles that are tried, for all products of the network."""
        choices: dict[tuple[Problem, float], _Choice[Tile]] = {}
        for work in works:
            key = self._key(work)
            if key not in choices:
                where = f"{self._graph.name}: {work.op.name}"
                tiles = self._dataflow.bounded_tiles(work.problem, self._chip, where, self._most)
                choices[key] = _Choice(work.op, tiles, {})
        several = {key: choice for key, choice in choices.items() if len(choice.tiles) > 1}
        held = {key: self._held(key) for key in several}
        for key, choice in several.items():
            choice.seconds |= {
                tile: held[key][tile] for tile, _ in choice.tiles if tile in held[key]
            }
        while left := [(k, t) for k, choice in several.items() for t in self._open(choice)]:
            played = self._played([(choices[key].op, key, tile) for key, tile in left])
            for (key, tile), seconds in zip(left, played, strict=True):
                choices[key].seconds[tile] = held[key][tile] = seconds
        self._chosen = {key: self._cheapest(key, choice) for key, choice in choices.items()}

    def _open(self, choice: _Choice[Tile]) -> list[Tile]:
        """Tiles to play: with a price of energy, the slower ones too."""
        if self._price is None:
            return choice.open()
        return [tile for tile, _ in choice.tiles if tile not in choice.seconds]

    def _key(self, work: _Work[Problem]) -> tuple[Problem, float]:
        return work.problem, self._flushes.cycles(work.op)

    def _held(self, key: tuple[Problem, float]) -> dict[Tile, float]:
        """Seconds by tile that are known of a product, also from other designs."""
        place = self._dataflow, self._view, key
        known = _SECONDS.get(place)
        if known is None or len(known) > _MOST_TILES:
            known = _SECONDS.put(place, {})
        return known

    def _played(self, tried: Sequence[tuple[Op, tuple[Problem, float], Tile]]) -> list[float]:
        """Seconds of products alone in tiles, with the flushes that they wait for."""
        return self._seconds(
            [
                (self._dataflow.map_product(op, self._view.chip, problem, tile), flush_cycles)
                for op, (problem, flush_cycles), tile in tried
            ]
        )

    def _seconds(self, layers: Sequence[tuple[MappedLayer, float]]) -> list[float]:
        """Seconds of layers alone, each with cycles of flushes."""
        rows = [flushed(mapped.invocations, cycles) for mapped, cycles in layers]
        numbers = np.repeat(np.arange(len(rows)), [len(each) for each in rows])
        jobs = jobs_of(InvocationColumns.joined(rows), numbers, self._chip)
        return seconds_apart(self._chip, jobs, len(rows))

    def _cheapest(self, key: tuple[Problem, float], choice: _Choice[Tile]) -> Tile:
        if len(choice.tiles) == 1:
            return choice.tiles[0][0]
        price = self._price
        if price is None:
            return min(
                (tile for tile, _ in choice.tiles if tile in choice.seconds),
                key=choice.seconds.__getitem__,
            )
        return min(
            (tile for tile, _ in choice.tiles),
            key=lambda tile: price(
                self._dataflow.map_product(choice.op, self._chip, key[0], tile).cost,
                choice.seconds[tile],
            ),
        )

    def mapped(self, work: _Work[Problem]) -> MappedLayer:
        """A product in the tile that was chosen for it."""
        tile = self._chosen[self._key(work)]
        return self._dataflow.map_product(work.op, self._chip, work.problem, tile)

    def beside_or_on(self, op: Op, on_array: MappedLayer) -> MappedLayer:
        """A convolution in groups on the array or on the vector unit, whichever is cheaper."""
        if not is_grouped(op, self._graph):
            return on_array
        beside = map_vector(op, self._graph, self._chip, macs=on_array.cost.macs)
        both = on_array, beside
        each = self._seconds([(mapped, self._flushes.cycles(op)) for mapped in both])
        if self._price is not None:
            each = [self._price(m.cost, seconds) for m, seconds in zip(both, each, strict=True)]
        return both[int(np.argmin(each))]
