"""Choice of the strategy of each operand, before shapes are searched."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

from lydite.chip.tiling.constraints import Constraints, Extent, Limits, Roles, Strategy
from lydite.chip.tiling.problem import Kind, Problem
from lydite.errors import InputError

Strategies = tuple[Strategy, Strategy, Strategy]
"""Strategies of input, weights and output."""

AXES = {4: "NHWC", 2: "NC"}
"""Names of a tensor's dimensions, by their number."""

_S = Strategy


def roles_of(problem: Problem, constraints: Constraints) -> Roles:
    """The limits on the operands of a problem."""
    if problem.kind is Kind.BATCH_NORM:
        return constraints.batch_norm if len(problem.input) == 4 else constraints.batch_norm_2d
    roles = {
        Kind.CONVOLUTION: constraints.convolution,
        Kind.POOLING: constraints.pooling,
        Kind.INNER_PRODUCT: constraints.inner_product,
    }
    return roles[problem.kind]


def one_image(problem: Problem, roles: Roles) -> Problem:
    """The problem whose tiles are searched: one image, if a tile holds only one."""
    if not roles.one_image:
        return problem
    return replace(problem, input=(1, *problem.input[1:]), output=(1, *problem.output[1:]))


def linked(
    problem: Problem, roles: Roles, first: Strategy, weights: Strategy, output: Strategy
) -> Strategy:
    """The output's strategy, given the input's and the weights'."""
    if problem.kind is Kind.BATCH_NORM:
        return first
    axes = output.axes
    if weights is not _S.NONE and (roles.output_leaves_early or output is not _S.NONE):
        axes = "NC"
    cut = [axis for axis in "HW" if axis in first.axes]
    if len(cut) == 2:
        # If the output's strategy includes channels, SMAUG drops the rows.
        axes = "NHW"
    elif cut:
        other = "W" if cut == ["H"] else "H"
        axes = f"NC{cut[0]}" if "C" in axes else "NHW" if other in axes else f"N{cut[0]}"
    return _S(f"Dim{axes}") if axes else _S.NONE


def every_plan(problem: Problem, roles: Roles) -> Iterator[Strategies]:
    """All allowed combinations of strategies, in order of preference.

    The output's rows and columns are split only if the input's are.
    """
    of_weights = roles.weights.strategies if roles.weights else (_S.NONE,)
    seen, rows = set(), {"H", "W"}
    for first, weights, output in itertools.product(
        roles.input.strategies, of_weights, roles.output.strategies
    ):
        plan = first, weights, linked(problem, roles, first, weights, output)
        cut, of_output = rows & set(first.axes), rows & set(plan[2].axes)
        possible = cut == of_output and (len(problem.input) == 4 or not cut)
        if possible and plan not in seen:
            seen.add(plan)
            yield plan


def first_strategy(
    problem: Problem, constraints: Constraints, role: str, limits: Limits
) -> Strategy:
    """The first strategy whose smallest tile fits.

    As in SMAUG, the minimum of a dimension is taken as its share of the padded tensor, and N is
    reduced to one in all strategies but DimN.
    """
    dims: tuple[int, ...] = getattr(problem, role)
    axes, full = AXES[len(dims)], constraints.stored(dims)
    least = least_tile(problem, dims, limits)
    for strategy in limits.strategies:
        size = float(full)
        if strategy is _S.N:
            size = full // dims[0] * least[0]
        elif strategy is not _S.NONE:
            if not set(strategy.axes) <= set(axes):
                continue
            size = float(full // dims[0])
            for axis in strategy.axes[1:]:
                at = axes.index(axis)
                size *= least[at] * 1.0 / dims[at]
        if size <= limits.capacity_elements:
            return strategy
    check_smallest(problem, constraints, role, limits)
    # By SMAUG's estimate no strategy fits, yet one does.
    return limits.strategies[-1]


def extent_of(problem: Problem, extent: Extent, axis: str, full: int) -> int:
    """An extent as a number."""
    at = 1 if axis == "W" else 0
    named = {"kernel": problem.kernel[at], "stride": problem.stride[at], "full": full}
    return named[extent] if isinstance(extent, str) else extent


def least_tile(problem: Problem, dims: tuple[int, ...], limits: Limits) -> list[int]:
    """The smallest tile of an operand, by dimension."""
    return [
        min(full, extent_of(problem, extent, axis, full))
        for axis, full, extent in zip(AXES[len(dims)], dims, limits.smallest, strict=True)
    ]


def check_smallest(problem: Problem, constraints: Constraints, role: str, limits: Limits) -> None:
    """Refuse an operand whose smallest tile does not fit under any strategy."""
    dims: tuple[int, ...] = getattr(problem, role)
    axes, least = AXES[len(dims)], least_tile(problem, dims, limits)
    tiles = []
    for strategy in limits.strategies:
        if set(strategy.axes) <= set(axes):
            sizes = zip(axes, least, dims, strict=True)
            tiles.append([low if axis in strategy.axes else full for axis, low, full in sizes])
    smallest = min(tiles, key=constraints.stored)
    need, size = constraints.stored(smallest), constraints.element_bytes
    if need > limits.capacity_elements:
        raise InputError(
            f"the smallest tile of the {role}, {smallest}, needs {need * size} bytes of a "
            f"scratchpad of {limits.capacity_elements * size}",
            where=f"{constraints.name}: {problem}",
            allowed="a scratchpad that holds the smallest tile of every operand",
        )
