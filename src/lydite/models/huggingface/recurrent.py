"""Families with recurrences: Griffin's linear unit, RWKV and xLSTM; one row for each type."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

from lydite.models.blocks import (
    Block,
    ChannelMix,
    Dense,
    MatrixMemory,
    Mixer,
    RecurrentUnit,
    TimeMix,
)
from lydite.models.huggingface.chosen import no_feed
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.family import HEADS, Family, Layer, activation, attention, dense

_GRIFFIN = {"recurrent": "linear_attention", "attention": "sliding_attention"}


def _griffin_types(c: Config, layers: int) -> list[str]:
    """Kinds of layers, repeated from the first."""
    kinds = c.texts("block_types") or ["recurrent", "recurrent", "attention"]
    if not kinds or set(kinds) - set(_GRIFFIN):
        raise c.refuse("block_types", ", ".join(_GRIFFIN))
    return [_GRIFFIN[kind] for kind in islice(cycle(kinds), layers)]


def _griffin(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    c.skip("w_init_variance_scale", "final_w_init_variance_scale", "rnn_scan_dtype")
    if layer.type == "sliding_attention":
        return (attention(c, layer),)
    width, heads = c.size("lru_width", default=layer.hidden), c.size(*HEADS)
    if width % heads:
        raise c.refuse("lru_width", f"a multiple of the {heads} heads")
    kernel = c.size("conv1d_width", default=4)
    function = activation(c, layer.family)
    return (RecurrentUnit(width=width, heads=heads, kernel=kernel, activation=function),)


def _griffin_window(c: Config, layer_type: str) -> int:
    del layer_type
    return c.size("attention_window_size", "sliding_window", default=2048)


def _griffin_feed(c: Config, layer: Layer) -> Dense:
    """The stated width is that of both halves together."""
    return dense(c, layer, inner=c.size("intermediate_size", default=7680) // 2)


def _rwkv(c: Config, values: dict[str, Any]) -> None:
    """Each layer is two parts, both of which see the token before."""
    hidden, layers = values["hidden"], values["layers"]
    mix = TimeMix(width=c.size("attention_hidden_size", default=hidden))
    inner = c.size("intermediate_size", default=4 * hidden)
    pair = (Block(mixers=(mix,)), Block(mixers=(ChannelMix(inner=inner),)))
    c.skip("rescale_every", "context_length")
    values |= {"blocks": pair * layers, "layers": 2 * layers}
    values["positions"] = 1 << 20


def _no_mixer(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    del c, layer
    return ()


def _rounded(wanted: float, multiple: int) -> int:
    return int(-(-wanted // multiple) * multiple)


def _xlstm(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    heads = c.size("num_heads", default=8)
    key, value = (
        int(layer.hidden * c.number(f"{name}_dim_factor", default=usual))
        for name, usual in (("qk", 0.5), ("v", 1.0))
    )
    if key % heads or value % heads:
        raise c.refuse("num_heads", f"a divisor of {key} and {value}")
    bias = c.flag("use_bias", default=False)
    c.skip("eps", "mode", "weight_mode", "embedding_dim", "num_blocks")
    c.skip("chunkwise_kernel", "sequence_kernel", "step_kernel", "return_last_states")
    c.skip("autocast_kernel_dtype", "inference_state_dtype", "max_inference_chunksize")
    c.skip("gate_soft_cap", "output_logit_soft_cap", "norm_reduction_force_float32")
    return (MatrixMemory(heads=heads, key=key // heads, value=value // heads, bias=bias),)


def _xlstm_feed(c: Config, layer: Layer) -> Dense:
    wanted = layer.hidden * c.number("ffn_proj_factor", default=2.667)
    inner = _rounded(wanted, c.size("ffn_round_up_to_multiple_of", default=64))
    return dense(c, layer, inner=inner, bias=c.flag("use_bias", default=False))


def _xlstm_norm(c: Config, values: dict[str, Any]) -> None:
    values["last_norm"] = c.flag("add_out_norm", default=True)


FAMILIES: dict[str, Family] = {
    "recurrent_gemma": Family(
        qkv=("attention_bias", False),
        out=True,
        dense=True,
        activation="gelu_pytorch_tanh",
        partial=0.5,
        tied=True,
        mixers=_griffin,
        feed=_griffin_feed,
        types=_griffin_types,
        window=_griffin_window,
        positions=1 << 20,
    ),
    "rwkv": Family(
        norm="layer",
        eps=1e-5,
        rotary=False,
        embedding_norm=True,
        mixers=_no_mixer,
        feed=no_feed,
        change=_rwkv,
    ),
    "xlstm": Family(
        rotary=False, mixers=_xlstm, feed=_xlstm_feed, change=_xlstm_norm, positions=1 << 20
    ),
}
"""Rows by `model_type`."""
