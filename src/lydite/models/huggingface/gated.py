"""Families whose attention is gated or normalised without weights: one row for each type."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lydite.models.blocks import Attention, ClippedAttention, Dense, Experts, Mixer
from lydite.models.huggingface.chosen import all_full, chosen_experts, mixed
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
    every,
    sliding,
)


def _step3(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Layers of a window have a number of heads of their own; each head has a gate."""
    heads = c.size(*HEADS)
    other = c.inner("attention_other_setting")
    if layer.type == "sliding_attention":
        usual = other.size("num_attention_heads", default=heads) if other is not None else heads
        heads = c.size("num_sliding_attention_heads", default=usual)
    c = c.own_of_layer(layer.index)
    heads = c.size(*HEADS) if c.data.get("per_layer_config") else heads
    for name in ("rope_theta", "partial_rotary_factors", "swiglu_limits", "swiglu_limits_shared"):
        c = c.of_layer(name, layer.index, layer.count)
    groups = c.size("num_attention_groups", default=None) or c.size(*KV_HEADS, default=8)
    return (attention(c, layer, heads=heads, kv_heads=groups, head_gate=True),)


def _step3_feed(c: Config, layer: Layer) -> Dense | Experts:
    """Experts in the layers that are listed, or in all but the first three."""
    kinds = c.texts("mlp_layer_types", layer.count)
    listed = c.raw("moe_layers_enum")
    chosen: set[int] = set(range(3, layer.count))
    if kinds is not None:
        chosen = {i for i, kind in enumerate(kinds) if kind == "sparse"}
    elif listed is not None:
        items = listed.split(",") if isinstance(listed, str) else listed
        try:
            chosen = {int(item) for item in items if str(item).strip()}
        except (TypeError, ValueError) as error:
            raise c.refuse("moe_layers_enum", 'numbers of layers such as "3,4,5"') from error
    return chosen_experts(c, layer, sigmoid=True) if layer.index in chosen else dense(c, layer)


def _backwards(c: Config, layers: int) -> list[str]:
    """Every fourth layer, counted from the last, attends to all tokens."""
    del c
    return [
        "sliding_attention" if (layers - 1 - i) % 4 else "full_attention" for i in range(layers)
    ]


