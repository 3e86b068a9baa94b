"""Configs of encoders, of encoders with decoders, and of what sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from lydite.errors import InputError
from lydite.models.blocks import Activation, Attention, Block, Dense
from lydite.models.dimensions import (
    DualEncoder,
    Encoder,
    EncoderDecoder,
    PatchTower,
    Stack,
    TextEncoder,
    VisionEncoder,
)
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.heads import classes, head_of

Row: TypeAlias = tuple[str, Callable[[Config], Any], tuple[str, ...]]

_HEADS = {
    "": "pooler",
    "Model": "pooler",
    "ForMaskedLM": "scores",
    "ForCausalLM": "scores",
    "LMHeadModel": "scores",
    "ForQuestionAnswering": "answer",
    "ForTokenClassification": "tags",
    "ForSequenceClassification": "classes",
}
"""Head of an encoder by the end of the class's name."""


def _head(c: Config) -> str:
    named = head_of(c)
    if named not in _HEADS:
        allowed = ", ".join(name for name in _HEADS if name)
        raise InputError(
            f"the head '{named}' of architectures is not built", where=c.where, allowed=allowed
        )
    return _HEADS[named]


def _encoder(c: Config, *, types: int, eps: float, **changes: Any) -> Encoder:
    c.only("position_embedding_type", "absolute")
    c.only("is_decoder", False)
    c.only("add_cross_attention", False)
    hidden = c.size("hidden_size", "dim")
    values: dict[str, Any] = {
        "layers": c.size("num_hidden_layers", "n_layers"),
        "hidden": hidden,
        "heads": c.size("num_attention_heads", "n_heads"),
        "feed_forward": c.size("intermediate_size", "hidden_dim"),
        "vocabulary": c.size("vocab_size"),
        "positions": c.size("max_position_embeddings", default=512),
        "token_types": c.size("type_vocab_size", default=types, low=0),
        "activation": c.activation("hidden_act", "activation", default="gelu"),
        "eps": c.number("layer_norm_eps", default=eps),
        "head": _head(c),
        "classes": classes(c),
    }
    if changes.get("position_offset"):
        values["positions"] = max(1, values["positions"] - changes["position_offset"])
    return _checked(c, Encoder, {**values, **changes})


def _checked(c: Config, dimensions: Callable[..., Any], values: dict[str, Any]) -> Any:
    try:
        return dimensions(**values)
    except InputError as error:
        raise InputError(error.what, where=c.where) from error


def _bert(c: Config) -> Encoder:
    return _encoder(c, types=2, eps=1e-12)


def _roberta(c: Config) -> Encoder:
    """Positions begin behind the padding token's; no input chooses the token type."""
    return _encoder(c, types=2, eps=1e-12, position_offset=2, type_inputs=False)


def _distilbert(c: Config) -> Encoder:
    c.skip("sinusoidal_pos_embds", "tie_weights_")
    head = _head(c)
    return _encoder(
        c,
        types=0,
        eps=1e-12,
        type_inputs=False,
        relu_pooler=True,
        head="states" if head == "pooler" else head,
    )


def _ernie(c: Config) -> Encoder:
    tasks = c.size("task_type_vocab_size", default=3) if c.flag("use_task_id", default=False) else 0
    return _encoder(c, types=2, eps=1e-12, task_types=tasks)


def _stack(c: Config, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "layers": c.size("num_hidden_layers", "depth"),
        "hidden": c.size("hidden_size", "embed_dim"),
        "heads": c.size("num_attention_heads", "num_heads"),
        "feed_forward": c.size("intermediate_size"),
        "eps": c.number("layer_norm_eps", default=1e-6),
        "activation": c.activation("hidden_act", default="gelu"),
    }
    return {**values, **changes}


def _vit(c: Config) -> VisionEncoder:
    c.skip("encoder_stride", "pooler_output_size", "pooler_act")
    pooled = head_of(c) == "Model"
    return _checked(
        c,
        VisionEncoder,
        _stack(
            c,
            eps=c.number("layer_norm_eps", default=1e-12),
            image_size=c.size("image_size", default=224),
            patch=c.size("patch_size", default=16),
            channels=c.size("num_channels", default=3),
            classes=0 if pooled else classes(c),
            pooler="dense" if pooled else "",
            qkv_bias=c.flag("qkv_bias", default=True),
        ),
    )


def _clip_text(c: Config) -> TextEncoder:
    values = _stack(
        c,
        vocabulary=c.size("vocab_size", default=49408),
        positions=c.size("max_position_embeddings", default=77),
        projection=c.size("projection_dim", default=512),
        activation=c.activation("hidden_act", default="quick_gelu"),
        eps=c.number("layer_norm_eps", default=1e-5),
    )
    return _checked(c, TextEncoder, values)


