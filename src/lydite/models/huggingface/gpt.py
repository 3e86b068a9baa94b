"""Families of GPT and others with layer norms and biases: one row for each `model_type`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lydite.models.blocks import Dense, Mixer
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.family import Family, Layer, attention, dense

_LAYER_NORM = Family(
    norm="layer", eps=1e-5, qkv=True, out=True, dense=True, activation="gelu_new", gated=False
)


def _phi(c: Config, values: dict[str, Any]) -> None:
    del c
    values["head_bias"] = True


def _opt(c: Config, values: dict[str, Any]) -> None:
    """OPT-350M normalises after the addition and has a narrower embedding."""
    values["order"] = "before" if c.flag("do_layer_norm_before", default=True) else "last"
    after = not c.flag("_remove_final_layer_norm", default=False)
    values["last_norm"] = values["order"] == "before" and after
    values["norm_scale"] = c.flag("layer_norm_elementwise_affine", default=True)
    values["embedding"] = c.size("word_embed_proj_dim", default=values["hidden"])


def _xglm(c: Config, values: dict[str, Any]) -> None:
    """Sinusoidal positions, which are no weights."""
    del c
    values["learned"] = False


def _neox(c: Config, values: dict[str, Any]) -> None:
    if c.flag("use_parallel_residual", default=True):
        values |= {"order": "parallel", "parallel_norms": True}


def _partial_by_count(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """GPT-J: `rotary_dim` entries of a head are turned."""
    return (attention(c, layer, rotary=c.size("rotary_dim", default=64)),)


def _falcon(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """One shared head of keys and values in the older architecture, some in the newer one."""
    heads = c.size("num_attention_heads", "n_head")
    new = c.flag("new_decoder_architecture", default=c.type == "RefinedWeb")
    shared = c.size("num_kv_heads", "n_head_kv", default=heads)
    single = c.flag("multi_query", default=True)
    kv = shared if new else 1 if single else heads
    rotary = 0 if c.flag("alibi", default=False) else layer.hidden // heads
    return (attention(c, layer, kv_heads=kv, rotary=rotary),)


def _falcon_order(c: Config, values: dict[str, Any]) -> None:
    new = c.flag("new_decoder_architecture", default=c.type == "RefinedWeb")
    two = c.size("num_ln_in_parallel_attn", default=2) == 2
    if c.flag("parallel_attn", default=True) or new:
        values |= {"order": "parallel", "parallel_norms": new and two}


def _big_code(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    single = c.flag("multi_query", default=True)
    heads = c.size("n_head", "num_attention_heads")
    return (attention(c, layer, kv_heads=1 if single else heads),)


def _gpt_neo_types(c: Config, layers: int) -> list[str]:
    """Pairs such as [["global", "local"], 12]."""
    rules = c.raw("attention_types", default=[[["global", "local"], layers // 2]])
    try:
        names = [name for kinds, count in rules for name in list(kinds) * int(count)]
    except (TypeError, ValueError) as error:
        raise c.refuse("attention_types", 'such as [[["global", "local"], 12]]') from error
    listed = c.texts("attention_layers") or names
    kinds = {"local": "sliding_attention", "global": "full_attention"}
    if len(listed) < layers or set(listed) - set(kinds):
        raise c.refuse("attention_types", f'{layers} of "global" or "local"')
    return [kinds[name] for name in listed[:layers]]


def _gpt_neo_window(c: Config, layer_type: str) -> int | None:
    size = c.size("window_size", default=256)
    return size if layer_type == "sliding_attention" else None


def _gpt_neo(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    return (attention(c, layer, qkv_bias=False),)


def _mpt_inner(c: Config, layer: Layer) -> Dense:
    return dense(
        c, layer, "expansion_ratio", inner=c.size("expansion_ratio", default=4) * layer.hidden
    )


def _first_gpt(c: Config, values: dict[str, Any]) -> None:
    del c
    values["last_norm"] = False


def _ctrl_feed(c: Config, layer: Layer) -> Dense:
    return dense(c, layer, inner=c.size("dff", default=8192))


def _japanese_neox(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """The last layer alone adds a bias to what attention gives."""
    return (attention(c, layer, output_bias=layer.index == layer.count - 1),)


def _japanese_neox_feed(c: Config, layer: Layer) -> Dense:
    factor = c.size("intermediate_multiple_size", default=4)
    return dense(c, layer, inner=factor * layer.hidden)


def _git(c: Config, values: dict[str, Any]) -> None:
    """A picture's tokens come before the text's, like any others."""
    c.skip("num_image_with_embedding", "vision_config")
    values["last_norm"] = False


FAMILIES: dict[str, Family] = {
    "jais2": replace(
        _LAYER_NORM,
        activation="relu2",
        qkv=("attention_bias", True),
        out=("attention_bias", True),
        dense=("mlp_bias", True),
        positions=8192,
    ),
    "openai-gpt": replace(
        _LAYER_NORM,
        inner=4,
        rotary=False,
        learned=True,
        tied=True,
        packed=True,
        order="last",
        positions=512,
        change=_first_gpt,
    ),
    "ctrl": replace(
        _LAYER_NORM,
        activation="relu",
        rotary=False,
        tied=True,
        feed=_ctrl_feed,
        head_bias=True,
        positions=256,
        eps=1e-6,
    ),
    "biogpt": replace(
        _LAYER_NORM,
        activation="gelu",
        rotary=False,
        learned=True,
        position_offset=2,
        tied=True,
        positions=1024,
    ),
    "git": replace(
        _LAYER_NORM,
        eps=1e-12,
        activation="gelu",
        rotary=False,
        learned=True,
        order="last",
        embedding_norm=True,
        head_bias=True,
        positions=1024,
        change=_git,
    ),
    "gpt_neox_japanese": replace(
        _LAYER_NORM,
        activation="gelu",
        qkv=False,
        dense=False,
        tied=True,
        packed=True,
        mixers=_japanese_neox,
        feed=_japanese_neox_feed,
    ),
    "phi": replace(
        _LAYER_NORM,
        order="parallel",
        partial=0.5,
        change=_phi,
        qk_norm=("qk_layernorm", False, "head"),
    ),
    "phi-msft": replace(
        _LAYER_NORM, order="parallel", inner=4, mixers=_partial_by_count, change=_phi
    ),
    "persimmon": replace(
        _LAYER_NORM, activation="relu2", partial=0.5, qk_norm=("qk_layernorm", True, "head")
    ),
    "gpt_neox": replace(_LAYER_NORM, activation="gelu", partial=0.25, change=_neox),
    "gptj": replace(
        _LAYER_NORM,
        order="parallel",
        inner=4,
        qkv=False,
        out=False,
        mixers=_partial_by_count,
        head_bias=True,
    ),
    "codegen": replace(
        _LAYER_NORM,
        order="parallel",
        inner=4,
        qkv=False,
        out=False,
        mixers=_partial_by_count,
        head_bias=True,
    ),
    "gpt_neo": replace(
        _LAYER_NORM,
        inner=4,
        rotary=False,
        learned=True,
        tied=True,
        mixers=_gpt_neo,
        types=_gpt_neo_types,
        window=_gpt_neo_window,
    ),
    "gpt_bigcode": replace(
        _LAYER_NORM,
        inner=4,
        rotary=False,
        learned=True,
        tied=True,
        packed=True,
        positions=1024,
        activation="gelu_pytorch_tanh",
        mixers=_big_code,
    ),
    "gpt2": replace(
        _LAYER_NORM, inner=4, rotary=False, learned=True, tied=True, packed=True, positions=1024
    ),
    "opt": replace(
        _LAYER_NORM,
        qkv=("enable_bias", True),
        out=("enable_bias", True),
        dense=("enable_bias", True),
        activation="relu",
        rotary=False,
        learned=True,
        position_offset=2,
        tied=True,
        change=_opt,
    ),
    "xglm": replace(
        _LAYER_NORM, activation="gelu", rotary=False, tied=True, change=_xglm, eps=1e-5
    ),
    "bloom": replace(
        _LAYER_NORM,
        inner=4,
        activation="gelu",
        rotary=False,
        tied=True,
        packed=True,
        embedding_norm=True,
        positions=2048,
    ),
    "mpt": replace(
        _LAYER_NORM,
        norm_bias=False,
        qkv=False,
        out=False,
        dense=False,
        activation="gelu",
        rotary=False,
        tied=True,
        packed=True,
        feed=_mpt_inner,
    ),
    "falcon": replace(
        _LAYER_NORM,
        inner=4,
        qkv=("bias", False),
        out=("bias", False),
        dense=("bias", False),
        activation="gelu",
        packed=True,
        tied=True,
        mixers=_falcon,
        change=_falcon_order,
    ),
}
"""Rows by `model_type`."""
