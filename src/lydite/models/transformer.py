"""The layers of transformers, in ONNX's own operators.

Attention is ONNX's `Attention`, which takes the cache of keys and values and gives it back longer;
experts are ONNX Runtime's `MoE`, as the standard has no operator for them.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import Any, TypeAlias, get_args

from lydite.graph import Builder, Tensor
from lydite.models.activations import activated
from lydite.models.attention import attention
from lydite.models.blocks import (
    Block,
    Dense,
    Experts,
    Order,
    SharedPart,
    StateMixer,
)
from lydite.models.dimensions import Stack
from lydite.models.mixers import mix
from lydite.models.routed import experts
from lydite.models.tokens import Tokens, affine, convolved, normed, plain_normed

Part: TypeAlias = Callable[[Tensor], Tensor]

ATTENTION_OPSET = 24
"""The first with `Swish`; `Attention`, `RotaryEmbedding` and `RMSNormalization` came with 23."""
_STATE_OPSET = 27
"""The first with `LinearAttention` and `CausalConvWithState`."""
_STATES = get_args(StateMixer)


def opset(size: Stack) -> int:
    """ONNX opset that a stack is built in."""
    mixers = (mixer for block in size.blocks for mixer in block.mixers)
    with_state = size.kernel or any(isinstance(m, _STATES) for m in mixers)
    return _STATE_OPSET if with_state else ATTENTION_OPSET


def stack(
    x: Tensor,
    size: Stack,
    tokens: Tokens,
    per_layer: list[Tensor] | None = None,
    *,
    first: int = 0,
) -> Tensor:
    """All layers over x [batch, tokens, hidden], without the norm after the last.

    Args:
        x: States.
        size: Dimensions.
        tokens: What is known of the tokens; keys, values and states are kept there.
        per_layer: Input of each layer of its own [batch, tokens, width], where there are such.
        first: Number of the first layer, by which keys, values and states are kept.

    Returns:
        The states [batch, tokens, hidden].
    """
    tokens.first = x
    for layer, block in enumerate(size.all_blocks):
        tokens.layer = first + layer
        x = _block(x, block, size, tokens)
        if per_layer is not None:
            x = _with_own_input(tokens.g, x, per_layer[layer], size)
    return x


def _block(x: Tensor, block: Block, size: Stack, t: Tokens) -> Tensor:
    order = block.order or size.order
    if block.shared is not None:
        added = _shared(x, block.shared, size, t)
        return x + mixed(normed(t.g, x + added, size), block, size, t)
    if order == "parallel":
        before = normed(t.g, x, size)
        other = normed(t.g, x, size) if size.parallel_norms else before
        return x + mixed(before, block, size, t) + fed(other, block, size, t.g)
    if block.mixers:
        before = _gated_norm if size.norm_gate else normed
        after = plain_normed if size.plain_after else normed
        part = _convolving(lambda y: mixed(y, block, size, t), "mixed", size, t)
        x = _part(x, size, order, t.g, part, before, after)
    if block.feed is not None:
        gated = size.norm_gate and isinstance(block.feed, Experts)
        before = _gated_norm if gated else normed
        part = _convolving(lambda y: fed(y, block, size, t.g), "fed", size, t)
        x = _part(x, size, order, t.g, part, before)
    return x


def _shared(x: Tensor, part: SharedPart, size: Stack, t: Tokens) -> Tensor:
    """States and embedding through attention and a dense part that several layers share (Zamba)."""
    g = t.g
    assert t.first is not None
    with g.sharing(part.key):
        both = normed(g, g.concat([x, t.first], 2), size)
        y = normed(g, attention(both, part.attention, size, t), size)
        y = dense(g, y, part.feed, size.hidden)
    return g.linear(y, size.hidden, bias=False, name="shared_output")


def _convolving(part: Part, name: str, size: Stack, t: Tokens) -> Part:
    """A part whose output goes through a convolution that is added to it, where there is one."""
    if not size.kernel:
        return part

    def convolving(x: Tensor) -> Tensor:
        y = part(x)
        return y + convolved(y, size.kernel, t, name=f"{name}_window", activation="none")

    return convolving


def _part(
    x: Tensor,
    size: Stack,
    order: Order,
    g: Builder,
    part: Part,
    before: Any = normed,
    after: Any = normed,
) -> Tensor:
    """One part with its norms and the addition of its input."""
    y = part(before(g, x, size) if order in ("before", "around") else x)
    y = after(g, y, size) if order in ("after", "around") else y
    if size.part_gate:
        y = y * g.op("Tanh", g.weight((1,), "part.gate"))
    if size.residual_gates:
        return _shared_out(g, x, y, size)
    if size.residual_scales == "both":
        return affine(g, y, "added") + affine(g, x, "residual")
    if size.residual_scales:
        x = x * g.weight((size.hidden,), "residual.scale")
    return normed(g, x + y, size) if order == "last" else x + y


def _shared_out(g: Builder, x: Tensor, y: Tensor, size: Stack) -> Tensor:
    """The input times one learned share of each entry and the output times another.

    Shares are a function of one weight an entry, which a runtime computes once.
    """
    share = g.op("Sigmoid", g.weight((size.hidden,), "residual.share"))
    rest = g.op("Sqrt", g.constant(1.0, "one", g.dtype) + g.op("Neg", share * share))
    return x * rest + y * share


def _gated_norm(g: Builder, x: Tensor, size: Stack) -> Tensor:
    """A norm whose output is gated by a product of low rank of itself (A.X K2)."""
    y = normed(g, x, size)
    low = g.op("Swish", g.linear(y, size.norm_gate, bias=False, name="norm_gate_down"))
    return y * g.op("Sigmoid", g.linear(low, size.hidden, bias=False, name="norm_gate_up"))


def mixed(x: Tensor, block: Block, size: Stack, t: Tokens) -> Tensor:
    """States through what mixes the tokens of a layer."""
    first, *rest = (mix(x, mixer, size, t) for mixer in block.mixers)
    for other in rest:
        first = first + other
    return first


def fed(x: Tensor, block: Block, size: Stack, g: Builder) -> Tensor:
    """States through the feed-forward part of a layer."""
    feed = block.feed
    assert feed is not None
    if isinstance(feed, Dense):
        return dense(g, x, feed, size.hidden, size)
    y = experts(g, normed(g, x, size) if feed.beside else x, feed, size)
    if feed.shared:
        shared = Dense(inner=feed.shared, activation=feed.activation, gated=feed.gated)
        z = dense(g, x, shared, size.hidden)
        if feed.shared_gate:
            z = z * g.op("Sigmoid", g.linear(x, 1, bias=False, name="router"))
        y = y + z
    if feed.beside:
        own = Dense(inner=feed.beside, activation=feed.activation)
        y = normed(g, y, size) + normed(g, dense(g, x, own, size.hidden), size)
    return normed(g, y, size) if feed.norm else y


def _with_own_input(g: Builder, x: Tensor, own: Tensor, size: Stack) -> Tensor:
    """Gemma 4: the layer's own input, gated by the states, is projected and added."""
    return x + own_input(g, x, own, size)