def _clip_vision(c: Config) -> VisionEncoder:
    values = _stack(
        c,
        image_size=c.size("image_size", default=224),
        patch=c.size("patch_size", default=32),
        channels=c.size("num_channels", default=3),
        classes=c.size("projection_dim", default=512),
        activation=c.activation("hidden_act", default="quick_gelu"),
        eps=c.number("layer_norm_eps", default=1e-5),
        clip=True,
    )
    return _checked(c, VisionEncoder, values)


def _tower(c: Config, *, usual: str, rotary: bool = True, **changes: Any) -> PatchTower:
    """Qwen-VL's image encoders, whose fields differ in name from one to the next."""
    c.skip("window_size", "fullatt_block_indexes", "tokens_per_second", "rope_parameters")
    hidden = changes.pop("hidden", None) or c.size("hidden_size")
    heads, layers = c.size("num_heads", default=16), c.size("depth", default=32)
    if hidden % heads:
        raise c.refuse("num_heads", f"a divisor of {hidden}")
    inner = changes.pop("inner", None) or c.size("intermediate_size")
    gated = changes.pop("gated", False)
    activation = c.activation("hidden_act", default=usual)
    mixer = Attention(
        heads=heads, size=hidden // heads, packed=True, rotary=hidden // heads if rotary else 0
    )
    feed = Dense(inner=inner, activation=activation, gated=gated, bias=True)
    patch, merge = c.size("patch_size", default=14), c.size("spatial_merge_size", default=2)
    values: dict[str, Any] = {
        "layers": layers,
        "hidden": hidden,
        "heads": heads,
        "feed_forward": inner,
        "eps": 1e-6,
        "blocks": (Block(mixers=(mixer,), feed=feed),) * layers,
        "patch": patch,
        "frames": c.size("temporal_patch_size", default=2),
        "channels": c.size("in_channels", "in_chans", default=3),
        "merge": merge,
        "image_size": 32 * patch * merge // 2,
    }
    return _checked(c, PatchTower, {**values, **changes})


def _qwen2_tower(c: Config) -> PatchTower:
    hidden = c.size("embed_dim", default=1280)
    inner = int(hidden * c.number("mlp_ratio", default=4.0))
    output = c.size("hidden_size", default=3584)
    return _tower(c, usual="quick_gelu", hidden=hidden, inner=inner, output=output)


def _qwen25_tower(c: Config) -> PatchTower:
    output = c.size("out_hidden_size", default=3584)
    return _tower(c, usual="silu", gated=True, norm="rms", output=output)


def _qwen3_tower(c: Config) -> PatchTower:
    return _tower(
        c,
        usual="gelu_pytorch_tanh",
        patch_bias=True,
        table=c.size("num_position_embeddings", default=2304),
        output=c.size("out_hidden_size", default=3584),
        tapped=tuple(c.numbers("deepstack_visual_indexes") or ()),
    )


_SIGLIP = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
}
_CLIP_TEXT = {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
}
_CLIP_VISION = _SIGLIP


def _siglip_text(c: Config) -> TextEncoder:
    c = Config({**_SIGLIP, **c.data}, c.where)
    values = _stack(
        c,
        vocabulary=c.size("vocab_size", default=32000),
        positions=c.size("max_position_embeddings", default=64),
        activation=c.activation("hidden_act", default="gelu_pytorch_tanh"),
        projection=c.size("projection_size", default=c.size("hidden_size")),
        causal=False,
        projection_bias=True,
    )
    return _checked(c, TextEncoder, values)


def _siglip_vision(c: Config) -> VisionEncoder:
    c = Config({**_SIGLIP, **c.data}, c.where)
    values = _stack(
        c,
        image_size=c.size("image_size", default=224),
        patch=c.size("patch_size", default=16),
        channels=c.size("num_channels", default=3),
        activation=c.activation("hidden_act", default="gelu_pytorch_tanh"),
        class_token=False,
        pooler="attention" if c.flag("vision_use_head", default=True) else "",
    )
    values["image_size"] -= values["image_size"] % values["patch"]
    return _checked(c, VisionEncoder, values)


def _dual(
    text: Callable[[Config], TextEncoder],
    image: Callable[[Config], VisionEncoder],
    usual: tuple[dict[str, int], dict[str, int]],
    *,
    bias: bool,
) -> Callable[[Config], DualEncoder]:
    def read(c: Config) -> DualEncoder:
        c.skip("logit_scale_init_value", "text_config_dict", "vision_config_dict")
        projected = {"projection_dim": c.size("projection_dim", default=512)}
        parts = [
            Config({**defaults, **projected, **(c.raw(name) or {})}, f"{c.where}: {name}")
            for name, defaults in zip(("text_config", "vision_config"), usual, strict=True)
        ]
        return DualEncoder(text=text(parts[0]), image=image(parts[1]), bias=bias)

    return read


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


