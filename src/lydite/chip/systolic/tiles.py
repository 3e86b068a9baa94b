"""Tiles of a product that fit half of each scratchpad, and the rate at which banks feed them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lydite.chip.memory import ELEMENT_BYTES
from lydite.chip.pipeline import Stages, pipelined_s, unit_counts
from lydite.chip.product import Product
from lydite.chip.systolic.closed_forms import Array, ProductRun, run_on
from lydite.errors import InputError
from lydite.hardware.chip import Chip, SystolicArray

SUM_BYTES = 4
"""Bytes of a partial sum."""


def array_of(chip: Chip) -> Array:
    """The chip's array, for the closed forms."""
    array = chip.array
    if not isinstance(array, SystolicArray):
        raise InputError("has no systolic array", where=chip.name)
    return Array(array.rows, array.columns, array.dataflow, array.overlap)


@dataclass(frozen=True, slots=True)
class Tile:
    """How a product is cut, and who runs it.

    Attributes:
        m: Rows of a tile.
        k: Length of a tile's sums.
        n: Columns of a tile.
        together: Number of products, one after the other, in an invocation.
        units: Number of accelerators that share the tiles of results.
    """

    m: int
    k: int
    n: int
    together: int = 1
    units: int = 1


@dataclass(frozen=True)
class Matrices:
    """A product of an operator, and what of each matrix moves between memory and scratchpads.

    Attributes:
        m: Rows of the left matrix.
        k: Length of the sums.
        n: Columns of the right matrix.
        count: Number of such products, one after the other.
        left: Bytes loaded of the left matrices, as a share of their bytes in the chip's type.
        right: The same of the right matrices.
        out: The same of the results, stored.
    """

    m: int
    k: int
    n: int
    count: int
    left: float
    right: float
    out: float


def fits_whole(chip: Chip, of: Matrices) -> bool:
    """Whether the whole ifmap fits half of its scratchpad, so that it is fetched once."""
    size = ELEMENT_BYTES[chip.dtype]
    return of.left * of.m * of.k * size <= chip.scratchpad("ifmap").bytes / 2


MOST_INVOCATIONS = 2048
"""Invocations of one product, about; more products at a time are taken together beyond that."""


