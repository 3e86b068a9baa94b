"""The order of SMV's invocations, their tiles, and what each fetches and sends.

Loops: harvard-acc/smaug, smaug/operators/smv/smv_*_op.cpp and smv_accel_pool.cpp.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lydite.chip.smv.invocations import KERNELS, Invocations, joined
from lydite.chip.smv.limits import SMV, VECTOR
from lydite.chip.smv.loops import COMPARES, LOOPS, Loop, LoopWork, number
from lydite.chip.smv.lower import lower
from lydite.chip.smv.program import HostOp, SmvOp, SmvProgram
from lydite.chip.tiling.constraints import Constraints
from lydite.chip.tiling.problem import Kind
from lydite.chip.tiling.search import stored
from lydite.chip.tiling.tiler import tile
from lydite.chip.tiling.tiles import Grid, Tiling
from lydite.errors import InputError
from lydite.graph.graph import Graph
from lydite.records import dataclass

Columns = np.ndarray
MOST_ACCELERATORS = 8
"""Maximum number of accelerators of SMAUG's --num-accels."""


@dataclass(frozen=True)
class SmvSchedule:
    """The schedule of a graph on SMV.

    Attributes:
        program: Operators of the graph as SMV's and the CPU's.
        invocations: Invocations of the operators that SMV runs; `layers` are `program.ops`, in
            order.
        host: Operators left to the CPU, with the reason for each.
    """

    program: SmvProgram
    invocations: Invocations
    host: tuple[HostOp, ...]


def schedule_graph(
    graph: Graph | SmvProgram, constraints: Constraints = SMV, accelerators: int = 1
) -> SmvSchedule:
    """The invocations of a graph, operator by operator in the graph's order.

    Raises:
        InputError: a scratchpad is too small for an operator's smallest tile (named), or SMAUG does
            not support the number of accelerators.
        GraphError: the size of a tensor is not fixed.
    """
    program = lower(graph) if isinstance(graph, Graph) else graph
    _check_count(accelerators)
    parts = []
    for op in program.ops:
        try:
            parts.append(_known(_work(op, constraints, accelerators)))
        except InputError as error:
            where = f"{program.name}: {op.name}: {error.where}"
            raise InputError(error.what, where=where, allowed=error.allowed) from error
    return SmvSchedule(program, joined(parts, [op.name for op in program.ops]), tuple(program.host))


def schedule(
    op: SmvOp, constraints: Constraints = SMV, accelerators: int = 1, tiling: Tiling | None = None
) -> Invocations:
    """The invocations of one operator.

    Args:
        op: Operator to schedule.
        constraints: Constraints of the accelerator.
        accelerators: Number of accelerators used in turn, 1 to 8.
        tiling: Tiling of the operator; SMAUG's if None.

    Raises:
        InputError: a scratchpad is too small for the smallest tile, or there are too many
            accelerators.
    """
    _check_count(accelerators)
    work = _work(op, constraints, accelerators)
    return joined([_known(work) if tiling is None else _columns(work, tiling)], [op.name])


def _check_count(accelerators: int) -> None:
    if not 1 <= accelerators <= MOST_ACCELERATORS:
        raise InputError(
            f"{accelerators} accelerators", where="smv", allowed=f"1 to {MOST_ACCELERATORS}"
        )


def _work(op: SmvOp, constraints: Constraints, accelerators: int) -> LoopWork:
    return LoopWork(op.problem, op.kernel, op.activation is not None, constraints, accelerators)


@lru_cache(maxsize=4096)
def _known(work: LoopWork) -> Invocations:
    return _columns(work, tile(work.problem, work.constraints))


def _columns(work: LoopWork, tiling: Tiling) -> Invocations:
    found = LOOPS[work.problem.kind](work, tiling)
    return _assembled(work, tiling, found)


# --- what follows from the loops --------------------------------------------------------------


def _sizes(grid: Grid, at: tuple[Columns, ...]) -> Columns:
    """Sizes of tiles as four columns; a matrix uses the first and the last."""
    found = np.ones((len(at[0]), 4), np.int64)
    for column, size, index in zip(
        (0, 3) if len(at) == 2 else range(4), grid.sizes, at, strict=True
    ):
        found[:, column] = size[index]
    return found


