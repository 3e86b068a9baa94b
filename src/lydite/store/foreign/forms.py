"""Canonical forms of operators: one key for all spellings that a device runs alike.

A product of [1, 512, 4096] by [4096, 1024] is the same work as one of [512, 4096]; tables of others
say only M, K and N. The functions take sizes as numbers, for a key, or as names such as "@m", for
a pattern that `Pattern` fills with columns of numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from lydite.opkey import Operand, OpKey, TensorType
from lydite.records import dataclass

Size = int | str
MICROSOFT, OWN = "com.microsoft", "lydite"
_NAME = re.compile(r'"@(\w+)"|@(\w+)')


@dataclass(frozen=True)
class Pattern:
    """The text of operator keys that differ only in sizes.

    Attributes:
        key: A key with names ("@m") in place of sizes.
    """

    key: OpKey

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the sizes in the order of the text."""
        return tuple(quoted or bare for quoted, bare in _NAME.findall(self.key.text))

    @cached_property
    def form(self) -> str:
        """The text with %d in place of sizes."""
        return _NAME.sub("%d", self.key.text.replace("%", "%%"))

    def texts(self, sizes: Mapping[str, np.ndarray]) -> list[str]:
        """Texts of the keys with these sizes, one array per name."""
        columns = [sizes[name].tolist() for name in self.names]
        form = self.form
        return [form % row for row in zip(*columns, strict=True)]


def product(
    dtype: str, m: Size, k: Size, n: Size, *, out: str | None = None, count: Size | None = None
) -> OpKey:
    """m x k by k x n with constant weights; with a count, of that many pairs of activations."""
    batch: tuple[Size, ...] = () if count is None else (count,)
    left, right = (TensorType(dtype, (*batch, *shape)) for shape in ((m, k), (k, n)))
    result = TensorType(out or dtype, (*batch, m, n))
    return OpKey(
        "MatMul", (Operand(left), Operand(right, const=count is None)), (result,), version=13
    )


def packed_product(dtype: str, m: Size, k: Size, n: Size, bits: int, packed: Size) -> OpKey:
    """m x k by k x n with weights of a few bits, one scale per column (`packed` = k bits / 8)."""
    weights = TensorType("uint8", (n, 1, packed))
    return OpKey(
        "MatMulNBits",
        (
            Operand(TensorType(dtype, (m, k))),
            Operand(weights, const=True),
            Operand(TensorType(dtype, (n, 1)), const=True),
        ),
        (TensorType(dtype, (m, n)),),
        {"K": k, "N": n, "bits": bits, "block_size": k},
        MICROSOFT,
    )


def attention(
    dtype: str,
    batch: Size,
    queries: Size,
    heads: Size,
    kv_heads: Size,
    widths: tuple[Size, Size, Size, Size],
    *,
    keys: str | None = None,
    causal: bool = True,
    window: Size | None = None,
) -> OpKey:
    """Attention of a prompt to itself.

    Args:
        dtype: Type of queries and result.
        batch, queries: Number of sequences and of tokens of each.
        heads, kv_heads: Number of heads of queries and of keys.
        widths: All heads together of queries, keys, values and result.
        keys: Type of keys and values; None for `dtype`.
        causal: Whether a token sees only those before it.
        window: Number of last tokens that a token sees; None for all.
    """
    query, key, value, result = widths
    kept = keys or dtype
    types = [(dtype, query), (kept, key), (kept, value)]
    attrs: dict[str, Any] = {"q_num_heads": heads, "kv_num_heads": kv_heads}
    attrs |= ({"is_causal": 1} if causal else {}) | ({} if window is None else {"window": window})
    return OpKey(
        "Attention",
        tuple(Operand(TensorType(name, (batch, queries, width))) for name, width in types),
        (TensorType(dtype, (batch, queries, result)),),
        attrs,
        version=24,
    )


def cached_attention(
    dtype: str,
    batch: Size,
    queries: Size,
    heads: Size,
    kv_heads: Size,
    widths: tuple[Size, Size, Size],
    past: Size,
    total: Size,
    *,
    keys: str | None = None,
    window: Size | None = None,
) -> OpKey:
    """Attention of new tokens to `past` kept ones and to themselves.

    Args:
        dtype, batch, queries, heads, kv_heads, keys, window: As for `attention`.
        widths: All heads of queries, all heads of keys, one head.
        past, total: Number of kept tokens, and with the new ones.
    """
    query, key, head = widths
    kept = keys or dtype
    new = attention(dtype, batch, queries, heads, kv_heads, (query, key, key, query), window=window)
    before = Operand(TensorType(kept, (batch, kv_heads, past, head)))
    after = TensorType(kept, (batch, kv_heads, total, head))
    return OpKey(
        "Attention",
        (*new.inputs, Operand(None), before, before),
        (*new.outputs, after, after),
        new.attrs,
        version=24,
    )


