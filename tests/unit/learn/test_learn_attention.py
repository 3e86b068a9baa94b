"""Attention and experts: what their keys say, splits and masks by brute force, bounds, monotony."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lydite as ly
from lydite.estimate.learned.attention import (
    _pairs,
    _splits,
)
from lydite.estimate.learned.describe import described
from lydite.estimate.learned.estimator import Learned
from lydite.estimate.learned.families import FAMILIES
from lydite.estimate.learned.model import shipped
from lydite.estimate.learned.sheet import Sheet, sheet_of
from lydite.estimate.runtimes import fuse_for_runtime
from lydite.graph import Builder, all_keys, key_of
from lydite.hardware import find_device, known_devices

GPUS = sorted(
    name
    for name, device in known_devices().items()
    if device.vendor == "NVIDIA" and device.kind == "gpu" and "bfloat16" in device.peak_flops
)


def keys_of(name: str, **options):
    graph = fuse_for_runtime(ly.load(name, dtype="bfloat16", **options).graph)
    return all_keys(graph)


def test_decode_and_prefill_say_their_sizes():
    decode = keys_of("llama3-8b", phase="decode", batch=4, context=1000)
    (found,) = {d for key in decode for d in described(key) if d[0] == "attention_decode"}
    assert found == ("attention_decode", "bfloat16", (4, 32, 8, 1001, 128, 0))
    prefill = keys_of("llama3-8b", phase="prefill", batch=2, sequence=512)
    (found,) = {d for key in prefill for d in described(key) if d[0] == "attention_prefill"}
    assert found == ("attention_prefill", "bfloat16", (2, 32, 8, 512, 512, 128, 0, 1))


def test_experts_say_their_sizes():
    keys = keys_of("mixtral-8x7b", phase="decode", batch=3, context=16)
    (found,) = {d for key in keys for d in described(key) if d[0] == "experts"}
    assert found == ("experts", "bfloat16", (3, 4096, 14336, 2, 8, 1))


def attention(masked: bool = False, dtype: str = "float16", causal: int = 1):
    g = Builder("net", dtype=dtype)
    inputs = [g.input(name, (2, 8, 64, 32)) for name in ("q", "k", "v")]
    mask = [g.input("mask", (64, 64))] if masked else []
    graph = g.build(g.op("Attention", *inputs, *mask, is_causal=causal))
    return key_of(graph.ops[-1], graph)


def test_masks_and_float32_are_left_to_others():
    assert described(attention()) == [("attention_prefill", "float16", (2, 8, 8, 64, 64, 32, 0, 1))]
    assert described(attention(causal=0))[0][2][-1] == 0
    assert described(attention(masked=True)) == []
    assert described(attention(dtype="float32")) == []


def by_the_book(tiles: int, blocks: int, units: int) -> int:
    """FlashAttention's num_splits_heuristic, line by line."""
    if tiles >= 0.8 * units:
        return 1
    most = min(128, units, blocks)
    fills = []
    for split in range(1, most + 1):
        useless = split > 1 and math.ceil(blocks / split) == math.ceil(blocks / (split - 1))
        waves = tiles * split / units
        fills.append(0.0 if useless else waves / math.ceil(waves))
    return next(s for s, fill in enumerate(fills, 1) if fill >= 0.85 * max(fills))


@settings(max_examples=200)
@given(st.integers(1, 300), st.integers(1, 600), st.integers(8, 300))
def test_keys_are_split_by_flash_attentions_rule(tiles, blocks, units):
    found = _splits(np.array([float(tiles)]), np.array([float(blocks)]), float(units))
    assert found[0] == by_the_book(tiles, blocks, units)


