"""Families of dense language models: one row for each `model_type`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lydite.models.blocks import Attention, Dense, Mixer
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.family import (
    Family,
    Layer,
    attention,
    dense,
    every,
    sliding,
)

_LLAMA = Family(
    qkv=("attention_bias", False), out=("attention_bias", False), dense=("mlp_bias", False)
)
_QWEN3 = Family(
    kv=32,
    head=128,
    qkv=("attention_bias", False),
    out=("attention_bias", False),
    qk_norm="head",
    positions=32768,
    window=sliding(None, switch="use_sliding_window"),
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


def _stablelm(c: Config, values: dict[str, Any]) -> None:
    if c.flag("use_parallel_residual", default=False):
        values |= {"order": "parallel", "parallel_norms": False}


def _neox(c: Config, values: dict[str, Any]) -> None:
    if c.flag("use_parallel_residual", default=True):
        values |= {"order": "parallel", "parallel_norms": True}


def _partial_by_count(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """GPT-J: `rotary_dim` entries of a head are turned."""
    return (attention(c, layer, rotary=c.size("rotary_dim", default=64)),)


def _falcon(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """One shared head of keys and values in the older architecture, some in the newer one."""
    heads = c.size("num_attention_heads", "n_head")
    new = c.flag("new_decoder_architecture", default=False)
    shared = c.size("num_kv_heads", "n_head_kv", default=heads)
    kv = shared if new else 1 if c.flag("multi_query", default=True) else heads
    rotary = 0 if c.flag("alibi", default=False) else layer.hidden // heads
    return (attention(c, layer, kv_heads=kv, rotary=rotary),)


def _falcon_order(c: Config, values: dict[str, Any]) -> None:
    new = c.flag("new_decoder_architecture", default=False)
    two = c.size("num_ln_in_parallel_attn", default=2) == 2
    if new or c.flag("parallel_attn", default=True):
        values |= {"order": "parallel", "parallel_norms": new and two}


def _big_code(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    single = c.flag("multi_query", default=True)
    heads = c.size("n_head", "num_attention_heads")
    return (attention(c, layer, kv_heads=1 if single else heads),)


def _starcoder2(c: Config, values: dict[str, Any]) -> None:
    c.only("norm_type", "layer_norm")
    c.only("mlp_type", "default")
    del values


def _cohere(c: Config, values: dict[str, Any]) -> None:
    del c
    values["norm_bias"] = False


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


def _gemma2_mixer(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    return (attention(c, layer, softcap=c.number("attn_logit_softcapping", default=0.0)),)


def _gemma3_types(c: Config, layers: int) -> list[str]:
    return every(6, "sliding_window_pattern", "_sliding_window_pattern")(c, layers)


def _gemma3_mixer(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Layers with a window have positions of a smaller base."""
    local = layer.type == "sliding_attention"
    base = c.number("rope_local_base_freq", default=1e4)
    return (attention(c, layer, **({"rope_theta": base} if local else {})),)


def _qwen2_types(c: Config, layers: int) -> list[str]:
    """Layers from `max_window_layers` on have the window, where it is used."""
    first = c.size("max_window_layers", default=28, low=0)
    return ["sliding_attention" if i >= first else "full_attention" for i in range(layers)]


