"""Layers as invocations of accelerators: products, vector work and processor work.

For any kind of array, a layer is a list of (load, compute, store) that the system plays with double
buffers. Operators without products that have a rule run on the vector unit, as a pass over their
operands; operators that no unit supports run on the processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lydite.chip.invocations import Invocation, InvocationColumns, columns_of, flushed, jobs_of
from lydite.chip.memory import ELEMENT_BYTES, Cached, tensor_bytes
from lydite.chip.operators import fallback_reason, is_special
from lydite.chip.pipeline import pieces_of
from lydite.chip.plan import ARRAY, CPU, VECTOR, VIEW, ChipPlan, LayerCost, host_seconds
from lydite.chip.soc_jobs import Layer
from lydite.graph import Graph, Op, work_of
from lydite.hardware.chip import Chip
from lydite.records import dataclass


@dataclass(frozen=True)
class MappedLayer:
    """A layer as mapped to the chip.

    Attributes:
        cost: Cost of the layer alone on the chip.
        invocations: Invocations of accelerators, in issue order.
        loaded_bytes: Bytes loaded per tensor, by its name.
    """

    cost: LayerCost
    invocations: Sequence[Invocation] = ()
    loaded_bytes: Sequence[tuple[str, float]] = ()


def plan_of(layers: Sequence[MappedLayer], graph: Graph, chip: Chip) -> ChipPlan:
    """The plan of a network, one mapped layer for each operator in the graph's order."""
    layers = _through_memory(layers, graph, chip)
    numbers = np.repeat(np.arange(len(layers)), [len(each.invocations) for each in layers])
    jobs = jobs_of(InvocationColumns.joined([each.invocations for each in layers]), numbers, chip)
    steps = [Layer(each.cost.name, host_s=each.cost.host_s) for each in layers]
    return ChipPlan([each.cost for each in layers], jobs, steps)


class Flushes:
    """Cycles in which the processor flushes and invalidates its caches for operators.

    With plain DMA the processor flushes what it wrote (the network's inputs, results of its own
    operators) and invalidates what it will read; nothing else was ever in its caches.

    Args:
        graph: Graph whose operators run.
        chip: Chip that runs them.
        on_host: Operators that run on the processor.
    """

    def __init__(self, graph: Graph, chip: Chip, on_host: Sequence[Op]) -> None:
        self._graph, self._chip = graph, chip
        self._written = set(graph.inputs) | {name for op in on_host for name in op.outputs}
        self._read = {name for op in on_host for name in op.inputs} | set(graph.outputs)

    def cycles(self, op: Op) -> float:
        """Cycles for all invocations of an operator together."""
        interface = self._chip.interface
        if interface.kind != "dma":
            return 0.0
        flushed = tensor_bytes(self._graph, self._written.intersection(op.inputs), self._chip)
        taken = tensor_bytes(self._graph, self._read.intersection(op.outputs), self._chip)
        cycles = interface.flush_cycles * flushed + interface.invalidate_cycles * taken
        return cycles / interface.line_bytes


def _through_memory(layers: Sequence[MappedLayer], graph: Graph, chip: Chip) -> list[MappedLayer]:
    """Add cache hits and flushes to the layers."""
    cached = Cached(chip)
    on_host = [op for op, each in zip(graph.ops, layers, strict=True) if each.cost.on == CPU]
    flushes = Flushes(graph, chip, on_host)
    result: list[MappedLayer] = []
    for op, each in zip(graph.ops, layers, strict=True):
        rows, cost = flushed(each.invocations, flushes.cycles(op)), each.cost
        if cached.capacity:
            total = sum(rows.load_bytes.tolist())
            hits = sum(
                cached.read(name, tensor_bytes(graph, [name], chip), loaded)
                for name, loaded in each.loaded_bytes
            )
            for name in op.outputs:
                cached.written(name, tensor_bytes(graph, [name], chip))
            if hits:
                rows = replace(rows, hit_bytes=hits * rows.load_bytes / total)
                cost = replace(cost, hit_bytes=min(hits, total))
        result.append(MappedLayer(cost, rows, each.loaded_bytes))
    return result


def spread(load: float, cycles: float, store: float, most: int, chip: Chip) -> InvocationColumns:
    """Work in at most so many equal pieces, over as many accelerators as make it fastest."""
    pieces = pieces_of(chip, load, cycles / chip.clock_hz, store, most)
    part = 1 / pieces.count
    ones = np.ones(pieces.count)
    accelerator = np.arange(pieces.count) % pieces.units
    return InvocationColumns.of(
        part * load * ones, part * cycles * ones, part * store * ones, accelerator
    )


