"""Tiles of a product: what half of each scratchpad holds, and what its banks can feed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lydite.chip.memory import ELEMENT_BYTES
from lydite.chip.systolic.array import Array, Run
from lydite.errors import InputError
from lydite.hardware.chip import Chip, SystolicArray

SUM_BYTES = 4
"""Of a partial sum."""


def array_of(chip: Chip) -> Array:
    """The chip's array as the closed forms take it."""
    array = chip.array
    if not isinstance(array, SystolicArray):
        raise InputError("has no systolic array", where=chip.name)
    return Array(array.rows, array.columns, array.dataflow, array.overlap)


def tile_sizes(chip: Chip, m: int, k: int, n: int, where: str) -> tuple[int, int, int]:
    """The largest tile that half of each scratchpad holds: whole windows first, then filters.

    Raises:
        InputError: not even one fold fits.
    """
    array, size = array_of(chip), ELEMENT_BYTES[chip.dtype]
    half = {name: chip.scratchpad(name).bytes // 2 for name in ("ifmap", "filter", "ofmap")}
    rows, columns = int(array.rows), int(array.columns)
    tn = min(n, columns)
    tk = min(k, whole(half["filter"] // (tn * size), rows))
    tm = min(m, half["ifmap"] // (max(1, tk) * size), half["ofmap"] // (tn * SUM_BYTES))
    if tk < min(k, rows) or tm < 1:
        need = min(k, rows) * tn * size
        raise InputError(
            f"a fold of {min(k, rows)} x {tn} needs {2 * need} bytes of 'filter', "
            f"{2 * min(k, rows) * size} of 'ifmap' and {2 * tn * SUM_BYTES} of 'ofmap'",
            where=f"{where} on {chip.name}", allowed="scratchpads that hold two of it",
        )  # fmt: skip
    wider = min(n, half["filter"] // (tk * size), half["ofmap"] // (min(tm, m) * SUM_BYTES))
    return tm, tk, max(tn, whole(wider, columns))


def whole(size: int, step: int) -> int:
    """Rounded down to whole steps, if there is one."""
    return size // step * step if size >= step else size


def parts(size: int, part: int) -> list[int]:
    """A dimension in parts, the last as long as what is left."""
    count = -(-size // part)
    return [part] * (count - 1) + [size - part * (count - 1)]


def in_turn(array: Array, run: Run, units: Sequence[int]) -> np.ndarray:
    """Cycles of tiles one behind the other on each accelerator; float64[tiles].

    Where the next fold's operand is loaded meanwhile, a tile begins while the one before drains:
    only the first on an accelerator sees the array fill.
    """
    cycles = np.broadcast_to(np.asarray(run.cycles, float), len(units)).copy()
    if array.overlap == "preload":
        _, first = np.unique(units, return_index=True)
        later = np.setdiff1d(np.arange(len(units)), first)
        hidden = 2 * array.rows - 1 + array.rows + array.columns - 2
        cycles[later] = np.maximum(cycles[later] - hidden, 1.0)
    return cycles


_STREAMED = {"ws": ("ifmap",), "is": ("filter",), "os": ("ifmap", "filter")}
_HELD = {"ws": "filter", "is": "ifmap"}


def conflict_cycles(chip: Chip, run: Run) -> np.ndarray:
    """Cycles in which the array waits for the banks of its scratchpads; float64, as `run`.

    A row of the array takes an element each cycle, a column gives a partial sum (os: takes an
    element as well, its sums stay); what stays is loaded a row of the array each cycle. Banks x
    ports x word is what a scratchpad gives in a cycle; adding to a partial sum is one access.
    """
    array, size = array_of(chip), ELEMENT_BYTES[chip.dtype]
    sides = (int(array.rows), int(array.columns))
    needs = {
        name: side * size for name, side in zip(_STREAMED[array.dataflow], sides, strict=False)
    }
    if array.dataflow != "os":
        needs["ofmap"] = sides[1] * SUM_BYTES
    slower = max(_slower(chip, name, need) for name, need in needs.items())
    held = _HELD.get(array.dataflow)
    loading = 1.0 if held is None else _slower(chip, held, sides[1] * size)
    return np.asarray(
        (slower - 1) * np.asarray(run.compute_cycles, float)
        + (loading - 1) * np.asarray(run.weight_load_cycles, float)
    )


def _slower(chip: Chip, pad: str, bytes_per_cycle: int) -> float:
    return max(1.0, bytes_per_cycle / chip.scratchpad(pad).bytes_per_cycle)
