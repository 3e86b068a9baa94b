"""Families each of which has a part that no other one has: one row for each `model_type`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lydite.models.blocks import (
    Block,
    ConvolvedAttention,
    CrossAttention,
    Dense,
    DifferentialAttention,
    Experts,
    Mixer,
)
from lydite.models.huggingface.chosen import chosen_experts, mixed
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.dense import FAMILIES as DENSE
from lydite.models.huggingface.experts import FAMILIES as EXPERTS
from lydite.models.huggingface.family import (
    HEADS,
    KV_HEADS,
    Family,
    Layer,
    attention,
    dense,
    first_of,
    sliding,
)

_MOST_ROUNDS = 10_000
_MLLAMA_VISION = {"image_size": 448, "patch_size": 14, "max_num_tiles": 4}


def _crossed(c: Config) -> list[int]:
    """Layers that attend to a picture in place of the text (Llama 3.2 Vision)."""
    listed = c.numbers("cross_attention_layers")
    return [3, 8, 13, 18, 23, 28, 33, 38] if listed is None else listed


def _mllama(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Every fifth layer attends to one picture, whose tokens are those of all its tiles."""
    if layer.index not in _crossed(c):
        return (attention(c, layer),)
    heads = c.size(*HEADS)
    return (
        CrossAttention(
            heads=heads,
            size=layer.hidden // heads,
            kv_heads=c.size(*KV_HEADS, default=8),
            count=_picture(c),
            width=layer.hidden,
            normed=True,
            gated=True,
        ),
    )


