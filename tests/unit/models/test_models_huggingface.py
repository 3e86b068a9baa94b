"""Configs of transformers read as data: what is built, and what is refused by name."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from lydite.errors import InputError
from lydite.models import build_model
from lydite.models.counts import multiply_adds
from lydite.models.dimensions import Decoder
from lydite.models.huggingface import MAX_BYTES, graph_from_config, read_config
from lydite.models.huggingface_types import IGNORED, TYPES

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 128000,
    "eos_token_id": [128001, 128008],
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 14336,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {"factor": 8.0, "rope_type": "llama3"},
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.43.0",
    "use_cache": True,
    "vocab_size": 128256,
}
GPT2 = {
    "model_type": "gpt2",
    "vocab_size": 50257,
    "n_positions": 1024,
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
}
CLIP_TEXT = {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_attention_heads": 8,
    "num_hidden_layers": 12,
    "vocab_size": 49408,
    "top_k": 50,
    "is_encoder_decoder": False,
}
CLIP_VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "patch_size": 32,
}
CLIP = {
    "model_type": "clip",
    "projection_dim": 512,
    "torch_dtype": "float32",
    "text_config": CLIP_TEXT,
    "vision_config": CLIP_VISION,
}


@pytest.fixture
def config(tmp_path):
    """Writes a config, changed by keyword; a value of `...` takes the field away."""

    def write(base: dict, **change):
        data = {k: v for k, v in {**base, **change}.items() if v is not ...}
        path = tmp_path / "config.json"
        path.write_text(json.dumps(data))
        return path

    return write


def test_a_published_config_is_the_model_of_the_set(config):
    path = config(LLAMA)
    for phase in ("prefill", "decode"):
        graph = graph_from_config(path, phase=phase)
        ours = build_model("llama3-8b", phase=phase, dtype="bfloat16")
        assert graph.ops == ours.ops
        assert graph.tensors == ours.tensors
    assert graph.name == "llama"
    assert graph_from_config(path.parent, dtype="float32").type_of("logits").dtype == "float32"


@pytest.mark.parametrize("part", ["text", "vision"])
def test_the_parts_of_clip(config, part):
    graph = graph_from_config(config(CLIP), part=part, batch=2)
    ours = build_model({"text": "clip-text", "vision": "clip-image"}[part], batch=2)
    assert graph.parameter_count == ours.parameter_count
    assert multiply_adds(graph) == multiply_adds(ours)


def test_what_a_file_leaves_out_is_as_transformers_has_it(config):
    _, size, dtype = read_config(config(GPT2))
    assert dtype == "float32"
    assert (size.feed_forward, size.activation, size.eps, size.tied) == (
        3072,
        "gelu_tanh",
        1e-5,
        True,
    )
    _, size, _ = read_config(config(LLAMA, num_key_value_heads=..., rope_theta=..., head_dim=None))
    assert (size.key_heads, size.rope_theta, size.size) == (32, 1e4, 128)
    _, size, _ = read_config(config(LLAMA, rope_theta=..., rope_parameters={"rope_theta": 7.0}))
    assert size.rope_theta == 7
    vit = {
        "model_type": "vit",
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    assert read_config(config(vit))[1].classes == 2
    assert read_config(config(vit, id2label={"0": "cat", "1": "dog", "2": "?"}))[1].classes == 3


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"torch_dtype": "float16"}, "float16"),
        ({"torch_dtype": "float64"}, "float32"),
        ({"torch_dtype": ..., "dtype": "bfloat16"}, "bfloat16"),
        ({"torch_dtype": None}, "float32"),
    ],
)
def test_the_precision_is_the_config_s_where_it_is_ours(config, given, read):
    assert read_config(config(LLAMA, **given))[2] == read


REFUSED = [
    (
        LLAMA,
        {"hidden_size": ..., "vocab_size": ...},
        "the field(s) hidden_size, vocab_size of llama are missing",
    ),
    (LLAMA, {"hiden_size": 4096}, "unknown field 'hiden_size'"),
    (LLAMA, {"hiden_size": 4096}, "did you mean 'hidden_size'?"),
    (LLAMA, {"quantization_config": {"bits": 4}}, "unknown field 'quantization_config'"),
    (LLAMA, {"model_type": "lama"}, "unknown model_type 'lama'; allowed: bert, clip_text_model"),
    (LLAMA, {"model_type": "lama"}, "did you mean 'llama'?"),
    (LLAMA, {"model_type": ...}, "unknown model_type 'None'"),
    (LLAMA, {"num_hidden_layers": 0}, "num_hidden_layers 0 is impossible; allowed: a whole number"),
    (LLAMA, {"num_hidden_layers": 10**9}, "allowed: a whole number from 1 to 10000"),
    (LLAMA, {"hidden_size": "4096"}, 'hidden_size "4096" is impossible'),
    (LLAMA, {"hidden_size": True}, "hidden_size true is impossible"),
    (LLAMA, {"hidden_size": 4096.5}, "hidden_size 4096.5 is impossible"),
    (LLAMA, {"hidden_size": 4097}, "hidden 4097 is not divisible by heads 32"),
    (LLAMA, {"hidden_size": 4097}, "fields hidden_size, num_attention_heads"),
    (LLAMA, {"num_key_value_heads": 5}, "heads 32 is not divisible by kv_heads 5"),
    (LLAMA, {"rms_norm_eps": -1}, "rms_norm_eps -1 is impossible; allowed: a number above 0"),
    (LLAMA, {"hidden_act": "tanhshrink"}, 'hidden_act "tanhshrink" is impossible; allowed: gelu'),
    (LLAMA, {"tie_word_embeddings": 1}, "tie_word_embeddings 1 is impossible; allowed: true or"),
    (LLAMA, {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
    (GPT2, {"scale_attn_weights": False}, "scale_attn_weights false is impossible; allowed: true"),
    (GPT2, {"add_cross_attention": True}, "allowed: false; nothing else is built"),
    (CLIP, {}, "the model_type 'clip' has two parts"),
]


@pytest.mark.parametrize(("base", "change", "message"), REFUSED)
def test_a_config_that_is_not_understood(config, base, change, message):
    path = config(base, **change)
    with pytest.raises(InputError) as caught:
        read_config(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not a JSON object"),
        ('{"a": NaN}', "NaN is no finite number"),
        ('{"a": ' + "9" * 5000 + "}", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        (b"\xed\xa0\x80", "is not JSON"),
        (" " * (MAX_BYTES + 1), "too large"),
        (
            '{"model_type": "gpt2", "layer_norm_epsilon": 1e999, "n_embd": 8, "n_layer": 1, '
            '"n_head": 1, "vocab_size": 9}',
            "layer_norm_epsilon Infinity is impossible",
        ),
    ],
)
def test_a_file_that_is_no_config(tmp_path, text, message):
    path = tmp_path / "config.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message):
        read_config(path)


def test_no_file_at_all(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_config(tmp_path / "nowhere.json")


OPTIONS = [
    (GPT2, {"batch": 0}, "batch 0 is impossible; allowed: 1 and more"),
    (GPT2, {"sequence": 2000}, "sequence 2000 is impossible; allowed: 1 to 1024"),
    (GPT2, {"sequence": 0}, "sequence 0 is impossible"),
    (GPT2, {"phase": "train"}, "unknown phase 'train'"),
    (GPT2, {"sequence": 1024, "context": 1}, "more than the model's positions"),
    (GPT2, {"dtype": "int8"}, "unknown precision 'int8'"),
    (GPT2, {"part": "text"}, "has no parts"),
    (CLIP, {"part": "vision", "sequence": 7}, "takes no sequence; allowed: batch, dtype"),
    (CLIP, {"part": "text", "phase": "decode"}, "takes no phase; allowed: batch, sequence, dtype"),
]


@pytest.mark.parametrize(("base", "options", "message"), OPTIONS)
def test_options_that_a_config_does_not_take(config, base, options, message):
    with pytest.raises(InputError) as caught:
        graph_from_config(config(base), **options)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", TYPES)
def test_a_row_sets_dimensions_that_exist_and_nothing_twice(name):
    row = TYPES[name]
    known = {f.name for f in fields(row.dimensions)} | {"embedding"}
    assert {d for f in row.fields.values() for d in f.dimensions} <= known
    assert set(row.fixed) <= known
    assert not row.ignored & set(row.fields)
    assert not set(row.fields) & (IGNORED - {"id2label", "num_labels"})
    if row.dimensions is Decoder:
        assert row.options == ("sequence", "context", "phase")
