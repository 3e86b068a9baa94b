"""Which tiles of a product fit half of each scratchpad, and which of them promise most.

What tiles there are, and their cycles, depends on the array alone; what they promise also on the
memory system; only which of them fit depends on the sizes of the scratchpads. Designs that share
the former do not compute it again.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lydite.chip.memory import ELEMENT_BYTES, miss_bytes_per_s
from lydite.chip.pipeline import Stages, alone_s, pipelined_and_even_s, shared_bytes_per_s
from lydite.chip.shared import View, array_only, without_sizes
from lydite.chip.systolic.grid import Grid, grid_of
from lydite.chip.systolic.tiles import SUM_BYTES, Matrices, Tile, array_of, fits_whole
from lydite.errors import InputError
from lydite.hardware.chip import Chip
from lydite.records import dataclass

_PADS = ("ifmap", "filter", "ofmap")


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
    grid, stays = grid_of(array_only(chip), of), fits_whole(chip, of)
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


@lru_cache(maxsize=128)
def _promise(view: View, of: Matrices, stays: bool) -> _Promise:
    """What each tiling takes if its invocations were equal: see `lydite.chip.pipeline`."""
    chip, grid = view.chip, grid_of(array_only(view.chip), of)
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


def _least_s(chip: Chip, of: Matrices, grid: Grid, stays: bool) -> np.ndarray:
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
