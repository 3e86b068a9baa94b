"""Closed forms of a layer on a row-stationary array, in the letters of the papers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lydite.chip.operands import EVERYTHING, Shares
from lydite.chip.operators import window_of
from lydite.chip.product import Numbers, Product
from lydite.chip.row_stationary.array import RowStationaryArray
from lydite.graph import Graph, Op
from lydite.records import dataclass


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
    r, s, c = folded(array, shape)
    images, e_blocks = shape.n, -(-shape.e // by.e)
    if shape.flat:
        images, e_blocks = e_blocks, 1
    blocks = e_blocks * -(-images // by.n)
    filter_passes, channel_passes = -(-shape.m // (by.p * by.t)), -(-c // (by.q * by.r))
    passes = shape.count * blocks * filter_passes * channel_passes
    height = rows_in(shape, by.e)
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


def folded(array: RowStationaryArray, shape: LayerShape) -> tuple[int, int, int]:
    """Rows and columns of a filter, and channels, folded to fit the array.

    Partial sums of the pieces of a filter are added like those of channels.
    """
    rows, columns = -(-shape.r // array.rows), -(-shape.s // array.ifmap_words)
    return -(-shape.r // rows), -(-shape.s // columns), shape.c * rows * columns


def rows_in(shape: LayerShape, e: Numbers) -> Any:
    """Rows of the ifmap that e rows of the ofmap need."""
    return e if shape.flat else (e - shape.e) * shape.stride + shape.height
