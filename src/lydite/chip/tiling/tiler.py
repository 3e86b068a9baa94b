"""Tilings from shapes: `tile` splits an operator as SMAUG does, `tiling_of` by a given choice."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lydite.chip.tiling.constraints import Constraints, Strategy
from lydite.chip.tiling.problem import Kind, Problem
from lydite.chip.tiling.search import Candidates, first_fullest, smaug_candidates
from lydite.chip.tiling.strategies import roles_of
from lydite.chip.tiling.tiles import Grid, TileOperand, Tiling, grid, plain, windowed
from lydite.errors import InputError

Columns = np.ndarray


@lru_cache(maxsize=4096)
def tile(problem: Problem, constraints: Constraints) -> Tiling:
    """Split an operator as SMAUG does.

    Raises:
        InputError: a scratchpad is too small for the smallest tile (names the operator, what it
            needs and what is available).
    """
    if problem.kind is Kind.FLAT:
        return _lines(problem, min(problem.input[1], constraints.flat_elements))
    if problem.kind is Kind.ROWS:
        return _rows(problem, constraints)
    found = smaug_candidates(problem, constraints)
    return tiling_of(problem, constraints, first_fullest(found, constraints))


def tiling_of(problem: Problem, constraints: Constraints, choice: Candidates) -> Tiling:
    """The tiles of one candidate (the first row of `choice`)."""
    plan = choice.plans[0]
    shapes = [
        tuple(int(size) for size in part[0])
        for part in (choice.input, choice.weights, choice.output)
    ]
    inputs = _input_grid(problem, shapes[0], constraints.exact_halos)
    weights = None
    if problem.weights:
        axes = map(plain, problem.weights, shapes[1])
        weights = TileOperand(plan[1], shapes[1], grid(*axes))
    outputs = _output_grid(problem, shapes[2], plan[2], inputs, weights)
    kept = _with_output(inputs, outputs) if problem.kind is Kind.POOLING else inputs
    return Tiling(
        TileOperand(_whole_batch(plan[0], problem, constraints), shapes[0], kept),
        TileOperand(_whole_batch(plan[2], problem, constraints), shapes[2], outputs),
        weights,
        _pads(problem, inputs),
    )


def _whole_batch(strategy: Strategy, problem: Problem, constraints: Constraints) -> Strategy:
    """The strategy of a whole batch whose images were searched one at a time."""
    alone = roles_of(problem, constraints).one_image and problem.input[0] > 1
    return Strategy.N if alone and strategy is Strategy.NONE else strategy


def _input_grid(problem: Problem, shape: tuple[int, ...], exact: bool) -> Grid:
    axes = [plain(size, part) for size, part in zip(problem.input, shape, strict=True)]
    if problem.kind in (Kind.CONVOLUTION, Kind.POOLING):
        for at in (0, 1):
            axes[1 + at] = windowed(
                problem.input[1 + at],
                shape[1 + at],
                problem.kernel[at],
                problem.stride[at],
                problem.pads[2 * at],
                exact,
            )
    return grid(*axes)


def _pads(problem: Problem, inputs: Grid) -> tuple[Columns, Columns, Columns, Columns] | None:
    """Zeros around each input tile: leading ones on the first, trailing ones on the last."""
    if problem.kind is not Kind.CONVOLUTION:
        return None
    found = []
    for side, pad in enumerate(problem.pads):
        column = np.zeros(inputs.counts[1 + side // 2], np.int64)
        column[-(side % 2)] = pad
        found.append(column)
    return tuple(found)


def _output_grid(
    problem: Problem,
    shape: tuple[int, ...],
    strategy: Strategy,
    inputs: Grid,
    weights: TileOperand | None,
) -> Grid:
    axes = [plain(size, part) for size, part in zip(problem.output, shape, strict=True)]
    if problem.kind is Kind.CONVOLUTION and "H" in strategy.axes:
        axes[1] = _rows_of(problem, inputs)
        if weights is not None:
            axes[3] = weights.grid.sizes[0], weights.grid.origins[0]
    return grid(*axes)


def _rows_of(problem: Problem, inputs: Grid) -> tuple[Columns, Columns]:
    """Output rows of each row of input tiles; a last one shorter than the kernel gives none."""
    kernel, stride, pads = problem.kernel[0], problem.stride[0], problem.pads
    reach = inputs.sizes[1].copy()
    reach[0] += pads[0]
    reach[-1] += pads[1]
    sizes = (reach - kernel) // stride + 1
    sizes = sizes[:-1] if reach[-1] < kernel else sizes
    return sizes, np.cumsum(sizes) - sizes


def _with_output(inputs: Grid, outputs: Grid) -> Grid:
    """The grid without rows and columns of input tiles that are smaller than the window."""
    counts = [*inputs.counts]
    counts[1:3] = outputs.counts[1:3]
    pairs = zip(inputs.sizes, inputs.origins, counts, strict=True)
    return grid(*[(size[:count], origin[:count]) for size, origin, count in pairs])


def _lines(problem: Problem, elements: int) -> Tiling:
    """Tiles of an element-wise operator: lines of elements, whatever its shape."""
    cut = Strategy.NC if elements < problem.input[1] else Strategy.NONE
    lines = grid(plain(1, 1), plain(problem.input[1], elements))
    operand = TileOperand(cut, (1, elements), lines)
    return Tiling(operand, operand)


def _rows(problem: Problem, constraints: Constraints) -> Tiling:
    """Tiles of whole rows."""
    width, capacity = constraints.stored((1, problem.input[1])), constraints.flat_elements
    if width > capacity:
        size = constraints.element_bytes
        raise InputError(
            f"a row of {problem.input[1]} elements needs {width * size} bytes of a scratchpad of "
            f"{capacity * size}",
            where=f"{constraints.name}: {problem}",
            allowed="rows that fit whole",
        )
    height = min(capacity // width, problem.input[0])
    cut = Strategy.N if height < problem.input[0] else Strategy.NONE
    axes = plain(problem.input[0], height), plain(problem.input[1], problem.input[1])
    operand = TileOperand(cut, (height, problem.input[1]), grid(*axes))
    return Tiling(operand, operand)
