"""A network on a systolic array: products in tiles through double buffers, the rest beside it.

A product's tiles fill half of each scratchpad while the other half serves the array. The filter's
tiles are the outer loop; what fits whole is fetched once. What is no product and has a rule runs on
the vector unit, a pass over its operands; what the chip has nothing for goes to the processor.
"""

from __future__ import annotations

import itertools
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
from lydite.chip.plan import ARRAY, CPU, VECTOR, VIEW, ChipPlan, LayerCost, host_seconds
from lydite.chip.soc import Jobs, Layer
from lydite.chip.systolic.array import Product, Run, run_on
from lydite.chip.systolic.products import attention_products, operands_of, product_of
from lydite.chip.systolic.tiles import (
    SUM_BYTES,
    array_of,
    conflict_cycles,
    in_turn,
    parts,
    tile_sizes,
    whole,
)
from lydite.graph import Graph, Op, work_of
from lydite.graph.work import Work
from lydite.hardware.chip import Chip

TURNS = 4
"""Into how many tiles a dimension is cut at least where that costs no traffic, so that one tile
loads while another is at work."""

_HOST = frozenset(("NonMaxSuppression", "TopK", "Unique", "NonZero", "Loop", "If", "Scan", "Sort"))
_SPECIAL = frozenset(
    ("Exp", "Log", "Sqrt", "Tanh", "Sigmoid", "Erf", "Gelu", "Softmax", "LogSoftmax", "Div", "Pow",
     "LayerNormalization", "RMSNormalization", "Elu", "Selu", "Swish", "HardSwish", "Mish")
)  # fmt: skip
"""What takes a table or an iteration for each element."""


@dataclass(frozen=True)
class _Row:
    """An invocation; `hits` of its `load` bytes come from the cache."""

    load: float
    compute: float
    store: float
    accelerator: int = 0
    hits: float = 0.0
    flush: float = 0.0


@dataclass(frozen=True)
class _Laid:
    """A layer: its cost, its invocations, and bytes loaded by tensor."""

    cost: LayerCost
    rows: Sequence[_Row] = ()
    loaded: Sequence[tuple[str, float]] = ()


def systolic_plan(graph: Graph, chip: Chip) -> ChipPlan:
    """All layers of a network on a chip with a systolic array.

    Raises:
        InputError: a scratchpad too small for one fold of an operator (names what it needs).
        GraphError: a tensor of open size.
    """
    laid = [_lay(op, graph, chip) for op in graph.ops]
    laid = _through_memory(laid, graph, chip)
    numbers = [number for number, one in enumerate(laid) for _ in one.rows]
    jobs = _jobs([row for one in laid for row in one.rows], numbers, chip)
    layers = [Layer(one.cost.name, host_s=one.cost.host_s) for one in laid]
    return ChipPlan([one.cost for one in laid], jobs, layers)


def _lay(op: Op, graph: Graph, chip: Chip) -> _Laid:
    product = product_of(op, graph)
    if product is not None:
        return _product(op, graph, chip, product)
    if (inside := attention_products(op, graph)) is not None:
        return _attention(op, graph, chip, inside)
    if op.op_type in _HOST:
        seconds = host_seconds(op, graph, chip)
        why = f"no unit has {op.op_type}"
        return _Laid(LayerCost(op.name, op.op_type, "", CPU, host_s=seconds, why=why))
    return _vector(op, graph, chip)


def _through_memory(laid: Sequence[_Laid], graph: Graph, chip: Chip) -> list[_Laid]:
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
    found: list[_Laid] = []
    for op, one in zip(graph.ops, laid, strict=True):
        total = sum(row.load for row in one.rows)
        hits = sum(cached.read(name, _bytes(graph, [name], size), loaded)
                   for name, loaded in one.loaded)  # fmt: skip
        for name in op.outputs:
            cached.written(name, _bytes(graph, [name], size))
        flushed = _bytes(graph, own.intersection(op.inputs), size) / interface.line_bytes
        taken = _bytes(graph, read.intersection(op.outputs), size) / interface.line_bytes
        cycles = interface.flush_cycles * flushed + interface.invalidate_cycles * taken
        rows = [
            replace(row, hits=hits * row.load / total if total else 0.0,
                    flush=dma * cycles / len(one.rows))
            for row in one.rows
        ]  # fmt: skip
        found.append(replace(one, rows=rows, cost=replace(one.cost, hit_bytes=min(hits, total))))
    return found


