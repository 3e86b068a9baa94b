"""What mixes tokens in a layer: attention of several kinds, state spaces, convolutions.

A mixer takes states [batch, tokens, hidden] and gives as many back. In a phase with a cache it
takes what earlier tokens left and gives it back with the new tokens; see `Tokens`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from lydite.graph import Builder, Tensor
from lydite.graph.dtypes import dtype_number, numpy_dtype
from lydite.models.blocks import (
    Attention,
    GatedDelta,
    LatentAttention,
    LightningAttention,
    Mamba,
    Mamba2,
    Mixer,
    ShortConvolution,
)
from lydite.models.dimensions import Stack

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


def mix(x: Tensor, mixer: Mixer, size: Stack, tokens: Tokens) -> Tensor:
    """States [batch, tokens, hidden] through a mixer."""
    return _BUILDERS[type(mixer)](x, mixer, size, tokens)


def normed(g: Builder, x: Tensor, size: Stack, name: str = "norm") -> Tensor:
    """The stack's normalisation over the last axis."""
    width = x.shape[-1]
    if not size.norm_scale:
        shape = g.constant([width], "shape")
        ones = g.op("ConstantOfShape", shape, value=np.ones(1, numpy_dtype(g.dtype)))
        plain = "RMSNormalization" if size.norm == "rms" else "LayerNormalization"
        return g.op(plain, x, ones, axis=-1, epsilon=size.eps)
    if size.norm == "rms":
        scale = g.weight((width,), "rms.scale")
        return g.op("RMSNormalization", x, scale, axis=-1, epsilon=size.eps, name="rms")
    if size.norm_bias:
        return g.layer_norm(x, eps=size.eps)
    scale = g.weight((width,), f"{name}.scale")
    return g.op("LayerNormalization", x, scale, axis=-1, epsilon=size.eps, name="ln")


def _split(g: Builder, x: Tensor, widths: list[int]) -> list[Tensor]:
    """Parts of the last axis."""
    return g.ops("Split", x, g.constant(widths, "widths"), axis=-1, outputs=len(widths))


def _attention(x: Tensor, a: Attention, size: Stack, t: Tokens) -> Tensor:
    g = t.g
    query, key, value, gate = _projected(g, x, a)
    query = _turned(_head_normed(g, query, a.heads, a, size), a, a.heads, t)
    if a.shared_from is not None:
        key, value, past = t.attended[a.shared_from]
    else:
        assert key is not None and value is not None
        key = _turned(_head_normed(g, key, a.key_heads, a, size), a, a.key_heads, t)
        past = None
    mixed = _attended(query, key, value, a, t, past)
    if gate is not None:
        mixed = mixed * g.op("Sigmoid", gate)
    if a.sinks:
        mixed = _with_sinks(g, mixed, a)
    return g.linear(mixed, size.hidden, bias=a.output_bias, name="attention_output")


