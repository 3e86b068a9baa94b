"""BERT encoders, written operator by operator as exporters write them.

Of this ONNX Runtime 1.31 makes Gemm, FusedMatMul and SkipLayerNormalization. Its fusions into
Attention and EmbedLayerNormalization only match opset 11's Unsqueeze; written for them, the model
ran no faster (within 2 % on one core), so the newest opset was taken.
"""

from __future__ import annotations

from collections.abc import Callable

from lydite.graph import Builder, Graph, Tensor
from lydite.graph.dtypes import dtype_number
from lydite.models.dimensions import Encoder
from lydite.models.transformer import ATTENTION_OPSET, activated

_MASKED = -10000.0


def bert(size: Encoder, *, batch: int, sequence: int, dtype: str = "float32") -> Graph:
    """A BERT encoder of the given dimensions; see `Encoder` for its heads."""
    g = Builder("bert", dtype=dtype, opset=ATTENTION_OPSET if size.rotary else 20)
    kinds = ["token_type_ids"] if size.type_inputs else []
    kinds += ["task_type_ids"] if size.task_types else []
    ids, mask, *types = (
        g.input(part, (batch, sequence), "int64")
        for part in ("input_ids", "attention_mask", *kinds)
    )
    penalty = _mask_penalty(g, mask)
    x = _embedding(g, size, ids, types)
    angles = _angles(g, size, batch, sequence) if size.rotary else None
    if size.width != size.hidden:
        x = g.linear(x, size.hidden, name="embedding_project")
    for _ in range(size.layers):
        x = _part(g, size, x, lambda y: _self_attention(g, size, y, penalty, angles))
        x = _part(g, size, x, lambda y: _feed_forward(g, size, y))
    x = g.layer_norm(x, eps=size.eps) if size.order == "before" else x
    return g.build(*_headed(g, size, x))


def _part(g: Builder, size: Encoder, x: Tensor, part: Callable[[Tensor], Tensor]) -> Tensor:
    """One part of a layer with its norm and the addition of its input."""
    if size.order == "before":
        return x + part(g.layer_norm(x, eps=size.eps))
    return g.layer_norm(part(x) + x, eps=size.eps)


def _headed(g: Builder, size: Encoder, x: Tensor) -> list[Tensor]:
    """What the head makes of all states [batch, sequence, hidden]."""
    if size.head == "states":
        return [x]
    if size.head == "answer":
        return _answer(g, x)
    if size.head == "tags":
        return [g.linear(x, size.classes, name="classifier")]
    if size.head == "replaced":
        y = activated(g, g.linear(x, size.hidden, name="transform"), size.activation)
        return [g.linear(y, 1, name="classifier")]
    if size.head == "scores":
        return [_scores(g, size, x)]
    first = g.op("Gather", x, g.constant(0, "first"), axis=1)
    pooled = g.linear(first, size.hidden, name="pooler")
    pooled = g.relu(pooled) if size.relu_pooler else g.op("Tanh", pooled)
    if size.head == "classes":
        return [g.linear(pooled, size.classes, name="classifier")]
    return [x, pooled]


def _scores(g: Builder, size: Encoder, x: Tensor) -> Tensor:
    """Scores of every token of the vocabulary; the weight is the embedding, or one of its own."""
    width = size.hidden if size.plain_scores else size.transform or size.width
    y = x
    if not size.plain_scores:
        y = activated(g, g.linear(x, width, name="transform"), size.activation)
        y = g.layer_norm(y, eps=size.eps)
    y = g.reshape(y, [-1, width])
    if size.tied:
        bias = g.weight((size.vocabulary,), "decoder.bias")
        y = g.op("Gemm", y, g.tensor("word_embedding"), bias, transB=1, name="decoder")
    else:
        y = g.linear(y, size.vocabulary, name="decoder")
    return g.reshape(y, [*x.shape[:2], size.vocabulary])


