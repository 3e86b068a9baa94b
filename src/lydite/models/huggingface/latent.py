"""Families of language models with latent attention: one row for each `model_type`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lydite.models.blocks import Block, Mixer
from lydite.models.huggingface.chosen import chosen_experts, latent, mixed, no_feed
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.family import (
    HEADS,
    Family,
    Layer,
    attention,
    dense,
)


def _minicpm3(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """A value's head is as wide as a token's share where nothing is said."""
    share = layer.hidden // c.size(*HEADS)
    return latent(c.changed({"v_head_dim": c.size("v_head_dim", default=share)}), layer)


def _deepseek_mixer(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Latent attention, or plain attention in the small members of DeepSeek-VL2."""
    if c.flag("use_mla", default=True) and c.data.get("kv_lora_rank", 1) is not None:
        return latent(c, layer)
    c.skip("kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
    return (attention(c, layer),)


def _no_mixer(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    del c, layer
    return ()


def _longcat(c: Config, values: dict[str, Any]) -> None:
    """Each layer is two of attention and a dense part; experts run beside the first.

    LongCat-Flash, arXiv:2509.01322: the experts see what the first dense part sees.
    """
    layers, hidden = values["layers"], values["hidden"]
    family = FAMILIES["longcat_flash"]
    layer = Layer(0, layers, "full_attention", hidden, family)
    inner = c.size("ffn_hidden_size", default=12288)
    experts = chosen_experts(
        c, layer, shared=inner, idle=c.size("zero_expert_num", default=256, low=0)
    )
    mixer = latent(c, layer)
    first = Block(mixers=mixer, feed=experts)
    second = Block(mixers=mixer, feed=dense(c, layer, inner=inner))
    values |= {"blocks": (first, second) * layers, "layers": 2 * layers}


_DEEPSEEK = Family(uneven_heads=True, mixers=latent, feed=mixed(sigmoid=True), positions=4096)


FAMILIES: dict[str, Family] = {
    "deepseek_v2": replace(_DEEPSEEK, mixers=_deepseek_mixer, feed=mixed(), positions=2048),
    "axk1": replace(_DEEPSEEK, feed=mixed(sigmoid=True, norm=True), positions=32768),
    "youtu": Family(mixers=latent, tied=True, positions=131072),
    "deepseek_v3": _DEEPSEEK,
    "mistral4": replace(_DEEPSEEK, feed=mixed(), positions=1 << 20),
    "deepseek_v32": replace(_DEEPSEEK, positions=163840),
    "kimi_k2": _DEEPSEEK,
    "glm4_moe_lite": replace(_DEEPSEEK, eps=1e-5, positions=202752),
    "minicpm3": Family(mixers=_minicpm3, eps=1e-5, positions=32768),
    "longcat_flash": replace(
        _DEEPSEEK,
        eps=1e-5,
        change=_longcat,
        theta=1e7,
        feed=no_feed,
        mixers=_no_mixer,
        positions=131072,
    ),
}
"""Rows by `model_type`."""
