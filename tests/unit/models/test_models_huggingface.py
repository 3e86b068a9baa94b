"""Configs of transformers read as data: what is built, and what is refused by name."""

from __future__ import annotations

import json

import pytest

from lydite.cluster.tensor import rank_share
from lydite.errors import InputError
from lydite.graph import total_work
from lydite.models import build_model
from lydite.models.counts import multiply_adds
from lydite.models.huggingface import MAX_BYTES, TYPES, graph_from_config, read_config

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
BERT = {
    "model_type": "bert",
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 99,
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
        path = tmp_path / "some-model" / "config.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(data))
        return path

    return write


def test_a_published_config_is_the_model_of_the_set(config):
    path = config(LLAMA)
    for phase in ("prefill", "decode"):
        graph = graph_from_config(path, phase=phase, sequence=7, context=9)
        ours = build_model("llama3-8b", phase=phase, sequence=7, context=9, dtype="bfloat16")
        assert graph.ops == ours.ops
        assert graph.tensors == ours.tensors
    assert graph_from_config(path.parent, dtype="float32").type_of("logits").dtype == "float32"


def test_the_name_is_the_model_s(config, tmp_path):
    path = config(LLAMA)
    assert graph_from_config(path, sequence=1).name == "some-model"
    assert (
        read_config(config(LLAMA, _name_or_path="meta-llama/Llama-3.1-8B")).name == "Llama-3.1-8B"
    )
    other = tmp_path / "meta-llama--Llama-3.1-8B_config.json"
    other.write_text(path.read_text().replace("meta-llama/Llama-3.1-8B", ""))
    assert read_config(other).name == "Llama-3.1-8B"


@pytest.mark.parametrize(
    ("phase", "longest", "tokens", "context"),
    [
        ("prefill", 131072, 4096, 0),
        ("forward", 131072, 4096, 0),
        ("prefill", 300, 300, 0),
        ("decode", 131072, 1, 4095),
        ("decode", 300, 1, 299),
    ],
)
def test_a_config_takes_the_model_s_own_length_up_to_4096(config, phase, longest, tokens, context):
    path = config(LLAMA, num_hidden_layers=1, max_position_embeddings=longest)
    graph = graph_from_config(path, phase=phase)
    assert graph.type_of("input_ids").shape == (1, tokens)
    if context:
        assert graph.type_of("past_key_0").shape == (1, 8, context, 128)


@pytest.mark.parametrize("part", ["text", "vision"])
def test_the_parts_of_clip(config, part):
    graph = graph_from_config(config(CLIP), part=part, batch=2)
    ours = build_model({"text": "clip-text", "vision": "clip-image"}[part], batch=2)
    assert graph.parameter_count == ours.parameter_count
    assert multiply_adds(graph) == multiply_adds(ours)


def first(read) -> tuple:
    """Attention and feed-forward part of the first layer."""
    block = read.dimensions.all_blocks[0]
    return block.mixers[0], block.feed


def test_what_a_file_leaves_out_is_as_transformers_has_it(config):
    read = read_config(config(GPT2))
    _, feed = first(read)
    assert read.dtype == "float32"
    assert (feed.inner, feed.activation) == (3072, "gelu_tanh")
    assert (read.dimensions.eps, read.dimensions.tied) == (1e-5, True)
    mixer, _ = first(
        read_config(config(LLAMA, num_key_value_heads=..., rope_theta=..., head_dim=None))
    )
    assert (mixer.key_heads, mixer.rope_theta, mixer.size) == (32, 1e4, 128)
    given = config(LLAMA, rope_theta=..., rope_parameters={"rope_theta": 7.0})
    assert first(read_config(given))[0].rope_theta == 7
    vit = {
        "model_type": "vit",
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    assert read_config(config(vit)).dimensions.classes == 2
    labels = {"0": "cat", "1": "dog", "2": "?"}
    assert read_config(config(vit, id2label=labels)).dimensions.classes == 3


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"torch_dtype": "float16"}, "float16"),
        ({"torch_dtype": "float64"}, "float64"),
        ({"torch_dtype": "float8_e4m3fn"}, "float32"),
        ({"torch_dtype": ..., "dtype": "bfloat16"}, "bfloat16"),
        ({"torch_dtype": None}, "float32"),
    ],
)
def test_the_precision_is_the_config_s_where_it_is_ours(config, given, read):
    assert read_config(config(LLAMA, **given)).dtype == read


