"""A network on a systolic array: products in tiles through double buffers, the rest beside it.

A product's tiles fill half of each scratchpad while the other half serves the array. The filter's
tiles are the outer loop; what fits whole is fetched once. What is no product and has a rule runs on
the vector unit, a pass over its operands; what the chip has nothing for goes to the processor.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lydite.chip.plan import ARRAY, CPU, VECTOR, VIEW, ChipPlan, LayerCost, host_seconds
from lydite.chip.soc import Jobs, Layer
from lydite.chip.systolic.array import Array, Product, Run, run_on
from lydite.chip.systolic.products import product_of
from lydite.errors import InputError
from lydite.graph import Graph, Op, work_of
from lydite.graph.work import Work
from lydite.hardware.chip import Chip, SystolicArray

ELEMENT_BYTES = {"int8": 1, "float16": 2, "bfloat16": 2, "float32": 4}
TURNS = 4
"""Into how many tiles a dimension is cut at least where that costs no traffic, so that one tile
loads while another is at work."""
SUM_BYTES = 4
"""Of a partial sum."""

_HOST = frozenset(("NonMaxSuppression", "TopK", "Unique", "NonZero", "Loop", "If", "Scan", "Sort"))
_SPECIAL = frozenset(
    ("Exp", "Log", "Sqrt", "Tanh", "Sigmoid", "Erf", "Gelu", "Softmax", "LogSoftmax", "Div", "Pow",
     "LayerNormalization", "RMSNormalization", "Elu", "Selu", "Swish", "HardSwish", "Mish")
)  # fmt: skip
"""What takes a table or an iteration for each element."""


@dataclass
class _Row:
    """An invocation in the making."""

    layer: int
    load: float
    compute: float
    store: float
    accelerator: int = 0


def systolic_plan(graph: Graph, chip: Chip) -> ChipPlan:
    """All layers of a network on a chip with a systolic array.

    Raises:
        InputError: a scratchpad too small for one fold of an operator (names what it needs).
        GraphError: a tensor of open size.
    """
    costs: list[LayerCost] = []
    rows: list[_Row] = []
    layers: list[Layer] = []
    for op in graph.ops:
        number = len(costs)
        product = product_of(op, graph)
        if product is not None:
            cost, made = _product(op, graph, chip, product, number)
        elif (inside := attention_products(op, graph)) is not None:
            cost, made = _attention(op, graph, chip, inside, number)
        elif op.op_type in _HOST:
            seconds = host_seconds(op, graph, chip)
            cost, made = LayerCost(op.name, op.op_type, "", CPU, host_s=seconds,
                                   why=f"no unit has {op.op_type}"), []  # fmt: skip
        else:
            cost, made = _vector(op, graph, chip, number)
        costs.append(cost)
        rows += made
        layers.append(Layer(op.name, host_s=cost.host_s))
    return ChipPlan(costs, _jobs(rows, chip), layers)


def _jobs(rows: Sequence[_Row], chip: Chip) -> Jobs:
    second = 1 / chip.clock_hz
    load, compute, store = (
        np.array([getattr(row, name) for row in rows], float) for name in
        ("load", "compute", "store")
    )  # fmt: skip
    layer = np.array([row.layer for row in rows], np.int64)
    accelerator = np.array([row.accelerator for row in rows], np.int64)
    rate = chip.dram.stream_bytes_per_s(chip.dma.chunk_bytes)
    setup = chip.dma.setup_cycles * second
    zero = np.zeros(len(rows))
    return Jobs(
        layer, accelerator, layer, zero.astype(bool), zero, load,
        load / rate + setup * (load > 0), compute * second, store,
        store / rate + setup * (store > 0), ahead=True,
    )  # fmt: skip


def array_of(chip: Chip) -> Array:
    """The chip's array as the closed forms take it."""
    array = chip.array
    if not isinstance(array, SystolicArray):
        raise InputError("has no systolic array", where=chip.name)
    return Array(array.rows, array.columns, array.dataflow, array.overlap)


