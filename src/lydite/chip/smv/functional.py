"""Functional model of SMV, tile by tile: fp16 in memory, fp32 in the scratchpads.

It follows the schedule exactly, including tiles that are reused and results that wait for their
last part, so that a wrong tile, halo or reuse changes the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field

import numpy as np

from lydite.chip.smv.activations import activated, softmax
from lydite.chip.smv.invocations import KERNELS, Invocations
from lydite.chip.smv.limits import SMV
from lydite.chip.smv.program import SmvOp
from lydite.chip.smv.schedule import schedule
from lydite.chip.tiling.constraints import Constraints
from lydite.chip.tiling.problem import Kind
from lydite.chip.tiling.tiler import tile
from lydite.chip.tiling.tiles import Grid, Tiling
from lydite.errors import InputError
from lydite.records import dataclass

Array = np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Result of an operator in memory.

    Attributes:
        output: Result in fp16 (bool for a comparison); NaN where nothing was written.
        writes: How often each element was written, in the shape of `output`.
    """

    output: Array
    writes: Array


def execute(
    op: SmvOp,
    operands: Sequence[Array],
    constraints: Constraints = SMV,
    accelerators: int = 1,
    tiling: Tiling | None = None,
) -> Outcome:
    """Run one operator on arrays.

    Args:
        op: Operator to run.
        operands: Arrays in SMV's layouts: images [N, H, W, C]; weights of a convolution [outputs,
            rows, columns, inputs], of an inner product [outputs, inputs], of a batch norm [4, C]
            (mean, 1 / sqrt(variance + epsilon), scale, bias); two tensors of equal shape for an
            element-wise operator.
        constraints, accelerators, tiling: As for `schedule`.

    Raises:
        InputError: operands have other shapes, or as for `schedule`.
    """
    cut = tile(op.problem, constraints) if tiling is None else tiling
    plan = schedule(op, constraints, accelerators, cut)
    run = _Run(op, plan, cut, _stored(op, operands))
    for index in range(len(plan)):
        run.invoke(index)
    return Outcome(run.output, run.writes)


def _stored(op: SmvOp, operands: Sequence[Array]) -> list[Array]:
    """The operands as stored in memory, in fp16; those of a line are flat and padded with zeros."""
    problem = op.problem
    given = [np.asarray(each, np.float16) for each in operands]
    if problem.kind is Kind.FLAT:
        lines = [np.zeros(problem.input, np.float16) for _ in given]
        for line, each in zip(lines, given, strict=True):
            line[0, : each.size] = each.reshape(-1)[: line.size]
        shapes = {each.shape for each in given}
        if len(shapes) > 1 or any(each.size > problem.input[1] for each in given):
            raise InputError(f"operands {shapes} of {problem}", where=op.name)
        return lines
    wanted = [problem.input] + ([problem.weights] if problem.weights else [])
    if [each.shape for each in given] != wanted:
        raise InputError(
            f"operands have the shapes {[each.shape for each in given]}",
            where=op.name,
            allowed=f"{wanted}",
        )
    return given


@dataclass(slots=True)
class _Pads:
    """The fp32 scratchpads of one accelerator, and the output tile that is being accumulated."""

    input: Array = field(default_factory=lambda: np.empty(0, np.float32))
    weights: Array = field(default_factory=lambda: np.empty(0, np.float32))
    results: Array = field(default_factory=lambda: np.empty(0, np.float32))
    tile: int = -1


