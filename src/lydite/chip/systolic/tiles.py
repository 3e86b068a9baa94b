"""Tiles of a product that fit half of each scratchpad, and the rate at which banks feed them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lydite.chip.memory import ELEMENT_BYTES, in_flight_bytes_per_s, request_bytes
from lydite.chip.operators import operands_of
from lydite.chip.product import Product
from lydite.chip.systolic.closed_forms import Array, ProductRun
from lydite.errors import InputError
from lydite.graph import Graph, Op
from lydite.hardware.chip import Chip, SystolicArray

SUM_BYTES = 4
"""Bytes of a partial sum."""


def array_of(chip: Chip) -> Array:
    """The chip's array, for the closed forms."""
    array = chip.array
    if not isinstance(array, SystolicArray):
        raise InputError("has no systolic array", where=chip.name)
    return Array(array.rows, array.columns, array.dataflow, array.overlap)


Sizes = tuple[int, int, int]
"""Sizes of a tile along m, k and n."""


@dataclass(frozen=True)
class Matrices:
    """A product of an operator, and the distinct share of each matrix.

    Attributes:
        m: Rows of the left matrix.
        k: Length of the sums.
        n: Columns of the right matrix.
        count: Number of such products, in sequence.
        left: Share of distinct elements in the left matrices: overlap of windows is fetched once.
        right: Share of distinct elements in the right matrices.
        out: Share of distinct elements in the results: overlaps are summed before they are stored.
    """

    m: int
    k: int
    n: int
    count: int
    left: float
    right: float
    out: float


def matrices_of(op: Op, graph: Graph, product: Product) -> Matrices:
    """The product's sizes, and the distinct share of its operands and result."""
    m, k, n, count = (int(size) for size in (product.m, product.k, product.n, product.count))
    names = operands_of(op)
    assert names is not None
    distinct = (
        min(1.0, (graph.type_of(name).numel or 0) / (count * matrix))
        for name, matrix in zip((*names, op.outputs[0]), (m * k, k * n, m * n), strict=True)
    )
    return Matrices(m, k, n, count, *distinct)


def fits_whole(chip: Chip, of: Matrices) -> bool:
    """Whether the whole ifmap fits half of its scratchpad, so that it is fetched once."""
    size = ELEMENT_BYTES[chip.dtype]
    return of.left * of.m * of.k * size <= chip.scratchpad("ifmap").bytes / 2


