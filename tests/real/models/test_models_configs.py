"""Families with selected, compressed or gated attention, against transformers' modules."""

from __future__ import annotations

import json
import math

import pytest

from lydite.models.counts import multiply_adds
from lydite.models.huggingface import graph_from_config, read_config

torch = pytest.importorskip("torch")
hf = pytest.importorskip("transformers")
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

_BASE = {
    "hidden_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 999,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "moe_intermediate_size": 128,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
}
_LATENT = {
    **_BASE,
    "intermediate_size": 640,
    "q_lora_rank": 96,
    "kv_lora_rank": 64,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16,
    "v_head_dim": 24,
    "n_group": 1,
    "topk_group": 1,
}
_INDEXED = {**_LATENT, "index_n_heads": 4, "index_head_dim": 32, "index_topk": 64}
SMALL = {
    "deepseek_v4": {
        **_BASE,
        "num_key_value_heads": 1,
        "head_dim": 64,
        "partial_rotary_factor": 0.25,
        "q_lora_rank": 96,
        "o_groups": 2,
        "o_lora_rank": 48,
        "index_n_heads": 4,
        "index_head_dim": 32,
        "compress_rates": {"compressed_sparse_attention": 4, "heavily_compressed_attention": 8},
    },
    "deepseek_v32": _INDEXED,
    "glm_moe_dsa": {**_INDEXED, "index_topk_freq": 3},
    "hy_v4": _INDEXED,
    "axk2": _INDEXED,
    "mistral4": _LATENT,
    "mistral_large4_text": {
        **{k: v for k, v in _INDEXED.items() if k != "q_lora_rank"},
        "kv_source_layers": [0, 1, 2, 3, 0, 1],
    },
    "dots3_note_text": {
        **_INDEXED,
        "shared_experts_intermediate_size": 64,
        "swa_num_attention_heads": 2,
        "swa_num_key_value_heads": 2,
        "swa_kv_lora_rank": 48,
    },
    "muse_glimmer_text": {
        **{k: v for k, v in _BASE.items() if "expert" not in k and "moe" not in k},
        "intermediate_size": 640,
        "num_key_value_heads": 2,
        "head_dim": 64,
    },
    "muse_spark_text": {
        **{k: v for k, v in _BASE.items() if k != "n_routed_experts"},
        "num_local_experts": 8,
        "intermediate_size": 640,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "moe_hidden_size": 96,
    },
    "inkling_text": {
        **_BASE,
        "intermediate_size": 640,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "swa_num_attention_heads": 4,
        "swa_num_key_value_heads": 2,
        "swa_head_dim": 32,
        "rel_extent": 48,
        "mlp_layer_types": ["dense"] + ["sparse"] * 5,
    },
    "gemma4_text": {
        **{k: v for k, v in _BASE.items() if k != "n_routed_experts"},
        "intermediate_size": 640,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "global_head_dim": 96,
        "hidden_size_per_layer_input": 0,
        "enable_moe_block": True,
        "num_experts": 8,
        "top_k_experts": 2,
    },
    "beam": {
        **{k: v for k, v in _BASE.items() if k != "n_routed_experts"},
        "num_experts": 8,
        "n_group": 1,
        "topk_group": 1,
        "intermediate_size": 640,
        "num_key_value_heads": 2,
        "head_dim": 64,
    },
    "jetmoe": {
        "hidden_size": 256,
        "num_hidden_layers": 3,
        "num_key_value_heads": 2,
        "kv_channels": 32,
        "intermediate_size": 128,
        "vocab_size": 999,
        "num_local_experts": 5,
        "num_experts_per_tok": 3,
    },
    "step3p5": {
        **_BASE,
        "intermediate_size": 640,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "num_sliding_attention_heads": 6,
        "sliding_window": 512,
        "layer_types": ["full_attention", "sliding_attention"] * 3,
        "share_expert_dim": 96,
    },
}
TOKENS = 32


def made(model_type: str, fields: dict, path):
    """The module of a type with attention in single products, and its config as a file."""
    from transformers.models.auto import modeling_auto as auto
    from transformers.models.step3p7 import modeling_step3p7 as step

    config = hf.AutoConfig.for_model(model_type, **fields)
    config._attn_implementation = "eager"
    causal = model_type in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if model_type == "step3p5":
        net = step.Step3p7TextModel(config)
    else:
        net = (hf.AutoModelForCausalLM if causal else hf.AutoModel).from_config(config)
    document = json.loads(config.to_json_string(use_diff=False))
    heads = {"architectures": ["OneForCausalLM" if causal else "OneTextModel"]}
    path.write_text(json.dumps({**document, **heads}))
    return net.eval()


