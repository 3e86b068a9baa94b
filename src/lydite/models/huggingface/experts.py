"""Families of language models with experts: one row for each `model_type`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lydite.models.blocks import Dense, Experts, Mixer
from lydite.models.huggingface.chosen import all_full, chosen_experts, is_dense, mixed
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.dense import FAMILIES as DENSE
from lydite.models.huggingface.family import (
    HEADS,
    Family,
    Layer,
    activation,
    attention,
    dense,
    every,
    first_of,
    sliding,
    with_sinks,
)


def _llama4(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Layers without positions attend to all tokens, the others to a chunk."""
    turned = _llama4_turned(c, layer.index)
    size = c.size("attention_chunk_size", default=8192)
    c.skip("use_qk_norm", "intermediate_size_mlp", "for_llm_compressor")
    window = {"window": size} if turned else {"rotary": 0}
    return (attention(c, layer, **window),)


def _llama4_turned(c: Config, index: int) -> bool:
    listed = c.numbers("no_rope_layers")
    period = c.size("no_rope_layer_interval", default=4)
    return bool(listed[index] if listed else (index + 1) % period)


def _llama4_feed(c: Config, layer: Layer) -> Dense | Experts:
    step = c.size("interleave_moe_layer_step", default=1)
    listed = c.numbers("moe_layers")
    sparse = layer.index in listed if listed is not None else not (layer.index + 1) % step
    if not sparse:
        return dense(
            c, layer, "intermediate_size_mlp", inner=c.size("intermediate_size_mlp", default=16384)
        )
    inner = c.size("intermediate_size")
    return chosen_experts(c, layer, inner=inner, shared=inner, sigmoid=True)


def _phimoe(c: Config, values: dict[str, Any]) -> None:
    values["head_bias"] = c.flag("lm_head_bias", default=False)


