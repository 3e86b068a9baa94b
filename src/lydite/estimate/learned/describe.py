"""What an operator's key says of its family: the numbers that describe it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from lydite.graph import OpKey
from lydite.graph.operators import operator
from lydite.graph.operators.products import MatrixProduct, Products
from lydite.graph.work import products_of_key, work_of_key
from lydite.opkey import TensorType
from lydite.records import dataclass

SIXTEEN = ("float16", "bfloat16")
_EIGHT = "float8e4m3fn"
FLOATS = ("float32", *SIXTEEN, _EIGHT)
_PRODUCTS = {
    "float32": "product32",
    "float16": "product16",
    "bfloat16": "product16",
    _EIGHT: "product8",
}
_STREAMS = {"elementwise": 0, "norm": 1}
_SMALL_BYTES = 64

Description: TypeAlias = "tuple[str, str, tuple[float, ...]]"
"""Family, data type of the arithmetic, and sizes."""


@dataclass(frozen=True, slots=True)
class _AttentionForm:
    """How an attention operator says what it computes.

    Attributes:
        causal: Attribute that says that a query sees no later key; "" where none ever does.
        masks: Inputs that hold masks or biases, which were not learned.
    """

    causal: str
    masks: tuple[int, ...]


_ATTENTION: Mapping[str, _AttentionForm] = {
    "Attention": _AttentionForm("is_causal", (3,)),
    "com.microsoft:GroupQueryAttention": _AttentionForm("", (10,)),
    "com.microsoft:MultiHeadAttention": _AttentionForm("unidirectional", (4, 5)),
    "com.microsoft:Attention": _AttentionForm("unidirectional", (3, 5)),
}


def described(key: OpKey) -> list[Description]:
    """Families and sizes of what an operator computes; nothing where none fits."""
    plain = _plain_product(key)
    if plain is not None:
        return [plain]
    row = operator(key.qualified_type)
    if row is None or not key.outputs or key.outputs[0] is None or not key.outputs[0].is_static:
        return []
    dtype = key.outputs[0].dtype
    if dtype not in FLOATS:
        return []
    if key.qualified_type == "com.microsoft:MoE":
        return _experts(key, dtype)
    if row.family == "matmul":
        return _products(key, dtype)
    if key.qualified_type in _ATTENTION:
        return _attention(key, dtype, _ATTENTION[key.qualified_type])
    softmax = key.op_type in ("Softmax", "LogSoftmax")
    if row.family in _STREAMS or softmax:
        return _stream(key, dtype, 2 if softmax else _STREAMS[row.family])
    return []


def _plain_product(key: OpKey) -> Description | None:
    """A MatMul of two tensors of one type, the common case; None for all else."""
    if key.op_type != "MatMul" or key.domain or len(key.inputs) != 2:
        return None
    left, right = key.inputs[0].type, key.inputs[1].type
    if left is None or right is None or left.dtype != right.dtype:
        return None
    first, second = left.shape, right.shape
    family = _PRODUCTS.get(left.dtype)
    if family is None or first is None or second is None or len(first) < 2 or len(second) != 2:
        return None
    if key.outputs[0].dtype != left.dtype:
        return None
    if not left.is_static or not right.is_static:
        return None
    rows = math.prod(map(int, first[:-1]))
    sizes = 1.0, float(rows), float(second[1]), float(first[-1])
    return (family, left.dtype, sizes) if min(sizes) >= 1 else None


def _products(key: OpKey, dtype: str) -> list[Description]:
    floats = {t.dtype for t in key.operand_types() if t is not None and _counts(t)}
    found = products_of_key(key)
    if len(floats) != 1 or found is None or not found.products:
        return []
    arithmetic = min(floats)
    family = _PRODUCTS.get(arithmetic)
    if family is None or (arithmetic != dtype and arithmetic != _EIGHT):
        return []
    return [(family, arithmetic, _sizes(each)) for each in found.products]


def _counts(tensor: TensorType) -> bool:
    return (tensor.nbytes or 0) > _SMALL_BYTES


def _sizes(product: MatrixProduct) -> tuple[float, ...]:
    return float(product.count), float(product.m), float(product.n), float(product.k)


def _attention(key: OpKey, dtype: str, form: _AttentionForm) -> list[Description]:
    found = products_of_key(key)
    types = key.operand_types()
    given = [place for place, tensor in enumerate(types) if tensor is not None]
    if dtype not in SIXTEEN or found is None or any(place in given for place in form.masks):
        return []
    floats = {t.dtype for t in types if t is not None and _counts(t) and "int" not in t.dtype}
    if floats != {dtype}:
        return []
    sizes = _attention_sizes(key, found)
    if sizes is None:
        return []
    batch, heads, groups, queries, keys, size, window = sizes
    before = found.products[: len(found.products) - found.attended]
    others: list[Description] = [("product16", dtype, _sizes(each)) for each in before]
    if queries == 1:
        own = (batch, heads, groups, keys, size, window)
        return [*others, ("attention_decode", dtype, own)]
    causal = float(not form.causal or bool(key.attrs.get(form.causal)))
    own = (batch, heads, groups, queries, keys, size, window, causal)
    return [*others, ("attention_prefill", dtype, own)]


def _attention_sizes(key: OpKey, found: Products) -> tuple[float, ...] | None:
    """Batch, heads of queries and of keys, queries, keys, head size, and window (0 for all)."""
    scores = found.products[-found.attended]
    query = key.operand_types()[0]
    shape = () if query is None or query.shape is None else query.shape
    attrs: Mapping[str, Any] = key.attrs
    heads = int(attrs.get("q_num_heads") or attrs.get("num_heads") or 0)
    if not heads and len(shape) == 4:
        heads = int(shape[1])
    batch = int(shape[0]) if shape else 0
    groups = scores.count / batch if batch else 0
    if not heads or not groups or heads % groups:
        return None
    queries = scores.m * groups / heads
    window = float(attrs.get("window") or 0)
    keys = float(scores.n)
    past = key.operand_types()[4:5]
    if window and past and past[0] is not None and past[0].shape is not None:
        keys = max(keys, float(past[0].shape[-2]) + queries)
    return float(batch), float(heads), groups, queries, keys, float(scores.k), window


def _experts(key: OpKey, dtype: str) -> list[Description]:
    """ONNX Runtime's MoE: tokens, router, and the weights of all experts."""
    types = key.operand_types()
    if dtype not in SIXTEEN or len(types) < 5 or types[2] is None or types[4] is None:
        return []
    tokens, up, down = (types[place] for place in (0, 2, 4))
    shapes = [t.shape for t in (tokens, up, down) if t is not None and t.is_static]
    if len(shapes) < 3 or any(t is not None and t.dtype != dtype for t in (tokens, up, down)):
        return []
    first, wide, narrow = ([int(side) for side in shape or ()] for shape in shapes)
    if len(wide) != 3 or len(narrow) != 3:
        return []
    hidden = first[-1]
    inner = math.prod(narrow[1:]) // hidden
    fused = math.prod(wide[1:]) // hidden >= 2 * inner
    gate = len(types) > 6 and types[6] is not None
    rows = math.prod(first[:-1])
    sizes = rows, hidden, inner, int(key.attrs.get("k", 1)), wide[0], float(fused or gate)
    return [("experts", dtype, tuple(float(size) for size in sizes))] if min(sizes[:5]) > 0 else []


def _stream(key: OpKey, dtype: str, kind: int) -> list[Description]:
    work = work_of_key(key)
    shape = key.outputs[0].shape
    if work is None or not work.bytes_moved or not shape or dtype == _EIGHT:
        return []
    largest = max(t.nbytes or 0 for t in key.outputs)
    large = [t for t in key.operand_types() if t is not None and 2 * (t.nbytes or 0) >= largest]
    dims = [int(size) for size in shape]
    width = max(1, dims[-1])
    rows = max(1, math.prod(dims) // width)
    sizes = float(kind), float(work.bytes_moved), float(width), float(rows), float(len(large))
    return [("stream", dtype, sizes)]
