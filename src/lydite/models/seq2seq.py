"""Encoders whose states a decoder attends to: T5, BART and Whisper by their dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from lydite.graph import Builder, Graph, Tensor
from lydite.graph.dtypes import numpy_dtype
from lydite.models.block_sparse import block_sparse, full_below
from lydite.models.blocks import Attention, Dense
from lydite.models.dimensions import Stack
from lydite.models.dimensions_sequences import EncoderDecoder
from lydite.models.parts import with_names
from lydite.models.tokens import Tokens, by_head, normed, relative_bias
from lydite.models.transformer import ATTENTION_OPSET, dense

Encode: TypeAlias = Callable[[Builder, EncoderDecoder, int, int, Tensor], Tensor]
"""From batch, number of tokens and the table of tokens to the encoder's states."""


def encoder_decoder(
    size: EncoderDecoder,
    *,
    batch: int,
    sequence: int = 128,
    context: int = 0,
    phase: str = "forward",
    dtype: str = "float32",
    encode: Encode | None = None,
) -> Graph:
    """An encoder and a decoder, in one of three phases.

    - "forward": both over `sequence` tokens (of sound, over its frames); logits of all of them.
    - "prefill": the encoder, and the decoder's first token.
    - "decode": one more token; the encoder's states and the cache of `context` tokens go in.

    Args:
        size: Dimensions.
        batch: Samples at once.
        sequence: Tokens of each sample, of the encoder and of the decoder.
        context: Tokens that were decoded before, in the phase "decode".
        phase: What is computed.
        dtype: Precision of weights and states.
        encode: What makes the encoder's states, in place of `encoded`.
    """
    g = Builder("encoder-decoder", dtype=dtype, opset=ATTENTION_OPSET)
    table = g.weight((size.vocabulary, size.decoder.hidden), "token_embedding")
    if phase == "decode":
        states = None
    elif size.half:
        states = encoder_states(g, size, batch, sequence)
    else:
        states = (encode or encoded)(g, size, batch, sequence, table)
    new = min(sequence, size.positions) if phase == "forward" else 1
    ids = g.input("decoder_input_ids", (batch, new), "int64")
    before = context if phase == "decode" else 0
    tokens = Tokens(g, batch, new, before, cached=phase != "forward")
    x = _embedded(g, size, ids, table, tokens)
    bias = _relative(g, size, new, before + new) if size.biased else None
    for layer in range(size.decoder.layers):
        tokens.layer = layer
        x = added(g, x, size.decoder, lambda y: _self(y, size.decoder, tokens, bias))
        x = added(g, x, size.decoder, lambda y: cross_attention(y, states, size, tokens))
        x = fed(g, x, size.decoder)
    x = normed(g, x, size.decoder) if size.last_norm else x
    shift: list[Tensor] = []
    if size.transform:
        x = g.op("Gelu", g.linear(x, size.decoder.hidden, name="transform"))
        x = normed(g, x, size.decoder)
        shift = [g.weight((size.vocabulary,), "lm_head.bias")]
    flat = g.reshape(x, [-1, size.decoder.hidden])
    scores = (
        g.op("Gemm", flat, table, *shift, transB=1, name="lm_head")
        if size.tied
        else g.linear(flat, size.vocabulary, bias=False, name="lm_head")
    )
    logits = g.reshape(scores, [batch, new, size.vocabulary])
    names = {logits.name: "logits", **{t.name: name for name, t in tokens.kept.items()}}
    return with_names(g.build(logits, *tokens.kept.values()), names)


def encoder_states(g: Builder, size: EncoderDecoder, batch: int, sequence: int) -> Tensor:
    """What an encoder that is not built gives, an input: [batch, tokens, width]."""
    shape = (batch, size.frames or sequence, size.states or size.decoder.hidden)
    return g.input("encoder_states", shape)


def encoded(g: Builder, size: EncoderDecoder, batch: int, sequence: int, table: Tensor) -> Tensor:
    """The encoder's states [batch, tokens, hidden] of ids that are an input, or of sound."""
    tokens = Tokens(g, batch, size.frames or sequence, causal=False)
    if size.bins:
        x = _sound(g, size, batch)
    else:
        ids = g.input("input_ids", (batch, sequence), "int64")
        x = _embedded(g, size, ids, table, tokens)
    bias = _relative(g, size, tokens.count, tokens.count) if size.biased else None
    return layered(g, x, size, tokens, bias)


def layered(
    g: Builder, x: Tensor, size: EncoderDecoder, tokens: Tokens, bias: Tensor | None
) -> Tensor:
    """Embedded tokens through the encoder's layers, with what is added to all their scores."""
    sequence = tokens.count
    hidden = None
    if size.block and sequence > full_below(size.block, size.random_blocks):
        x, hidden = _filled(g, x, size.block)
    for layer in range(size.encoder.layers):
        tokens.layer = layer
        x = added(
            g,
            x,
            size.encoder,
            lambda y: (
                _self(y, size.encoder, tokens, bias)
                if hidden is None
                else _among_blocks(g, y, size, hidden)
            ),
        )
        x = fed(g, x, size.encoder)
    x = normed(g, x, size.encoder) if size.last_norm else x
    if hidden is None or x.shape[1] == sequence:
        return x
    return g.op("Slice", x, *(g.constant([value], "bound") for value in (0, sequence, 1)))