def map_beside(op: Op, graph: Graph, chip: Chip) -> MappedLayer:
    """Map an operator without products: to the vector unit, or to the processor as a fallback."""
    reason = fallback_reason(op)
    if reason is not None:
        seconds = host_seconds(op, graph, chip)
        work = work_of(op, graph)
        cost = LayerCost(
            op.name,
            op.op_type,
            "",
            CPU,
            host_s=seconds,
            fallback_reason=reason,
            host_flops=work.flops if work is not None else 0.0,
            is_unknown=work is None,
        )
        return MappedLayer(cost)
    return map_vector(op, graph, chip)


def moved_bytes(op: Op, graph: Graph, size: int) -> tuple[float, float]:
    """Bytes read and written at the chip's element size; of tables, only the bytes really read."""
    work = work_of(op, graph)
    ins, outs = (
        [t for t in types if t is not None]
        for types in (graph.input_types(op), graph.output_types(op))
    )
    if work is None:
        read, written = (size * float(sum(t.numel or 0 for t in some)) for some in (ins, outs))
        return read, written
    floats = [t for t in (*outs, *ins) if t.dtype.startswith(("float", "bfloat")) and t.numel]
    scale = size * (floats[0].numel or 1) / (floats[0].nbytes or 1) if floats else 1.0
    return scale * work.bytes_read, scale * work.bytes_written


def map_vector(op: Op, graph: Graph, chip: Chip, *, macs: float = 0.0) -> MappedLayer:
    """A pass over the operands on the vector unit; unknown work is a pass as well, never nothing.

    Args:
        op: the operator.
        graph: its graph.
        chip: where.
        macs: multiply-accumulates of a product, one of which each lane does in a cycle.
    """
    work = work_of(op, graph)
    if work is not None and not work.flops and not work.bytes_moved:
        return MappedLayer(LayerCost(op.name, op.op_type, "", VIEW))
    outputs = [t for t in graph.output_types(op) if t is not None]
    elements = float(max((t.numel or 0 for t in outputs), default=0))
    flops = work.flops if work is not None else elements
    special = chip.vector.special_cycles if is_special(op) else 1.0
    cycles = max(elements * special, flops / 2, macs) / chip.vector.lanes
    load, store = moved_bytes(op, graph, ELEMENT_BYTES[chip.dtype])
    rows = spread(load, cycles, store, max(1, int(elements) // chip.vector.lanes), chip)
    cost = LayerCost(
        op.name,
        op.op_type,
        "vector",
        VECTOR,
        len(rows),
        {"vector": cycles},
        macs,
        load,
        store,
        2 * (load + store),
        max(elements, 2 * macs),
        is_unknown=work is None,
    )
    return MappedLayer(cost, rows, loaded_by_size(op, graph, chip, load))


def loaded_by_size(op: Op, graph: Graph, chip: Chip, load: float) -> list[tuple[str, float]]:
    """Bytes loaded of each input, each as large a share of it as of the others."""
    names = [name for name in op.inputs if name]
    whole = tensor_bytes(graph, names, chip)
    share = load / whole if whole else 0.0
    return [(name, share * tensor_bytes(graph, [name], chip)) for name in names]


def joined(op: Op, kernel: str, parts: Sequence[MappedLayer]) -> MappedLayer:
    """Parts of one operator, one behind the other, as one layer."""
    cycles: dict[str, float] = {}
    for part in parts:
        for name, each in part.cost.cycles.items():
            cycles[name] = cycles.get(name, 0.0) + each
    costs = [part.cost for part in parts]
    cost = LayerCost(
        op.name,
        op.op_type,
        kernel,
        ARRAY,
        sum(each.invocations for each in costs),
        cycles,
        sum(each.macs for each in costs),
        sum(each.load_bytes for each in costs),
        sum(each.store_bytes for each in costs),
        sum(each.sram_bytes for each in costs),
        sum(each.vector_ops for each in costs),
        local_bytes=sum(each.local_bytes for each in costs),
    )
    rows = InvocationColumns.joined([part.invocations for part in parts])
    return MappedLayer(cost, rows, [pair for part in parts for pair in part.loaded_bytes])


def with_functions(layer: MappedLayer, elements: float, chip: Chip) -> MappedLayer:
    """A layer of products with so many elements passing through functions between them."""
    cycles = elements * chip.vector.special_cycles / chip.vector.lanes
    each = cycles / max(1, len(layer.invocations))
    rows = columns_of(layer.invocations)
    rows = replace(rows, compute_cycles=rows.compute_cycles + each)
    parts = {**layer.cost.cycles, "vector": layer.cost.cycles.get("vector", 0.0) + cycles}
    ops = layer.cost.vector_ops + elements
    return replace(layer, cost=replace(layer.cost, cycles=parts, vector_ops=ops), invocations=rows)
