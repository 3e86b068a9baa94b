"""Causal language models by their dimensions: GPT, OPT, Llama, Mixtral and their like."""

from __future__ import annotations

from lydite.errors import InputError
from lydite.graph import Builder, Graph, Tensor
from lydite.graph.dtypes import dtype_number
from lydite.models.dimensions import Decoder
from lydite.models.parts import with_names
from lydite.models.transformer import OPSET, Cache, norm, stack

USUAL = 512
"""Tokens of a prompt, and of a decoding step's cache, where nothing is said."""


def decoder(
    size: Decoder,
    *,
    batch: int,
    sequence: int = 0,
    context: int = 0,
    phase: str = "prefill",
    dtype: str = "float32",
) -> Graph:
    """A causal language model in one of its phases; token ids go in as int64 [batch, sequence].

    - "forward": logits of all tokens [batch, sequence, vocabulary], no cache: training, scoring.
    - "prefill": the prompt; logits of the last token [batch, vocabulary] and the cache.
    - "decode": one more token; the cache of `context` tokens goes in and comes out longer.

    A cache is `past_key_i` and `past_value_i` of every layer i, [batch, heads of keys, context,
    head size]; it comes out as `present_key_i` and `present_value_i`.

    Args:
        size: dimensions.
        batch: samples at once.
        sequence: new tokens a sample; 0 takes 512 (in "decode" 1).
        context: tokens in the cache; 0 takes none (in "decode" 512).
        phase: what is computed.
        dtype: of weights, states and cache.

    Raises:
        InputError: more tokens than positions or than the attention window, or a context for
            "forward".
    """
    limit = min(size.positions, size.windowed or size.positions)
    sequence = sequence or (1 if phase == "decode" else max(1, min(USUAL, limit - context)))
    context = context or (max(0, min(USUAL, limit - sequence)) if phase == "decode" else 0)
    _check(size, sequence, context, phase)
    g = Builder("decoder", dtype=dtype, opset=OPSET)
    ids = g.input("input_ids", (batch, sequence), "int64")
    past = _cache(g, size, batch, context) if context else None
    table = g.weight((size.vocabulary, size.hidden), "token_embedding")
    x = g.op("Gather", table, ids)
    positions = _range(g, context, context + sequence)
    angles = None
    if size.rope_theta is None:
        x = x + _learned(g, size, positions)
    else:
        angles = _angles(g, size.rope_theta, size.size, positions, batch)
    x, present = stack(g, x, size, angles=angles, past=past, cached=phase != "forward")
    if phase == "forward":
        scores = _scores(g, g.reshape(norm(g, x, size), [-1, size.hidden]), size, table)
        logits = g.reshape(scores, [batch, sequence, size.vocabulary])
        return with_names(g.build(logits), {logits.name: "logits"})
    last = g.op("Gather", x, g.constant(sequence - 1, "last"), axis=1)
    logits = _scores(g, norm(g, last, size), size, table)
    names = {logits.name: "logits"}
    for layer, (key, value) in enumerate(present):
        names |= {key.name: f"present_key_{layer}", value.name: f"present_value_{layer}"}
    return with_names(g.build(logits, *(t for pair in present for t in pair)), names)


def _check(size: Decoder, sequence: int, context: int, phase: str) -> None:
    total = sequence + context
    if phase == "forward" and context:
        raise InputError("the phase 'forward' has no cache", allowed="context 0")
    if total > size.positions:
        raise InputError(
            f"{sequence} new tokens and {context} before them are more than the model's positions",
            allowed=f"{size.positions} together",
        )
    if size.windowed is not None and total > size.windowed:
        raise InputError(
            f"{total} tokens are more than the attention window, which ONNX's Attention lacks",
            allowed=f"up to {size.windowed}",
        )


def _cache(g: Builder, size: Decoder, batch: int, context: int) -> list[Cache]:
    dims = (batch, size.key_heads, context, size.size)
    return [
        (g.input(f"past_key_{layer}", dims), g.input(f"past_value_{layer}", dims))
        for layer in range(size.layers)
    ]


def _range(g: Builder, start: int, stop: int, step: int = 1) -> Tensor:
    bounds = (g.constant(value, "bound") for value in (start, stop, step))
    return g.op("Range", *bounds)


def _learned(g: Builder, size: Decoder, positions: Tensor) -> Tensor:
    """Rows of the position table: [tokens, hidden]."""
    table = g.weight((size.positions + size.position_offset, size.hidden), "position_embedding")
    if size.position_offset:
        positions = positions + g.constant(size.position_offset, "offset")
    return g.op("Gather", table, positions)


def _angles(
    g: Builder, theta: float, width: int, positions: Tensor, batch: int
) -> tuple[Tensor, Tensor]:
    """Cosine and sine of position x theta^(-2 i / width), computed once for all layers.

    RoFormer, arXiv:2104.09864, equation 15; in float32, as half precision cannot tell far
    positions apart.
    """
    float32 = dtype_number("float32")
    steps = g.op("Cast", _range(g, 0, width, 2), to=float32)
    exponents = steps * g.constant(-1 / width, "step", "float32")
    rates = g.op("Pow", g.constant(theta, "theta", "float32"), exponents)
    places = g.reshape(g.op("Cast", positions, to=float32), [1, -1, 1])
    shape = g.constant([batch, positions.shape[0], 1], "shape")
    angles = g.op("Expand", places, shape) * rates
    cosine, sine = g.op("Cos", angles), g.op("Sin", angles)
    if g.dtype != "float32":
        cosine, sine = (g.op("Cast", t, to=dtype_number(g.dtype)) for t in (cosine, sine))
    return cosine, sine


def _scores(g: Builder, x: Tensor, size: Decoder, table: Tensor) -> Tensor:
    """Logits of states [tokens, hidden]; the weight is [vocabulary, hidden] as the embedding is."""
    if size.tied:
        return g.op("Gemm", x, table, transB=1, name="lm_head")
    return g.linear(x, size.vocabulary, bias=False, name="lm_head")
