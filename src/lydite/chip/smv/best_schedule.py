"""Tilings for SMV that take less time or energy than SMAUG's.

All shapes under all strategies are ranked by the lines that they fetch and the invocations that
they need; the first few, and SMAUG's own, are scheduled and priced, and the cheapest is kept: never
more than SMAUG's with one accelerator and nothing else on the bus.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lydite.chip.smv.energy import power_of
from lydite.chip.smv.invocations import Invocations, joined
from lydite.chip.smv.lower import lower
from lydite.chip.smv.program import SmvOp
from lydite.chip.smv.schedule import SmvSchedule, schedule
from lydite.chip.smv.timing import cycles_of
from lydite.chip.tiling.best import every_candidate
from lydite.chip.tiling.constraints import Constraints
from lydite.chip.tiling.problem import Kind, Problem
from lydite.chip.tiling.search import Candidates
from lydite.chip.tiling.tiler import tiling_of
from lydite.chip.tilings import Price
from lydite.chip.units import ALADDIN_NM
from lydite.errors import InputError
from lydite.graph import Graph
from lydite.hardware.chip import Chip

TRIED = 24
"""Number of tilings of an operator that are scheduled."""

_INVOCATION_LINES = 40
"""What an invocation costs besides, as lines fetched: head, constants and launch (a rough weight,
for the ranking alone)."""


def best_schedule(graph: Graph, chip: Chip, constraints: Constraints, price: Price) -> SmvSchedule:
    """The invocations of a graph, each operator in the cheapest tiling found.

    Args:
        graph: with fixed sizes.
        chip: whose cycles and energies count.
        constraints: of its scratchpads.
        price: from the seconds and joules of an operator's invocations; joules are of units,
            scratchpads, cache, DRAM and leakage meanwhile.

    Raises:
        InputError: a scratchpad too small for an operator's smallest tile (named).
        GraphError: a tensor of open size.
    """
    program = lower(graph)
    known: dict[object, Invocations] = {}
    parts: list[Invocations] = []
    for op in program.ops:
        key = op.problem, op.kernel, op.activation is not None
        if key not in known:
            known[key] = _cheapest(op, chip, constraints, price)
        parts.append(known[key])
    return SmvSchedule(program, joined(parts, [op.name for op in program.ops]), tuple(program.host))


def _cheapest(op: SmvOp, chip: Chip, constraints: Constraints, price: Price) -> Invocations:
    usual = schedule(op, constraints, chip.accelerators)
    if op.problem.kind in (Kind.FLAT, Kind.ROWS):
        return usual
    found = every_candidate(op.problem, constraints)
    tried = [usual]
    for row in np.argsort(_rough(op.problem, found), kind="stable")[:TRIED].tolist():
        try:
            tiling = tiling_of(op.problem, constraints, found.row(row))
            tried.append(schedule(op, constraints, chip.accelerators, tiling))
        except InputError:
            continue  # tiles that do not meet, such as channels of two operands
    return tried[int(np.argmin([_priced(each, chip, price) for each in tried]))]


def _priced(invocations: Invocations, chip: Chip, price: Price) -> float:
    cycles = cycles_of(invocations, chip)

    def joules() -> float:
        # Ranked by the one node that has tables; the network's energy is compared at its own.
        known = replace(chip, node_nm=ALADDIN_NM)
        return sum(power_of(invocations, known, cycles.total).by_component().values())

    return price(float(cycles.exact.sum()) / chip.clock_hz, joules)


def _rough(problem: Problem, found: Candidates) -> np.ndarray:
    """Lines fetched, and invocations; float64[candidates]."""

    def tiles(whole: tuple[int, ...], shapes: np.ndarray) -> np.ndarray:
        return -(-np.array(whole, np.int64) // np.maximum(shapes, 1))

    inputs, outputs = tiles(problem.input, found.input), tiles(problem.output, found.output)
    weights = np.ones(len(found), np.int64)
    passes, channels = inputs.prod(axis=1), np.ones(len(found), np.int64)
    if problem.weights:
        each = tiles(problem.weights, found.weights)
        channels = each[:, -1]
        weights = each[:, 0]
        rows = np.maximum(inputs, outputs)[:, :-1].prod(axis=1)
        passes = rows * weights * channels
    fetched = np.where(channels > 1, passes, inputs.prod(axis=1)) * found.input.prod(axis=1)
    if problem.weights:
        again = np.where(weights * channels > 1, passes, 1)
        fetched = fetched + again * found.weights.prod(axis=1)
    return fetched / 16 + _INVOCATION_LINES * passes
