"""A network on SMV: SMAUG's tiles and invocations with their costs."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from lydite.chip.memory import Cached
from lydite.chip.plan import ARRAY, CPU, VECTOR, VIEW, ChipPlan, LayerCost, host_seconds
from lydite.chip.shared import Known
from lydite.chip.smv.array import smv_array
from lydite.chip.smv.best_schedule import best_schedule
from lydite.chip.smv.invocations import Invocations
from lydite.chip.smv.limits import smv_constraints
from lydite.chip.smv.lower import lower
from lydite.chip.smv.program import HostOp, SmvOp, SmvProgram
from lydite.chip.smv.schedule import SmvSchedule, schedule_graph
from lydite.chip.smv.timing import CONV, PRODUCT, Cycles, cycles_of, kind_of
from lydite.chip.soc_jobs import Jobs, Layer
from lydite.chip.tiling.constraints import Constraints
from lydite.chip.tiling.tiler import tile
from lydite.chip.tilings import Price
from lydite.graph import Graph, work_of
from lydite.hardware.chip import Chip
from lydite.records import dataclass

_VIEWS = frozenset(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"))


def smv_schedule(graph: Graph, chip: Chip, price: Price | None = None) -> SmvSchedule:
    """SMAUG's schedule at the chip's sizes, or a cheaper one if there is a price.

    The scratchpads hold fp32, tiles in memory fp16.
    """
    if price is not None:
        return best_schedule(graph, chip, _constraints(chip), price)
    return _usual(graph, chip).schedule


def _constraints(chip: Chip) -> Constraints:
    array = smv_array(chip)
    tile_bytes = min(pad.bytes for pad in chip.scratchpads) // 2
    return smv_constraints(tile_bytes, array.pes, array.vectors * array.lanes)


@dataclass(frozen=True, eq=False)
class _Scheduled:
    """A schedule and what follows from it alone, whatever clock and memory the chip has.

    Attributes:
        schedule: The schedule.
        begins: First row of each operator's invocations, and the number of all rows.
        loads: Bytes of input and of weights that each invocation loads; [invocations, 2].
        loaded: The same of each operator.
        costs: Cost of each operator but cycles and hits.
        layers: Each operator as the processor sees it.
    """

    schedule: SmvSchedule
    begins: list[int]
    loads: np.ndarray
    loaded: list[tuple[float, float]]
    costs: list[LayerCost]
    layers: list[Layer]

    @property
    def rows(self) -> list[slice]:
        """Rows of each operator."""
        return [slice(a, b) for a, b in pairwise(self.begins)]


_MOST_SCHEDULES = 4
"""Schedules of a graph that are held for chips that differ in clock or memory (megabytes each)."""


def _usual(graph: Graph, chip: Chip) -> _Scheduled:
    """SMAUG's schedule, computed once for all chips of the same sizes."""
    known: Known[Hashable, _Scheduled] = graph.memo("smv schedules").setdefault(
        "", Known(_MOST_SCHEDULES)
    )
    constraints = _constraints(chip)
    key = constraints, chip.accelerators
    found = known.get(key)
    if found is None:
        made = schedule_graph(_lowered(graph), constraints, chip.accelerators)
        found = known.put(key, _scheduled(made, graph, constraints))
    return found


def _lowered(graph: Graph) -> SmvProgram:
    known: dict[str, SmvProgram] = graph.memo("smv program")
    if "" not in known:
        known[""] = lower(graph)
    return known[""]


def _scheduled(made: SmvSchedule, graph: Graph, constraints: Constraints) -> _Scheduled:
    inv, ops = made.invocations, made.program.ops
    begins = np.searchsorted(inv.layer, np.arange(len(ops) + 1)).tolist()
    loads = np.stack([inv.input_load_bytes, inv.weight_load_bytes], axis=1)
    rows = [slice(a, b) for a, b in pairwise(begins)]
    loaded = [(float(loads[mine, 0].sum()), float(loads[mine, 1].sum())) for mine in rows]
    costs = [_on_array(op, graph, inv, mine) for op, mine in zip(ops, rows, strict=True)]
    layers = [Layer(op.name, **_copied(op, constraints)) for op in ops]
    return _Scheduled(made, begins, loads, loaded, costs, layers)


