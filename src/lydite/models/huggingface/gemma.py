"""Families of Gemma: one row for each `model_type`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lydite.models.blocks import Attention, Dense, Experts, MergedAttention, Mixer
from lydite.models.huggingface.chosen import chosen_experts
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.family import (
    Family,
    Layer,
    attention,
    dense,
    every,
    sliding,
)

_GEMMA = Family(
    kv=16,
    head=256,
    qkv=("attention_bias", False),
    out=("attention_bias", False),
    activation="gelu_pytorch_tanh",
    tied=True,
    positions=8192,
    vocabulary=256000,
)


def _gemma2_mixer(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    return (attention(c, layer, softcap=c.number("attn_logit_softcapping", default=0.0)),)


def _gemma3_types(c: Config, layers: int) -> list[str]:
    return every(6, "sliding_window_pattern", "_sliding_window_pattern")(c, layers)


def _gemma3_mixer(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Layers with a window have positions of a smaller base."""
    local = layer.type == "sliding_attention"
    base = c.number("rope_local_base_freq", default=1e4)
    return (attention(c, layer, **({"rope_theta": base} if local else {})),)


def _t5gemma2(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Tokens and an encoder's states are attended to at once."""
    c.only("attn_logit_softcapping", None)
    c.say("the decoder alone; the states that it attends to are an input")
    (usual,) = _gemma3_mixer(c, layer)
    assert isinstance(usual, Attention)
    return (MergedAttention(attention=usual, width=layer.hidden),)


def _t5gemma2_mark(c: Config, values: dict[str, Any]) -> None:
    del c
    values["marked"] = True


def _shared_from(layer: Layer, shared: int, types: list[str]) -> int | None:
    """The last layer of the same type before those that have no own keys and values."""
    first = layer.count - shared
    if not shared or layer.index < first:
        return None
    return next((i for i in reversed(range(first)) if types[i] == layer.type), None)


def _gemma3n(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Values are normalised; the last layers use others' keys and values."""
    shared = c.size("num_kv_shared_layers", default=15, low=0)
    types = c.texts("layer_types", layer.count) or every(5)(c, layer.count)
    (usual,) = _gemma3_mixer(c, layer)
    return (replace(usual, value_norm=True, shared_from=_shared_from(layer, shared, types)),)


def _gemma3n_feed(c: Config, layer: Layer) -> Dense:
    """Widths and sparsities may differ from layer to layer."""
    inner = c.of_layer("intermediate_size", layer.index, layer.count).size(
        "intermediate_size", default=16384
    )
    sparse = c.of_layer("activation_sparsity_pattern", layer.index, layer.count)
    value = sparse.raw("activation_sparsity_pattern")
    if value is None:
        value = 0.95 if layer.count > 10 and layer.index < 10 else 0.0
    if not isinstance(value, int | float) or not 0 <= value < 1:
        raise c.refuse("activation_sparsity_pattern", "numbers from 0 to below 1")
    return dense(c, layer, inner=inner, sparsity=float(value))


def _gemma3n_states(c: Config, values: dict[str, Any]) -> None:
    c.skip("altup_coef_clip", "altup_correct_scale")
    c.only("altup_active_idx", 0)
    _gemma4_inputs(c, values)
    values["updates"] = c.size("altup_num_inputs", default=4)
    values["laurel"] = c.size("laurel_rank", default=64)


def _gemma4(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Layers that see all tokens have wider heads; the last ones use others' keys and values."""
    full = layer.type == "full_attention"
    shared = c.size("num_kv_shared_layers", default=0, low=0)
    head = c.size("head_dim", default=256)
    heads: dict[str, Any] = {"size": head}
    own = c.raw("per_layer_config", default={})
    given = (
        own.get(str(layer.index), own.get(f"{layer.index:02d}", {}))
        if isinstance(own, dict)
        else {}
    )
    if full:
        heads["size"] = c.size("global_head_dim", default=512)
        if c.flag("attention_k_eq_v", default=False):
            usual = c.size("num_key_value_heads", default=4)
            heads["kv_heads"] = c.size("num_global_key_value_heads", default=usual)
            heads["key_is_value"] = True
    if isinstance(given, dict) and own:
        inner = Config(given, c.where)
        heads["size"] = inner.size("head_dim", default=head)
        if given.get("num_key_value_heads"):
            heads["kv_heads"] = inner.size("num_key_value_heads")
    theta, partial = c.rotary(
        theta=1e6 if full else 1e4, partial=0.25 if full else 1.0, layer_type=layer.type
    )
    heads |= {"rope_theta": theta, "rotary": int(heads["size"] * partial) // 2 * 2}
    types = c.texts("layer_types", layer.count) or every(6)(c, layer.count)
    types[-1] = "full_attention"
    heads["shared_from"] = _shared_from(layer, shared, types)
    return (attention(c, layer, **heads),)


def _gemma4_feed(c: Config, layer: Layer) -> Dense | Experts:
    shared = c.size("num_kv_shared_layers", default=0, low=0)
    wide = c.flag("use_double_wide_mlp", default=False) and layer.index >= layer.count - shared
    inner = c.size("intermediate_size", default=9216) * (2 if shared and wide else 1)
    if c.flag("enable_moe_block", default=False):
        return chosen_experts(c, layer, shared=0, beside=inner)
    return dense(c, layer, inner=inner)


def _gemma4_inputs(c: Config, values: dict[str, Any]) -> None:
    values["per_layer"] = c.size("hidden_size_per_layer_input", default=256, low=0)
    values["per_layer_vocabulary"] = c.size("vocab_size_per_layer_input", default=262144)


_GEMMA3 = replace(
    _GEMMA,
    kv=4,
    order="around",
    qk_norm="head",
    theta=1e6,
    mixers=_gemma3_mixer,
    types=_gemma3_types,
    window=sliding(4096),
    vocabulary=262208,
    positions=131072,
)

FAMILIES: dict[str, Family] = {
    "gemma": _GEMMA,
    "gemma2": replace(
        _GEMMA,
        kv=4,
        order="around",
        mixers=_gemma2_mixer,
        types=every(2),
        window=sliding(4096),
    ),
    "gemma3_text": _GEMMA3,
    "t5gemma2_decoder": replace(_GEMMA3, mixers=_t5gemma2, change=_t5gemma2_mark),
    "vaultgemma": replace(_GEMMA, kv=4, mixers=_gemma2_mixer, types=every(2), window=sliding(4096)),
    "gemma3n_text": replace(
        _GEMMA3,
        kv=2,
        mixers=_gemma3n,
        types=every(5),
        feed=_gemma3n_feed,
        change=_gemma3n_states,
        window=sliding(512),
        vocabulary=262400,
        positions=32768,
    ),
    "gemma4_text": replace(
        _GEMMA3,
        mixers=_gemma4,
        types=every(6),
        feed=_gemma4_feed,
        window=sliding(512),
        change=_gemma4_inputs,
        vocabulary=262144,
    ),
    "gemma4_unified_text": replace(
        _GEMMA3,
        mixers=_gemma4,
        types=every(6),
        feed=_gemma4_feed,
        window=sliding(512),
        vocabulary=262144,
    ),
}
"""Rows by `model_type`."""