def _product(
    op: Op, graph: Graph, chip: Chip, product: Product, number: int
) -> tuple[LayerCost, list[_Row]]:
    m, k, n, count = (int(size) for size in (product.m, product.k, product.n, product.count))
    size = ELEMENT_BYTES[chip.dtype]
    source = graph.type_of(op.inputs[0]).numel or 0
    whole_input = source * size / count
    share = min(1.0, whole_input / (m * k * size))
    fits = whole_input <= chip.scratchpad("ifmap").bytes / 2
    tm, tk, tn = tile_sizes(chip, m, k, n, f"{graph.name}: {op.name}")
    array = array_of(chip)
    tm = min(tm, max(int(array.rows), -(-m // (TURNS * chip.accelerators))))
    if fits:  # else each block of filters fetches the ifmap anew
        tn = min(tn, max(int(array.columns), _whole(-(-n // TURNS), int(array.columns))))
    ms, ks, ns = (_parts(whole, part) for whole, part in ((m, tm), (k, tk), (n, tn)))
    places = list(itertools.product(range(len(ns)), range(len(ms)), range(len(ks))))
    tiles = Product(*(np.array([sizes[p[at]] for p in places], np.int64)
                      for sizes, at in ((ms, 1), (ks, 2), (ns, 0))))  # fmt: skip
    run = run_on(array, tiles)
    units = [p[1] % chip.accelerators for p in places]  # rows stay with their accelerator
    cycles = _in_turn(array, run, units)
    rows: list[_Row] = []
    held: dict[int, tuple[int, int]] = {}
    for (of_n, of_m, of_k), unit, took in zip(places, units, cycles.tolist(), strict=True):
        a, b, c = ms[of_m], ks[of_k], ns[of_n]
        load = a * b * size * share if not fits or of_n == 0 else 0.0
        if held.get(unit) != (of_n, of_k):
            load += b * c * size
            held[unit] = of_n, of_k
        store = a * c * size * (of_k == len(ks) - 1)
        rows.append(_Row(number, count * load, count * took, count * store, unit))
    compute = float(np.sum(run.compute_cycles))
    load = min(float(np.sum(run.weight_load_cycles)), float(cycles.sum()) - compute)
    parts = {
        "weight load": load * count,
        "fill and drain": (float(cycles.sum()) - compute - load) * count,
        "compute": compute * count,
    }
    cost = LayerCost(
        op.name, op.op_type, array_of(chip).dataflow, ARRAY, len(rows), parts,
        float(m) * k * n * count, sum(r.load for r in rows), sum(r.store for r in rows),
        count * _accessed(run, size) + sum(r.load + r.store for r in rows),
    )  # fmt: skip
    return cost, rows


def _in_turn(array: Array, run: Run, units: Sequence[int]) -> np.ndarray:
    """Cycles of tiles one behind the other on each accelerator; float64[tiles].

    Where the next fold's operand is loaded meanwhile, a tile begins while the one before drains:
    only the first on an accelerator sees the array fill.
    """
    cycles = np.broadcast_to(np.asarray(run.cycles, float), len(units)).copy()
    if array.overlap == "preload":
        _, first = np.unique(units, return_index=True)
        later = np.setdiff1d(np.arange(len(units)), first)
        hidden = 2 * array.rows - 1 + array.rows + array.columns - 2
        cycles[later] = np.maximum(cycles[later] - hidden, 1.0)
    return cycles


def _accessed(run: Run, size: int) -> float:
    """Bytes between array and scratchpads: operands, and partial sums in and out."""
    operands = float(np.sum(run.ifmap_reads) + np.sum(run.filter_reads))
    return size * operands + 2 * SUM_BYTES * float(np.sum(run.ofmap_writes))


def tile_sizes(chip: Chip, m: int, k: int, n: int, where: str) -> tuple[int, int, int]:
    """The largest tile that half of each scratchpad holds: whole windows first, then filters.

    Raises:
        InputError: not even one fold fits.
    """
    array, size = array_of(chip), ELEMENT_BYTES[chip.dtype]
    half = {name: chip.scratchpad(name).bytes // 2 for name in ("ifmap", "filter", "ofmap")}
    rows, columns = int(array.rows), int(array.columns)
    tn = min(n, columns)
    tk = min(k, _whole(half["filter"] // (tn * size), rows))
    tm = min(m, half["ifmap"] // (max(1, tk) * size), half["ofmap"] // (tn * SUM_BYTES))
    if tk < min(k, rows) or tm < 1:
        need = min(k, rows) * tn * size
        raise InputError(
            f"a fold of {min(k, rows)} x {tn} needs {2 * need} bytes of 'filter', "
            f"{2 * min(k, rows) * size} of 'ifmap' and {2 * tn * SUM_BYTES} of 'ofmap'",
            where=f"{where} on {chip.name}", allowed="scratchpads that hold two of it",
        )  # fmt: skip
    wider = min(n, half["filter"] // (tk * size), half["ofmap"] // (min(tm, m) * SUM_BYTES))
    return tm, tk, max(tn, _whole(wider, columns))


def _whole(size: int, step: int) -> int:
    """Rounded down to whole steps, if there is one."""
    return size // step * step if size >= step else size


def _parts(whole: int, part: int) -> list[int]:
    count = -(-whole // part)
    return [part] * (count - 1) + [whole - part * (count - 1)]


_ATTENTION = {"Attention": 2, "MultiHeadAttention": 2, "GroupQueryAttention": 2,
              "AttentionTraining": 2, "AttentionGrad": 5}  # fmt: skip
"""Products of queries by keys, or of scores by values, that each type takes."""


def attention_products(op: Op, graph: Graph) -> list[Product] | None:
    """The products inside attention, one pair of head and sample after the other; None of others.

    The gradient has five (scores again, and the gradients of value, scores, query and key).
    """
    count = _ATTENTION.get(op.op_type)
    shapes = [t.shape if t is not None else None for t in graph.input_types(op)[:2]]
    if count is None or len(shapes) < 2 or None in shapes:
        return None
    query, key = ([int(dim) for dim in shape or ()] for shape in shapes)
    given = op.attrs.get("q_num_heads") or op.attrs.get("num_heads") or 0
    heads = query[1] if len(query) == 4 else int(str(given))
    if not heads or len(query) not in (3, 4):
        return None
    size = query[-1] if len(query) == 4 else query[-1] // heads
    past = graph.type_of(op.inputs[4]).shape if len(op.inputs) > 4 and op.inputs[4] else None
    keys = key[-2] + (int(str(past[2])) if past is not None and len(past) == 4 else 0)
    pairs = query[0] * heads
    by_keys, by_values = (
        Product(query[-2], size, keys, pairs), Product(query[-2], keys, size, pairs)
    )  # fmt: skip
    return [by_keys, by_values] + [by_values] * (count - 2)


def _attention(
    op: Op, graph: Graph, chip: Chip, products: Sequence[Product], number: int
) -> tuple[LayerCost, list[_Row]]:
    """Its products on the array and its softmax beside them; scores stay on the chip."""
    array, size = array_of(chip), ELEMENT_BYTES[chip.dtype]
    parts, sram = {"weight load": 0.0, "fill and drain": 0.0, "compute": 0.0}, 0.0
    for product in products:
        run = run_on(array, product)
        parts["weight load"] += float(np.sum(run.weight_load_cycles))
        parts["fill and drain"] += float(np.sum(run.fill_drain_cycles))
        parts["compute"] += float(np.sum(run.compute_cycles))
        sram += _accessed(run, size)
    scores = float(np.sum(products[0].macs)) / float(products[0].k)
    parts["vector"] = scores * chip.vector.special_cycles / chip.vector.lanes
    load = size * float(sum(t.numel or 0 for t in graph.input_types(op) if t is not None))
    store = size * float(sum(t.numel or 0 for t in graph.output_types(op) if t is not None))
    macs = sum(float(np.sum(product.macs)) for product in products)
    cost = LayerCost(
        op.name, op.op_type, array.dataflow, ARRAY, 1, parts, macs, load, store,
        sram + load + store, scores,
    )  # fmt: skip
    return cost, [_Row(number, load, cost.total_cycles, store)]


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


def _vector(op: Op, graph: Graph, chip: Chip, number: int) -> tuple[LayerCost, list[_Row]]:
    """A pass over the operands; unknown work is a pass as well, never nothing."""
    work = work_of(op, graph)
    if work is not None and not work.flops and not work.bytes_moved:
        return LayerCost(op.name, op.op_type, "", VIEW), []
    outputs = [t for t in graph.output_types(op) if t is not None]
    elements = float(max((t.numel or 0 for t in outputs), default=0))
    flops = work.flops if work is not None else elements
    special = chip.vector.special_cycles if op.op_type in _SPECIAL else 1.0
    cycles = max(elements * special, flops / 2) / chip.vector.lanes
    size = ELEMENT_BYTES[chip.dtype]
    load, store = _touched(op, graph, work, size)
    cost = LayerCost(
        op.name, op.op_type, "vector", VECTOR, 1, {"vector": cycles}, 0.0, load, store,
        2 * (load + store), elements,
    )  # fmt: skip
    return cost, [_Row(number, load, cycles, store)]
