"""The tokens of a graph that is being built, and what its mixers have in common."""

from __future__ import annotations

from dataclasses import field
from typing import TypeAlias

import numpy as np

from lydite.graph import Builder, Tensor
from lydite.graph.dtypes import dtype_number, numpy_dtype
from lydite.models.dimensions import Stack
from lydite.records import dataclass

Shape: TypeAlias = tuple[int, ...]
Past: TypeAlias = tuple[Tensor | None, Tensor | None]
"""Keys and values of earlier tokens."""


@dataclass
class Tokens:
    """The tokens of a graph: how many, where they stand, and what is kept of earlier ones.

    Attributes:
        g: The builder.
        batch: Number of sequences.
        count: Number of new tokens of each.
        context: Number of earlier tokens in the cache.
        causal: Whether a token attends to earlier ones only.
        cached: Whether keys, values and states go into and come out of the graph.
        layer: Layer that is being built.
        kept: What comes out for the next tokens, by name.
        attended: Keys and values by layer, for layers that use those of another one.
        first: States before the first layer, where a layer reads them.
        bias: What every layer adds to the scores of its attention; None for nothing.
    """

    g: Builder
    batch: int
    count: int
    context: int = 0
    causal: bool = True
    cached: bool = False
    layer: int = 0
    kept: dict[str, Tensor] = field(default_factory=dict)
    attended: dict[int, tuple[Tensor, Tensor, Past | None]] = field(default_factory=dict)
    first: Tensor | None = None
    bias: Tensor | None = None
    _elsewhere: Tensor | None = None
    _angles: dict[tuple[float, int], tuple[Tensor, Tensor]] = field(default_factory=dict)
    _positions: Tensor | None = None

    def past(self, name: str, shape: Shape, dtype: str | None = None) -> Tensor | None:
        """What earlier tokens left, an input of the graph; None where there are none."""
        if not (self.cached and self.context):
            return None
        return self.g.input(f"past_{name}_{self.layer}", shape, dtype)

    def keep(self, name: str, tensor: Tensor) -> None:
        """Give something back for later tokens."""
        if self.cached:
            self.kept[f"present_{name}_{self.layer}"] = tensor

    def elsewhere(self, count: int, width: int) -> Tensor:
        """States that are not the tokens' own, an input of the graph: [batch, count, width]."""
        if self._elsewhere is None:
            self._elsewhere = self.g.input("cross_states", (self.batch, count, width))
        return self._elsewhere

    @property
    def positions(self) -> Tensor:
        """Positions of the new tokens: int64 [tokens]."""
        if self._positions is None:
            self._positions = counted(self.g, self.context, self.context + self.count)
        return self._positions

    def angles(self, theta: float, width: int) -> tuple[Tensor, Tensor]:
        """Cosine and sine of position x theta^(-2 i / width), computed once for all layers.

        RoFormer, arXiv:2104.09864, equation 15; in float32, as half precision cannot tell far
        positions apart. Each is [batch, tokens, width / 2].
        """
        if (theta, width) not in self._angles:
            self._angles[theta, width] = self._turned(theta, width)
        return self._angles[theta, width]

    def _turned(self, theta: float, width: int) -> tuple[Tensor, Tensor]:
        g, float32 = self.g, dtype_number("float32")
        steps = g.op("Cast", counted(g, 0, width, 2), to=float32)
        exponents = steps * g.constant(-1 / width, "step", "float32")
        rates = g.op("Pow", g.constant(theta, "theta", "float32"), exponents)
        places = g.reshape(g.op("Cast", self.positions, to=float32), [1, -1, 1])
        shape = g.constant([self.batch, self.count, 1], "shape")
        angles = g.op("Expand", places, shape) * rates
        cosine, sine = g.op("Cos", angles), g.op("Sin", angles)
        if g.dtype != "float32":
            cosine, sine = (g.op("Cast", t, to=dtype_number(g.dtype)) for t in (cosine, sine))
        return cosine, sine


def counted(g: Builder, start: int, stop: int, step: int = 1) -> Tensor:
    """Whole numbers from `start` up to `stop`, as the graph computes them."""
    bounds = (g.constant(value, "bound") for value in (start, stop, step))
    return g.op("Range", *bounds)


def distances(g: Builder, buckets: int, queries: int, keys: int) -> Tensor:
    """Distances of the last queries from all keys, in buckets: int64 [queries, keys].

    Buckets grow with distance (T5, arXiv:1910.10683, section 2.1); here distances are cut at the
    last bucket, which costs the same.
    """
    rows = g.op("Unsqueeze", counted(g, keys - queries, keys), g.constant([1], "axes"))
    distance = g.op("Abs", g.op("Sub", rows, counted(g, 0, keys)))
    return g.op("Min", distance, g.constant(buckets - 1, "last"))


def relative_bias(g: Builder, buckets: int, heads: int, queries: int, keys: int) -> Tensor:
    """A learned bias of each head by distance: [1, heads, queries, keys]."""
    table = g.weight((buckets, heads), "relative_positions")
    found = g.op("Gather", table, distances(g, buckets, queries, keys))
    return g.op("Unsqueeze", g.transpose(found, (2, 0, 1)), g.constant([0]))


