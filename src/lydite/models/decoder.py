"""Causal language models by their dimensions: GPT, OPT, Llama, Mixtral and their like."""

from __future__ import annotations

from collections.abc import Callable

from lydite.errors import InputError
from lydite.graph import Builder, Graph, Tensor
from lydite.models.altup import altup
from lydite.models.cycles import cycled
from lydite.models.dimensions import Decoder, with_repeated_heads
from lydite.models.gated_streams import gated_streams
from lydite.models.hyper import hyper_connected
from lydite.models.kept_states import kept_states
from lydite.models.parts import with_names
from lydite.models.quantised import QuantisedBuilder, WeightFormat
from lydite.models.tokens import Tokens, affine, counted, normed, plain_normed, relative_bias
from lydite.models.transformer import activated, opset, stack

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
    weights: WeightFormat | None = None,
    kv_ranks: int = 1,
) -> Graph:
    """A causal language model in one of its phases; token ids go in as int64 [batch, sequence].

    - "forward": logits of all tokens [batch, sequence, vocabulary], no cache: training, scoring.
    - "prefill": the prompt; logits of the last token [batch, vocabulary] and the cache.
    - "decode": one more token; the cache of `context` tokens goes in and comes out longer.

    A cache is `past_key_i` and `past_value_i` of every layer i, [batch, heads of keys, context,
    head size]; it comes out as `present_key_i` and `present_value_i`. Layers that attend to a
    window keep no more than that; latent attention keeps `past_latent_i`, and layers with a state
    keep `past_state_i` and `past_convolution_i`.

    Args:
        size: dimensions.
        batch: samples at once.
        sequence: new tokens a sample; 0 takes 512 (in "decode" 1).
        context: tokens in the cache; 0 takes none (in "decode" 512).
        phase: what is computed.
        dtype: of weights, states and cache.
        weights: format of weights of few bits; None where all are in `dtype`.
        kv_ranks: ranks of tensor parallelism that each need a key and value head of their own;
            fewer heads are repeated, as serving runtimes do.

    Raises:
        InputError: more tokens than positions, or a context for "forward".
    """
    size = with_repeated_heads(size, kv_ranks)
    limit = size.positions
    sequence = sequence or (1 if phase == "decode" else max(1, min(USUAL, limit - context)))
    context = context or (max(0, min(USUAL, limit - sequence)) if phase == "decode" else 0)
    _check(size, sequence, context, phase)
    version = opset(size)
    g = (
        QuantisedBuilder("decoder", dtype=dtype, opset=version, weights=weights)
        if weights is not None
        else Builder("decoder", dtype=dtype, opset=version)
    )
    ids = g.input("input_ids", (batch, sequence), "int64")
    tokens = _tokens(g, size, batch, sequence, context, cached=phase != "forward")
    if tokens.count > sequence:
        ids = _prompted(g, ids, size)
    width = size.embedding or size.hidden
    table = g.weight((size.vocabulary + size.extra_rows, width), "token_embedding")
    x = g.op("Gather", table, ids)
    if size.marked:
        mark = g.op("Equal", ids, g.constant(size.vocabulary - 1, "mark"))
        own = g.weight((width,), "marked_embedding")
        x = g.op("Where", g.op("Unsqueeze", mark, g.constant([2], "axes")), own, x)
    if width != size.hidden:
        x = g.linear(x, size.hidden, bias=False, name="embedding_up")
    if size.embedding_norm:
        x = plain_normed(g, x, size) if size.plain_embedding_norm else normed(g, x, size)
    if size.segments:
        segments = g.weight((size.segments, size.hidden), "segment_embedding")
        x = x + g.op("Gather", segments, g.constant([0], "text"))
    if size.embedding_scale:
        x = affine(g, x, "embedding")
    if size.has_positions:
        x = x + _learned(g, size, tokens.positions)
    layers = _layers(size)
    x = layers(x, size, tokens, _own_inputs(g, ids, x, size) if size.per_layer else None)
    if phase != "forward":
        last = g.constant(tokens.count - 1, "last")
        x = g.op("Gather", x, last, axis=1)
    x = normed(g, x, size) if size.last_norm else x
    if len(x.shape) == 3 and tokens.count > sequence:
        bounds = (g.constant([value], "bound") for value in (size.prompt, tokens.count, 1))
        x = g.op("Slice", x, *bounds)
    out = _headed(g, x, size, table)
    names = {out.name: "logits"}
    names |= {tensor.name: name for name, tensor in tokens.kept.items()}
    return with_names(g.build(out, *tokens.kept.values()), names)