REFUSED = [
    (
        LLAMA,
        {"hidden_size": ..., "vocab_size": ...},
        "the field hidden_size of llama is missing",
    ),
    (LLAMA, {"max_position_embedings": 4096, "max_position_embeddings": ...}, "unknown field"),
    (
        LLAMA,
        {"max_position_embedings": 4096, "max_position_embeddings": ...},
        "did you mean 'max_position_embeddings'?",
    ),
    (LLAMA, {"quantization_config": {"bits": 4}}, "quant_method '' is not built; allowed: awq"),
    (
        LLAMA,
        {"quantization_config": {"quant_method": "gptq", "bits": 3}},
        "bits 3 is impossible; allowed: 4 or 8",
    ),
    (LLAMA, {"architectures": ["LlamaForTokenClassification"]}, "the head 'ForTokenClass"),
    (LLAMA, {"model_type": "lama"}, "unknown model_type 'lama'; allowed: "),
    (LLAMA, {"model_type": "lama"}, "did you mean 'llama'?"),
    (LLAMA, {"model_type": ...}, "unknown model_type 'None'"),
    (LLAMA, {"num_hidden_layers": 0}, "num_hidden_layers 0 is impossible; allowed: a whole number"),
    (LLAMA, {"layer_types": ["full_attention"]}, "allowed: a list of 32 words"),
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
    (LLAMA, {"rope_parameters": {"partial_rotary_factor": 1.5}}, "partial_rotary_factor"),
    (LLAMA, {"rope_parameters": 3}, "rope_parameters 3 is impossible; allowed: null or an object"),
    (BERT, {"position_embedding_type": "relative_key"}, 'allowed: "absolute"; nothing else'),
    (BERT, {"architectures": ["BertForMultipleChoice"]}, "the head 'ForMultipleChoice'"),
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
    (GPT2, {"part": "text"}, "has no part 'text'; allowed: none; the model is one"),
    (CLIP, {"part": "audio"}, "has no part 'audio'; allowed: text, vision"),
    (CLIP, {"part": "vision", "sequence": 7}, "takes no sequence; allowed: batch, dtype"),
    (CLIP, {"part": "text", "phase": "decode"}, "takes no phase; allowed: batch, sequence, dtype"),
]


@pytest.mark.parametrize(("base", "options", "message"), OPTIONS)
def test_options_that_a_config_does_not_take(config, base, options, message):
    with pytest.raises(InputError) as caught:
        graph_from_config(config(base), **options)
    assert message in str(caught.value)


def test_clip_whole_is_both_parts_and_a_scale(config):
    """151,277,313 parameters in transformers' CLIPModel of openai/clip-vit-base-patch32."""
    graph = graph_from_config(config(CLIP), batch=2)
    assert graph.parameter_count == 151_277_313
    assert graph.type_of(graph.outputs[0]).shape == (2, 2)


SEES = {
    "model_type": "qwen3_vl",
    "text_config": {**LLAMA, "model_type": "qwen3_vl_text", "head_dim": 128},
    "vision_config": {"model_type": "qwen3_vl", "hidden_size": 32},
}


def test_a_model_that_sees_gives_its_language_part_and_says_so(config):
    read = read_config(config(SEES))
    assert read.notes[0] == "the language model alone; its other parts: --part vision"
    assert first(read)[0].qk_norm == "head"
    tower = {"depth": 2, "hidden_size": 64, "num_heads": 4, "intermediate_size": 96}
    given = config({**SEES, "vision_config": {"model_type": "qwen3_vl", **tower}})
    graph = graph_from_config(given, part="vision", batch=3)
    assert graph.type_of(graph.outputs[0]).shape == (3, 256, 3584)
    with pytest.raises(InputError, match="unknown model_type 'some_sight_vision'"):
        other = {"model_type": "some_sight", "text_config": LLAMA, "vision_config": tower}
        read_config(config(other), part="vision")


def test_fields_that_may_matter_are_named_and_others_are_not(config):
    path = config(LLAMA, new_idea=True, other_idea=False, beta_dropout=0.5, _private=1, idea=1)
    assert read_config(path).notes == (
        "fields that were not understood and may matter: idea, new_idea",
    )


