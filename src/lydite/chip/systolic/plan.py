"""A network on a systolic array: products in tiles through double buffers, the rest beside it.

What is no product and has a rule runs on the vector unit, a pass over its operands; what the chip
has nothing for goes to the processor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from lydite.chip.memory import ELEMENT_BYTES, Cached
from lydite.chip.plan import ARRAY, CPU, VECTOR, VIEW, ChipPlan, LayerCost, host_seconds
from lydite.chip.soc import Layer
from lydite.chip.systolic.array import Product, run_on
from lydite.chip.systolic.best import Price, cheapest_sizes
from lydite.chip.systolic.laid import (
    Laid,
    Row,
    accessed_bytes,
    jobs_of,
    lay_product,
    matrices_of,
)
from lydite.chip.systolic.products import attention_products, product_of
from lydite.chip.systolic.tiles import Matrices, Sizes, array_of, conflict_cycles, usual_sizes
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
"""What takes a table or an iteration for each element."""


def systolic_plan(graph: Graph, chip: Chip, price: Price | None = None) -> ChipPlan:
    """All layers of a network on a chip with a systolic array.

    Args:
        graph: with fixed sizes.
        chip: where.
        price: of a layer alone, to look for tiles that make it less; the usual ones if None.

    Raises:
        InputError: a scratchpad too small for one fold of an operator (names what it needs).
        GraphError: a tensor of open size.
    """
    known: dict[Matrices, Sizes] = {}

    def tiled(op: Op, of: Matrices) -> Laid:
        where = f"{graph.name}: {op.name}"
        if of not in known:
            known[of] = (
                usual_sizes(chip, of, where)
                if price is None
                else cheapest_sizes(op, chip, of, where, price)
            )
        return lay_product(op, chip, of, known[of])

    laid = [_lay(op, graph, chip, tiled) for op in graph.ops]
    laid = _through_memory(laid, graph, chip)
    numbers = [number for number, one in enumerate(laid) for _ in one.rows]
    jobs = jobs_of([row for one in laid for row in one.rows], numbers, chip)
    layers = [Layer(one.cost.name, host_s=one.cost.host_s) for one in laid]
    return ChipPlan([one.cost for one in laid], jobs, layers)


def _lay(op: Op, graph: Graph, chip: Chip, tiled: Callable[[Op, Matrices], Laid]) -> Laid:
    product = product_of(op, graph)
    if product is not None:
        return tiled(op, matrices_of(op, graph, product))
    if (inside := attention_products(op, graph)) is not None:
        return _attention(op, graph, chip, inside)
    if op.op_type in _HOST:
        seconds = host_seconds(op, graph, chip)
        why = f"no unit has {op.op_type}"
        return Laid(LayerCost(op.name, op.op_type, "", CPU, host_s=seconds, why=why))
    return _vector(op, graph, chip)


def _through_memory(laid: Sequence[Laid], graph: Graph, chip: Chip) -> list[Laid]:
    """What the cache gives of each layer's loads, and what is flushed of the processor's.

    With plain DMA the processor flushes what it wrote (the network's inputs, results of its own
    operators) and invalidates what it will read; the rest never was in its caches.
    """
    cached, size = Cached(chip), ELEMENT_BYTES[chip.dtype]
    dma, interface = chip.interface.kind == "dma", chip.interface
    own = set(graph.inputs)
    on_host = [op for op, one in zip(graph.ops, laid, strict=True) if one.cost.on == CPU]
    own |= {name for op in on_host for name in op.outputs}
    read = {name for op in on_host for name in op.inputs} | set(graph.outputs)
    found: list[Laid] = []
    for op, one in zip(graph.ops, laid, strict=True):
        total = sum(row.load for row in one.rows)
        hits = sum(
            cached.read(name, _bytes(graph, [name], size), loaded) for name, loaded in one.loaded
        )
        for name in op.outputs:
            cached.written(name, _bytes(graph, [name], size))
        flushed = _bytes(graph, own.intersection(op.inputs), size) / interface.line_bytes
        taken = _bytes(graph, read.intersection(op.outputs), size) / interface.line_bytes
        cycles = interface.flush_cycles * flushed + interface.invalidate_cycles * taken
        rows = [
            Row(
                row.load,
                row.compute,
                row.store,
                row.accelerator,
                hits * row.load / total if total else 0.0,
                dma * cycles / len(one.rows),
            )
            for row in one.rows
        ]
        found.append(replace(one, rows=rows, cost=replace(one.cost, hit_bytes=min(hits, total))))
    return found


def _bytes(graph: Graph, names: Iterable[str], size: int) -> float:
    """Of tensors, at the chip's element size."""
    return size * float(sum(graph.type_of(name).numel or 0 for name in names if name))


