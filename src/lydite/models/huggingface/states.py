"""Families of language models with state spaces: one row for each `model_type`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lydite.models.blocks import Dense, Experts, Mamba, Mamba2, Mixer
from lydite.models.huggingface.chosen import chosen_experts, no_feed
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.dense import FAMILIES as DENSE
from lydite.models.huggingface.family import Family, Layer, attention, dense


def mamba(c: Config, layer: Layer, **changes: Any) -> Mamba:
    """A selective state space by the config's sizes."""
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


def mamba2(c: Config, layer: Layer, **changes: Any) -> Mamba2:
    """State space duality by the config's sizes."""
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
        return (mamba2(c, layer, bias=c.flag("mamba_proj_bias", "use_bias", default=False)),)
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


def _jamba_mixer(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    if layer.type == "full_attention":
        return (attention(c, layer),)
    inner = layer.hidden * c.size("mamba_expand", default=2)
    return (mamba(c, layer, inner=inner, norms=True),)


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
        mamba2(
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
        mamba2(
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
    state = mamba2(
        c,
        layer,
        norm=c.flag("mamba_rms_norm", default=False),
        state=c.size("mamba_d_state", default=256),
        groups=c.size("mamba_n_groups", default=1),
    )
    return (state, attention(c, layer))


def _state_mixer(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    return (mamba(c, layer),)


def _state2_mixer(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    return (mamba2(c, layer),)


FAMILIES: dict[str, Family] = {
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
    "bamba": Family(
        kv=8, partial=0.5, eps=1e-5, mixers=_bamba_mixer, types=_listed_types, positions=262144
    ),
    "falcon_h1": replace(DENSE["llama"], kv=8, eps=1e-5, mixers=_falcon_h1, positions=8192),
}
"""Rows by `model_type`."""
