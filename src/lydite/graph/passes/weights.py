"""Weights of few bits in dense layers and experts, while activations keep their type.

The operators are those of models whose config states quantised weights (`lydite.models.quantised`):
com.microsoft's MatMulNBits and QMoE. The embedding, the head, and what is no MatMul with a weight
of two dimensions stay as they are, as quantisers do; routers are Gemms.
"""

from __future__ import annotations

from collections import Counter

from lydite.errors import InputError, unknown_name
from lydite.graph.builder import Tensor
from lydite.graph.graph import Graph, Initializer, Op
from lydite.graph.passes.rewrite import Rewriter
from lydite.graph.upgrade import OPSET, upgraded
from lydite.opkey import TensorType
from lydite.records import dataclass

_MS = "com.microsoft"
_FLOATS = ("float32", "float16", "bfloat16")
_BFLOAT16_OPSET = 22


@dataclass(frozen=True)
class _Stored:
    """How a weight is stored: its type, its bits, and the weights of a row that share a scale."""

    dtype: str
    bits: int
    block: int


WEIGHTS = {
    "fp8": _Stored("float8e4m3fn", 8, 0),
    "int8": _Stored("uint8", 8, 0),
    "int4": _Stored("uint8", 4, 128),
}
"""Formats by name: a scale a column for eight bits (vLLM's fp8 and w8a16), groups of 128 for four
(AWQ and GPTQ as most are published)."""


def with_weights(graph: Graph, form: str) -> Graph:
    """The graph with its dense layers' and experts' weights in one of `WEIGHTS`.

    Their values are not converted: the graph says what is computed and read.

    Raises:
        InputError: there is no such format, no product to store so, or weights have few bits
            already.
    """
    if form not in WEIGHTS:
        raise unknown_name("format of weights", form, WEIGHTS)
    stored = WEIGHTS[form]
    graph = upgraded(graph)
    if any(op.op_type in ("MatMulNBits", "QMoE") for op in graph.ops):
        raise InputError("its weights have few bits already", where=graph.name)
    readers = Counter(name for op in graph.ops for name in op.inputs)
    head = _last_product(graph)
    changed = 0

    def rewrite(new: Rewriter, op: Op) -> None:
        nonlocal changed
        if op.op_type == "MoE":
            new.rename(op.outputs[0], _experts(new, op, stored))
        elif op.name != head and _fits(graph, op, stored) and readers[op.inputs[1]] == 1:
            new.rename(op.outputs[0], _product(new, op, stored))
        else:
            new.keep(op)
            return
        changed += 1

    opset = max(OPSET, _BFLOAT16_OPSET) if graph.opsets.get("", 1) >= _BFLOAT16_OPSET else OPSET
    made = Rewriter(graph, opset=opset).run(rewrite)
    if not changed:
        raise InputError(f"has no product whose weight can be stored in {form}", where=graph.name)
    return made


def _last_product(graph: Graph) -> str:
    """Name of the product onto the vocabulary."""
    products = (op.name for op in reversed(graph.ops) if op.qualified_type in ("MatMul", "Gemm"))
    return next(products, "")


def _fits(graph: Graph, op: Op, stored: _Stored) -> bool:
    init = graph.initializers.get(op.inputs[1]) if op.qualified_type == "MatMul" else None
    if init is None or not init.type.is_static or init.type.dtype not in _FLOATS:
        return False
    shape = init.type.shape or ()
    return len(shape) == 2 and int(shape[0]) % (stored.block or 1) == 0


def _product(new: Rewriter, op: Op, stored: _Stored) -> Tensor:
    data, weight = new.inputs(op)[0], new.graph.initializers[op.inputs[1]].type
    assert data is not None and weight.shape is not None
    inner, outer = (int(size) for size in weight.shape)
    block = stored.block or inner
    packed = TensorType(stored.dtype, (outer, inner // block, block * stored.bits // 8))
    scales = TensorType(weight.dtype, (outer, inner // block))
    name = op.inputs[1]
    return new.g.op(
        "MatMulNBits",
        data,
        new.g.declare(f"{name}/packed", Initializer(packed)),
        new.g.declare(f"{name}/scales", Initializer(scales)),
        domain=_MS,
        name=op.name,
        K=inner,
        N=outer,
        bits=stored.bits,
        block_size=block,
    )


def _experts(new: Rewriter, op: Op, stored: _Stored) -> Tensor:
    """Experts with packed weights and scales behind each of them."""
    given = [*new.inputs(op), None, None, None, None]
    inputs: list[Tensor | None] = list(given[:2])
    for place in (2, 4):
        weight = new.graph.initializers[op.inputs[place]].type
        assert weight.shape is not None
        count, rows, width = (int(size) for size in weight.shape)
        block = stored.block or width
        packed = TensorType(stored.dtype, (count, rows, width * stored.bits // 8))
        scales = TensorType(weight.dtype, (count, rows, -(-width // block)))
        name = op.inputs[place]
        inputs.append(new.g.declare(f"{name}/packed", Initializer(packed)))
        inputs.append(new.g.declare(f"{name}/scales", Initializer(scales)))
        inputs.append(given[place + 1])
    while inputs[-1] is None:
        inputs.pop()
    attrs = {**op.attrs, "expert_weight_bits": stored.bits, "block_size": stored.block or None}
    return new.g.op("QMoE", *inputs, domain=_MS, name=op.name, **attrs)
