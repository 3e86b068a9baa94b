"""Hyper-connections: a token has several states, of which each part reads a mean and adds to all.

Manifold-constrained hyper-connections (arXiv:2512.24880), as DeepSeek-V4 has them. The states lie
side by side: [batch, tokens, streams, hidden].
"""

from __future__ import annotations

from collections.abc import Callable

from lydite.graph import Builder, Tensor
from lydite.models.dimensions import Decoder
from lydite.models.tokens import Tokens, normed, plain_normed
from lydite.models.transformer import fed, mixed


def hyper_connected(
    x: Tensor, size: Decoder, t: Tokens, per_layer: list[Tensor] | None = None
) -> Tensor:
    """All layers over x [batch, tokens, hidden], without the norm after the last.

    Args:
        x: States.
        size: Dimensions.
        t: What is known of the tokens; keys, values and states are kept there.
        per_layer: Must be None: no such model has inputs of single layers.

    Returns:
        One mean of all states [batch, tokens, hidden].
    """
    assert per_layer is None
    g, count = t.g, size.streams
    shape = g.constant([t.batch, t.count, count, size.hidden], "shape")
    states = g.op("Expand", g.reshape(x, [0, 0, 1, size.hidden]), shape)
    for layer, block in enumerate(size.all_blocks):
        t.layer = layer
        if block.mixers:
            states = _part(g, states, size, lambda y, b=block: mixed(y, b, size, t))
        if block.feed is not None:
            states = _part(g, states, size, lambda y, b=block: fed(y, b, size, g))
    if not size.streams_head:
        return g.op("ReduceMean", states, g.constant([2], "axes"), keepdims=0)
    told = _told(g, states, size, count) * g.weight((1,), "hyper.scale")
    return _mean(g, states, g.op("Sigmoid", told + g.weight((count,), "hyper.base")))


def _part(g: Builder, states: Tensor, size: Decoder, part: Callable[[Tensor], Tensor]) -> Tensor:
    """One part of a layer, with its norm, between the means that lead in and out.

    The mixing matrix is made doubly stochastic by some twenty steps over `streams` squared numbers
    of a token in one kernel; one softmax stands for them.
    """
    count = size.streams
    square = count * count if size.streams_mixed else 0
    told = _told(g, states, size, 2 * count + square)
    widths = [count, count, square] if square else [count, count]
    scales = g.ops(
        "Split",
        g.weight((len(widths),), "hyper.scale"),
        axis=0,
        num_outputs=len(widths),
        outputs=len(widths),
    )
    sizes = g.constant(widths, "widths")
    bases = g.ops(
        "Split", g.weight((sum(widths),), "hyper.base"), sizes, axis=0, outputs=len(widths)
    )
    told_apart = g.ops("Split", told, sizes, axis=-1, outputs=len(widths))
    into, out, *comb = (
        part * scale + base for part, scale, base in zip(told_apart, scales, bases, strict=True)
    )
    y = part(normed(g, _mean(g, states, g.op("Sigmoid", into)), size))
    y = g.reshape(y, [0, 0, 1, size.hidden])
    added = g.reshape(g.op("Sigmoid", out), [0, 0, count, 1]) * y
    if comb:
        weights = g.softmax(g.reshape(comb[0], [0, 0, count, count]))
        states = g.op("MatMul", g.transpose(weights, (0, 1, 3, 2)), states, name="hyper_mix")
    return states + added


def _told(g: Builder, states: Tensor, size: Decoder, width: int) -> Tensor:
    """Numbers that say how states go together, from all of them [batch, tokens, width]."""
    flat = plain_normed(g, g.reshape(states, [0, 0, size.streams * size.hidden]), size)
    return g.linear(flat, width, bias=False, name="hyper_router")


def _mean(g: Builder, states: Tensor, weights: Tensor) -> Tensor:
    """A weighted sum of the states [batch, tokens, hidden]."""
    apart = states * g.reshape(weights, [0, 0, int(weights.shape[-1]), 1])
    return g.op("ReduceSum", apart, g.constant([2], "axes"), keepdims=0)
