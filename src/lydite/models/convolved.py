"""Attention whose queries and keys are convolved: ZAYA's compressed convolutional attention."""

from __future__ import annotations

from lydite.graph import Tensor
from lydite.models.attention import attended, turned
from lydite.models.blocks import Attention, ConvolvedAttention
from lydite.models.dimensions import Stack
from lydite.models.tokens import Tokens, convolved, plain_normed, shifted, split, with_before


def convolved_attention(x: Tensor, m: ConvolvedAttention, size: Stack, t: Tokens) -> Tensor:
    """States [batch, tokens, hidden] through convolutions and attention (arXiv:2510.04476)."""
    g, a = t.g, m.attention
    wide, narrow = a.heads * a.size, a.key_heads * a.size
    query = g.linear(x, wide, bias=a.qkv_bias, name="query")
    key = g.linear(x, narrow, bias=a.qkv_bias, name="key")
    both = g.concat([query, key], 2)
    both = convolved(both, m.channelwise, t, name="channels", bias=True, activation="none")
    mixed_query, mixed_key = split(g, _by_head(both, m, t), [wide, narrow])
    mean_query, mean_key = _means(query, key, a, t)
    query, key = mixed_query + mean_query, mixed_key + mean_key
    now, late = (
        g.linear(x, narrow // 2, bias=a.qkv_bias, name=name) for name in ("value", "late_value")
    )
    value = g.concat([now, shifted(late, t, "value_before")], 2)
    query = g.reshape(plain_normed(g, g.reshape(query, [0, 0, a.heads, a.size]), size), [0, 0, -1])
    key = plain_normed(g, g.reshape(key, [0, 0, a.key_heads, a.size]), size)
    key = g.reshape(key * g.weight((a.key_heads, 1), "key.scale"), [0, 0, -1])
    query, key = turned(query, a, a.heads, t), turned(key, a, a.key_heads, t)
    mixed = attended(query, key, value, a, t, None)
    return g.linear(mixed, size.hidden, bias=a.output_bias, name="attention_output")


def _means(query: Tensor, key: Tensor, a: Attention, t: Tokens) -> tuple[Tensor, Tensor]:
    """Means of each query and its key, and of those in turn for each key."""
    g, each = t.g, a.heads // a.key_heads
    apart = g.reshape(query, [0, 0, a.key_heads, each, a.size])
    mean = apart + g.reshape(key, [0, 0, a.key_heads, 1, a.size])
    mean = mean * g.constant(0.5, "half", g.dtype)
    of_keys = g.op("ReduceMean", mean, g.constant([3], "axes"), keepdims=0)
    return g.reshape(mean, [0, 0, a.heads * a.size]), g.reshape(of_keys, [0, 0, -1])


def _by_head(x: Tensor, m: ConvolvedAttention, t: Tokens) -> Tensor:
    """A causal convolution over all channels of a head."""
    g, a, channels = t.g, m.attention, int(x.shape[-1])
    wide = with_before(g.transpose(x, (0, 2, 1)), m.by_head - 1, t, "heads")
    groups = a.heads + a.key_heads
    return g.transpose(g.conv(wide, channels, m.by_head, group=groups, name="heads"), (0, 2, 1))
