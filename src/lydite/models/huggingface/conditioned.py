"""Families whose text is read behind a learned prompt or beside a picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lydite.models.blocks import Block, CrossAttention, Mixer
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.dense import FAMILIES as DENSE
from lydite.models.huggingface.family import HEADS, Family, Layer, attention, dense

_UNLIMITED = 1 << 20
"""Positions of a model that has no table of them and names no longest sequence."""


def _cpm(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    return (attention(c, layer, size=c.size("dim_head", default=128)),)


def _cpm_stack(c: Config, values: dict[str, Any]) -> None:
    """Prompts of several kinds, of which one goes before the text (CPM-Ant).

    The last weight is one of its own, whatever the config says: it has fewer rows than the table
    of tokens and prompts.
    """
    c.skip("position_bias_max_distance", "dropout_p")
    prompt, segments = c.size("prompt_length", default=32), c.size("segment_types", default=32)
    values |= {
        "prompt": prompt,
        "extra_rows": prompt * c.size("prompt_types", default=32),
        "segments": segments,
        "buckets": segments**2 + c.size("position_bias_num_buckets", default=512),
        "tied": False,
    }


def _idefics_layers(c: Config, values: dict[str, Any]) -> None:
    """A gated layer that attends to a picture goes before every few of the others (IDEFICS).

    Words and answers that were added to the vocabulary are rows of the same matrices here.
    """
    c.only("alpha_type", "float")
    c.skip("freeze_text_layers", "freeze_vision_layers", "freeze_lm_head", "perceiver_config")
    c.skip("alpha_initializer", "alphas_initializer_range", "freeze_text_module_exceptions")
    c.skip("freeze_vision_module_exceptions", "qk_layer_norms")
    family, hidden = FAMILIES["idefics"], values["hidden"]
    layer = Layer(0, values["layers"], "full_attention", hidden, family)
    crossed = Block(mixers=(_picture(c, hidden),), feed=dense(c, layer, scale=True))
    every = c.size("cross_layer_interval", default=1)
    blocks = tuple(
        part
        for index, block in enumerate(values["blocks"])
        for part in ((block,) if index % every else (crossed, block))
    )
    values |= {"blocks": blocks, "layers": len(blocks)}
    values["vocabulary"] += c.size("additional_vocab_size", default=0, low=0)


def _picture(c: Config, hidden: int) -> CrossAttention:
    """Attention to the tokens of one picture, as the tower gives them or as resampled."""
    tower, heads = c.inner("vision_config") or Config({}, c.where), c.size(*HEADS)
    if c.flag("use_resampler", default=False):
        rules = c.inner("perceiver_config") or Config({}, c.where)
        count = rules.size("resampler_n_latents", default=64)
    else:
        side, patch = tower.size("image_size", default=224), tower.size("patch_size", default=14)
        count = (side // patch) ** 2 + 1
    c.say(f"layers with cross-attention read {count} tokens of one picture")
    return CrossAttention(
        heads=heads,
        size=hidden // heads,
        kv_heads=heads,
        count=count,
        width=tower.size("embed_dim", default=768),
        normed=c.flag("qk_layer_norms", default=False),
        gated=True,
        cached=False,
    )


FAMILIES: dict[str, Family] = {
    "cpmant": Family(
        inner=0,
        activation="gelu",
        rotary=False,
        positions=_UNLIMITED,
        mixers=_cpm,
        feed=lambda c, layer: dense(c, layer, "dim_ff"),
        change=_cpm_stack,
    ),
    "idefics": replace(DENSE["llama"], positions=2048, change=_idefics_layers),
}
"""Rows by `model_type`."""
