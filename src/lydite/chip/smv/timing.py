"""Cycles of SMV's invocations: transfers line by line, then loops whose pace the scratchpads set.

    head + flush of all lines + transfers + conversion + loops + activation

- A transfer is flushed or invalidated out of the processor's caches line by line, moved, and turned
  between fp16 (memory) and fp32 (scratchpad), 1.5 cycles a vector of eight. Through a coherent port
  nothing is flushed, and lines that the last-level cache holds take what its port takes.
- Convolution: every output position takes 4 cycles (four activation vectors come through the one
  port of one bank), a row something to begin and to drain; a pass over the tile first reads its
  kernels, PEs x vectors of them, through the port of one bank.
- Inner product: each step reads PEs x vectors weight vectors through the port of one bank.
- Pooling: each output position and four channel groups begin a window, whose taps are compared one
  after the other.
- Batch norm: after a convolution one vector after the other, each from its address to its store;
  after a product four vectors of weights through the port of one bank.
- A vector is charged to the bank of its first word, so vectors side by side share a bank until
  banks x word exceeds a vector of fp32; then as many more go at once (assumed, as with ports).

The forms follow SMAUG's kernels and Aladdin's scheduling (gem5-aladdin, smv/kernels); what memory
and loop overheads take was fitted to 912 invocations of gem5-Aladdin (see `benchmarks/smv.py`,
which fits them again without each network in turn).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lydite.chip.memory import hit_bytes_per_s, in_flight_bytes_per_s, setup_cycles
from lydite.chip.smv.array import smv_array
from lydite.chip.smv.invocations import KERNELS, Invocations
from lydite.hardware.chip import Chip, SmvArray
from lydite.records import dataclass

Columns = np.ndarray

HEAD_CYCLES = 9.0
CONVERT_CYCLES = 1.5
"""Cycles to convert a vector of eight between fp16 and fp32.

Exact in Aladdin's logs: 385.5 cycles for 256 vectors.
"""
CONV_CYCLES = 4.0
"""Cycles between two output positions of a convolution; measured, also with one vector per PE."""
NORM_CYCLES = 7.0
"""Cycles of a vector of a batch norm after a convolution, which is not pipelined: two for its
address, then load, subtract, multiply, add and store, each a cycle in Aladdin."""
NORM_READS = 4.0
"""Reads of weights per vector of a batch norm after a product, through the port of one bank."""
_FLAT_NORM = KERNELS.index("smv_batch_norm_post_fc_nc_vec_fxp")
VECTOR_BYTES = 16
_REFERENCE_BYTES_PER_S = 6.1e9
"""Bandwidth in bytes/s of streams of 32-byte lines on the fitted runs' LPDDR4-3200."""

CONV, PRODUCT, POOL, NORM, LINE = "convolution", "product", "pooling", "norm", "line"


@dataclass(frozen=True)
class Coefficients:
    """Fitted nanoseconds (transfers) and cycles (loops) of one kind of kernel.

    Attributes:
        input_line: Nanoseconds of a line of inputs moved, beyond its flush.
        weight_line: Nanoseconds of a line of weights moved, beyond its flush.
        store_line: Nanoseconds of a line stored, beyond its flush.
        outer: Cycles of a pass over the output tile beyond loading its kernels; for a product, of
            an output block.
        row: Cycles of an output row; for pooling, of an output position and four channel groups.
        activation: Cycles of the activation of an output vector.
        constant: Cycles of an invocation.
    """

    input_line: float
    weight_line: float
    store_line: float
    outer: float
    row: float
    activation: float
    constant: float


FITTED: Mapping[str, Coefficients] = {
    CONV: Coefficients(6.255, 8.15, 0.9, 1.56, 13.366, 1.675, 67.82),
    PRODUCT: Coefficients(2.438, 8.046, 24.77, 11.0, 0.0, 0.0, 22.6),
    POOL: Coefficients(5.05, 5.05, 0.0, 0.0, 15.146, 0.0, 350.0),
    NORM: Coefficients(6.255, 8.15, 0.9, 0.0, 0.0, 1.675, 67.82),
    LINE: Coefficients(6.255, 6.255, 0.9, 0.0, 0.0, 1.675, 67.82),
}
"""Coefficients fitted on all rows. Norms and lines of elements have too few rows: their memory
terms are the convolution's, their loops follow from the kernels.
"""

