"""Layers as invocations of accelerators: products, vector work, and what the processor runs.

Whatever an array does, its layers are rows of (load, compute, store) that the system plays through
double buffers. What is not a product and has a rule runs on the vector unit, as a pass over its
operands; what the chip has nothing for goes to the processor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lydite.chip.memory import (
    ELEMENT_BYTES,
    Cached,
    hit_bytes_per_s,
    miss_bytes_per_s,
    setup_cycles,
)
from lydite.chip.plan import CPU, VECTOR, VIEW, ChipPlan, LayerCost, host_seconds
from lydite.chip.soc import Jobs, Layer
from lydite.graph import Graph, Op, work_of
from lydite.graph.work import Work
from lydite.hardware.chip import Chip

_HOST = frozenset(("NonMaxSuppression", "TopK", "Unique", "NonZero", "Loop", "If", "Scan", "Sort"))
_SPECIAL = frozenset(
    (
        "Exp",
        "Log",
        "Sqrt",
        "Tanh",
        "Sigmoid",
        "Erf",
        "Gelu",
        "Softmax",
        "LogSoftmax",
        "Div",
        "Pow",
        "LayerNormalization",
        "RMSNormalization",
        "Elu",
        "Selu",
        "Swish",
        "HardSwish",
        "Mish",
    )
)
"""Operators that take a table or an iteration for each element."""


@dataclass(frozen=True)
class Invocation:
    """One invocation of an accelerator.

    Attributes:
        load_bytes: Bytes from memory, those that the cache gives included.
        compute_cycles: Cycles of the array or of the vector unit.
        store_bytes: Bytes to memory.
        accelerator: Number of the accelerator that runs it.
        hit_bytes: Bytes of `load_bytes` that the last-level cache gives.
        flush_cycles: Cycles in which the processor's caches are flushed before it.
    """

    load_bytes: float
    compute_cycles: float
    store_bytes: float
    accelerator: int = 0
    hit_bytes: float = 0.0
    flush_cycles: float = 0.0


@dataclass(frozen=True)
class MappedLayer:
    """A layer as it is mapped to the chip.

    Attributes:
        cost: What the layer takes with nothing else to do.
        invocations: Invocations of accelerators, in the order in which they are issued.
        loaded_bytes: Bytes loaded of each tensor, by its name.
    """

    cost: LayerCost
    invocations: Sequence[Invocation] = ()
    loaded_bytes: Sequence[tuple[str, float]] = ()


def jobs_of(invocations: Sequence[Invocation], layers: Sequence[int], chip: Chip) -> Jobs:
    """Invocations as the system plays them.

    Args:
        invocations: in the order in which they are issued.
        layers: number of the layer of each.
        chip: whose rates and clock count.
    """
    second = 1 / chip.clock_hz
    column = {
        name: np.array([getattr(row, name) for row in invocations], float)
        for name in ("load_bytes", "compute_cycles", "store_bytes", "hit_bytes", "flush_cycles")
    }
    layer = np.array(layers, np.int64)
    accelerator = np.array([row.accelerator for row in invocations], np.int64)
    rate = miss_bytes_per_s(chip)
    load = np.maximum(column["load_bytes"] - column["hit_bytes"], 0.0)
    store = column["store_bytes"]

    def alone(size: np.ndarray) -> np.ndarray:
        return size / rate + second * setup_cycles(chip, size) + chip.dram.latency_s * (size > 0)

    return Jobs(
        layer,
        accelerator,
        layer,
        np.zeros(len(invocations), bool),
        column["flush_cycles"] * second + column["hit_bytes"] / hit_bytes_per_s(chip),
        load,
        alone(load),
        column["compute_cycles"] * second,
        store,
        alone(store),
        ahead=True,
    )


def plan_of(layers: Sequence[MappedLayer], graph: Graph, chip: Chip) -> ChipPlan:
    """The plan of a network, one mapped layer for each operator in the graph's order."""
    layers = _through_memory(layers, graph, chip)
    numbers = [number for number, each in enumerate(layers) for _ in each.invocations]
    jobs = jobs_of([row for each in layers for row in each.invocations], numbers, chip)
    steps = [Layer(each.cost.name, host_s=each.cost.host_s) for each in layers]
    return ChipPlan([each.cost for each in layers], jobs, steps)


