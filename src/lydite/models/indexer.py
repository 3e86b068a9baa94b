"""Indexers: few small heads that score earlier tokens, of which attention takes the best.

DeepSeek-V3.2-Exp, section 2.1. Where tokens are pooled or compressed first, the pools are scored.
"""

from __future__ import annotations

from lydite.graph import Builder, Tensor
from lydite.graph.dtypes import dtype_number
from lydite.models.blocks import Attention, LatentAttention
from lydite.models.dimensions import Stack
from lydite.models.tokens import Tokens, normed, split


def selected(x: Tensor, compressed: Tensor | None, a: LatentAttention, t: Tokens) -> int | None:
    """How many tokens a query attends to; None for all.

    Args:
        x: States [batch, tokens, hidden].
        compressed: What queries were compressed to, of which the indexer's are made; None where
            they are made of the states.
        a: The attention.
        t: What is known of the tokens; the indexer's keys are kept there.
    """
    total = t.context + t.count
    if a.index_shared:
        return a.index_top if a.index_top < total else None
    if not a.index_heads:
        return None
    g, width = t.g, a.index_heads * a.index_size
    if a.index_scaled:
        x_query = g.layer_norm(x, eps=1e-6)
        query = g.linear(x_query, width, bias=False, name="index_q")
        apart = g.reshape(query, [0, 0, a.index_heads, a.index_size])
        query = g.reshape(scaled_by_position(apart, a.index_heads, t), [0, 0, width])
    else:
        query = g.linear(x if compressed is None else compressed, width, bias=False, name="index_q")
    key = g.linear(x, a.index_size, bias=False, name="index_k")
    key = g.layer_norm(key, eps=1e-6)
    if a.index_pool:
        return _of_pools(x, query, key, a, t)
    weights = g.linear(x, a.index_heads, bias=False, name="index_weights")
    past = t.past("index", (t.batch, t.context, a.index_size))
    keys = key if past is None else g.concat([past, key], 1)
    t.keep("index", keys)
    return _best(g, scores(g, query, keys, weights), a.index_top, total)


def scores(g: Builder, query: Tensor, keys: Tensor, weights: Tensor) -> Tensor:
    """Scores [batch, tokens, keys] of queries [batch, tokens, heads x size].

    Args:
        g: The builder.
        query: Queries of all heads.
        keys: Keys [batch, keys, size], the same for all heads.
        weights: Weights of the heads [batch, tokens, heads].
    """
    heads, size = int(weights.shape[-1]), int(keys.shape[-1])
    apart = g.transpose(g.reshape(query, [0, 0, heads, size]), (0, 2, 1, 3))
    turned = g.op("Unsqueeze", g.transpose(keys, (0, 2, 1)), g.constant([1]))
    scored = g.relu(g.op("MatMul", apart, turned))
    weights = g.op("Unsqueeze", g.transpose(weights, (0, 2, 1)), g.constant([3]))
    return g.op("ReduceSum", scored * weights, g.constant([1], "axes"), keepdims=0)


def _best(g: Builder, scored: Tensor, top: int, total: int) -> int | None:
    """The `top` best of `total`; None where that is all of them."""
    if top >= total:
        return None
    g.ops("TopK", scored, g.constant([top], "top"), axis=-1, outputs=2)
    return top


