"""Softmax attention: grouped queries, windows, rotary positions, a cache of keys and values."""

from __future__ import annotations

from typing import Any

from lydite.graph import Builder, Tensor
from lydite.models.blocks import (
    Attention,
)
from lydite.models.dimensions import Stack
from lydite.models.indexer import chosen_by_pools
from lydite.models.tokens import (
    Past,
    Tokens,
    by_head,
    convolved,
    gated_by_head,
    normed,
    plain_normed,
    split,
    with_sinks,
)


def attention(x: Tensor, a: Attention, size: Stack, t: Tokens) -> Tensor:
    """States [batch, tokens, hidden] through attention and its projections."""
    g = t.g
    query, key, value, gate = _projected(g, x, a)
    query = turned(_head_normed(g, query, a.heads, a, size), a, a.heads, t)
    if a.shared_from is not None:
        key, value, past = t.attended[a.shared_from]
    else:
        assert key is not None and value is not None
        if a.kv_kernel:
            key, value = (
                part + convolved(part, a.kv_kernel, t, name=f"{name}_window", activation="none")
                for part, name in ((key, "key"), (value, "value"))
            )
        key = turned(_head_normed(g, key, a.key_heads, a, size), a, a.key_heads, t)
        if a.value_norm:
            apart = g.reshape(value, [0, 0, a.key_heads, a.value_size])
            value = g.reshape(plain_normed(g, apart, size), [0, 0, a.key_heads * a.value_size])
        past = None
    bias = _distance_biases(x, a, t) if a.relative else t.bias
    chosen = chosen_by_pools(x, a, size, t) if a.index_heads else None
    if a.value_bias:
        bias = _value_biases(value, a, t)
        chosen = _best_by_bias(bias, a, t)
    mixed = attended(query, key, value, a, t, past, bias, chosen)
    if a.head_norm:
        apart = g.reshape(mixed, [0, 0, a.heads, a.value_size])
        mixed = g.reshape(plain_normed(g, apart, size), [0, 0, a.heads * a.value_size])
    if gate is not None:
        gate = _shifted(g, gate, a) if a.gate_shift else gate
        mixed = mixed * g.op("Sigmoid", gate)
    if a.sinks:
        mixed = with_sinks(g, mixed, a.heads)
    if a.head_gate:
        mixed = gated_by_head(g, mixed, x, a.heads)
    if a.output_norm:
        mixed = normed(g, mixed, size)
    return g.linear(mixed, size.hidden, bias=a.output_bias, name="attention_output")


