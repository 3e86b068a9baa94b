"""The search for tile shapes: SMAUG's, with the dataflow's constraints as data.

Algorithm: harvard-acc/smaug, smaug/operators/smv/*_tiling.cpp. Each operand gets the first strategy
whose smallest tile fits; the shapes that the strategies allow are listed in SMAUG's order (N, C, H,
W, the last fastest), and the first of the fullest scratchpads wins.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from lydite.chip.tiling.constraints import Constraints, Limits, Roles, Strategy
from lydite.chip.tiling.problem import Kind, Problem
from lydite.chip.tiling.strategies import (
    AXES,
    Strategies,
    check_smallest,
    every_plan,
    extent_of,
    first_strategy,
    least_tile,
    linked,
    one_image,
    roles_of,
)
from lydite.errors import InputError
from lydite.records import dataclass

Columns = np.ndarray
_S = Strategy


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Tile shapes that fit, one row each, in SMAUG's order.

    Attributes:
        input: Tile of the input, [candidates, dimensions].
        weights: Tile of the weights, [candidates, dimensions]; no columns without weights.
        output: Tile of the output, [candidates, dimensions].
        plans: Strategies behind each row.
    """

    input: Columns
    weights: Columns
    output: Columns
    plans: tuple[Strategies, ...]

    def __len__(self) -> int:
        return len(self.input)

    def stored(self, constraints: Constraints) -> Columns:
        """Elements in the scratchpads with padding, [candidates, (input, weights, output)]."""
        parts = (self.input, self.weights, self.output)
        return np.stack([stored(part, constraints.alignment) for part in parts], axis=1)

    def row(self, index: int) -> Candidates:
        """A single candidate."""
        at = slice(index, index + 1)
        return Candidates(self.input[at], self.weights[at], self.output[at], (self.plans[index],))


