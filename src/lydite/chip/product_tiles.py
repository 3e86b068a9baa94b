"""Tiles of the products of a network: those that promise most are played, the cheapest is taken."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from lydite.chip.invocations import InvocationColumns, flushed, jobs_of
from lydite.chip.mapped import Flushes, MappedLayer, map_vector
from lydite.chip.operators import fallback_reason, is_grouped, product_of, products_inside
from lydite.chip.shared import Known, View
from lydite.chip.soc import seconds_apart
from lydite.chip.tilings import LayerPrice
from lydite.graph import Graph, Op
from lydite.hardware.chip import Chip
from lydite.records import dataclass

Problem = TypeVar("Problem", bound=Hashable)

Tile = TypeVar("Tile", bound=Hashable)

TRIED = 16
"""Number of tiles per product that a search maps and prices."""

USUALLY_TRIED = 4
"""Number of tiles of a product that are played to find the usual one."""


class Tiled(Protocol):
    """What a search for tiles needs of `lydite.chip.product_dataflow.ProductDataflow`."""

    def bounded_tiles(
        self, problem: Any, chip: Chip, where: str, most: int
    ) -> Sequence[tuple[Any, float]]:
        """About so many possible tiles, each with seconds that it takes at least."""
        ...

    def mapping_view(self, chip: Chip) -> View:
        """What `map_product` uses of a chip."""
        ...

    def map_product(self, op: Op, chip: Chip, problem: Any, tile: Any) -> MappedLayer:
        """Cost and invocations of a product in tiles of the given size."""
        ...


def _on_host(graph: Graph) -> list[Op]:
    """Operators that neither the array nor the vector unit runs."""
    known: dict[str, list[Op]] = graph.memo("chip host")
    if "" not in known:
        beside = (op for op in graph.ops if product_of(op, graph) is None)
        beside = (op for op in beside if products_inside(op, graph) is None)
        known[""] = [op for op in beside if fallback_reason(op) is not None]
    return known[""]


@dataclass(frozen=True)
class Work(Generic[Problem]):
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


class Tiler(Generic[Problem, Tile]):
    """Tiles of the products of one network, each problem's searched once."""

    def __init__(
        self,
        dataflow: Tiled,
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

    def choose(self, works: Sequence[Work[Problem]]) -> None:
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

    def _key(self, work: Work[Problem]) -> tuple[Problem, float]:
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

    def mapped(self, work: Work[Problem]) -> MappedLayer:
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
