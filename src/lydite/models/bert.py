"""BERT encoders, written operator by operator as exporters write them.

Of this ONNX Runtime 1.31 makes Gemm, FusedMatMul and SkipLayerNormalization. Its fusions into
Attention and EmbedLayerNormalization only match opset 11's Unsqueeze; written for them, the model
ran no faster (within 2 % on one core), so the newest opset was taken.
"""

from __future__ import annotations

from lydite.graph import Builder, Graph, Tensor
from lydite.graph.dtypes import dtype_number
from lydite.models.block_sparse import block_sparse, full_below, padded
from lydite.models.dimensions_encoders import Encoder
from lydite.models.encoder_parts import adapted, with_glyphs
from lydite.models.relative import distances, relative_attention, segments
from lydite.models.transformer import ATTENTION_OPSET, Part, activated

_MASKED = -10000.0


def bert(size: Encoder, *, batch: int, sequence: int, dtype: str = "float32") -> Graph:
    """A BERT encoder of the given dimensions; see `Encoder` for its heads."""
    g = Builder("bert", dtype=dtype, opset=ATTENTION_OPSET if size.rotary else 20)
    kinds = ["token_type_ids"] if size.type_inputs else []
    kinds += ["task_type_ids"] if size.task_types else []
    kinds += ["langs"] if size.languages else []
    ids, mask, *types = (
        g.input(part, (batch, sequence), "int64")
        for part in ("input_ids", "attention_mask", *kinds)
    )
    sparse = bool(size.block) and sequence > full_below(size.block, size.random_blocks)
    if sparse:
        ids, mask, *types = (padded(g, part, size.block) for part in (ids, mask, *types))
    penalty = _mask_penalty(g, mask)
    counts = _counts(g, mask) if size.masked else None
    x = _embedding(g, size, ids, types)
    if size.relative:  # the vector of what is to be guessed, which training alone reads
        g.weight((size.hidden,), "guessed")
    x = x if counts is None else x * counts
    mix = _mixing(g, size, penalty, ids, types, sparse=sparse)
    if size.width != size.hidden:
        x = g.linear(x, size.hidden, name="embedding_project")
    for layer in range(size.layers):
        x = _part(size, x, mix, lambda y: g.layer_norm(y, eps=size.eps))
        x = _part(size, x, lambda y: _feed_forward(g, size, y), *_of_dense(g, size, layer))
        x = x if counts is None else x * counts
    x = g.layer_norm(x, eps=size.eps) if size.order == "before" else x
    if ids.shape[1] != sequence:
        bounds = (g.constant([value], "bound") for value in (0, sequence, 1))
        x = g.op("Slice", x, *bounds)
    return g.build(*_headed(g, size, x))


def _mixing(
    g: Builder, size: Encoder, penalty: Tensor, ids: Tensor, types: list[Tensor], *, sparse: bool
) -> Part:
    """What mixes the tokens of a layer."""
    batch, sequence = ids.shape
    if size.relative:
        waves, same = distances(g, batch, sequence, size.hidden), segments(g, types[0])
        return lambda x: relative_attention(g, size, x, waves, same, penalty)
    if sparse:
        return lambda x: _self_attention(g, size, x, penalty, None, sparse=True)
    angles = _angles(g, size, batch, sequence) if size.rotary else None
    return lambda x: _self_attention(g, size, x, penalty, angles)


def _of_dense(g: Builder, size: Encoder, layer: int) -> tuple[Part, Part | None]:
    """The norm of a layer's dense part, and what comes behind that part."""

    def norm(x: Tensor) -> Tensor:
        with g.sharing(("norm", layer) if size.norm_shared else None):
            return g.layer_norm(x, eps=size.eps)

    return norm, (lambda x: adapted(g, size, x, norm)) if size.adapters else None


def _part(size: Encoder, x: Tensor, part: Part, norm: Part, behind: Part | None = None) -> Tensor:
    """One part of a layer with its norm and the addition of its input."""
    if size.order == "before":
        y = x + part(norm(x))
        return behind(y) if behind is not None else y
    y = part(x) + x
    return norm(behind(y) if behind is not None else y)


def _headed(g: Builder, size: Encoder, x: Tensor) -> list[Tensor]:
    """What the head makes of all states [batch, sequence, hidden]."""
    if size.idle_summary:
        _summary(g, size, x)
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
    pooled = _summary(g, size, x)
    if size.head == "classes":
        return [g.linear(pooled, size.classes, name="classifier")]
    return [x, pooled]


def _summary(g: Builder, size: Encoder, x: Tensor) -> Tensor:
    """A product of the first token's state: [batch, hidden]."""
    first = g.op("Gather", x, g.constant(0, "first"), axis=1)
    pooled = g.linear(first, size.hidden, name="pooler")
    return g.relu(pooled) if size.relu_pooler else g.op("Tanh", pooled)


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
        if size.idle_bias:
            g.weight((size.vocabulary,), "idle_bias")
    return g.reshape(y, [*x.shape[:2], size.vocabulary])


def _mask_penalty(g: Builder, mask: Tensor) -> Tensor:
    """0 where a token counts and -10,000 where it does not: [batch, 1, 1, sequence]."""
    for axis in (1, 2):
        mask = g.op("Unsqueeze", mask, g.constant([axis], "axes"))
    counts = g.op("Cast", mask, to=dtype_number(g.dtype))
    missing = g.op("Sub", g.constant(1.0, "one", g.dtype), counts)
    return missing * g.constant(_MASKED, "penalty", g.dtype)


def _counts(g: Builder, mask: Tensor) -> Tensor:
    """1 where a token counts and 0 where it does not: [batch, sequence, 1]."""
    counts = g.op("Cast", mask, to=dtype_number(g.dtype))
    return g.op("Unsqueeze", counts, g.constant([2], "axes"))


def _embedding(g: Builder, size: Encoder, ids: Tensor, types: list[Tensor]) -> Tensor:
    words = g.op("Gather", g.weight((size.vocabulary, size.width), "word_embedding"), ids)
    if size.relative:
        return words
    words = with_glyphs(g, size, words) if size.glyphs else words
    rows = {"token": size.token_types if size.type_inputs else 0, "task": size.task_types}
    rows |= {"language": size.languages}
    chosen = ((kind, count) for kind, count in rows.items() if count)
    kinds = [
        g.op("Gather", g.weight((count, size.width), f"{kind}_type_embedding"), given)
        for (kind, count), given in zip(chosen, types, strict=True)
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
    *,
    sparse: bool = False,
) -> Tensor:
    width = size.hidden // size.heads
    parts = {
        name: g.linear(x, size.hidden, bias=size.qkv_bias, name=name)
        for name in ("query", "key", "value")
    }
    if angles is not None:
        for name in ("query", "key"):
            turned = {"num_heads": size.heads, "interleaved": 1}
            parts[name] = g.op("RotaryEmbedding", parts[name], *angles, **turned)
    perms = {"query": (0, 2, 1, 3), "key": (0, 2, 3, 1), "value": (0, 2, 1, 3)}
    perms |= {"key": (0, 2, 1, 3)} if sparse else {}
    query, key, value = (
        g.transpose(g.reshape(part, [0, 0, size.heads, width]), perms[name])
        for name, part in parts.items()
    )
    if sparse:
        mixed = block_sparse(g, query, key, value, penalty, size.block, size.random_blocks)
    else:
        scores = g.op("MatMul", query, key)
        scores = g.op("Div", scores, g.constant(width**0.5, "scale", g.dtype)) + penalty
        mixed = g.op("MatMul", g.softmax(scores), value)
    mixed = g.transpose(mixed, (0, 2, 1, 3))
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
