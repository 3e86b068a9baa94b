"""Paths between nodes, as link numbers.

A regular cluster is never searched as a whole: a path between hosts consists of a path within the
first host to a network card, a path over the switches and a path within the second host. The card
is the nearest one in its host; ties are resolved by the fewest hops over the switches, then devices
take turns.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from lydite.hardware.cluster.elements import (
    CORE,
    DEVICE,
    LEAF,
    NIC,
    SPINE,
    Bools,
    Ints,
    Layout,
    Links,
    Nodes,
)
from lydite.hardware.cluster.shortest import FAR, Seeds, ShortestPaths, mix
from lydite.records import dataclass

_CHUNK = 16384


@dataclass(frozen=True, eq=False)
class Paths:
    """Paths in CSR form: path p uses `links[start[p]:start[p + 1]]`, in order."""

    start: npt.NDArray[np.int64]
    links: Ints

    def __len__(self) -> int:
        return len(self.start) - 1

    def __getitem__(self, path: int) -> Ints:
        return self.links[self.start[path] : self.start[path + 1]]

    @property
    def hops(self) -> npt.NDArray[np.int64]:
        """[paths] number of links of each path."""
        return np.diff(self.start)


class Router:
    """Paths of one graph; search results are cached."""

    def __init__(self, nodes: Nodes, links: Links, layout: Layout | None = None) -> None:
        self.nodes, self.links, self.layout = nodes, links, layout

    @cached_property
    def _inside(self) -> tuple[ShortestPaths, ShortestPaths]:
        """Searches within a host (or the whole graph), without and with forwarding by devices."""
        if self.layout is None:
            return ShortestPaths(self.nodes, self.links), ShortestPaths(
                self.nodes, self.links, True
            )
        graph = self.layout.template, self.layout.template_links
        return ShortestPaths(*graph), ShortestPaths(*graph, True)

    @cached_property
    def _between(self) -> ShortestPaths:
        assert self.layout is not None
        switches = len(self.nodes) - self.layout.first_switch
        nothing = np.zeros(switches, np.int32)
        return ShortestPaths(
            Nodes(nothing.astype(np.int8) + 1, nothing, nothing), self.layout.switch_links
        )

    @cached_property
    def cards(self) -> NearCards:
        """Network cards that serve each node of a host."""
        assert self.layout is not None
        return NearCards(self.layout, self._inside[0])

    @cached_property
    def bundle(self) -> npt.NDArray[np.int64]:
        """[links] representative of the links that adaptive routing treats as one.

        All cables from a leaf to its spines form one bundle, all cables back another; likewise
        between a pod and the cores. Any other link represents itself.
        """
        bundle = np.arange(len(self.links))
        if self.layout is None:
            return bundle
        source, target = self.links.source, self.links.target
        lowest = np.arange(len(self.nodes))  # for each spine: the first leaf of its pod
        climbs = (self.nodes.kind[source] == LEAF) & (self.nodes.kind[target] == SPINE)
        np.minimum.at(lowest, target[climbs], source[climbs])
        for low, high in ((LEAF, SPINE), (SPINE, CORE)):
            for origin, end in ((source, target), (target, source)):
                chosen = (self.nodes.kind[origin] == low) & (self.nodes.kind[end] == high)
                at = np.flatnonzero(chosen)
                _, first, of = np.unique(lowest[origin[at]], return_index=True, return_inverse=True)
                bundle[at] = at[first][of]
        return bundle

    def reachable(self, sources: Ints, targets: Ints) -> Bools:
        """[pairs] whether a path exists."""
        here, there = self._local(sources), self._local(targets)
        within = self._inside[1].distance(here, there) < FAR
        if self.layout is None:
            return within
        same = self._host(sources) == self._host(targets)
        if not self.layout.cards:
            return within & same
        out, back = self.cards.hops_out[here].min(1) < FAR, self.cards.hops_in[there].min(1) < FAR
        return (within & same) | (out & back)

    def paths(self, sources: Ints, targets: Ints, channel: npt.NDArray[np.int64]) -> Paths:
        """Like `paths`, for pairs that are reachable."""
        parts = [
            self._part(
                sources[at : at + _CHUNK], targets[at : at + _CHUNK], channel[at : at + _CHUNK]
            )
            for at in range(0, len(sources), _CHUNK)
        ]
        counts = np.concatenate([np.zeros(1, np.int64), *(count for count, _ in parts)])
        links = np.concatenate([np.zeros(0, np.int32), *(link for _, link in parts)])
        return Paths(np.cumsum(counts), links)

    def _part(
        self, sources: Ints, targets: Ints, channel: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], Ints]:
        seeds = mix(
            mix(mix(sources.astype(np.uint64)) ^ targets.astype(np.uint64))
            ^ channel.astype(np.uint64)
        )
        here, there = self._local(sources), self._local(targets)
        strict = self._inside[0]
        direct = strict.distance(here, there) < FAR
        if self.layout is not None:
            direct &= self._host(sources) == self._host(targets)
        cards = np.zeros_like(direct)
        if self.layout is not None and self.layout.cards:
            cards = ~direct & (self.cards.hops_out[here].min(1) < FAR)
            cards &= self.cards.hops_in[there].min(1) < FAR
        table = np.full((len(sources), 0), -1, np.int32)
        for search, chosen in ((strict, direct), (self._inside[1], ~direct & ~cards)):
            at = np.flatnonzero(chosen)
            if len(at):
                base = self._first_link(sources[at])
                columns = _raised(search.walk(here[at], there[at], seeds[at]), base)
                table = _placed(table, at, columns)
        at = np.flatnonzero(cards)
        if len(at):
            table = _placed(table, at, self._over(sources[at], targets[at], seeds[at], channel[at]))
        kept = table >= 0
        return kept.sum(1), table[kept]

    def _over(
        self, sources: Ints, targets: Ints, seeds: Seeds, channel: npt.NDArray[np.int64]
    ) -> list[Ints]:
        """Paths that leave one host through a card and enter the other through a card."""
        layout, cards, strict = self.layout, self.cards, self._inside[0]
        assert layout is not None
        here, there = self._local(sources), self._local(targets)
        out_host, in_host = self._host(sources), self._host(targets)
        between = self._between
        leave, enter = layout.card_switch[out_host], layout.card_switch[in_host]  # [pairs, cards]
        far = between.distance(leave[:, :, None], enter[:, None, :])
        inside = cards.hops_out[here][:, :, None] + cards.hops_in[there][:, None, :]
        hops = inside.astype(np.int64) * int(FAR) + far
        out = cards.pick(hops.min(2), here, channel)
        lines = np.arange(len(here))
        back = cards.pick(hops[lines, out], there, channel)
        up = layout.first_cable + 2 * (out_host * layout.cards + out)
        down = layout.first_cable + 2 * (in_host * layout.cards + back) + 1
        return [
            *_raised(strict.walk(here, cards.node[out], seeds), self._first_link(sources)),
            up.astype(np.int32),
            *_raised(
                between.walk(leave[lines, out], enter[lines, back], seeds),
                np.full(len(here), layout.first_switch_link, np.int32),
            ),
            down.astype(np.int32),
            *_raised(strict.walk(cards.node[back], there, seeds), self._first_link(targets)),
        ]

    def _host(self, nodes: Ints) -> Ints:
        assert self.layout is not None
        return nodes // np.int32(len(self.layout.template))

    def _local(self, nodes: Ints) -> Ints:
        return nodes if self.layout is None else nodes % np.int32(len(self.layout.template))

    def _first_link(self, nodes: Ints) -> Ints:
        if self.layout is None:
            return np.zeros(len(nodes), np.int32)
        return self._host(nodes) * np.int32(len(self.layout.template_links))


class NearCards:
    """Distance of each node of a host to its network cards.

    Attributes:
        node: [cards] node of each card in its host.
        hops_out, hops_in: [nodes, cards] number of links to and from each card.
    """

    def __init__(self, layout: Layout, search: ShortestPaths) -> None:
        nodes = np.arange(len(layout.template), dtype=np.int32)
        self.node = nodes[layout.template.kind == NIC]
        self.hops_out = search.distance(nodes[:, None], self.node[None, :])
        self.hops_in = search.distance(self.node[None, :], nodes[:, None])
        near = self.hops_out == self.hops_out.min(1, keepdims=True, initial=FAR)
        device = layout.template.kind == DEVICE
        same = (near[:, None, :] == near[None, :, :]).all(2) & device[:, None] & device[None, :]
        self.sharers = np.maximum(same.sum(1), 1)
        self.turn = np.tril(same, -1).sum(1)

    def pick(self, hops: np.ndarray, nodes: Ints, channel: npt.NDArray[np.int64]) -> Ints:
        """[pairs] a card with the fewest hops; devices that share cards take turns."""
        good = hops == hops.min(1, keepdims=True)
        count, sharers = good.sum(1), self.sharers[nodes]
        turn = (self.turn[nodes] + np.where(sharers < count, channel * sharers, 0)) % count
        return (good.cumsum(1) > turn[:, None]).argmax(1).astype(np.int32)

    def of(self, node: int) -> list[int]:
        """Cards that a node of a host has to itself, or its turn among those it shares."""
        near = np.flatnonzero(self.hops_out[node] == self.hops_out[node].min(initial=FAR))
        step, first = int(self.sharers[node]), int(self.turn[node])
        spread = range(max(1, len(near) // step))
        return list(dict.fromkeys(int(near[(first + at * step) % len(near)]) for at in spread))


def _raised(columns: list[Ints], base: Ints) -> list[Ints]:
    return [np.where(column >= 0, column + base, np.int32(-1)) for column in columns]


def _placed(table: Ints, at: npt.NDArray[np.int64], columns: list[Ints]) -> Ints:
    """The table with `columns` in the rows `at`, widened if needed."""
    if len(columns) > table.shape[1]:
        more = np.full((len(table), len(columns) - table.shape[1]), -1, np.int32)
        table = np.hstack([table, more])
    if columns:
        table[at, : len(columns)] = np.stack(columns, 1)
    return table
