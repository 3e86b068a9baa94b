"""Attention to a window of tokens and to compressed earlier ones (DeepSeek-V4, section 2.3)."""

from __future__ import annotations

from typing import Any

from lydite.graph import Tensor
from lydite.models.blocks import CompressedAttention
from lydite.models.dimensions import Stack
from lydite.models.indexer import first_angles, pooled, scores
from lydite.models.tokens import Tokens, normed, plain_normed, with_sinks


def compressed(x: Tensor, a: CompressedAttention, size: Stack, t: Tokens) -> Tensor:
    """States [batch, tokens, hidden] through compressed attention and its projections.

    Keys are values as well. What is cached is the window's keys and one key for every `rate`
    tokens before, in one input; the tokens after the last full `rate` wait in another.
    """
    g = t.g
    low = normed(g, g.linear(x, a.query_rank, bias=False, name="query_down"), size)
    query = g.linear(low, a.heads * a.size, bias=False, name="query_up")
    query = plain_normed(g, g.reshape(query, [0, 0, a.heads, a.size]), size)
    query = _turned(g.reshape(query, [0, 0, a.heads * a.size]), a, a.heads, t)
    key = normed(g, g.linear(x, a.size, bias=False, name="kv"), size)
    key = _turned(key, a, 1, t)
    entries, seen = _entries(x, low, a, size, t)
    mixed = _attended(query, key, entries, seen, a, t)
    mixed = with_sinks(t.g, _turned(mixed, a, a.heads, t), a.heads)
    return _output(mixed, a, size, t)


def _turned(x: Tensor, a: CompressedAttention, heads: int, t: Tokens) -> Tensor:
    """Rotary positions of some entries of every head; at the end those of the query are undone."""
    angles = t.angles(a.rope_theta, a.rotary)
    part = {} if a.rotary == a.size else {"rotary_embedding_dim": a.rotary}
    return t.g.op("RotaryEmbedding", x, *angles, num_heads=heads, **part)


def _entries(
    x: Tensor, low: Tensor, a: CompressedAttention, size: Stack, t: Tokens
) -> tuple[Tensor | None, int]:
    """Compressed tokens that came to be now, and how many of all a query attends to."""
    if not a.rate:
        return None, 0
    new = _compressed(x, a.size, "entry", a, size, t)
    count = (t.context + t.count) // a.rate
    if not a.index_heads:
        return new, count
    keys = _compressed(x, a.index_size, "index", a, size, t)
    past = t.context // a.rate
    before = t.past("index", (t.batch, past, a.index_size)) if past else None
    keys = keys if before is None else t.g.concat([before, keys], 1)
    t.keep("index", keys)
    width = a.index_heads * a.index_size
    query = t.g.linear(low, width, bias=False, name="index_q")
    query = t.g.op(
        "RotaryEmbedding",
        query,
        *t.angles(a.rope_theta, a.rotary),
        num_heads=a.index_heads,
        rotary_embedding_dim=a.rotary,
    )
    weights = t.g.linear(x, a.index_heads, bias=False, name="index_weights")
    scored = scores(t.g, query, keys, weights)
    top = min(a.index_top, count)
    if top < count:
        t.g.ops("TopK", scored, t.g.constant([top], "top"), axis=-1, outputs=2)
    return new, top


def _compressed(
    x: Tensor, width: int, name: str, a: CompressedAttention, size: Stack, t: Tokens
) -> Tensor:
    """Means of `rate` tokens each [batch, means, width], of all that are full now."""
    g, series = t.g, 2 if a.overlapped else 1
    parts = [
        g.linear(x, series * width, bias=False, name=f"{name}_{part}") for part in ("key", "gate")
    ]
    packed, waiting = g.concat(parts, 2), t.context % a.rate
    if waiting:
        past = t.past(f"{name}_open", (t.batch, waiting, 2 * series * width))
        packed = packed if past is None else g.concat([past, packed], 1)
    t.keep(f"{name}_open", packed)
    means = normed(g, pooled(g, packed, a.rate, series), size)
    angles = first_angles(g, t.angles(a.rope_theta, a.rotary), int(means.shape[1]))
    part = {} if a.rotary == width else {"rotary_embedding_dim": a.rotary}
    return g.op("RotaryEmbedding", means, *angles, num_heads=1, **part)


def _attended(
    query: Tensor,
    key: Tensor,
    entries: Tensor | None,
    seen: int,
    a: CompressedAttention,
    t: Tokens,
) -> Tensor:
    g, kept = t.g, min(t.context, a.window - 1)
    attended = min(a.window, kept + t.count) + seen
    if not t.cached:
        full = seen and entries is not None
        keys = g.concat([key, entries], 1) if full and entries is not None else key
        heads: dict[str, Any] = {"q_num_heads": a.heads, "kv_num_heads": 1}
        return g.op("Attention", query, keys, keys, window=attended, **heads)
    before = kept + (t.context // a.rate if a.rate else 0)
    past = t.past("key", (t.batch, 1, before, a.size)) if before else None
    if past is None and seen and entries is not None:
        past = g.op("Unsqueeze", entries, g.constant([1]))
    elif entries is not None:
        t.keep("entry", entries)
    mixed, cached = g.ops(
        "LatentAttention",
        query,
        key,
        past,
        domain="lydite",
        outputs=2,
        num_heads=a.heads,
        value_size=a.size,
        scale=a.size**-0.5,
        window=attended,
    )
    t.keep("key", cached)
    return mixed


def _output(mixed: Tensor, a: CompressedAttention, size: Stack, t: Tokens) -> Tensor:
    """Each group of heads is compressed by itself, then all together make the states."""
    g, width = t.g, a.heads * a.size // a.groups
    apart = g.reshape(mixed, [t.batch * t.count, a.groups, width])
    weight = g.weight((a.groups, width, a.output_rank), "output_down.weight")
    low = g.op("MatMul", g.transpose(apart, (1, 0, 2)), weight, name="output_down")
    low = g.transpose(low, (1, 0, 2))
    low = g.reshape(low, [t.batch, t.count, a.groups * a.output_rank])
    return g.linear(low, size.hidden, bias=False, name="attention_output")
