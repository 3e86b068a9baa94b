"""Families with states, shared parts or cross-attention, against transformers' modules."""

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
    "num_key_value_heads": 2,
    "vocab_size": 999,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "intermediate_size": 640,
}
_STATES = {"hidden_size": 256, "num_hidden_layers": 4, "vocab_size": 999}
SMALL = {
    "diffllama": _BASE,
    "doge": _BASE,
    "ernie4_5_vl_moe_text": {
        **_BASE,
        "num_attention_heads": 2,
        "moe_intermediate_size": [96, 48],
        "moe_num_experts": 8,
        "moe_k": 2,
    },
    "hrm_text": {
        **{k: v for k, v in _BASE.items() if k != "num_key_value_heads"},
        "num_hidden_layers": 2,
        "head_dim": 64,
    },
    "mllama_text_model": {**_BASE, "cross_attention_layers": [1, 4]},
    "modernbert-decoder": {k: v for k, v in _BASE.items() if k != "num_key_value_heads"},
    "recurrent_gemma": {**_BASE, "num_key_value_heads": 1, "lru_width": 320},
    "rwkv": {**_STATES, "attention_hidden_size": 192},
    "xlstm": {**_STATES, "num_heads": 4},
    "inkling2_text": {
        **{k: v for k, v in _BASE.items() if k != "intermediate_size"},
        "num_hidden_layers": 8,
        "head_dim": 64,
        "moe_intermediate_size": 96,
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "swa_num_attention_heads": 4,
        "swa_num_key_value_heads": 2,
        "swa_head_dim": 32,
        "sliding_window_size": 64,
        "rel_extent": 48,
        "n_layers_per_attn_res_block": 3,
        "layer_types": ["hybrid_sliding", "hybrid"] * 4,
    },
    "qwen4_exp_text": {
        **{k: v for k, v in _BASE.items() if k != "intermediate_size"},
        "head_dim": 64,
        "moe_intermediate_size": 96,
        "shared_expert_intermediate_size": 80,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 32,
        "linear_value_head_dim": 32,
        "hc_lowrank": 24,
        "indexer_n_heads": 4,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 64,
        "indexer_budget": 64,
        "indexer_compress_ratio": 8,
        "layer_types": ["linear_attention", "indexed_attention"] * 3,
        "ple_layer_ids": [1, 3],
        "ngram_vocab_size_base": 500,
        "heads_per_ngram": 2,
    },
    "zaya": {
        **_BASE,
        "head_dim": 64,
        "moe_intermediate_size": 96,
        "num_experts": 8,
        "router_hidden_size": 32,
        "layer_types": ["hybrid", "hybrid_sliding"] * 3,
        "sliding_window": 64,
    },
    "zamba": {**_BASE, "num_key_value_heads": 4, "num_hidden_layers": 9},
    "zamba2": {
        **_BASE,
        "num_key_value_heads": 4,
        "n_mamba_heads": 8,
        "mamba_d_state": 16,
        "num_mem_blocks": 2,
        "use_shared_attention_adapter": True,
        "use_mem_rope": True,
        "adapter_rank": 24,
        "layers_block_type": ["mamba", "hybrid"] * 3,
    },
    "glm5_next_text": {
        **{k: v for k, v in _BASE.items() if k != "num_key_value_heads"},
        "num_hidden_layers": 8,
        "num_key_value_heads": 4,
        "moe_intermediate_size": 128,
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "q_lora_rank": 96,
        "kv_lora_rank": 64,
        "qk_nope_head_dim": 32,
        "qk_rope_head_dim": 0,
        "v_head_dim": 24,
        "n_group": 1,
        "topk_group": 1,
        "index_n_heads": 4,
        "index_head_dim": 32,
        "index_topk": 64,
        "linear_num_heads": 4,
        "linear_head_dim": 32,
    },
}
BATCH, TOKENS = 2, 32
PICTURE = 4 * ((448 // 14) ** 2 + 1)
"""Tokens of a picture of transformers' usual tower of Llama 3.2 Vision."""


def made(model_type: str, path):
    """A small module of a type with attention in single products, and its config as a file."""
    from transformers.models.auto import modeling_auto as auto
    from transformers.models.ernie4_5_vl_moe import modeling_ernie4_5_vl_moe as ernie
    from transformers.models.mllama import modeling_mllama as mllama

    config = hf.AutoConfig.for_model(model_type, **SMALL[model_type])
    config._attn_implementation = "eager"
    alone = {
        "mllama_text_model": mllama.MllamaForCausalLM,
        "ernie4_5_vl_moe_text": ernie.Ernie4_5_VLMoeTextModel,
    }
    causal = model_type in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if model_type in alone:
        net = alone[model_type](config)
    else:
        net = (hf.AutoModelForCausalLM if causal else hf.AutoModel).from_config(config)
    head = "ForCausalLM" if hasattr(net, "lm_head") or hasattr(net, "head") else "TextModel"
    document = json.loads(config.to_json_string(use_diff=False))
    path.write_text(json.dumps({**document, "architectures": [f"One{head}"]}))
    if hasattr(net, "set_experts_implementation"):  # the counter does not know a grouped product
        net.set_experts_implementation("batched_mm")
    return net.eval()


def counted(net, **given) -> dict[str, int]:
    """FLOPs of a forward pass by operator, as PyTorch counts them."""
    ids = torch.ones(BATCH, TOKENS, dtype=torch.int64)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(input_ids=ids, use_cache=False, **given)
    found = {str(op): count for op, count in counter.get_flop_counts()["Global"].items()}
    return {**found, "total": counter.get_total_flops()}


def read_state(heads: int, key: int, value: int, layers: int) -> int:
    """FLOPs of states [key, value] that are added to and read for every token."""
    return layers * BATCH * TOKENS * heads * 2 * (2 * key * value)


EXACT = (
    "diffllama",
    "doge",
    "hrm_text",
    "ernie4_5_vl_moe_text",
    "mllama_text_model",
    "modernbert-decoder",
)


@pytest.mark.parametrize("model_type", EXACT)
def test_parts_of_their_own_do_the_work_of_the_module(model_type, tmp_path):
    path = tmp_path / "config.json"
    net = made(model_type, path)
    graph = graph_from_config(path, batch=BATCH, sequence=TOKENS, phase="forward")
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    picture = {"cross_attention_states": torch.zeros(BATCH, PICTURE, 256)}
    given = picture if model_type == "mllama_text_model" else {}
    assert 2 * multiply_adds(graph) == counted(net, **given)["total"]


@pytest.mark.parametrize(
    ("model_type", "ours_alone", "theirs_alone"),
    [
        # elementwise in the module
        ("recurrent_gemma", read_state(320, 1, 1, layers=4), ("aten.convolution",)),
        ("rwkv", read_state(192, 1, 2, layers=4), ()),
        # the module adds to its normaliser, a column of ours, without a product
        ("xlstm", read_state(4, 32, 1, layers=4) // 2, ()),
    ],
)
def test_recurrences_do_the_work_of_the_module(model_type, ours_alone, theirs_alone, tmp_path):
    path = tmp_path / "config.json"
    net = made(model_type, path)
    graph = graph_from_config(path, batch=BATCH, sequence=TOKENS, phase="forward")
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    theirs = counted(net)
    theirs = theirs["total"] - sum(theirs[name] for name in theirs_alone)
    assert 2 * multiply_adds(graph) - ours_alone == theirs


def test_zamba_does_the_work_of_the_module(tmp_path):
    """But for what the slow path's scan multiplies, one product of a state a token."""
    path = tmp_path / "config.json"
    net = made("zamba", path)
    graph = graph_from_config(path, batch=BATCH, sequence=TOKENS, phase="forward")
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    theirs = counted(net)
    scan = 9 * BATCH * TOKENS * 2 * (512 * 16)
    assert 2 * multiply_adds(graph) == theirs["total"] - theirs["aten.convolution"] - scan


def test_zaya_does_the_work_of_the_module(tmp_path):
    """But for convolutions channel by channel, and values of a token of zeros before the first."""
    path = tmp_path / "config.json"
    net = made("zaya", path)
    graph = graph_from_config(path, batch=BATCH, sequence=TOKENS, phase="forward")
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    channelwise = 2 * BATCH * (TOKENS + 1) * (4 + 2) * 64 * 2
    before = 2 * BATCH * 256 * 64
    assert 2 * multiply_adds(graph) == counted(net)["total"] - 6 * (channelwise + before)


def test_zamba2_does_the_work_of_the_module(tmp_path):
    """But for the scan, which the module computes in padded chunks."""
    path = tmp_path / "config.json"
    net = made("zamba2", path)
    graph = graph_from_config(path, batch=BATCH, sequence=TOKENS, phase="forward")
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    pairs = 3 * BATCH * 4 * TOKENS**2 * 2 * (128 + 128)
    states = read_state(8, 16, 64, layers=6)
    assert 2 * multiply_adds(graph) == counted(net)["aten.mm"] + pairs + states


def test_glm5_next_differs_by_the_chunks_of_the_delta_rule_alone(tmp_path):
    """The module's rule works on chunks of 64 tokens and pads to them; ours is token by token.

    Weights of the indexer's heads are a product there and a weighted sum here.
    """
    path = tmp_path / "config.json"
    net = made("glm5_next_text", path)
    graph = graph_from_config(path, batch=BATCH, sequence=TOKENS, phase="forward")
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    linear = [i for i, kind in enumerate(net.config.layer_types) if kind == "linear_attention"]
    ids = torch.ones(BATCH, TOKENS, dtype=torch.int64)
    with torch.no_grad(), FlopCounterMode(display=False, depth=9) as counter:
        net(input_ids=ids, use_cache=False)
    by_module = counter.get_flop_counts()
    name = type(net).__name__
    chunks = sum(
        count
        for i in linear
        for op, count in by_module[f"{name}.layers.{i}.self_attn"].items()
        if str(op) in ("aten.bmm", "aten.convolution")
    )
    ours = 2 * multiply_adds(graph) - read_state(4, 32, 32, layers=len(linear))
    weights = (8 - len(linear)) * BATCH * TOKENS * 2 * 4 * (TOKENS // net.config.index_kpool)
    assert ours == counter.get_total_flops() - chunks - weights


def test_qwen4_does_the_work_of_the_module(tmp_path):
    """But for the chunks of its delta rule, and scores of the pools that a query may not see."""
    path = tmp_path / "config.json"
    net = made("qwen4_exp_text", path)
    graph = graph_from_config(path, batch=BATCH, sequence=TOKENS, phase="forward")
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    assert read_config(path).notes == ()
    ids = torch.ones(BATCH, TOKENS, dtype=torch.int64)
    with torch.no_grad(), FlopCounterMode(display=False, depth=9) as counter:
        net(input_ids=ids, use_cache=False)
    by_module = counter.get_flop_counts()
    name, theirs = f"{type(net).__name__}.model", counter.get_total_flops()
    for layer in range(0, 6, 2):
        rule = by_module[f"{name}.layers.{layer}.linear_attn"]
        theirs -= sum(n for op, n in rule.items() if str(op) in ("aten.bmm", "aten.convolution"))
    projected = 2 * BATCH * TOKENS * 256 * (4 + 1) * 64
    for layer in range(1, 6, 2):
        indexer = by_module[f"{name}.layers.{layer}.self_attn.indexer"]
        theirs -= sum(indexer.values()) - projected
    scores = 3 * 2 * BATCH * TOKENS * 4 * 64 * (TOKENS // 8)
    ours = 2 * multiply_adds(graph) - read_state(4, 32, 32, layers=3)
    assert ours - scores == theirs


def test_inkling2_does_the_work_of_the_module(tmp_path):
    """But for means of kept states, a fused attention that the counter does not know on a CPU."""
    path = tmp_path / "config.json"
    net = made("inkling2_text", path)
    graph = graph_from_config(path, batch=BATCH, sequence=TOKENS, phase="forward")
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    assert read_config(path).notes == ()
    kept = [1 + layer // 3 for layer in range(8)]  # states kept once a layer's attention is done
    before = [1 + (layer - 1) // 3 for layer in range(1, 8)]
    queries = [1 + 2 * (layer % 2) for layer in range(1, 8)]
    read = sum((count + 1) * n for count, n in zip(before, queries, strict=True))
    read += sum(count + 1 for count in kept) + kept[-1] + 1
    means = read * 2 * (2 * BATCH * TOKENS * 256)
    theirs = counted(net)
    assert 2 * multiply_adds(graph) - means == theirs["total"] - theirs["aten.convolution"]


def test_an_indexer_of_pools_bounds_what_a_query_attends_to(tmp_path):
    path = tmp_path / "config.json"
    made("qwen4_exp_text", path)
    step = graph_from_config(path, phase="decode", context=200)
    windows = {op.attrs.get("window") for op in step.ops if op.op_type == "Attention"}
    assert windows == {64 + 8 - 1}
    assert step.type_of("past_key_1").shape == (1, 2, 200, 64)


@pytest.mark.parametrize(
    ("model_type", "grows"),
    [
        ("recurrent_gemma", 2 * 1 * 64 * 2),
        ("rwkv", 0),
        ("xlstm", 0),
        ("zamba", 2 * 4 * 128 * 2),
        ("zamba2", 2 * 4 * 128 * 3),
        ("mllama_text_model", 2 * 2 * 64 * 4),
        ("zaya", 2 * 2 * 64 * 3),
        ("hrm_text", 2 * 4 * 64 * 2 * 8),
        ("qwen4_exp_text", 3 * (2 * 2 * 64 + 64)),
        ("inkling2_text", 4 * 2 * 2 * 64),
        ("doge", 2 * 2 * 64 * 6 + 2 * 6),
        ("diffllama", 2 * 2 * 64 * 6),
    ],
)
def test_only_attention_to_earlier_tokens_grows_with_them(model_type, grows, tmp_path):
    """Entries of the cache that one more token adds; states and pictures stay as they are."""
    path = tmp_path / "config.json"
    made(model_type, path)

    def cached(context: int) -> int:
        graph = graph_from_config(path, phase="decode", context=context)
        shapes = [graph.type_of(name).shape for name in graph.inputs if name.startswith("past_")]
        return sum(math.prod(map(int, shape or ())) for shape in shapes)

    assert cached(90) - cached(89) == grows
    assert cached(90) > 0


def test_a_picture_s_keys_are_made_once(tmp_path):
    """Prefill reads the picture's states; a step takes their keys and values, and no more work."""
    path = tmp_path / "config.json"
    tower = {"image_size": 560, "patch_size": 14, "max_num_tiles": 4}
    text = {**SMALL["mllama_text_model"], "model_type": "mllama_text_model"}
    path.write_text(
        json.dumps({"model_type": "mllama", "text_config": text, "vision_config": tower})
    )
    count = 4 * (40 * 40 + 1)
    prefill = graph_from_config(path, phase="prefill", sequence=8)
    assert prefill.type_of("cross_states").shape == (1, count, 256)
    assert prefill.type_of("present_key_1").shape == (1, 2, count, 64)
    step = graph_from_config(path, phase="decode", context=8)
    assert "cross_states" not in step.inputs
    assert step.type_of("past_value_4").shape == (1, 2, count, 64)
    assert "present_key_1" not in step.outputs
    assert "present_key_0" in step.outputs
    assert any(f"{count} tokens of one picture" in note for note in read_config(path).notes)


def test_the_tower_of_tiles_does_the_work_of_the_module(tmp_path):
    """Its tokens are as wide as all that it gives out."""
    from transformers.models.mllama import modeling_mllama as mllama

    tower = {
        "hidden_size": 64,
        "num_hidden_layers": 4,
        "num_global_layers": 2,
        "attention_heads": 4,
        "intermediate_size": 96,
        "image_size": 56,
        "vision_output_dim": 192,
        "intermediate_layers_indices": [1, 2],
    }
    config = hf.AutoConfig.for_model("mllama", vision_config=tower)
    config.vision_config._attn_implementation = "eager"
    net = mllama.MllamaVisionModel(config.vision_config).eval()
    path = tmp_path / "config.json"
    path.write_text(config.to_json_string(use_diff=False))
    graph = graph_from_config(path, part="vision", batch=BATCH)
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    image = torch.zeros(BATCH, 1, 4, 3, 56, 56)
    ids, mask = torch.ones(BATCH, 1, dtype=torch.int64), torch.ones(BATCH, 1, 4)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        given = net(image, ids, mask).last_hidden_state
    assert graph.type_of(graph.outputs[0]).shape == (BATCH, 4 * 17, given.shape[-1])
    by_op = {str(op): count for op, count in counter.get_flop_counts()["Global"].items()}
    hidden_tiles = 2 * BATCH * (4 * 24) ** 2  # the module makes its mask by a product
    assert 2 * multiply_adds(graph) == sum(by_op.values()) - hidden_tiles


def test_a_dynamic_mask_leaves_as_many_keys_as_the_config_keeps(tmp_path):
    """Doge: products of a token's attention end to grow at `keep_window_size` keys."""
    path = tmp_path / "config.json"
    made("doge", path)
    raw = json.loads(path.read_text())
    path.write_text(json.dumps({**raw, "keep_window_size": 128}))

    def decode(context: int):
        return graph_from_config(path, phase="decode", context=context)

    def products(context: int) -> int:
        return multiply_adds(decode(context))

    each = 6 * 4 * 2 * 64  # layers x heads x (scores, sum) x width of a head
    assert products(127) - products(63) == 64 * each
    assert products(1000) == products(127)
    kinds = [op.op_type for op in decode(1000).ops]
    assert kinds.count("TopK") == 6
    assert "TopK" not in [op.op_type for op in decode(127).ops]


TRAINED = ("rwkv", "xlstm", "recurrent_gemma", "zamba", "zamba2", "zaya", "qwen4_exp_text")


@pytest.mark.parametrize("model_type", TRAINED)
def test_layers_with_a_state_train(model_type, tmp_path):
    """Every weight is updated, and a step takes two to four times a forward pass more."""
    from lydite.graph import total_work
    from lydite.graph.training import training_step

    path = tmp_path / "config.json"
    made(model_type, path)
    graph = graph_from_config(path, batch=BATCH, sequence=TOKENS, phase="forward")
    step = training_step(graph, optimizer="adam")
    updated = {weight for weight in step.states.values()}
    assert len(updated) >= 0.9 * len(graph.parameters)
    share = total_work(step.graph).total.flops / total_work(graph).total.flops
    assert 3 < share < 5