def _tokens(
    g: Builder, size: Decoder, batch: int, sequence: int, context: int, *, cached: bool
) -> Tokens:
    """The tokens of the text, and of the prompt before it: new ones, or cached with others."""
    first = not context
    count, context = sequence + first * size.prompt, context + (not first) * size.prompt
    t = Tokens(g, batch, count, context, causal=not size.buckets, cached=cached)
    if size.buckets:
        t.bias = relative_bias(g, size.buckets, size.heads, count, context + count)
    return t


def _prompted(g: Builder, ids: Tensor, size: Decoder) -> Tensor:
    """The rows of the prompt, which lie behind the vocabulary's, and the text's."""
    rows = counted(g, size.vocabulary, size.vocabulary + size.prompt)
    shape = g.constant([ids.shape[0], size.prompt], "shape")
    return g.concat([g.op("Expand", rows, shape), ids], 1)


def _layers(size: Decoder) -> Callable[..., Tensor]:
    """What runs the layers: one state of a token, or one of the ways with several."""
    if size.updates:
        return altup
    if size.streams_rank:
        return gated_streams
    if size.cycles is not None:
        return cycled
    if size.kept_every:
        return kept_states
    return hyper_connected if size.streams else stack


def _headed(g: Builder, x: Tensor, size: Decoder, table: Tensor) -> Tensor:
    """What the model says of its last states."""
    if not size.head:
        return x
    if size.head == "classes":
        x = x if len(x.shape) == 2 else g.op("Gather", x, g.constant(-1, "last"), axis=1)
        return g.linear(x, size.classes, bias=False, name="classifier")
    if size.transform:
        inner = g.linear(x, size.hidden, bias=size.transform_bias, name="transform")
        x = normed(g, activated(g, inner, size.transform), size)
    if len(x.shape) == 2:
        return _scores(g, x, size, table)
    flat = _scores(g, g.reshape(x, [-1, size.hidden]), size, table)
    return g.reshape(flat, [*x.shape[:2], size.vocabulary])


def _own_inputs(g: Builder, ids: Tensor, x: Tensor, size: Decoder) -> list[Tensor]:
    """Gemma 4: an input of each layer, from a second embedding and from the states."""
    total = size.layers * size.per_layer
    table = g.weight((size.per_layer_vocabulary, total), "own_embedding")
    looked_up = g.op("Gather", table, ids)
    projected = g.linear(x, total, bias=False, name="own_model_projection")
    apart = [0, 0, size.layers, size.per_layer]
    both = normed(g, g.reshape(projected, apart), size) + g.reshape(looked_up, apart)
    parts = g.ops("Split", both, axis=2, num_outputs=size.layers, outputs=size.layers)
    return [g.reshape(part, [0, 0, size.per_layer]) for part in parts]


def _check(size: Decoder, sequence: int, context: int, phase: str) -> None:
    if phase == "forward" and context:
        raise InputError("the phase 'forward' has no cache", allowed="context 0")
    if sequence + context > size.positions:
        raise InputError(
            f"{sequence} new tokens and {context} before them are more than the model's positions",
            allowed=f"{size.positions} together",
        )


def _learned(g: Builder, size: Decoder, positions: Tensor) -> Tensor:
    """Rows of the position table: [tokens, hidden]."""
    table = g.weight((size.positions + size.position_offset, size.hidden), "position_embedding")
    if size.position_offset:
        positions = positions + g.constant(size.position_offset, "offset")
    return g.op("Gather", table, positions)


def _scores(g: Builder, x: Tensor, size: Decoder, table: Tensor) -> Tensor:
    """Logits of states [tokens, hidden]; the weight is [vocabulary, hidden] as the embedding is."""
    if size.embedding and size.embedding != size.hidden:
        x = g.linear(x, size.embedding, bias=False, name="embedding_down")
    if size.tied:
        bias = [g.weight((size.vocabulary,), "lm_head.bias")] if size.head_bias else []
        return g.op("Gemm", x, table, *bias, transB=1, name="lm_head")
    return g.linear(x, size.vocabulary, bias=size.head_bias, name="lm_head")