IMPOSSIBLE = [
    ({"model_type": "zamba2", "n_mamba_heads": 7}, "n_mamba_heads 7 is impossible"),
    ({"model_type": "diffllama", "num_key_value_heads": 1}, "num_key_value_heads 1 is impossible"),
    ({"model_type": "doge", "is_moe": True}, "is_moe true is impossible"),
    ({"model_type": "rwkv", "attention_hidden_size": 0}, "attention_hidden_size 0 is impossible"),
    ({"model_type": "recurrent_gemma", "block_types": ["state"]}, "block_types .* is impossible"),
    ({"model_type": "hrm_text", "H_cycles": 10**6}, "H_cycles 1000000 is impossible"),
    ({"model_type": "zaya", "num_experts_per_tok": 2}, "num_experts_per_tok 2 is impossible"),
    (
        {
            "model_type": "qwen4_exp_text",
            "layer_types": ["linear_attention"],
            "ple_layer_ids": [1],
            "heads_per_ngram": 10**6,
        },
        "heads_per_ngram 1000000 is impossible; allowed: up to 1024",
    ),
    (
        {"model_type": "marian", "share_encoder_decoder_embeddings": False, "d_model": 64},
        "share_encoder_decoder_embeddings false is impossible",
    ),
]


@pytest.mark.parametrize(("fields", "message"), IMPOSSIBLE)
def test_what_one_family_alone_can_have_wrong(config, fields, message):
    base = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 99}
    with pytest.raises(InputError, match=message):
        read_config(config({**base, **fields}))


def test_infinity_is_a_number(config):
    path = config(LLAMA)
    path.write_text(
        path.read_text().replace('"use_cache": true', '"time_step_limit": [0.0, Infinity]')
    )
    assert read_config(path).notes == ()


@pytest.mark.parametrize(
    ("rules", "weight", "elements"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "uint8", 64),
        ({"quant_method": "awq", "bits": 8, "group_size": 64}, "uint8", 64),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "float8e4m3fn", 128),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "uint8", 8),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "uint8", 32),
    ],
)
def test_weights_of_few_bits_are_stored_so_and_count_as_many(config, rules, weight, elements):
    """Llama-3.1-8B has 8,030,261,248 parameters, 1,050,673,152 of them in its two vocabularies."""
    graph = graph_from_config(config(LLAMA, quantization_config=rules), phase="decode", context=8)
    assert graph.parameter_count == 8_030_261_248
    packed = graph.type_of("query.weight")
    assert packed.dtype == weight
    assert packed.shape[-1] == elements
    bits = 8 if weight != "uint8" or (elements == 64 and rules.get("bits") == 8) else 4
    full = 2 * (1_050_673_152 + 65 * 4096)
    scales = graph.parameter_bytes - full - 6_979_321_856 * bits / 8
    assert 0 < scales < 0.3 * graph.parameter_bytes


def test_mxfp4_is_for_experts_only(config):
    path = config(
        LLAMA,
        model_type="gpt_oss",
        num_local_experts=8,
        num_experts_per_tok=2,
        intermediate_size=1024,
        quantization_config={"quant_method": "mxfp4"},
    )
    graph = graph_from_config(path, phase="decode", context=8)
    assert graph.type_of("experts.up").dtype == "uint8"
    assert graph.type_of("query.weight").dtype == "bfloat16"


def test_active_parameters_are_those_of_the_chosen_experts(config):
    """Mixtral 8x7B: 12.9 of 46.7 billion (arXiv:2401.04088, section 1)."""
    mixtral = {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}
    sizes = {"vocab_size": 32000, "max_position_embeddings": 32768}
    graph = graph_from_config(config(LLAMA, **mixtral, **sizes), sequence=1)
    assert graph.parameter_count == 46_702_792_704
    assert round(graph.active_parameter_count / 1e9, 1) == 12.9


def test_every_type_says_how_it_is_built():
    for row in TYPES.values():
        assert row.build.startswith("lydite.models.")
        assert set(row.options) <= {"sequence", "context", "phase", "kv_ranks"}