def _smollm3(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Every fourth layer has no positions."""
    has = c.numbers("no_rope_layers")
    period = c.size("no_rope_layer_interval", default=4)
    turned = has[layer.index] if has else (layer.index + 1) % period
    return (attention(c, layer, **({} if turned else {"rotary": 0})),)


def _chatglm_mixer(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """ChatGLM's own names of its fields."""
    heads = c.size("num_attention_heads")
    shared = c.size("multi_query_group_num", default=2)
    kv = shared if c.flag("multi_query_attention", default=True) else heads
    size = c.size("kv_channels", default=layer.hidden // heads)
    bias = c.flag("add_qkv_bias", default=True)
    values = {"kv_heads": kv, "size": size, "qkv_bias": bias, "output_bias": False}
    return (Attention(heads=heads, rotary=size // 2, packed=True, **values),)


def _chatglm_feed(c: Config, layer: Layer) -> Dense:
    return dense(c, layer, "ffn_hidden_size", bias=c.flag("add_bias_linear", default=False))


def _mpt_inner(c: Config, layer: Layer) -> Dense:
    return dense(
        c, layer, "expansion_ratio", inner=c.size("expansion_ratio", default=4) * layer.hidden
    )


def lfm2_feed(c: Config, layer: Layer) -> Dense:
    """Two thirds of the stated width, rounded up to a multiple, where the config says so."""
    inner = c.size("intermediate_size", "block_ff_dim")
    if c.flag("block_auto_adjust_ff_dim", default=True):
        factor = c.number("block_ffn_dim_multiplier", default=1.0)
        multiple = c.size("block_multiple_of", default=256)
        inner = multiple * -(-int(factor * int(2 * inner / 3)) // multiple)
    return dense(c, layer, inner=inner)


def _qwen1_feed(c: Config, layer: Layer) -> Dense:
    """The first Qwen states the width of both gated halves together."""
    return dense(c, layer, inner=c.size("intermediate_size") // 2)


def _baichuan(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """The larger one has ALiBi instead of rotary positions."""
    rotary = {} if layer.hidden < 5120 else {"rotary": 0}
    return (attention(c, layer, packed=True, **rotary),)


FAMILIES: dict[str, Family] = {
    "llama": _LLAMA,
    "yi": _LLAMA,
    "aquila": _LLAMA,
    "internlm": replace(_LLAMA, qkv=("bias", True), out=("bias", True)),
    "internlm2": replace(_LLAMA, qkv=("bias", False), out=("bias", False), positions=32768),
    "internlm3": replace(
        _LLAMA, head=0, qkv=("qkv_bias", False), out=("bias", False), dense=("bias", False)
    ),
    "baichuan": replace(_LLAMA, mixers=_baichuan, qkv=False, out=False, positions=4096),
    "minicpm": replace(_LLAMA, tied=True),
    "helium": replace(_LLAMA, head=128, kv=20, eps=1e-8),
    "arcee": replace(_LLAMA, activation="relu2", gated=False, eps=1e-5),
    "mistral": Family(kv=8, positions=131072, window=sliding(4096, types=False)),
    "ministral": Family(kv=8, positions=131072, window=sliding(4096)),
    "ministral3": Family(kv=8, head=128, positions=131072, window=sliding(None, types=False)),
    "qwen2": Family(
        kv=32,
        qkv=True,
        positions=32768,
        types=_qwen2_types,
        window=sliding(4096, switch="use_sliding_window"),
    ),
    "mimo": Family(kv=32, qkv=("attention_bias", True), positions=32768),
    "qwen3": replace(_QWEN3, types=_qwen2_types),
    "phi": replace(
        _LAYER_NORM,
        order="parallel",
        partial=0.5,
        change=_phi,
        qk_norm=("qk_layernorm", False, "head"),
    ),
    "phi3": Family(packed=True, window=sliding(None, types=False), eps=1e-5, positions=4096),
    "gemma": _GEMMA,
    "gemma2": replace(
        _GEMMA,
        kv=4,
        order="around",
        mixers=_gemma2_mixer,
        types=every(2),
        window=sliding(4096),
    ),
    "gemma3_text": replace(
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
    ),
    "vaultgemma": replace(_GEMMA, kv=4, mixers=_gemma2_mixer, types=every(2), window=sliding(4096)),
    "glm": Family(
        kv=2, head=128, qkv=("attention_bias", False), partial=0.5, eps=1.5625e-7, positions=131072
    ),
    "glm4": Family(
        kv=2, head=128, qkv=("attention_bias", False), partial=0.5, order="around", positions=131072
    ),
    "chatglm": Family(mixers=_chatglm_mixer, feed=_chatglm_feed, eps=1e-5, positions=32768),
    "granite": _LLAMA,
    "smollm3": replace(
        _LLAMA, kv=4, tied=True, mixers=_smollm3, positions=32768, window=sliding(None)
    ),
    "seed_oss": Family(
        kv=8,
        head=128,
        qkv=("attention_bias", True),
        out=("attention_out_bias", False),
        dense=("mlp_bias", False),
        positions=524288,
    ),
    "olmo": replace(_LLAMA, norm="layer", norm_scale=False, dense=False, eps=1e-5),
    "olmo2": replace(_LLAMA, order="after", qk_norm="whole", dense=False, eps=1e-5),
    "olmo3": replace(
        _LLAMA, order="after", qk_norm="whole", dense=False, types=every(4), window=sliding(4096)
    ),
    "exaone4": Family(
        kv=32, order="after", qk_norm="head", eps=1e-5, types=every(4), window=sliding(4096)
    ),
    "exaone": Family(kv=0, eps=1e-5),
    "cohere": replace(
        _LLAMA,
        norm="layer",
        norm_bias=False,
        order="parallel",
        tied=True,
        dense=False,
        eps=1e-5,
        positions=8192,
        qk_norm=("use_qk_norm", False, "head"),
    ),
    "cohere2": replace(
        _LLAMA,
        norm="layer",
        norm_bias=False,
        order="parallel",
        tied=True,
        dense=False,
        eps=1e-5,
        positions=8192,
        types=every(4, "sliding_window_pattern", "_sliding_window_pattern"),
        window=sliding(4096),
    ),
    "starcoder2": Family(
        norm="layer",
        kv=2,
        qkv=("use_bias", True),
        out=("use_bias", True),
        dense=("use_bias", True),
        activation="gelu_pytorch_tanh",
        gated=False,
        tied=True,
        positions=4096,
        eps=1e-5,
        window=sliding(None, types=False),
        change=_starcoder2,
    ),
    "stablelm": Family(
        norm="layer",
        qkv=("use_qkv_bias", False),
        kv=32,
        partial=0.25,
        eps=1e-5,
        positions=4096,
        qk_norm=("qk_layernorm", False, "head"),
        change=_stablelm,
    ),
    "nemotron": replace(
        _LLAMA, norm="layer", activation="relu2", gated=False, partial=0.5, eps=1e-5, positions=4096
    ),
    "apertus": replace(
        _LLAMA,
        activation="xielu",
        gated=False,
        qk_norm="head",
        eps=1e-5,
        positions=65536,
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
    "ernie4_5": replace(
        _LLAMA,
        qkv=("use_bias", False),
        out=("use_bias", False),
        dense=("use_bias", False),
        tied=True,
        head=128,
        eps=1e-5,
        positions=131072,
    ),
    "hunyuan_v1_dense": replace(_LLAMA, qk_norm="head", eps=1e-5, dense=False),
    "nanochat": Family(norm_scale=False, activation="relu2", gated=False, qk_norm="head"),
    "qwen": Family(qkv=True, out=False, feed=_qwen1_feed, positions=8192),
}
"""Rows by `model_type`."""