def _of_pools(x: Tensor, query: Tensor, key: Tensor, a: LatentAttention, t: Tokens) -> int | None:
    """Pools of tokens are scored; the best are attended to, and the tokens after the last pool."""
    g, pool, total = t.g, a.index_pool, t.context + t.count
    packed = g.concat([key, g.linear(x, a.index_size, bias=False, name="index_gate")], 2)
    past = t.past("index", (t.batch, t.context, 2 * a.index_size))
    packed = packed if past is None else g.concat([past, packed], 1)
    t.keep("index", packed)
    keys = pooled(g, packed, pool, 1)
    weights = g.linear(x, a.index_heads, bias=False, name="index_weights")
    scored = scores(g, query, keys, weights)
    best = _best(g, scored, a.index_top // pool, total // pool)
    return None if best is None else best * pool + pool - 1


def chosen_by_pools(x: Tensor, a: Attention, size: Stack, t: Tokens) -> int | None:
    """How many tokens a query attends to, where plain means of keys are scored; None for all.

    Tokens after the last full pool are attended to as well.
    """
    g, pool, total = t.g, a.index_pool, t.context + t.count
    width, each = a.index_heads * a.index_size, a.index_size
    both = g.linear(x, width + each, bias=False, name="index_qk")
    query, key = split(g, both, [width, each])
    query = normed(g, g.reshape(query, [0, 0, a.index_heads, each]), size)
    past = t.past("index", (t.batch, t.context, each))
    keys = key if past is None else g.concat([past, key], 1)
    t.keep("index", keys)
    pools = max(1, total // pool)
    rows = min(pool, total)
    apart = g.reshape(_first(g, keys, pools * rows, 1), [0, pools, rows, each])
    means = normed(g, g.op("ReduceMean", apart, g.constant([2], "axes"), keepdims=0), size)
    turned = g.op("Unsqueeze", g.transpose(means, (0, 2, 1)), g.constant([1]))
    scored = g.relu(g.op("MatMul", g.transpose(query, (0, 2, 1, 3)), turned, name="index_scores"))
    scored = g.op("ReduceSum", scored, g.constant([1], "axes"), keepdims=0)
    best = _best(g, scored, a.index_top // pool, pools)
    return None if best is None else best * pool + pool - 1


def pooled(g: Builder, packed: Tensor, pool: int, series: int) -> Tensor:
    """Means of `pool` tokens each, with learned weights of every entry.

    Args:
        g: The builder.
        packed: Keys and their weights side by side [batch, tokens, 2 x series x size].
        pool: Number of tokens of a mean; those after the last full pool are left out, and fewer
            tokens than one pool make one mean, which costs as little.
        series: Number of keys of a token that go into a mean, as DeepSeek-V4's overlapping ones.

    Returns:
        Means [batch, pools, size].
    """
    tokens, width = int(packed.shape[1]), int(packed.shape[2]) // 2
    count, rows = max(1, tokens // pool), min(pool, tokens)
    if count * rows < tokens:
        packed = _first(g, packed, count * rows, 1)
    places = g.weight((pool, width), "pool.places")
    places = places if rows == pool else _first(g, places, rows, 0)
    shape = [0, count, rows, width]
    keys, weights = g.ops("Split", packed, axis=2, num_outputs=2, outputs=2)
    weights = g.reshape(weights, shape) + places
    apart = [0, count, rows * series, width // series]
    keys, weights = g.reshape(keys, apart), g.softmax(g.reshape(weights, apart), axis=2)
    return g.op("ReduceSum", keys * weights, g.constant([2], "axes"), keepdims=0)


def _first(g: Builder, x: Tensor, count: int, axis: int) -> Tensor:
    bounds = (g.constant([value], "bound") for value in (0, count, axis))
    return g.op("Slice", x, *bounds)


def first_angles(g: Builder, angles: tuple[Tensor, Tensor], count: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the first `count` positions [batch, count, width / 2]."""
    cosine, sine = (_first(g, part, count, 1) for part in angles)
    return cosine, sine


def scaled_by_position(x: Tensor, heads: int, t: Tokens) -> Tensor:
    """Queries [batch, tokens, heads, size] times a + b log(position + 1), a and b of each head."""
    g = t.g
    place = g.op("Cast", t.positions + g.constant(1, "one"), to=dtype_number(g.dtype))
    log = g.reshape(g.op("Log", place), [1, -1, 1])
    factor = log * g.weight((heads,), "position.scale") + g.weight((heads,), "position.bias")
    return x * g.op("Unsqueeze", factor, g.constant([3]))
