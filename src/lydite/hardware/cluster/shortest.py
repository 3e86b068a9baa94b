"""Shortest paths over columns: hops to each destination, and the next links that achieve them.

Devices do not forward unless `through_devices` is set. Among paths of the fewest hops only the
widest (by their narrowest link) are used. Among equally good links, a hash of source, target,
channel and place picks one, so that the same message always goes the same way (equal-cost
multi-path routing as in switches; RFC 2992).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lydite.hardware.cluster.elements import DEVICE, Floats, Ints, Links, Nodes

FAR = np.int16(np.iinfo(np.int16).max // 4)
Seeds = npt.NDArray[np.uint64]


class ShortestPaths:
    """Paths to the destinations requested so far: one row of hops and widths for each."""

    def __init__(self, nodes: Nodes, links: Links, through_devices: bool = False) -> None:
        self.source, self.target = links.source, links.target
        self.bandwidth = links.bandwidth_bytes_per_s
        self.count = len(nodes)
        self.forwards = np.ones(len(nodes), bool) if through_devices else nodes.kind != DEVICE
        self.out = _padded(links.source, len(nodes))
        self._merge_parallel()
        self.row = np.full(len(nodes), -1, np.int32)
        self.hops = np.zeros((0, len(nodes)), np.int16)
        self.width = np.zeros((0, len(nodes)))

    def _merge_parallel(self) -> None:
        """Merge the links between each pair of nodes into the widest one; sorted by source."""
        order = np.lexsort((-self.bandwidth, self.target, self.source))
        source, target = self.source[order], self.target[order]
        new = np.ones(len(order), bool)
        new[1:] = (source[1:] != source[:-1]) | (target[1:] != target[:-1])
        self.near, self.far = source[new], target[new]
        self.wide = self.bandwidth[order][new]

    def rows(self, targets: Ints) -> Ints:
        """The row of each target; new targets are searched now."""
        fresh = np.flatnonzero(np.bincount(targets[self.row[targets] < 0])).astype(np.int32)
        for first in range(0, len(fresh), 128):
            part = fresh[first : first + 128]
            hops, width = self._search(part)
            self.row[part] = len(self.hops) + np.arange(len(part), dtype=np.int32)
            self.hops = np.concatenate([self.hops, hops])
            self.width = np.concatenate([self.width, width])
        return self.row[targets]

    def distance(self, at: Ints, targets: Ints) -> npt.NDArray[np.int16]:
        """Hops from each node to each target (broadcast against each other); FAR without a path."""
        rows = self.rows(targets.ravel()).reshape(targets.shape)
        return self.hops[rows, at]

    def _search(self, targets: Ints) -> tuple[npt.NDArray[np.int16], Floats]:
        """Breadth-first search from all targets at once, against the direction of the links."""
        lines = np.arange(len(targets))
        hops = np.full((len(targets), self.count), FAR, np.int16)
        width = np.zeros((len(targets), self.count))
        hops[lines, targets], width[lines, targets] = 0, np.inf
        front, level = hops == 0, 0
        while len(self.near) and front.any():
            level += 1
            links = np.flatnonzero(front.any(axis=0)[self.far])  # those that lead to a front
            near, far = self.near[links], self.far[links]
            starts = np.flatnonzero(np.r_[True, near[1:] != near[:-1]])[: len(near)]
            passing = np.where(front[:, far], width[:, far], 0.0)
            best = np.maximum.reduceat(np.minimum(passing, self.wide[links]), starts, axis=1)
            at = near[starts]
            fresh = (best > 0) & (hops[:, at] == FAR)
            hops[:, at] = np.where(fresh, np.int16(level), hops[:, at])
            width[:, at] = np.where(fresh, best, width[:, at])
            front = np.zeros_like(front)
            front[:, at] = fresh & self.forwards[at]
        return hops, width

    def walk(self, starts: Ints, targets: Ints, seeds: Seeds) -> list[Ints]:
        """Links of each path, one column per hop, -1 past the end; pairs must be reachable."""
        rows, at = self.rows(targets), starts.copy()
        columns: list[Ints] = []
        active = np.flatnonzero(at != targets)
        while len(active):
            column = np.full(len(starts), -1, np.int32)
            column[active] = self._next(at[active], targets[active], rows[active], seeds[active])
            at[active] = self.target[column[active]]
            columns.append(column)
            active = active[at[active] != targets[active]]
        return columns

    def _next(self, at: Ints, targets: Ints, rows: Ints, seeds: Seeds) -> Ints:
        choices = self.out[at]
        onward = self.target[choices]
        line = rows[:, None]
        good = (
            (choices >= 0)
            & (self.hops[line, onward] == (self.hops[rows, at] - 1)[:, None])
            & (self.forwards[onward] | (onward == targets[:, None]))
            & (
                np.minimum(self.bandwidth[choices], self.width[line, onward])
                >= self.width[rows, at][:, None]
            )
        )
        pick = mix(seeds ^ at.astype(np.uint64)) % good.sum(1).astype(np.uint64)
        column = (good.cumsum(1) > pick[:, None].astype(np.int64)).argmax(1)
        return choices[np.arange(len(at)), column]


def mix(values: Seeds) -> Seeds:
    """Hash 64-bit integers (splitmix64; Steele et al., OOPSLA 2014)."""
    values = (values + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _padded(source: Ints, nodes: int) -> Ints:
    """[nodes, maximum out-degree] link numbers, -1 where a node has fewer links."""
    order = np.argsort(source, kind="stable").astype(np.int32)
    degree = np.bincount(source, minlength=nodes)
    table = np.full((nodes, max(1, degree.max(initial=0))), -1, np.int32)
    first = np.cumsum(degree) - degree
    table[source[order], np.arange(len(order)) - first[source[order]]] = order
    return table