def _projected(
    g: Builder, x: Tensor, a: Attention
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Query, key, value and output gate; no key and value where another layer's are used."""
    if a.packed:
        widths = [a.heads * a.size, a.key_heads * a.size, a.key_heads * a.value_size]
        packed = g.linear(x, sum(widths), bias=a.qkv_bias, name="qkv")
        query, key, value = _split(g, packed, widths)
        return query, key, value, None
    query, gate = _query(g, x, a)
    if a.shared_from is not None:
        return query, None, None, gate
    bias = a.qkv_bias and a.key_bias
    key = g.linear(x, a.key_heads * a.size, bias=bias, name="key")
    return query, key, key if a.key_is_value else _value(g, x, a), gate


def _value(g: Builder, x: Tensor, a: Attention) -> Tensor:
    return g.linear(x, a.key_heads * a.value_size, bias=a.qkv_bias, name="value")


def _query(g: Builder, x: Tensor, a: Attention) -> tuple[Tensor, Tensor | None]:
    width = a.heads * a.size
    if not a.gated:
        return g.linear(x, width, bias=a.qkv_bias, name="query"), None
    both = g.linear(x, 2 * width, bias=a.qkv_bias, name="query")
    query, gate = _split(g, both, [width, width])
    return query, gate


def _head_normed(g: Builder, x: Tensor, heads: int, a: Attention, size: Stack) -> Tensor:
    """Queries or keys, normalised head by head or as a whole."""
    if a.qk_norm == "whole":
        return normed(g, x, size)
    if a.qk_norm == "head":
        apart = g.reshape(x, [0, 0, heads, a.size])
        return g.reshape(normed(g, apart, size), [0, 0, heads * a.size])
    return x


def _turned(x: Tensor, a: Attention, heads: int, t: Tokens) -> Tensor:
    """Queries or keys [batch, tokens, heads x size] with rotary positions."""
    if not a.rotary:
        return x
    part = {"rotary_embedding_dim": a.rotary} if a.rotary != a.size else {}
    angles = t.angles(a.rope_theta, a.rotary)
    return t.g.op("RotaryEmbedding", x, *angles, num_heads=heads, **part)


def _attended(
    query: Tensor, key: Tensor, value: Tensor, a: Attention, t: Tokens, past: Past | None
) -> Tensor:
    g = t.g
    attrs: dict[str, Any] = {"q_num_heads": a.heads, "kv_num_heads": a.key_heads}
    attrs |= {"is_causal": 1} if t.causal else {}
    attrs |= {"softcap": a.softcap} if a.softcap else {}
    kept = t.context if a.window is None else min(t.context, a.window - 1)
    attrs |= {"window": a.window} if a.window is not None and kept + t.count > a.window else {}
    shape = (t.batch, a.key_heads, kept, a.size)
    if past is None and t.cached and kept and a.shared_from is None:
        past = (t.past("key", shape), t.past("value", (*shape[:3], a.value_size)))
    t.attended[t.layer] = (key, value, past)
    if past is None:
        mixed = g.op("Attention", query, key, value, **attrs)
        if t.cached and a.shared_from is None:
            t.keep("key", _by_head(g, key, a.key_heads))
            t.keep("value", _by_head(g, value, a.key_heads))
        return mixed
    mixed, keys, values = g.ops("Attention", query, key, value, None, *past, outputs=3, **attrs)
    if a.shared_from is None:
        t.keep("key", keys)
        t.keep("value", values)
    return mixed


def _by_head(g: Builder, x: Tensor, heads: int) -> Tensor:
    """Keys or values as a cache keeps them: [batch, heads, tokens, size]."""
    return g.transpose(g.reshape(x, [0, 0, heads, x.shape[-1] // heads]), (0, 2, 1, 3))


def _with_sinks(g: Builder, mixed: Tensor, a: Attention) -> Tensor:
    """Attention weakened by each head's sink.

    The share of the softmax that goes to the sink is known inside the kernel only; here a factor of
    each head stands for it, which costs the same.
    """
    share = g.op("Sigmoid", g.weight((a.heads, 1), "sinks"))
    apart = g.reshape(mixed, [0, 0, a.heads, a.value_size]) * share
    return g.reshape(apart, [0, 0, a.heads * a.value_size])


def _latent(x: Tensor, a: LatentAttention, size: Stack, t: Tokens) -> Tensor:
    """Latent attention: over full heads where there is no cache, over the latents where there is.

    A decoding step multiplies the query with the matrix that makes keys, attends to the cached
    latents as one shared head, and multiplies what comes out with the matrix that makes values
    (arXiv:2405.04434, section 2.1.2); the weights are the same in number.
    """
    g = t.g
    query, compressed = _latent_query(g, x, a, size)
    query_nope, query_rope = _split(g, query, [a.nope, a.rope])
    latent, key_rope = _split(
        g, g.linear(x, a.kv_rank + a.rope, bias=a.bias, name="kv_down"), [a.kv_rank, a.rope]
    )
    latent = normed(g, latent, size)
    angles = t.angles(a.rope_theta, a.rope)
    key_rope = g.op("RotaryEmbedding", key_rope, *angles, num_heads=1)
    flat = g.reshape(query_rope, [0, 0, a.heads * a.rope])
    query_rope = g.op("RotaryEmbedding", flat, *angles, num_heads=a.heads)
    query_rope = g.reshape(query_rope, [0, 0, a.heads, a.rope])
    attended = _selected(x, compressed, a, t)
    absorbed = t.cached and t.context > 0
    attend = _over_latents if absorbed else _over_heads
    mixed = attend(query_nope, query_rope, latent, key_rope, a, t, attended)
    return g.linear(mixed, size.hidden, bias=a.bias, name="attention_output")


def _latent_query(
    g: Builder, x: Tensor, a: LatentAttention, size: Stack
) -> tuple[Tensor, Tensor | None]:
    """Queries by head [batch, tokens, heads, nope + rope], and what they were compressed to."""
    width = a.heads * (a.nope + a.rope)
    compressed = None
    if a.query_rank:
        compressed = g.linear(x, a.query_rank, bias=a.bias, name="query_down")
        compressed = normed(g, compressed, size)
        query = g.linear(compressed, width, bias=False, name="query_up")
    else:
        query = g.linear(x, width, bias=False, name="query")
    return g.reshape(query, [0, 0, a.heads, a.nope + a.rope]), compressed


def _selected(x: Tensor, compressed: Tensor | None, a: LatentAttention, t: Tokens) -> int | None:
    """The indexer of sparse attention: how many tokens a query attends to; None for all.

    It scores all earlier tokens with few small heads (DeepSeek-V3.2-Exp, section 2.1).
    """
    if not a.index_heads:
        return None
    g, width = t.g, a.index_heads * a.index_size
    query = g.linear(x if compressed is None else compressed, width, bias=False, name="index_q")
    key = g.linear(x, a.index_size, bias=False, name="index_k")
    key = g.layer_norm(key, eps=1e-6)
    weights = g.linear(x, a.index_heads, bias=False, name="index_weights")
    past = t.past("index", (t.batch, t.context, a.index_size))
    keys = key if past is None else g.concat([past, key], 1)
    t.keep("index", keys)
    apart = g.transpose(g.reshape(query, [0, 0, a.index_heads, a.index_size]), (0, 2, 1, 3))
    scores = g.relu(g.op("MatMul", apart, g.op("Unsqueeze", _last_two(g, keys), g.constant([1]))))
    weights = g.op("Unsqueeze", g.transpose(weights, (0, 2, 1)), g.constant([3]))
    scored = g.op("ReduceSum", scores * weights, g.constant([1], "axes"), keepdims=0)
    top = min(a.index_top, t.context + t.count)
    if top < t.context + t.count:
        g.ops("TopK", scored, g.constant([top], "top"), axis=-1, outputs=2)
        return top
    return None


def _last_two(g: Builder, x: Tensor) -> Tensor:
    return g.transpose(x, (0, 2, 1))


def _over_heads(
    query_nope: Tensor,
    query_rope: Tensor,
    latent: Tensor,
    key_rope: Tensor,
    a: LatentAttention,
    t: Tokens,
    attended: int | None,
) -> Tensor:
    g, width = t.g, a.nope + a.rope
    both = g.linear(latent, a.heads * (a.nope + a.value), bias=False, name="kv_up")
    both = g.reshape(both, [0, 0, a.heads, a.nope + a.value])
    key_nope, value = _split(g, both, [a.nope, a.value])
    shape = g.constant([t.batch, t.count, a.heads, a.rope], "shape")
    shared = g.op("Expand", g.reshape(key_rope, [0, 0, 1, a.rope]), shape)
    query = g.reshape(g.concat([query_nope, query_rope], 3), [0, 0, a.heads * width])
    key = g.reshape(g.concat([key_nope, shared], 3), [0, 0, a.heads * width])
    value = g.reshape(value, [0, 0, a.heads * a.value])
    if t.cached:
        t.keep("latent", g.op("Unsqueeze", g.concat([latent, key_rope], 2), g.constant([1])))
    attrs: dict[str, Any] = {"is_causal": 1} if t.causal else {}
    attrs |= {"window": attended} if attended is not None else {}
    heads = {"q_num_heads": a.heads, "kv_num_heads": a.heads}
    return g.op("Attention", query, key, value, **heads, **attrs)


def _over_latents(
    query_nope: Tensor,
    query_rope: Tensor,
    latent: Tensor,
    key_rope: Tensor,
    a: LatentAttention,
    t: Tokens,
    attended: int | None,
) -> Tensor:
    g, width = t.g, a.kv_rank + a.rope
    past = t.past("latent", (t.batch, 1, t.context, width))
    up = g.weight((a.heads, a.nope, a.kv_rank), "key_up.weight")
    by_head = g.transpose(query_nope, (0, 2, 1, 3))
    absorbed = g.transpose(g.op("MatMul", by_head, up, name="key_up"), (0, 2, 1, 3))
    query = g.reshape(g.concat([absorbed, query_rope], 3), [0, 0, a.heads * width])
    key = g.concat([latent, key_rope], 2)
    mixed, kept = g.ops(
        "LatentAttention",
        query,
        key,
        past,
        domain="lydite",
        outputs=2,
        num_heads=a.heads,
        value_size=a.kv_rank,
        scale=(a.nope + a.rope) ** -0.5,
        window=attended,
    )
    t.keep("latent", kept)
    mixed = g.transpose(g.reshape(mixed, [0, 0, a.heads, a.kv_rank]), (0, 2, 1, 3))
    down = g.weight((a.heads, a.kv_rank, a.value), "value_up.weight")
    values = g.transpose(g.op("MatMul", mixed, down, name="value_up"), (0, 2, 1, 3))
    return g.reshape(values, [0, 0, a.heads * a.value])


def _mamba(x: Tensor, m: Mamba, size: Stack, t: Tokens) -> Tensor:
    """Selective scan: each channel's state decays by its own time step (arXiv:2312.00752)."""
    g = t.g
    signal, gate = _split(g, g.linear(x, 2 * m.inner, bias=m.bias, name="in"), [m.inner, m.inner])
    signal = _convolved(signal, m.inner, m.kernel, t, bias=m.conv_bias)
    widths = [m.rank, m.state, m.state]
    parts = _split(g, g.linear(signal, sum(widths), bias=False, name="x"), widths)
    step, first, last = (normed(g, part, size) for part in parts) if m.norms else parts
    step = g.op("Softplus", g.linear(step, m.inner, bias=True, name="dt"))
    decay, skip = g.weight((m.inner, m.state), "A_log"), g.weight((m.inner,), "D")
    past = t.past("state", (t.batch, m.inner, m.state))
    inputs = (signal, step, decay, first, last, skip, past)
    mixed, state = g.ops("SelectiveScan", *inputs, domain="lydite", outputs=2)
    t.keep("state", state)
    mixed = mixed * g.op("Swish", gate)
    return g.linear(mixed, size.hidden, bias=m.bias, name="out")


def _mamba2(x: Tensor, m: Mamba2, size: Stack, t: Tokens) -> Tensor:
    """State space duality, which is linear attention with one decay a head (arXiv:2405.21060)."""
    g, inner, shared = t.g, m.heads * m.size, m.groups * m.state
    total = 2 * inner + 2 * shared + m.heads
    gate, mixed, step = _split(
        g,
        g.linear(x, total, bias=m.bias, name="in"),
        [inner, inner + 2 * shared, m.heads],
    )
    mixed = _convolved(mixed, inner + 2 * shared, m.kernel, t, bias=m.conv_bias)
    value, key, query = _split(g, mixed, [inner, shared, shared])
    step = g.op("Softplus", step + g.weight((m.heads,), "dt_bias"))
    rate = g.op("Neg", g.op("Exp", g.weight((m.heads,), "A_log")))
    value_by_head = g.reshape(value, [0, 0, m.heads, m.size])
    weighted = value_by_head * g.op("Unsqueeze", step, g.constant([3]))
    mixed = _state_read(query, key, weighted, step * rate, None, m, t)
    skip = value_by_head * g.weight((m.heads, 1), "D")
    mixed = g.reshape(g.reshape(mixed, [0, 0, m.heads, m.size]) + skip, [0, 0, inner])
    mixed = mixed * g.op("Swish", gate)
    mixed = normed(g, mixed, size) if m.norm else mixed
    return g.linear(mixed, size.hidden, bias=m.bias, name="out")


def _state_read(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    decay: Tensor,
    beta: Tensor | None,
    m: Mamba2 | GatedDelta,
    t: Tokens,
) -> Tensor:
    """A decaying state of each value head, updated and read for every token."""
    g = t.g
    heads, groups, key_width, width = (
        (m.heads, m.groups, m.state, m.size)
        if isinstance(m, Mamba2)
        else (m.value_heads, m.key_heads, m.key, m.value)
    )
    query, key = (_repeated(g, part, groups, heads, key_width, t) for part in (query, key))
    past = t.past("state", (t.batch, heads, key_width, width), "float32")
    if past is not None and g.dtype != "float32":
        past = g.op("Cast", past, to=dtype_number(g.dtype))
    mixed, state = g.ops(
        "LinearAttention",
        query,
        key,
        g.reshape(value, [0, 0, heads * width]),
        past,
        decay,
        *([beta] if beta is not None else []),
        outputs=2,
        q_num_heads=heads,
        kv_num_heads=heads,
        update_rule="gated" if beta is None else "gated_delta",
    )
    t.keep("state", state if g.dtype == "float32" else g.op("Cast", state, to=1))
    return mixed


def _repeated(g: Builder, x: Tensor, groups: int, heads: int, width: int, t: Tokens) -> Tensor:
    """Each group's part for all heads of the group."""
    if groups == heads:
        return x
    apart = g.reshape(x, [0, 0, groups, 1, width])
    shape = g.constant([t.batch, t.count, groups, heads // groups, width], "shape")
    return g.reshape(g.op("Expand", apart, shape), [0, 0, heads * width])


def _convolved(
    x: Tensor, channels: int, kernel: int, t: Tokens, *, bias: bool, activation: str = "silu"
) -> Tensor:
    """A causal convolution of each channel: [batch, tokens, channels]."""
    g = t.g
    past = t.past("convolution", (t.batch, channels, kernel - 1))
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
    t.keep("convolution", state)
    return g.transpose(mixed, (0, 2, 1))


def _gated_delta(x: Tensor, m: GatedDelta, size: Stack, t: Tokens) -> Tensor:
    g, keys, values = t.g, m.key_heads * m.key, m.value_heads * m.value
    mixed = g.linear(x, 2 * keys + values, bias=False, name="qkv")
    rate, gate = _delta_gates(g, x, m, values)
    beta = g.linear(x, m.value_heads, bias=False, name="b")
    mixed = _convolved(mixed, 2 * keys + values, m.kernel, t, bias=False)
    query, key, value = _split(g, mixed, [keys, keys, values])
    step = g.op("Softplus", rate + g.weight((rate.shape[-1],), "dt_bias"))
    speed = g.op("Neg", g.op("Exp", g.weight((m.value_heads, 1), "A_log")))
    apart = g.reshape(step, [0, 0, m.value_heads, rate.shape[-1] // m.value_heads]) * speed
    decay = g.reshape(apart, [0, 0, rate.shape[-1]])
    mixed = _state_read(query, key, value, decay, g.op("Sigmoid", beta), m, t)
    apart = normed(g, g.reshape(mixed, [0, 0, m.value_heads, m.value]), size)
    mixed = g.reshape(apart, [0, 0, values]) * g.op("Swish", gate)
    return g.linear(mixed, size.hidden, bias=False, name="out")


def _delta_gates(g: Builder, x: Tensor, m: GatedDelta, values: int) -> tuple[Tensor, Tensor]:
    """Decay and output gate: one number a head and a full product, or both by way of a rank."""
    if not m.rank:
        gate = g.linear(x, values, bias=False, name="gate")
        return g.linear(x, m.value_heads, bias=False, name="a"), gate
    rate, gate = (
        g.linear(g.linear(x, m.rank, bias=False, name=f"{part}_a"), width, bias=False, name=part)
        for part, width in (("forget", m.value_heads * m.key), ("gate", values))
    )
    return rate, gate


def _lightning(x: Tensor, m: LightningAttention, size: Stack, t: Tokens) -> Tensor:
    g, width = t.g, m.heads * m.size
    packed = g.op("Swish", g.linear(x, 3 * width, bias=False, name="qkv"))
    query, key, value = _split(g, packed, [width] * 3)
    past = t.past("state", (t.batch, m.heads, m.size, m.size))
    heads: dict[str, Any] = {"q_num_heads": m.heads, "kv_num_heads": m.heads}
    shape = g.constant([t.batch, t.count, m.heads], "shape")
    decay = g.op("ConstantOfShape", shape, value=np.full(1, -0.1, numpy_dtype(g.dtype)))
    inputs = (query, key, value, past, decay)
    mixed, state = g.ops("LinearAttention", *inputs, outputs=2, update_rule="gated", **heads)
    t.keep("state", state)
    mixed = normed(g, mixed, size) * g.op("Sigmoid", g.linear(x, width, bias=False, name="gate"))
    return g.linear(mixed, size.hidden, bias=False, name="out")


def _short_convolution(x: Tensor, m: ShortConvolution, size: Stack, t: Tokens) -> Tensor:
    g, width = t.g, size.hidden
    first, last, value = _split(g, g.linear(x, 3 * width, bias=m.bias, name="in"), [width] * 3)
    mixed = _convolved(first * value, width, m.kernel, t, bias=m.bias, activation="none")
    return g.linear(last * mixed, width, bias=m.bias, name="out")


_BUILDERS: dict[type, Callable[..., Tensor]] = {
    Attention: _attention,
    LatentAttention: _latent,
    LightningAttention: _lightning,
    Mamba: _mamba,
    Mamba2: _mamba2,
    GatedDelta: _gated_delta,
    ShortConvolution: _short_convolution,
}
