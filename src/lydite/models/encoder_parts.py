"""Parts that few encoders have: tables of a token's look and sound, products of a language."""

from __future__ import annotations

from lydite.graph import Builder, Tensor
from lydite.models.activations import activated
from lydite.models.dimensions_encoders import Encoder
from lydite.models.transformer import Part

_GLYPHS = ("input_shape_ids", "input_pronunciation_ids")


def with_glyphs(g: Builder, size: Encoder, words: Tensor) -> Tensor:
    """Embeddings of words joined to those of their look and sound, projected (RoCBert)."""
    parts = [words]
    for name, (rows, width) in zip(_GLYPHS, size.glyphs, strict=True):
        ids = g.input(name, words.shape[:2], "int64")
        parts.append(g.op("Gather", g.weight((rows, width), f"{name}_embedding"), ids))
    return g.linear(g.concat(parts, 2), size.hidden, name="embedding_project")


def adapted(g: Builder, size: Encoder, x: Tensor, norm: Part) -> Tensor:
    """States through the two products of their language, and added to (X-MOD, arXiv:2205.06266).

    Those of the other languages lie in memory and are read by nothing.
    """
    y = x
    if size.adapter_norm:
        y = norm(x) if size.norm_shared else g.layer_norm(x, eps=size.eps)
    low = activated(g, g.linear(y, size.adapter, name="adapter_down"), size.activation)
    added = g.linear(low, size.hidden, name="adapter_up")
    for _ in range(1, size.adapters):
        for shape in ((size.hidden, size.adapter), (size.adapter, size.hidden)):
            g.weight(shape, "adapter_asleep.weight")
            g.weight(shape[1:], "adapter_asleep.bias")
    return added + (y if size.adapter_on_normed else x)
