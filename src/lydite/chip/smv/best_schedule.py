"""Tilings for SMV that take less time or energy than SMAUG's.

All shapes under all strategies are ranked by the lines that they fetch and the invocations that
they need. The best few, and SMAUG's own, are scheduled and priced, and the cheapest is kept, so the
result is never worse than SMAUG's with one accelerator and an otherwise idle bus.
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
"""Number of tilings scheduled per operator."""

_INVOCATION_LINES = 40
"""Cost of an invocation in fetched lines: head, constants, launch (rough, for the ranking)."""


def best_schedule(graph: Graph, chip: Chip, constraints: Constraints, price: Price) -> SmvSchedule:
    """The invocations of a graph, each operator in the cheapest tiling found.

    Args:
        graph: Graph with fixed sizes.
        chip: Chip whose cycles and energies apply.
        constraints: Constraints of its scratchpads.
        price: Price from the seconds and joules of an operator's invocations; joules include
            functional units, scratchpads, cache, DRAM, and leakage during that time.

    Raises:
        InputError: a scratchpad is too small for an operator's smallest tile (named).
        GraphError: the size of a tensor is not fixed.
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
    tilings = every_candidate(op.problem, constraints)
    tried = [usual]
    for row in np.argsort(_rough(op.problem, tilings), kind="stable")[:TRIED].tolist():
        try:
            tiling = tiling_of(op.problem, constraints, tilings.row(row))
            tried.append(schedule(op, constraints, chip.accelerators, tiling))
        except InputError:
            continue  # tiles that do not match, such as channels of two operands
    return tried[int(np.argmin([_priced(each, chip, price) for each in tried]))]


def _priced(invocations: Invocations, chip: Chip, price: Price) -> float:
    cycles = cycles_of(invocations, chip)

    def joules() -> float:
        # Ranking uses the one node that has tables; the final energy is that of the chip's node.
        known = replace(chip, node_nm=ALADDIN_NM)
        return sum(power_of(invocations, known, cycles.total).by_component().values())

    return price(float(cycles.exact.sum()) / chip.clock_hz, joules)


def _rough(problem: Problem, tilings: Candidates) -> np.ndarray:
    """Lines fetched, plus weighted invocations; float64[candidates]."""

    def tiles(whole: tuple[int, ...], shapes: np.ndarray) -> np.ndarray:
        return -(-np.array(whole, np.int64) // np.maximum(shapes, 1))

    inputs, outputs = tiles(problem.input, tilings.input), tiles(problem.output, tilings.output)
    weights = np.ones(len(tilings), np.int64)
    passes, channels = inputs.prod(axis=1), np.ones(len(tilings), np.int64)
    if problem.weights:
        each = tiles(problem.weights, tilings.weights)
        channels = each[:, -1]
        weights = each[:, 0]
        rows = np.maximum(inputs, outputs)[:, :-1].prod(axis=1)
        passes = rows * weights * channels
    fetched = np.where(channels > 1, passes, inputs.prod(axis=1)) * tilings.input.prod(axis=1)
    if problem.weights:
        again = np.where(weights * channels > 1, passes, 1)
        fetched = fetched + again * tilings.weights.prod(axis=1)
    return fetched / 16 + _INVOCATION_LINES * passes
