"""A product in tiles through double buffers: its invocations, what they move and compute.

A tile fills half of each scratchpad while the other half serves the array. The filter's tiles are
the outer loop; what fits whole is fetched once.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lydite.chip.memory import ELEMENT_BYTES, hit_bytes_per_s, miss_bytes_per_s, setup_cycles
from lydite.chip.plan import ARRAY, LayerCost
from lydite.chip.soc import Jobs
from lydite.chip.systolic.array import Product, Run, run_on
from lydite.chip.systolic.products import operands_of
from lydite.chip.systolic.tiles import (
    SUM_BYTES,
    Matrices,
    Sizes,
    array_of,
    conflict_cycles,
    fits_whole,
    in_turn,
    parts,
)
from lydite.graph import Graph, Op
from lydite.hardware.chip import Chip


@dataclass(frozen=True)
class Row:
    """An invocation; `hits` of its `load` bytes come from the cache."""

    load: float
    compute: float
    store: float
    accelerator: int = 0
    hits: float = 0.0
    flush: float = 0.0


@dataclass(frozen=True)
class Laid:
    """A layer: its cost, its invocations, and bytes loaded by tensor."""

    cost: LayerCost
    rows: Sequence[Row] = ()
    loaded: Sequence[tuple[str, float]] = ()


def jobs_of(rows: Sequence[Row], numbers: Sequence[int], chip: Chip) -> Jobs:
    """Invocations as the system plays them; `numbers` are their layers."""
    second = 1 / chip.clock_hz
    column = {
        name: np.array([getattr(row, name) for row in rows], float)
        for name in ("load", "compute", "store", "hits", "flush")
    }
    layer = np.array(numbers, np.int64)
    accelerator = np.array([row.accelerator for row in rows], np.int64)
    rate = miss_bytes_per_s(chip)
    load, store = np.maximum(column["load"] - column["hits"], 0.0), column["store"]

    def alone(size: np.ndarray) -> np.ndarray:
        return size / rate + second * setup_cycles(chip, size) + chip.dram.latency_s * (size > 0)

    return Jobs(
        layer,
        accelerator,
        layer,
        np.zeros(len(rows), bool),
        column["flush"] * second + column["hits"] / hit_bytes_per_s(chip),
        load,
        alone(load),
        column["compute"] * second,
        store,
        alone(store),
        ahead=True,
    )


def matrices_of(op: Op, graph: Graph, product: Product) -> Matrices:
    """The product's sizes and what is distinct in its operands."""
    m, k, n, count = (int(size) for size in (product.m, product.k, product.n, product.count))
    names = operands_of(op)
    assert names is not None
    distinct = (
        min(1.0, (graph.type_of(name).numel or 0) / (count * matrix))
        for name, matrix in zip((*names, op.outputs[0]), (m * k, k * n, m * n), strict=True)
    )
    return Matrices(m, k, n, count, *distinct)


def lay_product(op: Op, chip: Chip, of: Matrices, sizes: Sizes) -> Laid:
    """A product in tiles of such sizes (of m, k and n), its rows dealt out to accelerators."""
    size, names, array = ELEMENT_BYTES[chip.dtype], operands_of(op), array_of(chip)
    assert names is not None
    fits, count = fits_whole(chip, of), of.count
    ms, ks, ns = (
        parts(length, part) for length, part in zip((of.m, of.k, of.n), sizes, strict=True)
    )
    places = list(itertools.product(range(len(ns)), range(len(ms)), range(len(ks))))
    tiles = Product(
        *(
            np.array([lengths[p[at]] for p in places], np.int64)
            for lengths, at in ((ms, 1), (ks, 2), (ns, 0))
        )
    )
    run = run_on(array, tiles)
    units = [p[1] % chip.accelerators for p in places]  # rows stay with their accelerator
    conflicts = np.broadcast_to(conflict_cycles(chip, run), len(places))
    cycles = in_turn(array, run, units)
    rows: list[Row] = []
    held: dict[int, tuple[int, int]] = {}
    loaded = [0.0, 0.0]
    for (of_n, of_m, of_k), unit, took in zip(
        places, units, (cycles + conflicts).tolist(), strict=True
    ):
        a, b, c = ms[of_m], ks[of_k], ns[of_n]
        ifmap = a * b * size * of.left if not fits or of_n == 0 else 0.0
        filters = b * c * size * of.right if held.get(unit) != (of_n, of_k) else 0.0
        held[unit] = of_n, of_k
        store = a * c * size * of.out * (of_k == len(ks) - 1)
        loaded = [loaded[0] + count * ifmap, loaded[1] + count * filters]
        rows.append(Row(count * (ifmap + filters), count * took, count * store, unit))
    compute = float(np.sum(run.compute_cycles))
    load = min(float(np.sum(run.weight_load_cycles)), float(cycles.sum()) - compute)
    split = {
        "weight load": load * count,
        "fill and drain": (float(cycles.sum()) - compute - load) * count,
        "compute": compute * count,
        "bank conflict": float(conflicts.sum()) * count,
    }
    moved, stored = sum(r.load for r in rows), sum(r.store for r in rows)
    cost = LayerCost(
        op.name,
        op.op_type,
        array.dataflow,
        ARRAY,
        len(rows),
        split,
        float(of.m) * of.k * of.n * count,
        moved,
        stored,
        count * accessed_bytes(run, size) + moved + stored,
    )
    return Laid(cost, rows, list(zip(names, loaded, strict=True)))


def accessed_bytes(run: Run, size: int) -> float:
    """Bytes between array and scratchpads: operands, and partial sums in and out."""
    operands = float(np.sum(run.ifmap_reads) + np.sum(run.filter_reads))
    return size * operands + 2 * SUM_BYTES * float(np.sum(run.ofmap_writes))