def own_input(g: Builder, x: Tensor, own: Tensor, size: Stack) -> Tensor:
    """What a layer's own input [batch, tokens, width] adds to the states."""
    width = own.shape[-1]
    gate = activated(g, g.linear(x, width, bias=False, name="own_gate"), "gelu_tanh")
    added = g.linear(gate * own, size.hidden, bias=False, name="own_projection")
    return normed(g, added, size)


def dense(g: Builder, x: Tensor, feed: Dense, hidden: int, size: Stack | None = None) -> Tensor:
    """Two products with a function between them, or three where it is gated.

    The stack says how `inner_norm` normalises.
    """
    up = "up"
    if feed.gated:
        gate = g.linear(x, feed.inner, bias=feed.bias, name="gate")
        gate = _sparse(g, gate, feed.sparsity) if feed.sparsity else gate
        wide = g.linear(x, feed.inner, bias=feed.bias, name=up)
        if feed.adapter:
            gate, wide = _adapted(g, x, gate, wide, feed.adapter)
        y = activated(g, gate, feed.activation) * wide
    else:
        y = activated(g, g.linear(x, feed.inner, bias=feed.bias, name=up), feed.activation)
    if feed.inner_norm:
        assert size is not None
        y = normed(g, y, size)
    y = g.linear(y, hidden, bias=feed.bias, name="down")
    return y * g.weight((1,), "scale") if feed.scale else y


def _adapted(g: Builder, x: Tensor, gate: Tensor, up: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Both with products of low rank added, which the layer has of its own where others share."""
    with g.sharing(None):
        low = g.linear(x, rank, bias=False, name="adapter_down")
        added = (
            g.linear(low, int(part.shape[-1]), bias=False, name="adapter_up") for part in (gate, up)
        )
        first, second = (part + extra for part, extra in zip((gate, up), added, strict=True))
    return first, second


def _sparse(g: Builder, x: Tensor, share: float) -> Tensor:
    """Entries above the cut that a normal distribution puts `share` of them below (Gemma 3n)."""
    axes = g.constant([-1], "axes")
    mean = g.op("ReduceMean", x, axes)
    apart = g.op("Sub", x, mean)
    spread = g.op("Sqrt", g.op("ReduceMean", apart * apart, axes))
    factor = g.constant(NormalDist().inv_cdf(share), "spread", g.dtype)
    return g.relu(g.op("Sub", apart, spread * factor))
