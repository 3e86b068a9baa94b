"""Qwen 4: gated states, an indexer of pools, and phrases of the last tokens."""

from __future__ import annotations

from dataclasses import replace
from math import isqrt
from typing import Any

from lydite.models.blocks import Mixer, Phrases
from lydite.models.huggingface.chosen import mixed
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.family import Family, Layer, attention
from lydite.models.huggingface.linear import FAMILIES as LINEAR
from lydite.models.huggingface.linear import delta

_INDEX = ("indexer_n_heads", "indexer_head_dim", "indexer_budget", "indexer_compress_ratio")

_MOST_HASHES = 1024


def _mixer(c: Config, layer: Layer) -> tuple[Mixer, ...]:
    """A delta rule, or gated attention to the pools of tokens that an indexer selects."""
    if layer.type == "linear_attention":
        return (delta(c),)
    c.only("indexer_kv_heads", 1)
    heads, size, top, pool = (c.size(name) for name in _INDEX)
    if top % pool:
        raise c.refuse("indexer_budget", f"a multiple of indexer_compress_ratio {pool}")
    index = {"index_heads": heads, "index_size": size, "index_top": top, "index_pool": pool}
    plain = replace(layer, type="full_attention")
    return (attention(c, plain, gated=True, **index),)


def _types(c: Config, layers: int) -> list[str]:
    period = c.size("full_attention_interval", default=4)
    return ["linear_attention" if (i + 1) % period else "indexed_attention" for i in range(layers)]


def _stack(c: Config, values: dict[str, Any]) -> None:
    """Several states of a token without norms of the layers; phrases before some of these."""
    values |= {"streams": c.size("hc_count", default=4), "last_norm": False}
    values["streams_rank"] = c.size("hc_lowrank", default=320)
    values["order"] = "none"
    c.skip("output_gate_type", "seed", "split_ngram_parts", "number_of_conv_states")
    chosen = c.numbers("ple_layer_ids") or []
    if any(not 1 <= number <= values["layers"] for number in chosen):
        raise c.refuse("ple_layer_ids", f"numbers from 1 to {values['layers']}")
    found = {number - 1: n for n, number in enumerate(sorted(set(chosen)))}
    values["blocks"] = tuple(
        replace(b, phrases=_phrases(c, found[i], values["hidden"])) if i in found else b
        for i, b in enumerate(values["blocks"])
    )


def _phrases(c: Config, place: int, hidden: int) -> Phrases:
    """Tables of as many rows as primes behind a number, one for each hash of all layers."""
    longest = c.size("ngram_size", default=3, low=2)
    hashes = (longest - 1) * c.size("heads_per_ngram", default=8)
    if hashes > _MOST_HASHES:
        raise c.refuse("heads_per_ngram", f"up to {_MOST_HASHES} hashes of a token in all")
    width = c.size("ple_embed_dim", default=hidden)
    if width % hashes:
        raise c.refuse("ple_embed_dim", f"a multiple of the {hashes} hashes")
    base = c.size("ngram_vocab_size_base", default=20_000_000)
    multiple = c.size("make_ngram_vocab_size_divisible_by", default=128)
    rows = sum(_primes(base, (place + 1) * hashes)[place * hashes :])
    kernel = c.size("ple_conv_kernel_size", default=4)
    return Phrases(
        rows=-(-rows // multiple) * multiple,
        hashes=hashes,
        width=width,
        kernel=kernel,
        dilation=longest,
    )


def _primes(low: int, count: int) -> list[int]:
    """The first primes that are no less than a number."""
    found: list[int] = []
    number = max(low, 2)
    while len(found) < count:
        if all(number % divisor for divisor in range(2, isqrt(number) + 1)):
            found.append(number)
        number += 1
    return found


FAMILIES: dict[str, Family] = {
    "qwen4_exp_text": replace(
        LINEAR["qwen3_next"],
        mixers=_mixer,
        feed=mixed(shared_gate=True),
        types=_types,
        change=_stack,
        partial=1.0,
    ),
}
"""Rows by `model_type`."""
