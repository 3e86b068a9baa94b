"""SCALE-Sim's files: configurations (`.cfg`) and topologies (`.csv`), as 3.0.0 reads them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from lydite.chip.systolic import Array, Buffers, OffChipMemory, Product, Window, unfolded
from lydite.compat.scalesim.chip_file import read_scalesim_config
from lydite.errors import InputError
from lydite.hardware.chip import read_lines, whole_number
from lydite.records import dataclass


@dataclass(frozen=True, slots=True)
class ScaleSimSettings:
    """A configuration.

    Attributes:
        name: Name of the run.
        array: Array, whose folds do not overlap.
        buffers: Sizes of the SRAMs.
        memory: SRAMs and ports if bandwidth is limited (USER); None if it is not (CALC).
        notes: What was ignored, by name, with the reason.
        sparse: Whether weights are stored as the topology's sparsity says, N of every M.
    """

    name: str
    array: Array
    buffers: Buffers
    memory: OffChipMemory | None
    notes: tuple[str, ...]
    sparse: bool = False


@dataclass(frozen=True, slots=True)
class TopologyLayer:
    """A row of a topology.

    Attributes:
        name: Name in the file.
        window: Convolution without padding; its last windows may extend beyond the image.
        filters: Number of filters.
        count: Number of such layers in sequence: a row whose name contains "DP" is one layer per
            channel.
        sparsity: N and M where the weights have N numbers that are not zero in every M.
    """

    name: str
    window: Window
    filters: int
    count: int = 1
    sparsity: tuple[int, int] = (1, 1)

    @property
    def product(self) -> Product:
        """The layer as a matrix product."""
        (out_y, out_x), (high, wide) = self.window.ofmap, self.window.kernel
        window = high * wide * self.window.channels
        return Product(out_y * out_x, window, self.filters, self.count)

    @property
    def compressed(self) -> Product:
        """The product of the weights that are stored: N of each whole block of M, in each column.

        SCALE-Sim stores the first N of a block, so that a last, shorter block keeps as many.
        """
        (kept, block), dense = self.sparsity, self.product
        k = dense.k // block * kept + min(int(dense.k % block), kept)
        return Product(dense.m, k, dense.n, dense.count)

    @property
    def ifmap(self) -> np.ndarray:
        """Addresses of the unfolded ifmap, int32 [m, k]."""
        return unfolded(self.window)


def read_config(path: Path) -> ScaleSimSettings:
    """Read a configuration.

    Raises:
        InputError: as for `read_scalesim_config`.
    """
    found = read_scalesim_config(path)
    sizes = (found.ifmap_bytes, found.filter_bytes, found.ofmap_bytes)
    ports = found.words_per_cycle
    return ScaleSimSettings(
        found.name,
        Array(found.rows, found.columns, found.dataflow),
        Buffers(*sizes, element_bytes=1, partial_sum_bytes=1),
        None if ports is None else OffChipMemory(*sizes, *ports),
        found.notes,
        found.sparse,
    )


def read_topology(path: Path) -> list[TopologyLayer]:
    """Read a topology: a heading, then one layer per line.

    There are two forms, distinguished by the number of fields: a convolution (name, ifmap height
    and width, filter height and width, channels, filters, stride) and a matrix product (name, M, N,
    K); either may end with the sparsity ("2:4": two of every four weights are not zero).

    Raises:
        InputError: the file does not exist, or a row is not a layer (names file and line).
    """
    layers: list[TopologyLayer] = []
    for number, line in enumerate(read_lines(path)[1:], start=2):
        fields = [field.strip() for field in line.split(",")]
        while fields and not fields[-1]:
            fields.pop()
        if not fields:
            continue
        forms = {4: _matrices, 5: _matrices, 8: _convolution, 9: _convolution}
        if len(fields) not in forms:
            raise InputError(
                f"a layer of {len(fields)} fields",
                where=f"{path}:{number}",
                allowed="name and 7 sizes, or name, M, N, K; then optionally a sparsity",
            )
        sparsity = (1, 1)
        if len(fields) in (5, 9):
            sparsity = _sparsity(fields.pop(), f"{path}:{number}")
        sizes = [whole_number(field, "a size", f"{path}:{number}") for field in fields[1:]]
        layer = forms[len(fields)](fields[0], sizes, f"{path}:{number}")
        layers.append(replace(layer, sparsity=sparsity))
    if not layers:
        raise InputError("no layers", where=str(path), allowed="a heading, then one layer per line")
    return layers


def _convolution(name: str, sizes: list[int], where: str) -> TopologyLayer:
    height, width, high, wide, channels, filters, stride = sizes
    if high > height or wide > width:
        raise InputError(f"a filter of {high}x{wide} on {height}x{width}", where=where)
    ofmap = (-(-(height - high + stride) // stride), -(-(width - wide + stride) // stride))
    alone = "DP" in name
    window = Window(
        (height, width), 1 if alone else channels, (high, wide), (stride, stride), ofmap
    )
    return TopologyLayer(name, window, filters, channels if alone else 1)


def _matrices(name: str, sizes: list[int], where: str) -> TopologyLayer:
    del where
    m, n, k = sizes
    return TopologyLayer(name, Window((m, k), 1, (1, k), (1, 1), (m, 1)), n)


def _sparsity(text: str, where: str) -> tuple[int, int]:
    """Numbers that are not zero, and the size of the block that they are of."""
    kept, _, block = (part.strip() for part in text.partition(":"))
    if not (kept.isdecimal() and block.isdecimal() and 0 < int(kept) <= int(block) <= 1 << 20):
        raise InputError(
            f"sparsity '{text}'", where=where, allowed="N:M, such as 2:4, with N at most M"
        )
    return int(kept), int(block)
