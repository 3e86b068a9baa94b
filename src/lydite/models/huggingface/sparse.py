"""Families whose layers attend to selected or compressed tokens: one row for each `model_type`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lydite.models.blocks import (
    CompressedAttention,
    Experts,
    GatedDelta,
    LatentAttention,
    Mixer,
    RoutedAttention,
)
from lydite.models.huggingface.chosen import chosen_experts, latent, mixed
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.family import HEADS, Family, Layer, attention
from lydite.models.huggingface.latent import FAMILIES as LATENT

_CSA, _HCA = "compressed_sparse_attention", "heavily_compressed_attention"
_RATIOS = {0: "sliding_attention", 4: _CSA, 128: _HCA}


def _indexer_types(c: Config, layers: int) -> list[str]:
    """Which layers run an indexer, and which take what an earlier one selected (GLM-5)."""
    listed = c.texts("indexer_types", layers)
    if listed is not None:
        c.skip("index_topk_pattern", "index_topk_freq", "index_skip_topk_offset")
        return listed
    pattern = c.raw("index_topk_pattern")
    if pattern is not None:
        kinds = {"F": "full", "S": "shared", "full": "full", "shared": "shared"}
        letters = list(pattern) if isinstance(pattern, str | list) else []
        if len(letters) < layers or set(letters) - set(kinds):
            raise c.refuse("index_topk_pattern", f"{layers} letters of F, S")
        return [kinds[letter] for letter in letters[:layers]]
    every = c.size("index_topk_freq", default=1)
    offset = c.size("index_skip_topk_offset", default=2, low=0)
    return ["shared" if max(i - offset + 1, 0) % every else "full" for i in range(layers)]


def _indexed(c: Config, layer: Layer, **changes: Any) -> tuple[LatentAttention, ...]:
    """Latent attention to the tokens that the layer's own indexer selects, or an earlier one's."""
    (mixer,) = latent(c, layer)
    kind = _indexer_types(c, layer.count)[layer.index]
    if kind not in ("full", "shared"):
        raise c.refuse("indexer_types", '"full" or "shared"')
    return (replace(mixer, index_shared=kind == "shared", **changes),)


def _deepseek_v4_types(c: Config, layers: int) -> list[str]:
    ratios = c.numbers("compress_ratios")
    if ratios is None:
        return [_HCA if i < 2 or not i % 2 else _CSA for i in range(layers)]
    if len(ratios) < layers or set(ratios) - set(_RATIOS):
        raise c.refuse("compress_ratios", f"{layers} of 0, 4, 128")
    return [_RATIOS[ratio] for ratio in ratios[:layers]]


def _deepseek_v4(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """A window, alone or with compressed tokens, all of them or those that an indexer selects."""
    if layer.type not in _RATIOS.values():
        raise c.refuse("layer_types", ", ".join(_RATIOS.values()))
    size = c.size("head_dim", default=512)
    alone = layer.type == "sliding_attention"
    theta, partial = c.rotary(
        theta=1e4, partial=64 / 512, layer_type="main" if alone else "compress"
    )
    usual = c.number("compress_rope_theta", default=160000.0)
    sparse = layer.type == _CSA
    index = ("index_n_heads", 64), ("index_head_dim", 128), ("index_topk", 512)
    heads, width, top = (c.size(name, default=value) for name, value in index)
    c.skip("num_key_value_heads", "hc_eps", "hc_sinkhorn_iters", "num_hash_layers", "expert_dtype")
    return (
        CompressedAttention(
            heads=c.size(*HEADS),
            size=size,
            query_rank=c.size("q_lora_rank", default=1024),
            window=c.size("sliding_window", default=128),
            rate=_rate(c, layer.type),
            overlapped=sparse,
            groups=c.size("o_groups", default=8),
            output_rank=c.size("o_lora_rank", default=1024),
            rotary=c.size("qk_rope_head_dim", default=int(size * partial)),
            rope_theta=theta if alone else usual,
            index_heads=heads if sparse else 0,
            index_size=width,
            index_top=top,
        ),
    )


def _rate(c: Config, kind: str) -> int:
    """Tokens that become one key in layers of a kind; 0 for those of a window alone."""
    if kind == "sliding_attention":
        return 0
    rates = c.inner("compress_rates") or c
    short, usual = ("csa", 4) if kind == _CSA else ("hca", 128)
    return c.size(f"compress_rate_{short}", default=rates.size(kind, default=usual))


def _deepseek_v4_feed(c: Config, layer: Layer) -> Experts:
    """Experts beside one shared part of the same width; some layers choose by a token's id."""
    inner = c.size("moe_intermediate_size", "intermediate_size", default=2048)
    c.texts("mlp_layer_types", layer.count)
    return chosen_experts(c, layer, inner=inner, shared=inner, sigmoid=True)


def _streams(c: Config, values: dict[str, Any]) -> None:
    values["streams"] = c.size("hc_mult", default=4)
    c.skip("hc_eps", "hc_sinkhorn_iters", "hc_magnitude")


def _plain_streams(c: Config, values: dict[str, Any]) -> None:
    _streams(c, values)
    values["streams_head"] = False


def _unmixed_streams(c: Config, values: dict[str, Any]) -> None:
    _streams(c, values)
    values["streams_mixed"] = False