def stored(shapes: Columns, alignment: int) -> Columns:
    """Elements of tiles [tiles, dimensions], the innermost dimension padded; 0 without any."""
    if not shapes.shape[1]:
        return np.zeros(len(shapes), np.int64)
    inner = -(-shapes[:, -1] // alignment) * alignment
    return inner * shapes[:, :-1].prod(axis=1)


def smaug_candidates(problem: Problem, constraints: Constraints) -> Candidates:
    """All shapes under the strategies that SMAUG chooses before it looks at shapes.

    Raises:
        InputError: a scratchpad is too small for the smallest tile (names the operand, what it
            needs and what is available).
    """
    roles = roles_of(problem, constraints)
    problem = one_image(problem, roles)
    choose = partial(first_strategy, problem, constraints)
    weights = choose("weights", roles.weights) if roles.weights else _S.NONE
    first = choose("input", roles.input)
    output = _S.NONE if problem.kind is Kind.BATCH_NORM else choose("output", roles.output)
    shapes = candidates(
        problem, constraints, (first, weights, linked(problem, roles, first, weights, output))
    )
    if len(shapes):
        return shapes
    # SMAUG stops here; other strategies may fit
    others = (candidates(problem, constraints, plan) for plan in every_plan(problem, roles))
    for other in others:
        if len(other):
            return other
    for role, limits in (("input", roles.input), ("weights", roles.weights)):
        if limits is not None:
            check_smallest(problem, constraints, role, limits)
    raise InputError(
        "no tiles of its operands fit together",
        where=f"{constraints.name}: {problem}",
        allowed="larger scratchpads",
    )


def first_fullest(shapes: Candidates, constraints: Constraints) -> Candidates:
    """SMAUG's choice: the first of the candidates that fill the scratchpads most."""
    return shapes.row(int(shapes.stored(constraints).sum(axis=1).argmax()))


def candidates(problem: Problem, constraints: Constraints, plan: Strategies) -> Candidates:
    """All shapes that fit under the given strategies, in SMAUG's order; possibly none."""
    roles = roles_of(problem, constraints)
    first, weights, _ = plan
    inputs = _shapes(problem, problem.input, roles.input, first)
    inputs = inputs[stored(inputs, constraints.alignment) <= roles.input.capacity_elements]
    inputs, weight_tiles = _with_weights(problem, constraints, roles, inputs, first, weights)
    inputs, weight_tiles, outputs = _with_outputs(problem, roles, inputs, weight_tiles, plan)
    fits = stored(outputs, constraints.alignment) <= roles.output.capacity_elements
    fits &= (outputs > 0).all(axis=1)
    kept = int(fits.sum())
    return Candidates(inputs[fits], weight_tiles[fits], outputs[fits], (plan,) * kept)


# --- shapes -----------------------------------------------------------------------------------


def _shapes(problem: Problem, dims: tuple[int, ...], limits: Limits, strategy: Strategy) -> Columns:
    """All shapes of an operand, N slowest, then C, H and W; sizes are not checked yet."""
    axes = AXES[len(dims)]
    values = []
    for axis, full, least, step in zip(
        axes, dims, least_tile(problem, dims, limits), limits.step, strict=True
    ):
        cut = axis in strategy.axes
        grow = max(1, extent_of(problem, step, axis, full))
        values.append(np.arange(least, full + 1, grow) if cut else np.array([full]))
    slowest = [axes.index(axis) for axis in "NCHW" if axis in axes]
    # A row of the batch that cannot fit is not a candidate; skipping it early saves many shapes.
    rest = max(1, int(np.prod([values[i][0] for i in slowest[1:]])))
    values[0] = values[0][
        : max(1, int(np.searchsorted(values[0], limits.capacity_elements // rest, side="right")))
    ]
    mesh = np.meshgrid(*[values[i] for i in slowest], indexing="ij")
    columns = {at: axis.ravel() for at, axis in zip(slowest, mesh, strict=True)}
    return np.stack([columns[i] for i in range(len(dims))], axis=1)


def _with_weights(
    problem: Problem,
    constraints: Constraints,
    roles: Roles,
    inputs: Columns,
    first: Strategy,
    strategy: Strategy,
) -> tuple[Columns, Columns]:
    """All pairs of input and weight tiles that fit together."""
    if roles.weights is None:
        return inputs, np.empty((len(inputs), 0), np.int64)
    is_norm = problem.kind is Kind.BATCH_NORM
    of_image = is_norm and len(problem.input) == 4
    tied = "C" in first.axes and not of_image
    dims, cut = problem.weights, strategy
    if tied and len(inputs):
        # The channels of the weights are those of the input tile; only their outputs are free.
        dims = (*dims[:-1], int(inputs[:, -1].min()))
        cut = _S.NONE if strategy is _S.NONE else _S.N
    shapes = _shapes(problem, dims, roles.weights, cut)
    at = np.repeat(np.arange(len(inputs)), len(shapes))
    weights = np.tile(shapes, (len(inputs), 1))
    if tied:
        weights[:, -1] = inputs[at, -1]
    fits = stored(weights, constraints.alignment) <= roles.weights.capacity_elements
    if is_norm and tied:
        # SMAUG stops at the first weights that do not fit, and so misses larger batches.
        fits = np.logical_and.accumulate(fits)
    return inputs[at[fits]], weights[fits]


def _with_outputs(
    problem: Problem, roles: Roles, inputs: Columns, weights: Columns, plan: Strategies
) -> tuple[Columns, Columns, Columns]:
    """All pairs of input and weight tiles with all output tiles that fit."""
    first, weight_strategy, strategy = plan
    if problem.kind is Kind.BATCH_NORM:
        return inputs, weights, inputs
    outputs = np.tile(np.array(problem.output), (len(inputs), 1))
    outputs[:, 0] = inputs[:, 0]
    for axis, at in (("H", 0), ("W", 1)):
        if axis in strategy.axes:
            # A tile has padding on one side only, unless it is the only tile.
            pads, whole = problem.pads[2 * at : 2 * at + 2], problem.input[1 + at]
            pad = np.where(inputs[:, 1 + at] < whole, max(pads), sum(pads))
            kernel, stride = problem.kernel[at], problem.stride[at]
            outputs[:, 1 + at] = (inputs[:, 1 + at] + pad - kernel) // stride + 1
    if problem.kind is Kind.POOLING:
        if "C" in first.axes and "C" in strategy.axes:
            outputs[:, -1] = inputs[:, -1]
        return inputs, weights, outputs
    if strategy is _S.NONE:
        return inputs, weights, outputs
    if weight_strategy is not _S.NONE or "H" in strategy.axes or not roles.output_in_parts:
        outputs[:, -1] = weights[:, 0]
        return inputs, weights, outputs
    # The weights stay whole, and the output's channels are free.
    channels = problem.output[-1]
    step = extent_of(problem, roles.output.step[-1], "C", channels)
    least = least_tile(problem, problem.output, roles.output)[-1]
    values = np.arange(min(least, channels), channels + 1, step)
    outputs = np.repeat(outputs, len(values), axis=0)
    outputs[:, -1] = np.tile(values, len(inputs))
    at = np.repeat(np.arange(len(inputs)), len(values))
    return inputs[at], weights[at], outputs
