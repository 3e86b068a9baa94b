"""Configs of what sees: vision transformers, CLIP and its like, towers of language models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lydite.models.blocks import Attention, Block, Dense
from lydite.models.dimensions_towers import (
    DualEncoder,
    PatchTower,
    TextEncoder,
    TileTower,
    VisionEncoder,
)
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.heads import classes, head_of
from lydite.models.huggingface.rows import Row, checked


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
    return checked(
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
    return checked(c, TextEncoder, values)


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
    return checked(c, VisionEncoder, values)


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
    return checked(c, PatchTower, {**values, **changes})


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


def _tiles(c: Config) -> TileTower:
    """Llama 3.2 Vision: tiles with embeddings by layout, and gated layers behind the others."""
    shapes = c.raw("supported_aspect_ratios")
    c.skip("vision_output_dim", "max_aspect_ratio_id")
    heads, hidden = c.size("attention_heads", default=16), c.size("hidden_size", default=1280)
    if hidden % heads:
        raise c.refuse("attention_heads", f"a divisor of {hidden}")
    inner, layers = (
        c.size("intermediate_size", default=5120),
        c.size("num_hidden_layers", default=32),
    )
    mixer = Attention(heads=heads, size=hidden // heads, qkv_bias=False, output_bias=False)
    function = c.activation("hidden_act", default="gelu")
    feed = Dense(inner=inner, activation=function, gated=False, bias=True)
    tapped = c.numbers("intermediate_layers_indices")
    values: dict[str, Any] = {
        "layers": layers,
        "hidden": hidden,
        "heads": heads,
        "feed_forward": inner,
        "eps": c.number("norm_eps", default=1e-5),
        "blocks": (Block(mixers=(mixer,), feed=feed),) * layers,
        "patch": c.size("patch_size", default=14),
        "image_size": c.size("image_size", default=448),
        "tiles": c.size("max_num_tiles", default=4),
        "channels": c.size("num_channels", default=3),
        "shapes": len(shapes) if isinstance(shapes, list) and shapes else 8,
        "last": c.size("num_global_layers", default=8),
        "tapped": tuple((3, 7, 15, 23, 30) if tapped is None else tapped),
    }
    return checked(c, TileTower, values)


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
    return checked(c, TextEncoder, values)


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
    return checked(c, VisionEncoder, values)


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


_VISION = "lydite.models.vit:vision_transformer"


_TEXT = "lydite.models.vit:text_encoder"


_DUAL = "lydite.models.vit:dual_encoder"


_PATCHED = "lydite.models.patched:patch_tower"
_TILED = "lydite.models.tiled:tile_tower"


TYPES: dict[str, Row] = {
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
    "mllama_vision_model": (_TILED, _tiles, ()),
    "qwen2_vl_vision": (_PATCHED, _qwen2_tower, ()),
    "qwen2_5_vl_vision": (_PATCHED, _qwen25_tower, ()),
    "qwen3_vl_vision": (_PATCHED, _qwen3_tower, ()),
    "qwen3_vl_moe_vision": (_PATCHED, _qwen3_tower, ()),
    "qwen3_5_vision": (_PATCHED, _qwen3_tower, ()),
    "qwen3_5_moe_vision": (_PATCHED, _qwen3_tower, ()),
}
"""Builder, reader and options by `model_type`."""
