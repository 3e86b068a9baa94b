"""Several states of a token with a gate of every entry, and phrases added to them (Qwen 4).

The states lie side by side: [batch, tokens, streams x hidden].
"""

from __future__ import annotations

from collections.abc import Callable

from lydite.graph import Builder, Tensor
from lydite.models.blocks import Phrases
from lydite.models.dimensions import Decoder
from lydite.models.tokens import Tokens, plain_normed, with_before
from lydite.models.transformer import fed, mixed


def gated_streams(
    x: Tensor, size: Decoder, t: Tokens, per_layer: list[Tensor] | None = None
) -> Tensor:
    """All layers over x [batch, tokens, hidden], and a mean of all states.

    Args:
        x: States.
        size: Dimensions.
        t: What is known of the tokens; keys, values and states are kept there.
        per_layer: Must be None: no such model has inputs of single layers.

    Returns:
        One gated mean of all states [batch, tokens, hidden].
    """
    assert per_layer is None
    g = t.g
    states = g.concat([x] * size.streams, 2)
    for layer, block in enumerate(size.all_blocks):
        t.layer = layer
        if block.phrases is not None:
            states = states + _phrases(states, block.phrases, size, t)
        if block.mixers:
            states = _part(g, states, size, lambda y, b=block: mixed(y, b, size, t))
        if block.feed is not None:
            states = _part(g, states, size, lambda y, b=block: fed(y, b, size, g))
    return _mean(g, _normed(g, states, size), size)


def _part(g: Builder, states: Tensor, size: Decoder, part: Callable[[Tensor], Tensor]) -> Tensor:
    """One part of a layer, whose output is added to each state times a number."""
    count = size.streams
    known = _normed(g, states, size)
    y = part(_mean(g, known, size))
    share = g.op("Sigmoid", g.linear(known, count, bias=False, name="inject"))
    added = g.reshape(share, [0, 0, count, 1]) * g.reshape(y, [0, 0, 1, size.hidden])
    return states + g.reshape(added, [0, 0, count * size.hidden])


def _normed(g: Builder, states: Tensor, size: Decoder) -> Tensor:
    """Each state normalised by itself, with weights of its own."""
    wide = size.streams * size.hidden
    apart = plain_normed(g, g.reshape(states, [0, 0, size.streams, size.hidden]), size)
    return g.reshape(apart, [0, 0, wide]) * g.weight((wide,), "streams.scale")


def _mean(g: Builder, known: Tensor, size: Decoder) -> Tensor:
    """The mean of all states [batch, tokens, hidden], every entry times a gate."""
    wide = int(known.shape[-1])
    low = g.op("Swish", g.linear(known, size.streams_rank, bias=False, name="mix_down"))
    gate = g.op("Sigmoid", g.linear(low, wide, bias=False, name="mix_up"))
    apart = g.reshape(known * gate, [0, 0, size.streams, size.hidden])
    return g.op("ReduceMean", apart, g.constant([2], "axes"), keepdims=0)


def _phrases(states: Tensor, m: Phrases, size: Decoder, t: Tokens) -> Tensor:
    """What embeddings of the last tokens add to every state.

    Hashes of the tokens go in as numbers of rows, which a runtime computes from their ids.
    """
    g, count, wide = t.g, size.streams, size.streams * size.hidden
    ids = g.input(f"phrases_{t.layer}", (t.batch, t.count, m.hashes), "int64")
    table = g.weight((m.rows, m.width // m.hashes), "phrase_embedding")
    found = g.reshape(g.op("Gather", table, ids), [0, 0, m.width])
    key = _normed(g, g.linear(found, wide, bias=False, name="phrase_key"), size)
    value = g.linear(found, size.hidden, bias=False, name="phrase_value")
    likeness = g.reshape(key * _normed(g, states, size), [0, 0, count, size.hidden])
    likeness = g.op("ReduceSum", likeness, g.constant([3], "axes"), keepdims=1)
    gated = g.op("Sigmoid", likeness) * g.reshape(value, [0, 0, 1, size.hidden])
    gated = g.reshape(gated, [0, 0, wide])
    turned = g.transpose(_normed(g, gated, size), (0, 2, 1))
    earlier = with_before(turned, (m.kernel - 1) * m.dilation, t, "phrases")
    weight = g.weight((wide, 1, m.kernel), "phrase_window.weight")
    kernel = {"dilations": [m.dilation], "kernel_shape": [m.kernel]}
    convolved = g.op("Conv", earlier, weight, group=wide, name="phrase_window", **kernel)
    return gated + g.transpose(g.op("Swish", convolved), (0, 2, 1))
