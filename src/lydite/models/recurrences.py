"""Recurrences of the one state: Griffin's linear unit, RWKV's means and xLSTM's matrix memory.

Each is linear attention with a decay (ONNX's `LinearAttention`), of heads as wide as its state has
columns; a state of each channel is a head of width 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lydite.graph import Builder, Tensor
from lydite.graph.dtypes import numpy_dtype
from lydite.models.activations import activated
from lydite.models.blocks import ChannelMix, MatrixMemory, RecurrentUnit, TimeMix
from lydite.models.dimensions import Stack
from lydite.models.tokens import Tokens, convolved, shifted


def recurrent_unit(x: Tensor, m: RecurrentUnit, size: Stack, t: Tokens) -> Tensor:
    """Real-gated linear recurrent unit (arXiv:2402.19427, section 2.4), times another branch."""
    g = t.g
    beside = activated(g, g.linear(x, m.width, name="beside"), m.activation)
    signal = convolved(
        g.linear(x, m.width, name="signal"), m.kernel, t, bias=True, activation="none"
    )
    apart = g.transpose(g.reshape(signal, [0, 0, m.heads, m.width // m.heads]), (0, 2, 1, 3))
    gate, rate = (_by_group(g, apart, m, name) for name in ("input_gate", "rate"))
    speed = g.op("Neg", g.op("Softplus", g.weight((m.width,), "speed")))
    decay = rate * speed
    one = g.constant(1.0, "one", g.dtype)
    share = g.op("Sqrt", one + g.op("Neg", g.op("Exp", decay + decay)))
    mixed = _read(beside, gate * share, signal, decay, (m.width, 1, 1), t)
    return g.linear(mixed, size.hidden, name="out")


def _by_group(g: Builder, apart: Tensor, m: RecurrentUnit, name: str) -> Tensor:
    """A gate of every channel, a product of its group [batch, groups, tokens, width]."""
    width = m.width // m.heads
    y = g.op("MatMul", apart, g.weight((m.heads, width, width), f"{name}.weight"), name=name)
    y = y + g.weight((m.heads, 1, width), f"{name}.bias")
    return g.op("Sigmoid", g.reshape(g.transpose(y, (0, 2, 1, 3)), [0, 0, m.width]))


def time_mix(x: Tensor, m: TimeMix, size: Stack, t: Tokens) -> Tensor:
    """A weighted mean of the values of earlier tokens, whose weights decay by channel."""
    g = t.g
    before = shifted(x, t, "token")
    key, value, gate = (
        g.linear(_between(g, x, before), m.width, bias=False, name=name)
        for name in ("key", "value", "receptance")
    )
    weight = g.op("Exp", key)
    shape = g.constant([t.batch, t.count, m.width], "shape")
    decay = g.op("Expand", g.op("Neg", g.op("Exp", g.weight((m.width,), "decay"))), shape)
    ones = g.op("ConstantOfShape", shape, value=np.ones(1, numpy_dtype(g.dtype)))
    pairs = g.concat([g.op("Unsqueeze", part, g.constant([3])) for part in (value, ones)], 3)
    sums = _read(ones, weight, g.reshape(pairs, [0, 0, 2 * m.width]), decay, (m.width, 1, 2), t)
    now = g.op("Exp", key + g.weight((m.width,), "bonus"))
    both = g.reshape(sums, [0, 0, m.width, 2]) + pairs * g.op("Unsqueeze", now, g.constant([3]))
    over, under = g.ops("Split", both, axis=3, num_outputs=2, outputs=2)
    mean = g.reshape(g.op("Div", over, under), [0, 0, m.width])
    return g.linear(mean * g.op("Sigmoid", gate), size.hidden, bias=False, name="out")


def channel_mix(x: Tensor, m: ChannelMix, size: Stack, t: Tokens) -> Tensor:
    """Two products with a squared ReLU between them, gated by a third one."""
    g = t.g
    before = shifted(x, t, "token")
    inner = g.relu(g.linear(_between(g, x, before), m.inner, bias=False, name="up"))
    gate = g.linear(_between(g, x, before), size.hidden, bias=False, name="receptance")
    return g.linear(inner * inner, size.hidden, bias=False, name="down") * g.op("Sigmoid", gate)


def _between(g: Builder, x: Tensor, before: Tensor) -> Tensor:
    """Each entry between that of the token and that of the one before, by a learned share."""
    share = g.weight((int(x.shape[-1]),), "share")
    return before + g.op("Sub", x, before) * share


def matrix_memory(x: Tensor, m: MatrixMemory, size: Stack, t: Tokens) -> Tensor:
    """mLSTM: a matrix of each head with an input and a forget gate, and a norm of each head.

    The normaliser, a sum of keys, is one more column of the values; the largest exponent, which
    keeps numbers finite, is left out.
    """
    g, keys, values = t.g, m.heads * m.key, m.heads * m.value
    query, key, value, gate = (
        g.linear(x, width, bias=m.bias, name=name)
        for name, width in (("query", keys), ("key", keys), ("value", values), ("gate", values))
    )
    rate, decay = (_capped(g, g.linear(x, m.heads, name=name)) for name in ("input", "forget"))
    apart = [0, 0, m.heads, -1]
    weighted = g.reshape(key, apart) * g.op("Unsqueeze", g.op("Exp", rate), g.constant([3]))
    shape = g.constant([t.batch, t.count, m.heads, 1], "shape")
    ones = g.op("ConstantOfShape", shape, value=np.ones(1, numpy_dtype(g.dtype)))
    wide = g.reshape(g.concat([g.reshape(value, apart), ones], 3), [0, 0, values + m.heads])
    decay = g.op("Neg", g.op("Softplus", g.op("Neg", decay)))
    sizes = (m.heads, m.key, m.value + 1)
    mixed = _read(query, g.reshape(weighted, [0, 0, keys]), wide, decay, sizes, t)
    widths = g.constant([m.value, 1], "widths")
    over, under = g.ops("Split", g.reshape(mixed, apart), widths, axis=3, outputs=2)
    y = g.op("Div", over, g.op("Max", g.op("Abs", under), g.constant(1.0, "one", g.dtype)))
    y = _normed_by_head(g, y, m, size)
    y = g.reshape(y, [0, 0, values]) * g.op("Sigmoid", gate)
    return g.linear(y, size.hidden, bias=m.bias, name="out")


def _normed_by_head(g: Builder, y: Tensor, m: MatrixMemory, size: Stack) -> Tensor:
    """Layer norms of every head with weights of its own."""
    shape = g.constant([m.value], "shape")
    ones = g.op("ConstantOfShape", shape, value=np.ones(1, numpy_dtype(g.dtype)))
    y = g.op("LayerNormalization", y, ones, axis=-1, epsilon=size.eps)
    y = y * g.weight((m.heads, m.value), "norm.scale")
    return y + g.weight((m.heads, m.value), "norm.bias") if m.bias else y


def _capped(g: Builder, x: Tensor) -> Tensor:
    """A gate before its function, kept between -15 and 15 by a scaled tanh."""
    cap = g.constant(15.0, "cap", g.dtype)
    return g.op("Tanh", g.op("Div", x, cap)) * cap


def _read(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    decay: Tensor,
    sizes: tuple[int, int, int],
    t: Tokens,
) -> Tensor:
    """A decaying state of heads [key, value], updated and read for every token."""
    heads, keys, values = sizes
    past = t.past("state", (t.batch, heads, keys, values))
    counts: dict[str, Any] = {"q_num_heads": heads, "kv_num_heads": heads}
    inputs = (query, key, value, past, decay)
    mixed, state = t.g.ops("LinearAttention", *inputs, outputs=2, update_rule="gated", **counts)
    t.keep("state", state)
    return mixed