def _muse(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Queries and keys are normalised without weights; layers without a base have no positions."""
    listed = c.raw("layer_rope_theta")
    if listed is None:
        turned = bool((layer.count - 1 - layer.index) % 4)
    elif isinstance(listed, list) and len(listed) >= layer.count:
        turned = bool(listed[layer.index])
    else:
        raise c.refuse("layer_rope_theta", f"a base for each of the {layer.count} layers, or 0")
    c.skip("qk_scale_factor", "output_multiplier", "post_norm_eps")
    return (attention(c, layer, gated=True, gate_bias=False, **({} if turned else {"rotary": 0})),)


def _beam(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Layers that attend to all tokens have no positions."""
    rotary = {} if layer.type == "sliding_attention" else {"rotary": 0}
    return (attention(c, layer, gated=True, gate_bias=False, gate_shift=True, **rotary),)


def _beam_types(c: Config, layers: int) -> list[str]:
    return [*every(6)(c, layers - 1), "full_attention"]


def _muse_spark(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    (mixer,) = _muse(c, layer)
    return (replace(mixer, head_norm=True),)


def _muse_spark_feed(c: Config, layer: Layer) -> Dense | Experts:
    """Experts work in a width of their own."""
    kinds = c.texts("mlp_layer_types", layer.count)
    if kinds is not None and kinds[layer.index] == "dense":
        return dense(c, layer)
    latent = c.size("moe_hidden_size", default=4096)
    return chosen_experts(c, layer, latent=latent, latent_norms=True, sigmoid=True)


def _muse_spark_stack(c: Config, values: dict[str, Any]) -> None:
    values |= {"plain_after": True, "residual_gates": True}
    values |= {"embedding_norm": True, "plain_embedding_norm": True}
    c.skip("residual_gate_temperature")


def _inkling(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Biases by distance instead of positions; convolutions over keys, values and every part."""
    local = layer.type == "hybrid_sliding"
    window = c.size("sliding_window_size", default=512)
    swa = "swa_" if local else ""
    heads = c.size(f"{swa}num_attention_heads", default=64)
    kv = c.size(f"{swa}num_key_value_heads", default=16 if local else 8)
    size = c.size(f"{swa}head_dim", default=128)
    extent = c.size("rel_extent", default=1024)
    plain = replace(layer, type="sliding_attention" if local else "full_attention")
    return (
        attention(
            c,
            plain,
            heads=heads,
            kv_heads=kv,
            size=size,
            rotary=0,
            window=window if local else None,
            relative=c.size("d_rel", default=16),
            distances=window if local else extent,
            kv_kernel=c.size("conv_kernel_size", "sconv_kernel_size", default=4),
        ),
    )


def _inkling_types(c: Config, layers: int) -> list[str]:
    local = c.numbers("local_layer_ids")
    chosen = {i for i in range(layers) if (i + 1) % 6} if local is None else set(local)
    return ["hybrid_sliding" if i in chosen else "hybrid" for i in range(layers)]


def _inkling_feed(c: Config, layer: Layer) -> Dense | Experts:
    """The router weights the shared experts too; older files name the dense width by itself."""
    kinds = c.texts("mlp_layer_types", layer.count)
    first = c.size("dense_mlp_idx", default=0, low=0)
    wide = c.size("dense_intermediate_size", default=None)
    if kinds[layer.index] == "dense" if kinds is not None else layer.index < first:
        return dense(c, layer, inner=wide or c.size("intermediate_size"), scale=True)
    inner = c.size("intermediate_size") if wide else c.size("moe_intermediate_size", default=3072)
    shared = c.size("n_shared_experts", default=2)
    return chosen_experts(
        c, layer, inner=inner, shared=shared * inner, idle=shared, scale=True, sigmoid=True
    )


def _inkling_stack(c: Config, values: dict[str, Any]) -> None:
    values["kernel"] = c.size("conv_kernel_size", "sconv_kernel_size", default=4)
    c.skip("route_scale", "logits_mup_width_multiplier", "rms_norm_eps_moe_gate")
    c.skip("log_scaling_alpha", "unpadded_vocab_size", "number_of_conv_states")


_WIDEST = 64
"""Tokens of a convolution whose weights change token by token, each of which is built by itself."""


def _inkling2(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Inkling with clipped lengths; layers that attend to all tokens have inputs of their own."""
    (mixer,) = _inkling(c, layer)
    assert isinstance(mixer, Attention)
    apart = layer.type != "hybrid_sliding"
    if mixer.kv_kernel > _WIDEST:
        raise c.refuse("conv_kernel_size", f"up to {_WIDEST}")
    return (ClippedAttention(attention=mixer, kernel=mixer.kv_kernel, apart=apart),)


def _inkling2_feed(c: Config, layer: Layer) -> Experts:
    c.only("scoring_func", "sigmoid")
    return chosen_experts(c, layer, sigmoid=True)


def _inkling2_stack(c: Config, values: dict[str, Any]) -> None:
    _inkling_stack(c, values)
    values["kept_every"] = c.size("n_layers_per_attn_res_block", default=6)
    c.skip("mlp_gate_softcap", "mlp_up_softcap", "qk_l2_clip_threshold", "rel_l2_clip_threshold")
    c.skip("log_scaling_n_floor")


def _molmo2(c: Config, values: dict[str, Any]) -> None:
    values["extra_rows"] = c.size("additional_vocab_size", default=128, low=0)
    values["order"] = "after" if c.flag("norm_after", default=False) else "before"
    c.skip("rope_scaling_layers")


def _molmo2_mixer(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    whole = c.raw("qk_norm_type", default="qwen3") != "qwen3"
    return (attention(c, layer, qk_norm="whole" if whole else "head"),)


FAMILIES: dict[str, Family] = {
    "beam": replace(
        EXPERTS["qwen3_moe"],
        kv=8,
        head=128,
        order="around",
        mixers=_beam,
        feed=mixed(sigmoid=True),
        types=_beam_types,
        window=sliding(512),
        positions=8192,
    ),
    "step3p5": replace(
        EXPERTS["qwen3_moe"],
        kv=8,
        head=128,
        eps=1e-5,
        mixers=_step3,
        feed=_step3_feed,
        types=all_full,
        window=sliding(None),
        positions=128000,
    ),
    "muse_glimmer_text": Family(
        kv=2,
        head=128,
        qkv=("attention_bias", False),
        out=("attention_bias", False),
        order="around",
        qk_norm="plain",
        eps=1e-5,
        mixers=_muse,
        types=_backwards,
        window=sliding(2048),
        positions=131072,
    ),
    "muse_spark_text": Family(
        kv=16,
        head=64,
        qkv=("attention_bias", False),
        out=("attention_bias", False),
        order="around",
        qk_norm="plain",
        eps=1e-5,
        mixers=_muse_spark,
        feed=_muse_spark_feed,
        types=_backwards,
        window=sliding(2048),
        change=_muse_spark_stack,
        positions=1 << 20,
    ),
    "inkling_text": Family(
        qk_norm="head",
        rotary=False,
        embedding_norm=True,
        mixers=_inkling,
        feed=_inkling_feed,
        types=_inkling_types,
        change=_inkling_stack,
        positions=131072,
    ),
    "inkling2_text": Family(
        rotary=False,
        embedding_norm=True,
        mixers=_inkling2,
        feed=_inkling2_feed,
        types=_inkling_types,
        change=_inkling2_stack,
        positions=1 << 20,
    ),
    "molmo2_text": replace(
        DENSE["qwen3"], kv=8, types=None, mixers=_molmo2_mixer, change=_molmo2, positions=36864
    ),
    "cosmos3_edge_text": replace(
        DENSE["llama"], kv=8, head=128, activation="relu2", gated=False, eps=1e-5
    ),
    "paddleocr_vl_text": replace(DENSE["ernie4_5"], kv=2, theta=5e5),
}
"""Rows by `model_type`."""
