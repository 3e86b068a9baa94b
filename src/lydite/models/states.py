"""Mixers that keep a state instead of all tokens: state spaces, delta rules, convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np

from lydite.graph import Builder, Tensor
from lydite.graph.dtypes import dtype_number, numpy_dtype
from lydite.models.blocks import (
    GatedDelta,
    LightningAttention,
    Mamba,
    Mamba2,
    ShortConvolution,
)
from lydite.models.dimensions import Stack
from lydite.models.tokens import Tokens, convolved, normed, split


def mamba(x: Tensor, m: Mamba, size: Stack, t: Tokens) -> Tensor:
    """Selective scan: each channel's state decays by its own time step (arXiv:2312.00752)."""
    g = t.g
    signal, gate = split(g, g.linear(x, 2 * m.inner, bias=m.bias, name="in"), [m.inner, m.inner])
    signal = convolved(signal, m.kernel, t, bias=m.conv_bias)
    if m.heads == 1:
        mixed = _scanned(signal, "state", m, size, t)
    else:
        parts = split(g, signal, [m.inner // m.heads] * m.heads)
        mixed = g.concat([_scanned(p, f"state_{i}", m, size, t) for i, p in enumerate(parts)], 2)
    mixed = mixed * g.op("Swish", gate)
    return g.linear(mixed, size.hidden, bias=m.bias, name="out")


def _scanned(signal: Tensor, name: str, m: Mamba, size: Stack, t: Tokens) -> Tensor:
    """Channels [batch, tokens, width] through the scan, whose state is kept under the name."""
    g, inner = t.g, int(signal.shape[-1])
    widths = [m.rank, m.state, m.state]
    parts = split(g, g.linear(signal, sum(widths), bias=False, name="x"), widths)
    step, first, last = (normed(g, part, size) for part in parts) if m.norms else parts
    step = g.op("Softplus", g.linear(step, inner, bias=True, name="dt"))
    decay, skip = g.weight((inner, m.state), "A_log"), g.weight((inner,), "D")
    past = t.past(name, (t.batch, inner, m.state))
    inputs = (signal, step, decay, first, last, skip, past)
    mixed, state = g.ops("SelectiveScan", *inputs, domain="lydite", outputs=2)
    t.keep(name, state)
    return mixed


def mamba2(x: Tensor, m: Mamba2, size: Stack, t: Tokens) -> Tensor:
    """State space duality, which is linear attention with one decay a head (arXiv:2405.21060)."""
    g, inner, shared = t.g, m.heads * m.size, m.groups * m.state
    total = 2 * inner + 2 * shared + m.heads
    gate, mixed, step = split(
        g,
        g.linear(x, total, bias=m.bias, name="in"),
        [inner, inner + 2 * shared, m.heads],
    )
    mixed = convolved(mixed, m.kernel, t, bias=m.conv_bias)
    value, key, query = split(g, mixed, [inner, shared, shared])
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


def gated_delta(x: Tensor, m: GatedDelta, size: Stack, t: Tokens) -> Tensor:
    """The gated delta rule: linear attention whose state decays and is corrected."""
    g, keys, values = t.g, m.key_heads * m.key, m.value_heads * m.value
    mixed = g.linear(x, 2 * keys + values, bias=False, name="qkv")
    rate, gate = _delta_gates(g, x, m, values)
    beta = g.linear(x, m.value_heads, bias=False, name="b")
    mixed = convolved(mixed, m.kernel, t)
    query, key, value = split(g, mixed, [keys, keys, values])
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
        rates = m.value_heads * (m.key if m.by_entry else 1)
        return g.linear(x, rates, bias=False, name="a"), gate
    rate, gate = (
        g.linear(g.linear(x, m.rank, bias=False, name=f"{part}_a"), width, bias=False, name=part)
        for part, width in (("forget", m.value_heads * m.key), ("gate", values))
    )
    return rate, gate


def lightning(x: Tensor, m: LightningAttention, size: Stack, t: Tokens) -> Tensor:
    """Linear attention whose state decays at a fixed rate, with an output gate."""
    g, width = t.g, m.heads * m.size
    packed = g.op("Swish", g.linear(x, 3 * width, bias=False, name="qkv"))
    query, key, value = split(g, packed, [width] * 3)
    past = t.past("state", (t.batch, m.heads, m.size, m.size))
    heads: dict[str, Any] = {"q_num_heads": m.heads, "kv_num_heads": m.heads}
    shape = g.constant([t.batch, t.count, m.heads], "shape")
    decay = g.op("ConstantOfShape", shape, value=np.full(1, -0.1, numpy_dtype(g.dtype)))
    inputs = (query, key, value, past, decay)
    mixed, state = g.ops("LinearAttention", *inputs, outputs=2, update_rule="gated", **heads)
    t.keep("state", state)
    mixed = normed(g, mixed, size) * g.op("Sigmoid", g.linear(x, width, bias=False, name="gate"))
    return g.linear(mixed, size.hidden, bias=False, name="out")


def short_convolution(x: Tensor, m: ShortConvolution, size: Stack, t: Tokens) -> Tensor:
    """A gated convolution over few tokens."""
    g, width = t.g, size.hidden
    first, last, value = split(g, g.linear(x, 3 * width, bias=m.bias, name="in"), [width] * 3)
    mixed = convolved(first * value, m.kernel, t, bias=m.bias, activation="none")
    return g.linear(last * mixed, width, bias=m.bias, name="out")