def smv_plan(graph: Graph, chip: Chip, price: Price | None = None) -> ChipPlan:
    """Map all layers of a network to a chip with an SMV.

    Args:
        graph: Graph with fixed sizes.
        chip: Chip to map to.
        price: Price of an operator's invocations, which the search for tiles minimises; None for
            SMAUG's tiles.

    Raises:
        InputError: a scratchpad is too small for an operator's smallest tile.
        GraphError: the size of a tensor is not fixed.
    """
    if price is None:
        made = _usual(graph, chip)
    else:
        constraints = _constraints(chip)
        best = best_schedule(graph, chip, constraints, price)
        made = _scheduled(best, graph, constraints)
    inv, steps = made.schedule.invocations, made.schedule.program.steps
    hits = _hits(made, graph, chip)
    cycles = cycles_of(inv, chip, hits=hits)
    on_array = iter(zip(_with_cycles(made, cycles, hits), made.layers, strict=True))
    both = [
        next(on_array) if isinstance(step, SmvOp) else _on_host(step, graph, chip) for step in steps
    ]
    place = np.flatnonzero([isinstance(step, SmvOp) for step in steps])
    costs, layers = [cost for cost, _ in both], [layer for _, layer in both]
    jobs = _jobs(inv, cycles, chip, place, hits)
    return ChipPlan(costs, jobs, layers, inv, cycles.total)


def _with_cycles(made: _Scheduled, cycles: Cycles, hits: np.ndarray) -> list[LayerCost]:
    """Costs of the operators with their cycles by part, and the bytes that hit the cache."""
    parts = {name: sums_of(column, made.begins) for name, column in cycles.parts.items()}
    found: list[LayerCost] = []
    for number, (cost, mine) in enumerate(zip(made.costs, made.rows, strict=True)):
        of_part = {name: sums[number] for name, sums in parts.items()}
        hit = float((made.loads[mine] * hits[mine]).sum()) if hits[mine].any() else 0.0
        found.append(replace(cost, cycles=of_part, hit_bytes=hit))
    return found


def sums_of(column: np.ndarray, begins: Sequence[int]) -> list[float]:
    """Sum of the rows of each operator."""
    return [float(column[a:b].sum()) for a, b in pairwise(begins)]


def _hits(made: _Scheduled, graph: Graph, chip: Chip) -> np.ndarray:
    """Share of inputs and weights that hit the cache; float64[invocations, 2].

    The processor has just written a layer's tiles; weights hit if they fit and are fetched again.
    """
    cached, inv = Cached(chip), made.schedule.invocations
    shares = np.zeros((len(inv), 2))
    if not cached.capacity:
        return shares
    each = iter(zip(made.rows, made.loaded, strict=True))
    for step in made.schedule.program.steps:
        if not isinstance(step, SmvOp):
            for name in step.op.outputs:
                cached.written(name, _numbers(graph, name))
            continue
        mine, loads = next(each)
        tiles, size = f"tiles of {step.name}", _numbers(graph, step.inputs[0])
        cached.written(tiles, size)
        read = (tiles, size), (step.inputs[-1], _weight_bytes(step))
        for column, ((name, whole), loaded) in enumerate(zip(read, loads, strict=True)):
            hits = cached.read(name, whole, loaded) if loaded else 0.0
            shares[mine, column] = hits / loaded if loaded else 0.0
        cached.written(step.output, 2.0 * float(math.prod(step.dims)))
    return shares


def _numbers(graph: Graph, name: str) -> float:
    """Bytes of a tensor in fp16."""
    return 2.0 * float((graph.type_of(name).numel or 0) if name in graph.tensors else 0)


def _weight_bytes(step: SmvOp) -> float:
    return 2.0 * float(math.prod(step.problem.weights)) if step.problem.weights else 0.0


def _jobs(
    inv: Invocations, cycles: Cycles, chip: Chip, place: np.ndarray, hits: np.ndarray
) -> Jobs:
    second = 1 / chip.clock_hz
    return Jobs(
        place[inv.layer] if len(inv) else inv.layer,
        inv.accelerator,
        inv.group,
        inv.waits,
        (cycles.head + cycles.flush + cycles.cache) * second,
        inv.input_load_bytes * (1 - hits[:, 0]) + inv.weight_load_bytes * (1 - hits[:, 1]),
        (cycles.input + cycles.weights) * second,
        (cycles.convert + cycles.loops + cycles.activation) * second,
        inv.store_bytes,
        cycles.store * second,
    )