def ranked_tiles(chip: Chip, of: Matrices, where: str, *, most: int | None = None) -> list[Tile]:
    """Tiles that fit half of each scratchpad, those that promise to take least time first.

    The best on each number of accelerators and in each part of the scratchpads, then so many of the
    others (all if None). Dimensions are cut into 1, 2, 3, 4, 6, 8, 12, ... parts, those on
    the array into whole folds.

    Raises:
        InputError: not even one fold fits.
    """
    array, size = array_of(chip), ELEMENT_BYTES[chip.dtype]
    rows, columns = int(array.rows), int(array.columns)
    half = {name: chip.scratchpad(name).bytes // 2 for name in ("ifmap", "filter", "ofmap")}
    steps = {"ws": (1, rows, columns), "is": (columns, rows, 1), "os": (rows, 1, columns)}
    cuts = zip((of.m, of.k, of.n), steps[array.dataflow], strict=True)
    grid = [_cuts(length, step) for length, step in cuts]
    grid += [_powers(of.count), np.array(unit_counts(chip))]
    sizes = np.stack([axis.ravel() for axis in np.meshgrid(*grid, indexing="ij")])
    m, k, n, together, units = sizes
    fits = together * m * k * size <= half["ifmap"]
    fits &= together * k * n * size <= half["filter"]
    fits &= together * m * n * SUM_BYTES <= half["ofmap"]
    tiles = -(-of.m // m) * -(-of.k // k) * -(-of.n // n)
    fits &= (tiles == 1) | (together == 1)
    results = -(-of.count // together) * -(-of.m // m) * -(-of.n // n)
    if not fits.any():
        of_k, of_n = min(of.k, rows), min(of.n, columns)
        raise InputError(
            f"a fold of {of_k} x {of_n} needs {2 * of_k * of_n * size} bytes of 'filter', "
            f"{2 * of_k * size} of 'ifmap' and {2 * of_n * SUM_BYTES} of 'ofmap'",
            where=f"{where} on {chip.name}",
            allowed="scratchpads that hold two of them",
        )
    fits &= (units == 1) | (units < 2 * results)  # no more of them than have work
    m, k, n, together, units = sizes = sizes[:, fits]
    least = np.minimum(of.count, of.count * tiles[fits] // MOST_INVOCATIONS)
    together = np.maximum(together, least)
    promised = _promised_s(chip, of, m, k, n, together, units)
    used = np.max(
        [
            together * m * k * size / half["ifmap"],
            together * k * n * size / half["filter"],
            together * m * n * SUM_BYTES / half["ofmap"],
        ],
        axis=0,
    )
    order = np.argsort(promised, kind="stable")
    best = _champions(order, used, units)
    order = np.concatenate([best, order[: None if most is None else max(0, most - len(best))]])
    columns_of = zip(*(each[order].tolist() for each in (m, k, n, together, units)), strict=True)
    return [Tile(*row) for row in dict.fromkeys(columns_of)]


_BUDGETS = tuple(0.5**halved for halved in range(7))
_EACH = 2


def _champions(order: np.ndarray, used: np.ndarray, units: np.ndarray) -> np.ndarray:
    """The most promising tilings on each number of accelerators in each part of the scratchpads.

    A chip with more of either has all of these among its own, so that more never slows it.
    """
    found = [
        order[(used[order] <= budget) & (units[order] == count)][:_EACH]
        for count in np.unique(units)
        for budget in _BUDGETS
    ]
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    champions = np.unique(np.concatenate(found))
    return champions[np.argsort(place[champions])]


def _powers(most: int) -> np.ndarray:
    """1, 2, 4, ... and the number itself."""
    return np.unique([1 << shift for shift in range(most.bit_length())] + [most])


def _cuts(length: int, step: int) -> np.ndarray:
    """Parts of a dimension, in whole steps or all of it, down to one step."""
    counts = np.array([base << shift for shift in range(length.bit_length()) for base in (2, 3)])
    cut = -(-length // np.concatenate([[1], counts]))
    return np.unique(np.minimum(-(-cut // step) * step, length))


def _promised_s(
    chip: Chip,
    of: Matrices,
    m: np.ndarray,
    k: np.ndarray,
    n: np.ndarray,
    together: np.ndarray,
    units: np.ndarray,
) -> np.ndarray:
    """What each tiling takes if its invocations were equal: see `lydite.chip.pipeline`."""
    size = ELEMENT_BYTES[chip.dtype]
    of_m, of_k, of_n = -(-of.m // m), -(-of.k // k), -(-of.n // n)
    chunks = -(-of.count // together)
    outputs = chunks * of_m * of_n
    tiles, used = outputs * of_k, np.minimum(units, outputs)
    of_one = np.minimum(used, of_m * of_n)  # accelerators that share one product
    each = np.where(of_m % of_one == 0, 1, np.minimum(of_n, of_one / np.gcd(of_m, of_one)))
    ifmap = of.m * of.k * of.left
    filters = np.where(of_k > 1, of_m, np.minimum(of_one, of_m)) * of.k * of.n * of.right
    filters = filters * size * of.count / tiles
    fits = fits_whole(chip, of)
    again = (each - 1) / np.maximum(of_n - 1, 1) if fits else 1.0  # of the rows, beyond the first
    ifmap = ifmap * size * of.count / (tiles / of_n)
    stored = of.count * of.m * of.n * of.out * size / tiles
    cycles = _cycles(chip, of, (m, k, n), used / chunks)
    stages = Stages(
        tiles,
        -(-outputs // used) * of_k,
        used,
        ifmap + filters,
        of.count * cycles / tiles / chip.clock_hz,
        stored,
        together * size * (m * k * of.left + k * n * of.right),
        together * size * m * n * of.out,
        again * ifmap + filters,
        tiles / of_n,
    )
    return pipelined_s(chip, stages)


def _cycles(
    chip: Chip, of: Matrices, sizes: tuple[np.ndarray, np.ndarray, np.ndarray], first: np.ndarray
) -> np.ndarray:
    """Cycles of all tiles of one product, the last ones of each dimension as short as they are."""
    array = array_of(chip)
    whole = np.zeros(len(sizes[0]))
    lengths = []
    for length, part in zip((of.m, of.k, of.n), sizes, strict=True):
        count = -(-length // part)
        rest = length - part * (count - 1)
        lengths.append(((part, count - 1), (rest, np.ones_like(count))))
    for (m, ms), (k, ks), (n, ns) in itertools.product(*lengths):
        run = run_on(array, Product(m, k, n))
        cycles = np.asarray(run.cycles, float) + conflict_cycles(chip, run)
        hidden = np.maximum(np.asarray(run.cycles, float) - hidden_cycles(array), 1.0)
        whole += ms * ks * ns * (cycles - np.asarray(run.cycles, float) + hidden)
    return whole + np.minimum(first, 1.0) * hidden_cycles(array)


def parts(size: int, part: int) -> list[int]:
    """A dimension in parts of `part`; the last part is the remainder."""
    count = -(-size // part)
    return [part] * (count - 1) + [size - part * (count - 1)]


def hidden_cycles(array: Array) -> int:
    """Cycles of filling and draining that a tile does not see behind another one."""
    return int(3 * array.rows + array.columns - 3) if array.overlap == "preload" else 0


def in_turn(array: Array, run: ProductRun, units: Sequence[int]) -> np.ndarray:
    """Cycles of tiles in sequence on each accelerator; float64[tiles].

    If the operand of the next fold is preloaded, a tile begins while the previous one drains: only
    the first tile on an accelerator includes the fill of the array.
    """
    cycles = np.broadcast_to(np.asarray(run.cycles, float), len(units)).copy()
    if array.overlap == "preload":
        later = np.ones(len(units), bool)
        later[np.unique(units, return_index=True)[1]] = False
        cycles[later] = np.maximum(cycles[later] - hidden_cycles(array), 1.0)
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
