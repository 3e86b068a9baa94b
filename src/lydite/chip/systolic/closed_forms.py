"""Cycles, utilisation and SRAM accesses of matrix products on a systolic array, in closed form.

An array of R rows and C columns multiplies an M x K matrix (ofmap pixels by window) with a K x N
one (window by filters). Two of the three dimensions lie on the array, the third is streaming:

    dataflow  on the rows (SR)  on the columns (SC)  in time (T)
    ws        K                 N                    M
    is        K                 M                    N
    os        M                 N                    K

What does not fit is cut into folds, ceil(SR / R) x ceil(SC / C) of them; an edge fold costs as much
as a full one. Every function takes numbers or numpy columns, which broadcast: many layers on many
arrays at once.

Sources: Samajdar et al., "A Systematic Methodology for Characterizing Scalability of DNN
Accelerators using SCALE-Sim" (ISPASS 2020) for the folds; SCALE-Sim 3.0.0 for what it counts; Ham
et al., "ONNXim" (IEEE CAL 2024) and its systolic core for overlapped folds.
"""

from __future__ import annotations

import numpy as np

from lydite.chip.product import Column, Numbers, Product, check_sizes
from lydite.errors import InputError, unknown_name
from lydite.records import dataclass

DATAFLOWS = ("ws", "os", "is")
OVERLAPS = ("none", "preload")
ISSUE_CYCLES = 4
"""In ONNXim, an instruction occupies the array's input for at least as long as this many rows."""


@dataclass(frozen=True, slots=True)
class Array:
    """A systolic array.

    Attributes:
        rows: Number of processing-element rows, each element a multiply-accumulate per cycle.
        columns: Number of processing-element columns.
        dataflow: Operand that stays in the array: "ws" weights, "is" inputs, "os" outputs.
        overlap: "none": a fold begins when the previous one has drained, as in SCALE-Sim;
            "preload": the stationary operand of the next fold is loaded while this one computes,
            and its rows follow at once, as in ONNXim.

    Raises:
        InputError: the dataflow or overlap is unknown, there are no processing elements, or
            "preload" is combined with stationary outputs, where no operand is loaded before a fold.
    """

    rows: Column
    columns: Column
    dataflow: str = "ws"
    overlap: str = "none"

    def __post_init__(self) -> None:
        if self.dataflow not in DATAFLOWS:
            raise unknown_name("dataflow", self.dataflow, DATAFLOWS)
        if self.overlap not in OVERLAPS:
            raise unknown_name("fold overlap", self.overlap, OVERLAPS)
        if self.overlap == "preload" and self.dataflow == "os":
            raise InputError(
                "an output-stationary array has no operand to preload",
                allowed="overlap none, or dataflow ws or is",
            )
        check_sizes("systolic array", rows=self.rows, columns=self.columns)


@dataclass(frozen=True, slots=True)
class ProductRun:
    """Cost of products on an array; attributes may be columns.

    Attributes:
        cycles: Cycles from the first operand that enters to the last result that leaves.
        folds: Number of folds.
        weight_load_cycles: Cycles in which the stationary operand enters and nothing else happens.
        fill_drain_cycles: Cycles in which the pipeline fills and empties.
        compute_cycles: Cycles in each of which a row enters; the three parts add up to `cycles`.
        utilisation_percent: Multiply-accumulates over `cycles` x processing elements.
        mapping_percent: Share of processing elements with work, mean over folds.
        compute_percent: `mapping_percent` weighted by the share of a fold's cycles with work.
        ifmap_reads: Elements of ifmap from SRAM to array.
        filter_reads: Elements of filters from SRAM to array.
        ofmap_writes: Elements of results from array to SRAM.
    """

    cycles: Numbers
    folds: Numbers
    weight_load_cycles: Numbers
    fill_drain_cycles: Numbers
    compute_cycles: Numbers
    utilisation_percent: Numbers
    mapping_percent: Numbers
    compute_percent: Numbers
    ifmap_reads: Numbers
    filter_reads: Numbers
    ofmap_writes: Numbers


@dataclass(frozen=True, slots=True)
class FoldShape:
    """A product as laid out on an array: see the module's table for SR, SC and T."""

    on_rows: Column
    on_columns: Column
    in_time: Column
    row_folds: Column
    column_folds: Column


