"""Tiles of a product, their cycles one after the other, and the rate at which banks feed them."""

from __future__ import annotations

import numpy as np

from lydite.chip.memory import ELEMENT_BYTES
from lydite.chip.systolic.closed_forms import Array, ProductCycles, ProductRun
from lydite.errors import InputError
from lydite.hardware.chip import Chip, SystolicArray
from lydite.records import dataclass

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
        stays: Whether the whole ifmap stays in its scratchpad, so that it is fetched once.
    """

    m: int
    k: int
    n: int
    together: int = 1
    units: int = 1
    stays: bool = False


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


def parts(size: int, part: int) -> list[int]:
    """A dimension in parts of `part`; the last part is the remainder."""
    count = -(-size // part)
    return [part] * (count - 1) + [size - part * (count - 1)]


def hidden_cycles(array: Array) -> int:
    """Cycles of filling and draining that a tile does not see behind another one."""
    return int(3 * array.rows + array.columns - 3) if array.overlap == "preload" else 0


def in_turn(array: Array, run: ProductRun, units: np.ndarray) -> np.ndarray:
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


def conflict_cycles(chip: Chip, run: ProductRun | ProductCycles) -> np.ndarray:
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
