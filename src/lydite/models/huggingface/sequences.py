"""Configs of encoders whose states a decoder attends to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from lydite.errors import InputError
from lydite.models.blocks import Activation, Attention, Block, Dense, Order
from lydite.models.dimensions import Stack
from lydite.models.dimensions_sequences import DocumentReader, EncoderDecoder
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.rows import Row, blocks_of


def stack_of(
    c: Config, size: int, heads: int, inner: int, layers: int, feed: Dense, **norms: Any
) -> Stack:
    """Layers of one side of the model, all alike."""
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
    encoder = stack_of(c, size, heads, inner, layers, feed, **rest)
    decoded = c.size("num_decoder_layers", default=layers)
    return EncoderDecoder(
        encoder=encoder,
        decoder=stack_of(c, size, heads, inner, decoded, feed, **rest),
        vocabulary=c.size("vocab_size", default=32128),
        positions=c.size("n_positions", default=512),
        buckets=c.size("relative_attention_num_buckets", default=32),
        tied=c.flag("tie_word_embeddings", default=True),
    )


def _udop(c: Config) -> DocumentReader:
    """T5 with words where they stand on a page, and the page (UDOP, arXiv:2212.02623)."""
    usual = [{"type": kind} for kind in ("1d", "horizontal", "vertical")]
    c.only("relative_bias_args", usual)
    base = _t5(c)
    return DocumentReader(
        **{field.name: getattr(base, field.name) for field in fields(base)},
        patch=c.size("patch_size", default=16),
        image_size=c.size("image_size", default=224),
        channels=c.size("num_channels", default=3),
        cells=c.size("max_2d_position_embeddings", default=1024),
    )


_SIZES = {
    "encoder": ("encoder_layers", "encoder_attention_heads", "encoder_ffn_dim"),
    "decoder": ("decoder_layers", "decoder_attention_heads", "decoder_ffn_dim"),
}
"""Fields of BART and its like: layers, heads and inner width of both sides."""


def sequence_of(c: Config, **changes: Any) -> EncoderDecoder:
    """A model whose fields are named as in BART."""
    hidden = c.size("d_model")
    function = c.activation("activation_function", default="gelu")
    stacks = {}
    norms, biases = changes.pop("norms", {}), changes.pop("biases", {})
    half = changes.pop("half", False) or _half(c)
    for side in ("decoder",) if half else ("encoder", "decoder"):
        names = _SIZES[side]
        layers, heads, inner = (c.size(name) for name in names)
        if hidden % heads:
            raise c.refuse(names[1], f"a divisor of d_model {hidden}")
        feed = Dense(inner=inner, activation=function, gated=False, bias=True)
        stacks[side] = stack_of(
            c, hidden // heads, heads, inner, layers, feed, biases=biases, **norms
        )
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
    return sequence_of(
        c,
        positions=c.size("max_target_positions", default=448),
        bins=c.size("num_mel_bins", default=80),
        frames=c.size("max_source_positions", default=1500),
        biases={"key_bias": False},
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
        return sequence_of(
            c,
            positions=c.size("max_position_embeddings", default=1024),
            position_offset=offset,
            embedding_norm=embedding_norm,
            waves=waves,
            last_norm=order == "before",
            norms={"order": order},
        )

    return read


def _big_bird(c: Config) -> EncoderDecoder:
    """Pegasus whose encoder's blocks of tokens attend to some of the others (BigBird).

    The decoder alone has a last weight of its own in transformers, whatever the config says.
    """
    c.skip(*_UNUSED)
    bias = c.flag("use_bias", default=False)
    c = c.changed({"tie_word_embeddings": False}) if _half(c) else c
    return sequence_of(
        c,
        positions=c.size("max_position_embeddings", default=4096),
        last_norm=True,
        norms={"order": "before"},
        biases={"qkv_bias": bias, "output_bias": bias},
        **blocks_of(c),
    )


def _prophetnet(c: Config) -> EncoderDecoder:
    """BART's layers, whose decoder guesses several tokens at once (arXiv:2001.04063)."""
    c.only("add_cross_attention", True)
    c.skip("relative_max_distance", "disable_ngram_loss", "eps", *_UNUSED)
    names = {"hidden_size": "d_model"}
    for side in ("encoder", "decoder"):
        names |= {f"num_{side}_layers": f"{side}_layers"}
        names |= {f"num_{side}_attention_heads": f"{side}_attention_heads"}
    c = c.renamed(names)
    return sequence_of(
        c,
        positions=c.size("max_position_embeddings", default=512) - 1,
        position_offset=1,
        embedding_norm=True,
        last_norm=False,
        buckets=c.size("num_buckets", default=32),
        streams=c.size("ngram", default=2),
        norms={"order": "last"},
    )


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


BOTH = "lydite.models.seq2seq:encoder_decoder"
"""The builder of both sides, and of a decoder alone."""

OPTIONS = ("sequence", "context", "phase")


TYPES: dict[str, Row] = {
    "t5": (BOTH, _t5, OPTIONS),
    "mt5": (BOTH, _t5, OPTIONS),
    "udop": ("lydite.models.documents:document_reader", _udop, OPTIONS),
    "umt5": (BOTH, _t5, OPTIONS),
    "bart": (BOTH, _bart_like(offset=2), OPTIONS),
    "bigbird_pegasus": (BOTH, _big_bird, OPTIONS),
    "blenderbot": (BOTH, _bart_like(order="before", embedding_norm=False), OPTIONS),
    "blenderbot-small": (BOTH, _bart_like(), OPTIONS),
    "m2m_100": (BOTH, _bart_like(order="before", embedding_norm=False, waves=True), OPTIONS),
    "marian": (BOTH, _bart_like(embedding_norm=False), OPTIONS),
    "mbart": (BOTH, _bart_like(order="before", offset=2), OPTIONS),
    "mvp": (BOTH, _bart_like(offset=2), OPTIONS),
    "pegasus": (BOTH, _bart_like(order="before", embedding_norm=False), OPTIONS),
    "prophetnet": ("lydite.models.ngrams:ngram_decoder", _prophetnet, OPTIONS),
    "plbart": (BOTH, _bart_like(offset=2), OPTIONS),
    "whisper": (BOTH, _whisper, OPTIONS),
}
"""Builder, reader and options by `model_type`."""
