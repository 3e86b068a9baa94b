"""Operators as matrix products M x K by K x N, the form that an accelerator's array runs.

A convolution is one product per group: M = batch x output pixels, K = kernel volume times the
group's input channels, N = the group's filters. Its weight gradient sums over batch and pixels
(M = the group's filters, N = kernel volume times channels). Its data gradient has M = pixels of dy,
K = the group's filters, N = kernel volume times channels, as has a transposed convolution.
A matrix product with a single right operand has its batch among the rows; with a batch of right
operands there is one product for each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from lydite.graph.operators.call import Call, NotKnownError
from lydite.records import dataclass


@dataclass(frozen=True, slots=True)
class MatrixProduct:
    """M x K by K x N, `count` times.

    Attributes:
        m, k, n: Sizes.
        count: Number of such products.
        left: Inputs of the operator that hold the left operand; empty where the products before
            made it. Only of products inside an operator.
        right: The same of the right operand, its scales and zero points included.
        stored: Whether the result is an output of the operator; otherwise later products use it.
    """

    m: int
    k: int
    n: int
    count: int = 1
    left: tuple[int, ...] = ()
    right: tuple[int, ...] = ()
    stored: bool = False

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all `count` products."""
        return self.m * self.k * self.n * self.count


@dataclass(frozen=True, slots=True)
class Products:
    """All matrix products of an operator.

    Attributes:
        products: Products in order of execution.
        inside: Whether the products exchange results inside the operator, as in attention;
            otherwise there is a single product, which reads the row's `operands` from memory.
        special_elements: Number of elements that pass through functions between the products.
        attended: Number of products, the last ones, that belong to attention: they may be cut into
            blocks of queries (the first one's rows) by keys (its columns).
    """

    products: tuple[MatrixProduct, ...]
    inside: bool = True
    special_elements: int = 0
    attended: int = 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all products."""
        return sum(product.macs for product in self.products)


ProductRule: TypeAlias = Callable[[Call], Products]
"""Products of a call; raises `NotKnownError` if a size is unknown."""


def _single(m: int, k: int, n: int, count: int = 1) -> Products:
    if min(m, k, n, count) < 1:
        raise NotKnownError
    return Products((MatrixProduct(m, k, n, count),), inside=False)


def conv(weight: int = 1, *, channels_last: bool = False) -> ProductRule:
    """A convolution with the filters [filters, channels of a group, ...] as input `weight`."""

    def rule(call: Call) -> Products:
        out, filters = call.out_shape(), call.shape(weight)
        groups = call.integer("group", call.integer("groups", 1))
        pixels = math.prod(out[1:-1]) if channels_last else math.prod(out[2:])
        window = math.prod(filters[1:])
        return _single(out[0] * pixels, window, filters[0] // groups, groups)

    return rule


def blocked_conv(call: Call) -> Products:
    """ONNX Runtime's blocked layout; depthwise if a filter has one of many channels."""
    out, filters, data = call.out_shape(), call.shape(1), call.shape(0)
    groups = call.integer("group", 1)
    depthwise = filters[1] == 1 and groups > 1
    groups = data[1] if depthwise else groups
    window = math.prod(filters[1:])
    return _single(out[0] * math.prod(out[2:]), window, filters[0] // groups, groups)


def filters_last(call: Call) -> Products:
    """TensorFlow's filters [rows, columns, channels, filters or multiplier] and NHWC images."""
    rows, columns, channels, filters = call.shape(1)
    out = call.out_shape()
    pixels = math.prod(out) // max(1, out[-1])
    if call.op_type.startswith("Depthwise"):
        return _single(pixels, rows * columns, filters, channels)
    return _single(pixels, rows * columns * channels, filters, 1)


def spread(weight: int = 1) -> ProductRule:
    """Each pixel contributes to a window: weights are [channels in, channels of a group, ...]."""

    def rule(call: Call) -> Products:
        left, filters = call.shape(0), call.shape(weight)
        groups, window = call.integer("group", call.integer("groups", 1)), math.prod(filters[1:])
        rows = left[0] * math.prod(left[2:])
        return _single(rows, filters[0] // groups, window, groups)

    return rule


def weight_gradient(call: Call) -> Products:
    """Gradient of a convolution's weights, from dy and x."""
    left, out = call.shape(0), call.out_shape()
    groups = call.integer("group", 1)
    pixels = left[0] * math.prod(left[2:])
    return _single(out[0] // groups, pixels, math.prod(out[1:]), groups)


def gemm(call: Call) -> Products:
    """ONNX's Gemm and its variants."""
    left, out = call.shape(0), call.out_shape()
    return _single(out[0], left[0] if call.integer("transA", 0) else left[1], out[1], 1)


def matmul(left: int = 0, right: int = 1) -> ProductRule:
    """numpy's matmul of two inputs."""

    def rule(call: Call) -> Products:
        return _multiplied(call.shape(left), call.shape(right), call.out_shape())

    return rule


def _multiplied(first: Sequence[int], second: Sequence[int], out: Sequence[int]) -> Products:
    rows = first[-2] if len(first) > 1 else 1
    columns = second[-1] if len(second) > 1 else 1
    if min(rows, columns) < 1:
        raise NotKnownError
    if len(first) == 1:
        return _single(1, first[-1], columns, math.prod(out) // columns)
    batch = list(second[:-2])
    while batch and batch[0] == 1:
        batch.pop(0)
    # Axes in front of those that the second operand has share its matrices, as rows of one product.
    count = math.prod(out[len(out) - 2 - len(batch) : len(out) - 2]) if batch else 1
    return _single(math.prod(out) // (columns * count), first[-1], columns, count)


def fused_matmul(call: Call) -> Products:
    """ONNX Runtime's FusedMatMul: either operand may be transposed, also in its batch axes."""
    sides = []
    for index, name in enumerate(("A", "B")):
        dims = list(call.shape(index))
        if call.integer(f"transBatch{name}", 0):
            dims = [*dims[1:-1], dims[0], dims[-1]]
        if call.integer(f"trans{name}", 0) and len(dims) > 1:
            dims[-1], dims[-2] = dims[-2], dims[-1]
        sides.append(dims)
    return _multiplied(sides[0], sides[1], call.out_shape())


def linear(call: Call) -> Products:
    """aten's linear, whose weight is [columns, rows]."""
    left, right, out = call.shape(0), call.shape(1), call.out_shape()
    return _single(math.prod(out) // right[0], left[-1], right[0], 1)


def packed_weight(call: Call) -> Products:
    """A weight in low-bit blocks, of K rows and N columns according to its attributes."""
    left, out = call.shape(0), call.out_shape()
    k = call.integer("K", left[-1])
    return _single(math.prod(out) // out[-1], k, out[-1], 1)


def einsum(call: Call) -> Products:
    """Two operands: labels in both and in the output are batch, labels in both alone are summed."""
    left, arrow, right = call.text("equation").replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != 2 or "." in left or not arrow:
        raise NotKnownError
    size: dict[str, int] = {}
    for index, term in enumerate(terms):
        if len(set(term)) < len(term):
            raise NotKnownError
        size |= dict(zip(term, call.shape(index), strict=True))
    first, second, out = set(terms[0]), set(terms[1]), set(right)

    def over(letters: set[str]) -> int:
        return math.prod(size[letter] for letter in letters)

    return _single(
        over((first & out) - second),
        over((first & second) - out) * over(first - second - out) * over(second - first - out),
        over((second & out) - first),
        over(first & second & out),
    )


def attention(
    count: int = 2, *, heads: str = "q_num_heads", past: int | None = 4, key: int = 1
) -> ProductRule:
    """Scores and weighted sum of attention (`count` 2), or the products of its gradient (5).

    The gradient computes the scores again and the gradients of value, scores, query and key.
    Queries, keys and values are [B, H, L, D] or [B, L, H * D]; the input `past` is a cache of keys.
    Queries that share a head of keys are rows of the same product.
    """

    def rule(call: Call) -> Products:
        number, queries, size, batch = _heads(call, heads)
        groups, length, value_size = _key_heads(call, key, number, (queries, size))
        length += call.shape(past)[2] if past is not None and call.has(past) else 0
        length = min(length, call.integer("window", length))
        rows, pairs = queries * (number // groups), batch * groups
        scores = MatrixProduct(rows, size, length, pairs)
        values = MatrixProduct(rows, length, value_size, pairs)
        products = (scores, values) + (values,) * (count - 2)
        special = rows * length * pairs
        return Products(products, special_elements=special, attended=len(products))

    return rule


def _heads(call: Call, name: str) -> tuple[int, int, int, int]:
    """Heads, queries, head size and batch size; query, key and value may be packed in one input."""
    query = call.shape(0)
    if len(query) == 5:  # batch, queries, heads, 3, head size
        return query[2], query[1], query[4], query[0]
    number = query[1] if len(query) == 4 else call.integer(name, call.integer("num_heads", 0))
    if len(query) not in (3, 4) or not number:
        raise NotKnownError
    if len(query) == 4:
        return number, query[2], query[3], query[0]
    packed = 0 if call.has(1) else 2 * call.integer("kv_num_heads", number)
    return number, query[1], query[2] // (number + packed), query[0]


def _key_heads(call: Call, key: int, heads: int, queries: tuple[int, int]) -> tuple[int, int, int]:
    """Heads of keys, their number, and the head size of values.

    Heads of queries that no heads of keys divide evenly each count as having their own.
    """
    length, size = queries
    groups = call.integer("kv_num_heads", heads)
    if call.has(key):
        dims = call.shape(key)
        groups, length = dims[1] if len(dims) == 4 else groups, dims[-2]
        if call.has(key + 1) and len(value := call.shape(key + 1)) in (3, 4) and len(dims) < 5:
            size = value[-1] // (1 if len(value) == 4 else max(1, groups))
    return groups if groups and heads % groups == 0 else heads, length, max(1, size)


def packed_attention(weight: int, past: int) -> ProductRule:
    """ONNX Runtime's Attention, which first computes query, key and value in one product."""

    def rule(call: Call) -> Products:
        batch, queries, width = call.shape(0)
        total = call.shape(weight)[-1]
        given = call.attrs.get("qkv_hidden_sizes")
        widths = call.integers("qkv_hidden_sizes") if given else [total // 3] * 3
        heads = max(1, call.integer("num_heads"))
        keys = queries + (call.shape(past)[3] if call.has(past) else 0)
        pairs = batch * heads
        products = (
            MatrixProduct(batch * queries, width, total, left=(0,), right=(weight,)),
            MatrixProduct(queries, widths[0] // heads, keys, pairs),
            MatrixProduct(queries, keys, widths[2] // heads, pairs),
        )
        return Products(products, special_elements=queries * keys * pairs, attended=2)

    return rule


def experts(up: int, down: int, gate: int | None = None, bits: str = "") -> ProductRule:
    """Each token times the matrices of its experts, with tokens spread evenly over experts.

    Quantised weights are followed by their scales.
    """

    def rule(call: Call) -> Products:
        hidden = call.shape(0)[-1]
        chosen = call.integer("k", 1)
        routed = call.count(0) // max(1, hidden) * chosen
        packed = 8 // call.integer(bits, 4) if bits else 1
        number = call.shape(up)[0]
        each, used = max(1, -(-routed // number)), min(number, routed)
        inner = math.prod(call.shape(down)[1:]) * packed // max(1, hidden)
        wide = math.prod(call.shape(up)[1:]) * packed // max(1, hidden)

        def held(index: int) -> tuple[int, ...]:
            return (index, index + 1) if bits and call.has(index + 1) else (index,)

        products = [MatrixProduct(each, hidden, wide, used, left=(0,), right=held(up))]
        if gate is not None and call.has(gate):
            products.append(MatrixProduct(each, hidden, wide, used, right=held(gate)))
        products.append(MatrixProduct(each, inner, hidden, used, right=held(down), stored=True))
        return Products(tuple(products), special_elements=each * wide * used)

    return rule


def recurrent(gates: int) -> ProductRule:
    """One product of all steps' inputs, then one product per step of the state."""

    def rule(call: Call) -> Products:
        steps, batch, length = call.shape(0)
        if call.integer("layout", 0):
            steps, batch = batch, steps
        directions, rows, hidden = call.shape(2)
        products = (
            MatrixProduct(steps * batch, length, rows, directions, left=(0,), right=(1,)),
            MatrixProduct(batch, hidden, rows, steps * directions, right=(2,)),
        )
        return Products(products, special_elements=steps * batch * directions * gates * hidden)

    return rule


def gemm_of(left: int) -> ProductRule:
    """A Gemm whose left operand is the input `left`."""

    def rule(call: Call) -> Products:
        first, out = call.shape(left), call.out_shape()
        k = first[0] if call.integer("transA", 0) else first[1]
        return _single(out[0], k, out[1], 1)

    return rule


def recurrent_data(gates: int) -> ProductRule:
    """Data gradients of a recurrent layer, through all steps; inputs X, W, R, B, Y."""

    def rule(call: Call) -> Products:
        (steps, batch, length), (_, directions, _, hidden) = call.shape(0), call.shape(4)
        inside = steps if len(call.outs) > 2 else max(1, steps - 1)
        products = (
            MatrixProduct(
                steps * batch, gates * hidden, length, directions, right=(1,), stored=True
            ),
            MatrixProduct(batch, gates * hidden, hidden, inside * directions, right=(2,)),
        )
        return Products(products, special_elements=steps * batch * directions * gates * hidden)

    return rule


def recurrent_weights(gates: int) -> ProductRule:
    """Weight gradients of a recurrent layer, over all steps; inputs are gate gradients, X, Y."""

    def rule(call: Call) -> Products:
        (steps, batch, length), (_, directions, _, hidden) = call.shape(1), call.shape(2)
        rows = gates * hidden
        products = (
            MatrixProduct(
                rows, steps * batch, length, directions, left=(0,), right=(1,), stored=True
            ),
            MatrixProduct(
                rows, steps * batch, hidden, directions, left=(0,), right=(2,), stored=True
            ),
        )
        return Products(products)

    return rule


def experts_gradient(saved: int, first: int, second: int) -> ProductRule:
    """Data or weight gradients of experts: each routed token times both matrices of its expert."""

    def rule(call: Call) -> Products:
        routed, number = call.shape(saved)[0], call.shape(first)[0]
        each, used = max(1, -(-routed // number)), min(number, routed)
        sizes = [call.shape(index)[1:] for index in (first, second)]
        held = [(saved,), (first,)], [(saved,), (second,)]
        return Products(
            tuple(
                MatrixProduct(each, size[-1], size[0], used, left, right, stored=True)
                for size, (left, right) in zip(sizes, held, strict=True)
            )
        )

    return rule