_SILU = {"hidden_act": "silu"}
PUBLISHED = {
    "deepseek-moe-16b": (
        16_375_728_128,
        {
            **_SILU,
            "model_type": "deepseek",
            "first_k_dense_replace": 1,
            "hidden_size": 2048,
            "intermediate_size": 10944,
            "moe_intermediate_size": 1408,
            "n_routed_experts": 64,
            "n_shared_experts": 2,
            "num_attention_heads": 16,
            "num_experts_per_tok": 6,
            "num_hidden_layers": 28,
            "vocab_size": 102400,
        },
    ),
    "dbrx": (
        131_596_523_520,
        {
            "model_type": "dbrx",
            "attn_config": {"clip_qkv": 8, "kv_n_heads": 8, "rope_theta": 500000},
            "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4},
            "d_model": 6144,
            "max_seq_len": 32768,
            "n_heads": 48,
            "n_layers": 40,
            "vocab_size": 100352,
        },
    ),
    "falcon-40b": (
        41_303_293_952,
        {
            "model_type": "RefinedWeb",
            "hidden_size": 8192,
            "n_head": 128,
            "n_head_kv": 8,
            "n_layer": 60,
            "multi_query": True,
            "parallel_attn": True,
            "vocab_size": 65024,
        },
    ),
    "phi-2": (
        2_779_683_840,
        {
            "model_type": "phi-msft",
            "n_embd": 2560,
            "n_head": 32,
            "n_inner": None,
            "n_layer": 32,
            "n_positions": 2048,
            "rotary_dim": 32,
            "vocab_size": 51200,
        },
    ),
    "openelm-270m": (
        271_527_168,
        {
            "model_type": "openelm",
            "activation_fn_name": "swish",
            "ffn_dim_divisor": 256,
            "ffn_multipliers": [
                *(0.5, 0.73, 0.97, 1.2, 1.43, 1.67, 1.9, 2.13),
                *(2.37, 2.6, 2.83, 3.07, 3.3, 3.53, 3.77, 4.0),
            ],
            "ffn_with_glu": True,
            "head_dim": 64,
            "max_context_length": 2048,
            "model_dim": 1280,
            "num_kv_heads": [3] * 5 + [4] * 7 + [5] * 4,
            "num_query_heads": [12] * 5 + [16] * 7 + [20] * 4,
            "num_transformer_layers": 16,
            "share_input_output_layers": True,
            "vocab_size": 32000,
        },
    ),
}
"""Parameters as the models' pages state them, and their configs."""


@pytest.mark.parametrize("model", PUBLISHED)
def test_models_with_code_of_their_own_have_their_published_parameters(config, model):
    parameters, fields = PUBLISHED[model]
    path = config(fields)
    assert graph_from_config(path, sequence=1).parameter_count == parameters
    assert read_config(path).notes == ()


def test_ternary_weights_take_two_bits(config):
    path = config(LLAMA, model_type="bitnet", quantization_config={"quant_method": "bitnet"})
    assert "ternary weights in 2 bits" in read_config(path).notes[0]
    plain = graph_from_config(config(LLAMA, model_type="bitnet"), sequence=1)
    packed = graph_from_config(
        config(LLAMA, model_type="bitnet", quantization_config={"quant_method": "bitnet"}),
        sequence=1,
    )
    bytes_of = {
        name: sum(g.type_of(w).nbytes or 0 for w in g.parameters)
        for name, g in (("plain", plain), ("packed", packed))
    }
    kept = 2 * 128256 * 4096 * 2
    assert (bytes_of["packed"] - kept) / (bytes_of["plain"] - kept) == pytest.approx(
        1 / 8, rel=0.02
    )


def test_a_layer_of_a_type_that_is_not_built_is_refused(config):
    path = config(LLAMA, layer_types=["full_attention"] * 31 + ["hashed_attention"])
    with pytest.raises(InputError, match="hashed_attention"):
        read_config(path)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"activation_sparsity_pattern": ["a"] * 32}, "activation_sparsity_pattern"),
        ({"intermediate_size": [8] * 3}, "one for each of the 32 layers"),
        ({"altup_active_idx": 1}, "altup_active_idx"),
    ],
)
def test_impossible_fields_of_gemma3n_are_refused(config, fields, said):
    with pytest.raises(InputError, match=said):
        read_config(config({**LLAMA, "model_type": "gemma3n_text", **fields}))


def test_one_half_of_an_encoder_and_decoder_is_refused(config):
    fields = {"model_type": "t5", "d_model": 64, "architectures": ["T5EncoderModel"]}
    with pytest.raises(InputError, match="T5EncoderModel is not built"):
        read_config(config(fields))


GEMMA3 = {
    "model_type": "gemma3",
    "text_config": {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "sliding_window": 1024,
    },
    "vision_config": {"model_type": "siglip_vision_model"},
}


