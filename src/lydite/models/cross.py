"""Attention to states from elsewhere, and the difference of two attentions."""

from __future__ import annotations

import math

from lydite.graph import Builder, Tensor
from lydite.models.blocks import CrossAttention, DifferentialAttention
from lydite.models.dimensions import Stack
from lydite.models.tokens import Tokens, by_head, normed, plain_normed


def cross(x: Tensor, a: CrossAttention, size: Stack, t: Tokens) -> Tensor:
    """States [batch, tokens, hidden] attend to those from elsewhere.

    Their keys and values come from the input `cross_states` where nothing is cached yet, and are
    kept; a later step takes them as they are, whatever the number of its tokens. Where they are
    not kept, every step makes them.
    """
    g = t.g
    query = _by_head(g, g.linear(x, a.heads * a.size, bias=a.bias, name="query"), a.heads, a, size)
    shape = (t.batch, a.kv_heads, a.count, a.size)
    key, value = (t.past(part, shape) if a.cached else None for part in ("key", "value"))
    if key is None or value is None:
        states, width = t.elsewhere(a.count, a.width), a.kv_heads * a.size
        key, value = (
            g.linear(states, width, bias=a.bias, name=name) for name in ("cross_key", "cross_value")
        )
        key, value = _by_head(g, key, a.kv_heads, a, size), by_head(g, value, a.kv_heads)
        if a.cached:
            t.keep("key", key)
            t.keep("value", value)
    mixed = g.transpose(g.op("Attention", query, key, value), (0, 2, 1, 3))
    mixed = g.reshape(mixed, [0, 0, a.heads * a.size])
    y = g.linear(mixed, size.hidden, bias=a.bias, name="attention_output")
    return y * g.op("Tanh", g.weight((1,), "gate")) if a.gated else y


def _by_head(g: Builder, x: Tensor, heads: int, a: CrossAttention, size: Stack) -> Tensor:
    apart = g.reshape(x, [0, 0, heads, a.size])
    return g.transpose(normed(g, apart, size) if a.normed else apart, (0, 2, 1, 3))


def differential(x: Tensor, a: DifferentialAttention, size: Stack, t: Tokens) -> Tensor:
    """Two attentions with the same queries and keys, one to each half of the heads of values.

    Heads of the second half are subtracted from those of the first, times a learned number
    (arXiv:2410.05258, equations 1 to 3).
    """
    g, width = t.g, a.kv_heads * a.size
    query, key, value = (
        g.linear(x, wide, bias=a.bias, name=name)
        for name, wide in (("query", a.heads * a.size), ("key", width), ("value", width))
    )
    angles = t.angles(a.rope_theta, a.size)
    query = by_head(g, g.op("RotaryEmbedding", query, *angles, num_heads=a.heads), a.heads)
    key = by_head(g, g.op("RotaryEmbedding", key, *angles, num_heads=a.kv_heads), a.kv_heads)
    value = by_head(g, value, a.kv_heads)
    shape = (t.batch, a.kv_heads, t.context, a.size)
    both = []
    for name, new in (("key", key), ("value", value)):
        past = t.past(name, shape)
        both.append(new if past is None else g.concat([past, new], 2))
        t.keep(name, both[-1])
    keys, values = both
    halves = g.ops("Split", values, axis=1, num_outputs=2, outputs=2)
    causal = {"is_causal": 1} if t.causal and not t.context else {}
    mixed = g.concat(
        [g.op("Attention", query, keys, g.concat([half, half], 1), **causal) for half in halves], 3
    )
    first, second = g.ops("Split", mixed, axis=1, num_outputs=2, outputs=2)
    start = 0.8 - 0.6 * math.exp(-0.3 * t.layer)
    difference = first + g.op("Neg", second * _share(g, a.size, start))
    y = plain_normed(g, difference, size) * g.constant(1 - start, "rest", g.dtype)
    y = g.transpose(y, (0, 2, 1, 3))
    y = g.reshape(y, [0, 0, a.heads * a.size])
    return g.linear(y, size.hidden, bias=a.bias, name="attention_output")


def _share(g: Builder, width: int, start: float) -> Tensor:
    """Of how much is subtracted: exp(a b) - exp(c d) + start, of four learned vectors."""
    first, second = (
        g.op("Exp", g.op("ReduceSum", g.weight((width,), "lambda") * g.weight((width,), "lambda")))
        for _ in range(2)
    )
    return first + g.op("Neg", second) + g.constant(start, "start", g.dtype)
