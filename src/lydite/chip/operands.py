"""What of a product's operands moves between memory and scratchpads.

Bytes are those in memory: weights of fewer bits than the chip computes with move in their own type,
with their scales; what convolution windows share moves once; what an operator keeps on the chip
between its products does not move.
"""

from __future__ import annotations

from collections.abc import Sequence

from lydite.chip.memory import ELEMENT_BYTES, stored_bytes
from lydite.chip.product import Product
from lydite.graph import Graph, Op
from lydite.graph.operators import operator
from lydite.graph.operators.products import MatrixProduct
from lydite.hardware.chip import Chip
from lydite.records import dataclass


@dataclass(frozen=True)
class Shares:
    """Bytes that move of each matrix, as a share of its bytes in the chip's type.

    Attributes:
        left: Share of the left matrices, loaded.
        right: Share of the right matrices, loaded.
        out: Share of the results, stored.
    """

    left: float = 1.0
    right: float = 1.0
    out: float = 1.0


EVERYTHING = Shares()


def shares_of(op: Op, graph: Graph, product: Product, chip: Chip, room: float) -> Shares:
    """Shares of an operator that is a single product.

    Args:
        op: the operator.
        graph: its graph.
        product: its product.
        chip: whose types and memory count.
        room: bytes of a right matrix that may stay on the chip.
    """
    row = operator(op.qualified_type)
    left, right = row.operands if row is not None else (0, 1)
    beside = [
        index
        for index, name in enumerate(op.inputs)
        if name in graph.initializers and index not in (left, right)
    ]
    sizes = _sizes(product)
    out = _moved(graph, op.outputs[:1], chip, sizes[2])
    return Shares(
        _moved(graph, [op.inputs[left]], chip, sizes[0]),
        _right(op, graph, product, (right, *beside), chip, room),
        out,
    )


def stage_shares(
    op: Op,
    graph: Graph,
    product: MatrixProduct,
    chip: Chip,
    room: float,
    spilled: tuple[float, float],
) -> Shares:
    """Shares of a product inside an operator.

    Args:
        op: the operator.
        graph: its graph.
        product: one of its products.
        chip: whose types and memory count.
        room: bytes of a right matrix that may stay on the chip.
        spilled: bytes that the product loads of results that did not stay on the chip, and bytes
            of its own results that do not.
    """
    whole = Product(product.m, product.k, product.n, product.count)
    sizes = _sizes(whole)
    left = _moved(graph, [op.inputs[i] for i in product.left], chip, sizes[0])
    element = ELEMENT_BYTES[chip.dtype]
    again, stays = spilled
    return Shares(
        left + again / (sizes[0] * element),
        _right(op, graph, whole, product.right, chip, room) if product.right else 0.0,
        1.0 if product.stored else stays / (sizes[2] * element),
    )


def _sizes(product: Product) -> tuple[float, float, float]:
    """Elements of left matrices, right matrices and results, of all products together."""
    m, k, n, count = (float(size) for size in (product.m, product.k, product.n, product.count))
    return m * k * count, k * n * count, m * n * count


def _moved(graph: Graph, names: Sequence[str], chip: Chip, elements: float) -> float:
    """Share of tensors that move once; no more than every element of each product."""
    share = 0.0
    for name in names:
        of = graph.type_of(name)
        held = float(of.numel or 0)
        each = stored_bytes(of, chip) / held if held else 0.0
        share += min(held, elements) * each / (elements * ELEMENT_BYTES[chip.dtype])
    return share


def _right(
    op: Op, graph: Graph, product: Product, indexes: Sequence[int], chip: Chip, room: float
) -> float:
    """Share of right matrices: the first input holds them, the others stand beside it.

    Matrices that several products share move once where one of them fits the room.
    """
    row, names = operator(op.qualified_type), op.inputs
    held = float(graph.type_of(names[indexes[0]]).numel or 0)
    if row is not None and row.packed is not None:
        held = float(row.packed(op.attrs, indexes[0], int(held)) or held)
    one = float(product.k) * float(product.n)
    matrices = max(held / one, 1e-9)
    size = sum(stored_bytes(graph.type_of(names[i]), chip) for i in indexes if names[i])
    element = ELEMENT_BYTES[chip.dtype]
    count = float(product.count)
    times = min(count, matrices) if one * element <= room or matrices >= count else count
    return times * size / matrices / (count * one * element)
