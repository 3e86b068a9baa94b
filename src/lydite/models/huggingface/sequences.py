"""Configs of encoders whose states a decoder attends to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lydite.errors import InputError
from lydite.models.blocks import Activation, Attention, Block, Dense, Order
from lydite.models.dimensions import Stack
from lydite.models.dimensions_sequences import EncoderDecoder
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.rows import Row


def _both(
    c: Config, size: int, heads: int, inner: int, layers: int, feed: Dense, **norms: Any
) -> Stack:
    attention = Attention(heads=heads, size=size, **norms.pop("biases"))
    blocks = (Block(mixers=(attention,), feed=feed),) * layers
    hidden = c.size("d_model", "hidden_size")
    return Stack(
        layers=layers,
        hidden=hidden,
        heads=heads,
        head_size=size,
        feed_forward=inner,
        blocks=blocks,
        **norms,
    )


def _half(c: Config) -> bool:
    """Whether the class is the decoder alone, whose encoder's states are then an input.

    Raises:
        InputError: `architectures` names an encoder alone, or a decoder without scores.
    """
    name = next(iter(c.texts("architectures") or ()), "")
    if name.endswith("ForCausalLM"):
        c.say("the decoder alone; the states that it attends to are an input")
        return True
    if name.endswith(("EncoderModel", "Decoder", "DecoderModel")):
        raise InputError(
            f"{name[:60]} is not built: it is one half of {c.type}",
            where=c.where,
            allowed="ForConditionalGeneration, or no architectures, for both halves; ForCausalLM",
        )
    return False


def _t5(c: Config) -> EncoderDecoder:
    """Text-to-text: relative positions, root mean square norms, no biases (arXiv:1910.10683)."""
    _half(c)
    c.skip("n_positions", "relative_attention_max_distance", "is_gated_act", "dense_act_fn")
    layers, inner = c.size("num_layers", default=6), c.size("d_ff", default=2048)
    name = c.raw("feed_forward_proj", default="relu")
    gated = isinstance(name, str) and name.startswith("gated-")
    known: dict[str, Activation] = {
        "relu": "relu",
        "gelu": "gelu",
        "gated-gelu": "gelu_tanh",
        "gated-silu": "silu",
    }
    if not isinstance(name, str) or name not in known:
        raise c.refuse("feed_forward_proj", ", ".join(known))
    feed = Dense(inner=inner, activation=known[name], gated=gated)
    heads, size = c.size("num_heads", default=8), c.size("d_kv", default=64)
    rest: dict[str, Any] = {
        "norm": "rms",
        "eps": c.number("layer_norm_epsilon", default=1e-6),
        "biases": {"qkv_bias": False, "output_bias": False},
    }
    encoder = _both(c, size, heads, inner, layers, feed, **rest)
    decoded = c.size("num_decoder_layers", default=layers)
    return EncoderDecoder(
        encoder=encoder,
        decoder=_both(c, size, heads, inner, decoded, feed, **rest),
        vocabulary=c.size("vocab_size", default=32128),
        positions=c.size("n_positions", default=512),
        buckets=c.size("relative_attention_num_buckets", default=32),
        tied=c.flag("tie_word_embeddings", default=True),
    )


_SIZES = {
    "encoder": ("encoder_layers", "encoder_attention_heads", "encoder_ffn_dim"),
    "decoder": ("decoder_layers", "decoder_attention_heads", "decoder_ffn_dim"),
}
"""Fields of BART and its like: layers, heads and inner width of both sides."""


def _sequence(c: Config, **changes: Any) -> EncoderDecoder:
    """A model whose fields are named as in BART."""
    hidden = c.size("d_model")
    function = c.activation("activation_function", default="gelu")
    stacks = {}
    norms = changes.pop("norms", {})
    half = _half(c)
    for side in ("decoder",) if half else ("encoder", "decoder"):
        names = _SIZES[side]
        layers, heads, inner = (c.size(name) for name in names)
        if hidden % heads:
            raise c.refuse(names[1], f"a divisor of d_model {hidden}")
        feed = Dense(inner=inner, activation=function, gated=False, bias=True)
        biases = {"key_bias": changes.get("key_bias", True)}
        stacks[side] = _both(c, hidden // heads, heads, inner, layers, feed, biases=biases, **norms)
    changes.pop("key_bias", None)
    if half:
        c.skip(*_SIZES["encoder"])
        stacks["encoder"] = stacks["decoder"]
    return EncoderDecoder(
        **stacks,
        half=half,
        vocabulary=c.size("vocab_size"),
        tied=c.flag("tie_word_embeddings", default=True),
        **changes,
    )


def _whisper(c: Config) -> EncoderDecoder:
    c.skip(
        "num_hidden_layers",
        "median_filter_width",
        "mask_time_prob",
        "use_weighted_layer_sum",
        "apply_spec_augment",
        "classifier_proj_size",
        "scale_embedding",
        "mask_feature_length",
        "mask_feature_min_masks",
        "mask_feature_prob",
        "mask_time_length",
        "mask_time_min_masks",
    )
    return _sequence(
        c,
        positions=c.size("max_target_positions", default=448),
        bins=c.size("num_mel_bins", default=80),
        frames=c.size("max_source_positions", default=1500),
        key_bias=False,
    )


def _bart_like(
    *, order: Order = "last", offset: int = 0, embedding_norm: bool = True, waves: bool = False
) -> Callable[[Config], EncoderDecoder]:
    """BART and its like, which differ in place of norms and positions.

    Args:
        order: "last" normalises behind the addition, "before" ahead of a part and at the end.
        offset: Rows of the position tables before the first position.
        embedding_norm: Whether embeddings are normalised.
        waves: Whether positions are no weights. Tables of waves that transformers keeps as weights
            are read as learned ones.
    """

    def read(c: Config) -> EncoderDecoder:
        c.skip(*_UNUSED)
        c.only("use_prompt", False)
        c.only("share_encoder_decoder_embeddings", True)
        c.only("decoder_vocab_size", c.size("vocab_size"))
        return _sequence(
            c,
            positions=c.size("max_position_embeddings", default=1024),
            position_offset=offset,
            embedding_norm=embedding_norm,
            waves=waves,
            last_norm=order == "before",
            norms={"order": order},
        )

    return read


_UNUSED = (
    "num_hidden_layers",
    "normalize_before",
    "normalize_embedding",
    "add_final_layer_norm",
    "add_bias_logits",
    "static_position_embeddings",
    "extra_pos_embeddings",
    "force_bos_token_to_be_generated",
    "prompt_length",
    "prompt_mid_dim",
)
"""Fields of BART's like that transformers does not read."""


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
    stack = _both(c, hidden // heads, heads, inner, layers, feed, biases={}, order="last")
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
    stack = _both(c, hidden // heads, heads, inner, layers, feed, **rest)
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
    c.say("the decoder alone; the states that it attends to are an input")
    c.skip("projection_dim", "is_decoder", "label_smoothing", "bad_words_ids")
    hidden, heads = c.size("hidden_size", default=768), c.size("num_attention_heads", default=8)
    if hidden % heads:
        raise c.refuse("num_attention_heads", f"a divisor of hidden_size {hidden}")
    inner = c.size("intermediate_size", default=3072)
    c.only("hidden_act", "gelu")
    feed = Dense(inner=inner, activation="gelu", gated=False, bias=True)
    layers = c.size("num_hidden_layers", default=12)
    width = c.size("encoder_hidden_size", default=768)
    tower = c.inner("vision_config") or Config({}, c.where)
    eps = c.number("layer_norm_eps", default=1e-12)
    c = c.changed({"d_model": hidden})
    rest: dict[str, Any] = {"order": "last", "eps": eps, "biases": {}}
    stack = _both(c, hidden // heads, heads, inner, layers, feed, **rest)
    return EncoderDecoder(
        encoder=stack,
        decoder=stack,
        vocabulary=c.size("vocab_size", default=30524),
        positions=c.size("max_position_embeddings", default=512),
        embedding_norm=True,
        last_norm=False,
        tied=c.flag("tie_word_embeddings", default=True),
        half=True,
        states=tower.size("hidden_size", default=width),
        transform=True,
    )


_BOTH = "lydite.models.seq2seq:encoder_decoder"


_PHASES = ("sequence", "context", "phase")


TYPES: dict[str, Row] = {
    "t5": (_BOTH, _t5, _PHASES),
    "mt5": (_BOTH, _t5, _PHASES),
    "umt5": (_BOTH, _t5, _PHASES),
    "bart": (_BOTH, _bart_like(offset=2), _PHASES),
    "blip_text_model": (_BOTH, _blip, _PHASES),
    "pix2struct_text_model": (_BOTH, _pix2struct, _PHASES),
    "blenderbot": (_BOTH, _bart_like(order="before", embedding_norm=False), _PHASES),
    "blenderbot-small": (_BOTH, _bart_like(), _PHASES),
    "m2m_100": (_BOTH, _bart_like(order="before", embedding_norm=False, waves=True), _PHASES),
    "marian": (_BOTH, _bart_like(embedding_norm=False), _PHASES),
    "mbart": (_BOTH, _bart_like(order="before", offset=2), _PHASES),
    "mvp": (_BOTH, _bart_like(offset=2), _PHASES),
    "pegasus": (_BOTH, _bart_like(order="before", embedding_norm=False), _PHASES),
    "plbart": (_BOTH, _bart_like(offset=2), _PHASES),
    "trocr": (_BOTH, _trocr, _PHASES),
    "whisper": (_BOTH, _whisper, _PHASES),
}
"""Builder, reader and options by `model_type`."""
