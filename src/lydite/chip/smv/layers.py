"""A network on SMV: SMAUG's tiles and invocations with their costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lydite.chip.memory import Cached
from lydite.chip.plan import ARRAY, CPU, VECTOR, VIEW, ChipPlan, LayerCost, host_seconds
from lydite.chip.smv.array import smv_array
from lydite.chip.smv.best_schedule import best_schedule
from lydite.chip.smv.invocations import Invocations
from lydite.chip.smv.limits import smv_constraints
from lydite.chip.smv.program import HostOp, SmvOp
from lydite.chip.smv.schedule import SmvSchedule, schedule_graph
from lydite.chip.smv.timing import CONV, PRODUCT, Cycles, cycles_of, kind_of
from lydite.chip.soc import Jobs, Layer
from lydite.chip.tiling.constraints import Constraints
from lydite.chip.tiling.tiler import tile
from lydite.chip.tilings import Price
from lydite.graph import Graph, work_of
from lydite.hardware.chip import Chip

_VIEWS = frozenset(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"))


def smv_schedule(graph: Graph, chip: Chip, price: Price | None = None) -> SmvSchedule:
    """SMAUG's schedule at the chip's sizes, or a cheaper one if there is a price.

    The scratchpads hold fp32, tiles in memory fp16.
    """
    constraints = _constraints(chip)
    if price is not None:
        return best_schedule(graph, chip, constraints, price)
    return schedule_graph(graph, constraints, chip.accelerators)


def _constraints(chip: Chip) -> Constraints:
    array = smv_array(chip)
    tile_bytes = min(pad.bytes for pad in chip.scratchpads) // 2
    return smv_constraints(tile_bytes, array.pes, array.vectors * array.lanes)


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
    made = smv_schedule(graph, chip, price)
    inv = made.invocations
    hits = _hits(made, graph, chip)
    cycles = cycles_of(inv, chip, hits=hits)
    costs: list[LayerCost] = []
    layers: list[Layer] = []
    place = np.zeros(len(inv.layers), np.int64)
    number = 0
    for step in made.program.steps:
        if isinstance(step, SmvOp):
            place[number] = len(costs)
            cost, layer = _on_array(step, graph, inv, cycles, inv.layer == number, hits)
            layer = replace(layer, **_copied(step, _constraints(chip)))
            number += 1
        else:
            cost, layer = _on_host(step, graph, chip)
        costs.append(cost)
        layers.append(layer)
    return ChipPlan(costs, _jobs(inv, cycles, chip, place, hits), layers, inv, cycles.total)


def _hits(made: SmvSchedule, graph: Graph, chip: Chip) -> np.ndarray:
    """Share of inputs and weights that hit the cache; float64[invocations, 2].

    The processor has just written a layer's tiles; weights hit if they fit and are fetched again.
    """
    cached, inv = Cached(chip), made.invocations
    shares = np.zeros((len(inv), 2))
    if not cached.capacity:
        return shares
    number = 0
    for step in made.program.steps:
        if not isinstance(step, SmvOp):
            for name in step.op.outputs:
                cached.written(name, _numbers(graph, name))
            continue
        mine = inv.layer == number
        number += 1
        tiles = f"tiles of {step.name}"
        cached.written(tiles, _numbers(graph, step.inputs[0]))
        for column, (name, size, loads) in enumerate(
            (
                (tiles, _numbers(graph, step.inputs[0]), inv.input_load_bytes),
                (step.inputs[-1], _weight_bytes(step), inv.weight_load_bytes),
            )
        ):
            loaded = float(loads[mine].sum())
            hits = cached.read(name, size, loaded) if loaded else 0.0
            shares[mine, column] = hits / loaded if loaded else 0.0
        cached.written(step.output, 2.0 * float(np.prod(step.dims)))
    return shares


def _numbers(graph: Graph, name: str) -> float:
    """Bytes of a tensor in fp16."""
    return 2.0 * float((graph.type_of(name).numel or 0) if name in graph.tensors else 0)


def _weight_bytes(step: SmvOp) -> float:
    return 2.0 * float(np.prod(step.problem.weights)) if step.problem.weights else 0.0


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


def _on_array(
    step: SmvOp, graph: Graph, inv: Invocations, cycles: Cycles, mine: np.ndarray, hits: np.ndarray
) -> tuple[LayerCost, Layer]:
    parts = {name: float(column[mine].sum()) for name, column in cycles.parts.items()}
    kind = kind_of(int(inv.kernel[mine][0])) if mine.any() else ""
    output = graph.type_of(step.output) if step.output in graph.tensors else None
    elements = float((output.numel if output is not None else 0) or np.prod(step.dims))
    weights = step.problem.weights
    each = float(np.prod(weights[1:])) if kind in (CONV, PRODUCT) else 0.0
    loads = np.stack([inv.input_load_bytes, inv.weight_load_bytes], axis=1)[mine]
    load, hit = float(loads.sum()), float((loads * hits[mine]).sum())
    store = float(inv.store_bytes[mine].sum())
    cost = LayerCost(
        step.name,
        step.problem.kind,
        step.kernel,
        ARRAY if each else VECTOR,
        int(mine.sum()),
        parts,
        elements * each,
        load,
        store,
        _moved(inv, mine, kind) + 3 * (load + store),
        0.0 if each else elements,
        hit_bytes=hit,
    )
    return cost, Layer(step.name)


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


def _moved(inv: Invocations, mine: np.ndarray, kind: str) -> float:
    """Bytes between scratchpads and lanes: activations, partial sums in and out, weights."""
    blocks, passes = inv.ofmap_blocks, inv.k_rows * inv.k_cols * inv.channel_blocks
    positions = inv.out_rows * inv.out_cols
    if kind == CONV:
        vectors = blocks * passes * (positions * 6 + 32)
    elif kind == PRODUCT:
        vectors = blocks * passes * 36
    else:
        vectors = 3 * np.prod(inv.output_dims, axis=1) / 8
    return float(VECTOR_BYTES * vectors[mine].sum())


def _on_host(step: HostOp, graph: Graph, chip: Chip) -> tuple[LayerCost, Layer]:
    op = step.op
    if op.op_type in _VIEWS:
        return LayerCost(op.name, op.op_type, "", VIEW), Layer(op.name)
    unknown = not step.is_bias and work_of(op, graph) is None
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
        is_unknown=unknown,
    )
    return cost, Layer(op.name, host_s=seconds)
