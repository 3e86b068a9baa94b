"""The canonical form of an operator: one key for all spellings that an accelerator runs alike.

Tables of others are imported under these forms (`lydite.store.foreign.forms`), so that a product of
a model in [batch, tokens, width] finds the row of the same M, K and N.
"""

from __future__ import annotations

import math

from lydite.graph import OpKey
from lydite.graph.work import products_of_key
from lydite.opkey import TensorType
from lydite.store.foreign import forms

_ATTENTION_ATTRS = {"is_causal", "q_num_heads", "kv_num_heads", "window"}
_NOT_WORK = {"epsilon", "stash_type", "approximate", "axis"}


def canonical(key: OpKey) -> OpKey | None:
    """The canonical key; None where there is no canonical form."""
    types = key.operand_types()
    if not key.outputs or not all(t is None or t.is_static for t in (*types, *key.outputs)):
        return None
    if key.op_type in ("Conv", "LatentAttention"):
        return key
    if key.op_type == "Attention" and not key.domain:
        return _attention(key, types)
    if key.qualified_type == f"{forms.MICROSOFT}:MoE":
        return _experts(key, types)
    if key.qualified_type == f"{forms.MICROSOFT}:MatMulNBits":
        return _packed(key, types)
    if key.qualified_type in ("MatMul", "Gemm"):
        return _product(key, types)
    return _stream(key, types) if not key.domain else None


def _sizes(kind: TensorType | None) -> tuple[int, ...]:
    return tuple(int(size) for size in (kind.shape or ())) if kind is not None else ()


def _product(key: OpKey, types: list[TensorType | None]) -> OpKey | None:
    made = products_of_key(key)
    left, right = (*types, None, None)[:2]
    if made is None or len(made.products) != 1 or left is None or right is None:
        return None
    each, dtype, out = made.products[0], left.dtype, key.outputs[0].dtype
    if right.dtype != dtype:
        return None
    count = each.count if each.count > 1 else None
    return forms.product(dtype, each.m, each.k, each.n, out=out, count=count)


def _packed(key: OpKey, types: list[TensorType | None]) -> OpKey | None:
    whole, attrs = types[0], key.attrs
    k, n, bits = (attrs.get(name) for name in ("K", "N", "bits"))
    if whole is None or not isinstance(k, int) or attrs.get("block_size") != k:
        return None
    if not isinstance(n, int) or not isinstance(bits, int):
        return None
    m = (whole.numel or 0) // k
    return forms.packed_product(whole.dtype, m, k, n, bits, k * bits // 8)


def _attention(key: OpKey, types: list[TensorType | None]) -> OpKey | None:
    query, new, value, mask, past = (*types, *[None] * 5)[:5]
    if query is None or new is None or value is None or mask is not None:
        return None
    if not set(key.attrs) <= _ATTENTION_ATTRS:
        return None
    heads, kv_heads = (key.attrs.get(f"{name}_num_heads") for name in ("q", "kv"))
    shape, other = _sizes(query), _sizes(new)
    if len(shape) == 4:
        heads, kv_heads = shape[1], other[1]
        shape, other, third = ((s[0], s[2], s[1] * s[3]) for s in (shape, other, _sizes(value)))
    else:
        third = _sizes(value)
    if len(shape) != 3 or not isinstance(heads, int) or not isinstance(kv_heads, int):
        return None
    batch, queries, width = shape
    if other[1] != queries:  # queries look at keys of another sequence
        return None
    before = _sizes(past)[2] if past is not None else 0
    window = key.attrs.get("window")
    window = window if isinstance(window, int) and window < before + queries else None
    if before:
        widths = (width, other[2], other[2] // kv_heads)
        return forms.cached_attention(
            query.dtype,
            batch,
            queries,
            heads,
            kv_heads,
            widths,
            before,
            before + queries,
            keys=new.dtype if past is None else past.dtype,
            window=window,
        )
    result = heads * (third[2] // kv_heads)
    return forms.attention(
        query.dtype,
        batch,
        queries,
        heads,
        kv_heads,
        (width, other[2], third[2], result),
        keys=new.dtype,
        causal=bool(key.attrs.get("is_causal")),
        window=window,
    )


def _experts(key: OpKey, types: list[TensorType | None]) -> OpKey | None:
    if len(types) != 5 or types[0] is None or types[2] is None or types[4] is None:
        return None
    count, wide, hidden = _sizes(types[2])
    chosen, inner = key.attrs.get("k"), _sizes(types[4])[2]
    if not isinstance(chosen, int):
        return None
    tokens = (types[0].numel or 0) // hidden
    made = forms.experts(
        types[0].dtype, tokens, (hidden, count, wide, inner), chosen, weights=types[2].dtype
    )
    return made if dict(made.attrs) == dict(key.attrs) else None


def _stream(key: OpKey, types: list[TensorType | None]) -> OpKey | None:
    first = types[0] if types else None
    dims = _sizes(first)
    if first is None or not dims or not set(key.attrs) <= _NOT_WORK:
        return None
    rows, width, op_type = math.prod(dims[:-1]), dims[-1], key.op_type
    last = key.attrs.get("axis", -1) in (-1, len(dims) - 1)
    if op_type in forms.NORMS:
        return forms.norm(op_type, first.dtype, rows, width) if last else None
    if op_type == "Softmax":
        return forms.softmax(first.dtype, rows, width) if last else None
    if op_type in forms.UNARY:
        return forms.elementwise(op_type, first.dtype, rows, width)
    if op_type not in forms.BINARY or len(types) != 2 or types[1] is None:
        return None
    scalar = types[1].numel == 1
    if not scalar and _sizes(types[1]) != dims:
        return None
    return forms.elementwise(op_type, first.dtype, rows, width, scalar=scalar)
