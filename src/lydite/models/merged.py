"""Attention to a text and to an encoder's states at once: T5Gemma 2's decoder."""

from __future__ import annotations

import numpy as np

from lydite.graph import Builder, Tensor
from lydite.graph.dtypes import numpy_dtype
from lydite.models.attention import turned
from lydite.models.blocks import Attention, MergedAttention
from lydite.models.dimensions import Stack
from lydite.models.tokens import Tokens, by_head, normed

_HIDDEN = -10000.0


def merged(x: Tensor, m: MergedAttention, size: Stack, t: Tokens) -> Tensor:
    """States [batch, tokens, hidden] attend to earlier ones and to all of the encoder's.

    Keys and values of both are made by the same products and kept apart: those of the encoder's
    states do not change. There are as many of these as tokens of a prompt, or as are cached.
    """
    g, a = t.g, m.attention
    query = by_head(g, g.linear(x, a.heads * a.size, bias=a.qkv_bias, name="query"), a.heads)
    query = _turned(g, normed(g, query, size), a, a.heads, t)
    key, value = _made(g, x, a, size, t)
    key = _turned(g, key, a, a.key_heads, t)
    kept = t.context if a.window is None else min(t.context, a.window - 1)
    own = [_longer(t, name, new, kept) for name, new in (("key", key), ("value", value))]
    shape = (t.batch, a.key_heads, t.context or t.count, a.size)
    there = [t.past(name, shape) for name in ("encoder_key", "encoder_value")]
    if there[0] is None:
        there = list(_made(g, t.elsewhere(shape[2], m.width), a, size, t))
        t.keep("encoder_key", there[0])
        t.keep("encoder_value", there[1])
    keys, values = (g.concat([o, e], 2) for o, e in zip(own, there, strict=True) if e is not None)
    hidden = [_later(g, t.count, kept, shape[2])] if t.count > 1 else []
    mixed = g.transpose(g.op("Attention", query, keys, values, *hidden), (0, 2, 1, 3))
    mixed = g.reshape(mixed, [0, 0, a.heads * a.size])
    return g.linear(mixed, size.hidden, bias=a.output_bias, name="attention_output")


def _made(g: Builder, x: Tensor, a: Attention, size: Stack, t: Tokens) -> tuple[Tensor, Tensor]:
    """Normalised keys, and values, with the weights of the layer: [batch, heads, states, size]."""
    with g.sharing(("merged", t.layer)):
        key, value = (
            by_head(g, g.linear(x, a.key_heads * a.size, bias=a.qkv_bias, name=name), a.key_heads)
            for name in ("key", "value")
        )
        return normed(g, key, size), value


def _turned(g: Builder, x: Tensor, a: Attention, heads: int, t: Tokens) -> Tensor:
    """Queries or keys by head, with rotary positions."""
    flat = g.reshape(g.transpose(x, (0, 2, 1, 3)), [0, 0, heads * a.size])
    return by_head(g, turned(flat, a, heads, t), heads)


def _longer(t: Tokens, name: str, new: Tensor, kept: int) -> Tensor:
    """Keys or values behind those that are cached, which are given back."""
    batch, heads, _, width = new.shape
    past = t.past(name, (batch, heads, kept, width))
    both = new if past is None else t.g.concat([past, new], 2)
    t.keep(name, both)
    return both


def _later(g: Builder, tokens: int, before: int, beside: int) -> Tensor:
    """What hides later tokens, and none of the encoder's states: [1, 1, tokens, keys]."""

    def full(width: int, value: float) -> Tensor:
        of = np.full(1, value).astype(numpy_dtype(g.dtype))
        return g.op("ConstantOfShape", g.constant([1, 1, tokens, width], "shape"), value=of)

    hidden = g.op("Trilu", full(before + tokens, _HIDDEN), g.constant(before + 1, "first"), upper=1)
    return g.concat([hidden, full(beside, 0.0)], 3)
