"""A KV cache of eight-bit floats: its bytes by hand, its times by the published ratios."""

from __future__ import annotations

import json

import numpy as np
import pytest

import lydite as ly
from lydite.errors import InputError

GIVEN = {"on": "h100", "rate": 1.0, "requests": 20, "isl": 500, "osl": 50}


def row(model, **options):
    return ly.serve(model, **GIVEN, **options).document()["deployments"][0]


@pytest.fixture
def hybrid(tmp_path):
    """Two layers, of which one keeps a state of 16 heads of 32 x 32 in float32."""
    path = tmp_path / "config.json"
    config = {
        "model_type": "qwen3_next",
        "hidden_size": 512,
        "intermediate_size": 1024,
        "num_hidden_layers": 2,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "vocab_size": 1024,
        "max_position_embeddings": 4096,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 64,
        "shared_expert_intermediate_size": 128,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 16,
        "linear_key_head_dim": 32,
        "linear_value_head_dim": 32,
        "layer_types": ["linear_attention", "full_attention"],
    }
    path.write_text(json.dumps(config))
    return str(path)


def test_a_token_takes_half_the_bytes_and_twice_as_many_fit():
    plain, narrow = (row("llama3-8b", kv_dtype=dtype) for dtype in ("auto", "fp8"))
    keys_and_values = 2 * 32 * 8 * 128  # layers, heads, width
    assert plain["kv_token_bytes"] == pytest.approx(2 * keys_and_values, rel=3e-3)
    assert narrow["kv_token_bytes"] == pytest.approx(keys_and_values, rel=3e-3)
    assert narrow["kv_tokens"][0] == pytest.approx(2 * plain["kv_tokens"][0], rel=2e-3)


def test_states_stay_as_they_are(hybrid):
    plain, narrow = (row(hybrid, kv_dtype=dtype) for dtype in ("auto", "fp8"))
    keys_and_values = 2 * 2 * 32  # of the one layer that attends
    context = 500 + 50 / 2
    assert plain["kv_token_bytes"] - narrow["kv_token_bytes"] == pytest.approx(
        keys_and_values, rel=0.02
    )
    assert narrow["kv_token_bytes"] > 16 * 32 * 32 * 4 / context


@pytest.mark.parametrize(
    ("runtime", "short", "long"), [("vllm", 1.11, 0.91), ("trtllm", 0.87, 0.54)]
)
def test_attention_takes_the_published_share_of_its_time(runtime, short, long):
    from lydite.api.load import ModelOptions
    from lydite.api.serving.deployment import Deployer
    from lydite.api.serving.options import ServeOptions
    from lydite.hardware import find_device
    from lydite.serving.deploy import find_serving_runtime
    from lydite.serving.layout import Part

    def tables(dtype):
        options = ServeOptions(runtime=runtime, kv_dtype=dtype)
        device, rules = find_device("h100"), find_serving_runtime(runtime)
        model = "llama3-8b", options, ModelOptions()
        made = Deployer(ly.Session(), *model, device, rules, 500, 8192, 8192)
        return made.rank(Part()).times

    plain, narrow = tables("auto"), tables("fp8")
    ratios = narrow.decode_s / plain.decode_s
    layer_s = plain.decode_s / 32
    assert ratios[layer_s < 10e-6] == pytest.approx(short)
    assert ratios[layer_s > 350e-6] == pytest.approx(long)
    between = np.sqrt(10e-6 * 350e-6)
    near = ratios.ravel()[np.argmin(np.abs(np.log(layer_s.ravel() / between)))]
    assert near == pytest.approx((short + long) / 2, abs=0.03)
    assert np.array_equal(narrow.prefill_s, plain.prefill_s)


def test_an_unknown_type_is_refused_and_the_assumption_is_said():
    with pytest.raises(InputError, match="unknown KV cache's data type 'fp9'; allowed: auto, fp8"):
        row("llama3-8b", kv_dtype="fp9")
    with pytest.raises(InputError, match="with a model in float32 is not modelled"):
        row("llama3-8b", kv_dtype="fp8", dtype="float32")
    said = str(ly.serve("llama3-8b", **GIVEN, kv_dtype="fp8").summary())
    words = " ".join(said.split())
    assert "0.91 (long) to 1.11 (short)" in words
    assert "half of the rows lie within 6.0 % of that" in words
