"""Zamba: state spaces, and attention before some of them whose weights these have in common."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lydite.models.blocks import Mixer, SharedPart
from lydite.models.huggingface.chosen import no_feed
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.family import HEADS, Family, Layer, attention, dense
from lydite.models.huggingface.states import mamba, mamba2


def _zamba_types(c: Config, layers: int) -> list[str]:
    """Which layers have the shared attention before their state space."""
    listed = c.texts("layers_block_type", layers)
    if listed is not None:
        c.skip("attn_layer_period", "attn_layer_offset")
        return listed
    if c.type == "zamba2":
        usual = {*range(6, 43, 6), 47, 51}
        return ["hybrid" if i in usual else "mamba" for i in range(layers)]
    period = c.size("attn_layer_period", default=6)
    offset = c.size("attn_layer_offset", default=4, low=0)
    later = {i + 3 for i in range(layers - 3) if i % period == offset}
    return ["hybrid" if i in {2, *later} else "mamba" for i in range(layers)]


def _mamba_heads(c: Config, layer: Layer, usual: int) -> tuple[int, int]:
    """Channels of a state space and the heads that they are parted into."""
    inner = layer.hidden * c.size("mamba_expand", default=2)
    heads = c.size("n_mamba_heads", default=usual)
    if inner % heads:
        raise c.refuse("n_mamba_heads", f"a divisor of the {inner} channels")
    return inner, heads


def _zamba(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    inner, heads = _mamba_heads(c, layer, 2)
    c.only("hidden_mamba_act", "silu")
    return (mamba(c, layer, inner=inner, heads=heads),)


def _zamba2(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    inner, heads = _mamba_heads(c, layer, 8)
    c.skip("mamba_headdim", "use_mem_eff_path", "use_conv_bias")
    return (
        mamba2(
            c,
            layer,
            heads=heads,
            size=inner // heads,
            state=c.size("mamba_d_state", default=64),
            groups=c.size("mamba_ngroups", default=1),
            bias=c.flag("add_bias_linear", default=False),
            conv_bias=True,
        ),
    )


def _with_shared(c: Config, values: dict[str, Any]) -> None:
    """Attention over states and embedding before some layers; its weights are few layers' own."""
    second = c.type == "zamba2"
    hidden, kinds = values["hidden"], _zamba_types(c, values["layers"])
    heads = c.size(*HEADS)
    c.skip("attention_hidden_size", "kv_channels", "num_query_groups", "use_long_context")
    c.skip("hybrid_layer_ids")
    size = c.size("attention_head_dim", default=2 * hidden // heads)
    rank = c.size("adapter_rank", default=128) if second else 0
    layer = Layer(0, values["layers"], "attention", hidden, FAMILIES[c.type])
    rope = second and c.flag("use_mem_rope", default=False)
    part = attention(
        c,
        layer,
        size=size,
        rotary=size if rope else 0,
        adapter=rank if c.flag("use_shared_attention_adapter", default=False) else 0,
    )
    bias = second and c.flag("add_bias_linear", default=False)
    inner = c.size("intermediate_size", "ffn_hidden_size", default=4 * hidden)
    feed = dense(c, layer, inner=inner, bias=bias, adapter=rank)
    groups = c.size("num_mem_blocks", default=1) if second else 1
    hybrid = [i for i, kind in enumerate(kinds) if kind == "hybrid"]
    shared = {
        i: SharedPart(key=n % groups, attention=part, feed=feed) for n, i in enumerate(hybrid)
    }
    values["blocks"] = tuple(
        replace(block, shared=shared.get(i)) for i, block in enumerate(values["blocks"])
    )


FAMILIES: dict[str, Family] = {
    "zamba": Family(
        eps=1e-5,
        rotary=False,
        activation="gelu",
        tied=True,
        mixers=_zamba,
        feed=no_feed,
        types=_zamba_types,
        change=_with_shared,
        positions=4096,
    ),
    "zamba2": Family(
        eps=1e-5,
        activation="gelu",
        tied=True,
        mixers=_zamba2,
        feed=no_feed,
        types=_zamba_types,
        change=_with_shared,
        positions=4096,
    ),
}
"""Rows by `model_type`."""