def _gated(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    rotary = {} if layer.type == "sliding_attention" else {"rotary": 0}
    return (attention(c, layer, gated=True, gate_bias=False, **rotary),)


def _mimo2_types(c: Config, layers: int) -> list[str]:
    listed = c.numbers("hybrid_layer_pattern")
    if listed is not None and len(listed) >= layers:
        return ["sliding_attention" if item else "full_attention" for item in listed[:layers]]
    return ["sliding_attention" if i and (i + 1) % 6 else "full_attention" for i in range(layers)]


def _mimo2(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Layers with a window have more heads of keys and values, and sinks."""
    value = c.size("v_head_dim", default=128)
    if layer.type == "full_attention":
        return (attention(c, layer, value=value),)
    usual = 2 * c.size("num_key_value_heads", default=4)
    kv = c.size("swa_num_key_value_heads", default=usual)
    return (attention(c, layer, value=value, kv_heads=kv, sinks=True),)


def _laguna(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Each layer has a number of heads of its own, gated as a whole or entry by entry."""
    heads = c.of_layer("num_attention_heads_per_layer", layer.index, layer.count)
    count = heads.size("num_attention_heads_per_layer", default=c.size(*HEADS))
    gating = c.raw("gating", default=True)
    if gating not in (True, False, "per-head", "per-element"):
        raise c.refuse("gating", 'true, false, "per-head" or "per-element"')
    by_head = gating in (True, "per-head")
    return (
        attention(c, layer, heads=count, head_gate=by_head, gated=not by_head, gate_bias=False),
    )


def _flint_types(c: Config, layers: int) -> list[str]:
    """The first two layers, every fourth and the last attend to all tokens."""
    del c
    full = {0, 1, layers - 1, *range(1, layers, 4)}
    return ["full_attention" if i in full else "sliding_attention" for i in range(layers)]


def _flint_feed(c: Config, layer: Layer) -> Dense | Experts | None:
    dense_layers = c.numbers("mlp_only_layers")
    c = c if dense_layers is not None else c.changed({"mlp_only_layers": [0, 1]})
    return mixed()(c, layer)


def _cohere2_moe_feed(c: Config, layer: Layer) -> Dense | Experts:
    usual = c.size("intermediate_size", default=22528)
    if is_dense(c, layer):
        return dense(c, layer, inner=c.size("prefix_dense_intermediate_size", default=usual))
    return chosen_experts(c, layer)


def _cohere2_moe_types(c: Config, layers: int) -> list[str]:
    dense_layers = c.size("first_k_dense_replace", default=0, low=0)
    rules = (("prefix_dense_sliding_window_pattern", 1), ("sliding_window_pattern", 4))
    before, after = (c.size(name, default=usual) for name, usual in rules)
    return every(before)(c, dense_layers) + every(after)(c, layers - dense_layers)


def _hunyuan_feed(c: Config, layer: Layer) -> Dense | Experts:
    """Sizes and numbers may differ from layer to layer; one part is shared where none is said."""
    for name in ("moe_topk", "moe_intermediate_size", "num_experts", "num_shared_expert"):
        c = c.of_layer(name, layer.index, layer.count)
    inner = c.size("moe_intermediate_size", "intermediate_size")
    return chosen_experts(c, layer, shared=inner * c.size("num_shared_expert", default=1))


def _minimax_m3_feed(c: Config, layer: Layer) -> Dense | Experts:
    if is_dense(c, layer):
        return dense(c, layer, inner=c.size("dense_intermediate_size", default=12288))
    return chosen_experts(c, layer, sigmoid=True)


def _dbrx(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    rules = c.inner("attn_config") or c
    return (attention(c, layer, kv_heads=rules.size("kv_n_heads", default=1)),)


def _dbrx_feed(c: Config, layer: Layer) -> Experts:
    rules = c.inner("ffn_config") or c
    return Experts(
        count=rules.size("moe_num_experts", default=4),
        per_token=rules.size("moe_top_k", default=1),
        inner=rules.size("ffn_hidden_size", default=3584),
        activation=activation(c, layer.family),
    )


def _dbrx_norms(c: Config, values: dict[str, Any]) -> None:
    del c
    values["norm_bias"] = False


def _no_bias(c: Config, values: dict[str, Any]) -> None:
    c.only("use_bias", False)
    del values


_QWEN_MOE = replace(DENSE["qwen3"], kv=4, head=0, feed=mixed())


_GLM_MOE = Family(
    uneven_heads=True,
    kv=8,
    qkv=("attention_bias", False),
    partial=0.5,
    feed=mixed(sigmoid=True),
    eps=1e-5,
    positions=131072,
    qk_norm=("use_qk_norm", False, "head"),
)


_GRANITE_MOE = replace(DENSE["llama"], feed=mixed(), dense=False)


FAMILIES: dict[str, Family] = {
    "mixtral": Family(
        kv=8, positions=131072, theta=1e6, eps=1e-5, feed=mixed(), window=sliding(None, types=False)
    ),
    "qwen2_moe": replace(
        DENSE["qwen2"], kv=16, qkv=("qkv_bias", True), feed=mixed(shared_gate=True)
    ),
    "qwen3_moe": _QWEN_MOE,
    "qwen3_omni_moe_text": replace(_QWEN_MOE, uneven_heads=True),
    "deepseek": replace(DENSE["llama"], feed=mixed(), dense=False),
    "glm4_moe": _GLM_MOE,
    "gpt_oss": Family(
        kv=8,
        head=64,
        qkv=("attention_bias", True),
        out=("attention_bias", True),
        theta=150000.0,
        eps=1e-5,
        mixers=with_sinks,
        types=every(2),
        window=sliding(128),
        feed=mixed(bias=True, router_bias=True),
        positions=131072,
    ),
    "minimax_m2": Family(
        kv=8,
        qk_norm=("use_qk_norm", True, "whole"),
        theta=5e6,
        feed=mixed(sigmoid=True),
        positions=196608,
    ),
    "llama4_text": replace(
        DENSE["llama"], kv=8, head=128, mixers=_llama4, feed=_llama4_feed, theta=5e5, eps=1e-5
    ),
    "olmoe": replace(DENSE["llama"], qk_norm="whole", feed=mixed(shared=0), eps=1e-5, dense=False),
    "phimoe": replace(
        DENSE["llama"], norm="layer", kv=8, feed=mixed(), eps=1e-5, change=_phimoe, positions=131072
    ),
    "granitemoe": _GRANITE_MOE,
    "granitemoe_swa": replace(
        _GRANITE_MOE, mixers=with_sinks, window=sliding(128), types=first_of(4)
    ),
    "cohere2_moe": replace(
        DENSE["cohere2"], feed=_cohere2_moe_feed, types=_cohere2_moe_types, window=sliding(4096)
    ),
    "dbrx": Family(
        norm="layer",
        eps=1e-5,
        packed=True,
        mixers=_dbrx,
        feed=_dbrx_feed,
        change=_dbrx_norms,
        theta=5e5,
    ),
    "flint": replace(
        _QWEN_MOE,
        mixers=with_sinks,
        feed=_flint_feed,
        types=_flint_types,
        window=sliding(513),
        positions=262144,
    ),
    "hy_v3": replace(_QWEN_MOE, kv=8, head=128, feed=mixed(sigmoid=True), positions=131072),
    "kolibri1": replace(
        _QWEN_MOE, order="around", types=every(5), window=sliding(513), positions=262144
    ),
    "laguna": replace(
        _QWEN_MOE,
        kv=8,
        head=128,
        mixers=_laguna,
        types=all_full,
        feed=mixed(correction=True, sigmoid=True),
        window=sliding(512),
        positions=131072,
    ),
    "mellum": replace(_QWEN_MOE, head=128, window=sliding(1024), positions=131072),
    "minimax_m3_vl_text": Family(
        kv=4,
        head=128,
        qk_norm="head",
        theta=5e6,
        feed=_minimax_m3_feed,
        positions=524288,
    ),
    "granitemoeshared": _GRANITE_MOE,
    "ernie4_5_moe": replace(
        DENSE["ernie4_5"], kv=4, head=0, theta=5e5, feed=mixed(correction=True), change=_no_bias
    ),
    "dots1": replace(_GLM_MOE, partial=1.0, kv=32, qk_norm="head", feed=mixed(sigmoid=True)),
    "hunyuan_v1_moe": replace(DENSE["hunyuan_v1_dense"], feed=_hunyuan_feed),
    "mimo_v2_flash": Family(
        kv=4,
        head=192,
        qkv=("attention_bias", False),
        theta=5e6,
        partial=0.334,
        eps=1e-5,
        mixers=_mimo2,
        feed=mixed(sigmoid=True),
        types=_mimo2_types,
        window=sliding(128),
        positions=262144,
    ),
    "afmoe": Family(
        kv=16,
        head=128,
        qkv=("attention_bias", False),
        out=("attention_bias", False),
        order="around",
        qk_norm="head",
        eps=1e-5,
        mixers=_gated,
        types=every(4, "global_attn_every_n_layers"),
        window=sliding(1024),
        feed=mixed(sigmoid=True, correction=True),
        positions=16384,
    ),
    "exaone_moe": replace(
        DENSE["exaone4"], order="before", types=every(4), feed=mixed(sigmoid=True)
    ),
    "aria_text": replace(DENSE["llama"], feed=mixed(), dense=False),
    "bailing_moe": Family(
        kv=4,
        qkv=("use_qkv_bias", False),
        out=("use_bias", False),
        packed=True,
        qk_norm=("use_qk_norm", False, "head"),
        feed=mixed(),
        positions=32768,
    ),
    "flex_olmo": replace(DENSE["olmo2"], feed=mixed()),
}
"""Rows by `model_type`."""
