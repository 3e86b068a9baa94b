"""Which tiles of a product fit half of each scratchpad, and which of them promise most.

What tiles there are, and their cycles, depends on the array alone; what they promise also on the
memory system; only which of them fit depends on the sizes of the scratchpads. Designs that share
the former do not compute it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lydite.chip.memory import ELEMENT_BYTES, miss_bytes_per_s
from lydite.chip.pipeline import (
    Stages,
    alone_s,
    pipelined_and_even_s,
    shared_bytes_per_s,
    unit_counts,
)
from lydite.chip.product import Product
from lydite.chip.shared import View, array_only, without_sizes
from lydite.chip.systolic.closed_forms import cycles_on
from lydite.chip.systolic.tiles import (
    SUM_BYTES,
    Matrices,
    Tile,
    array_of,
    conflict_cycles,
    fits_whole,
    hidden_cycles,
)
from lydite.errors import InputError
from lydite.hardware.chip import Chip

MOST_INVOCATIONS = 2048
"""Invocations of one product, about; more products at a time are taken together beyond that."""

_PADS = ("ifmap", "filter", "ofmap")


@dataclass(frozen=True, eq=False)
class _Grid:
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


@dataclass(frozen=True, eq=False)
class _Promise:
    """What the tiles of a grid take.

    Attributes:
        seconds: Seconds that each promises; float64[tiles].
        fetched_again: Seconds that each promises if the ifmap does not stay; float64[tiles].
        least: Seconds that each takes at least; float64[tiles].
    """

    seconds: np.ndarray
    fetched_again: np.ndarray
    least: np.ndarray


def ranked_tiles(chip: Chip, of: Matrices, where: str, *, most: int | None = None) -> list[Tile]:
    """Tiles that fit half of each scratchpad, those that promise to take least time first.

    The best on each number of accelerators and in each part of the scratchpads, then so many of the
    others (all if None). Dimensions are cut into 1, 2, 3, 4, 6, 8, 12, ... parts, those on
    the array into whole folds.

    Raises:
        InputError: not even one fold fits.
    """
    return [tile for tile, _ in bounded_tiles(chip, of, where, most=most)]


def bounded_tiles(
    chip: Chip, of: Matrices, where: str, *, most: int | None = None
) -> list[tuple[Tile, float]]:
    """`ranked_tiles`, each with the seconds that it takes at least when played alone."""
    grid, stays = _grid(array_only(chip), of), fits_whole(chip, of)
    half = np.array([[chip.scratchpad(name).bytes // 2] for name in _PADS])
    fits = np.all(grid.needs <= half, axis=0)
    if not fits.any():
        raise _too_small(chip, of, where)
    promise = _promise(without_sizes(chip), of, stays)
    seconds = np.where(fits, promise.seconds, np.inf)
    used = (grid.fills / half).max(axis=0)
    best = _champions(seconds, used, grid.units)
    found = [best]
    if most is None or len(best) < most:
        order = np.argsort(seconds, kind="stable")[: np.count_nonzero(fits)]
        found.append(order if most is None else order[: most - len(best)])
    if stays:  # with smaller scratchpads it may not, and others promise most
        again = np.where(fits, promise.fetched_again, np.inf)
        found.append(_champions(again, used, grid.units))
    rows = np.concatenate(found)
    columns = (each[rows].tolist() for each in (grid.m, grid.k, grid.n, grid.taken, grid.units))
    tiles = [Tile(*row, stays=stays) for row in zip(*columns, strict=True)]
    return list(dict(zip(tiles, promise.least[rows].tolist(), strict=True)).items())


def _too_small(chip: Chip, of: Matrices, where: str) -> InputError:
    array, size = array_of(chip), ELEMENT_BYTES[chip.dtype]
    of_k, of_n = min(of.k, int(array.rows)), min(of.n, int(array.columns))
    return InputError(
        f"a fold of {of_k} x {of_n} needs {2 * of_k * of_n * size} bytes of 'filter', "
        f"{2 * of_k * size} of 'ifmap' and {2 * of_n * SUM_BYTES} of 'ofmap'",
        where=f"{where} on {chip.name}",
        allowed="scratchpads that hold two of them",
    )


_BUDGETS = 0.5 ** np.arange(16)
"""Parts of the scratchpads, down to less than any tile needs: a smaller chip's are among them."""

_EACH = 2


