"""The search for the cheapest tiling: never dearer than SMAUG's, and cheaper where it can be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lydite.chip.smv import KERNELS, SMV, SmvOp, schedule, smv_constraints
from lydite.chip.smv.functional import execute
from lydite.chip.tiling import (
    Candidates,
    Problem,
    batch_norm,
    best_tiling,
    convolution,
    flat,
    inner_product,
    pooling,
    tile,
)
from lydite.chip.tiling.best import every_candidate
from lydite.chip.tiling.search import first_fullest, smaug_candidates
from lydite.errors import InputError

PROBLEMS = (
    convolution((1, 16, 16, 128), 64, (3, 3), pads=(1, 1, 1, 1)),
    convolution((2, 40, 40, 24), 40, (5, 5), (2, 2), (2, 2, 2, 2)),
    inner_product((20, 600), 300),
    pooling((1, 33, 47, 40), (3, 2), (2, 3)),
    batch_norm((2, 30, 30, 96)),
    batch_norm((10, 9000)),
)


def loads(problem: Problem):
    """Elements fetched, roughly: tiles of each operand by their number."""

    def cost(found: Candidates) -> np.ndarray:
        weights = problem.weights or (1,)
        tiles = found.weights if problem.weights else np.ones((len(found), 1))
        again = np.ceil(np.array(weights[0]) / tiles[:, 0])
        rows = np.ceil(problem.input[1] / found.input[:, 1])
        return again * np.prod(problem.input) + rows * np.prod(weights)

    return cost


def cost_of_smaug(problem: Problem, cost, constraints=SMV) -> float:
    chosen = first_fullest(smaug_candidates(problem, constraints), constraints)
    assert tuple(chosen.input[0]) == tile(problem, constraints).input.tile
    return float(cost(chosen)[0])


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_never_dearer_than_smaug(problem):
    cost = loads(problem)
    found = best_tiling(problem, SMV, cost)
    of_best = every_candidate(problem, SMV)
    at = (of_best.input == found.input.tile).all(axis=1)
    at &= (of_best.output == found.output.tile).all(axis=1)
    if found.weights is not None:
        at &= (of_best.weights == found.weights.tile).all(axis=1)
    assert cost(of_best)[at].min() == cost(of_best).min() <= cost_of_smaug(problem, cost)


def test_smaugs_own_where_nothing_is_cheaper():
    for problem in PROBLEMS:
        found = best_tiling(problem, SMV, lambda c: np.ones(len(c)))
        own = tile(problem, SMV)
        assert (found.input.tile, found.output.tile) == (own.input.tile, own.output.tile)
        assert found.input.strategy is own.input.strategy


def test_cheaper_where_the_fullest_is_not_the_best():
    # SMAUG cuts rows of all channels, and loads each of 16 weight tiles anew for each of 13 row
    # tiles; fewer channels at a time leave room for longer tiles of both.
    problem = convolution((1, 28, 28, 128), 128, (3, 3), pads=(1, 1, 1, 1))
    cost = loads(problem)
    found = best_tiling(problem, SMV, cost)
    op = SmvOp("conv", KERNELS[0], problem, ("x", "w"), "y")

    def fetched(tiling) -> int:
        plan = schedule(op, tiling=tiling)
        return int((plan.input_load_bytes + plan.weight_load_bytes).sum())

    assert fetched(found) < 0.5 * fetched(tile(problem, SMV))


@settings(max_examples=40)
@given(st.sampled_from(PROBLEMS[1:5]), st.integers(0, 2**31), st.sampled_from([16384, 32768]))
def test_every_candidate_runs_and_writes_each_output_once(problem, seed, scratchpad):
    constraints, rng = smv_constraints(scratchpad), np.random.default_rng(seed)
    found = best_tiling(problem, constraints, lambda c: rng.random(len(c)))
    kernel = {"convolution": 0, "inner_product": 1, "pooling": 2, "batch_norm": 4}[problem.kind]
    op = SmvOp("op", KERNELS[kernel], problem, (), "y")
    operands = [rng.standard_normal(dims) for dims in (problem.input, problem.weights) if dims]
    outcome = execute(op, operands, constraints, tiling=found)
    other = execute(op, operands, constraints)
    assert (outcome.writes == 1).all()
    np.testing.assert_allclose(
        outcome.output.astype(float), other.output.astype(float), rtol=2e-2, atol=2e-2
    )


def test_a_cost_that_is_no_number_is_refused():
    for cost in (lambda c: np.full(len(c), np.nan), lambda c: np.zeros(1)):
        with pytest.raises(InputError, match="one number per candidate"):
            best_tiling(PROBLEMS[0], SMV, cost)


def test_lines_leave_no_choice():
    found = best_tiling(flat(20000), SMV, lambda c: np.zeros(len(c)))
    assert found.input.tile == tile(flat(20000), SMV).input.tile
