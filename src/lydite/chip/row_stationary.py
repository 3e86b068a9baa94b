"""Row-stationary arrays (Eyeriss): parameters, mapping and closed forms.

A processing element (PE) keeps a row of a filter and slides a row of the ifmap past it, which gives
a row of partial sums. R x e PEs make a set: filter rows go along it, ifmap rows diagonally, sums
add up over its R rows, and e rows of the ofmap come out. A set wider than the array is folded onto
strips of R rows. The array holds several sets: those above each other may take other channels (r),
for sums travel upwards only; all others take other filters (t). A PE works on q channels and p
filters, whose rows its scratchpads hold. One pass of the array takes n images, q r channels and p t
filters to e rows of the ofmap:

    weight load      p t q r R S / filter bus
    fill and drain   first windows of the ifmap, ((e - 1) U + R) S q r / ifmap bus, and R sums
    compute          n F p q S
    array network    what the streams of ifmap and sums take beyond that, where they are slower

A layer is ceil(E / e) ceil(N / n) ceil(M / p t) ceil(C / q r) passes, the channels innermost. Sums
of m filters stay in the global buffer until all channels are in: the ifmap is fetched M / m times,
filters once for each of the ceil(E / e) ceil(N / n) blocks, and each sum goes to the buffer and
back but for the first pass. A product has a window of 1 x 1; its rows are cut wherever that helps.

Of the mappings that fit, those within 5 % of the least time count as equally fast; of these the one
is taken that accesses memory least, then the global buffer, as Eyeriss is mapped for energy.

Sources: Chen, Emer, Sze, "Eyeriss: A Spatial Architecture for Energy-Efficient Dataflow for
Convolutional Neural Networks" (ISCA 2016); Chen, Krishna, Emer, Sze, "Eyeriss: An Energy-Efficient
Reconfigurable Accelerator for Deep Convolutional Neural Networks" (JSSC 52(1), 2017). That weights
are loaded before a pass and all else streams is our reading of the published latencies.

Left out: zeros in the ifmap (which save energy there, not time), compression to and from DRAM, the
energy of the network between buffer and PEs, and sets of several groups at once, so that depthwise
convolutions use one set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from lydite.chip.dataflow import ArrayDescription
from lydite.chip.mapped import Invocation, MappedLayer
from lydite.chip.memory import ELEMENT_BYTES, miss_bytes_per_s
from lydite.chip.operands import EVERYTHING, Shares
from lydite.chip.operators import operands_of, window_of
from lydite.chip.plan import ARRAY, LayerCost
from lydite.chip.product import Numbers, Product, ProductCost
from lydite.chip.product_dataflow import ProductDataflow
from lydite.errors import InputError
from lydite.graph import Graph, Op
from lydite.hardware.chip import ArrayParameters, Chip
from lydite.hardware.chip.arrays import Count

NEAR = 1.05
"""Mappings within this factor of the minimum time count as equally fast."""

REPEATED = 100
"""Number of mappings examined per requested one, because rounding makes some of them equal."""

MOST_STEPS = 8
"""Number of steps into which the channels of a block are split, to overlap loads and compute."""


@dataclass(frozen=True, slots=True)
class RowStationaryArray(ArrayParameters):
    """A row-stationary array.

    Attributes:
        rows: Number of processing-element rows.
        columns: Number of processing-element columns.
        ifmap_words: Words of ifmap that a processing element holds.
        filter_words: Words of filters that a processing element holds.
        psum_words: Partial sums that a processing element holds.
        ifmap_bus: Words of ifmap per cycle from the global buffer to the array.
        filter_bus: Words of filters per cycle from the global buffer to the array.
        psum_bus: Partial sums per cycle between global buffer and array, each way.
    """

    kind: ClassVar[str] = "row-stationary"
    title: ClassVar[str] = "a row-stationary array"
    doubled: ClassVar[str] = "columns"

    rows: Count
    columns: Count
    ifmap_words: Count = 12
    filter_words: Count = 224
    psum_words: Count = 24
    ifmap_bus: Count = 1
    filter_bus: Count = 4
    psum_bus: Count = 4

    @property
    def macs(self) -> int:
        """Multiply-accumulates per cycle."""
        return self.rows * self.columns

    @property
    def local_words(self) -> int:
        """Words in the three scratchpads of a processing element."""
        return self.ifmap_words + self.filter_words + self.psum_words

    def required_scratchpads(self) -> Mapping[str, int]:
        """The global buffer in two parts: ifmaps with partial sums, and filters."""
        return {"global": 0, "filter": 0}


@dataclass(frozen=True)
class LayerShape:
    """One group of a layer, in the papers' notation.

    Attributes:
        n: Number of images; 1 for a product.
        e: Rows of the ofmap; rows of a product.
        f: Columns of the ofmap; 1 for a product.
        r: Rows of the filter.
        s: Columns of the filter.
        c: Channels.
        m: Filters.
        stride: Vertical stride.
        height: Rows of the ifmap that the windows reach, padding included.
        width: Columns of the ifmap that the windows reach, padding included.
        fetched: Share of that ifmap that is fetched from memory; the rest is padding or fetched
            before.
        flat: Whether the rows can be split anywhere, as in a product.
        count: Number of groups, in sequence.
        right: Share of distinct elements in the filters.
        out: Share of distinct elements in the ofmap.
    """

    n: int
    e: int
    f: int
    r: int
    s: int
    c: int
    m: int
    stride: int = 1
    height: int = 1
    width: int = 1
    fetched: float = 1.0
    flat: bool = False
    count: int = 1
    right: float = 1.0
    out: float = 1.0

    @property
    def macs(self) -> float:
        """Multiply-accumulates of all groups."""
        return float(self.n * self.e * self.f * self.r * self.s * self.c) * self.m * self.count


@dataclass(frozen=True, slots=True)
class PassMapping:
    """How a pass fills the array: one mapping, or many as columns.

    Attributes:
        e: Rows of the ofmap, which is the width of a PE set.
        n: Images; in a product, blocks of e rows.
        p: Filters of one processing element.
        q: Channels of one processing element.
        r: Sets that take other channels.
        t: Sets that take other filters.
        m: Filters whose partial sums stay in the global buffer.
    """

    e: Any
    n: Any
    p: Any
    q: Any
    r: Any
    t: Any
    m: Any


@dataclass(frozen=True, slots=True)
class LayerRun:
    """Cost of a layer (all groups) on the array in a mapping; attributes may be columns.

    Attributes:
        active_pes: Number of processing elements with work in a full pass.
        blocks: Number of times that the filters are fetched.
        filter_blocks: Number of times that the ifmap is fetched.
        channel_passes: Number of passes over the channels of a block's sums.
        weight_load_cycles: Cycles in which filters are loaded before a pass.
        fill_drain_cycles: Cycles in which the first windows enter and the last sums leave.
        compute_cycles: Cycles of computation.
        network_cycles: Cycles in which computation waits for the streams of ifmap and sums.
        buffer_words: Words between global buffer and array.
        ifmap_words: Words of ifmap from memory.
        filter_words: Words of filters from memory.
    """

    active_pes: Numbers
    blocks: Numbers
    filter_blocks: Numbers
    channel_passes: Numbers
    weight_load_cycles: Numbers
    fill_drain_cycles: Numbers
    compute_cycles: Numbers
    network_cycles: Numbers
    buffer_words: Numbers
    ifmap_words: Numbers
    filter_words: Numbers

    @property
    def cycles(self) -> Numbers:
        """Cycles of the array."""
        return (
            self.weight_load_cycles
            + self.fill_drain_cycles
            + self.compute_cycles
            + self.network_cycles
        )


def shape_of(op: Op, graph: Graph, product: Product, shares: Shares = EVERYTHING) -> LayerShape:
    """A product of an operator in the papers' letters."""
    window = window_of(op, graph)
    if window is not None and (window.kernel, window.strides) != ((1, 1), (1, 1)):
        height, width = (
            (out - 1) * stride + (taps - 1) * step + 1
            for out, stride, taps, step in zip(
                window.ofmap, window.strides, window.kernel, window.dilations, strict=True
            )
        )
        return LayerShape(
            n=int(product.m) // (window.ofmap[0] * window.ofmap[1]),
            e=window.ofmap[0],
            f=window.ofmap[1],
            r=window.kernel[0],
            s=window.kernel[1],
            c=window.channels,
            m=int(product.n),
            stride=window.strides[0],
            height=height,
            width=width,
            fetched=min(1.0, window.ifmap[0] * window.ifmap[1] / (height * width)),
            count=int(product.count),
            right=shares.right,
            out=shares.out,
        )
    return replace(flat_shape(product), fetched=shares.left, right=shares.right, out=shares.out)


