"""Operators as matrix products: what an array is given of a graph.

A convolution becomes M = batch x output pixels (padding honoured: the pixels are those of the
graph's own types), K = a filter's window x the channels of its group, N = filters of a group, and a
group for `count`: a depthwise convolution is as many products of N = 1 as it has channels, one
after the other, which leaves all but one column (or row) of the array idle. Of its gradients, that
of the weights sums over batch and pixels (M = filters of a group, N = the window), and that of the
data has the window for columns (M = pixels of dy, K = filters of a group), as a transposed
convolution has; what overlaps is added up on its way out. A matrix product with constant or plain
right operand takes its batch for rows; with a batch of right operands each is a product of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lydite.chip.product import Product
from lydite.errors import GraphError
from lydite.graph import Graph, Op
from lydite.opkey import TensorType

_MS = "com.microsoft:"
_CONVOLUTIONS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3, _MS + "FusedConv": 1}
_MATMULS = {"MatMul": 1, "MatMulInteger": 1, "QLinearMatMul": 3}
_GEMMS = {"Gemm": 1, _MS + "FusedGemm": 1}
_OWN = "lydite:"
_SPREAD = {_OWN + "ConvInputGrad": 1, "ConvTranspose": 1}
_WEIGHTS = {_OWN + "ConvWeightGrad": 1}
"""Types that are products, and the input in which each has its right operand."""


@dataclass(frozen=True, slots=True)
class Window:
    """A convolution of one picture: sizes are (height, width).

    Attributes:
        ifmap: Size of the picture.
        channels: Channels of a group.
        kernel: Size of the filter.
        strides: Steps of the window.
        ofmap: Size of the result.
        pads: Zeros above and left of the picture; what windows reach below and right of it is
            padding too.
        dilations: Steps between a filter's taps.
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


def operands_of(op: Op) -> tuple[str, str] | None:
    """The tensors on the left and on the right of an operator that is a product; None of others."""
    kind = op.qualified_type
    table = next((table for table, _ in _RULES if kind in table), None)
    return None if table is None else (op.inputs[0], op.inputs[table[kind]])


def product_of(op: Op, graph: Graph) -> Product | None:
    """An operator as a matrix product; None if it is none.

    Raises:
        GraphError: a product whose sizes are open.
    """
    operands = operands_of(op)
    if operands is None:
        return None
    rule = next(rule for table, rule in _RULES if op.qualified_type in table)
    return rule(op, *(_sizes(op, graph, name) for name in (*operands, op.outputs[0])))


_ATTENTION = {
    "Attention": 2,
    "MultiHeadAttention": 2,
    "GroupQueryAttention": 2,
    "AttentionTraining": 2,
    "AttentionGrad": 5,
}
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
        Product(query[-2], size, keys, pairs),
        Product(query[-2], keys, size, pairs),
    )
    return [by_keys, by_values] + [by_values] * (count - 2)


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
    groups = _groups(op)
    return Product(out[0] * math.prod(out[2:]), window, filters // groups, groups)


def _groups(op: Op) -> int:
    group = op.attrs.get("group", 1)
    return group if isinstance(group, int) else 1


def _spread(op: Op, left: list[int], right: list[int], out: list[int]) -> Product:
    """Each pixel of dy goes to a window of dx: weights are [filters, channels of a group, ...]."""
    del out
    groups, window = _groups(op), math.prod(right[1:])
    return Product(left[0] * math.prod(left[2:]), right[0] // groups, window, groups)


def _weight_gradient(op: Op, left: list[int], right: list[int], out: list[int]) -> Product:
    del right
    groups = _groups(op)
    pixels = left[0] * math.prod(left[2:])
    return Product(out[0] // groups, pixels, math.prod(out[1:]), groups)


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


_RULES = (
    (_CONVOLUTIONS, _convolution),
    (_SPREAD, _spread),
    (_WEIGHTS, _weight_gradient),
    (_MATMULS, _matmul),
    (_GEMMS, _gemm),
)


def _sizes(op: Op, graph: Graph, name: str) -> list[int]:
    found: TensorType = graph.type_of(name)
    if found.shape is None or not found.is_static:
        raise GraphError(f"'{name}' is {found}", where=op.name, allowed="known sizes")
    return [int(dim) for dim in found.shape]


def window_of(op: Op, graph: Graph) -> Window | None:
    """The window of a convolution in one or two dimensions; None of all other operators.

    Raises:
        GraphError: a convolution whose sizes are open.
    """
    if op.qualified_type not in _CONVOLUTIONS:
        return None
    left, right = operands_of(op) or ("", "")
    picture, weights, out = (_sizes(op, graph, name) for name in (left, right, op.outputs[0]))
    if len(weights) not in (3, 4):
        return None
    axes = len(weights) - 2
    kernel, ifmap, ofmap = weights[2:], picture[2:], out[2:]
    strides, dilations = (_numbers(op, name, [1] * axes) for name in ("strides", "dilations"))
    pads = _numbers(op, "pads", [0] * 2 * axes)[:axes]
    pair = (lambda sizes: (1, sizes[0])) if axes == 1 else (lambda sizes: (sizes[0], sizes[1]))
    before = (0, pads[0]) if axes == 1 else (pads[0], pads[1])
    return Window(
        pair(ifmap), weights[1], pair(kernel), pair(strides), pair(ofmap), before, pair(dilations)
    )


def _numbers(op: Op, name: str, default: list[int]) -> list[int]:
    given = op.attrs.get(name)
    if not isinstance(given, list | tuple):
        return default
    return [int(each) for each in given if isinstance(each, int)] or default
