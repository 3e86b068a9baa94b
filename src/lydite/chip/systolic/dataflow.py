"""Systolic arrays as a dataflow: products in tiles, folds in closed form.

A tile fills half of each scratchpad while the other half serves the array. The outer loop is over
tiles of the filter; an operand that fits whole is fetched once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from lydite.chip.dataflow import ArrayDescription
from lydite.chip.invocations import InvocationColumns
from lydite.chip.mapped import MappedLayer
from lydite.chip.memory import ELEMENT_BYTES
from lydite.chip.operands import Shares
from lydite.chip.operators import operands_of
from lydite.chip.plan import ARRAY, LayerCost
from lydite.chip.product import Column, Product, ProductCost
from lydite.chip.product_dataflow import ProductDataflow
from lydite.chip.shared import View, array_only, without_sizes
from lydite.chip.systolic.closed_forms import ProductRun, run_on
from lydite.chip.systolic.ranking import bounded_tiles, ranked_tiles
from lydite.chip.systolic.tiles import (
    SUM_BYTES,
    Matrices,
    Tile,
    array_of,
    conflict_cycles,
    in_turn,
    parts,
)
from lydite.graph import Graph, Op
from lydite.hardware.chip import ArrayParameters, Chip, Scratchpad, SystolicArray


class SystolicDataflow(ProductDataflow[Matrices, Tile]):
    """Products on a systolic array."""

    parameters = SystolicArray

    def problem(self, op: Op, graph: Graph, product: Product, shares: Shares) -> Matrices:
        """Sizes of the product, and what of each matrix moves."""
        del op, graph
        m, k, n, count = (int(size) for size in (product.m, product.k, product.n, product.count))
        return Matrices(m, k, n, count, shares.left, shares.right, shares.out)

    def tiles(self, problem: Matrices, chip: Chip, where: str, most: int) -> Sequence[Tile]:
        """Tiles that fit, those that promise to take least time first."""
        return ranked_tiles(chip, problem, where, most=most)

    def bounded_tiles(
        self, problem: Matrices, chip: Chip, where: str, most: int
    ) -> Sequence[tuple[Tile, float]]:
        """The tiles, each with its closed form's bound."""
        return bounded_tiles(chip, problem, where, most=most)

    def mapping_view(self, chip: Chip) -> View:
        """Tiles say what fits; the sizes of the scratchpads do not matter any more."""
        return without_sizes(chip)

    def map_product(self, op: Op, chip: Chip, problem: Matrices, tile: Tile) -> MappedLayer:
        """A product in such tiles, its results dealt out to accelerators."""
        return _named(array_only(chip), problem, tile, op.name, op.op_type, tuple(operands_of(op)))

    def rooms(self, chip: Chip) -> tuple[float, float, float]:
        """Half of each scratchpad."""
        left, right, sums = (chip.scratchpad(name).bytes / 2 for name in _PADS)
        return left, right, sums

    def product_cost(self, product: Product, chip: Chip) -> ProductCost:
        """Folds of a product, and the cycles in which it waits for banks."""
        run = run_on(array_of(chip), product)
        cycles = {
            "weight load": float(np.sum(run.weight_load_cycles)),
            "fill and drain": float(np.sum(run.fill_drain_cycles)),
            "compute": float(np.sum(run.compute_cycles)),
            "bank conflict": float(np.sum(conflict_cycles(chip, run))),
        }
        array = array_of(chip)
        hidden = 2 * int(array.rows) - 1 if array.overlap == "preload" else 0
        accessed = accessed_bytes(run, ELEMENT_BYTES[chip.dtype])
        return ProductCost(cycles, accessed, hidden_cycles=float(hidden))

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


_PADS = ("ifmap", "filter", "ofmap")


@lru_cache(maxsize=256)
def _named(
    view: View, of: Matrices, tile: Tile, name: str, op_type: str, operands: tuple[str, ...]
) -> MappedLayer:
    """A product of a network: designs of a sweep share most of them."""
    mapped = _mapped(view, of, tile)
    cost = replace(mapped.cost, name=name, op_type=op_type)
    loaded = [size for _, size in mapped.loaded_bytes]
    return MappedLayer(cost, mapped.invocations, tuple(zip(operands, loaded, strict=True)))