_KIND = {0: CONV, 1: PRODUCT, 2: POOL, 3: POOL, 4: NORM, 5: NORM}


def kind_of(kernel: int) -> str:
    """Name of the coefficients of a kernel."""
    return _KIND.get(kernel, LINE)


_IS_KIND = {
    kind: np.array([kind_of(kernel) == kind for kernel in range(len(KERNELS))]) for kind in FITTED
}
"""Whether each kernel is of a kind."""


@dataclass(frozen=True, eq=False)
class Cycles:
    """Cycles of each invocation by part; float64[invocations].

    Attributes:
        head: Cycles before an invocation begins.
        flush: Cycles to flush lines from the processor's caches.
        cache: Cycles of lines that hit the last-level cache.
        input: Cycles of input lines moved.
        weights: Cycles of weight lines moved.
        store: Cycles of result lines moved.
        convert: Cycles of conversion between fp16 and fp32.
        loops: Cycles of arithmetic, including fill and drain.
        activation: Cycles of activations over the outputs.
    """

    head: Columns
    flush: Columns
    cache: Columns
    input: Columns
    weights: Columns
    store: Columns
    convert: Columns
    loops: Columns
    activation: Columns

    @property
    def total(self) -> Columns:
        """Sum of the parts, rounded to whole cycles."""
        return np.rint(self.exact)

    @property
    def exact(self) -> Columns:
        """Sum of the parts."""
        return np.sum(list(self.parts.values()), axis=0)

    @property
    def parts(self) -> dict[str, Columns]:
        """Cycles by name of the part."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @property
    def memory(self) -> Columns:
        """Cycles of data movement."""
        return self.flush + self.cache + self.input + self.weights + self.store


def cycles_of(
    invocations: Invocations,
    chip: Chip,
    coefficients: Mapping[str, Coefficients] = FITTED,
    *,
    hits: Columns | None = None,
) -> Cycles:
    """Cycles of invocations on an otherwise idle chip.

    Args:
        invocations: Invocations scheduled for the chip's sizes.
        chip: Chip with an SMV; its sizes, clock, interface and DRAM scale the terms.
        coefficients: Coefficients by kind of kernel.
        hits: float64[invocations, 2], share of inputs and of weights that hit the last-level cache;
            none if None.

    Raises:
        InputError: the array is of another kind.
    """
    array = smv_array(chip)
    kernel, rows = invocations.kernel, len(invocations)
    table = {
        name: _by_kernel(coefficients, name)[kernel] for name in Coefficients.__dataclass_fields__
    }
    line = chip.interface.line_bytes
    loads, weights, stores = (
        np.ceil(size / line)
        for size in (
            invocations.input_load_bytes,
            invocations.weight_load_bytes,
            invocations.store_bytes,
        )
    )
    ns = chip.clock_hz * 1e-9
    found = np.zeros((rows, 2)) if hits is None else hits
    hit_inputs, hit_weights = found[:, 0] * loads, found[:, 1] * weights
    port = line / hit_bytes_per_s(chip) * 1e9
    late = line * 1e9 * max(0.0, 1 / in_flight_bytes_per_s(chip) - 1 / _REFERENCE_BYTES_PER_S)
    warm, cold = (own + late for own in _lines(chip, table))
    flushes = chip.interface.kind == "dma"
    flush = np.zeros(rows)
    if flushes:
        flush = chip.interface.flush_cycles * (loads + weights)
        flush = flush + chip.interface.invalidate_cycles * stores
    setups = sum(setup_cycles(chip, size * line) for size in (loads, weights, stores))
    vectors = (
        invocations.input_load_bytes + invocations.weight_load_bytes + invocations.store_bytes
    ) / VECTOR_BYTES
    loops, activation = _loops(invocations, chip, array, table)
    return Cycles(
        np.full(rows, HEAD_CYCLES),
        flush + setups,
        port * (hit_inputs + hit_weights) * ns,
        warm * (loads - hit_inputs) * ns,
        cold * (weights - hit_weights) * ns,
        table["store_line"] * stores * ns,
        CONVERT_CYCLES * vectors,
        loops,
        activation,
    )


def _lines(chip: Chip, table: Mapping[str, Columns]) -> tuple[Columns, Columns]:
    """Nanoseconds per line of inputs and of weights: the path, plus DRAM's share at its rate."""
    rate = chip.dram.stream_bytes_per_s(chip.interface.line_bytes)
    slower = chip.interface.line_bytes / 32 * _REFERENCE_BYTES_PER_S / rate
    warm, cold = table["input_line"], table["weight_line"]
    path = np.minimum(warm, cold)
    scale = chip.interface.line_bytes / 32
    grown = [path * scale + (own - path) * slower for own in (warm, cold)]
    return grown[0], grown[1]