def ranked_sizes(chip: Chip, of: Matrices, where: str, *, most: int | None = None) -> list[Sizes]:
    """Tiles that fit half of each scratchpad, ordered by estimated time; at most `most` of them.

    Dimensions are split into 1, 2, 3, 4, 6, 8, 12, ... parts of whole folds; rows of the ifmap
    (which stream) into parts no shorter than the array.

    Raises:
        InputError: not even one fold fits.
    """
    array, size = array_of(chip), ELEMENT_BYTES[chip.dtype]
    rows, columns = int(array.rows), int(array.columns)
    half = {name: chip.scratchpad(name).bytes // 2 for name in ("ifmap", "filter", "ofmap")}
    longest = min(
        half["ifmap"] // (min(of.k, rows) * size), half["ofmap"] // (min(of.n, columns) * SUM_BYTES)
    )
    least = max(1, min(of.m, rows, longest))
    m, k, n = np.meshgrid(
        _cuts(of.m, 1, least), _cuts(of.k, rows, 1), _cuts(of.n, columns, 1), indexing="ij"
    )
    fits = m * k * size <= half["ifmap"]
    fits &= k * n * size <= half["filter"]
    fits &= m * n * SUM_BYTES <= half["ofmap"]
    found = np.stack([m[fits], k[fits], n[fits]], axis=1)
    if not len(found):
        of_k, of_n = min(of.k, rows), min(of.n, columns)
        raise InputError(
            f"a fold of {of_k} x {of_n} needs {2 * of_k * of_n * size} bytes of 'filter', "
            f"{2 * of_k * size} of 'ifmap' and {2 * of_n * SUM_BYTES} of 'ofmap'",
            where=f"{where} on {chip.name}",
            allowed="scratchpads that hold two of them",
        )
    order = np.argsort(_promised_s(chip, of, *found.T), kind="stable")[:most]
    return [(int(m), int(k), int(n)) for m, k, n in found[order].tolist()]


def _cuts(length: int, step: int, least: int) -> np.ndarray:
    """Part sizes of a dimension, in whole steps or all of it, not below the least."""
    counts = np.array([base << shift for shift in range(length.bit_length()) for base in (2, 3)])
    cut = -(-length // np.concatenate([[1], counts]))
    cut = np.minimum(-(-cut // step) * step, length)
    return np.unique(np.concatenate([cut[cut >= least], [least if step == 1 else cut.min()]]))


def _promised_s(
    chip: Chip, of: Matrices, m: np.ndarray, k: np.ndarray, n: np.ndarray
) -> np.ndarray:
    """Estimated seconds: maximum of launches, traffic and folds, plus the unhidden first and last
    tile.

    The transfer of each tile waits for memory once; with one DMA channel, that of its results too.
    """
    array, size = array_of(chip), ELEMENT_BYTES[chip.dtype]
    of_m, of_k, of_n = -(-of.m // m), -(-of.k // k), -(-of.n // n)
    tiles, used = of_m * of_k * of_n, np.minimum(of_m, chip.accelerators)
    ifmap = np.where(fits_whole(chip, of), 1, of_n) * of.m * of.k * of.left
    filters = np.where(of_k > 1, of_m, used) * of.k * of.n * of.right
    moved = of.count * (ifmap + filters + of.m * of.n * of.out) * size / _rate(chip, used)
    waits = tiles / used + (of_m * of_n / used if chip.dma.channels == 1 else 0)
    moved = moved + waits * chip.dram.latency_s
    folds = tiles * -(-k // int(array.rows)) * -(-n // int(array.columns))
    computed = of.count * folds * np.maximum(m, int(array.rows)) / used / chip.clock_hz
    launched = tiles * chip.cpu.launch_cycles / chip.cpu.clock_hz
    return np.maximum(np.maximum(moved, computed), launched) + (moved + computed) / tiles


def _rate(chip: Chip, used: np.ndarray) -> np.ndarray:
    """Memory bandwidth of `used` accelerators together, in bytes/s."""
    link = chip.noc.link_bytes_per_s if chip.noc is not None else np.inf
    shared = min(chip.dram.stream_bytes_per_s(request_bytes(chip)), chip.bus_bytes_per_s)
    return np.minimum(shared, used * min(in_flight_bytes_per_s(chip), link))


def parts(size: int, part: int) -> list[int]:
    """A dimension in parts of `part`; the last part is the remainder."""
    count = -(-size // part)
    return [part] * (count - 1) + [size - part * (count - 1)]


def in_turn(array: Array, run: ProductRun, units: Sequence[int]) -> np.ndarray:
    """Cycles of tiles in sequence on each accelerator; float64[tiles].

    If the operand of the next fold is preloaded, a tile begins while the previous one drains: only
    the first tile on an accelerator includes the fill of the array.
    """
    cycles = np.broadcast_to(np.asarray(run.cycles, float), len(units)).copy()
    if array.overlap == "preload":
        later = np.ones(len(units), bool)
        later[np.unique(units, return_index=True)[1]] = False
        hidden = 2 * array.rows - 1 + array.rows + array.columns - 2
        cycles[later] = np.maximum(cycles[later] - hidden, 1.0)
    return cycles


_STREAMING = {"ws": ("ifmap",), "is": ("filter",), "os": ("ifmap", "filter")}
_STATIONARY = {"ws": "filter", "is": "ifmap"}


def conflict_cycles(chip: Chip, run: ProductRun) -> np.ndarray:
    """Cycles in which the array waits for the banks of its scratchpads; float64, shaped like `run`.

    Each row of the array takes an element per cycle; each column yields a partial sum (os: takes an
    element as well, its sums stay); the stationary operand is loaded one row per cycle. A
    scratchpad serves banks x ports x word bytes per cycle; adding to a partial sum is one access.
    """
    array, size = array_of(chip), ELEMENT_BYTES[chip.dtype]
    sides = (int(array.rows), int(array.columns))
    needs = {
        name: side * size for name, side in zip(_STREAMING[array.dataflow], sides, strict=False)
    }
    if array.dataflow != "os":
        needs["ofmap"] = sides[1] * SUM_BYTES
    slower = max(_slower(chip, name, need) for name, need in needs.items())
    stationary = _STATIONARY.get(array.dataflow)
    loading = 1.0 if stationary is None else _slower(chip, stationary, sides[1] * size)
    return np.asarray(
        (slower - 1) * np.asarray(run.compute_cycles, float)
        + (loading - 1) * np.asarray(run.weight_load_cycles, float)
    )


def _slower(chip: Chip, pad: str, bytes_per_cycle: int) -> float:
    return max(1.0, bytes_per_cycle / chip.scratchpad(pad).bytes_per_cycle)
