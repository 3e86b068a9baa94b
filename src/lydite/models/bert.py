"""BERT encoders, written operator by operator as exporters write them.

Of this ONNX Runtime 1.31 makes Gemm, FusedMatMul and SkipLayerNormalization. Its fusions into
Attention and EmbedLayerNormalization only match opset 11's Unsqueeze; written for them, the model
ran no faster (within 2 % on one core), so the newest opset was taken.
"""

from __future__ import annotations

from lydite.graph import Builder, Graph, Tensor
from lydite.graph.dtypes import dtype_number

_VOCABULARY, _POSITIONS, _TOKEN_TYPES = 30522, 512, 2
_HEAD = 64
_MASKED = -10000.0


def bert_base(batch: int, sequence: int, dtype: str) -> Graph:
    """BERT base: 12 layers of width 768."""
    return _bert("bert-base", batch, sequence, dtype, layers=12, hidden=768)


def bert_large(batch: int, sequence: int, dtype: str) -> Graph:
    """BERT large: 24 layers of width 1024."""
    return _bert("bert-large", batch, sequence, dtype, layers=24, hidden=1024)


def _bert(name: str, batch: int, sequence: int, dtype: str, *, layers: int, hidden: int) -> Graph:
    g = Builder(name, dtype=dtype)
    ids, mask, kinds = (
        g.input(part, (batch, sequence), "int64")
        for part in ("input_ids", "attention_mask", "token_type_ids")
    )
    penalty = _mask_penalty(g, mask)
    x = _embedding(g, ids, kinds, hidden)
    for _ in range(layers):
        x = g.layer_norm(_self_attention(g, x, penalty) + x)
        x = g.layer_norm(_feed_forward(g, x) + x)
    first = g.op("Gather", x, g.constant(0, "first"), axis=1)
    return g.build(x, g.op("Tanh", g.linear(first, hidden, name="pooler")))


def _mask_penalty(g: Builder, mask: Tensor) -> Tensor:
    """0 where a token counts and -10,000 where it does not: [batch, 1, 1, sequence]."""
    for axis in (1, 2):
        mask = g.op("Unsqueeze", mask, g.constant([axis], "axes"))
    counts = g.op("Cast", mask, to=dtype_number(g.dtype))
    missing = g.op("Sub", g.constant(1.0, "one", g.dtype), counts)
    return missing * g.constant(_MASKED, "penalty", g.dtype)


def _embedding(g: Builder, ids: Tensor, kinds: Tensor, hidden: int) -> Tensor:
    words = g.op("Gather", g.weight((_VOCABULARY, hidden), "word_embedding"), ids)
    kind = g.op("Gather", g.weight((_TOKEN_TYPES, hidden), "token_type_embedding"), kinds)
    order = g.constant([range(ids.shape[1])], "position_ids")
    places = g.op("Gather", g.weight((_POSITIONS, hidden), "position_embedding"), order)
    return g.layer_norm((words + places) + kind)


def _self_attention(g: Builder, x: Tensor, penalty: Tensor) -> Tensor:
    hidden = x.shape[2]
    heads = hidden // _HEAD
    query, key, value = (
        g.transpose(g.reshape(g.linear(x, hidden, name=part), [0, 0, heads, _HEAD]), perm)
        for part, perm in (("query", (0, 2, 1, 3)), ("key", (0, 2, 3, 1)), ("value", (0, 2, 1, 3)))
    )
    scores = g.op("MatMul", query, key)
    scores = g.op("Div", scores, g.constant(_HEAD**0.5, "scale", g.dtype)) + penalty
    mixed = g.transpose(g.op("MatMul", g.softmax(scores), value), (0, 2, 1, 3))
    return g.linear(g.reshape(mixed, [0, 0, hidden]), hidden, name="attention")


def _feed_forward(g: Builder, x: Tensor) -> Tensor:
    hidden = x.shape[2]
    return g.linear(g.op("Gelu", g.linear(x, 4 * hidden, name="up")), hidden, name="down")