def _hy_v4_types(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Every fourth layer has an indexer, the others take what it selected."""
    c.skip("learnable_sink_init")
    if c.data.get("indexer_types") is None:
        kinds = ["shared" if i and (i - 1) % 4 else "full" for i in range(layer.count)]
        c = c.changed({"indexer_types": kinds})
    return _indexed(c, layer, gated=True, sinks=True)


def _glm5_next(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Latent attention without positions to selected pools of tokens, or a delta rule."""
    if layer.type == "indexed_attention":
        return _indexed(c, layer, index_pool=c.size("index_kpool", default=16))
    heads = c.size("linear_num_heads", default=64)
    size = c.size("linear_head_dim", default=128)
    kernel = c.size("linear_conv_kernel_dim", default=4)
    c.skip("linear_lower_bound", "index_kpool_always_select_tail")
    sizes = {"key_heads": heads, "value_heads": heads, "key": size, "value": size}
    return (GatedDelta(**sizes, kernel=kernel, rank=size),)


def _glm5_next_types(c: Config, layers: int) -> list[str]:
    del c
    return ["linear_attention" if (i + 1) % 4 else "indexed_attention" for i in range(layers)]


def _mistral_large4(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Some layers have no positions, and some use an earlier layer's latents."""
    sources = c.numbers("kv_source_layers")
    source = sources[layer.index] if sources and layer.index < len(sources) else layer.index
    if not 0 <= source <= layer.index:
        raise c.refuse("kv_source_layers", "for each layer itself or an earlier one")
    listed = c.numbers("no_rope_layers")
    period = c.size("no_rope_layer_interval", default=4)
    turned = bool(listed[layer.index] if listed else (layer.index + 1) % period)
    (mixer,) = _indexed(c, layer, query_rank=0, scaled=True, index_scaled=True)
    if not turned:
        mixer = replace(mixer, nope=mixer.nope + mixer.rope, rope=0)
    return (replace(mixer, shared_from=source if source != layer.index else None),)


def _axk2(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    return _indexed(c, layer, query_gate=True)


def _axk2_norms(c: Config, values: dict[str, Any]) -> None:
    """Norms before attention and experts are gated by a product of low rank."""
    values["norm_gate"] = c.size("gated_norm_rank", default=16)


_DOTS3_LOCAL = {
    "num_attention_heads": 64,
    "q_lora_rank": 1024,
    "kv_lora_rank": 1024,
    "qk_nope_head_dim": 192,
    "v_head_dim": 128,
}
"""Sizes of layers of a window where the file has no others, by the name behind `swa_`."""


def _dots3(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Layers of a window have sizes of their own and no indexer."""
    local = layer.type == "sliding_attention"
    sizes = {n: c.size(f"swa_{n}", default=usual) for n, usual in _DOTS3_LOCAL.items()}
    listed = c.data.get("per_layer_config") is not None
    c = c.own_of_layer(layer.index) if listed else c.changed(sizes if local else {})
    (mixer,) = latent(c, layer)
    changes: dict[str, Any] = {"head_gate": True, "rope_norm": True}
    if local or layer.type == "full_attention":
        changes["index_heads"] = 0
    if local:
        changes["window"] = c.size("sliding_window", "sliding_window_size", default=512)
    c.skip("index_n_heads", "index_head_dim", "index_topk")
    return (replace(mixer, **changes),)


def _dots3_types(c: Config, layers: int) -> list[str]:
    del c
    full = {0, *range(1, layers, 4)}
    return ["indexed_attention" if i in full else "sliding_attention" for i in range(layers)]


_DSA = replace(LATENT["deepseek_v32"], mixers=_indexed)


def _jetmoe(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """Groups of queries and their outputs are experts, as many a token as of the dense part."""
    count, per_token = c.size("num_local_experts"), c.size("num_experts_per_tok", default=2)
    kv = c.size("num_key_value_heads", default=16)
    if c.size("num_attention_heads", default=kv * per_token) != kv * per_token:
        raise c.refuse("num_attention_heads", f"num_key_value_heads x {per_token}")
    inner = attention(c, layer, heads=kv * per_token, size=c.size("kv_channels", default=128))
    return (RoutedAttention(attention=inner, count=count, per_token=per_token),)


FAMILIES: dict[str, Family] = {
    "jetmoe": Family(kv=16, tied=True, positions=4096, mixers=_jetmoe, feed=mixed(sum_bias=True)),
    "glm_moe_dsa": _DSA,
    "deepseek_v4": Family(
        mixers=_deepseek_v4,
        feed=_deepseek_v4_feed,
        types=_deepseek_v4_types,
        change=_streams,
        positions=1 << 20,
    ),
    "hy_v4": replace(
        _DSA, mixers=_hy_v4_types, change=_unmixed_streams, eps=1e-5, positions=262144
    ),
    "glm5_next_text": replace(
        _DSA,
        mixers=_glm5_next,
        types=_glm5_next_types,
        change=_plain_streams,
        eps=1e-5,
        positions=1 << 20,
    ),
    "mistral_large4_text": replace(
        _DSA, mixers=_mistral_large4, feed=mixed(), eps=1e-5, positions=1 << 20
    ),
    "axk2": replace(_DSA, mixers=_axk2, change=_axk2_norms, positions=131072),
    "dots3_note_text": replace(_DSA, mixers=_dots3, types=_dots3_types, eps=1e-5, positions=524288),
}
"""Rows by `model_type`."""
