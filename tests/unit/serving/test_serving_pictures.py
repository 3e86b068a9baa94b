"""Images in prompts: times and bytes of the tower by another verb, and closed forms."""

from __future__ import annotations

import json

import pytest

import lydite as ly
from lydite.errors import InputError

WORDS = {
    "hidden_size": 512,
    "intermediate_size": 1024,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "vocab_size": 2048,
    "max_position_embeddings": 8192,
}
SIGHT = {
    "depth": 6,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_heads": 16,
    "out_hidden_size": 512,
    "deepstack_visual_indexes": [],
}
GIVEN = {"on": "h100", "rate": 0.5, "requests": 4, "isl": 600, "osl": 4, "spread": 0.0}


@pytest.fixture
def seeing(tmp_path):
    path = tmp_path / "config.json"
    parts = {"text_config": {**WORDS, "model_type": "qwen3_vl_text"}, "vision_config": SIGHT}
    path.write_text(json.dumps({"model_type": "qwen3_vl", **parts}))
    return str(path)


def row(model, **options):
    return ly.serve(model, **GIVEN, **options).served["deployments"][0]


def test_the_first_token_waits_for_the_towers_of_the_prompt_s_images(seeing):
    """A lone request's first token comes later by each tower's time, as `predict` has it."""
    tower = ly.predict(seeing, part="vision", on="h100", dtype="bfloat16", runtime="vllm").seconds
    plain, one, two = (row(seeing, images=n)["figures"]["ttft_s"]["p50"] for n in (0, 1, 2))
    assert one - plain == pytest.approx(tower, rel=0.05)
    assert two - plain == pytest.approx(2 * tower, rel=0.05)


def test_decoding_is_as_fast_and_the_weights_are_held(seeing):
    plain, one = row(seeing), row(seeing, images=1)
    assert one["figures"]["tpot_s"]["mean"] == pytest.approx(plain["figures"]["tpot_s"]["mean"])
    tower = ly.load(seeing, part="vision", dtype="bfloat16").graph.parameter_bytes
    # the device's memory has less room for the cache by as much
    room = (plain["kv_tokens"][0] - one["kv_tokens"][0]) * plain["kv_token_bytes"]
    assert room == pytest.approx(tower, rel=0.01)
    assert one["weights_bytes"] - plain["weights_bytes"] == tower


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"images": 3}, "600 tokens with 3 images of 256 tokens each; allowed: at most 2.34"),
        ({"image_tokens": 9}, "--image-tokens has no effect without images"),
    ],
)
def test_bad_input(seeing, options, line):
    with pytest.raises(InputError, match=line):
        row(seeing, **options)


def test_models_without_a_tower_are_refused(tmp_path):
    with pytest.raises(InputError, match="llama3-8b has no vision tower"):
        row("llama3-8b", images=1)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "llama", **WORDS}))
    with pytest.raises(InputError, match="has no part 'vision'"):
        row(str(path), images=1)
