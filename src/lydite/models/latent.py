"""Multi-head latent attention: keys and values of all heads from one compressed one."""

from __future__ import annotations

from typing import Any

from lydite.graph import Builder, Tensor
from lydite.models.blocks import (
    LatentAttention,
)
from lydite.models.dimensions import Stack
from lydite.models.indexer import scaled_by_position, selected
from lydite.models.tokens import Tokens, gated_by_head, normed, split, with_sinks


def latent(x: Tensor, a: LatentAttention, size: Stack, t: Tokens) -> Tensor:
    """Latent attention: over full heads where there is no cache, over the latents where there is.

    A decoding step multiplies the query with the matrix that makes keys, attends to the cached
    latents as one shared head, and multiplies what comes out with the matrix that makes values
    (arXiv:2405.04434, section 2.1.2); the weights are the same in number.
    """
    g = t.g
    query, compressed, gate = _query(g, x, a, size)
    query_nope, query_rope = split(g, query, [a.nope, a.rope]) if a.rope else (query, None)
    latent, key_rope = _keys(x, a, size, t)
    if query_rope is not None:
        angles = t.angles(a.rope_theta, a.rope)
        flat = g.reshape(query_rope, [0, 0, a.heads * a.rope])
        query_rope = g.op("RotaryEmbedding", flat, *angles, num_heads=a.heads)
        query_rope = g.reshape(query_rope, [0, 0, a.heads, a.rope])
    if a.scaled:
        query_nope, query_rope = _scaled(query_nope, query_rope, a, t)
    attended = selected(x, compressed, a, t)
    kept = t.context if a.window is None else min(t.context, a.window - 1)
    if a.window is not None and kept + t.count > a.window:
        attended = a.window
    absorbed = t.cached and t.context > 0
    attend = _over_latents if absorbed else _over_heads
    mixed = attend(query_nope, query_rope, latent, key_rope, a, t, attended)
    if a.sinks:
        mixed = with_sinks(g, mixed, a.heads)
    if a.gated:
        gate = g.linear(x, a.heads * a.value, bias=False, name="gate")
    if gate is not None:
        mixed = mixed * g.op("Sigmoid", gate)
    if a.head_gate:
        mixed = gated_by_head(g, mixed, x, a.heads)
    return g.linear(mixed, size.hidden, bias=a.bias, name="attention_output")


def _keys(x: Tensor, a: LatentAttention, size: Stack, t: Tokens) -> tuple[Tensor, Tensor | None]:
    """What keys and values are made of, and the key's part with positions: own, or another's."""
    g = t.g
    if a.shared_from is not None:
        latent, key_rope, _ = t.attended[a.shared_from]
        return latent, key_rope if a.rope else None
    down = g.linear(x, a.kv_rank + a.rope, bias=a.bias, name="kv_down")
    latent, key_rope = split(g, down, [a.kv_rank, a.rope]) if a.rope else (down, None)
    latent = normed(g, latent, size)
    if key_rope is not None:
        key_rope = normed(g, key_rope, size) if a.rope_norm else key_rope
        key_rope = g.op("RotaryEmbedding", key_rope, *t.angles(a.rope_theta, a.rope), num_heads=1)
    return latent, key_rope


def _scaled(
    query_nope: Tensor, query_rope: Tensor | None, a: LatentAttention, t: Tokens
) -> tuple[Tensor, Tensor | None]:
    """Queries scaled by position, both parts alike."""
    if query_rope is None:
        return scaled_by_position(query_nope, a.heads, t), None
    both = scaled_by_position(t.g.concat([query_nope, query_rope], 3), a.heads, t)
    first, last = split(t.g, both, [a.nope, a.rope])
    return first, last


