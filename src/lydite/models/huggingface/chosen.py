"""Experts and latent attention of one layer: what several families read alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lydite.models.blocks import Dense, Experts, LatentAttention
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.family import (
    HEADS,
    Layer,
    activation,
    dense,
)

_COUNT = (
    "num_experts",
    "num_local_experts",
    "n_routed_experts",
    "moe_num_experts",
    "num_routed_experts",
    "ffn_num_experts",
)


_PER_TOKEN = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "experts_per_token",
    "top_k_experts",
    "moe_k",
    "moe_topk",
    "num_experts_per_topk",
    "moe_top_k",
)


_INNER = ("moe_intermediate_size", "expert_ffn_hidden_size")


_SHARED = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert")


_SHARED_INNER = (
    "shared_expert_intermediate_size",
    "moe_shared_expert_intermediate_size",
    "shared_intermediate_size",
    "shared_experts_intermediate_size",
    "share_expert_dim",
)


Feed = Callable[[Config, Layer], Dense | Experts | None]


def chosen_experts(c: Config, layer: Layer, **changes: Any) -> Experts:
    """The experts of a layer, by whichever names the config has for their sizes."""
    count = c.size(*_COUNT)
    inner = changes.get("inner") or c.size(*_INNER, default=None) or c.size("intermediate_size")
    per_token = c.size(*_PER_TOKEN, default=2)
    if per_token > count:
        raise c.refuse(c.name_of(*_PER_TOKEN), f"up to the {count} experts")
    shared = c.size(*_SHARED_INNER, default=c.size(*_SHARED, default=0, low=0) * inner, low=0)
    values: dict[str, Any] = {
        "count": count,
        "per_token": per_token,
        "inner": inner,
        "activation": activation(c, layer.family),
        "gated": layer.family.gated,
        "shared": shared,
    }
    return Experts(**{**values, **changes})


def is_dense(c: Config, layer: Layer) -> bool:
    """Whether a layer has one dense part although the model has experts."""
    listed = c.texts("mlp_layer_types", layer.count)
    if listed is not None:
        c.skip("first_k_dense_replace", "moe_layer_freq", "num_dense_layers", "decoder_sparse_step")
        return listed[layer.index] == "dense"
    if layer.index in (c.numbers("mlp_only_layers") or ()):
        return True
    first = c.size(
        "first_k_dense_replace", "num_dense_layers", "moe_layer_start_index", default=0, low=0
    )
    if layer.index < first:
        return True
    frequency = c.raw("moe_layer_freq")
    if isinstance(frequency, list):
        return not frequency[layer.index] if layer.index < len(frequency) else False
    step = c.size("decoder_sparse_step", default=1, low=0)
    if step and (layer.index + 1) % step:
        return True
    interval = c.size("moe_layer_freq", "moe_layer_interval", default=1)
    if "moe_layer_interval" in c.data:
        last = c.raw("moe_layer_end_index", default=layer.count)
        end = last if isinstance(last, int) and last >= 0 else layer.count
        return bool((layer.index + 1) % interval) or layer.index > end
    return bool(layer.index % interval)


def mixed(**changes: Any) -> Feed:
    """Experts, or one dense part in the layers that the config names."""

    def feed(c: Config, layer: Layer) -> Dense | Experts:
        if is_dense(c, layer):
            return dense(c, layer, "intermediate_size", "ffn_hidden_size")
        return chosen_experts(c, layer, **changes)

    return feed


def latent(c: Config, layer: Layer) -> tuple[LatentAttention]:
    """Multi-head latent attention, in all layers or in those that are not linear."""
    theta, _ = c.rotary(theta=layer.family.theta)
    c.skip("head_dim", "qk_head_dim", "num_key_value_heads", "use_nope", "mla_use_nope")
    return (
        LatentAttention(
            heads=c.size(*HEADS),
            query_rank=c.size("q_lora_rank", default=0),
            kv_rank=c.size("kv_lora_rank", default=512),
            nope=c.size("qk_nope_head_dim", default=128),
            rope=c.size("qk_rope_head_dim", default=64, low=0),
            value=c.size("v_head_dim", default=128),
            bias=c.flag("attention_bias", default=False),
            rope_theta=theta,
            index_heads=c.size("index_n_heads", default=0),
            index_size=c.size("index_head_dim", default=128),
            index_top=c.size("index_topk", default=2048),
        ),
    )


def all_full(c: Config, layers: int) -> list[str]:
    """Every layer attends to all tokens."""
    del c
    return ["full_attention"] * layers


def no_feed(c: Config, layer: Layer) -> None:
    """Layers without a feed-forward part."""
    del c, layer