@settings(max_examples=100)
@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 50), st.booleans())
def test_pairs_are_those_that_the_mask_leaves(queries, old, window, causal):
    keys = queries + old
    seen = min(keys, window) if window else keys
    counted = 0
    for query in range(old, keys):
        visible = query + 1 if causal else keys
        counted += min(visible, seen)
    news, alls, seens = (np.array([float(x)]) for x in (queries, keys, seen))
    assert _pairs(news, alls, seens, np.array([causal]))[0] == counted


def sheet(name: str) -> Sheet:
    return sheet_of(find_device(name), "bfloat16")


def tensor(family: str, at: Sheet, *sizes: float) -> float:
    return float(FAMILIES[family].problem(np.array([sizes], float), at).base_s[0])


CASES = [
    ("product16", (1, 4096, 4096, 4096)),
    ("product16", (1, 4, 14336, 4096)),
    ("attention_decode", (64, 32, 8, 4096, 128, 0)),
    ("attention_decode", (1, 32, 8, 131072, 128, 0)),
    ("attention_prefill", (2, 32, 8, 2048, 2048, 128, 0, 1)),
    ("experts", (64, 4096, 14336, 2, 8, 1)),
]


@pytest.mark.parametrize("name", GPUS)
@pytest.mark.parametrize(("family", "sizes"), CASES)
def test_a_better_device_is_never_slower(name, family, sizes):
    """In the base time; trees learn ratios and correct it by little."""
    own = sheet(name)
    base = tensor(family, own, *sizes)
    faster = replace(own, bandwidth=2 * own.bandwidth)
    more = replace(own, units=2 * own.units, peak=2 * own.peak, watts=2 * own.watts)
    for better in (faster, more):
        assert tensor(family, better, *sizes) <= base * (1 + 1e-9)


@settings(max_examples=60)
@given(
    st.sampled_from(GPUS),
    st.sampled_from([1, 8, 64]),
    st.sampled_from([(32, 8), (64, 8), (16, 16), (12, 1)]),
    st.sampled_from([1, 100, 4096, 20_000]),
    st.sampled_from([64, 128, 256]),
    st.sampled_from([0, 128]),
)
def test_attention_beats_neither_peak_nor_memory(name, batch, heads, keys, size, window):
    at = sheet(name)
    sizes = np.array([[batch, *heads, keys, size, window]], float)
    found = FAMILIES["attention_decode"].problem(sizes, at)
    seen = min(keys, window) if window else keys
    moved = 4 * batch * (seen * heads[1] + heads[0]) * size
    flops = 4 * batch * heads[0] * seen * size
    assert found.bound_s[0] == pytest.approx(
        max(flops / at.peak, moved / at.bandwidth if moved >= at.l2_bytes else 0)
    )
    assert found.base_s[0] > found.bound_s[0]
    sizes = np.array([[batch, *heads, keys, keys, size, window, 1]], float)
    many = FAMILIES["attention_prefill"].problem(sizes, at)
    assert many.base_s[0] > many.bound_s[0]
    assert np.isfinite(many.features).all()
    assert np.isfinite(found.features).all()


@pytest.mark.parametrize("name", GPUS)
def test_more_keys_take_longer(name):
    device = find_device(name)
    times = []
    for context in (512, 4096, 32_768):
        keys = keys_of("llama3-8b", phase="decode", batch=32, context=context)
        (key,) = (key for key in keys if key.op_type == "Attention")
        (found,) = Learned(shipped()).estimate([key], device)
        assert found is not None
        assert found.source == "learned"
        times.append(found.seconds)
    assert times == sorted(times)


def test_predict_takes_attention_from_the_model():
    found = ly.predict(
        "llama3-8b", on="h100", phase="decode", batch=64, context=4096, dtype="bfloat16"
    )
    rows = [row for row in found.rows() if row.get("type", row.get("op_type")) == "Attention"]
    assert {row["source"] for row in rows} == {"learned"}
    cache_bytes = 2 * 2 * 64 * 4097 * 8 * 128
    assert all(1 <= row["seconds"] * 3350e9 / cache_bytes < 1.5 for row in rows)
