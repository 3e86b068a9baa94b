"""Operators as matrix products for an array.

Which operators are products is in their rows of the registry (see
`lydite.graph.operators.products`). A depthwise convolution is a sequence of products with N = 1,
one per channel, which leaves all but one column (or row) of a systolic array idle. Overlapping
windows in the gradient of a convolution are summed on the way out.
"""

from __future__ import annotations

import math

import numpy as np

from lydite.chip.product import Product
from lydite.errors import GraphError
from lydite.graph import Graph, Op
from lydite.graph.operators import HOST, Known, Missing, Products, operator
from lydite.graph.work import products_of as products_inside_of
from lydite.opkey import TensorType
from lydite.records import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """A convolution of one image; sizes are (height, width).

    Attributes:
        ifmap: Size of the input image.
        channels: Channels per group.
        kernel: Size of the filter.
        strides: Strides of the window.
        ofmap: Size of the result.
        pads: Zeros above and left of the image; positions below and right of it that windows reach
            are padding too.
        dilations: Distances between the taps of the filter.
    """

    ifmap: tuple[int, int]
    channels: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    ofmap: tuple[int, int]
    pads: tuple[int, int] = (0, 0)
    dilations: tuple[int, int] = (1, 1)


def unfolded(window: Window) -> np.ndarray:
    """Position in the image (channels last) of each element of the unfolded ifmap.

    Returns:
        int32 [output pixels, taps x channels], -1 for padding, which is never fetched.
    """
    place, inside = np.int32(0), np.bool_(True)
    for axis in (0, 1):
        out = np.arange(window.ofmap[axis]) * window.strides[axis] - window.pads[axis]
        at = out[:, None] + np.arange(window.kernel[axis]) * window.dilations[axis]
        at = np.expand_dims(at, (1, 3) if axis == 0 else (0, 2))
        place = place * window.ifmap[axis] + at
        inside = inside & (at >= 0) & (at < window.ifmap[axis])
    place = place[..., None] * window.channels + np.arange(window.channels)
    positions = np.where(inside[..., None], place, -1)
    return positions.reshape(math.prod(window.ofmap), -1).astype(np.int32)


def operands_of(op: Op) -> tuple[str, str]:
    """Names of the left and right operands of an operator that is a single product."""
    row = operator(op.qualified_type)
    left, right = row.operands if row is not None else (0, 1)
    return op.inputs[left], op.inputs[right]


def product_of(op: Op, graph: Graph) -> Product | None:
    """The operator as a single matrix product, or None if it is not one.

    Raises:
        GraphError: a product's sizes are not fixed, or contradict each other.
    """
    products = _products(op, graph)
    if products is None or products.inside:
        return None
    (only,) = products.products
    return Product(only.m, only.k, only.n, only.count)


def products_inside(op: Op, graph: Graph) -> Products | None:
    """The products inside an operator such as attention, one after the other; None of others.

    Raises:
        GraphError: as for `product_of`.
    """
    found = _products(op, graph)
    return found if found is not None and found.inside else None


def _products(op: Op, graph: Graph) -> Products | None:
    return graph.of_op("chip products", op, _found_products)


def _found_products(op: Op, graph: Graph) -> Products | None:
    row = operator(op.qualified_type)
    if row is None or isinstance(row.array, Known | Missing):
        return None
    found = products_inside_of(op, graph)
    if found is None:
        types = ", ".join(str(t) for t in (*graph.input_types(op), *graph.output_types(op)))
        known = all(t is None or t.is_static for t in (*graph.input_types(op),))
        raise GraphError(
            f"cannot derive its products from its types: {types}",
            where=f"{graph.name}: {op.name} ({op.op_type})",
            allowed="sizes that fit the operator" if known else "known sizes",
            hint="choose larger sizes" if known else "bind symbolic sizes with --dim NAME=SIZE",
        )
    return found


def fallback_reason(op: Op) -> str | None:
    """Why the processor runs an operator, by name; None if the array or vector unit runs it."""
    row = operator(op.qualified_type)
    if row is None:
        return f"unknown operator {op.qualified_type}"
    if isinstance(row.array, Missing):
        return f"{op.qualified_type}: {row.array.reason}"
    return f"no unit has {op.qualified_type}" if row.array == HOST else None


def is_grouped(op: Op, graph: Graph) -> bool:
    """Whether an operator is a convolution in groups, which leaves most of an array idle."""
    return graph.of_op("is grouped", op, _is_grouped)


def _is_grouped(op: Op, graph: Graph) -> bool:
    row = operator(op.qualified_type)
    product = product_of(op, graph) if row is not None and row.family == "conv" else None
    return product is not None and int(product.count) > 1


def is_special(op: Op) -> bool:
    """Whether the vector unit needs a table or an iteration per element."""
    row = operator(op.qualified_type)
    return row is not None and row.special


def products_of(graph: Graph) -> dict[str, Product]:
    """Products of a graph's operators by operator name, in order.

    Raises:
        GraphError: as for `product_of`.
    """
    products = ((op.name, product_of(op, graph)) for op in graph.ops)
    return {name: product for name, product in products if product is not None}


def stacked(products: list[Product]) -> Product:
    """Products combined into one whose sizes are columns."""
    names = ("m", "k", "n", "count")
    return Product(*(np.array([getattr(p, name) for p in products], np.int64) for name in names))


def _sizes(op: Op, graph: Graph, name: str) -> list[int]:
    columns: TensorType = graph.type_of(name)
    if columns.shape is None or not columns.is_static:
        raise GraphError(f"'{name}' is {columns}", where=op.name, allowed="known sizes")
    return [int(dim) for dim in columns.shape]


def window_of(op: Op, graph: Graph) -> Window | None:
    """The window of a convolution in one or two dimensions; None for other operators.

    Raises:
        GraphError: the sizes of the convolution are not fixed.
    """
    row = operator(op.qualified_type)
    if row is None or row.family != "conv" or product_of(op, graph) is None:
        return None
    left, right = operands_of(op)
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
