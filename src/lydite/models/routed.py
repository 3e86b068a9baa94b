"""Experts of which a router chooses some for each token: ONNX Runtime's `MoE`."""

from __future__ import annotations

from typing import Any

from lydite.graph import Builder, Tensor
from lydite.models.activations import activated
from lydite.models.blocks import Experts
from lydite.models.dimensions import Stack
from lydite.models.quantised import QuantisedBuilder
from lydite.models.tokens import normed

_EXPERT_ACTIVATIONS = {"relu": "relu", "relu2": "relu", "silu": "silu"}
"""ONNX Runtime's name of an expert's activation; every other one is its "gelu"."""


def experts(g: Builder, x: Tensor, feed: Experts, size: Stack) -> Tensor:
    """Each token goes through the experts that the router scores highest, and their mean.

    ONNX Runtime's experts are gated with SiLU, or not gated: other functions between the products
    cost about the same and are built as the nearest of its own.
    """
    tokens = g.reshape(x, [-1, x.shape[-1]])
    total = feed.count + feed.idle
    routed = tokens * g.weight((tokens.shape[-1],), "router.input") if feed.beside else tokens
    if feed.router:
        router = _deep_router(g, routed, feed, total, size)
    else:
        router = g.linear(routed, total, bias=feed.router_bias, name="router")
    router = router * g.weight((total,), "router.by_expert") if feed.beside else router
    if feed.sigmoid:
        router = g.op("Sigmoid", router)
    if feed.scale:
        router = router * g.weight((1,), "router.scale")
    if feed.correction:
        router = router + g.weight((total,), "router.correction")
    if feed.idle:
        widths = g.constant([feed.count, feed.idle], "widths")
        router, _ = g.ops("Split", router, widths, axis=-1, outputs=2)
    if feed.asleep:
        _asleep(g, feed, size)
    if feed.latent:
        tokens = g.linear(tokens, feed.latent, bias=False, name="latent_down")
    tokens = normed(g, tokens, size) if feed.latent_norms else tokens
    y = _all_experts(g, tokens, router, feed)
    y = normed(g, y, size) if feed.latent_norms else y
    if feed.latent:
        y = g.linear(y, x.shape[-1], bias=False, name="latent_up")
    if feed.sum_bias:
        y = y + g.weight((int(y.shape[-1]),), "experts.sum_bias")
    return g.reshape(y, list(x.shape))


def _deep_router(g: Builder, x: Tensor, feed: Experts, total: int, size: Stack) -> Tensor:
    """Scores of experts from three products more (ZAYA).

    Where the states of the router before are added, its own stand for them, which costs the same.
    """
    y = g.linear(x, feed.router, name="router_down")
    y = y + y * g.weight((feed.router,), "router.before") if feed.router_joined else y
    y = normed(g, y, size)
    for _ in range(2):
        y = activated(g, g.linear(y, feed.router, name="router_inner"), "gelu")
    return g.linear(y, total, bias=False, name="router")


def _asleep(g: Builder, feed: Experts, size: Stack) -> None:
    """Weights of experts that no token goes through; they lie in memory and are read by nothing."""
    wide = (2 if feed.gated else 1) * feed.asleep
    g.weight((feed.count, size.hidden), "asleep.router")
    g.weight((feed.count, wide, size.hidden), "asleep.gate_up")
    g.weight((feed.count, size.hidden, feed.asleep), "asleep.down")
    if feed.correction:
        g.weight((feed.count,), "asleep.correction")


def _all_experts(g: Builder, tokens: Tensor, router: Tensor, feed: Experts) -> Tensor:
    width, wide = int(tokens.shape[-1]), (2 if feed.gated else 1) * feed.inner
    shapes = ((feed.count, wide, width), (feed.count, width, feed.inner))
    biases = (None, None)
    if feed.bias:
        biases = (
            g.weight((feed.count, wide), "experts.up_bias"),
            g.weight((feed.count, width), "experts.down_bias"),
        )
    gated: dict[str, Any] = {
        "activation_type": "swiglu",
        "swiglu_fusion": 1,
        "activation_alpha": 1.0,
        "activation_beta": 0.0,
    }
    attrs: dict[str, Any] = {"k": feed.per_token, "normalize_routing_weights": 1}
    attrs |= (
        gated
        if feed.gated
        else {"activation_type": _EXPERT_ACTIVATIONS.get(feed.activation, "gelu")}
    )
    if isinstance(g, QuantisedBuilder):
        return g.experts(tokens, router, shapes, biases, **attrs)
    up, down = (
        g.weight(shape, f"experts.{name}")
        for shape, name in zip(shapes, ("gate_up", "down"), strict=True)
    )
    last = [biases[1]] if feed.bias else []
    inputs = (tokens, router, up, biases[0], down, *last)
    return g.op("MoE", *inputs, domain="com.microsoft", name="experts", **attrs)
