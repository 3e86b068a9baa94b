"""Functions between two products."""

from __future__ import annotations

from lydite.graph import Builder, Tensor
from lydite.models.blocks import Activation


def activated(g: Builder, x: Tensor, activation: Activation) -> Tensor:
    """An activation by name."""
    if activation in ("relu", "relu2"):
        y = g.relu(x)
        return y * y if activation == "relu2" else y
    if activation == "xielu":
        return _xielu(g, x)
    if activation in ("silu", "quick_gelu"):
        return g.op("Swish", x, alpha=1.702 if activation == "quick_gelu" else None)
    return g.op("Gelu", x, approximate="tanh" if activation == "gelu_tanh" else None)


def _xielu(g: Builder, x: Tensor) -> Tensor:
    """A square above 0 and an exponential below, each with a learned factor (arXiv:2411.13010)."""
    above, below = g.weight((1,), "xielu.above"), g.weight((1,), "xielu.below")
    low = g.op("Exp", g.op("Min", x, g.constant(0.0, "zero", g.dtype)))
    half = x * g.constant(0.5, "half", g.dtype)
    return g.relu(x) * x * above + low * below + half
