"""The loops over tiles for each kind of operator: which tiles are combined, and in which order.

Source: harvard-acc/smaug, smaug/operators/smv/smv_*_op.cpp and smv_accel_pool.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from lydite.chip.smv.invocations import KERNELS
from lydite.chip.tiling.constraints import Constraints
from lydite.chip.tiling.problem import Kind, Problem
from lydite.chip.tiling.tiles import Grid, Tiling
from lydite.errors import InputError
from lydite.records import dataclass

Columns = np.ndarray


@dataclass(frozen=True, slots=True)
class LoopWork:
    """Everything but the tiling that the columns of an operator depend on."""

    problem: Problem
    kernel: str
    activates: bool
    constraints: Constraints
    accelerators: int

    @property
    def block(self) -> tuple[int, int]:
        """Output channels at a time (PEs), and input channels at a time per PE."""
        limits = self.constraints.convolution.weights
        assert limits is not None
        pes, maccs = limits.smallest[0], limits.smallest[-1]
        assert isinstance(pes, int) and isinstance(maccs, int)
        return pes, maccs


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """The invocations of one kind of operator; all else follows from these.

    Attributes:
        input: Place of each invocation's input tile, by dimension.
        weights: Place of each invocation's weight tile, by dimension.
        output: Place of each invocation's output tile, by dimension.
        columns: Columns of `Invocations` that are not zero.
    """

    input: tuple[Columns, ...]
    output: tuple[Columns, ...]
    weights: tuple[Columns, ...] = ()
    columns: Mapping[str, Columns | int | bool] | None = None


def _loops(*counts: int) -> Columns:
    """Loop variables, the last fastest, [loops, invocations]."""
    return np.indices(counts).reshape(len(counts), -1)


def _shared(whole: int, parts: int, at: Columns, what: str) -> Columns:
    """Tile numbers of a tensor with as many tiles along a dimension as another, or just one.

    Raises:
        InputError: the number of tiles is another one.
    """
    if whole not in (1, parts):
        raise InputError(
            f"{whole} tiles of the {what} beside {parts} of its partner",
            where="smv",
            allowed="as many, or one",
        )
    return at if whole == parts else np.zeros_like(at)


def _convolution(work: LoopWork, tiling: Tiling) -> Loop:
    """Loops over images, rows, output channels of weights, those of the output, input channels."""
    inputs, weights, outputs = _grids(tiling)
    channels, blocks = weights.counts[3], weights.counts[0]
    in_parts = outputs.counts[3] if blocks == 1 else 1
    n, h, w, o, c = _loops(inputs.counts[0], outputs.counts[1], blocks, in_parts, channels)
    zero = np.zeros_like(n)
    at_input = (n, h, zero, _shared(inputs.counts[3], channels, c, "input"))
    accelerator, group = _turns(work, (n * outputs.counts[1] + h) * blocks + w)
    at_weights, at_output = (w, zero, zero, c), (n, h, zero, w + o)
    whole = inputs.counts[3] < channels
    return Loop(
        at_input,
        at_output,
        at_weights,
        {
            "accelerator": accelerator,
            "group": group,
            "reads_input": _changes(number(inputs, at_input), accelerator),
            "reads_weights": _changes(number(weights, at_weights), accelerator),
            "accumulates": c > 0,
            "sends": c == channels - 1,
            "input_start": weights.origins[3][c] if whole else 0,
            "output_start": outputs.origins[3][o] if in_parts > 1 else 0,
        },
    )


def _inner_product(work: LoopWork, tiling: Tiling) -> Loop:
    """Loops over rows, outputs, inputs; the output stays in the scratchpad until it is complete.

    With several accelerators each sends the outputs that it computed; in SMAUG only the last one
    sends, and the others' results are lost.
    """
    inputs, weights, outputs = _grids(tiling)
    blocks, channels = weights.counts
    n, w, c = _loops(inputs.counts[0], blocks, channels)
    at_input = (n, _shared(inputs.counts[1], channels, c, "input"))
    at_output = (n, _shared(outputs.counts[1], blocks, w, "output"))
    accelerator, group = _turns(work, n * blocks + w)
    stays = outputs.counts[1] < blocks
    last = (w == blocks - 1) | (not stays) | (work.accelerators > 1)
    return Loop(
        at_input,
        at_output,
        (w, c),
        {
            "accelerator": accelerator,
            "group": group,
            "reads_input": _changes(number(inputs, at_input), accelerator),
            "reads_weights": True,
            "accumulates": c > 0,
            "sends": (c == channels - 1) & last,
            "input_start": weights.origins[1][c] if inputs.counts[1] < channels else 0,
            "output_start": weights.origins[0][w] if stays else 0,
        },
    )


def _pooling(_: LoopWork, tiling: Tiling) -> Loop:
    """Loops over images, rows, columns, channels; a single output tile waits for all channels."""
    inputs, outputs = tiling.input.grid, tiling.output.grid
    n, h, w, c = _loops(*inputs.counts)
    channels = inputs.counts[3]
    at_output = (n, h, w, _shared(outputs.counts[3], channels, c, "output"))
    stays = outputs.counts[3] < channels
    return Loop(
        (n, h, w, c),
        at_output,
        (),
        {
            "reads_input": True,
            "sends": (c == channels - 1) | (not stays),
            "waits": True,
            "output_start": inputs.origins[3][c] if stays else 0,
        },
    )


def _batch_norm(work: LoopWork, tiling: Tiling) -> Loop:
    """Loops over images, rows, columns, channels (of a matrix: rows, channels); whole weights."""
    inputs, weights, _ = _grids(tiling)
    if len(inputs.counts) == 2:
        return _batch_norm_2d(inputs, weights)
    at = tuple(_loops(*inputs.counts))
    zero = np.zeros_like(at[0])
    accelerator, group = _turns(work, np.arange(inputs.count))
    first = (at[3] == 0) | (group < work.accelerators)
    return Loop(
        at,
        at,
        (zero, zero),
        {
            "accelerator": accelerator,
            "group": group,
            "reads_input": True,
            "reads_weights": first,
            "sends": True,
            "output_start": inputs.origins[3][at[3]],
        },
    )


def _batch_norm_2d(inputs: Grid, weights: Grid) -> Loop:
    channels = weights.counts[1]
    n, c = _loops(inputs.counts[0], channels)
    at = n, _shared(inputs.counts[1], channels, c, "input")
    stays = inputs.counts[1] < channels
    return Loop(
        at,
        at,
        (np.zeros_like(n), c),
        {
            "reads_input": (c == 0) | (not stays),
            "reads_weights": True,
            "waits": True,
            "sends": (c == channels - 1) | (not stays),
            "input_start": weights.origins[1][c] if stays else 0,
        },
    )


def _one_by_one(work: LoopWork, tiling: Tiling) -> Loop:
    """Loop over lines or rows of elements; two inputs are split alike."""
    at = tuple(_loops(*tiling.input.grid.counts))
    two = work.kernel in OF_TWO
    columns = {"reads_input": True, "reads_weights": two, "sends": True, "waits": True}
    return Loop(at, at, at if two else (), columns)


def _grids(tiling: Tiling) -> tuple[Grid, Grid, Grid]:
    assert tiling.weights is not None
    return tiling.input.grid, tiling.weights.grid, tiling.output.grid


def _turns(work: LoopWork, group: Columns) -> tuple[Columns, Columns]:
    """The accelerator of each group (round-robin), and the group."""
    return group % work.accelerators, group


def _changes(tiles: Columns, accelerator: Columns) -> Columns:
    """Whether an invocation's tile differs from the previous one of its accelerator."""
    changed = np.ones(len(tiles), bool)
    for index in range(int(accelerator.max()) + 1):
        mine = np.flatnonzero(accelerator == index)
        changed[mine[1:]] = np.diff(tiles[mine]) != 0
    return changed


def number(grid: Grid, at: tuple[Columns, ...]) -> Columns:
    """Number of the tile of a grid at a place."""
    return np.ravel_multi_index(at, grid.counts)


OF_TWO = frozenset(KERNELS[6:12])
COMPARES = frozenset(KERNELS[8:12])
LOOPS: dict[Kind, Callable[[LoopWork, Tiling], Loop]] = {
    Kind.CONVOLUTION: _convolution,
    Kind.INNER_PRODUCT: _inner_product,
    Kind.POOLING: _pooling,
    Kind.BATCH_NORM: _batch_norm,
    Kind.FLAT: _one_by_one,
    Kind.ROWS: _one_by_one,
}