def _projected(
    g: Builder, x: Tensor, a: Attention
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Query, key, value and output gate; no key and value where another layer's are used."""
    if a.packed:
        widths = [a.heads * a.size, a.key_heads * a.size, a.key_heads * a.value_size]
        packed = g.linear(x, sum(widths), bias=a.qkv_bias, name="qkv")
        query, key, value = split(g, packed, widths)
        return query, key, value, None
    query, gate = _query(g, x, a)
    if a.shared_from is not None:
        return query, None, None, gate
    bias = a.qkv_bias and a.key_bias
    key = g.linear(x, a.key_heads * a.size, bias=bias, name="key")
    value = key if a.key_is_value else _value(g, x, a)
    if a.adapter:
        query, key, value = (part + _adapted(g, x, part, a) for part in (query, key, value))
    return query, key, value, gate


def _adapted(g: Builder, x: Tensor, part: Tensor, a: Attention) -> Tensor:
    """A product of low rank, which the layer has of its own where the others are shared."""
    with g.sharing(None):
        low = g.linear(x, a.adapter, bias=False, name="adapter_down")
        return g.linear(low, int(part.shape[-1]), bias=False, name="adapter_up")


def _value(g: Builder, x: Tensor, a: Attention) -> Tensor:
    return g.linear(x, a.key_heads * a.value_size, bias=a.qkv_bias, name="value")


def _query(g: Builder, x: Tensor, a: Attention) -> tuple[Tensor, Tensor | None]:
    width = a.heads * a.size
    if not a.gated:
        return g.linear(x, width, bias=a.qkv_bias, name="query"), None
    if a.qkv_bias and not a.gate_bias:
        gate = g.linear(x, width, bias=False, name="gate")
        return g.linear(x, width, bias=True, name="query"), gate
    both = g.linear(x, 2 * width, bias=a.qkv_bias, name="query")
    query, gate = split(g, both, [width, width])
    return query, gate


def _head_normed(g: Builder, x: Tensor, heads: int, a: Attention, size: Stack) -> Tensor:
    """Queries or keys, normalised head by head or as a whole."""
    if a.qk_norm == "whole":
        return normed(g, x, size)
    if a.qk_norm:
        norm = normed if a.qk_norm == "head" else plain_normed
        apart = norm(g, g.reshape(x, [0, 0, heads, a.size]), size)
        apart = apart * g.weight((heads, a.size), "norm.scale") if a.qk_norm == "each" else apart
        return g.reshape(apart, [0, 0, heads * a.size])
    return x


def turned(x: Tensor, a: Attention, heads: int, t: Tokens) -> Tensor:
    """Queries or keys [batch, tokens, heads x size] with rotary positions."""
    if not a.rotary:
        return x
    part = {"rotary_embedding_dim": a.rotary} if a.rotary != a.size else {}
    angles = t.angles(a.rope_theta, a.rotary)
    return t.g.op("RotaryEmbedding", x, *angles, num_heads=heads, **part)


def _shifted(g: Builder, gate: Tensor, a: Attention) -> Tensor:
    """A gate of every entry with one learned number of each head added."""
    apart = g.reshape(gate, [0, 0, a.heads, a.value_size]) + g.weight((a.heads, 1), "gate.shift")
    return g.reshape(apart, [0, 0, a.heads * a.value_size])


def _distance_biases(x: Tensor, a: Attention, t: Tokens) -> Tensor:
    """What is added to scores: learned profiles by distance, weighted by token and head (Inkling).

    [batch, heads, tokens, keys]; a kernel reads the bias of a pair where it needs it, which is
    broadcast here from the nearest distance.
    """
    g = t.g
    weights = g.linear(x, a.heads * a.relative, bias=False, name="relative")
    apart = g.transpose(g.reshape(weights, [0, 0, a.heads, a.relative]), (0, 2, 1, 3))
    profiles = g.weight((a.relative, a.distances), "distance.profiles")
    biases = g.op("MatMul", apart, profiles, name="distances")
    bounds = (g.constant([value], "bound") for value in (0, 1, 3))
    return g.op("Slice", biases, *bounds)


def _value_biases(value: Tensor, a: Attention, t: Tokens) -> Tensor:
    """What is added to the scores of a key: a function of its values [batch, heads, 1, keys].

    Doge-20M and its like in transformers compute it anew for all cached tokens; here it is kept.
    """
    g = t.g
    step = g.op("Softplus", g.linear(value, a.key_heads, bias=a.qkv_bias, name="value_bias"))
    new = g.transpose(g.op("Exp", step * g.weight((a.key_heads,), "A")), (0, 2, 1))
    past = t.past("value_bias", (t.batch, a.key_heads, t.context))
    both = new if past is None else g.concat([past, new], 2)
    t.keep("value_bias", both)
    apart = g.op("Unsqueeze", both, g.constant([2]))
    if a.heads == a.key_heads:
        return apart
    shape = [t.batch, a.key_heads, a.heads // a.key_heads, t.context + t.count]
    return g.reshape(g.op("Expand", apart, g.constant(shape, "shape")), [0, a.heads, 1, shape[-1]])


def _best_by_bias(bias: Tensor, a: Attention, t: Tokens) -> int | None:
    """How many keys a query attends to, those of the greatest bias; None for all.

    transformers masks the others and computes their scores all the same; kernels for dynamic masks
    (Shi et al., Trainable Dynamic Mask Sparse Attention, 2025, section 3.2) leave them out.
    """
    g, keys = t.g, t.context + t.count
    if not a.index_top or a.index_top >= keys:
        return None
    shape = g.constant([t.batch, a.heads, t.count, keys], "shape")
    g.ops("TopK", g.op("Expand", bias, shape), g.constant([a.index_top], "top"), axis=-1, outputs=2)
    return a.index_top


def attended(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    a: Attention,
    t: Tokens,
    past: Past | None,
    bias: Tensor | None = None,
    chosen: int | None = None,
) -> Tensor:
    """Queries attend to keys, those in the cache among them, which is given back longer.

    As many as `chosen` of them, where an indexer has selected some; all are cached.
    """
    g = t.g
    attrs: dict[str, Any] = {"q_num_heads": a.heads, "kv_num_heads": a.key_heads}
    attrs |= {"is_causal": 1} if t.causal else {}
    attrs |= {"softcap": a.softcap} if a.softcap else {}
    kept = t.context if a.window is None else min(t.context, a.window - 1)
    attrs |= {"window": a.window} if a.window is not None and kept + t.count > a.window else {}
    attrs |= {"window": chosen} if chosen is not None else {}
    shape = (t.batch, a.key_heads, kept, a.size)
    if past is None and t.cached and kept and a.shared_from is None:
        past = (t.past("key", shape), t.past("value", (*shape[:3], a.value_size)))
    t.attended[t.layer] = (key, value, past)
    if past is None:
        mixed = g.op("Attention", query, key, value, *([bias] if bias else []), **attrs)
        if t.cached and a.shared_from is None:
            t.keep("key", by_head(g, key, a.key_heads))
            t.keep("value", by_head(g, value, a.key_heads))
        return mixed
    mixed, keys, values = g.ops("Attention", query, key, value, bias, *past, outputs=3, **attrs)
    if a.shared_from is None:
        t.keep("key", keys)
        t.keep("value", values)
    return mixed