def _on_array(step: SmvOp, graph: Graph, inv: Invocations, mine: slice) -> LayerCost:
    """What an operator's invocations cost, but their cycles and hits."""
    count = mine.stop - mine.start
    kind = kind_of(int(inv.kernel[mine][0])) if count else ""
    output = graph.type_of(step.output) if step.output in graph.tensors else None
    elements = float((output.numel if output is not None else 0) or np.prod(step.dims))
    weights = step.problem.weights
    each = float(np.prod(weights[1:])) if kind in (CONV, PRODUCT) else 0.0
    load = float(inv.input_load_bytes[mine].sum() + inv.weight_load_bytes[mine].sum())
    store = float(inv.store_bytes[mine].sum())
    return LayerCost(
        step.name,
        step.problem.kind,
        step.kernel,
        ARRAY if each else VECTOR,
        count,
        {},
        elements * each,
        load,
        store,
        _moved(inv, mine, kind) + 3 * (load + store),
        0.0 if each else elements,
    )


def _copied(step: SmvOp, constraints: Constraints) -> dict[str, float]:
    """Bytes and contiguous runs that the processor copies into input and out of output tiles.

    A tensor in a single tile is used where it lies. Otherwise each tile is copied in runs: the
    last dimension, and those before it as long as the tile takes the whole of the one behind
    (copyTensorRegion in smaug/core/tensor_utils.h). Elementwise operators copy tiles as one run.
    """
    tiling = tile(step.problem, constraints)
    found: dict[str, float] = {}
    for name, operand, whole in (
        ("prepare", tiling.input, step.problem.input),
        ("finish", tiling.output, step.problem.output or step.problem.input),
    ):
        shapes = operand.grid.shapes
        if len(shapes) == 1:
            continue
        run = np.ones(len(shapes))
        contiguous = np.ones(len(shapes), bool)
        for axis in range(shapes.shape[1] - 1, -1, -1):
            run = np.where(contiguous, run * shapes[:, axis], run)
            contiguous &= shapes[:, axis] == whole[axis]
        elements = shapes.prod(axis=1)
        found[f"{name}_bytes"] = 2.0 * float(elements.sum())
        found[f"{name}_runs"] = float((elements / run).sum())
    return found


VECTOR_BYTES = 32
"""Bytes of a vector of eight fp32 lanes, as in the scratchpads."""


def _moved(inv: Invocations, mine: slice, kind: str) -> float:
    """Bytes between scratchpads and lanes: activations, partial sums in and out, weights."""
    blocks = inv.ofmap_blocks[mine]
    passes = inv.k_rows[mine] * inv.k_cols[mine] * inv.channel_blocks[mine]
    positions = inv.out_rows[mine] * inv.out_cols[mine]
    if kind == CONV:
        vectors = blocks * passes * (positions * 6 + 32)
    elif kind == PRODUCT:
        vectors = blocks * passes * 36
    else:
        vectors = 3 * np.prod(inv.output_dims[mine], axis=1) / 8
    return float(VECTOR_BYTES * vectors.sum())


def _on_host(step: HostOp, graph: Graph, chip: Chip) -> tuple[LayerCost, Layer]:
    op = step.op
    if op.op_type in _VIEWS:
        return LayerCost(op.name, op.op_type, "", VIEW), Layer(op.name)
    work = None if step.is_bias else work_of(op, graph)
    if step.is_bias:
        size = 2.0 * float(graph.type_of(op.outputs[0]).numel or 0)
        seconds = 2 * size / chip.cpu.memory_bytes_per_s
    else:
        seconds = host_seconds(op, graph, chip)
    cost = LayerCost(
        op.name,
        op.op_type,
        "",
        CPU,
        host_s=seconds,
        fallback_reason=step.reason,
        host_flops=work.flops if work is not None else 0.0,
        is_unknown=work is None and not step.is_bias,
    )
    return cost, Layer(op.name, host_s=seconds)
