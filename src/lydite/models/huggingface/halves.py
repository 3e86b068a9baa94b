"""Configs of decoders alone, which attend to what an encoder made of a picture."""

from __future__ import annotations

from typing import Any

from lydite.models.blocks import Dense
from lydite.models.dimensions_sequences import EncoderDecoder
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.rows import Row
from lydite.models.huggingface.sequences import BOTH, OPTIONS, sequence_of, stack_of


def _formula(c: Config) -> EncoderDecoder:
    """The decoder of MBART, which attends to a picture's states (PP-FormulaNet)."""
    c.say("the decoder alone; the states that it attends to are an input")
    return sequence_of(
        c if "tie_word_embeddings" in c.data else c.changed({"tie_word_embeddings": False}),
        positions=c.size("max_position_embeddings", default=2560),
        position_offset=2,
        embedding_norm=True,
        last_norm=True,
        norms={"order": "before"},
        half=True,
    )


def _trocr(c: Config) -> EncoderDecoder:
    """A decoder alone, which attends to a picture's states (TrOCR, arXiv:2109.10282)."""
    c.only("use_learned_position_embeddings", True)
    c.say("the decoder alone; the states that it attends to are an input")
    hidden, heads = c.size("d_model", default=1024), c.size("decoder_attention_heads", default=16)
    if hidden % heads:
        raise c.refuse("decoder_attention_heads", f"a divisor of d_model {hidden}")
    inner = c.size("decoder_ffn_dim", default=4096)
    function = c.activation("activation_function", default="gelu")
    feed = Dense(inner=inner, activation=function, gated=False, bias=True)
    layers = c.size("decoder_layers", default=12)
    c = c if c.data.get("d_model") else c.changed({"d_model": hidden})
    stack = stack_of(c, hidden // heads, heads, inner, layers, feed, biases={}, order="last")
    return EncoderDecoder(
        encoder=stack,
        decoder=stack,
        vocabulary=c.size("vocab_size", default=50265),
        positions=c.size("max_position_embeddings", default=512),
        position_offset=2,
        embedding_norm=c.flag("layernorm_embedding", default=True),
        last_norm=False,
        tied=c.flag("tie_word_embeddings", default=True),
        half=True,
        states=c.size("cross_attention_hidden_size", default=0),
    )


def _pix2struct(c: Config) -> EncoderDecoder:
    """A decoder like T5's that attends to a picture's states (Pix2Struct, arXiv:2210.03347)."""
    c.say("the decoder alone; the states that it attends to are an input")
    c.skip("relative_attention_max_distance", "d_kv", "encoder_hidden_size")
    hidden, heads = c.size("hidden_size", default=768), c.size("num_heads", default=12)
    if hidden % heads:
        raise c.refuse("num_heads", f"a divisor of hidden_size {hidden}")
    inner, layers = c.size("d_ff", default=2048), c.size("num_layers", default=12)
    function = c.activation("dense_act_fn", default="gelu_new")
    feed = Dense(inner=inner, activation=function, gated=True)
    biases = {"qkv_bias": False, "output_bias": False}
    eps = c.number("layer_norm_epsilon", default=1e-6)
    c = c.changed({"d_model": hidden})
    rest: dict[str, Any] = {"norm": "rms", "eps": eps, "biases": biases}
    stack = stack_of(c, hidden // heads, heads, inner, layers, feed, **rest)
    return EncoderDecoder(
        encoder=stack,
        decoder=stack,
        vocabulary=c.size("vocab_size", default=50244),
        positions=c.size("n_positions", default=512),
        buckets=c.size("relative_attention_num_buckets", default=32),
        tied=c.flag("tie_word_embeddings", default=False),
        half=True,
    )


def _blip(c: Config) -> EncoderDecoder:
    """BERT's layers, each of which also attends to a picture's states (BLIP, arXiv:2201.12086)."""
    c.skip("projection_dim", "label_smoothing", "bad_words_ids")
    width = c.size("encoder_hidden_size", default=768)
    tower = c.inner("vision_config") or Config({}, c.where)
    return _bert(c, heads=8, vocabulary=30524, states=tower.size("hidden_size", default=width))


def _bert_decoder(c: Config) -> EncoderDecoder:
    """BERT itself as a decoder, with types of tokens."""
    c.only("add_cross_attention", True)
    c.only("position_embedding_type", "absolute")
    width = c.size("cross_attention_hidden_size", default=0)
    types = c.size("type_vocab_size", default=2)
    return _bert(c, heads=12, vocabulary=30522, states=width, segments=types)


def _bert(
    c: Config, *, heads: int, vocabulary: int, states: int, segments: int = 0
) -> EncoderDecoder:
    """BERT's layers with attention to an encoder's states; `heads` and `vocabulary` are usual."""
    c.say("the decoder alone; the states that it attends to are an input")
    c.skip("is_decoder")
    hidden, heads = c.size("hidden_size", default=768), c.size("num_attention_heads", default=heads)
    if hidden % heads:
        raise c.refuse("num_attention_heads", f"a divisor of hidden_size {hidden}")
    inner = c.size("intermediate_size", default=3072)
    c.only("hidden_act", "gelu")
    feed = Dense(inner=inner, activation="gelu", gated=False, bias=True)
    layers = c.size("num_hidden_layers", default=12)
    eps = c.number("layer_norm_eps", default=1e-12)
    c = c.changed({"d_model": hidden})
    rest: dict[str, Any] = {"order": "last", "eps": eps, "biases": {}}
    stack = stack_of(c, hidden // heads, heads, inner, layers, feed, **rest)
    return EncoderDecoder(
        encoder=stack,
        decoder=stack,
        vocabulary=c.size("vocab_size", default=vocabulary),
        positions=c.size("max_position_embeddings", default=512),
        embedding_norm=True,
        last_norm=False,
        tied=c.flag("tie_word_embeddings", default=True),
        half=True,
        states=states,
        transform=True,
        segments=segments,
    )


TYPES: dict[str, Row] = {
    "bert_decoder": (BOTH, _bert_decoder, OPTIONS),
    "blip_text_model": (BOTH, _blip, OPTIONS),
    "pix2struct_text_model": (BOTH, _pix2struct, OPTIONS),
    "pp_formulanet_text": (BOTH, _formula, OPTIONS),
    "trocr": (BOTH, _trocr, OPTIONS),
}
"""Builder, reader and options by `model_type`."""