def test_a_part_may_leave_out_main_sizes_which_are_named(config):
    read = read_config(config(GEMMA3))
    assert any("vocab_size 262208" in note for note in read.notes)
    assert first(read)[0].heads == 8  # Gemma3TextConfig of transformers


@pytest.mark.parametrize(
    ("kind", "whole", "own", "tied"),
    [
        ("gemma3", ..., False, True),
        ("gemma3", False, True, False),
        ("qwen3_vl", ..., True, False),
        ("qwen3_vl", True, False, True),
        ("qwen2_vl", ..., True, True),
        ("qwen2_vl", False, ..., False),
        ("internvl_chat", ..., True, True),
    ],
)
def test_the_whole_decides_whether_the_embedding_is_the_last_weight(config, kind, whole, own, tied):
    text = {**LLAMA, "model_type": "llama", "tie_word_embeddings": own}
    text = {k: v for k, v in text.items() if v is not ...}
    data = {"model_type": kind, "text_config": text, "tie_word_embeddings": whole}
    assert read_config(config(data)).dimensions.tied is tied


def test_a_field_with_another_word_in_it_is_no_slip(config):
    data = {**LLAMA, "model_type": "qwen3_moe", "num_experts": 8}
    notes = read_config(config(data, mlp_intermediate_size=8192)).notes
    assert any("mlp_intermediate_size" in note for note in notes)
    with pytest.raises(InputError, match="did you mean 'rms_norm_eps'"):
        read_config(config(LLAMA, rms_norm_eps=..., rms_norm_epz=1e-5))


def test_experts_may_have_fewer_bits_than_other_layers(config):
    rules = {"quant_method": "fp8", "weight_block_size": [128, 128], "expert_dtype": "fp4"}
    data = {**LLAMA, "model_type": "mixtral", "num_local_experts": 8, "quantization_config": rules}
    weights = read_config(config(data)).weights
    assert (weights.bits, weights.experts.bits, weights.experts.block) == (8, 4, 32)
    named = {
        "model.layers.0.self_attn.q_proj": {"quant_algo": "FP8"},
        "model.layers.0.mlp.experts.0.up_proj": {"quant_algo": "NVFP4"},
    }
    rules = {
        "quant_method": "modelopt",
        "quant_algo": "MIXED_PRECISION",
        "quantized_layers": named,
    }
    weights = read_config(config({**data, "quantization_config": rules})).weights
    assert (weights.bits, weights.experts.bits, weights.experts.block) == (8, 4, 16)


def test_a_searched_architecture_has_parts_by_layer(config):
    """Sizes by hand: attention with 8 heads of keys, then none; inner widths of 5.25 and 2.625."""
    wide = {"attention": {"n_heads_in_group": 8}, "ffn": {"ffn_mult": 5.25}}
    narrow = {"attention": {"no_op": True}, "ffn": {"ffn_mult": 2.625}}
    sizes = {"hidden_size": 8192, "num_attention_heads": 64, "num_hidden_layers": 2}
    data = {**LLAMA, **sizes, "model_type": "nemotron-nas", "num_key_value_heads": None}
    data |= {"block_configs": [wide, narrow], "intermediate_size": None}
    first_block, second = read_config(config(data)).dimensions.all_blocks
    assert (first_block.mixers[0].key_heads, first_block.feed.inner) == (8, 28672)
    assert (second.mixers, second.feed.inner) == ((), 14336)


def test_a_mixture_of_attention_heads_is_shared_by_ranks(tmp_path):
    """Each rank has a part of every matrix of queries and outputs, and of the keys of all."""
    path = tmp_path / "config.json"
    sizes = {"hidden_size": 256, "num_hidden_layers": 2, "intermediate_size": 128}
    heads = {"num_key_value_heads": 4, "kv_channels": 32, "vocab_size": 512}
    path.write_text(json.dumps({"model_type": "jetmoe", **sizes, **heads}))
    graph = graph_from_config(path, sequence=16, phase="prefill")
    share = rank_share(graph, 2)
    assert not share.whole  # the router is on every rank
    name = "lydite:MoEMatMul"
    whole, part = (total_work(each).by_type[name].flops for each in (graph, share.graph))
    assert part == whole / 2


@pytest.mark.parametrize(("name", "why"), [("blt", "bytes"), ("pi0", "motions")])
def test_what_is_known_and_not_built_is_refused_with_its_reason(name, why, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": name}))
    with pytest.raises(InputError, match=f"{name} is not built: .*{why}"):
        read_config(path)