class _Run:
    def __init__(self, op: SmvOp, plan: Invocations, tiling: Tiling, memory: list[Array]) -> None:
        self.op, self.plan, self.tiling, self.memory = op, plan, tiling, memory
        self.problem = op.problem
        self.compares = op.kernel in _COMPARISONS
        kind = np.bool_ if self.compares else np.float16
        self.output = np.full(self.problem.output, not self.compares and np.nan, kind)
        self.writes = np.zeros(self.problem.output, np.int64)
        self.pads = [_Pads() for _ in range(int(plan.accelerator.max()) + 1)]
        self.kernel: Callable[[_Run, int, _Pads], None] = _KERNELS[op.kernel]

    def invoke(self, index: int) -> None:
        """Run one invocation: fetch, compute, send."""
        plan, tiling = self.plan, self.tiling
        pads = self.pads[plan.accelerator[index]]
        if plan.reads_input[index]:
            at = _region(tiling.input.grid, plan.input_tile[index])
            pads.input = self.memory[0][at].astype(np.float32)
        if plan.reads_weights[index]:
            grid = tiling.weights.grid if tiling.weights is not None else tiling.input.grid
            at = _region(grid, plan.weight_tile[index])
            pads.weights = self.memory[1][at].astype(np.float32)
        at = _region(tiling.output.grid, plan.output_tile[index])
        if pads.tile != plan.output_tile[index]:
            pads.tile = plan.output_tile[index]
            pads.results = np.full([part.stop - part.start for part in at], np.nan, np.float32)
        self.kernel(self, index, pads)
        if plan.sends[index]:
            self._send(index, pads, at)

    def _send(self, index: int, pads: _Pads, at: tuple[slice, ...]) -> None:
        results = pads.results
        if self.problem.kind is Kind.INNER_PRODUCT and len(self.pads) > 1:
            first = int(self.plan.output_start[index])
            last = first + int(self.plan.weight_dims[index, 0])
            results = results[:, first:last]
            start = at[1].start
            at = at[0], slice(start + first, min(start + last, at[1].stop))
        if self.op.activation is not None:
            results = activated(results, self.op.activation)
        with np.errstate(over="ignore"):
            self.output[at] = results
        self.writes[at] += 1

    # --- kernels ------------------------------------------------------------------------------

    def convolve(self, index: int, pads: _Pads) -> None:
        """Partial sums over one block of input channels and the whole window."""
        plan, problem = self.plan, self.problem
        first, channels = int(plan.input_start[index]), int(plan.weight_dims[index, 3])
        start, count = int(plan.output_start[index]), int(plan.output_dims[index, 3])
        top, bottom, left, right = (int(pad) for pad in plan.pads[index])
        image = pads.input[..., first : first + channels]
        image = np.pad(image, ((0, 0), (top, bottom), (left, right), (0, 0)))
        weights = pads.weights[start : start + count]
        if not plan.accumulates[index]:
            pads.results[:] = 0
        for row, col in np.ndindex(*problem.kernel):
            seen = self._seen(image, row, col, pads.results)
            pads.results += seen @ weights[:, row, col].T

    def _seen(self, image: Array, row: int, col: int, results: Array) -> Array:
        """The elements that one tap of the window sees, one per output position."""
        down, along = self.problem.stride
        rows, cols = results.shape[1:3]
        return image[:, row : row + down * rows : down, col : col + along * cols : along][
            :, :rows, :cols
        ]

    def multiply(self, index: int, pads: _Pads) -> None:
        """Partial sums of some outputs over some inputs."""
        plan = self.plan
        outputs, inputs = int(plan.weight_dims[index, 0]), int(plan.weight_dims[index, 3])
        first, start = int(plan.output_start[index]), int(plan.input_start[index])
        at = slice(first, first + outputs)
        if not plan.accumulates[index]:
            pads.results[:, at] = 0
        pads.results[:, at] += pads.input[:, start : start + inputs] @ pads.weights.T

    def pool(self, index: int, pads: _Pads) -> None:
        """Maximum or mean over the window, into the tile's channels."""
        first = int(self.plan.output_start[index])
        places = [*np.ndindex(*self.problem.kernel)]
        seen = [self._seen(pads.input, row, col, pads.results) for row, col in places]
        is_max = self.op.kernel == KERNELS[2]
        found = (
            np.max(seen, axis=0) if is_max else np.sum(seen, axis=0) * np.float32(1 / len(places))
        )
        pads.results[..., first : first + pads.input.shape[-1]] = found

    def normalise(self, index: int, pads: _Pads) -> None:
        """(x - mean) * (1 / deviation * scale) + bias, per channel."""
        plan = self.plan
        if len(self.problem.input) == 4:
            into, first = slice(None), int(plan.output_start[index])
            weights = pads.weights[:, first : first + pads.input.shape[-1]]
        else:
            first, weights = int(plan.input_start[index]), pads.weights
            into = slice(first, first + weights.shape[1])
        mean, deviation, scale, bias = weights
        pads.results[..., into] = (pads.input[..., into] - mean) * (deviation * scale) + bias

    def two(self, _: int, pads: _Pads) -> None:
        """Arithmetic or comparison of two lines."""
        pads.results[:] = _OF_TWO[self.op.kernel](pads.input, pads.weights)

    def copy(self, _: int, pads: _Pads) -> None:
        """Copy a line; its activation follows."""
        pads.results[:] = pads.input

    def softmax(self, _: int, pads: _Pads) -> None:
        """Softmax of rows."""
        pads.results[:] = softmax(pads.input)


_OF_TWO: dict[str, np.ufunc] = dict(
    zip(
        KERNELS[6:12],
        (np.add, np.multiply, np.less, np.less_equal, np.greater, np.greater_equal),
        strict=True,
    )
)
_COMPARISONS = frozenset(KERNELS[8:12])
_KERNELS: dict[str, Callable[[_Run, int, _Pads], None]] = dict(
    zip(
        KERNELS,
        (
            _Run.convolve,
            _Run.multiply,
            _Run.pool,
            _Run.pool,
            _Run.normalise,
            _Run.normalise,
            *[_Run.two] * 6,
            _Run.copy,
            _Run.softmax,
        ),
        strict=True,
    )
)


def _region(grid: Grid, tile: int) -> tuple[slice, ...]:
    """Slices of the tile within its tensor."""
    return tuple(
        slice(int(start), int(start + size))
        for start, size in zip(grid.starts[tile], grid.shapes[tile], strict=True)
    )
