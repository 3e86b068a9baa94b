"""Drafts of a layer of the model's shape: what it holds, what it costs, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from serving_cases import plain_times

import lydite as ly
from lydite.api.load import RankOptions, resolve
from lydite.cluster import tensor_parallel
from lydite.errors import InputError
from lydite.estimate.runtimes import RUNTIMES, fuse_for_runtime
from lydite.hardware import find_device
from lydite.serving.layer_drafts import layer_bytes, layer_of, with_product
from lydite.serving.template import patterns

HIDDEN, INNER, LAYERS, VOCABULARY, KV = 256, 512, 3, 512, 128
CONFIG = {
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}
PRODUCTS = 2 * HIDDEN * HIDDEN + 2 * HIDDEN * KV + 3 * HIDDEN * INNER
LOAD = {"on": "h100", "concurrency": 4, "requests": 30, "isl": 100, "osl": 40}


def written(folder, **more):
    path = folder / "config.json"
    path.write_text(json.dumps({**CONFIG, **more}))
    return str(path)


def graph_of(model, ranks=1, phase="decode", count=4, context=64):
    batch, sequence = (count, None) if phase == "decode" else (None, count)
    options = RankOptions(
        batch=batch, sequence=sequence, dtype="bfloat16", phase=phase, context=context
    )
    graph = resolve(model, options, find_device("h100")).graph
    return fuse_for_runtime(tensor_parallel(graph, ranks), RUNTIMES["vllm"])


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_rank_holds_its_part_of_a_layer_and_all_of_the_product(tmp_path, ranks):
    held = layer_bytes(graph_of(written(tmp_path), ranks))
    assert held == 2 * (PRODUCTS // ranks + 2 * HIDDEN + 2 * HIDDEN * HIDDEN)


def test_deepseek_has_eleven_and_a_half_billion_parameters_for_it():
    """deepseek-ai/DeepSeek-V3, README_WEIGHTS.md: 11.5B without embedding and head, in fp8.

    The product takes two bytes each, and every 128 others a scale of two bytes (1.6 %).
    """
    product = 2 * 7168 * 7168
    expected = (11.5e9 - product) * (1 + 2 / 128) + 2 * product
    assert layer_bytes(graph_of("deepseek-v3")) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_a_layer_is_one_of_the_equal_ones(tmp_path, phase):
    """Each operator of a layer is there once, that of the whole model as often as it has layers."""
    model = written(tmp_path)

    def graphs(count, context):
        return graph_of(model, 1, phase, count, context)

    whole = {p.key.text: p for p in patterns(graphs, 4096, as_run=True)}
    layer = patterns(graphs, 4096, as_run=True, only=layer_of)
    products = [p for p in layer if p.key.op_type == "MatMul" or p.contextual]
    assert sum(p.contextual for p in layer) == 1
    assert len([p for p in products if not p.head]) >= 5
    for pattern in products:
        expected = 1 if pattern.head else LAYERS
        assert (pattern.count, whole[pattern.key.text].count) == (1, expected)
    assert sum(p.head for p in layer) == sum(p.head for p in whole.values())


def test_the_product_is_added_by_tokens(tmp_path):
    graph, seen = graph_of(written(tmp_path)), []

    def seconds(keys):
        seen.extend(keys)
        return np.array([float(key.inputs[0].type.shape[0]) for key in keys])

    before = plain_times()
    after = with_product(before, graph, seconds)
    added = after.dense_s - before.dense_s
    assert added == pytest.approx(np.arange(len(added)))
    assert {tuple(key.inputs[1].type.shape) for key in seen} == {(2 * HIDDEN, HIDDEN)}


def test_one_layer_cannot_be_told_apart(tmp_path):
    with pytest.raises(InputError, match="fewer than two"):
        layer_of(graph_of(written(tmp_path, num_hidden_layers=1)))


def test_eagle_takes_memory_and_gives_tokens(tmp_path):
    model = written(tmp_path)
    without = ly.serve(model, **LOAD).served["deployments"][0]
    result = ly.serve(model, draft="eagle", acceptance="0.8,0.6", **LOAD)
    row = result.served["deployments"][0]
    token, weights = without["kv_token_bytes"] or 0.0, without["weights_bytes"] or 0.0
    assert row["kv_token_bytes"] == pytest.approx(token * (1 + 1 / LAYERS))
    held = 2 * (PRODUCTS + 2 * HIDDEN + 2 * HIDDEN * HIDDEN)
    assert row["weights_bytes"] == weights + held
    assert row["step"]["drafts_s"] > 0
    assert row["speculation"] is not None
    assert row["speculation"]["expected"] == pytest.approx(0.8 + 0.8 * 0.6)
    assert not row["speculation"]["assumed"]
    assert row["steps"] < without["steps"]


def test_mtp_needs_a_layer_in_the_config(tmp_path):
    with pytest.raises(InputError, match="no layer for multi-token prediction"):
        ly.serve(written(tmp_path), draft="mtp", **LOAD)
    model = written(tmp_path, num_nextn_predict_layers=1)
    result = ly.serve(model, draft="mtp", **LOAD)
    told = result.served["deployments"][0]["speculation"]
    assert told is not None
    assert (told["tokens"], told["acceptance"], told["assumed"]) == (1, [0.85], True)
    assert "an assumed acceptance" in result.summary()
    assert any("2412.19437" in note for note in result.served["notes"])
    # more tokens have no chance that is known
    with pytest.raises(InputError, match="needs the chance"):
        ly.serve(model, draft="mtp", draft_tokens=3, **LOAD)


def test_what_is_not_modelled_is_refused(tmp_path):
    with pytest.raises(InputError, match="needs the chance"):
        ly.serve(written(tmp_path), draft="eagle", **LOAD)
    with pytest.raises(InputError, match="not modelled with pipeline stages"):
        ly.serve(written(tmp_path), draft="eagle", acceptance="0.8", pp=2, **LOAD)
    with pytest.raises(InputError, match="eagle is not modelled with experts that are spread"):
        ly.serve("mixtral-8x7b", draft="eagle", acceptance="0.8", ep=2, **{**LOAD, "on": "h200"})