def shape_on(array: Array, product: Product) -> FoldShape:
    """Layout of one of the product's `count` repetitions on the array."""
    on_rows, on_columns, in_time = {
        "ws": (product.k, product.n, product.m),
        "is": (product.k, product.m, product.n),
        "os": (product.m, product.n, product.k),
    }[array.dataflow]
    row_folds, column_folds = -(-on_rows // array.rows), -(-on_columns // array.columns)
    return FoldShape(on_rows, on_columns, in_time, row_folds, column_folds)


def run_on(array: Array, product: Product, *, compat: bool = False) -> ProductRun:
    """Cycles, utilisation and SRAM accesses, with memory that never stalls.

    Args:
        array: Array that runs the products.
        product: Product, or products as columns.
        compat: Whether to count as SCALE-Sim 3.0.0 does: the last cycle's index for the cycles of a
            product, the skew twice in the compute utilisation of ws and is, and in os R + C ofmap
            writes too many in each fold.

    Raises:
        InputError: `compat` for an array whose folds overlap, which SCALE-Sim does not have.
    """
    if compat and array.overlap != "none":
        raise InputError(f"SCALE-Sim has no fold overlap '{array.overlap}'", allowed="overlap none")
    shape, elements = shape_on(array, product), np.int64(1) * array.rows * array.columns
    folds = shape.row_folds * shape.column_folds
    load, fill, compute = _parts(array, shape)
    cycles = load + fill + compute - compat
    mapped = shape.on_rows * shape.on_columns / elements / folds
    skew = array.columns - 1 if compat and array.dataflow != "os" else 0
    busy = shape.in_time / ((load + fill + compute) / folds + skew)
    return ProductRun(
        product.count * cycles,
        product.count * folds,
        product.count * load,
        product.count * fill,
        product.count * compute,
        100 * shape.on_rows * shape.on_columns * shape.in_time / (cycles * elements),
        100 * mapped,
        100 * mapped * busy,
        *(product.count * accesses for accesses in _accesses(array, shape, compat)),
    )


@dataclass(frozen=True, slots=True)
class ProductCycles:
    """The cycles of `ProductRun` alone, of one of the product's repetitions."""

    cycles: Column
    weight_load_cycles: Column
    compute_cycles: Column


def cycles_on(array: Array, product: Product) -> ProductCycles:
    """Cycles of `run_on`, without what else it finds."""
    load, fill, compute = _parts(array, shape_on(array, product))
    return ProductCycles(load + fill + compute, load, compute)


def _parts(array: Array, shape: FoldShape) -> tuple[Column, Column, Column]:
    """Cycles of all folds in load, in fill and drain, and in computation."""
    load, fill = (_apart if array.overlap == "none" else _preloaded)(array, shape)
    return load, fill, shape.row_folds * shape.column_folds * shape.in_time


def _apart(array: Array, shape: FoldShape) -> tuple[Column, Column]:
    """Cycles of all folds in load, and in fill and drain, when folds do not overlap."""
    folds = shape.row_folds * shape.column_folds
    load = 0 if array.dataflow == "os" else array.rows
    return folds * load, folds * (array.rows + array.columns - 2)


def _preloaded(array: Array, shape: FoldShape) -> tuple[Column, Column]:
    """Like `_apart`, with preloading: only the first load and last drain count; short folds wait.

    ONNXim's rule: an instruction has up to C rows and takes R + C - 2 + max(rows, 4); the next
    begins max(rows, 4) later, or max(rows, 4, R) if it brings a new operand; an empty pipe adds 2 R
    - 1. So a fold waits only after its last instruction.
    """
    folds = shape.row_folds * shape.column_folds
    last = (shape.in_time - 1) % np.maximum(array.columns, ISSUE_CYCLES) + 1
    issued = np.maximum(last, ISSUE_CYCLES)
    waits = (folds - 1) * (np.maximum(issued, array.rows) - last)
    fill = array.rows + array.columns - 2 + issued - last
    return 2 * array.rows - 1 + waits, fill


def _accesses(array: Array, shape: FoldShape, compat: bool) -> tuple[Column, Column, Column]:
    """Reads of ifmap and filter, and writes of ofmap, in elements.

    The streaming operand passes once per fold of the other side; partial sums leave the array at
    each fold of the rows.
    """
    streaming = shape.in_time * shape.on_rows * shape.column_folds
    stationary = shape.on_rows * shape.on_columns
    across = shape.in_time * shape.on_columns * shape.row_folds
    if array.dataflow == "ws":
        return streaming, stationary, across
    if array.dataflow == "is":
        return stationary, streaming, across
    extra = shape.row_folds * shape.column_folds * (array.rows + array.columns)
    return streaming, across, stationary + (extra if compat else 0)