def _bytes(graph: Graph, names: Iterable[str], size: int) -> float:
    """Of tensors, at the chip's element size."""
    return size * float(sum(graph.type_of(name).numel or 0 for name in names if name))


def _jobs(rows: Sequence[_Row], numbers: Sequence[int], chip: Chip) -> Jobs:
    second = 1 / chip.clock_hz
    column = {name: np.array([getattr(row, name) for row in rows], float)
              for name in ("load", "compute", "store", "hits", "flush")}  # fmt: skip
    layer = np.array(numbers, np.int64)
    accelerator = np.array([row.accelerator for row in rows], np.int64)
    rate = miss_bytes_per_s(chip)
    load, store = np.maximum(column["load"] - column["hits"], 0.0), column["store"]

    def alone(size: np.ndarray) -> np.ndarray:
        return size / rate + second * setup_cycles(chip, size) + chip.dram.latency_s * (size > 0)

    return Jobs(
        layer, accelerator, layer, np.zeros(len(rows), bool),
        column["flush"] * second + column["hits"] / hit_bytes_per_s(chip), load, alone(load),
        column["compute"] * second, store, alone(store), ahead=True,
    )  # fmt: skip


def _product(op: Op, graph: Graph, chip: Chip, product: Product) -> _Laid:
    m, k, n, count = (int(size) for size in (product.m, product.k, product.n, product.count))
    size, names = ELEMENT_BYTES[chip.dtype], operands_of(op)
    assert names is not None
    # What overlaps in windows is fetched once, and added up before it is stored.
    left, right, out = (
        min(1.0, (graph.type_of(name).numel or 0) / (count * matrix))
        for name, matrix in zip((*names, op.outputs[0]), (m * k, k * n, m * n), strict=True)
    )
    fits = left * m * k * size <= chip.scratchpad("ifmap").bytes / 2
    tm, tk, tn = tile_sizes(chip, m, k, n, f"{graph.name}: {op.name}")
    array = array_of(chip)
    tm = min(tm, max(int(array.rows), -(-m // (TURNS * chip.accelerators))))
    if fits:  # else each block of filters fetches the ifmap anew
        tn = min(tn, max(int(array.columns), whole(-(-n // TURNS), int(array.columns))))
    ms, ks, ns = (parts(length, part) for length, part in ((m, tm), (k, tk), (n, tn)))
    places = list(itertools.product(range(len(ns)), range(len(ms)), range(len(ks))))
    tiles = Product(*(np.array([sizes[p[at]] for p in places], np.int64)
                      for sizes, at in ((ms, 1), (ks, 2), (ns, 0))))  # fmt: skip
    run = run_on(array, tiles)
    units = [p[1] % chip.accelerators for p in places]  # rows stay with their accelerator
    conflicts = np.broadcast_to(conflict_cycles(chip, run), len(places))
    cycles = in_turn(array, run, units)
    rows: list[_Row] = []
    held: dict[int, tuple[int, int]] = {}
    loaded = [0.0, 0.0]
    for (of_n, of_m, of_k), unit, took in zip(
        places, units, (cycles + conflicts).tolist(), strict=True
    ):
        a, b, c = ms[of_m], ks[of_k], ns[of_n]
        ifmap = a * b * size * left if not fits or of_n == 0 else 0.0
        filters = b * c * size * right if held.get(unit) != (of_n, of_k) else 0.0
        held[unit] = of_n, of_k
        store = a * c * size * out * (of_k == len(ks) - 1)
        loaded = [loaded[0] + count * ifmap, loaded[1] + count * filters]
        rows.append(_Row(count * (ifmap + filters), count * took, count * store, unit))
    compute = float(np.sum(run.compute_cycles))
    load = min(float(np.sum(run.weight_load_cycles)), float(cycles.sum()) - compute)
    split = {
        "weight load": load * count,
        "fill and drain": (float(cycles.sum()) - compute - load) * count,
        "compute": compute * count, "bank conflict": float(conflicts.sum()) * count,
    }  # fmt: skip
    moved, stored = sum(r.load for r in rows), sum(r.store for r in rows)
    cost = LayerCost(
        op.name, op.op_type, array.dataflow, ARRAY, len(rows), split, float(m) * k * n * count,
        moved, stored, count * _accessed(run, size) + moved + stored,
    )  # fmt: skip
    return _Laid(cost, rows, list(zip(names, loaded, strict=True)))


def _accessed(run: Run, size: int) -> float:
    """Bytes between array and scratchpads: operands, and partial sums in and out."""
    operands = float(np.sum(run.ifmap_reads) + np.sum(run.filter_reads))
    return size * operands + 2 * SUM_BYTES * float(np.sum(run.ofmap_writes))


def _attention(op: Op, graph: Graph, chip: Chip, products: Sequence[Product]) -> _Laid:
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
        sram += _accessed(run, size)
    scores = float(np.sum(products[0].macs)) / float(products[0].k)
    split["vector"] = scores * chip.vector.special_cycles / chip.vector.lanes
    inputs = [name for name in op.inputs if name]
    load, store = _bytes(graph, inputs, size), _bytes(graph, op.outputs, size)
    macs = sum(float(np.sum(product.macs)) for product in products)
    rows = _shared(load, sum(split.values()), store, int(products[0].count), chip)
    cost = LayerCost(
        op.name, op.op_type, array.dataflow, ARRAY, len(rows), split, macs, load, store,
        sram + load + store, scores,
    )  # fmt: skip
    return _Laid(cost, rows, [(name, _bytes(graph, [name], size)) for name in inputs])


def _shared(load: float, cycles: float, store: float, pieces: int, chip: Chip) -> list[_Row]:
    """Work in equal pieces, over as many accelerators as get one."""
    found: list[_Row] = []
    for unit in range(min(pieces, chip.accelerators)):
        part = len(range(unit, pieces, chip.accelerators)) / pieces
        found.append(_Row(part * load, part * cycles, part * store, unit))
    return found


def _touched(op: Op, graph: Graph, work: Work | None, size: int) -> tuple[float, float]:
    """Bytes in and out at the chip's element size: what is read, not what could be (a table)."""
    ins, outs = (
        [t for t in types if t is not None]
        for types in (graph.input_types(op), graph.output_types(op))
    )
    if work is None:
        return tuple(size * float(sum(t.numel or 0 for t in some)) for some in (ins, outs))  # type: ignore[return-value]
    floats = [t for t in (*outs, *ins) if t.dtype.startswith(("float", "bfloat")) and t.numel]
    scale = size * (floats[0].numel or 1) / (floats[0].nbytes or 1) if floats else 1.0
    return scale * work.bytes_read, scale * work.bytes_written


def _vector(op: Op, graph: Graph, chip: Chip) -> _Laid:
    """A pass over the operands; unknown work is a pass as well, never nothing."""
    work = work_of(op, graph)
    if work is not None and not work.flops and not work.bytes_moved:
        return _Laid(LayerCost(op.name, op.op_type, "", VIEW))
    outputs = [t for t in graph.output_types(op) if t is not None]
    elements = float(max((t.numel or 0 for t in outputs), default=0))
    flops = work.flops if work is not None else elements
    special = chip.vector.special_cycles if op.op_type in _SPECIAL else 1.0
    cycles = max(elements * special, flops / 2) / chip.vector.lanes
    size = ELEMENT_BYTES[chip.dtype]
    load, store = _touched(op, graph, work, size)
    rows = _shared(load, cycles, store, max(1, int(elements) // chip.vector.lanes), chip)
    cost = LayerCost(
        op.name, op.op_type, "vector", VECTOR, len(rows), {"vector": cycles}, 0.0, load, store,
        2 * (load + store), elements,
    )  # fmt: skip
    names = [name for name in op.inputs if name]
    whole_load = _bytes(graph, names, size)
    share = load / whole_load if whole_load else 0.0
    return _Laid(cost, rows, [(name, share * _bytes(graph, [name], size)) for name in names])
