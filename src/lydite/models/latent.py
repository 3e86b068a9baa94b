"""Multi-head latent attention, and the indexer that selects tokens for it."""

from __future__ import annotations

from typing import Any

from lydite.graph import Builder, Tensor
from lydite.models.blocks import (
    LatentAttention,
)
from lydite.models.dimensions import Stack
from lydite.models.tokens import Tokens, gated_by_head, normed, split


def latent(x: Tensor, a: LatentAttention, size: Stack, t: Tokens) -> Tensor:
    """Latent attention: over full heads where there is no cache, over the latents where there is.

    A decoding step multiplies the query with the matrix that makes keys, attends to the cached
    latents as one shared head, and multiplies what comes out with the matrix that makes values
    (arXiv:2405.04434, section 2.1.2); the weights are the same in number.
    """
    g = t.g
    query, compressed = _query(g, x, a, size)
    query_nope, query_rope = split(g, query, [a.nope, a.rope])
    latent, key_rope = split(
        g, g.linear(x, a.kv_rank + a.rope, bias=a.bias, name="kv_down"), [a.kv_rank, a.rope]
    )
    latent = normed(g, latent, size)
    angles = t.angles(a.rope_theta, a.rope)
    key_rope = g.op("RotaryEmbedding", key_rope, *angles, num_heads=1)
    flat = g.reshape(query_rope, [0, 0, a.heads * a.rope])
    query_rope = g.op("RotaryEmbedding", flat, *angles, num_heads=a.heads)
    query_rope = g.reshape(query_rope, [0, 0, a.heads, a.rope])
    attended = _selected(x, compressed, a, t)
    absorbed = t.cached and t.context > 0
    attend = _over_latents if absorbed else _over_heads
    mixed = attend(query_nope, query_rope, latent, key_rope, a, t, attended)
    if a.head_gate:
        mixed = gated_by_head(g, mixed, x, a.heads)
    return g.linear(mixed, size.hidden, bias=a.bias, name="attention_output")


def _query(g: Builder, x: Tensor, a: LatentAttention, size: Stack) -> tuple[Tensor, Tensor | None]:
    """Queries by head [batch, tokens, heads, nope + rope], and what they were compressed to."""
    width = a.heads * (a.nope + a.rope)
    compressed = None
    if a.query_rank:
        compressed = g.linear(x, a.query_rank, bias=a.bias, name="query_down")
        compressed = normed(g, compressed, size)
        query = g.linear(compressed, width, bias=False, name="query_up")
    else:
        query = g.linear(x, width, bias=False, name="query")
    return g.reshape(query, [0, 0, a.heads, a.nope + a.rope]), compressed


def _selected(x: Tensor, compressed: Tensor | None, a: LatentAttention, t: Tokens) -> int | None:
    """The indexer of sparse attention: how many tokens a query attends to; None for all.

    It scores all earlier tokens with few small heads (DeepSeek-V3.2-Exp, section 2.1).
    """
    if not a.index_heads:
        return None
    g, width = t.g, a.index_heads * a.index_size
    query = g.linear(x if compressed is None else compressed, width, bias=False, name="index_q")
    key = g.linear(x, a.index_size, bias=False, name="index_k")
    key = g.layer_norm(key, eps=1e-6)
    weights = g.linear(x, a.index_heads, bias=False, name="index_weights")
    past = t.past("index", (t.batch, t.context, a.index_size))
    keys = key if past is None else g.concat([past, key], 1)
    t.keep("index", keys)
    apart = g.transpose(g.reshape(query, [0, 0, a.index_heads, a.index_size]), (0, 2, 1, 3))
    scores = g.relu(g.op("MatMul", apart, g.op("Unsqueeze", _last_two(g, keys), g.constant([1]))))
    weights = g.op("Unsqueeze", g.transpose(weights, (0, 2, 1)), g.constant([3]))
    scored = g.op("ReduceSum", scores * weights, g.constant([1], "axes"), keepdims=0)
    top = min(a.index_top, t.context + t.count)
    if top < t.context + t.count:
        g.ops("TopK", scored, g.constant([top], "top"), axis=-1, outputs=2)
        return top
    return None


def _last_two(g: Builder, x: Tensor) -> Tensor:
    return g.transpose(x, (0, 2, 1))


def _over_heads(
    query_nope: Tensor,
    query_rope: Tensor,
    latent: Tensor,
    key_rope: Tensor,
    a: LatentAttention,
    t: Tokens,
    attended: int | None,
) -> Tensor:
    g, width = t.g, a.nope + a.rope
    both = g.linear(latent, a.heads * (a.nope + a.value), bias=False, name="kv_up")
    both = g.reshape(both, [0, 0, a.heads, a.nope + a.value])
    key_nope, value = split(g, both, [a.nope, a.value])
    shape = g.constant([t.batch, t.count, a.heads, a.rope], "shape")
    shared = g.op("Expand", g.reshape(key_rope, [0, 0, 1, a.rope]), shape)
    query = g.reshape(g.concat([query_nope, query_rope], 3), [0, 0, a.heads * width])
    key = g.reshape(g.concat([key_nope, shared], 3), [0, 0, a.heads * width])
    value = g.reshape(value, [0, 0, a.heads * a.value])
    if t.cached:
        t.keep("latent", g.op("Unsqueeze", g.concat([latent, key_rope], 2), g.constant([1])))
    attrs: dict[str, Any] = {"is_causal": 1} if t.causal else {}
    attrs |= {"window": attended} if attended is not None else {}
    heads = {"q_num_heads": a.heads, "kv_num_heads": a.heads}
    return g.op("Attention", query, key, value, **heads, **attrs)


def _over_latents(
    query_nope: Tensor,
    query_rope: Tensor,
    latent: Tensor,
    key_rope: Tensor,
    a: LatentAttention,
    t: Tokens,
    attended: int | None,
) -> Tensor:
    g, width = t.g, a.kv_rank + a.rope
    past = t.past("latent", (t.batch, 1, t.context, width))
    up = g.weight((a.heads, a.nope, a.kv_rank), "key_up.weight")
    by_head = g.transpose(query_nope, (0, 2, 1, 3))
    absorbed = g.transpose(g.op("MatMul", by_head, up, name="key_up"), (0, 2, 1, 3))
    query = g.reshape(g.concat([absorbed, query_rope], 3), [0, 0, a.heads * width])
    key = g.concat([latent, key_rope], 2)
    mixed, kept = g.ops(
        "LatentAttention",
        query,
        key,
        past,
        domain="lydite",
        outputs=2,
        num_heads=a.heads,
        value_size=a.kv_rank,
        scale=(a.nope + a.rope) ** -0.5,
        window=attended,
    )
    t.keep("latent", kept)
    mixed = g.transpose(g.reshape(mixed, [0, 0, a.heads, a.kv_rank]), (0, 2, 1, 3))
    down = g.weight((a.heads, a.kv_rank, a.value), "value_up.weight")
    values = g.transpose(g.op("MatMul", mixed, down, name="value_up"), (0, 2, 1, 3))
    return g.reshape(values, [0, 0, a.heads * a.value])