def _through_memory(layers: Sequence[MappedLayer], graph: Graph, chip: Chip) -> list[MappedLayer]:
    """What the cache gives of each layer's loads, and what is flushed of the processor's.

    With plain DMA the processor flushes what it wrote (the network's inputs, results of its own
    operators) and invalidates what it will read; the rest never was in its caches.
    """
    cached, size = Cached(chip), ELEMENT_BYTES[chip.dtype]
    dma, interface = chip.interface.kind == "dma", chip.interface
    written = set(graph.inputs)
    on_host = [op for op, each in zip(graph.ops, layers, strict=True) if each.cost.on == CPU]
    written |= {name for op in on_host for name in op.outputs}
    read = {name for op in on_host for name in op.inputs} | set(graph.outputs)
    result: list[MappedLayer] = []
    for op, each in zip(graph.ops, layers, strict=True):
        total = sum(row.load_bytes for row in each.invocations)
        hits = sum(
            cached.read(name, tensor_bytes(graph, [name], size), loaded)
            for name, loaded in each.loaded_bytes
        )
        for name in op.outputs:
            cached.written(name, tensor_bytes(graph, [name], size))
        flushed = tensor_bytes(graph, written.intersection(op.inputs), size) / interface.line_bytes
        taken = tensor_bytes(graph, read.intersection(op.outputs), size) / interface.line_bytes
        cycles = interface.flush_cycles * flushed + interface.invalidate_cycles * taken
        rows = [
            Invocation(
                row.load_bytes,
                row.compute_cycles,
                row.store_bytes,
                row.accelerator,
                hits * row.load_bytes / total if total else 0.0,
                dma * cycles / len(each.invocations),
            )
            for row in each.invocations
        ]
        cost = replace(each.cost, hit_bytes=min(hits, total))
        result.append(replace(each, invocations=rows, cost=cost))
    return result


def tensor_bytes(graph: Graph, names: Iterable[str], size: int) -> float:
    """Bytes of tensors whose elements have `size` bytes each; empty names count nothing."""
    return size * float(sum(graph.type_of(name).numel or 0 for name in names if name))


def spread(load: float, cycles: float, store: float, pieces: int, chip: Chip) -> list[Invocation]:
    """Work in so many equal pieces, over as many accelerators as get one."""
    rows: list[Invocation] = []
    for unit in range(min(pieces, chip.accelerators)):
        part = len(range(unit, pieces, chip.accelerators)) / pieces
        rows.append(Invocation(part * load, part * cycles, part * store, unit))
    return rows


def map_beside(op: Op, graph: Graph, chip: Chip) -> MappedLayer:
    """An operator that is not a product: on the processor if nothing runs it, else as vectors."""
    if op.op_type in _HOST:
        seconds = host_seconds(op, graph, chip)
        reason = f"no unit has {op.op_type}"
        cost = LayerCost(op.name, op.op_type, "", CPU, host_s=seconds, fallback_reason=reason)
        return MappedLayer(cost)
    return _map_vector(op, graph, chip)


def _touched_bytes(op: Op, graph: Graph, work: Work | None, size: int) -> tuple[float, float]:
    """Bytes in and out at the chip's element size: what is read, not what could be (a table)."""
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


def _map_vector(op: Op, graph: Graph, chip: Chip) -> MappedLayer:
    """A pass over the operands; unknown work is a pass as well, never nothing."""
    work = work_of(op, graph)
    if work is not None and not work.flops and not work.bytes_moved:
        return MappedLayer(LayerCost(op.name, op.op_type, "", VIEW))
    outputs = [t for t in graph.output_types(op) if t is not None]
    elements = float(max((t.numel or 0 for t in outputs), default=0))
    flops = work.flops if work is not None else elements
    special = chip.vector.special_cycles if op.op_type in _SPECIAL else 1.0
    cycles = max(elements * special, flops / 2) / chip.vector.lanes
    size = ELEMENT_BYTES[chip.dtype]
    load, store = _touched_bytes(op, graph, work, size)
    rows = spread(load, cycles, store, max(1, int(elements) // chip.vector.lanes), chip)
    cost = LayerCost(
        op.name,
        op.op_type,
        "vector",
        VECTOR,
        len(rows),
        {"vector": cycles},
        0.0,
        load,
        store,
        2 * (load + store),
        elements,
    )
    names = [name for name in op.inputs if name]
    whole = tensor_bytes(graph, names, size)
    share = load / whole if whole else 0.0
    loaded = [(name, share * tensor_bytes(graph, [name], size)) for name in names]
    return MappedLayer(cost, rows, loaded)