def _attention(op: Op, graph: Graph, chip: Chip, products: Sequence[Product]) -> Laid:
    """Its products on the array and its softmax beside them; scores stay on the chip."""
    array, size = array_of(chip), ELEMENT_BYTES[chip.dtype]
    names = ("weight load", "fill and drain", "compute", "bank conflict")
    split: dict[str, float] = dict.fromkeys(names, 0.0)
    sram = 0.0
    for product in products:
        run = run_on(array, product)
        split["weight load"] += float(np.sum(run.weight_load_cycles))
        split["fill and drain"] += float(np.sum(run.fill_drain_cycles))
        split["compute"] += float(np.sum(run.compute_cycles))
        split["bank conflict"] += float(np.sum(conflict_cycles(chip, run)))
        sram += accessed_bytes(run, size)
    scores = float(np.sum(products[0].macs)) / float(products[0].k)
    split["vector"] = scores * chip.vector.special_cycles / chip.vector.lanes
    inputs = [name for name in op.inputs if name]
    load, store = _bytes(graph, inputs, size), _bytes(graph, op.outputs, size)
    macs = sum(float(np.sum(product.macs)) for product in products)
    rows = _shared(load, sum(split.values()), store, int(products[0].count), chip)
    cost = LayerCost(
        op.name,
        op.op_type,
        array.dataflow,
        ARRAY,
        len(rows),
        split,
        macs,
        load,
        store,
        sram + load + store,
        scores,
    )
    return Laid(cost, rows, [(name, _bytes(graph, [name], size)) for name in inputs])


def _shared(load: float, cycles: float, store: float, pieces: int, chip: Chip) -> list[Row]:
    """Work in equal pieces, over as many accelerators as get one."""
    found: list[Row] = []
    for unit in range(min(pieces, chip.accelerators)):
        part = len(range(unit, pieces, chip.accelerators)) / pieces
        found.append(Row(part * load, part * cycles, part * store, unit))
    return found


def _touched(op: Op, graph: Graph, work: Work | None, size: int) -> tuple[float, float]:
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


def _vector(op: Op, graph: Graph, chip: Chip) -> Laid:
    """A pass over the operands; unknown work is a pass as well, never nothing."""
    work = work_of(op, graph)
    if work is not None and not work.flops and not work.bytes_moved:
        return Laid(LayerCost(op.name, op.op_type, "", VIEW))
    outputs = [t for t in graph.output_types(op) if t is not None]
    elements = float(max((t.numel or 0 for t in outputs), default=0))
    flops = work.flops if work is not None else elements
    special = chip.vector.special_cycles if op.op_type in _SPECIAL else 1.0
    cycles = max(elements * special, flops / 2) / chip.vector.lanes
    size = ELEMENT_BYTES[chip.dtype]
    load, store = _touched(op, graph, work, size)
    rows = _shared(load, cycles, store, max(1, int(elements) // chip.vector.lanes), chip)
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
    whole_load = _bytes(graph, names, size)
    share = load / whole_load if whole_load else 0.0
    return Laid(cost, rows, [(name, share * _bytes(graph, [name], size)) for name in names])