def flat_shape(product: Product) -> LayerShape:
    """A matrix product as a convolution with a window of 1 x 1."""
    m, k, n, count = (int(size) for size in (product.m, product.k, product.n, product.count))
    return LayerShape(n=1, e=m, f=1, r=1, s=1, c=k, m=n, height=m, flat=True, count=count)


def run_on(array: RowStationaryArray, shape: LayerShape, by: PassMapping) -> LayerRun:
    """Closed form of the cost of a layer in one or many mappings."""
    r, s, c = _folded(array, shape)
    images, e_blocks = shape.n, -(-shape.e // by.e)
    if shape.flat:
        images, e_blocks = e_blocks, 1
    blocks = e_blocks * -(-images // by.n)
    filter_passes, channel_passes = -(-shape.m // (by.p * by.t)), -(-c // (by.q * by.r))
    passes = shape.count * blocks * filter_passes * channel_passes
    height = _rows_in(shape, by.e)
    channels, filters = by.q * by.r, by.p * by.t
    weights, window = filters * channels * r * s, height * s * channels
    compute = by.n * shape.f * by.p * by.q * s
    ifmap, sums = by.n * height * shape.width * channels, by.n * by.e * shape.f * filters
    streams = np.maximum(-(-ifmap // array.ifmap_bus), -(-sums // array.psum_bus))
    filter_blocks = -(-filter_passes // np.maximum(by.m // filters, 1))
    fetched = shape.fetched * height * shape.width * by.n * shape.c * shape.count
    return LayerRun(
        active_pes=r * by.e * by.r * by.t,
        blocks=blocks,
        filter_blocks=filter_blocks,
        channel_passes=channel_passes,
        weight_load_cycles=passes * -(-weights // array.filter_bus),
        fill_drain_cycles=passes * (-(-window // array.ifmap_bus) + r),
        compute_cycles=passes * compute,
        network_cycles=passes * np.maximum(streams - compute, 0),
        buffer_words=passes * (ifmap + weights + sums * (2 - 1 / channel_passes)),
        ifmap_words=fetched * blocks * filter_blocks,
        filter_words=blocks * shape.right * shape.count * shape.m * shape.c * shape.r * shape.s,
    )


def _folded(array: RowStationaryArray, shape: LayerShape) -> tuple[int, int, int]:
    """Rows and columns of a filter, and channels, folded to fit the array.

    Partial sums of the pieces of a filter are added like those of channels.
    """
    rows, columns = -(-shape.r // array.rows), -(-shape.s // array.ifmap_words)
    return -(-shape.r // rows), -(-shape.s // columns), shape.c * rows * columns


def mappings(array: RowStationaryArray, shape: LayerShape, chip: Chip) -> PassMapping:
    """All mappings tried that fit, as columns and possibly with duplicates; empty if none fits."""
    r, s, c = _folded(array, shape)
    strips = array.rows // r
    widths = {array.columns // part for part in range(1, array.columns + 1)}
    widths |= {array.columns * part for part in range(1, strips + 1)}
    e = np.array(sorted({-(-shape.e // -(-shape.e // width)) for width in widths}))
    grid = np.meshgrid(
        e,
        _some(array.psum_words),
        _some(max(1, array.ifmap_words // s)),
        _some(strips),
        np.array([1, 2, 4]),
        np.array([1, 2, 4]),
        indexing="ij",
    )
    e, p, q, r_sets, fewer, shorter = (column.ravel() for column in grid)
    high = strips // -(-e // array.columns)  # sets above each other, whose sums are added
    t = high // r_sets * np.maximum(array.columns // e, 1) // fewer
    fits = (t >= 1) & (r_sets <= c) & (p * q * s <= array.filter_words)
    p, q, t = np.minimum(p, shape.m), np.minimum(q, c), np.clip(t, 1, shape.m)
    p = -(-shape.m // (-(-shape.m // (p * t)) * t))  # as even as the passes allow
    q = -(-c // (-(-c // (q * r_sets)) * r_sets))
    size = ELEMENT_BYTES[chip.dtype]
    room = chip.scratchpad("global").bytes // size
    fits &= p * t * q * r_sets * r * s * size <= chip.scratchpad("filter").bytes
    ifmap, sums = _rows_in(shape, e) * shape.width * q * r_sets, e * shape.f * p * t
    images = -(-shape.e // e) if shape.flat else shape.n
    n = np.minimum(room // (ifmap + sums) // shorter, images)
    fits &= n >= 1
    n = -(-images // -(-images // np.maximum(n, 1)))
    m = (room - n * ifmap) // np.maximum(n * sums, 1) * p * t
    columns = (e, n, p, q, r_sets, t, np.minimum(m, -(-shape.m // (p * t)) * p * t))
    return PassMapping(*(column[fits] for column in columns))


def _rows_in(shape: LayerShape, e: Numbers) -> Any:
    """Rows of the ifmap that e rows of the ofmap need."""
    return e if shape.flat else (e - shape.e) * shape.stride + shape.height


def _some(most: int) -> np.ndarray:
    """1, 2, 3, 4, 6, 8, 12, ... up to `most`, and `most` itself."""
    powers = [1 << shift for shift in range(most.bit_length())]
    sizes = {*powers, *(3 * power for power in powers), most}
    return np.array(sorted(size for size in sizes if size <= most))


def seconds_of(run: LayerRun, shape: LayerShape, chip: Chip) -> np.ndarray:
    """The longer of array time and transfer time, in seconds."""
    size = ELEMENT_BYTES[chip.dtype]
    stored = shape.n * shape.e * shape.f * shape.m * shape.count * shape.out
    moved = size * (run.ifmap_words + run.filter_words + stored) / miss_bytes_per_s(chip)
    blocks = np.asarray(run.blocks * run.filter_blocks, float)
    busiest = np.ceil(blocks / chip.accelerators) / blocks  # share of the accelerator with most
    return np.maximum(busiest * np.asarray(run.cycles, float) / chip.clock_hz, moved)


class RowStationaryDataflow(ProductDataflow[LayerShape, PassMapping]):
    """Products and convolutions on a row-stationary array."""

    parameters = RowStationaryArray

    def problem(self, op: Op, graph: Graph, product: Product, shares: Shares) -> LayerShape:
        """The layer in the papers' letters."""
        return shape_of(op, graph, product, shares)

    def rooms(self, chip: Chip) -> tuple[float, float, float]:
        """A part of the global buffer for each: filters only pass through theirs."""
        part = chip.scratchpad("global").bytes / 6
        return part, part, part

    def tiles(
        self, problem: LayerShape, chip: Chip, where: str, most: int
    ) -> Sequence[PassMapping]:
        """Mappings near the minimum time, by memory traffic; then all others."""
        candidates = mappings(array_of(chip), problem, chip)
        if not len(candidates.e):
            raise InputError(
                f"no row of {problem.f} sums with its {problem.r} rows of {problem.width} fits",
                where=f"{where} on {chip.name}",
                allowed="a 'global' and a 'filter' scratchpad that hold them",
            )
        run = run_on(array_of(chip), problem, candidates)
        seconds = seconds_of(run, problem, chip)
        memory = np.asarray(run.ifmap_words + run.filter_words)
        is_near = seconds <= NEAR * seconds.min()
        near, far = np.flatnonzero(is_near), np.flatnonzero(~is_near)
        order = near[np.lexsort(np.stack([np.asarray(run.buffer_words)[near], memory[near]]))]
        if most > 1:
            order = np.concatenate([order, far[np.argsort(seconds[far], kind="stable")]])
        fastest = np.argsort(seconds, kind="stable")[: most // 2]
        order = np.concatenate([order[: most - len(fastest)], fastest, order])[: REPEATED * most]
        columns = [getattr(candidates, name)[order].tolist() for name in PassMapping.__slots__]
        return [PassMapping(*row) for row in dict.fromkeys(zip(*columns, strict=True))][:most]

    def map_product(
        self, op: Op, chip: Chip, problem: LayerShape, tile: PassMapping
    ) -> MappedLayer:
        """Map blocks of sums that stay in the buffer, each in a few invocations along channels."""
        size, names = ELEMENT_BYTES[chip.dtype], operands_of(op)
        assert names is not None
        run = run_on(array_of(chip), problem, tile)
        blocks = int(run.blocks) * int(run.filter_blocks)
        steps = min(MOST_STEPS, int(run.channel_passes))
        stored = size * problem.out * problem.count * problem.n * problem.e * problem.f * problem.m
        loaded = [size * float(run.ifmap_words), size * float(run.filter_words)]
        pieces = blocks * steps
        rows = [
            Invocation(
                sum(loaded) / pieces,
                float(run.cycles) / pieces,
                stored / blocks if step == steps - 1 else 0.0,
                block % chip.accelerators,
            )
            for block in range(blocks)
            for step in range(steps)
        ]
        alone = _cost(run, problem, size)
        cost = LayerCost(
            op.name,
            op.op_type,
            self.kernel(chip),
            ARRAY,
            len(rows),
            alone.cycles,
            problem.macs,
            sum(loaded),
            stored,
            alone.sram_bytes + sum(loaded) + stored,
            local_bytes=alone.local_bytes,
        )
        return MappedLayer(cost, rows, list(zip(names, loaded, strict=True)))

    def product_cost(self, product: Product, chip: Chip) -> ProductCost:
        """Cost of a product as a 1 x 1 convolution in its usual mapping."""
        shape = flat_shape(product)
        tile = self.tiles(shape, chip, "attention", 1)[0]
        return _cost(run_on(array_of(chip), shape, tile), shape, ELEMENT_BYTES[chip.dtype])

    def kernel(self, chip: Chip) -> str:
        """ "rs", the usual abbreviation of the dataflow."""
        del chip
        return "rs"

    def describe(self, chip: Chip) -> ArrayDescription:
        """Size, scratchpads of a processing element, and buses."""
        array = array_of(chip)
        return ArrayDescription(
            f"row-stationary, {array.rows} x {array.columns}",
            "closed forms of passes: weights loaded before each, then computation or the slowest "
            "stream; zeros save no time",
            (
                (
                    "scratchpads of a PE",
                    f"{array.ifmap_words} ifmap, {array.filter_words} filter and "
                    f"{array.psum_words} partial-sum words",
                ),
                (
                    "buses to the array",
                    f"{array.ifmap_bus} ifmap, {array.filter_bus} filter and {array.psum_bus} "
                    "partial-sum words per cycle",
                ),
            ),
        )


def _cost(run: LayerRun, shape: LayerShape, size: int) -> ProductCost:
    """Cycles by part, and bytes; a multiply-accumulate reads three words and writes one."""
    cycles = {
        "weight load": float(run.weight_load_cycles),
        "fill and drain": float(run.fill_drain_cycles),
        "compute": float(run.compute_cycles),
        "array network": float(run.network_cycles),
    }
    return ProductCost(cycles, size * float(run.buffer_words), 4 * size * shape.macs)


def array_of(chip: Chip) -> RowStationaryArray:
    """The chip's array.

    Raises:
        InputError: the array is of another kind.
    """
    if not isinstance(chip.array, RowStationaryArray):
        raise InputError("has no row-stationary array", where=chip.name)
    return chip.array


ROW_STATIONARY = RowStationaryDataflow()