def _pads_of(tiling: Tiling, loop: Loop) -> Columns:
    """Zeros above, below, left and right of each invocation's input tile."""
    if tiling.pads is None:
        return np.zeros((len(loop.input[0]), 4), np.int64)
    places = (loop.input[1], loop.input[1], loop.input[2], loop.input[2])
    return np.stack([pad[at] for pad, at in zip(tiling.pads, places, strict=True)], axis=1)


def _assembled(work: LoopWork, tiling: Tiling, loop: Loop) -> Invocations:
    rows, constraints = len(loop.input[0]), work.constraints
    zero = np.zeros(rows, np.int64)
    given = {
        name: np.broadcast_to(np.asarray(value), rows)
        for name, value in (loop.columns or {}).items()
    }
    second = tiling.weights.grid if tiling.weights is not None else tiling.input.grid
    inputs, outputs = _sizes(tiling.input.grid, loop.input), _sizes(tiling.output.grid, loop.output)
    weights = _sizes(second, loop.weights) if loop.weights else np.zeros((rows, 4), np.int64)
    sends = given["sends"]
    pads = _pads_of(tiling, loop)

    def bytes_of(sizes: Columns, where: Columns, element_bytes: int) -> Columns:
        return np.where(where, stored(sizes, constraints.alignment) * element_bytes, 0)

    size, false = constraints.element_bytes, zero.astype(bool)
    sent = outputs
    if work.problem.kind is Kind.INNER_PRODUCT and work.accelerators > 1:
        sent = outputs.copy()
        sent[:, 3] = np.minimum(weights[:, 0], outputs[:, 3])
    columns = {
        "layer": zero,
        "kernel": zero + KERNELS.index(work.kernel),
        "input_dims": inputs,
        "weight_dims": weights,
        "output_dims": outputs,
        "input_tile": number(tiling.input.grid, loop.input),
        "weight_tile": number(second, loop.weights) if loop.weights else zero,
        "output_tile": number(tiling.output.grid, loop.output),
        "input_load_bytes": bytes_of(inputs, given["reads_input"], size),
        "weight_load_bytes": bytes_of(weights, given.get("reads_weights", false), size),
        "store_bytes": bytes_of(sent, sends, 1 if work.kernel in COMPARES else size),
        "activates": sends & work.activates,
        "pads": pads,
        **dict.fromkeys(("accelerator", "group", "input_start", "output_start"), zero),
        **dict.fromkeys(("reads_weights", "accumulates", "waits"), false),
        **given,
        **_trips(work, inputs, weights, outputs, pads),
    }
    return Invocations(layers=("",), **columns)


def _trips(
    work: LoopWork, inputs: Columns, weights: Columns, outputs: Columns, pads: Columns
) -> dict[str, Columns]:
    """Iteration counts of the kernel's loops."""
    problem, kind = work.problem, work.problem.kind
    pes, maccs = work.block
    one = np.ones(len(inputs), np.int64)
    ofmaps, k_rows, k_cols, rows, cols = one, one, one, inputs[:, 0] * inputs[:, 1], inputs[:, 2]
    channels = -(-inputs[:, 3] // VECTOR)
    if kind in (Kind.CONVOLUTION, Kind.POOLING):
        k_rows, k_cols = one * problem.kernel[0], one * problem.kernel[1]
        rows = (inputs[:, 1] + pads[:, 0] + pads[:, 1] - k_rows) // problem.stride[0] + 1
        cols = (inputs[:, 2] + pads[:, 2] + pads[:, 3] - k_cols) // problem.stride[1] + 1
    if kind is Kind.CONVOLUTION:
        ofmaps = -(-np.minimum(weights[:, 0], outputs[:, 3]) // pes)
        channels = -(-weights[:, 3] // maccs)
    if kind is Kind.INNER_PRODUCT:
        ofmaps, channels = -(-weights[:, 0] // pes), -(-weights[:, 3] // maccs)
    if kind is Kind.BATCH_NORM and len(problem.input) == 2:
        channels = -(-weights[:, 3] // VECTOR)
    return {
        "ofmap_blocks": ofmaps,
        "k_rows": k_rows,
        "k_cols": k_cols,
        "channel_blocks": channels,
        "out_rows": rows,
        "out_cols": cols,
    }
