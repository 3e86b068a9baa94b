"""Families with delta rules, linear attention or short convolutions: one row each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lydite.models.blocks import (
    GatedDelta,
    LightningAttention,
    Mixer,
    ShortConvolution,
)
from lydite.models.huggingface.chosen import latent, mixed
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.dense import FAMILIES as DENSE
from lydite.models.huggingface.dense import lfm2_feed
from lydite.models.huggingface.family import HEADS, Family, Layer, attention, sliding
from lydite.models.huggingface.latent import FAMILIES as LATENT


def _qwen_next(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Gated attention in every fourth layer, a gated delta rule in the others."""
    if layer.type != "linear_attention":
        return (attention(c, layer, gated=True),)
    return (delta(c),)


def delta(c: Config) -> GatedDelta:
    """The gated delta rule by Qwen's names of its sizes."""
    return GatedDelta(
        key_heads=c.size("linear_num_key_heads", default=16),
        value_heads=c.size("linear_num_value_heads", default=32),
        key=c.size("linear_key_head_dim", default=128),
        value=c.size("linear_value_head_dim", default=128),
        kernel=c.size("linear_conv_kernel_dim", default=4),
    )


def _olmo_hybrid(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """As many heads of both kinds; a key has three quarters of its share, a value twice that."""
    if layer.type != "linear_attention":
        return (attention(c, layer),)
    heads = c.size("linear_num_key_heads", default=c.size(*HEADS))
    key = c.size("linear_key_head_dim", default=int(0.75 * layer.hidden / heads))
    usual = {
        "linear_num_key_heads": heads,
        "linear_num_value_heads": c.size("linear_num_value_heads", default=c.size(*HEADS)),
        "linear_key_head_dim": key,
        "linear_value_head_dim": c.size("linear_value_head_dim", default=2 * key),
    }
    return (delta(c.changed(usual)),)


def _olmo_hybrid_order(c: Config, values: dict[str, Any]) -> None:
    """Layers with a delta rule are normalised before their parts, the others after them."""
    del c
    values["blocks"] = tuple(
        replace(block, order="before") if isinstance(block.mixers[0], GatedDelta) else block
        for block in values["blocks"]
    )


def _qwen_next_types(c: Config, layers: int) -> list[str]:
    period = c.size("full_attention_interval", default=4)
    return ["full_attention" if not (i + 1) % period else "linear_attention" for i in range(layers)]


def _alternating(c: Config, layers: int) -> list[str]:
    """1 for attention to all tokens, 0 for a state."""
    listed = c.numbers("attn_type_list")
    if listed is not None and len(listed) >= layers:
        return ["full_attention" if item else "linear_attention" for item in listed]
    return ["linear_attention" if i % 2 else "full_attention" for i in range(layers)]


def _minimax(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    heads = c.size(*HEADS)
    size = c.size("head_dim", default=layer.hidden // heads)
    if layer.type == "linear_attention":
        return (LightningAttention(heads=heads, size=size),)
    turned = c.size("rotary_dim", default=size)
    return (attention(c, layer, size=size, rotary=turned),)


def _kimi_types(c: Config, layers: int) -> list[str]:
    """Layers are listed by number from 1, or every fourth attends to all tokens."""
    rule = c.inner("linear_attn_config")
    full = rule.numbers("full_attn_layers") if rule is not None else None
    if full is None:
        full = [i + 1 for i in range(4, layers, 4)]
    return ["full_attention" if i + 1 in full else "linear_attention" for i in range(layers)]


def _kimi_linear(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    if layer.type == "full_attention":
        return latent(c, layer)
    rule = c.inner("linear_attn_config") or c
    heads = rule.size("num_heads", "linear_num_heads", default=32)
    size = (
        rule.size("head_dim", "linear_head_dim", default=128)
        if rule is not c
        else (c.size("linear_head_dim", default=128))
    )
    heads = c.size("linear_num_heads", default=32) if rule is c else heads
    kernel = rule.size("short_conv_kernel_size", "linear_conv_kernel_dim", default=4)
    return (
        GatedDelta(
            key_heads=heads, value_heads=heads, key=size, value=size, kernel=kernel, rank=size
        ),
    )


def _bailing_hybrid_types(c: Config, layers: int) -> list[str]:
    """The last of each group of layers attends to all tokens."""
    size = c.size("layer_group_size", default=6)
    full = {i for i in range(layers) if not (i + 1) % size}
    return ["full_attention" if i in full else "linear_attention" for i in range(layers)]


def _bailing_hybrid(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Latent attention gated by head, or a delta rule that decays entry by entry."""
    if layer.type == "full_attention":
        return tuple(replace(m, head_gate=True) for m in latent(c, layer))
    heads, size = (c.size(f"linear_{n}", default=k) for n, k in _LINEAR.items())
    kernel = c.size("linear_conv_kernel_dim", "short_conv_kernel_size", default=4)
    sizes = {"key_heads": heads, "value_heads": heads, "key": size, "value": size}
    return (GatedDelta(**sizes, kernel=kernel, by_entry=True),)


_LINEAR = {"num_heads": 32, "head_dim": 128}


def _lfm2(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    if layer.type == "full_attention":
        return (attention(c, layer),)
    kernel = c.size("conv_L_cache", default=3)
    return (ShortConvolution(kernel=kernel, bias=c.flag("conv_bias", default=False)),)


def _lfm3(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """As LFM2, with attention to a window as well and gates of its heads."""
    if layer.type == "conv":
        return _lfm2(c, layer)
    return (attention(c, layer, head_gate=c.flag("use_attention_gate", default=True)),)


def _lfm3_order(c: Config, values: dict[str, Any]) -> None:
    values["order"] = "around" if c.flag("use_sandwich_norm", default=True) else "before"


def _lfm3_types(c: Config, layers: int) -> list[str]:
    """Of four layers one attends to all tokens and one to a window, but for the first."""
    del c
    kinds = ("sliding_attention", "conv", "full_attention", "conv")
    return ["conv", *(kinds[i % 4] for i in range(1, layers))]


def _lfm2_types(c: Config, layers: int) -> list[str]:
    chosen = c.numbers("full_attn_idxs")
    full = range(layers) if chosen is None else chosen
    return ["full_attention" if i in full else "conv" for i in range(layers)]


_QWEN_NEXT = Family(
    kv=2,
    head=256,
    qkv=("attention_bias", False),
    out=("attention_bias", False),
    partial=0.25,
    qk_norm="head",
    mixers=_qwen_next,
    types=_qwen_next_types,
    positions=32768,
)


FAMILIES: dict[str, Family] = {
    "qwen3_next": replace(_QWEN_NEXT, feed=mixed(shared_gate=True)),
    "olmo_hybrid": replace(
        DENSE["olmo2"],
        eps=1e-6,
        mixers=_olmo_hybrid,
        types=_qwen_next_types,
        change=_olmo_hybrid_order,
        positions=65536,
    ),
    "bailing_hybrid": replace(
        LATENT["deepseek_v3"],
        mixers=_bailing_hybrid,
        types=_bailing_hybrid_types,
        theta=6e6,
        positions=262144,
    ),
    "qwen3_5_text": replace(_QWEN_NEXT, kv=4),
    "qwen3_5_moe_text": replace(_QWEN_NEXT, feed=mixed(shared_gate=True)),
    "minimax": Family(
        kv=8,
        eps=1e-5,
        mixers=_minimax,
        types=_alternating,
        theta=1e6,
        feed=mixed(),
        positions=131072,
    ),
    "kimi_linear": replace(
        LATENT["deepseek_v3"],
        mixers=_kimi_linear,
        types=_kimi_types,
        eps=1e-5,
        rotary=False,
        positions=1 << 20,
    ),
    "lfm2": Family(
        kv=8,
        qk_norm="head",
        tied=True,
        theta=1e6,
        eps=1e-5,
        mixers=_lfm2,
        feed=lfm2_feed,
        types=_lfm2_types,
        positions=128000,
    ),
    "lfm3": Family(
        kv=4,
        head=128,
        qk_norm="head",
        tied=True,
        eps=1e-5,
        mixers=_lfm3,
        types=_lfm3_types,
        change=_lfm3_order,
        window=sliding(256),
        positions=128000,
    ),
    "lfm2_moe": Family(
        kv=8,
        qk_norm="head",
        tied=True,
        theta=1e6,
        eps=1e-5,
        mixers=_lfm2,
        feed=mixed(sigmoid=True),
        types=_lfm2_types,
        positions=128000,
    ),
}
"""Rows by `model_type`."""