def latent_attention(
    dtype: str,
    batch: Size,
    heads: Size,
    widths: tuple[Size, Size],
    past: Size,
    total: Size,
    *,
    keys: str | None = None,
) -> OpKey:
    """One new token of DeepSeek's latent attention over kept latents of 512 + 64 elements.

    Args:
        dtype, batch, heads, past, total, keys: As for `cached_attention`.
        widths: All heads of queries (576 each) and of results (512 each).
    """
    latent = LATENT + ROPE
    query, result = widths
    kept = keys or dtype
    return OpKey(
        "LatentAttention",
        (
            Operand(TensorType(dtype, (batch, 1, query))),
            Operand(TensorType(dtype, (batch, 1, latent))),
            Operand(TensorType(kept, (batch, 1, past, latent))),
        ),
        (TensorType(dtype, (batch, 1, result)), TensorType(kept, (batch, 1, total, latent))),
        {"num_heads": heads, "value_size": LATENT, "scale": (NOPE + ROPE) ** -0.5},
        OWN,
    )


LATENT, ROPE, NOPE, VALUE = 512, 64, 128, 128
"""Sizes of DeepSeek's latent attention: latents, and a head's rotated, plain and value parts."""


def experts(
    dtype: str,
    tokens: Size,
    sizes: tuple[Size, Size, Size, Size],
    chosen: Size,
    *,
    weights: str | None = None,
    load: str = "",
) -> OpKey:
    """Gated experts, of which each token passes through `chosen`.

    Args:
        dtype: Type of tokens and result.
        tokens: Number of tokens.
        sizes: Hidden size, number of experts, and width of an expert's first and second matrix.
        chosen: Number of experts per token.
        weights: Type of the weights; None for `dtype`.
        load: Name of the distribution of tokens over experts; "" for an even one.
    """
    hidden, count, wide, inner = sizes
    kept = weights or dtype
    attrs: dict[str, Any] = {
        "activation_alpha": 1.0,
        "activation_beta": 0.0,
        "activation_type": "swiglu",
        "k": chosen,
        "normalize_routing_weights": 1,
        "swiglu_fusion": 1,
    }
    return OpKey(
        "MoE",
        (
            Operand(TensorType(dtype, (tokens, hidden))),
            Operand(TensorType(dtype, (tokens, count))),
            Operand(TensorType(kept, (count, wide, hidden)), const=True),
            Operand(None),
            Operand(TensorType(kept, (count, hidden, inner)), const=True),
        ),
        (TensorType(dtype, (tokens, hidden)),),
        attrs | ({"load": load} if load else {}),
        MICROSOFT,
    )


UNARY = {"Relu": 14, "Gelu": 20, "Tanh": 13, "Swish": 24, "Sigmoid": 13}
BINARY = {"Add": 14, "Mul": 14, "Sub": 14, "Div": 14}
NORMS = {"LayerNormalization": (17, 2), "RMSNormalization": (23, 1)}
"""Version, and number of weights."""


def elementwise(
    op_type: str, dtype: str, rows: Size, width: Size, *, scalar: bool = False
) -> OpKey:
    """An operator of `UNARY` or `BINARY` over a whole tensor; `scalar`: the second is a number."""
    whole = TensorType(dtype, (rows, width))
    number = Operand(TensorType(dtype, ()), const=True)
    second = [number if scalar else Operand(whole)] if op_type in BINARY else []
    version = (UNARY | BINARY)[op_type]
    return OpKey(op_type, (Operand(whole), *second), (whole,), version=version)


def norm(op_type: str, dtype: str, rows: Size, width: Size) -> OpKey:
    """A normalisation of `NORMS` over the last axis."""
    version, weights = NORMS[op_type]
    whole = TensorType(dtype, (rows, width))
    weight = Operand(TensorType(dtype, (width,)), const=True)
    return OpKey(op_type, (Operand(whole), *[weight] * weights), (whole,), version=version)


def softmax(dtype: str, rows: Size, width: Size) -> OpKey:
    """Softmax over the last axis."""
    whole = TensorType(dtype, (rows, width))
    return OpKey("Softmax", (Operand(whole),), (whole,), version=13)


def conv(
    dtype: str,
    batch: Size,
    channels: tuple[Size, Size],
    sides: tuple[Size, Size, Size],
    stride: Size,
    padding: Size,
) -> OpKey:
    """A square convolution; `sides` of image, filter and result; attributes at defaults go."""
    before, after = channels
    image, kernel, result = sides
    data = TensorType(dtype, (batch, before, image, image))
    filters = TensorType(dtype, (after, before, kernel, kernel))
    return OpKey(
        "Conv",
        (Operand(data), Operand(filters, const=True)),
        (TensorType(dtype, (batch, after, result, result)),),
        {"kernel_shape": [kernel] * 2}
        | ({"pads": [padding] * 4} if padding != 0 else {})
        | ({"strides": [stride] * 2} if stride != 1 else {}),
        version=22,
    )


def collective(kind: str, dtype: str, ranks: Size, elements: Size) -> OpKey:
    """A collective by what one rank contributes, as `lydite.store.nccl.collective_key`."""
    operand = Operand(TensorType(dtype, (elements,)))
    return OpKey(kind, (operand,), attrs={"size": ranks}, domain=OWN)


def named(*names: str) -> Sequence[str]:
    """Names of sizes in a pattern."""
    return [f"@{name}" for name in names]
