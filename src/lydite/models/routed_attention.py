"""Attention whose query and output matrices a router chooses for each token (JetMoE)."""

from __future__ import annotations

from lydite.errors import InputError
from lydite.graph import Builder, Tensor
from lydite.models.attention import attended, turned
from lydite.models.blocks import RoutedAttention
from lydite.models.dimensions import Stack
from lydite.models.quantised import QuantisedBuilder
from lydite.models.tokens import Tokens, split


def routed_attention(x: Tensor, m: RoutedAttention, size: Stack, t: Tokens) -> Tensor:
    """States [batch, tokens, hidden] through chosen queries, attention and chosen outputs.

    Raises:
        InputError: weights of few bits, which the chosen matrices have no form for.
    """
    g, a = t.g, m.attention
    if isinstance(g, QuantisedBuilder):
        raise InputError("a mixture of attention heads is not built with weights of few bits")
    wide, narrow = a.heads * a.size, a.key_heads * a.size
    flat = g.reshape(x, [-1, size.hidden])
    shares, chosen = _routed(g, flat, m)
    query = _product(g, flat, chosen, (m.count, size.hidden, narrow), "query")
    query = _by_key_head(g, query, m.per_token, a.key_heads)
    query = g.reshape(query, [t.batch, t.count, wide])
    key, value = split(g, g.linear(x, 2 * narrow, bias=False, name="key_value"), [narrow, narrow])
    query, key = turned(query, a, a.heads, t), turned(key, a, a.key_heads, t)
    mixed = g.reshape(
        attended(query, key, value, a, t, None), [-1, a.key_heads, wide // a.key_heads]
    )
    mixed = _by_key_head(g, mixed, a.key_heads, m.per_token)
    mixed = g.reshape(mixed, [-1, m.per_token, narrow])
    outputs = _product(g, mixed, chosen, (m.count, narrow, size.hidden), "attention_output")
    weighted = outputs * g.reshape(shares, [0, 0, 1])
    y = g.op("ReduceSum", weighted, g.constant([1], "axes"), keepdims=0)
    y = y + g.weight((size.hidden,), "attention_output.bias")
    return g.reshape(y, [t.batch, t.count, size.hidden])


def _routed(g: Builder, tokens: Tensor, m: RoutedAttention) -> tuple[Tensor, Tensor]:
    """Shares of the chosen matrices of each token, and which they are: [tokens, chosen]."""
    scores = g.linear(tokens, m.count, bias=False, name="router")
    best, chosen = g.ops("TopK", scores, g.constant([m.per_token], "k"), axis=1, outputs=2)
    return g.softmax(best), chosen


def _by_key_head(g: Builder, x: Tensor, outer: int, inner: int) -> Tensor:
    """Heads of x [tokens, outer, inner x size] the other way round: [tokens, inner, outer, size].

    Queries that share a key lie side by side for attention, and by group for the products.
    """
    apart = g.reshape(x, [0, outer, inner, int(x.shape[-1]) // inner])
    return g.transpose(apart, (0, 2, 1, 3))


def _product(
    g: Builder, x: Tensor, chosen: Tensor, shape: tuple[int, int, int], name: str
) -> Tensor:
    matrices = g.weight(shape, f"{name}.experts")
    return g.op("MoEMatMul", x, chosen, matrices, domain="lydite", name=name)
