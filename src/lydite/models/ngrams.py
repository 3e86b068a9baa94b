"""A decoder that guesses several tokens ahead at once: ProphetNet (arXiv:2001.04063).

Beside the stream of the tokens there is one for each token that is guessed. A guessing stream
attends to the main one and to itself; all go through the same products.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lydite.graph import Builder, Graph, Tensor
from lydite.graph.dtypes import numpy_dtype
from lydite.models.dimensions_sequences import EncoderDecoder
from lydite.models.parts import with_names
from lydite.models.seq2seq import added, attention_of, cross_attention, encoded, encoder_states, fed
from lydite.models.tokens import Tokens, by_head, distances, normed
from lydite.models.transformer import ATTENTION_OPSET

_HIDDEN = -10000.0


def ngram_decoder(
    size: EncoderDecoder,
    *,
    batch: int,
    sequence: int = 128,
    context: int = 0,
    phase: str = "forward",
    dtype: str = "float32",
) -> Graph:
    """An encoder and a decoder of several streams, in the phases of `encoder_decoder`.

    Args:
        size: Dimensions.
        batch: Samples at once.
        sequence: Tokens of each sample, of the encoder and of the decoder.
        context: Tokens that were decoded before, in the phase "decode".
        phase: What is computed.
        dtype: Precision of weights and states.
    """
    g = Builder("ngrams", dtype=dtype, opset=ATTENTION_OPSET)
    table = g.weight((size.vocabulary, size.decoder.hidden), "token_embedding")
    states = None
    if phase != "decode":
        half = size.half
        states = (
            encoder_states(g, size, batch, sequence)
            if half
            else encoded(g, size, batch, sequence, table)
        )
    new = min(sequence, size.positions - 1) if phase == "forward" else 1
    ids = g.input("decoder_input_ids", (batch, new), "int64")
    before = context if phase == "decode" else 0
    t = Tokens(g, batch, new, before, cached=phase != "forward")
    x = _streams(g, size, ids, table, t)
    seen = _Seen(g, size, t)
    for layer in range(size.decoder.layers):
        t.layer = layer
        x = added(g, x, size.decoder, lambda y: _self(y, size, t, seen))
        x = added(g, x, size.decoder, lambda y: cross_attention(y, states, size, t))
        x = fed(g, x, size.decoder)
    guessed = _part(g, x, new, (1 + size.streams) * new)
    flat = g.reshape(guessed, [-1, size.decoder.hidden])
    scores = (
        g.op("Gemm", flat, table, transB=1, name="lm_head")
        if size.tied
        else g.linear(flat, size.vocabulary, bias=False, name="lm_head")
    )
    by_stream = g.reshape(scores, [batch, size.streams, new, size.vocabulary])
    logits = g.op("Gather", by_stream, g.constant(0, "next"), axis=1)
    names = {logits.name: "logits", **{kept.name: name for name, kept in t.kept.items()}}
    return with_names(g.build(logits, *t.kept.values()), names)


def _streams(g: Builder, size: EncoderDecoder, ids: Tensor, table: Tensor, t: Tokens) -> Tensor:
    """Embedded tokens, and behind them what each guessing stream begins with."""
    hidden, rows = size.decoder.hidden, size.positions + size.position_offset
    places = t.positions + g.constant(size.position_offset, "offset")
    positions = g.weight((rows, hidden), "position_embedding")
    main = g.op("Gather", table, ids) + g.op("Gather", positions, places)
    ahead = g.op("Gather", positions, places + g.constant(1, "ahead"))
    kinds = g.reshape(g.weight((size.streams, hidden), "stream_embedding"), [size.streams, 1, -1])
    guessing = g.reshape(kinds + ahead, [1, size.streams * t.count, hidden])
    shape = g.constant([t.batch, size.streams * t.count, hidden], "shape")
    both = g.concat([main, g.op("Expand", guessing, shape)], 1)
    return normed(g, both, size.decoder)


class _Seen:
    """What every layer adds to scores by distance and by what a stream may see."""

    def __init__(self, g: Builder, size: EncoderDecoder, t: Tokens) -> None:
        heads, keys = attention_of(size.decoder).heads, t.context + t.count
        near = distances(g, size.buckets, t.count, keys)
        further = g.op("Min", near + g.constant(1, "ahead"), g.constant(size.buckets - 1, "last"))
        own = distances(g, size.buckets, t.count, t.count)
        shape = [t.batch, heads, t.count, keys]
        wide = [t.batch, size.streams, heads, t.count, keys + t.count]
        self.main = g.op("Expand", near, g.constant(shape, "shape"))
        self.guessing = g.op("Expand", g.concat([further, own], 1), g.constant(wide, "shape"))
        self.hidden, self.hidden_guessing = _hidden(g, size, t)


def _hidden(g: Builder, size: EncoderDecoder, t: Tokens) -> tuple[Tensor | None, Tensor | None]:
    """What hides later tokens, and from a stream those that it guesses; None for a single step."""
    if t.context:
        return None, None
    n, low = t.count, np.full(1, _HIDDEN).astype(numpy_dtype(g.dtype))

    def full(columns: int, value: np.ndarray) -> Tensor:
        return g.op("ConstantOfShape", g.constant([n, columns], "shape"), value=value)

    def later(first: int) -> Tensor:
        """Hidden from a token: those `first` and more behind it, but never the very first one."""
        seen = full(1, 0 * low)
        if n == 1:
            return seen
        shift = g.constant(first - 1, "first")
        return g.concat([seen, g.op("Trilu", full(n - 1, low), shift, upper=1)], 1)

    square = full(n, low)
    itself = square + g.op("EyeLike", square) * g.constant(-_HIDDEN, "seen", g.dtype)
    sides = [g.concat([later(1 - i), itself], 1) for i in range(size.streams)]
    return later(1), g.concat([g.reshape(x, [1, 1, n, -1]) for x in sides], 0)


def _self(x: Tensor, size: EncoderDecoder, t: Tokens, seen: _Seen) -> Tensor:
    """The attention of all streams; keys and values of the main one are kept."""
    g, a, n, k = t.g, attention_of(size.decoder), t.count, size.streams
    wide = a.heads * a.size
    query, key, value = (g.linear(x, wide, name=name) for name in ("query", "key", "value"))
    query = g.op("Div", query, g.constant(a.size**0.5, "scale", g.dtype))
    main, guessing = _part(g, x, 0, n), _part(g, x, n, (1 + k) * n)
    shape = (t.batch, a.heads, t.context, a.size)

    def kept(name: str, part: Tensor) -> Tensor:
        new, past = by_head(g, _part(g, part, 0, n), a.heads), t.past(name, shape)
        both = new if past is None else g.concat([past, new], 2)
        t.keep(name, both)
        return both

    keys, values = kept("key", key), kept("value", value)
    bias = g.op("GatherElements", _by_bucket(g, main, a.heads, size, t), seen.main, axis=3)
    first = _mixed(g, by_head(g, _part(g, query, 0, n), a.heads), keys, values, bias, seen.hidden)
    first = g.reshape(g.transpose(first, (0, 2, 1, 3)), [0, 0, wide])

    def apart(part: Tensor) -> Tensor:
        """Of the guessing streams: [batch, streams, heads, tokens, size]."""
        y = g.reshape(_part(g, part, n, (1 + k) * n), [t.batch, k, n, a.heads, a.size])
        return g.transpose(y, (0, 1, 3, 2, 4))

    def with_main(known: Tensor, part: Tensor) -> Tensor:
        """Keys or values of the main stream, and behind them those of each guessing one."""
        known = g.op("Unsqueeze", known, g.constant([1], "axes"))
        common = g.constant([t.batch, k, a.heads, t.context + n, a.size], "shape")
        return g.concat([g.op("Expand", known, common), apart(part)], 3)

    both = with_main(keys, key), with_main(values, value)
    guessing = g.reshape(guessing, [t.batch * k, n, size.decoder.hidden])
    found = g.reshape(_by_bucket(g, guessing, a.heads, size, t), [t.batch, k, a.heads, n, -1])
    bias = g.op("GatherElements", found, seen.guessing, axis=4)
    rest = _mixed(g, apart(query), both[0], both[1], bias, seen.hidden_guessing)
    rest = g.reshape(g.transpose(rest, (0, 1, 3, 2, 4)), [t.batch, k * n, wide])
    return g.concat([_output(g, y, size, t) for y in (first, rest)], 1)


def _mixed(
    g: Builder, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, hidden: Tensor | None
) -> Tensor:
    axes = (*range(len(key.shape) - 2), len(key.shape) - 1, len(key.shape) - 2)
    scores = g.op("MatMul", query, g.transpose(key, axes)) + bias
    scores = scores if hidden is None else scores + hidden
    return g.op("MatMul", g.softmax(scores), value)


def _by_bucket(g: Builder, x: Tensor, heads: int, size: EncoderDecoder, t: Tokens) -> Tensor:
    """A score of each bucket of distances, from the states: [batch, heads, tokens, buckets]."""
    with g.sharing(("distances", t.layer)):
        scores = g.linear(x, size.buckets * heads, name="distances")
    return g.transpose(g.reshape(scores, [0, 0, size.buckets, heads]), (0, 3, 1, 2))


def _output(g: Builder, x: Tensor, size: EncoderDecoder, t: Tokens) -> Tensor:
    with g.sharing(("output", t.layer)):
        return g.linear(x, size.decoder.hidden, name="attention_output")


def _part(g: Builder, x: Tensor, start: int, stop: int) -> Tensor:
    """Some of the tokens."""
    bounds: list[Any] = [g.constant([value], "bound") for value in (start, stop, 1)]
    return g.op("Slice", x, *bounds)
