"""All ways to cut a product for a systolic array, and their cycles: the array alone decides."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from lydite.chip.memory import ELEMENT_BYTES
from lydite.chip.pipeline import unit_counts
from lydite.chip.product import Product
from lydite.chip.shared import View
from lydite.chip.systolic.closed_forms import cycles_on
from lydite.chip.systolic.tiles import SUM_BYTES, Matrices, array_of, conflict_cycles, hidden_cycles
from lydite.engine import distinct
from lydite.hardware.chip import Chip
from lydite.records import dataclass

MOST_INVOCATIONS = 2048
"""Invocations of one product, about; more products at a time are taken together beyond that."""


@dataclass(frozen=True, eq=False)
class Grid:
    """All ways to cut a product, fitting or not, as columns.

    Attributes:
        m, k, n, units: As in `Tile`.
        together: As in `Tile`, but no more products than the scratchpads must hold at a time.
        taken: `together` in the tile; more where there would be too many invocations.
        needs: Bytes of each scratchpad for `together`; [pads, tiles].
        fills: Bytes of each scratchpad for `taken`; [pads, tiles].
        of_m, of_k, of_n: Number of tiles in each dimension of one product.
        chunks: Number of groups of `taken` products.
        used: Number of accelerators that have work.
        again: Number of times that an accelerator fetches a row of tiles of the ifmap.
        last: Results of the smallest tile, which is the last.
        cycles: Cycles of all tiles of one product, one after the other on one accelerator.
        shown: `cycles` without those that are hidden behind the tile before.
    """

    m: np.ndarray
    k: np.ndarray
    n: np.ndarray
    units: np.ndarray
    together: np.ndarray
    taken: np.ndarray
    needs: np.ndarray
    fills: np.ndarray
    of_m: np.ndarray
    of_k: np.ndarray
    of_n: np.ndarray
    chunks: np.ndarray
    used: np.ndarray
    again: np.ndarray
    last: np.ndarray
    cycles: np.ndarray
    shown: np.ndarray


def _powers(most: int) -> np.ndarray:
    """1, 2, 4, ... and the number itself."""
    return distinct([1 << shift for shift in range(most.bit_length())] + [most])


def _cuts(length: int, step: int) -> np.ndarray:
    """Parts of a dimension, in whole steps or all of it, down to one step."""
    counts = np.array([base << shift for shift in range(length.bit_length()) for base in (2, 3)])
    cut = -(-length // np.concatenate([[1], counts]))
    return distinct(np.minimum(-(-cut // step) * step, length))


@lru_cache(maxsize=64)
def grid_of(view: View, of: Matrices) -> Grid:
    """All tiles of a product, several of them in an invocation only where each is one tile."""
    chip = view.chip
    array, size = array_of(chip), ELEMENT_BYTES[chip.dtype]
    rows, columns = int(array.rows), int(array.columns)
    steps = {"ws": (1, rows, columns), "is": (columns, rows, 1), "os": (rows, 1, columns)}
    cuts = zip((of.m, of.k, of.n), steps[array.dataflow], strict=True)
    axes = [_cuts(length, step) for length, step in cuts]
    axes += [_powers(of.count), np.array(unit_counts(chip))]
    sizes = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")])
    m, k, n, together, units = sizes
    parts = np.stack([-(-of.m // m), -(-of.k // k), -(-of.n // n)])
    tiles = parts.prod(axis=0)
    results = -(-of.count // together) * parts[0] * parts[2]
    kept = (tiles == 1) | (together == 1)
    kept &= (units == 1) | (units < 2 * results)  # no more of them than have work
    m, k, n, together, units = sizes[:, kept]
    of_m, of_k, of_n = parts[:, kept]
    taken = np.maximum(together, np.minimum(of.count, of.count * tiles[kept] // MOST_INVOCATIONS))
    each = np.stack([m * k * size, k * n * size, m * n * SUM_BYTES])
    chunks = -(-of.count // taken)
    used = np.minimum(units, chunks * of_m * of_n)
    of_one = np.minimum(used, of_m * of_n)  # accelerators that share one product
    again = np.where(of_m % of_one == 0, 1, np.minimum(of_n, of_one / np.gcd(of_m, of_one)))
    last = (of.count - taken * (chunks - 1)) * (of.m - m * (of_m - 1)) * (of.n - n * (of_n - 1))
    shown = np.repeat(_shown(chip, of, axes[:3]).ravel(), len(axes[3]) * len(axes[4]))[kept]
    cycles = shown + np.minimum(used / chunks, 1.0) * hidden_cycles(array)
    needs, fills = together * each, taken * each
    whole = of_m, of_k, of_n, chunks, used, again, last, cycles, shown
    return Grid(m, k, n, units, together, taken, needs, fills, *whole)


def _shown(chip: Chip, of: Matrices, axes: Sequence[np.ndarray]) -> np.ndarray:
    """Cycles of all tiles of one product, the last ones of each dimension as short as they are.

    Args:
        chip: Chip with the array.
        of: The product.
        axes: Sizes of tiles in each dimension.

    Returns:
        float64[m, k, n], without the cycles that are hidden behind the tile before.
    """
    array, sizes, times = array_of(chip), [], []
    for at, (length, part) in enumerate(zip((of.m, of.k, of.n), axes, strict=True)):
        count = -(-length // part)
        shape = np.ones(6, int)
        shape[at], shape[3 + at] = 2, len(part)  # all but the last tile, and the last one
        sizes.append(np.stack([part, length - part * (count - 1)]).reshape(shape))
        times.append(np.stack([count - 1, np.ones_like(count)]).reshape(shape))
    run = cycles_on(array, Product(*sizes))
    alone = np.asarray(run.cycles, float)
    hidden = np.maximum(alone - hidden_cycles(array), 1.0)
    cycles = alone + conflict_cycles(chip, run) - alone + hidden
    each = times[0] * times[1] * times[2] * cycles
    whole = np.zeros(each.shape[3:])
    for one in each.reshape(8, *whole.shape):
        whole += one
    return whole