def _query(
    g: Builder, x: Tensor, a: LatentAttention, size: Stack
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Queries by head [batch, tokens, heads, nope + rope], what they were compressed to, a gate."""
    width = a.heads * (a.nope + a.rope)
    compressed = None
    if a.query_gate:
        plain = g.linear(x, a.query_rank, bias=a.bias, name="query_down")
        compressed = normed(g, plain, size)
        total = width + a.heads * a.value
        both = g.linear(g.concat([compressed, plain], 2), total, bias=False, name="query_up")
        query, gate = split(g, both, [width, a.heads * a.value])
        return g.reshape(query, [0, 0, a.heads, a.nope + a.rope]), compressed, gate
    if a.query_rank:
        compressed = g.linear(x, a.query_rank, bias=a.bias, name="query_down")
        compressed = normed(g, compressed, size)
        query = g.linear(compressed, width, bias=False, name="query_up")
    else:
        query = g.linear(x, width, bias=False, name="query")
    return g.reshape(query, [0, 0, a.heads, a.nope + a.rope]), compressed, None


def _over_heads(
    query_nope: Tensor,
    query_rope: Tensor | None,
    latent: Tensor,
    key_rope: Tensor | None,
    a: LatentAttention,
    t: Tokens,
    attended: int | None,
) -> Tensor:
    g, width = t.g, a.nope + a.rope
    both = g.linear(latent, a.heads * (a.nope + a.value), bias=False, name="kv_up")
    both = g.reshape(both, [0, 0, a.heads, a.nope + a.value])
    key_nope, value = split(g, both, [a.nope, a.value])
    query, key = query_nope, key_nope
    if query_rope is not None and key_rope is not None:
        shape = g.constant([t.batch, t.count, a.heads, a.rope], "shape")
        shared = g.op("Expand", g.reshape(key_rope, [0, 0, 1, a.rope]), shape)
        query = g.concat([query_nope, query_rope], 3)
        key = g.concat([key_nope, shared], 3)
    query = g.reshape(query, [0, 0, a.heads * width])
    key = g.reshape(key, [0, 0, a.heads * width])
    value = g.reshape(value, [0, 0, a.heads * a.value])
    t.attended[t.layer] = (latent, latent if key_rope is None else key_rope, None)
    if t.cached and a.shared_from is None:
        kept = latent if key_rope is None else g.concat([latent, key_rope], 2)
        t.keep("latent", g.op("Unsqueeze", kept, g.constant([1])))
    attrs: dict[str, Any] = {"is_causal": 1} if t.causal else {}
    attrs |= {"window": attended} if attended is not None else {}
    heads = {"q_num_heads": a.heads, "kv_num_heads": a.heads}
    return g.op("Attention", query, key, value, **heads, **attrs)


def _over_latents(
    query_nope: Tensor,
    query_rope: Tensor | None,
    latent: Tensor,
    key_rope: Tensor | None,
    a: LatentAttention,
    t: Tokens,
    attended: int | None,
) -> Tensor:
    g, width = t.g, a.kv_rank + a.rope
    context = t.context if a.window is None else min(t.context, a.window - 1)
    if a.shared_from is None:
        past = t.past("latent", (t.batch, 1, context, width))
    else:
        _, _, both = t.attended[a.shared_from]
        past = both[0] if both is not None else None
    t.attended[t.layer] = (latent, latent if key_rope is None else key_rope, (past, None))
    up = g.weight((a.heads, a.nope, a.kv_rank), "key_up.weight")
    by_head = g.transpose(query_nope, (0, 2, 1, 3))
    absorbed = g.transpose(g.op("MatMul", by_head, up, name="key_up"), (0, 2, 1, 3))
    query, key = absorbed, latent
    if query_rope is not None and key_rope is not None:
        query, key = g.concat([absorbed, query_rope], 3), g.concat([latent, key_rope], 2)
    query = g.reshape(query, [0, 0, a.heads * width])
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
    if a.shared_from is None:
        t.keep("latent", kept)
    mixed = g.transpose(g.reshape(mixed, [0, 0, a.heads, a.kv_rank]), (0, 2, 1, 3))
    down = g.weight((a.heads, a.kv_rank, a.value), "value_up.weight")
    values = g.transpose(g.op("MatMul", mixed, down, name="value_up"), (0, 2, 1, 3))
    return g.reshape(values, [0, 0, a.heads * a.value])
