"""int4: dense layers with weights of four bits, in the operator that ONNX Runtime runs them with.

Weights of 4 bits in blocks of 32 that share a scale, with a zero point of 8 (the scheme of
com.microsoft's MatMulNBits, and nearly that of GGML's Q4_0). Activations keep their type. The last
product, onto the vocabulary or the classes, is kept, as quantisers do.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from lydite.errors import GraphError
from lydite.graph.builder import Tensor
from lydite.graph.graph import Graph, Initializer, Op
from lydite.graph.passes.rewrite import Rewriter
from lydite.graph.upgrade import OPSET, upgraded
from lydite.opkey import TensorType

BLOCK = 32
"""Number of weights along a column that share a scale."""
_ZERO = 8


def four_bits(graph: Graph) -> Graph:
    """The network with its dense layers' weights in four bits.

    Args:
        graph: A network of floats.

    Raises:
        GraphError: it has no product whose weight can be stored so, or it has control flow.
    """
    graph = upgraded(graph)
    readers = Counter(name for op in graph.ops for name in op.inputs)
    last = _last_product(graph)
    changed = 0

    def rewrite(new: Rewriter, op: Op) -> None:
        nonlocal changed
        init = graph.initializers.get(op.inputs[1]) if op.qualified_type == "MatMul" else None
        if init is None or op.name == last or not _fits(init) or readers[op.inputs[1]] > 1:
            new.keep(op)
            return
        changed += 1
        new.rename(op.outputs[0], _product(new, op, init))

    made = Rewriter(graph, opset=OPSET).run(rewrite)
    if not changed:
        raise GraphError(
            "has no MatMul with a weight that can be stored in four bits",
            where=graph.name,
            allowed=f"weights of two dimensions, the first a multiple of {BLOCK}",
        )
    return made


def _last_product(graph: Graph) -> str:
    products = (op.name for op in reversed(graph.ops) if op.op_type in ("MatMul", "Gemm"))
    return next(products, "")


def _fits(init: Initializer) -> bool:
    shape = init.type.shape
    if shape is None or len(shape) != 2 or not init.type.is_static:
        return False
    return init.type.dtype in ("float32", "float16", "bfloat16") and int(shape[0]) % BLOCK == 0


def _product(new: Rewriter, op: Op, init: Initializer) -> Tensor:
    """The product with its packed weight and scales."""
    data = new.inputs(op)[0]
    assert data is not None and init.type.shape is not None
    inner, outer = (int(size) for size in init.type.shape)
    packed, scales = _stored(init, inner, outer)
    name = op.inputs[1]
    return new.g.op(
        "MatMulNBits",
        data,
        new.g.declare(f"{name}/int4", packed),
        new.g.declare(f"{name}/scales", scales),
        domain="com.microsoft",
        name=op.name,
        K=inner,
        N=outer,
        bits=4,
        block_size=BLOCK,
    )


def _stored(init: Initializer, inner: int, outer: int) -> tuple[Initializer, Initializer]:
    blocks = inner // BLOCK
    packed = TensorType("uint8", (outer, blocks, BLOCK // 2))
    scales = TensorType(init.type.dtype, (outer, blocks))
    if not init.has_data:
        return Initializer(packed), Initializer(scales)
    return (
        Initializer(packed, load=lambda: quantised_blocks(init.array())[0]),
        Initializer(scales, load=lambda: quantised_blocks(init.array())[1]),
    )


def quantised_blocks(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A weight [inner, outer] as packed bytes [outer, blocks, 16] and scales [outer, blocks].

    The value of largest magnitude in a block becomes -8, as in GGML's Q4_0; the lower half of a
    byte holds the first of two neighbours.
    """
    inner, outer = weight.shape
    blocks = weight.T.astype(np.float32).reshape(outer, inner // BLOCK, BLOCK)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(-1)[..., None], -1)
    scales = largest / -_ZERO
    inverse = np.divide(1.0, scales, out=np.zeros_like(scales), where=scales != 0)
    levels = np.clip(np.rint(blocks * inverse) + _ZERO, 0, 15).astype(np.uint8)
    packed = levels[..., 0::2] | (levels[..., 1::2] << 4)
    return packed, scales[..., 0].astype(weight.dtype)