@lru_cache(maxsize=256)
def _mapped(view: View, of: Matrices, tile: Tile) -> MappedLayer:
    """A product without a name in such tiles: results dealt out in turn, filters the outer loop."""
    chip = view.chip
    size, array = ELEMENT_BYTES[chip.dtype], array_of(chip)
    ms, ks, ns = (
        np.array(parts(length, part), np.int64)
        for length, part in ((of.m, tile.m), (of.k, tile.k), (of.n, tile.n))
    )
    groups = np.array(parts(of.count, tile.together), np.int64)
    shape = (len(groups), len(ns), len(ms), len(ks))
    of_group, of_n, of_m, of_k = (axis.ravel() for axis in np.indices(shape))
    result = (of_group * len(ns) + of_n) * len(ms) + of_m
    if tile.units > 1:
        order = np.lexsort((result, of_k, result // tile.units))  # all accelerators begin at once
        of_group, of_n, of_m, of_k, result = (
            each[order] for each in (of_group, of_n, of_m, of_k, result)
        )
    together, m, k, n = groups[of_group], ms[of_m], ks[of_k], ns[of_n]
    unit = result % tile.units
    run = run_on(array, Product(m, k, n))
    conflicts = np.broadcast_to(conflict_cycles(chip, run), len(m))
    cycles = in_turn(array, run, unit)
    has_ifmap = True
    if tile.stays:
        has_ifmap = of_n == 0 if tile.units == 1 else _first_of(of_group, of_m, of_k, unit)
    ifmap = together * m * k * size * of.left * has_ifmap
    filters = together * k * n * size * of.right * _changed(of_group, of_n, of_k, unit)
    store = together * m * n * size * of.out * (of_k == len(ks) - 1)
    taken = together * (cycles + conflicts)
    rows = InvocationColumns.of(ifmap + filters, taken, store, unit)
    compute = float(np.sum(together * run.compute_cycles))
    whole = float(np.sum(together * cycles))
    load = min(float(np.sum(together * run.weight_load_cycles)), whole - compute)
    split = {
        "weight load": load,
        "fill and drain": whole - compute - load,
        "compute": compute,
        "bank conflict": float(np.sum(together * conflicts)),
    }
    loaded = [float(np.sum(ifmap)), float(np.sum(filters))]
    moved, stored = sum(loaded), float(np.sum(store))
    cost = LayerCost(
        "",
        "",
        array.dataflow,
        ARRAY,
        len(rows),
        split,
        float(of.m) * of.k * of.n * of.count,
        moved,
        stored,
        accessed_bytes(run, size, together) + moved + stored,
    )
    return MappedLayer(cost, rows, list(zip(("left", "right"), loaded, strict=True)))


def _first_of(*keys: np.ndarray) -> np.ndarray:
    """Whether a row's keys have not come before."""
    whole = np.zeros(len(keys[0]), np.int64)
    for key in keys:
        whole = whole * (int(key.max()) + 1) + key
    first = np.zeros(len(whole), bool)
    first[np.unique(whole, return_index=True)[1]] = True
    return first


def _changed(group: np.ndarray, of_n: np.ndarray, of_k: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Whether an accelerator's filters are others than in its invocation before."""
    order = np.argsort(unit, kind="stable")
    keys = np.stack([group, of_n, of_k, unit])[:, order]
    changed = np.ones(len(unit), bool)
    changed[order[1:]] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
    return changed


def accessed_bytes(run: ProductRun, size: int, times: Column = 1) -> float:
    """Bytes between array and scratchpads: operands, and partial sums in and out."""
    operands = times * (np.asarray(run.ifmap_reads) + np.asarray(run.filter_reads))
    sums = times * np.asarray(run.ofmap_writes)
    return float(np.sum(size * operands + 2 * SUM_BYTES * sums))


SYSTOLIC_DATAFLOW = SystolicDataflow()
