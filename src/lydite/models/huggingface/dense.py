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
    first_of,
    sliding,
    with_sinks,
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


def _stablelm(c: Config, values: dict[str, Any]) -> None:
    if c.flag("use_parallel_residual", default=False):
        values |= {"order": "parallel", "parallel_norms": False}


def _starcoder2(c: Config, values: dict[str, Any]) -> None:
    c.only("norm_type", "layer_norm")
    c.only("mlp_type", "default")
    del values


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


def _openelm(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Numbers of heads grow with the layers (OpenELM, arXiv:2404.14619)."""
    counts = {}
    for name in ("num_query_heads", "num_kv_heads"):
        counts[name] = c.of_layer(name, layer.index, layer.count).size(name)
    c.only("normalize_qk_projections", True)
    c.only("ffn_with_glu", True)
    c.only("normalization_layer_name", "rms_norm")
    c.skip("num_gqa_groups", "qkv_multipliers", "rope_max_length")
    heads, kv = counts.values()
    return (attention(c, layer, heads=heads, kv_heads=kv, size=c.size("head_dim", default=64)),)


def _openelm_feed(c: Config, layer: Layer) -> Dense:
    """Inner widths are a multiple of the hidden one, rounded as in the model's own code."""
    factor = c.of_layer("ffn_multipliers", layer.index, layer.count).number("ffn_multipliers")
    divisor = c.size("ffn_dim_divisor", default=256)
    wanted = factor * layer.hidden
    inner = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    return dense(c, layer, inner=inner + divisor if inner < 0.9 * wanted else inner)


def _bitnet(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    return (attention(c, layer, output_norm=True),)


def _bitnet_feed(c: Config, layer: Layer) -> Dense:
    return dense(c, layer, inner_norm=True)


def _nas_block(c: Config, layer: Layer, part: str) -> Config | None:
    """What one layer of a searched architecture has; None where the part is left out."""
    blocks = c.raw("block_configs")
    block = blocks[layer.index] if isinstance(blocks, list) and len(blocks) > layer.index else None
    given = block.get(part) if isinstance(block, dict) else None
    if not isinstance(given, dict):
        raise c.refuse("block_configs", f"{layer.count} objects with attention and ffn")
    if given.get("replace_with_linear"):
        raise c.refuse("block_configs", "no replace_with_linear; it is not built")
    return None if given.get("no_op") else Config(given, f"{c.where}: block_configs")


def _nas(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Nemotron of a searched architecture: groups of heads by layer (Puzzle, arXiv:2411.19146)."""
    block = _nas_block(c, layer, "attention")
    if block is None:
        return ()
    heads = c.size("num_attention_heads")
    return (attention(c, layer, kv_heads=heads // block.size("n_heads_in_group")),)


def _nas_feed(c: Config, layer: Layer) -> Dense | None:
    """Two thirds of a multiple of twice the width, rounded up to 256."""
    block = _nas_block(c, layer, "ffn")
    if block is None:
        return None
    inner = int(2 * block.number("ffn_mult") * layer.hidden / 3)
    return dense(c, layer, inner=-(-inner // 256) * 256)


def _clova(c: Config, values: dict[str, Any]) -> None:
    values["order"] = "around" if c.flag("use_post_norm", default=False) else "before"


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
    "nemotron-nas": replace(_LLAMA, mixers=_nas, feed=_nas_feed, eps=1e-5, positions=131072),
    "helium": replace(_LLAMA, head=128, kv=20, eps=1e-8),
    "arcee": replace(_LLAMA, activation="relu2", gated=False, eps=1e-5),
    "bitnet": replace(
        _LLAMA, activation="relu2", mixers=_bitnet, feed=_bitnet_feed, dense=False, eps=1e-5
    ),
    "granite_swa": replace(
        _LLAMA, tied=True, mixers=with_sinks, window=sliding(128), types=first_of(4)
    ),
    "hyperclovax": replace(_LLAMA, change=_clova),
    "mistral": Family(kv=8, positions=131072, window=sliding(4096, types=False)),
    "ministral": Family(kv=8, positions=131072, types=every(0), window=sliding(4096)),
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
    "phi3": Family(packed=True, window=sliding(None, types=False), eps=1e-5, positions=4096),
    "glm": Family(
        kv=2, head=128, qkv=("attention_bias", False), partial=0.5, eps=1.5625e-7, positions=131072
    ),
    "glm4": Family(
        kv=2, head=128, qkv=("attention_bias", False), partial=0.5, order="around", positions=131072
    ),
    "glm4v_text": Family(
        kv=2, head=0, qkv=("attention_bias", True), partial=0.5, order="around", eps=1e-5
    ),
    "glm_ocr_text": Family(
        kv=8, head=0, qkv=("attention_bias", False), partial=0.5, order="around", eps=1e-5
    ),
    "chatglm": Family(mixers=_chatglm_mixer, feed=_chatglm_feed, eps=1e-5, positions=32768),
    "granite": _LLAMA,
    "orion": replace(_LLAMA, norm="layer", eps=1e-5, positions=4096),
    "openelm": Family(
        tied=True, head=64, qk_norm="head", packed=True, mixers=_openelm, feed=_openelm_feed
    ),
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
        qk_norm=("use_qk_norm", False, "each"),
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
        qk_norm=("qk_layernorm", False, "each"),
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