def _picture(c: Config) -> int:
    """Tokens of a picture: the patches of every tile and a token of its own."""
    given = c.raw("vision_config", default={})
    tower = Config({**_MLLAMA_VISION, **given}, f"{c.where}: vision_config")
    side, patch, tiles = (tower.size(name) for name in _MLLAMA_VISION)
    count = tiles * ((side // patch) ** 2 + 1)
    usual = "" if given else ", as transformers' usual tower makes them"
    c.say(f"layers with cross-attention read {count} tokens of one picture{usual}")
    return count


def _mllama_feed(c: Config, layer: Layer) -> Dense:
    return dense(c, layer, scale=layer.index in _crossed(c))


def _mllama_rows(c: Config, values: dict[str, Any]) -> None:
    """The embedding has eight rows more than the last product."""
    del c
    values["extra_rows"] = 8


def _diffllama(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    heads = c.size(*HEADS)
    kv = c.size(*KV_HEADS, default=heads)
    if kv % 2 or heads % kv:
        raise c.refuse("num_key_value_heads", f"an even divisor of the {heads} heads")
    c.skip("lambda_std_dev")
    theta, _ = c.rotary(theta=layer.family.theta)
    return (
        DifferentialAttention(
            heads=heads,
            size=c.size("head_dim", default=layer.hidden // heads),
            kv_heads=kv,
            bias=c.flag("attention_bias", default=False),
            rope_theta=theta,
        ),
    )


def _doge(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Values give a score to be added, and the keys of the greatest ones are attended to."""
    c.only("is_moe", False)
    c.skip("num_experts", "num_experts_per_tok")
    top = c.size("keep_window_size", default=2048)
    return (attention(c, layer, value_bias=True, index_top=top),)


def _doge_stack(c: Config, values: dict[str, Any]) -> None:
    del c
    values["residual_scales"] = "input"


def _modernbert_window(c: Config, layer_type: str) -> int | None:
    size = c.size("local_attention", default=128, low=0) // 2
    return size if size and layer_type == "sliding_attention" else None


def _modernbert_types(c: Config, layers: int) -> list[str]:
    period = c.size("global_attn_every_n_layers", default=3)
    return first_of(period)(c, layers)


def _modernbert(c: Config, values: dict[str, Any]) -> None:
    """The first layer's attention has no norm of its own; one more product before the scores."""
    c.skip("global_rope_theta", "local_rope_theta", "sliding_window", "initializer_cutoff_factor")
    first, *others = values["blocks"]
    alone = Block(mixers=first.mixers, order="none")
    values["blocks"] = (alone, Block(feed=first.feed), *others)
    values["layers"] += 1
    values["norm_bias"] = c.flag("norm_bias", default=False)
    values["transform"] = c.activation("classifier_activation", default="gelu")
    values["transform_bias"] = c.flag("classifier_bias", default=False)
    values["head_bias"] = c.flag("decoder_bias", default=True)


def _ernie_vl_feed(c: Config, layer: Layer) -> Any:
    """Tokens of text go through the first kind of experts, none through those of pictures."""
    sizes = c.numbers("moe_intermediate_size") or [1536, 512]
    if len(sizes) != 2:
        raise c.refuse("moe_intermediate_size", "widths of experts of text and of pictures")
    inner, asleep = sizes
    shared = inner * c.size("moe_num_shared_experts", default=2, low=0)
    c = c if c.data.get("mlp_layer_types") else c.changed({"mlp_only_layers": [0]})
    feed = mixed(correction=True, inner=inner, shared=shared, asleep=asleep)
    return feed(c, layer)


def _zaya(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Convolved attention, to all tokens or to a window."""
    local = layer.type == "hybrid_sliding"
    plain = replace(layer, type="sliding_attention" if local else "full_attention")
    theta, partial = c.rotary(theta=1e4 if local else 5e6, partial=0.5, layer_type=layer.type)
    size = c.size("head_dim", default=128)
    mixer = attention(
        c,
        plain,
        rotary=int(size * partial) // 2 * 2,
        rope_theta=theta,
        window=c.size("sliding_window") if local else None,
    )
    first, second = (c.size(f"cca_time{i}", default=2) for i in range(2))
    return (ConvolvedAttention(attention=mixer, channelwise=first, by_head=second),)


def _zaya_types(c: Config, layers: int) -> list[str]:
    del c
    return ["hybrid"] * layers


def _zaya_feed(c: Config, layer: Layer) -> Experts:
    """One expert of a token, or none, as a router of several layers says."""
    c.only("num_experts_per_tok", 1)
    width = c.size("router_hidden_size", default=256)
    return chosen_experts(c, layer, idle=1, router=width, router_joined=layer.index > 0)


def _zaya_stack(c: Config, values: dict[str, Any]) -> None:
    c.skip("cca_time0", "cca_time1")
    values |= {"residual_scales": "both", "embedding_scale": True}
    values["head_bias"] = c.flag("lm_head_bias", default=False)


def _prompted(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Attention to the whole prompt and to a window of what was written after it."""
    c.skip("sliding_window")
    c.say("layers attend to all cached tokens, as if they were the prompt's")
    return (attention(c, replace(layer, type="full_attention")),)


def _hrm(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    return (attention(c, layer, gated=True),)


def _hrm_rounds(c: Config, values: dict[str, Any]) -> None:
    """Layers of one stack are stated, or those of all rounds beside them."""
    slow, fast = (c.size(name, default=usual) for name, usual in (("H_cycles", 2), ("L_cycles", 3)))
    each = c.size("num_layers_per_stack", default=values["layers"])
    c.skip("L_bp_cycles", "prefix_lm")
    total = each * slow * (fast + 1)
    if total > _MOST_ROUNDS:
        raise c.refuse("H_cycles", f"up to {_MOST_ROUNDS} layers of all rounds together")
    values |= {"layers": total, "blocks": values["blocks"][:1] * total, "cycles": (slow, fast)}
    values["last_norm"] = False


def _kosmos(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    return (attention(c, layer, output_norm=True),)


def _kosmos25(c: Config, values: dict[str, Any]) -> None:
    del c
    values["segments"] = 2


def _moshi(c: Config, values: dict[str, Any]) -> None:
    """The model over time; that over the codes of one step is another (Moshi, arXiv:2410.00037)."""
    c.skip("num_codebooks", "audio_vocab_size", "audio_encoder_config", "depth_decoder_config")
    c.say("the model over time alone; that over the codes of a step is not built")
    values["extra_rows"] = 1


def _moshi_feed(c: Config, layer: Layer) -> Dense:
    """The stated width is that of both halves together."""
    return dense(c, layer, inner=c.size("ffn_dim", default=22528) // 2)


def _kosmos_feed(c: Config, layer: Layer) -> Dense:
    return dense(c, layer, inner_norm=True)


_KOSMOS = Family(
    norm="layer",
    eps=1e-5,
    qkv=True,
    out=True,
    dense=True,
    activation="gelu",
    gated=False,
    rotary=False,
    tied=True,
    feed=_kosmos_feed,
)

FAMILIES: dict[str, Family] = {
    "mllama_text_model": Family(
        kv=8,
        theta=5e5,
        eps=1e-5,
        positions=131072,
        mixers=_mllama,
        feed=_mllama_feed,
        change=_mllama_rows,
    ),
    "diffllama": Family(eps=1e-5, mixers=_diffllama),
    "doge": replace(DENSE["llama"], qk_norm="head", mixers=_doge, change=_doge_stack),
    "modernbert-decoder": Family(
        norm="layer",
        eps=1e-5,
        qkv=("attention_bias", False),
        out=("attention_bias", False),
        dense=("mlp_bias", False),
        activation="gelu",
        tied=True,
        embedding_norm=True,
        window=_modernbert_window,
        types=_modernbert_types,
        theta=160000.0,
        positions=8192,
        change=_modernbert,
    ),
    "zaya": replace(
        DENSE["llama"],
        kv=2,
        head=128,
        tied=True,
        eps=1e-5,
        mixers=_zaya,
        feed=_zaya_feed,
        types=_zaya_types,
        change=_zaya_stack,
        positions=131072,
    ),
    "unlimited_ocr_text": replace(
        EXPERTS["deepseek"], mixers=_prompted, feed=mixed(), positions=32768
    ),
    "hrm_text": replace(
        DENSE["llama"], head=128, norm_scale=False, mixers=_hrm, change=_hrm_rounds
    ),
    "kosmos_2_text_model": replace(_KOSMOS, mixers=_kosmos),
    "kosmos_2_5_text_model": replace(_KOSMOS, change=_kosmos25),
    "moshi": Family(
        eps=1e-8,
        feed=_moshi_feed,
        change=_moshi,
        window=sliding(3000, types=False),
        positions=3000,
    ),
    "ernie4_5_vl_moe_text": replace(EXPERTS["ernie4_5_moe"], feed=_ernie_vl_feed),
}
"""Rows by `model_type`."""