@pytest.mark.parametrize("model_type", SMALL)
def test_small_instances_do_the_work_of_the_module(model_type, tmp_path):
    path = tmp_path / "config.json"
    net = made(model_type, SMALL[model_type], path)
    graph = graph_from_config(path, batch=2, sequence=TOKENS, phase="forward")
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    if hasattr(net, "set_experts_implementation"):  # the counter does not know a grouped product
        net.set_experts_implementation("batched_mm")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(input_ids=torch.ones(2, TOKENS, dtype=torch.int64), use_cache=False)
    assert 2 * multiply_adds(graph) == pytest.approx(counter.get_total_flops(), rel=5e-3)
    assert graph_from_config(path, phase="decode", context=24).parameter_count > 0


REAL = {
    "gemma3": {
        "model_type": "gemma3",
        "text_config": {
            "hidden_size": 2560,
            "intermediate_size": 10240,
            "model_type": "gemma3_text",
            "num_hidden_layers": 34,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024,
        },
        "vision_config": {"model_type": "siglip_vision_model", "num_hidden_layers": 1},
    },
    "qwen3_vl": {
        "model_type": "qwen3_vl",
        "text_config": {"model_type": "qwen3_vl_text", "num_hidden_layers": 4},
        "tie_word_embeddings": True,
        "vision_config": {"model_type": "qwen3_vl", "depth": 1},
    },
    "qwen2_vl": {
        "model_type": "qwen2_vl",
        "text_config": {"num_hidden_layers": 4, "tie_word_embeddings": True},
        "vision_config": {"depth": 1},
    },
    "mistral3": {
        "model_type": "mistral3",
        "text_config": {"model_type": "mistral", "hidden_size": 512, "tie_word_embeddings": False},
        "vision_config": {"model_type": "pixtral", "num_hidden_layers": 1},
    },
    "qwen3_moe": {
        "model_type": "qwen3_moe",
        "hidden_size": 512,
        "num_hidden_layers": 4,
        "vocab_size": 999,
        "quantization_config": None,
        "rope_scaling": None,
    },
    "deepseek_v4": {
        "model_type": "deepseek_v4",
        "hidden_size": 512,
        "num_hidden_layers": 5,
        "vocab_size": 999,
        "compress_ratios": [0, 0, 4, 128, 4, 0],
        "num_hash_layers": 1,
        "qk_rope_head_dim": 64,
    },
}
"""Files as published ones are: what is usual is left out, older names are used."""


@pytest.mark.parametrize("name", REAL)
def test_what_a_file_leaves_out_is_as_the_module_has_it(name, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(REAL[name]))
    config = hf.AutoConfig.from_pretrained(tmp_path)
    known = hf.AutoModelForCausalLM._model_mapping
    seeing = hf.AutoModelForImageTextToText
    with torch.device("meta"):
        net = (hf.AutoModelForCausalLM if type(config) in known else seeing).from_config(config)
    parts = [net.get_decoder(), net.get_output_embeddings()]
    theirs = {id(p): p.numel() for part in parts if part for p in part.parameters()}
    graph = graph_from_config(path, sequence=1, phase="forward")
    assert graph.parameter_count == sum(theirs.values())
    assert "dimensions" in repr(read_config(path))


def test_a_cached_token_of_deepseek_v4_has_the_entries_of_the_config(tmp_path):
    """A key of every layer's rate and, where some are selected, one of the indexer."""
    path = tmp_path / "config.json"
    fields = {**REAL["deepseek_v4"], "head_dim": 512, "index_head_dim": 128}
    path.write_text(json.dumps(fields))

    def cached(context: int) -> int:
        graph = graph_from_config(path, phase="decode", context=context)
        shapes = [graph.type_of(name).shape for name in graph.inputs if name.startswith("past_")]
        return sum(math.prod(map(int, shape or ())) for shape in shapes)

    tokens, (alone, selected, compressed) = 1024, (2, 2, 1)
    entries = selected * (512 + 128) / 4 + compressed * 512 / 128
    assert alone + selected + compressed == fields["num_hidden_layers"]
    assert cached(2048 + tokens) - cached(2048) == tokens * entries