def _whole(c: Config) -> None:
    """Refuse a class that is one half of an encoder and decoder.

    Raises:
        InputError: `architectures` names such a class.
    """
    name = next(iter(c.texts("architectures") or ()), "")
    if name.endswith(("ForCausalLM", "EncoderModel", "Decoder", "DecoderModel")):
        raise InputError(
            f"{name[:60]} is not built: it is one half of {c.type}",
            where=c.where,
            allowed="ForConditionalGeneration, or no architectures, for both halves",
        )


def _t5(c: Config) -> EncoderDecoder:
    """Text-to-text: relative positions, root mean square norms, no biases (arXiv:1910.10683)."""
    _whole(c)
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


def _sequence(c: Config, **changes: Any) -> EncoderDecoder:
    """BART's family of fields: encoder_layers, decoder_ffn_dim and so on."""
    _whole(c)
    hidden = c.size("d_model")
    function = c.activation("activation_function", default="gelu")
    stacks = {}
    norms = changes.pop("norms", {})
    for side in ("encoder", "decoder"):
        heads, inner = c.size(f"{side}_attention_heads"), c.size(f"{side}_ffn_dim")
        if hidden % heads:
            raise c.refuse(f"{side}_attention_heads", f"a divisor of d_model {hidden}")
        feed = Dense(inner=inner, activation=function, gated=False, bias=True)
        biases = {"key_bias": changes.get("key_bias", True)}
        layers = c.size(f"{side}_layers")
        stacks[side] = _both(c, hidden // heads, heads, inner, layers, feed, biases=biases, **norms)
    changes.pop("key_bias", None)
    return EncoderDecoder(
        **stacks,
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


def _bart(c: Config) -> EncoderDecoder:
    c.skip(
        "num_hidden_layers",
        "normalize_before",
        "normalize_embedding",
        "add_final_layer_norm",
        "add_bias_logits",
        "static_position_embeddings",
    )
    return _sequence(
        c,
        positions=c.size("max_position_embeddings", default=1024),
        position_offset=2,
        embedding_norm=True,
        last_norm=False,
        norms={"order": "last"},
    )


_BERT = "lydite.models.bert:bert"
_VISION = "lydite.models.vit:vision_transformer"
_TEXT = "lydite.models.vit:text_encoder"
_DUAL = "lydite.models.vit:dual_encoder"
_BOTH = "lydite.models.seq2seq:encoder_decoder"
_PATCHED = "lydite.models.patched:patch_tower"
_PHASES = ("sequence", "context", "phase")

TYPES: dict[str, Row] = {
    "bert": (_BERT, _bert, ("sequence",)),
    "roberta": (_BERT, _roberta, ("sequence",)),
    "xlm-roberta": (_BERT, _roberta, ("sequence",)),
    "camembert": (_BERT, _roberta, ("sequence",)),
    "distilbert": (_BERT, _distilbert, ("sequence",)),
    "ernie": (_BERT, _ernie, ("sequence",)),
    "vit": (_VISION, _vit, ()),
    "deit": (_VISION, _vit, ()),
    "clip": (
        _DUAL,
        _dual(_clip_text, _clip_vision, (_CLIP_TEXT, _CLIP_VISION), bias=False),
        ("sequence",),
    ),
    "clip_text_model": (_TEXT, _clip_text, ("sequence",)),
    "clip_vision_model": (_VISION, _clip_vision, ()),
    "siglip": (
        _DUAL,
        _dual(_siglip_text, _siglip_vision, (_SIGLIP, _SIGLIP), bias=True),
        ("sequence",),
    ),
    "siglip_text_model": (_TEXT, _siglip_text, ("sequence",)),
    "siglip_vision_model": (_VISION, _siglip_vision, ()),
    "qwen2_vl_vision": (_PATCHED, _qwen2_tower, ()),
    "qwen2_5_vl_vision": (_PATCHED, _qwen25_tower, ()),
    "qwen3_vl_vision": (_PATCHED, _qwen3_tower, ()),
    "qwen3_vl_moe_vision": (_PATCHED, _qwen3_tower, ()),
    "qwen3_5_vision": (_PATCHED, _qwen3_tower, ()),
    "qwen3_5_moe_vision": (_PATCHED, _qwen3_tower, ()),
    "t5": (_BOTH, _t5, _PHASES),
    "mt5": (_BOTH, _t5, _PHASES),
    "umt5": (_BOTH, _t5, _PHASES),
    "bart": (_BOTH, _bart, _PHASES),
    "whisper": (_BOTH, _whisper, _PHASES),
}
"""Builder, reader and options by `model_type`."""
