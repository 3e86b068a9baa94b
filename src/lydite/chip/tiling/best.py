"""The tiling of least cost, among all strategies and shapes that fit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lydite.chip.tiling.constraints import Constraints
from lydite.chip.tiling.problem import Kind, Problem
from lydite.chip.tiling.search import Candidates, candidates, first_fullest, smaug_candidates
from lydite.chip.tiling.strategies import every_plan, one_image, roles_of
from lydite.chip.tiling.tiler import tile, tiling_of
from lydite.chip.tiling.tiles import Tiling
from lydite.errors import InputError

Cost = Callable[[Candidates], np.ndarray]
"""Cost of each candidate, in any unit; infinite for those that the dataflow cannot run."""


def best_tiling(problem: Problem, constraints: Constraints, cost: Cost) -> Tiling:
    """The tiling of least cost, or SMAUG's own if no other is cheaper.

    Lines and rows of elements leave no choice and are split as in SMAUG.

    Raises:
        InputError: a scratchpad is too small for the smallest tile, or the costs are not one number
            per candidate.
    """
    if problem.kind in (Kind.FLAT, Kind.ROWS):
        return tile(problem, constraints)
    found = every_candidate(problem, constraints)
    costs = np.asarray(cost(found), dtype=float)
    if costs.shape != (len(found),) or np.isnan(costs).any():
        raise InputError(
            f"the cost of {len(found)} candidates has the shape {costs.shape} or is not a number",
            where=str(problem),
            allowed="one number per candidate",
        )
    return tiling_of(problem, constraints, found.row(int(costs.argmin())))


def every_candidate(problem: Problem, constraints: Constraints) -> Candidates:
    """SMAUG's choice, then every shape under every combination of strategies that fits.

    Raises:
        InputError: a scratchpad is too small for the smallest tile.
    """
    roles = roles_of(problem, constraints)
    chosen = first_fullest(smaug_candidates(problem, constraints), constraints)
    alone = one_image(problem, roles)
    groups = [chosen]
    groups += [candidates(alone, constraints, plan) for plan in every_plan(alone, roles)]
    return Candidates(
        np.concatenate([group.input for group in groups]),
        np.concatenate([group.weights for group in groups]),
        np.concatenate([group.output for group in groups]),
        tuple(plan for group in groups for plan in group.plans),
    )