def _champions(seconds: np.ndarray, used: np.ndarray, units: np.ndarray) -> np.ndarray:
    """The most promising tilings on each number of accelerators in each part of the scratchpads.

    A chip with more of either has all of these among its own, so that more never slows it.

    Args:
        seconds: What each tiling promises to take; inf if it does not fit.
        used: Share of the scratchpads of each.
        units: Accelerators of each.

    Returns:
        Rows of the tilings, those that promise most first.
    """
    found: set[int] = set()
    within = used <= _BUDGETS[:, None]
    for count in np.flatnonzero(np.bincount(units)):
        left = np.where(within & (units == count), seconds, np.inf)
        for _ in range(_EACH):
            places = left.argmin(axis=1)
            found.update(places[left[_EVERY, places] < np.inf].tolist())
            left[_EVERY, places] = np.inf
    rows = np.array(sorted(found), np.int64)
    return rows[np.argsort(seconds[rows], kind="stable")]


_EVERY = np.arange(len(_BUDGETS))


def _powers(most: int) -> np.ndarray:
    """1, 2, 4, ... and the number itself."""
    return np.unique([1 << shift for shift in range(most.bit_length())] + [most])


def _cuts(length: int, step: int) -> np.ndarray:
    """Parts of a dimension, in whole steps or all of it, down to one step."""
    counts = np.array([base << shift for shift in range(length.bit_length()) for base in (2, 3)])
    cut = -(-length // np.concatenate([[1], counts]))
    return np.unique(np.minimum(-(-cut // step) * step, length))


@lru_cache(maxsize=64)
def _grid(view: View, of: Matrices) -> _Grid:
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
    return _Grid(m, k, n, units, together, taken, needs, fills, *whole)


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


@lru_cache(maxsize=128)
def _promise(view: View, of: Matrices, stays: bool) -> _Promise:
    """What each tiling takes if its invocations were equal: see `lydite.chip.pipeline`."""
    chip, grid = view.chip, _grid(array_only(view.chip), of)
    m, k, n, together, used = grid.m, grid.k, grid.n, grid.taken, grid.used
    size, of_m, of_k, of_n = ELEMENT_BYTES[chip.dtype], grid.of_m, grid.of_k, grid.of_n
    outputs = grid.chunks * of_m * of_n
    tiles, of_one = outputs * of_k, np.minimum(used, of_m * of_n)
    ifmap = of.m * of.k * of.left
    filters = np.where(of_k > 1, of_m, np.minimum(of_one, of_m)) * of.k * of.n * of.right
    filters = filters * size * of.count / tiles
    # of the rows, beyond the first
    again = (grid.again - 1) / np.maximum(of_n - 1, 1) if stays else 1.0
    ifmap = ifmap * size * of.count / (tiles / of_n)
    stored = of.count * of.m * of.n * of.out * size / tiles
    stages = Stages(
        tiles,
        -(-outputs // used) * of_k,
        used,
        ifmap + filters,
        of.count * grid.cycles / tiles / chip.clock_hz,
        stored,
        together * size * (m * k * of.left + k * n * of.right),
        together * size * m * n * of.out,
        again * ifmap + filters,
        tiles / of_n,
    )
    return _Promise(*pipelined_and_even_s(chip, stages), _least_s(chip, of, grid, stays))


_ROUNDED_S = 5e-12
"""Seconds by which rounding to picoseconds may shorten an invocation (five tasks)."""


def _least_s(chip: Chip, of: Matrices, grid: _Grid, stays: bool) -> np.ndarray:
    """Seconds that a product takes at least: the longest of what none of its tiles can overlap.

    That is launches, computation behind the first load, loads, and all bytes over what
    accelerators share, each before the last store. On several accelerators, only what is certain
    for any of them counts.
    """
    m, k, n, used = grid.m, grid.k, grid.n, grid.used
    size, cpu = ELEMENT_BYTES[chip.dtype], chip.cpu
    alone = used == 1
    ended = alone_s(chip, grid.last * size * of.out)
    begun = alone_s(chip, grid.taken * size * (m * k * of.left + k * n * of.right)) * alone
    ifmap = of.count * size * of.m * of.k * of.left * (1 if stays else grid.of_n)
    fetched = np.where(alone & (grid.of_k > 1), grid.of_m, 1)
    filters = of.count * size * of.k * of.n * of.right * fetched
    stored = of.count * size * of.m * of.n * of.out
    jobs = grid.chunks * grid.of_m * grid.of_k * grid.of_n
    launch = cpu.launch_cycles / cpu.clock_hz
    computed = of.count * grid.shown / used / chip.clock_hz
    loaded = (ifmap + filters) / used / miss_bytes_per_s(chip)
    moved = (ifmap + filters + stored) / shared_bytes_per_s(chip, used)
    longest = np.maximum(np.maximum(jobs * launch, begun + computed), loaded) + ended
    longest = np.maximum(longest, moved)
    fixed = (cpu.operator_cycles + cpu.begin_cycles + cpu.end_cycles) / cpu.clock_hz
    return np.maximum((1 - 1e-6) * (fixed + longest) - jobs * _ROUNDED_S, 0.0)
