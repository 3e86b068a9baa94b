"""The layers of pre-norm transformers, in ONNX's own operators of opset 24.

Attention is ONNX's `Attention`, which takes the cache of keys and values and gives it back longer;
experts are ONNX Runtime's `MoE`, as the standard has no operator for them.
"""

from __future__ import annotations

from typing import Any

from lydite.graph import Builder, Tensor
from lydite.models.dimensions import Activation, Stack

OPSET = 24
"""The first with `Swish`; `Attention`, `RotaryEmbedding` and `RMSNormalization` came with 23."""

Cache = tuple[Tensor, Tensor]


def stack(
    g: Builder,
    x: Tensor,
    size: Stack,
    *,
    causal: bool = True,
    angles: tuple[Tensor, Tensor] | None = None,
    past: list[Cache] | None = None,
    cached: bool = False,
) -> tuple[Tensor, list[Cache]]:
    """All layers over x [batch, tokens, hidden], without the norm after the last.

    Args:
        g: the builder.
        x: states.
        size: dimensions.
        causal: a token sees those before it only.
        angles: cosines and sines of rotary positions, each [batch, tokens, head size / 2].
        past: keys and values of each layer, [batch, heads, context, head size].
        cached: whether to give keys and values back where there is no past.

    Returns:
        The states, and each layer's keys and values with the new ones behind (`past` or `cached`).
    """
    present: list[Cache] = []
    for layer in range(size.layers):
        query, key, value = _projections(g, norm(g, x, size), size, angles)
        attrs: dict[str, Any] = {"q_num_heads": size.heads, "kv_num_heads": size.key_heads}
        attrs |= {"is_causal": 1} if causal else {}
        if past is None:
            mixed = g.op("Attention", query, key, value, **attrs)
            present += [(_by_head(g, key, size), _by_head(g, value, size))] if cached else []
        else:
            inputs = (query, key, value, None, *past[layer])
            mixed, keys, values = g.ops("Attention", *inputs, outputs=3, **attrs)
            present.append((keys, values))
        x = x + g.linear(mixed, size.hidden, bias=size.output_bias, name="attention_output")
        x = x + _dense(g, norm(g, x, size), size)
    return x, present


def norm(g: Builder, x: Tensor, size: Stack) -> Tensor:
    """The stack's normalisation over the last axis."""
    if size.norm == "layer":
        return g.layer_norm(x, eps=size.eps)
    scale = g.weight((x.shape[-1],), "rms.scale")
    return g.op("RMSNormalization", x, scale, axis=-1, epsilon=size.eps, name="rms")


def activated(g: Builder, x: Tensor, kind: Activation) -> Tensor:
    """An activation by name."""
    if kind == "relu":
        return g.relu(x)
    if kind in ("silu", "quick_gelu"):
        return g.op("Swish", x, alpha=1.702 if kind == "quick_gelu" else None)
    return g.op("Gelu", x, approximate="tanh" if kind == "gelu_tanh" else None)


def _by_head(g: Builder, x: Tensor, size: Stack) -> Tensor:
    """Keys or values as a cache keeps them: [batch, heads, tokens, head size]."""
    return g.transpose(g.reshape(x, [0, 0, size.key_heads, size.size]), (0, 2, 1, 3))


def _projections(
    g: Builder, x: Tensor, size: Stack, angles: tuple[Tensor, Tensor] | None
) -> list[Tensor]:
    """Query, key and value, each [batch, tokens, its heads x head size], turned by `angles`."""
    heads = (size.heads, size.key_heads, size.key_heads)
    widths = [count * size.size for count in heads]
    if size.packed:
        y = g.linear(x, sum(widths), bias=size.qkv_bias, name="qkv")
        parts = g.ops("Split", y, g.constant(widths, "widths"), axis=-1, outputs=3)
    else:
        parts = [
            g.linear(x, width, bias=size.qkv_bias, name=part)
            for part, width in zip(("query", "key", "value"), widths, strict=True)
        ]
    for i in range(2 if angles is not None else 0):
        parts[i] = g.op("RotaryEmbedding", parts[i], *angles or (), num_heads=heads[i])
    return parts


def _dense(g: Builder, x: Tensor, size: Stack) -> Tensor:
    if size.experts:
        return _experts(g, x, size)
    bias = size.dense_bias
    if size.gated:
        gate = g.linear(x, size.feed_forward, bias=bias, name="gate")
        up = g.linear(x, size.feed_forward, bias=bias, name="up")
        y = activated(g, gate, size.activation) * up
    else:
        y = activated(g, g.linear(x, size.feed_forward, bias=bias, name="up"), size.activation)
    return g.linear(y, size.hidden, bias=bias, name="down")


def _experts(g: Builder, x: Tensor, size: Stack) -> Tensor:
    """Each token goes through the experts that the router scores highest, and their mean."""
    tokens = g.reshape(x, [-1, size.hidden])
    router = g.linear(tokens, size.experts, bias=False, name="router")
    inner, hidden = size.feed_forward, size.hidden
    gate_up = g.weight((size.experts, 2 * inner, hidden), "experts.gate_up")
    down = g.weight((size.experts, hidden, inner), "experts.down")
    y = g.op(
        "MoE",
        tokens,
        router,
        gate_up,
        None,
        down,
        domain="com.microsoft",
        name="experts",
        k=size.experts_per_token,
        activation_type="swiglu",
        swiglu_fusion=1,
        activation_alpha=1.0,
        activation_beta=0.0,
        normalize_routing_weights=1,
    )
    return g.reshape(y, list(x.shape))
