"""Layers whose parts read a mean of kept states and their own (Inkling 2)."""

from __future__ import annotations

from lydite.graph import Builder, Tensor
from lydite.models.attention import attended
from lydite.models.blocks import ClippedAttention
from lydite.models.dimensions import Decoder
from lydite.models.tokens import Tokens, convolved, normed, plain_normed, with_before
from lydite.models.transformer import fed


def kept_states(
    x: Tensor, size: Decoder, t: Tokens, per_layer: list[Tensor] | None = None
) -> Tensor:
    """All layers over x [batch, tokens, hidden], without the norm after the last.

    Args:
        x: States.
        size: Dimensions; every layer has one `ClippedAttention`.
        t: What is known of the tokens; keys, values and states are kept there.
        per_layer: Must be None: no such model has inputs of single layers.

    Returns:
        A mean of the kept states and the last [batch, tokens, hidden].
    """
    assert per_layer is None
    g, kept = t.g, list[Tensor]()
    for layer, block in enumerate(size.all_blocks):
        t.layer = layer
        (mixer,) = block.mixers
        assert isinstance(mixer, ClippedAttention)
        count = 3 if mixer.apart else 1
        inputs = _means(g, kept, x, count, size) if layer else [x] * count
        y = _clipped([normed(g, part, size) for part in inputs], mixer, size, t)
        y = y + convolved(y, size.kernel, t, name="mixed_window", activation="none")
        if layer % size.kept_every:
            y = x + y
        else:
            kept.append(x)
        (seen,) = _means(g, kept, y, 1, size)
        z = fed(normed(g, seen, size), block, size, g)
        x = y + z + convolved(z, size.kernel, t, name="fed_window", activation="none")
    (seen,) = _means(g, kept, x, 1, size)
    return seen


def _means(g: Builder, kept: list[Tensor], own: Tensor, count: int, size: Decoder) -> list[Tensor]:
    """Means of kept states and the own one, as each of `count` learned queries weights them."""
    axis = g.constant([2], "axes")
    states = g.concat([g.op("Unsqueeze", part, axis) for part in (*kept, own)], 2)
    states = plain_normed(g, states, size)
    query = g.weight((size.hidden, count), "kept.query")
    weights = g.softmax(g.op("MatMul", states, query, name="kept_scores"), axis=2)
    means = g.op("MatMul", g.transpose(weights, (0, 1, 3, 2)), states, name="kept_means")
    parts = (
        g.ops("Split", means, axis=2, num_outputs=count, outputs=count) if count > 1 else [means]
    )
    return [g.reshape(part, [0, 0, size.hidden]) for part in parts]


def _clipped(inputs: list[Tensor], m: ClippedAttention, size: Decoder, t: Tokens) -> Tensor:
    """Attention; a length that is clipped is built as one that is normalised, which costs the same.

    Factors by position are left out.
    """
    g, a = t.g, m.attention
    x, key_input, value_input = inputs if m.apart else inputs * 3
    wide, narrow = a.heads * a.size, a.key_heads * a.size
    query = g.linear(x, wide, bias=False, name="query")
    key = _windowed(g.linear(key_input, narrow, bias=False, name="key"), key_input, "key", m, t)
    value = g.linear(value_input, narrow, bias=False, name="value")
    value = _windowed(value, value_input, "value", m, t)
    relative = g.linear(x, a.heads * a.relative, bias=False, name="relative")
    gate = g.linear(x, wide, bias=False, name="gate")
    sinks = g.linear(x, a.heads, bias=False, name="sinks")
    query = _scaled(g, query, a.heads, size)
    key, value = (
        g.reshape(
            plain_normed(g, g.reshape(part, [0, 0, a.key_heads, a.size]), size), [0, 0, narrow]
        )
        for part in (key, value)
    )
    relative = g.reshape(_scaled(g, relative, a.heads, size), [0, 0, a.heads, a.relative])
    profiles = g.weight((a.relative, a.distances), "distance.profiles")
    biases = g.op("MatMul", g.transpose(relative, (0, 2, 1, 3)), profiles, name="distances")
    bounds = (g.constant([number], "bound") for number in (0, 1, 3))
    mixed = attended(query, key, value, a, t, None, g.op("Slice", biases, *bounds))
    share = g.reshape(g.op("Sigmoid", sinks), [0, 0, a.heads, 1])
    mixed = g.reshape(g.reshape(mixed, [0, 0, a.heads, a.size]) * share, [0, 0, wide])
    mixed = mixed * g.op("Sigmoid", gate)
    return g.linear(mixed, size.hidden, bias=False, name="attention_output")


def _scaled(g: Builder, x: Tensor, heads: int, size: Decoder) -> Tensor:
    """Every head normalised, with weights of its own."""
    width = int(x.shape[-1])
    apart = plain_normed(g, g.reshape(x, [0, 0, heads, width // heads]), size)
    return g.reshape(apart * g.weight((heads, width // heads), "clip.scale"), [0, 0, width])


def _windowed(x: Tensor, source: Tensor, name: str, m: ClippedAttention, t: Tokens) -> Tensor:
    """Keys or values with a convolution over the last tokens added."""
    g, heads, name = t.g, m.attention.key_heads, f"{name}_window"
    if not m.apart:
        return x + convolved(x, m.kernel, t, name=name, activation="none")
    apart = [0, 0, heads, m.attention.size]
    wide = g.transpose(with_before(g.transpose(x, (0, 2, 1)), m.kernel - 1, t, name), (0, 2, 1))
    told = g.linear(source, heads * m.kernel, bias=False, name="window_weights")
    told = g.reshape(told, [0, 0, heads, m.kernel])
    shares = g.ops("Split", told, axis=3, num_outputs=m.kernel, outputs=m.kernel)
    total = x
    for place, share in enumerate(shares):
        weight = g.weight((heads, m.attention.size), f"{name}.weight") + share
        bounds = (g.constant([number], "bound") for number in (place, place + t.count, 1))
        seen = g.reshape(g.op("Slice", wide, *bounds), apart) * weight
        total = total + g.reshape(seen, [0, 0, int(x.shape[-1])])
    return total
