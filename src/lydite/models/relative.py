"""Attention with positions by distance and segments by pair: XLNet (arXiv:1906.08237)."""

from __future__ import annotations

from lydite.graph import Builder, Tensor
from lydite.graph.dtypes import dtype_number
from lydite.models.dimensions_encoders import Encoder


def distances(g: Builder, batch: int, tokens: int, width: int) -> Tensor:
    """Sines and cosines of every distance from `tokens` down to 1 - `tokens`.

    [batch, 2 x tokens, width], as Transformer-XL has them (arXiv:1901.02860, appendix B).
    """
    float32 = dtype_number("float32")

    def floats(start: int, stop: int, step: int) -> Tensor:
        bounds = (g.constant(value, "bound") for value in (start, stop, step))
        return g.op("Cast", g.op("Range", *bounds), to=float32)

    exponents = floats(0, width, 2) * g.constant(-1 / width, "step", "float32")
    rates = g.op("Pow", g.constant(1e4, "theta", "float32"), exponents)
    angles = g.reshape(floats(tokens, -tokens, -1), [-1, 1]) * rates
    waves = g.concat([g.op("Sin", angles), g.op("Cos", angles)], 1)
    if g.dtype != "float32":
        waves = g.op("Cast", waves, to=dtype_number(g.dtype))
    return g.op("Expand", waves, g.constant([batch, 2 * tokens, width], "shape"))


def segments(g: Builder, types: Tensor) -> Tensor:
    """Whether two tokens are of one segment, and whether not: [batch, tokens, 2, tokens]."""
    rows, columns = (g.op("Unsqueeze", types, g.constant([axis], "axes")) for axis in (2, 1))
    same = g.op("Equal", rows, columns)
    both = [
        g.op("Unsqueeze", g.op("Cast", x, to=dtype_number(g.dtype)), g.constant([2], "axes"))
        for x in (same, g.op("Not", same))
    ]
    return g.concat(both, 2)


def relative_attention(
    g: Builder, size: Encoder, x: Tensor, waves: Tensor, same: Tensor, penalty: Tensor
) -> Tensor:
    """States [batch, tokens, hidden] through attention of content, distance and segment."""
    width = size.hidden // size.heads
    query, key, value, far = (
        g.reshape(g.linear(part, size.hidden, bias=False, name=name), [0, 0, size.heads, width])
        for part, name in ((x, "query"), (x, "key"), (x, "value"), (waves, "distance"))
    )

    def shifted(name: str) -> Tensor:
        return g.transpose(query + g.weight((size.heads, width), f"{name}.bias"), (0, 2, 1, 3))

    content = g.op("MatMul", shifted("content"), g.transpose(key, (0, 2, 3, 1)))
    by_distance = g.op("MatMul", shifted("distance"), g.transpose(far, (0, 2, 3, 1)))
    kinds = g.weight((size.heads, width, 2), "segment_embedding")
    by_kind = g.transpose(g.op("MatMul", shifted("segment"), kinds), (0, 2, 1, 3))
    by_segment = g.transpose(g.op("MatMul", by_kind, same), (0, 2, 1, 3))
    scores = content + _own_distance(g, by_distance) + by_segment
    scores = g.op("Div", scores, g.constant(width**0.5, "scale", g.dtype)) + penalty
    mixed = g.op("MatMul", g.softmax(scores), g.transpose(value, (0, 2, 1, 3)))
    mixed = g.reshape(g.transpose(mixed, (0, 2, 1, 3)), [0, 0, size.hidden])
    return g.linear(mixed, size.hidden, bias=False, name="attention")


def _own_distance(g: Builder, scores: Tensor) -> Tensor:
    """Of scores by distance [batch, heads, tokens, distances], those of every pair of tokens."""
    _, _, tokens, wide = scores.shape

    def part(x: Tensor, start: int, stop: int, axis: int) -> Tensor:
        return g.op("Slice", x, *(g.constant([v], "bound") for v in (start, stop, axis)))

    turned = part(g.reshape(scores, [0, 0, wide, tokens]), 1, wide, 2)
    return part(g.reshape(turned, [0, 0, tokens, wide - 1]), 0, tokens, 3)
