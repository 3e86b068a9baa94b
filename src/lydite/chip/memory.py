"""Memory bandwidth of one accelerator: requests in flight, and the cache behind a coherent port.

    rate = min(DRAM's rate for such requests, bus, bytes in flight / round trip)

The last term is Little's law. DMA bypasses the caches. A coherent port (or a private cache) finds
recently written or read data in the last-level cache: tensors are cached completely or not at all,
least recently used ones are evicted first, and a tensor larger than the cache is never cached.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

import numpy as np

from lydite.errors import InputError
from lydite.graph import Graph, Initializer
from lydite.hardware.chip import Chip
from lydite.opkey import TensorType

ELEMENT_BYTES = {"int8": 1, "float16": 2, "bfloat16": 2, "float32": 4}
"""Bytes per element, by the data type that a chip computes with."""


def element_bytes(of: TensorType, chip: Chip) -> float:
    """Bytes of an element in memory: of its own type where that is narrower than the chip's."""
    own = TensorType(of.dtype, (8,)).nbytes
    size = ELEMENT_BYTES[chip.dtype]
    return float(size) if own is None else min(own / 8, float(size))


def stored_bytes(of: TensorType, chip: Chip) -> float:
    """Bytes of a tensor in memory; 0 if a size is unknown."""
    return element_bytes(of, chip) * (of.numel or 0)


def tensor_bytes(graph: Graph, names: Iterable[str], chip: Chip) -> float:
    """Bytes of tensors in the chip's memory; empty names count nothing."""
    known: dict[str, float] = graph.memo(f"bytes in {chip.dtype}")
    whole = 0.0
    for name in names:
        if name:
            size = known.get(name)
            if size is None:
                size = known[name] = stored_bytes(graph.type_of(name), chip)
            whole += size
    return whole


def request_bytes(chip: Chip) -> int:
    """Bytes of one memory request."""
    line = chip.interface.line_bytes
    return min(line, chip.dma.chunk_bytes) if chip.interface.kind == "dma" else line


def round_trip_s(chip: Chip) -> float:
    """Seconds from a request to its data, including DRAM but not the network on chip."""
    return _asking_s(chip) + chip.dram.latency_s


def in_flight_bytes(chip: Chip) -> int:
    """Maximum bytes that one accelerator has requested but not received."""
    if chip.interface.kind == "dma":
        return chip.dma.channels * chip.dma.requests * chip.dma.chunk_bytes
    return chip.interface.acp_requests * chip.interface.line_bytes


def in_flight_bytes_per_s(chip: Chip) -> float:
    """Bandwidth in bytes/s allowed by the requests in flight, with DRAM limited by latency only."""
    return in_flight_bytes(chip) / round_trip_s(chip)


def miss_bytes_per_s(chip: Chip) -> float:
    """DRAM bandwidth of one accelerator that has memory to itself, in bytes/s."""
    dram = chip.dram.stream_bytes_per_s(request_bytes(chip))
    return min(dram, chip.bus_bytes_per_s, in_flight_bytes_per_s(chip))


def hit_bytes_per_s(chip: Chip) -> float:
    """Bandwidth of one accelerator from the last-level cache, in bytes/s."""
    asking = _asking_s(chip)
    return min(chip.bus_bytes_per_s, in_flight_bytes(chip) / asking if asking else float("inf"))


def _asking_s(chip: Chip) -> float:
    """Seconds until the cache has answered a request, or missed."""
    if chip.interface.kind == "dma":
        return 0.0
    port = chip.interface.acp_latency_cycles if chip.interface.kind == "acp" else 0
    return (port + (chip.cache.hit_cycles if chip.cache else 0)) / chip.clock_hz


class Cached:
    """Tensors in the last-level cache, tracked layer by layer; none with plain DMA."""

    def __init__(self, chip: Chip) -> None:
        coherent = chip.cache is not None and chip.interface.kind != "dma"
        self.capacity = chip.cache.bytes if coherent and chip.cache else 0
        self._held: OrderedDict[str, float] = OrderedDict()

    def written(self, name: str, size: float) -> None:
        """Record that a tensor was written through the cache."""
        if not self.capacity or not name:
            return
        self._held.pop(name, None)
        if size > self.capacity:
            return
        self._held[name] = size
        while sum(self._held.values()) > self.capacity:
            self._held.popitem(last=False)

    def read(self, name: str, size: float, loaded: float) -> float:
        """Record that a tensor of `size` bytes is loaded, parts of it possibly several times.

        Returns:
            Bytes of `loaded` that hit the cache: all if it holds the tensor, the repeated loads if
                the
            tensor fits, else none.
        """
        if not self.capacity or size > self.capacity:
            return 0.0
        hits = loaded if name in self._held else max(0.0, loaded - size)
        self.written(name, size)
        return hits


def setup_cycles(chip: Chip, size: np.ndarray) -> np.ndarray:
    """Setup cycles of DMA transfers, pages alternating between channels; 0 for a coherent port."""
    if chip.interface.kind != "dma":
        return np.zeros(size.shape)
    each = np.ceil(np.ceil(size / chip.dma.page_bytes) / chip.dma.channels)
    return chip.dma.setup_cycles * each


def _weights(graph: Graph) -> Iterator[Initializer]:
    """The weights of a graph and of its bodies."""
    yield from graph.initializers.values()
    for op in graph.ops:
        for body in op.subgraphs:
            yield from _weights(body)


def check_weights_fit(graph: Graph, chip: Chip) -> None:
    """Weights, in their own types where these are narrower than the chip's, against its DRAM.

    Raises:
        InputError: they do not fit.
    """
    known: dict[str, float] = graph.memo("bytes of weights")
    if chip.dtype not in known:
        types = (weight.type for weight in _weights(graph))
        known[chip.dtype] = sum(stored_bytes(each, chip) for each in types)
    size = known[chip.dtype]
    if size > chip.dram.bytes:
        elements = sum(weight.type.numel or 0 for weight in _weights(graph))
        narrower = size < elements * ELEMENT_BYTES[chip.dtype]
        raise InputError(
            f"{graph.name} has {size / 1e9:.3g} GB of weights in {chip.dtype}"
            + (" and narrower types" if narrower else ""),
            where=f"{chip.name}: dram",
            allowed=f"{chip.dram.bytes / 1e9:.3g} GB, what it holds",
            hint="set dram: {size: ...}, or several chips: lydite simulate MODEL --on 'CHIP x N'",
        )