def normed(g: Builder, x: Tensor, size: Stack, name: str = "norm") -> Tensor:
    """The stack's normalisation over the last axis."""
    width = x.shape[-1]
    if not size.norm_scale:
        return plain_normed(g, x, size)
    if size.norm == "rms":
        scale = g.weight((width,), "rms.scale")
        return g.op("RMSNormalization", x, scale, axis=-1, epsilon=size.eps, name="rms")
    if size.norm_bias:
        return g.layer_norm(x, eps=size.eps)
    scale = g.weight((width,), f"{name}.scale")
    return g.op("LayerNormalization", x, scale, axis=-1, epsilon=size.eps, name="ln")


def plain_normed(g: Builder, x: Tensor, size: Stack) -> Tensor:
    """The stack's normalisation over the last axis, without weights."""
    shape = g.constant([x.shape[-1]], "shape")
    ones = g.op("ConstantOfShape", shape, value=np.ones(1, numpy_dtype(g.dtype)))
    plain = "RMSNormalization" if size.norm == "rms" else "LayerNormalization"
    return g.op(plain, x, ones, axis=-1, epsilon=size.eps)


def affine(g: Builder, x: Tensor, name: str) -> Tensor:
    """Every entry shifted and scaled by learned numbers."""
    width = int(x.shape[-1])
    return (x + g.weight((width,), f"{name}.bias")) * g.weight((width,), f"{name}.scale")


def gated_by_head(g: Builder, mixed: Tensor, x: Tensor, heads: int) -> Tensor:
    """What attention gives [batch, tokens, heads x size], each head times a number from x."""
    width = int(mixed.shape[-1])
    gate = g.op("Sigmoid", g.linear(x, heads, bias=False, name="head_gate"))
    apart = g.reshape(mixed, [0, 0, heads, width // heads]) * g.reshape(gate, [0, 0, heads, 1])
    return g.reshape(apart, [0, 0, width])


def convolved(
    x: Tensor,
    kernel: int,
    t: Tokens,
    *,
    name: str = "convolution",
    bias: bool = False,
    activation: str = "silu",
) -> Tensor:
    """A causal convolution of each channel by itself: [batch, tokens, channels].

    What it needs of earlier tokens is kept under its name.
    """
    g, channels = t.g, int(x.shape[-1])
    past = t.past(name, (t.batch, channels, kernel - 1))
    weight = g.weight((channels, 1, kernel), "conv.weight")
    biases = g.weight((channels,), "conv.bias") if bias else None
    mixed, state = g.ops(
        "CausalConvWithState",
        g.transpose(x, (0, 2, 1)),
        weight,
        biases,
        past,
        outputs=2,
        activation=activation,
    )
    t.keep(name, state)
    return g.transpose(mixed, (0, 2, 1))


def by_head(g: Builder, x: Tensor, heads: int) -> Tensor:
    """Keys or values as a cache keeps them: [batch, heads, tokens, size]."""
    return g.transpose(g.reshape(x, [0, 0, heads, x.shape[-1] // heads]), (0, 2, 1, 3))


def shifted(x: Tensor, t: Tokens, name: str) -> Tensor:
    """The state of the token before, which is kept under a name: [batch, tokens, width]."""
    g, width = t.g, int(x.shape[-1])
    past = t.past(name, (t.batch, 1, width))
    bounds = ((0, t.count - 1), (t.count - 1, t.count))
    early, last = (
        g.op("Slice", x, *(g.constant([value], "bound") for value in (low, high, 1)))
        if high > low
        else None
        for low, high in bounds
    )
    assert last is not None
    t.keep(name, last)
    if past is None:
        zeros = g.constant([t.batch, 1, width], "shape")
        past = g.op("ConstantOfShape", zeros, value=np.zeros(1, numpy_dtype(g.dtype)))
    return past if early is None else g.concat([past, early], 1)


def with_before(x: Tensor, before: int, t: Tokens, name: str) -> Tensor:
    """Channels [batch, channels, tokens] behind as many earlier tokens, which are kept by name."""
    g, channels = t.g, int(x.shape[1])
    past = t.past(name, (t.batch, channels, before))
    if past is None:
        wide = g.op("Pad", x, g.constant([0, 0, before, 0, 0, 0], "pads"))
    else:
        wide = g.concat([past, x], 2)
    bounds = (g.constant([value], "bound") for value in (t.count, t.count + before, 2))
    t.keep(name, g.op("Slice", wide, *bounds))
    return wide


def with_sinks(g: Builder, mixed: Tensor, heads: int) -> Tensor:
    """Attention weakened by each head's sink.

    The share of the softmax that goes to the sink is known inside the kernel only; here a factor of
    each head stands for it, which costs the same.
    """
    width = int(mixed.shape[-1])
    share = g.op("Sigmoid", g.weight((heads, 1), "sinks"))
    apart = g.reshape(mixed, [0, 0, heads, width // heads]) * share
    return g.reshape(apart, [0, 0, width])


def split(g: Builder, x: Tensor, widths: list[int]) -> list[Tensor]:
    """Parts of the last axis."""
    return g.ops("Split", x, g.constant(widths, "widths"), axis=-1, outputs=len(widths))
