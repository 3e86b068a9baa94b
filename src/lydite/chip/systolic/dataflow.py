"""Systolic arrays as a dataflow: products in tiles, folds in closed form.

A tile fills half of each scratchpad while the other half serves the array. The outer loop is over
tiles of the filter; an operand that fits whole is fetched once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lydite.chip.dataflow import ArrayDescription
from lydite.chip.mapped import Invocation, MappedLayer
from lydite.chip.memory import ELEMENT_BYTES
from lydite.chip.operators import operands_of
from lydite.chip.plan import ARRAY, LayerCost
from lydite.chip.product import Product
from lydite.chip.product_dataflow import ProductCost, ProductDataflow
from lydite.chip.systolic.closed_forms import ProductRun, run_on
from lydite.chip.systolic.tiles import (
    SUM_BYTES,
    Matrices,
    Sizes,
    array_of,
    conflict_cycles,
    fits_whole,
    in_turn,
    matrices_of,
    parts,
    ranked_sizes,
)
from lydite.graph import Graph, Op
from lydite.hardware.chip import ArrayParameters, Chip, Scratchpad, SystolicArray


class SystolicDataflow(ProductDataflow[Matrices, Sizes]):
    """Products on a systolic array."""

    parameters = SystolicArray

    def problem(self, op: Op, graph: Graph, product: Product) -> Matrices:
        """Sizes of the product, and the distinct share of each matrix."""
        return matrices_of(op, graph, product)

    def tiles(self, problem: Matrices, chip: Chip, where: str, most: int) -> Sequence[Sizes]:
        """Tiles that fit, ordered by estimated time."""
        return ranked_sizes(chip, problem, where, most=most)

    def map_product(self, op: Op, chip: Chip, problem: Matrices, tile: Sizes) -> MappedLayer:
        """Map a product in tiles, with its rows distributed over the accelerators."""
        return map_product(op, chip, problem, tile)

    def product_cost(self, product: Product, chip: Chip) -> ProductCost:
        """Folds of a product, and the cycles in which it waits for banks."""
        run = run_on(array_of(chip), product)
        cycles = {
            "weight load": float(np.sum(run.weight_load_cycles)),
            "fill and drain": float(np.sum(run.fill_drain_cycles)),
            "compute": float(np.sum(run.compute_cycles)),
            "bank conflict": float(np.sum(conflict_cycles(chip, run))),
        }
        return ProductCost(cycles, accessed_bytes(run, ELEMENT_BYTES[chip.dtype]))

    def kernel(self, chip: Chip) -> str:
        """The stationary operand: "ws", "is" or "os"."""
        return array_of(chip).dataflow

    def describe(self, chip: Chip) -> ArrayDescription:
        """Size, stationary operand and overlap of folds."""
        array = array_of(chip)
        return ArrayDescription(
            f"systolic, {array.rows} x {array.columns}, {array.dataflow}, overlap {array.overlap}",
            "closed forms, folds of equal size; memory never waits inside a fold",
        )

    def widened(self, chip: Chip, array: ArrayParameters) -> tuple[Scratchpad, ...]:
        """Scratchpads with the number of banks scaled with the array."""
        before = array_of(chip)
        after = array_of(replace(chip, array=array))
        grown = max(float(after.rows / before.rows), float(after.columns / before.columns), 1.0)
        return tuple(replace(pad, banks=math.ceil(pad.banks * grown)) for pad in chip.scratchpads)


def map_product(op: Op, chip: Chip, of: Matrices, sizes: Sizes) -> MappedLayer:
    """Map a product in tiles of sizes (m, k, n), its rows distributed over accelerators."""
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
    units = [p[1] % chip.accelerators for p in places]  # rows stay on their accelerator
    conflicts = np.broadcast_to(conflict_cycles(chip, run), len(places))
    cycles = in_turn(array, run, units)
    rows: list[Invocation] = []
    stationary: dict[int, tuple[int, int]] = {}
    loaded = [0.0, 0.0]
    for (of_n, of_m, of_k), unit, took in zip(
        places, units, (cycles + conflicts).tolist(), strict=True
    ):
        a, b, c = ms[of_m], ks[of_k], ns[of_n]
        ifmap = a * b * size * of.left if not fits or of_n == 0 else 0.0
        filters = b * c * size * of.right if stationary.get(unit) != (of_n, of_k) else 0.0
        stationary[unit] = of_n, of_k
        store = a * c * size * of.out * (of_k == len(ks) - 1)
        loaded = [loaded[0] + count * ifmap, loaded[1] + count * filters]
        rows.append(Invocation(count * (ifmap + filters), count * took, count * store, unit))
    compute = float(np.sum(run.compute_cycles))
    load = min(float(np.sum(run.weight_load_cycles)), float(cycles.sum()) - compute)
    split = {
        "weight load": load * count,
        "fill and drain": (float(cycles.sum()) - compute - load) * count,
        "compute": compute * count,
        "bank conflict": float(conflicts.sum()) * count,
    }
    moved, stored = sum(r.load_bytes for r in rows), sum(r.store_bytes for r in rows)
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
    return MappedLayer(cost, rows, list(zip(names, loaded, strict=True)))


def accessed_bytes(run: ProductRun, size: int) -> float:
    """Bytes between array and scratchpads: operands, and partial sums in and out."""
    operands = float(np.sum(run.ifmap_reads) + np.sum(run.filter_reads))
    return size * operands + 2 * SUM_BYTES * float(np.sum(run.ofmap_writes))


SYSTOLIC_DATAFLOW = SystolicDataflow()
