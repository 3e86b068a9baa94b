"""Operators as matrix products: what a systolic array is given of a graph.

A convolution becomes M = batch x output pixels (padding honoured: the pixels are those of the
graph's own types), K = a filter's window x the channels of its group, N = filters of a group, and a
group for `count`: a depthwise convolution is as many products of N = 1 as it has channels, one
after the other, which leaves all but one column (or row) of the array idle. A matrix product with
constant or plain right operand takes its batch for rows; with a batch of right operands each is a
product of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lydite.chip.systolic.array import Product
from lydite.errors import GraphError
from lydite.graph import Graph, Op
from lydite.opkey import TensorType

_MS = "com.microsoft:"
_CONVOLUTIONS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3, _MS + "FusedConv": 1}
_MATMULS = {"MatMul": 1, "MatMulInteger": 1, "QLinearMatMul": 3}
_GEMMS = {"Gemm": 1, _MS + "FusedGemm": 1}
"""Types that are products, and the input in which each has its right operand."""


@dataclass(frozen=True, slots=True)
class Window:
    """A convolution of one picture: sizes are (height, width).

    Attributes:
        ifmap: the picture.
        channels: of a group.
        kernel, strides: of the filter.
        ofmap: the result.
        pads: above and left of the picture; what lies beyond it below and right is padding as well.
        dilations: steps between a filter's taps.
    """

    ifmap: tuple[int, int]
    channels: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    ofmap: tuple[int, int]
    pads: tuple[int, int] = (0, 0)
    dilations: tuple[int, int] = (1, 1)


def unfolded(window: Window) -> np.ndarray:
    """Where each element of the unfolded ifmap lies in the picture, channels last.

    Returns:
        int32 [output pixels, taps x channels], -1 for padding, which nobody fetches.
    """
    place, inside = np.int32(0), np.bool_(True)
    for axis in (0, 1):
        out = np.arange(window.ofmap[axis]) * window.strides[axis] - window.pads[axis]
        at = out[:, None] + np.arange(window.kernel[axis]) * window.dilations[axis]
        at = np.expand_dims(at, (1, 3) if axis == 0 else (0, 2))
        place = place * window.ifmap[axis] + at
        inside = inside & (at >= 0) & (at < window.ifmap[axis])
    place = place[..., None] * window.channels + np.arange(window.channels)
    found = np.where(inside[..., None], place, -1)
    return found.reshape(math.prod(window.ofmap), -1).astype(np.int32)


def product_of(op: Op, graph: Graph) -> Product | None:
    """An operator as a matrix product; None if it is none.

    Raises:
        GraphError: a product whose sizes are open.
    """
    kind = op.qualified_type
    for table, rule in ((_CONVOLUTIONS, _convolution), (_MATMULS, _matmul), (_GEMMS, _gemm)):
        if kind in table:
            left, right = op.inputs[0], op.inputs[table[kind]]
            return rule(op, *(_sizes(op, graph, name) for name in (left, right, op.outputs[0])))
    return None


def products_of(graph: Graph) -> dict[str, Product]:
    """The products among a graph's operators, by operator name, in order.

    Raises:
        GraphError: as `product_of`.
    """
    found = ((op.name, product_of(op, graph)) for op in graph.ops)
    return {name: product for name, product in found if product is not None}


def stacked(products: list[Product]) -> Product:
    """Many products as one of columns."""
    names = ("m", "k", "n", "count")
    return Product(*(np.array([getattr(p, name) for p in products], np.int64) for name in names))


def _convolution(op: Op, left: list[int], right: list[int], out: list[int]) -> Product:
    del left
    filters, window = right[0], math.prod(right[1:])
    group = op.attrs.get("group", 1)
    groups = group if isinstance(group, int) else 1
    return Product(out[0] * math.prod(out[2:]), window, filters // groups, groups)


def _gemm(op: Op, left: list[int], right: list[int], out: list[int]) -> Product:
    del right
    return Product(out[0], left[0] if op.attrs.get("transA", 0) else left[1], out[1])


def _matmul(op: Op, left: list[int], right: list[int], out: list[int]) -> Product:
    del op
    rows = left[-2] if len(left) > 1 else 1
    columns = right[-1] if len(right) > 1 else 1
    pairs = math.prod(right[:-2])
    if pairs == 1:
        return Product(math.prod(out) // columns, left[-1], columns)
    return Product(rows, left[-1], columns, math.prod(out) // (rows * columns))


def _sizes(op: Op, graph: Graph, name: str) -> list[int]:
    found: TensorType = graph.type_of(name)
    if found.shape is None or not found.is_static:
        raise GraphError(f"'{name}' is {found}", where=op.name, allowed="known sizes")
    return [int(dim) for dim in found.shape]