def _by_kernel(coefficients: Mapping[str, Coefficients], name: str) -> Columns:
    """A coefficient of each kernel; those of kinds that are not given are not numbers."""
    given = (coefficients.get(kind_of(kernel)) for kernel in range(len(KERNELS)))
    return np.array([np.nan if each is None else getattr(each, name) for each in given])


def _loops(
    inv: Invocations, chip: Chip, array: SmvArray, table: Mapping[str, Columns]
) -> tuple[Columns, Columns]:
    pad = chip.scratchpads[0]
    ports = pad.ports * max(1, pad.banks * pad.word_bytes // (4 * array.lanes))
    passes = inv.ofmap_blocks * inv.k_rows * inv.k_cols * inv.channel_blocks
    positions = inv.out_rows * inv.out_cols
    vectors = np.prod(inv.output_dims, axis=1) / array.lanes
    step = array.pes * array.vectors / ports  # kernels of a pass, or weights of a product's step
    conv = passes * (
        inv.out_rows * (CONV_CYCLES / ports * inv.out_cols + table["row"]) + step + table["outer"]
    )
    product = inv.out_rows * inv.ofmap_blocks * (step * inv.channel_blocks + table["outer"])
    taps = inv.k_rows * inv.k_cols / 4  # those of the fitted windows, each after the one before
    pool = positions * np.ceil(inv.channel_blocks / 4) * taps * table["row"]
    norm = vectors * np.where(inv.kernel == _FLAT_NORM, NORM_READS / ports, NORM_CYCLES)
    line = vectors * (2.0 / ports)
    chosen = [_IS_KIND[kind][inv.kernel] for kind in (CONV, PRODUCT, POOL, NORM)]
    loops = np.select(chosen, [conv, product, pool, norm], line) + table["constant"]
    return loops, inv.activates * vectors * table["activation"]


def features(invocations: Invocations, chip: Chip, kind: str) -> tuple[Columns, Columns]:
    """Features in which a kernel kind's cycles are linear, and the part that is not fitted.

    Returns:
        float64[rows, 5]: input lines, weight lines, passes, rows of passes (pooling: positions and
        groups), activated vectors, ones as the coefficients' fields name them; and the known
        cycles: head, flush, conversion, the pace of the loops. Rows of other kinds are left out.
    """
    base = {
        name: replace(
            one, input_line=0.0, weight_line=0.0, outer=0.0, row=0.0, activation=0.0, constant=0.0
        )
        for name, one in FITTED.items()
    }
    mine = np.array([kind_of(int(k)) == kind for k in invocations.kernel])
    known = cycles_of(invocations, chip, base).exact
    columns: list[Columns] = []
    for name in TERMS:
        one = {**base, kind: replace(base[kind], **{name: 1.0})}
        columns.append(cycles_of(invocations, chip, one).exact - known)
    return np.stack(columns, axis=1)[mine], known[mine]


TERMS = ("input_line", "weight_line", "outer", "row", "activation", "constant")
"""Fields of `Coefficients` that a fit may change."""

assert len(KERNELS) > max(_KIND)