def _mask_penalty(g: Builder, mask: Tensor) -> Tensor:
    """0 where a token counts and -10,000 where it does not: [batch, 1, 1, sequence]."""
    for axis in (1, 2):
        mask = g.op("Unsqueeze", mask, g.constant([axis], "axes"))
    counts = g.op("Cast", mask, to=dtype_number(g.dtype))
    missing = g.op("Sub", g.constant(1.0, "one", g.dtype), counts)
    return missing * g.constant(_MASKED, "penalty", g.dtype)


def _embedding(g: Builder, size: Encoder, ids: Tensor, types: list[Tensor]) -> Tensor:
    words = g.op("Gather", g.weight((size.vocabulary, size.width), "word_embedding"), ids)
    kinds = [
        g.op("Gather", g.weight((rows, size.width), f"{kind}_type_embedding"), given)
        for kind, rows, given in zip(
            ("token", "task"), (size.token_types, size.task_types), types, strict=False
        )
    ]
    if size.token_types and not types:  # a single type, which no input chooses
        table = g.weight((size.token_types, size.width), "token_type_embedding")
        kinds = [g.op("Gather", table, g.constant([[0]], "token_type"))]
    x = words if size.rotary else words + _places(g, size, ids)
    for kind in kinds:
        x = x + kind
    return g.layer_norm(x, eps=size.eps) if size.embedding_norm else x


def _places(g: Builder, size: Encoder, ids: Tensor) -> Tensor:
    """Rows of the position table, which begin behind those of no position."""
    first = size.position_offset
    order = g.constant([range(first, first + ids.shape[1])], "position_ids")
    table = g.weight((size.positions + first, size.width), "position_embedding")
    return g.op("Gather", table, order)


def _angles(g: Builder, size: Encoder, batch: int, sequence: int) -> tuple[Tensor, Tensor]:
    """Sines and cosines of all positions, which are a table: each [batch, tokens, width / 2]."""
    width = size.hidden // size.heads
    table = g.weight((size.positions, width), "position_waves")
    found = g.op("Gather", table, g.constant([range(sequence)], "position_ids"))
    found = g.op("Expand", found, g.constant([batch, sequence, width], "shape"))
    sine, cosine = g.ops("Split", found, axis=2, num_outputs=2, outputs=2)
    return cosine, sine


def _self_attention(
    g: Builder,
    size: Encoder,
    x: Tensor,
    penalty: Tensor,
    angles: tuple[Tensor, Tensor] | None,
) -> Tensor:
    width = size.hidden // size.heads
    parts = {name: g.linear(x, size.hidden, name=name) for name in ("query", "key", "value")}
    if angles is not None:
        for name in ("query", "key"):
            turned = {"num_heads": size.heads, "interleaved": 1}
            parts[name] = g.op("RotaryEmbedding", parts[name], *angles, **turned)
    perms = {"query": (0, 2, 1, 3), "key": (0, 2, 3, 1), "value": (0, 2, 1, 3)}
    query, key, value = (
        g.transpose(g.reshape(part, [0, 0, size.heads, width]), perms[name])
        for name, part in parts.items()
    )
    scores = g.op("MatMul", query, key)
    scores = g.op("Div", scores, g.constant(width**0.5, "scale", g.dtype)) + penalty
    mixed = g.transpose(g.op("MatMul", g.softmax(scores), value), (0, 2, 1, 3))
    return g.linear(g.reshape(mixed, [0, 0, size.hidden]), size.hidden, name="attention")


def _feed_forward(g: Builder, size: Encoder, x: Tensor) -> Tensor:
    inner = activated(g, g.linear(x, size.feed_forward, name="up"), size.activation)
    return g.linear(inner, size.hidden, name="down")


def _answer(g: Builder, x: Tensor) -> list[Tensor]:
    """Scores of where the answer starts and where it ends: two of [batch, sequence]."""
    both = g.linear(x, 2, name="answer")
    axis = g.constant([-1], "axis")
    parts = g.ops("Split", both, g.constant([1, 1], "widths"), axis=-1, outputs=2)
    return [g.op("Squeeze", part, axis) for part in parts]
