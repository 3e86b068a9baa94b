"""Translations to PyTorch: attention and recurrent layers, also as training runs them."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F

from lydite.backends.torch_ops import Attrs, Tensors, Translation
from lydite.errors import BackendError

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def _given(inputs: Tensors, index: int) -> Any:
    return inputs[index] if index < len(inputs) else None


# Attention


class _Heads:
    """Query, key and value as [batch, heads, length, size], with key and value heads repeated."""

    def __init__(self, inputs: Tensors, attrs: Attrs) -> None:
        if attrs.get("softcap", 0.0):
            raise BackendError("PyTorch has no attention with softcap")
        self.flat = inputs[0].dim() == 3
        counts = (attrs.get("q_num_heads"), *[attrs.get("kv_num_heads")] * 2)
        parts = [_apart(x, n) if self.flat else x for x, n in zip(inputs[:3], counts, strict=True)]
        self.query, self.key, self.value = parts
        if _given(inputs, 4) is not None:
            self.key = torch.cat((inputs[4], self.key), 2)
            self.value = torch.cat((inputs[5], self.value), 2)
        self.present = (self.key, self.value)
        self.groups = self.query.shape[1] // self.key.shape[1]
        if self.groups > 1:
            self.key = self.key.repeat_interleave(self.groups, 1)
            self.value = self.value.repeat_interleave(self.groups, 1)
        self.scale = attrs.get("scale") or 1 / math.sqrt(self.query.shape[-1])
        past = self.key.shape[2] - self.query.shape[2]
        window = attrs.get("window", 0)
        self.causal = bool(attrs.get("is_causal", 0)) and not past and not window
        behind = past if attrs.get("is_causal", 0) else 0
        self.mask = _mask(_given(inputs, 3), self, behind, window)

    def joined(self, x: Any) -> Any:
        """Convert back to the layout of the inputs."""
        return x.transpose(1, 2).flatten(2) if self.flat else x

    def shared(self, gradient: Any) -> Any:
        """Gradient of a repeated key or value, summed over the query heads that share it."""
        if self.groups > 1:
            gradient = gradient.unflatten(1, (-1, self.groups)).sum(2)
        return self.joined(gradient)


def _apart(x: Any, heads: int | None) -> Any:
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def _mask(mask: Any, heads: _Heads, past: int, window: int) -> Any:
    """An additive mask; causal order behind cached keys or in a window has to be written out."""
    query = heads.query
    if past or window:
        length, keys = query.shape[2], heads.key.shape[2]
        seen = torch.ones(length, keys, dtype=torch.bool, device=query.device).tril(past)
        seen = seen.triu(past - window + 1) if window else seen
        mask = seen if mask is None else mask
    if mask is not None and mask.dtype == torch.bool:
        return torch.zeros_like(mask, dtype=query.dtype).masked_fill(~mask, float("-inf"))
    return mask


def _attention(inputs: Tensors, attrs: Attrs) -> Any:
    heads = _Heads(inputs, attrs)
    mixed = F.scaled_dot_product_attention(
        heads.query, heads.key, heads.value, heads.mask, is_causal=heads.causal, scale=heads.scale
    )
    return heads.joined(mixed), *heads.present


def _attention_training(inputs: Tensors, attrs: Attrs) -> Any:
    heads = _Heads(inputs, attrs)
    if heads.query.is_cuda:
        out = torch.ops.aten._scaled_dot_product_efficient_attention(
            heads.query,
            heads.key,
            heads.value,
            heads.mask,
            True,
            0.0,
            heads.causal,
            scale=heads.scale,
        )
    else:
        out = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            heads.query,
            heads.key,
            heads.value,
            0.0,
            heads.causal,
            attn_mask=heads.mask,
            scale=heads.scale,
        )
    return heads.joined(out[0]), out[1]


def _attention_gradient(inputs: Tensors, attrs: Attrs) -> Any:
    """Gradients of query, key and value.

    Inputs: query, key, value, mask, gradient of the output, the output, log-sum-exp of the scores.
    """
    heads = _Heads(inputs[:4], attrs)
    dy, out = (
        _apart(x, attrs.get("q_num_heads")) if heads.flat else x for x in (inputs[4], inputs[5])
    )
    if heads.query.is_cuda:
        seed = torch.zeros((), dtype=torch.int64, device=heads.query.device)
        gradients = torch.ops.aten._scaled_dot_product_efficient_attention_backward(
            dy,
            heads.query,
            heads.key,
            heads.value,
            heads.mask,
            out,
            inputs[6],
            seed,
            seed,
            0.0,
            [True, True, True, False],
            heads.causal,
            scale=heads.scale,
        )
    else:
        gradients = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            dy,
            heads.query,
            heads.key,
            heads.value,
            out,
            inputs[6],
            0.0,
            heads.causal,
            attn_mask=heads.mask,
            scale=heads.scale,
        )
    return heads.joined(gradients[0]), heads.shared(gradients[1]), heads.shared(gradients[2])


def _rotary(inputs: Tensors, attrs: Attrs) -> Any:
    """Rotate the pairs (i, i + half) of each head, or neighbouring pairs if `interleaved`."""
    x, cos, sin = inputs[0], inputs[1], inputs[2]
    flat = x.dim() == 3
    apart = x.unflatten(2, (attrs["num_heads"], -1)) if flat else x.transpose(1, 2)
    positions = _given(inputs, 3)
    if positions is not None:
        cos, sin = cos[positions], sin[positions]
    size = attrs.get("rotary_embedding_dim") or apart.shape[-1]
    part, rest = apart[..., :size], apart[..., size:]
    cos, sin = (table[:, : apart.shape[1], None, : size // 2] for table in (cos, sin))
    if attrs.get("interleaved", 0):
        first, second = part[..., 0::2], part[..., 1::2]
    else:
        first, second = part.chunk(2, -1)
    turned = (first * cos - second * sin, first * sin + second * cos)
    part = (
        torch.stack(turned, -1).flatten(-2)
        if attrs.get("interleaved", 0)
        else torch.cat(turned, -1)
    )
    rotated = torch.cat((part, rest), -1) if rest.shape[-1] else part
    return rotated.flatten(2) if flat else rotated.transpose(1, 2)


# Recurrent layers: ONNX orders gates i, o, f, c (LSTM) and z, r, h (GRU)


def _forward(cell: str, saving: bool) -> Translation:
    """Y [steps, directions, batch, hidden], last states and, if `saving`, gates and cells."""

    def rule(inputs: Tensors, attrs: Attrs) -> Any:
        _check(cell, inputs, attrs)
        x, weight, states = inputs[0], inputs[1], inputs[2]
        directions = []
        for direction in range(weight.shape[0]):
            backwards = _backwards(attrs, direction)
            steps = _steps(cell, x.flip(0) if backwards else x, inputs, direction, states.shape[-1])
            directions.append([part.flip(0) if backwards else part for part in steps])
        lasts = [
            torch.stack(
                [parts[k][0 if _backwards(attrs, d) else -1] for d, parts in enumerate(directions)]
            )
            for k in ((0, -1) if cell == "LSTM" else (0,))
        ]
        whole = [torch.stack(parts, 1) for parts in zip(*directions, strict=True)]
        return (whole[0], *lasts, *(whole[1:] if saving else ()))

    return rule


def _check(cell: str, inputs: Tensors, attrs: Attrs) -> None:
    odd = _given(inputs, 4) is not None or _given(inputs, 7) is not None or attrs.get("layout", 0)
    if odd or (cell == "GRU" and not attrs.get("linear_before_reset", 0)):
        raise BackendError(
            f"PyTorch has no {cell} with sequence lengths, peepholes, layout 1 or a reset before "
            "the product"
        )


def _backwards(attrs: Attrs, direction: int) -> bool:
    return attrs.get("direction", "forward") == "reverse" or direction == 1


def _steps(cell: str, x: Any, inputs: Tensors, direction: int, hidden: int) -> list[Any]:
    """Run one direction: Y, gates and cells, each [steps, batch, ...]."""
    weight, state = inputs[1][direction], inputs[2][direction]
    rows = _GATES[cell] * hidden
    bias = inputs[3][direction] if _given(inputs, 3) is not None else x.new_zeros(2 * rows)
    given = F.linear(x, weight, bias[:rows])
    first = [_given(inputs, i) for i in (5, 6)]
    h, c = (f[direction] if f is not None else x.new_zeros(x.shape[1], hidden) for f in first)
    ys, gates, cells = [], [], []
    for step in given:
        recurrent = F.linear(h, state, bias[rows:])
        h, c, kept = _CELLS[cell](step, recurrent, h, c)
        ys.append(h)
        gates.append(kept)
        cells.append(c)
    results = [torch.stack(ys)]
    if cell != "RNN":
        results.append(torch.stack(gates))
    if cell == "LSTM":
        results.append(torch.stack(cells))
    return results


def _rnn_cell(given: Any, recurrent: Any, _h: Any, c: Any) -> tuple[Any, Any, Any]:
    return torch.tanh(given + recurrent), c, None


def _lstm_cell(given: Any, recurrent: Any, _h: Any, c: Any) -> tuple[Any, Any, Any]:
    i, o, f, g = (given + recurrent).chunk(4, -1)
    i, o, f, g = torch.sigmoid(i), torch.sigmoid(o), torch.sigmoid(f), torch.tanh(g)
    c = f * c + i * g
    return o * torch.tanh(c), c, torch.cat((i, o, f, g), -1)


def _gru_cell(given: Any, recurrent: Any, h: Any, c: Any) -> tuple[Any, Any, Any]:
    z, r, n = given.chunk(3, -1)
    hz, hr, hn = recurrent.chunk(3, -1)
    z, r = torch.sigmoid(z + hz), torch.sigmoid(r + hr)
    n = torch.tanh(n + r * hn)
    return (1 - z) * n + z * h, c, torch.cat((z, r, n, hn), -1)


_CELLS = {"RNN": _rnn_cell, "GRU": _gru_cell, "LSTM": _lstm_cell}

RULES: dict[str, Translation] = {
    "Attention": _attention,
    "RotaryEmbedding": _rotary,
    "lydite:AttentionTraining": _attention_training,
    "lydite:AttentionGrad": _attention_gradient,
    **{cell: _forward(cell, saving=False) for cell in _GATES},
    **{f"lydite:{cell}Training": _forward(cell, saving=True) for cell in _GATES},
}
