"""Columns of nodes and links, built piece by piece."""

from __future__ import annotations

from dataclasses import field

import numpy as np
import numpy.typing as npt

from lydite.hardware.cluster.design import Wire
from lydite.hardware.cluster.elements import LINK_KINDS, Links, Nodes
from lydite.records import dataclass

Ends = npt.ArrayLike


@dataclass
class Columns:
    """Nodes of one host or of the fabric, and the two-way links between them."""

    kinds: list[int] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    pieces: list[tuple[np.ndarray, np.ndarray, Wire, np.ndarray]] = field(default_factory=list)

    def add(self, node_kind: int, count: int) -> list[int]:
        """Add nodes of one kind, numbered from 0 within the kind; returns their node numbers."""
        first = len(self.kinds)
        self.kinds += [node_kind] * count
        self.indices += range(count)
        return list(range(first, first + count))

    def connect(self, left: Ends, right: Ends, wire: Wire, times: Ends = 1) -> None:
        """Link each of `left` with each of `right`, both ways, `times` as wide as `wire`."""
        a, b, n = np.broadcast_arrays(np.asarray(left), np.asarray(right), np.asarray(times))
        if a.size:
            self.pieces.append((a.ravel(), b.ravel(), wire, n.ravel()))

    def nodes(self, host: int) -> Nodes:
        """The nodes as columns, all in `host`."""
        return Nodes(
            np.array(self.kinds, np.int8),
            np.full(len(self.kinds), host, np.int32),
            np.array(self.indices, np.int32),
        )

    def links(self) -> Links:
        """The links as columns; link 2 i + 1 is the reverse of link 2 i."""
        empty = np.zeros(0, np.int64)
        left = np.concatenate([empty, *(a for a, _, _, _ in self.pieces)])
        right = np.concatenate([empty, *(b for _, b, _, _ in self.pieces)])

        def column(values: list[np.ndarray], dtype: npt.DTypeLike) -> np.ndarray:
            return np.repeat(np.concatenate([empty, *values]).astype(dtype), 2)

        count = [len(a) for a, _, _, _ in self.pieces]
        wires = [wire for _, _, wire, _ in self.pieces]
        rate = [w.bandwidth_bytes_per_s * n for _, _, w, n in self.pieces]
        latency = [np.full(c, w.latency_s) for c, w in zip(count, wires, strict=True)]
        kind = [np.full(c, LINK_KINDS.index(w.kind)) for c, w in zip(count, wires, strict=True)]
        fifo = [np.full(c, w.fifo) for c, w in zip(count, wires, strict=True)]
        return Links(
            source=np.stack([left, right], 1).ravel().astype(np.int32),
            target=np.stack([right, left], 1).ravel().astype(np.int32),
            bandwidth_bytes_per_s=column(rate, np.float64),
            latency_s=column(latency, np.float64),
            kind=column(kind, np.int8),
            fifo=column(fifo, np.bool_),
            twin=(np.arange(2 * len(left)) ^ 1).astype(np.int32),
        )


def repeat_nodes(nodes: Nodes, times: int) -> Nodes:
    """Repeat the nodes of one host for hosts 0 to times - 1."""
    return Nodes(
        np.tile(nodes.kind, times),
        np.repeat(np.arange(times, dtype=np.int32), len(nodes)),
        np.tile(nodes.index, times),
    )


def repeat_links(links: Links, times: int, nodes: int) -> Links:
    """Repeat the links of one host for `times` hosts of `nodes` nodes each."""
    shift = np.repeat(np.arange(times, dtype=np.int32), len(links))
    return Links(
        np.tile(links.source, times) + shift * np.int32(nodes),
        np.tile(links.target, times) + shift * np.int32(nodes),
        np.tile(links.bandwidth_bytes_per_s, times),
        np.tile(links.latency_s, times),
        np.tile(links.kind, times),
        np.tile(links.fifo, times),
        np.tile(links.twin, times) + shift * np.int32(len(links)),
    )


def shifted(links: Links, nodes: int, first: int) -> Links:
    """Shift node numbers by `nodes`, and number the links from `first`."""
    return Links(
        links.source + np.int32(nodes),
        links.target + np.int32(nodes),
        links.bandwidth_bytes_per_s,
        links.latency_s,
        links.kind,
        links.fifo,
        links.twin + np.int32(first),
    )


def join_nodes(*parts: Nodes) -> Nodes:
    """Concatenate node columns."""
    return Nodes(
        *(np.concatenate([getattr(p, c) for p in parts]) for c in ("kind", "host", "index"))
    )


def join_links(*parts: Links) -> Links:
    """Concatenate link columns."""
    names = Links.__dataclass_fields__
    return Links(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})
