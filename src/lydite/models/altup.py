"""Alternating updates: a token has several states, of which a layer computes one (Gemma 3n).

AltUp, arXiv:2301.13310: each layer predicts all states from all, computes the first, and corrects
the others by what it learned. The states lie side by side: [batch, tokens, states, hidden].
"""

from __future__ import annotations

from lydite.graph import Builder, Tensor
from lydite.models.blocks import Block
from lydite.models.dimensions import Decoder
from lydite.models.tokens import Tokens, normed
from lydite.models.transformer import fed, mixed, own_input


def altup(x: Tensor, size: Decoder, t: Tokens, per_layer: list[Tensor] | None = None) -> Tensor:
    """All layers over x [batch, tokens, hidden], without the norm after the last.

    Args:
        x: States.
        size: Dimensions.
        t: What is known of the tokens; keys and values are kept there.
        per_layer: Input of each layer of its own [batch, tokens, width], where there are such.

    Returns:
        The mean of the states [batch, tokens, hidden].
    """
    g = t.g
    magnitude = _magnitude(g, x)
    others = [_scaled(g, x, size, magnitude, "altup_in") for _ in range(1, size.updates)]
    states = _side_by_side(g, [x, *others])
    for layer, block in enumerate(size.all_blocks):
        t.layer = layer
        own = None if per_layer is None else per_layer[layer]
        states = _layer(states, block, size, t, own)
    first, *rest = _apart(g, states, size)
    magnitude = _magnitude(g, first)
    rest = [_scaled(g, x, size, magnitude, "altup_out") for x in rest]
    return g.op("ReduceMean", _side_by_side(g, [first, *rest]), g.constant([2], "axes"), keepdims=0)


def _layer(states: Tensor, block: Block, size: Decoder, t: Tokens, own: Tensor | None) -> Tensor:
    g, count = t.g, size.updates
    first, *_ = _apart(g, states, size)
    router = (
        g.weight((size.hidden,), "altup.norm"),
        g.weight((size.hidden, count), "altup.modality_router"),
    )
    told = _modalities(g, first, size, *router)
    shares = g.linear(told, count * count, bias=False, name="predict")
    predicted = g.op("MatMul", g.reshape(shares, [0, 0, count, count]), states) + states
    first, *_ = _apart(g, predicted, size)
    computed = _computed(first, block, size, t)
    weights = g.linear(_modalities(g, computed, size, *router), count, bias=False, name="correct")
    weights = g.reshape(weights + g.constant(1.0, "one", g.dtype), [0, 0, count, 1])
    change = g.reshape(g.op("Sub", computed, first), [0, 0, 1, size.hidden])
    corrected = predicted + change * weights
    if own is None:
        return corrected
    first, *rest = _apart(g, corrected, size)
    added = own_input(g, first * g.weight((size.hidden,), "altup.scale"), own, size)
    return _side_by_side(g, [first, *(x + added for x in rest)])


def _computed(x: Tensor, block: Block, size: Decoder, t: Tokens) -> Tensor:
    """A layer over one state: attention beside a product of low rank, then the dense part."""
    g = t.g
    before = normed(g, x, size)
    y = x + normed(g, mixed(before, block, size, t), size)
    if size.laurel:
        low = g.linear(before, size.laurel, bias=False, name="laurel_left")
        right = g.linear(low, size.hidden, bias=False, name="laurel_right")
        y = (y + before + normed(g, right, size)) * g.constant(0.5**0.5, "half", g.dtype)
    return y + normed(g, fed(normed(g, y, size), block, size, g), size)


def _modalities(g: Builder, x: Tensor, size: Decoder, scale: Tensor, router: Tensor) -> Tensor:
    """What tells how states go together, from one of them: [batch, tokens, states]."""
    x = g.op("RMSNormalization", x, scale, axis=-1, epsilon=size.eps, name="rms")
    x = x * g.constant(1 / size.hidden, "scale", g.dtype)
    return g.op("Tanh", g.op("MatMul", x, router, name="modality_router"))


def _magnitude(g: Builder, x: Tensor) -> Tensor:
    return g.op("Sqrt", g.op("ReduceMean", x * x, g.constant([-1], "axes")))


def _scaled(g: Builder, x: Tensor, size: Decoder, magnitude: Tensor, name: str) -> Tensor:
    """A projected state, as large as the first one."""
    y = g.linear(x, size.hidden, bias=False, name=name)
    return g.op("Div", y * magnitude, _magnitude(g, y))


def _side_by_side(g: Builder, states: list[Tensor]) -> Tensor:
    return g.concat([g.reshape(x, [0, 0, 1, int(x.shape[-1])]) for x in states], 2)


def _apart(g: Builder, states: Tensor, size: Decoder) -> list[Tensor]:
    parts = g.ops("Split", states, axis=2, num_outputs=size.updates, outputs=size.updates)
    return [g.reshape(part, [0, 0, size.hidden]) for part in parts]