def _filled(g: Builder, x: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """States up to whole blocks, and what hides those that were added: [1, 1, 1, tokens]."""
    tokens = int(x.shape[1])
    missing = -tokens % block
    shape, zero = g.constant([1, 1, 1, tokens], "shape"), np.zeros(1, numpy_dtype(g.dtype))
    hidden = g.op("ConstantOfShape", shape, value=zero)
    if not missing:
        return x, hidden
    behind = g.constant([0] * 7 + [missing], "pads")
    hidden = g.op("Pad", hidden, behind, g.constant(-10000.0, "penalty", g.dtype))
    return g.op("Pad", x, g.constant([0, 0, 0, 0, missing, 0], "pads")), hidden


def _among_blocks(g: Builder, x: Tensor, size: EncoderDecoder, hidden: Tensor) -> Tensor:
    """The encoder's attention where blocks of tokens attend to some of the others."""
    a = attention_of(size.encoder)
    query, key, value = (by_head(g, part, a.heads) for part in _projected(g, x, x, a))
    mixed = block_sparse(g, query, key, value, hidden, size.block, size.random_blocks)
    mixed = g.reshape(g.transpose(mixed, (0, 2, 1, 3)), [0, 0, a.heads * a.size])
    return g.linear(mixed, size.encoder.hidden, bias=a.output_bias, name="attention_output")


def _sound(g: Builder, size: EncoderDecoder, batch: int) -> Tensor:
    """Whisper: two convolutions over frames, the second of which halves them, and positions."""
    hidden = size.encoder.hidden
    x = g.input("input_features", (batch, size.bins, 2 * size.frames))
    x = g.op("Gelu", g.conv(x, hidden, 3, pad=1, name="frames"))
    x = g.op("Gelu", g.conv(x, hidden, 3, stride=2, pad=1, name="frames"))
    return g.transpose(x, (0, 2, 1)) + g.weight((size.frames, hidden), "frame_embedding")


def _embedded(g: Builder, size: EncoderDecoder, ids: Tensor, table: Tensor, t: Tokens) -> Tensor:
    x = g.op("Gather", table, ids)
    if size.waves:
        x = x + g.concat(t.angles(1e4, int(x.shape[-1])), 2)
    elif not size.biased:
        rows = size.positions + size.position_offset
        places = t.positions
        if size.position_offset:
            places = places + g.constant(size.position_offset, "offset")
        x = x + g.op("Gather", g.weight((rows, x.shape[-1]), "position_embedding"), places)
    if size.segments:
        segments = g.weight((size.segments, x.shape[-1]), "segment_embedding")
        x = x + g.op("Gather", segments, g.constant([0], "text"))
    return normed(g, x, size.decoder) if size.embedding_norm else x


def _relative(g: Builder, size: EncoderDecoder, queries: int, keys: int) -> Tensor:
    """T5's bias of each head by distance, shared by all layers: [1, heads, queries, keys]."""
    return relative_bias(g, size.buckets, attention_of(size.encoder).heads, queries, keys)


def added(g: Builder, x: Tensor, size: Stack, part: Any) -> Tensor:
    """A part with its norm, added to its input."""
    if size.order == "last":
        return normed(g, x + part(x), size)
    return x + part(normed(g, x, size))


def fed(g: Builder, x: Tensor, size: Stack) -> Tensor:
    """States through the dense part of a layer."""
    feed = size.all_blocks[0].feed
    assert isinstance(feed, Dense)
    return added(g, x, size, lambda y: dense(g, y, feed, size.hidden))


def attention_of(size: Stack) -> Attention:
    """The attention of all layers of one side."""
    mixer = size.all_blocks[0].mixers[0]
    assert isinstance(mixer, Attention)
    return mixer


def _self(x: Tensor, size: Stack, t: Tokens, bias: Tensor | None) -> Tensor:
    g, a = t.g, attention_of(size)
    query, key, value = _projected(g, x, x, a)
    attrs: dict[str, Any] = {"q_num_heads": a.heads, "kv_num_heads": a.heads}
    attrs |= {"is_causal": 1} if t.causal else {}
    shape = (t.batch, a.heads, t.context, a.size)
    past = [t.past(part, shape) for part in ("key", "value")]
    inputs = [query, key, value, bias, *past]
    while inputs[-1] is None:
        inputs.pop()
    if not t.cached:
        mixed = g.op("Attention", *inputs, **attrs)
    else:
        mixed, keys, values = g.ops("Attention", *inputs, outputs=3, **attrs)
        t.keep("key", keys)
        t.keep("value", values)
    return g.linear(mixed, size.hidden, bias=a.output_bias, name="attention_output")


def cross_attention(x: Tensor, states: Tensor | None, size: EncoderDecoder, t: Tokens) -> Tensor:
    """Attention to the encoder's states, whose keys and values a decoding step takes as inputs."""
    g, a = t.g, attention_of(size.decoder)
    heads = {"q_num_heads": a.heads, "kv_num_heads": a.heads}
    if states is not None:
        parts = _projected(g, x, states, a)
    else:
        width, length = a.heads * a.size, size.frames or max(1, t.context + size.patches)
        query = g.linear(x, width, bias=a.qkv_bias, name="query")
        kept = (
            g.input(f"encoder_{part}_{t.layer}", (t.batch, length, width))
            for part in ("key", "value")
        )
        parts = [query, *kept]
    mixed = g.op("Attention", *parts, **heads)
    return g.linear(mixed, size.decoder.hidden, bias=a.output_bias, name="attention_output")


def _projected(g: Builder, x: Tensor, states: Tensor, a: Attention) -> list[Tensor]:
    width = a.heads * a.size
    key_bias = a.qkv_bias and a.key_bias
    return [
        g.linear(part, width, bias=bias, name=name)
        for part, bias, name in (
            (x, a.qkv_bias, "query"),
            (states, key_bias, "key"),
            (states, a.qkv_bias, "value"),
        )
    ]
