"""Families of language models with states: state spaces, delta rules, linear attention."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lydite.models.blocks import (
    Dense,
    Experts,
    GatedDelta,
    LightningAttention,
    Mamba,
    Mamba2,
    Mixer,
    ShortConvolution,
)
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.dense import FAMILIES as DENSE
from lydite.models.huggingface.dense import lfm2_feed
from lydite.models.huggingface.experts import FAMILIES as EXPERTS
from lydite.models.huggingface.experts import chosen_experts, latent, mixed, no_feed
from lydite.models.huggingface.family import HEADS, Family, Layer, attention, dense, sliding


def _qwen_next(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Gated attention in every fourth layer, a gated delta rule in the others."""
    if layer.type != "linear_attention":
        return (attention(c, layer, gated=True),)
    return (_delta(c),)


def _delta(c: Config) -> GatedDelta:
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
    return (_delta(c.changed(usual)),)


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


def _mamba(c: Config, layer: Layer, **changes: Any) -> Mamba:
    inner = c.size(
        "intermediate_size", "d_inner", default=layer.hidden * c.size("expand", default=2)
    )
    rank = c.raw("time_step_rank", "mamba_dt_rank", default="auto")
    values: dict[str, Any] = {
        "inner": inner,
        "state": c.size("state_size", "mamba_d_state", default=16),
        "kernel": c.size("conv_kernel", "mamba_d_conv", default=4),
        "rank": -(-layer.hidden // 16)
        if rank == "auto"
        else c.size("time_step_rank", "mamba_dt_rank"),
        "bias": c.flag("use_bias", "mamba_proj_bias", default=False),
        "conv_bias": c.flag("use_conv_bias", "mamba_conv_bias", default=True),
    }
    return Mamba(**{**values, **changes})


def _mamba2(c: Config, layer: Layer, **changes: Any) -> Mamba2:
    expand = c.size("mamba_expand", "expand", default=2)
    own = ("mamba_head_dim", "mamba_d_head")
    size = 0 if isinstance(c.raw(*own), str) else c.size(*own, default=0)
    size = size if size or isinstance(c.raw(*own), str) else c.size("head_dim", default=64)
    inner = c.size("mamba_d_ssm", default=expand * layer.hidden)
    heads = c.size("mamba_num_heads", "mamba_n_heads", "num_heads", default=inner // (size or 64))
    values: dict[str, Any] = {
        "heads": heads,
        "size": size or inner // heads,
        "state": c.size("ssm_state_size", "mamba_d_state", "state_size", default=128),
        "groups": c.size("mamba_n_groups", "n_groups", "mamba_ngroups", default=8),
        "kernel": c.size("conv_kernel", "mamba_d_conv", default=4),
        "bias": c.flag("mamba_proj_bias", "use_bias", default=False),
        "conv_bias": c.flag("use_conv_bias", "mamba_conv_bias", default=True),
    }
    return Mamba2(**{**values, **changes})


_PATTERN = {"M": "linear_attention", "*": "full_attention", "-": "mlp", "E": "moe"}


def _nemotron_types(c: Config, layers: int) -> list[str]:
    """A letter for each layer: M a state, * attention, - a dense part, E experts."""
    listed = c.texts("layers_block_type", layers)
    if listed is not None:
        return listed
    pattern = c.raw("hybrid_override_pattern", default="M-M-M-M*-" * layers)
    if (
        not isinstance(pattern, str)
        or set(pattern[:layers]) - set(_PATTERN)
        or len(pattern) < layers
    ):
        raise c.refuse("hybrid_override_pattern", f"{layers} letters of M, *, -, E")
    return [_PATTERN[letter] for letter in pattern[:layers]]


def _nemotron_mixer(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    if layer.type in ("linear_attention", "mamba"):
        return (_mamba2(c, layer, bias=c.flag("mamba_proj_bias", "use_bias", default=False)),)
    return (attention(c, layer),) if layer.type in ("full_attention", "attention") else ()


def _nemotron_feed(c: Config, layer: Layer) -> Dense | Experts | None:
    if layer.type == "mlp":
        return dense(c, layer)
    latent = c.size("moe_latent_size", default=0)
    inner = c.size("moe_intermediate_size", default=1)
    return chosen_experts(c, layer, inner=inner, latent=latent) if layer.type == "moe" else None


def _hybrid_types(c: Config, layers: int) -> list[str]:
    """Attention in the layers of a list, or in one of a period; states in the others."""
    listed = c.texts("layers_block_type", layers)
    if listed is not None:
        return ["full_attention" if t in ("attention", "full_attention") else t for t in listed]
    chosen = c.numbers("attn_layer_indices")
    if chosen is not None:
        return ["full_attention" if i in chosen else "linear_attention" for i in range(layers)]
    if c.type == "granitemoehybrid":
        return ["linear_attention"] * layers
    period = c.size("attn_layer_period", default=8)
    offset = c.size("attn_layer_offset", default=4, low=0)
    return ["full_attention" if i % period == offset else "linear_attention" for i in range(layers)]


def _listed_types(c: Config, layers: int) -> list[str]:
    chosen = c.numbers("attn_layer_indices") or []
    return ["full_attention" if i in chosen else "linear_attention" for i in range(layers)]


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


def _jamba_mixer(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    if layer.type == "full_attention":
        return (attention(c, layer),)
    inner = layer.hidden * c.size("mamba_expand", default=2)
    return (_mamba(c, layer, inner=inner, norms=True),)


def _jamba_feed(c: Config, layer: Layer) -> Dense | Experts:
    period = c.size("expert_layer_period", default=2)
    offset = c.size("expert_layer_offset", default=1, low=0)
    if c.size("num_experts", default=16) > 1 and layer.index % period == offset:
        return chosen_experts(c, layer)
    return dense(c, layer)


def _bamba_mixer(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    if layer.type in ("full_attention", "attention"):
        return (attention(c, layer),)
    return (
        _mamba2(
            c,
            layer,
            state=c.size("mamba_d_state", default=256),
            groups=c.size("mamba_n_groups", default=1),
        ),
    )


def _granite_hybrid_mixer(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    rotary = {} if c.raw("position_embedding_type", default="rope") == "rope" else {"rotary": 0}
    if layer.type in ("full_attention", "attention"):
        return (attention(c, layer, **rotary),)
    return (
        _mamba2(
            c,
            layer,
            state=c.size("mamba_d_state", default=256),
            groups=c.size("mamba_n_groups", default=1),
        ),
    )


def _granite_hybrid_feed(c: Config, layer: Layer) -> Dense | Experts:
    shared = c.size("shared_intermediate_size", default=1024)
    if not c.size("num_local_experts", default=8, low=0):
        return dense(c, layer, inner=shared)
    return chosen_experts(c, layer, shared=shared)


def _falcon_h1(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Attention and a state side by side."""
    state = _mamba2(
        c,
        layer,
        norm=c.flag("mamba_rms_norm", default=False),
        state=c.size("mamba_d_state", default=256),
        groups=c.size("mamba_n_groups", default=1),
    )
    return (state, attention(c, layer))


def _state_mixer(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    return (_mamba(c, layer),)


def _state2_mixer(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    return (_mamba2(c, layer),)


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
        EXPERTS["deepseek_v3"],
        mixers=_bailing_hybrid,
        types=_bailing_hybrid_types,
        theta=6e6,
        positions=262144,
    ),
    "qwen3_5_text": replace(_QWEN_NEXT, kv=4),
    "qwen3_5_moe_text": replace(_QWEN_NEXT, feed=mixed(shared_gate=True)),
    "granitemoehybrid": replace(
        DENSE["llama"],
        mixers=_granite_hybrid_mixer,
        feed=_granite_hybrid_feed,
        types=_hybrid_types,
        dense=False,
    ),
    "mamba": Family(
        mixers=_state_mixer, feed=no_feed, rotary=False, tied=True, eps=1e-5, positions=1 << 20
    ),
    "falcon_mamba": Family(
        mixers=_state_mixer, feed=no_feed, rotary=False, tied=True, eps=1e-5, positions=1 << 20
    ),
    "mamba2": Family(mixers=_state2_mixer, feed=no_feed, rotary=False, eps=1e-5, positions=1 << 20),
    "nemotron_h": Family(
        qkv=("attention_bias", False),
        out=("attention_bias", False),
        dense=("mlp_bias", False),
        kv=8,
        head=128,
        eps=1e-5,
        activation="relu2",
        gated=False,
        rotary=False,
        mixers=_nemotron_mixer,
        feed=_nemotron_feed,
        types=_nemotron_types,
        positions=4096,
    ),
    "jamba": Family(
        kv=8,
        rotary=False,
        mixers=_jamba_mixer,
        feed=_jamba_feed,
        types=_hybrid_types,
        positions=262144,
    ),
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
        EXPERTS["deepseek_v3"],
        mixers=_kimi_linear,
        types=_kimi_types,
        eps=1e-5,
        rotary=False,
        positions=1 << 20,
    ),
    "bamba": Family(
        kv=8, partial=0.5, eps=1e-5, mixers=_bamba_mixer, types=_listed_types, positions=262144
    ),
    "falcon_h1": replace(DENSE["llama"], kv=8, eps=1e-5, mixers=_falcon_h1, positions=8192),
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
