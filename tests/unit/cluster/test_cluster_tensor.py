"""What a tensor-parallel rank holds, against weights counted by hand."""

from __future__ import annotations

import json
import math

import pytest

from lydite.cluster import tensor_parallel
from lydite.errors import InputError
from lydite.graph import Builder
from lydite.graph.work import work_of
from lydite.models.huggingface import graph_from_config

PLAIN = {
    "model_type": "qwen3",
    "hidden_size": 512,
    "intermediate_size": 1024,
    "num_hidden_layers": 2,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 1024,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}
LATENT = {
    "model_type": "deepseek_v3",
    "hidden_size": 512,
    "intermediate_size": 1024,
    "moe_intermediate_size": 128,
    "num_hidden_layers": 1,
    "first_k_dense_replace": 1,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "kv_lora_rank": 64,
    "q_lora_rank": 96,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16,
    "v_head_dim": 32,
    "vocab_size": 1024,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}


@pytest.fixture
def graph(tmp_path):
    def of(config, **options):
        (tmp_path / "config.json").write_text(json.dumps(config))
        return graph_from_config(tmp_path, batch=4, phase="decode", context=100, **options)

    return of


def _named(graph, part):
    """Elements of the weights whose name holds a word."""
    return sum(
        math.prod(init.type.shape)
        for name, init in graph.initializers.items()
        if part in name and name in graph.parameters
    )


def test_each_rank_has_a_key_head_of_its_own_where_there_are_fewer(graph):
    hidden, size, layers, ranks = 512, 32, 2, 8
    share = tensor_parallel(graph(PLAIN, kv_ranks=ranks), ranks)
    for name in ("key", "value"):
        assert _named(share, f"{name}.weight") == layers * hidden * size
    assert _named(share, "query.weight") == layers * hidden * 16 * size // ranks
    (key, value) = (share.type_of(f"present_{name}_0").shape for name in ("key", "value"))
    assert key == value == (4, 1, 101, size)


def test_as_many_heads_as_ranks_or_more_stay_as_they_are(graph):
    assert graph(PLAIN, kv_ranks=2).parameter_count == graph(PLAIN).parameter_count
    with pytest.raises(InputError, match="kv_num_heads 2 cannot be split among 8"):
        tensor_parallel(graph(PLAIN, kv_ranks=1), 8)


def test_ranks_that_are_no_multiple_of_the_heads_are_refused(graph):
    three = {**PLAIN, "num_key_value_heads": 4, "num_attention_heads": 12}
    with pytest.raises(InputError, match="cannot be split among 6 ranks"):
        tensor_parallel(graph(three, kv_ranks=6), 6)


def test_latents_are_on_every_rank_and_heads_are_shared(graph):
    ranks, hidden, heads = 8, 512, 16
    share = tensor_parallel(graph(LATENT), ranks)
    assert _named(share, "query_down.weight") == hidden * 96
    assert _named(share, "kv_down.weight") == hidden * (64 + 16)
    assert _named(share, "query_up.weight") == 96 * heads * (32 + 16) // ranks
    assert _named(share, "key_up.weight") == heads * 32 * 64 // ranks
    assert _named(share, "value_up.weight") == heads * 64 * 32 // ranks
    assert _named(share, "attention_output.weight") == heads * 32 * hidden // ranks
    assert share.type_of("present_latent_0").shape == (4, 1, 101, 64 + 16)


def test_a_norm_over_all_heads_exchanges_a_number_a_token(graph):
    whole = {**PLAIN, "model_type": "olmo2", "num_key_value_heads": 16}
    share = tensor_parallel(graph(whole), 8)
    norms = [op for op in share.ops if op.op_type == "RMSNormalization"]
    widths = [share.type_of(op.inputs[0]).shape[-1] for op in norms]
    assert widths.count(16 * 32 // 8) == 2 * 2  # queries and keys of two layers
    messages = [op for op in share.ops if op.op_type == "AllReduce"]
    sizes = [math.prod(share.type_of(op.inputs[0]).shape) for op in messages]
    assert sizes.count(4) == 2 * 2  # of each norm, one number a token
    assert not any(op.op_type == "AllGather" and "rms" in op.name for op in share.ops)


BART = {
    "model_type": "bart",
    "architectures": ["BartForConditionalGeneration"],
    "d_model": 512,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 16,
    "decoder_attention_heads": 16,
    "encoder_ffn_dim": 1024,
    "decoder_ffn_dim": 1024,
    "vocab_size": 1024,
}


@pytest.mark.parametrize("ranks", [2, 8])
def test_each_rank_keeps_its_heads_of_an_encoder_s_keys(graph, ranks):
    """In a decoding step they are inputs; attention of a rank does its part of the arithmetic."""
    whole = graph(BART)
    share = tensor_parallel(whole, ranks)
    for name in ("encoder_key_0", "encoder_value_1"):
        assert whole.type_of(name).shape[-1] == 512
        assert share.type_of(name).shape == (*whole.type_of(name).shape[:-1], 512 // ranks)

    def flops(net):
        return sum(work_of(op, net).flops for op in net.ops if op.op_type == "Attention")

    assert flops(share) == flops(whole) / ranks


def _flops(net, *types):
    return sum(work_of(op, net).flops for op in net.ops if op.op_type in types)


TIED = {**PLAIN, "model_type": "modernbert-decoder", "tie_word_embeddings": True}
GATED = {
    **PLAIN,
    "model_type": "qwen2_moe",
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 64,
    "shared_expert_intermediate_size": 128,
    "num_key_value_heads": 16,
}
HYBRID = {
    **PLAIN,
    "model_type": "qwen3_next",
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 64,
    "shared_expert_intermediate_size": 128,
    "linear_num_key_heads": 8,
    "linear_num_value_heads": 16,
    "linear_key_head_dim": 32,
    "linear_value_head_dim": 32,
    "layer_types": ["linear_attention", "full_attention"],
    "num_key_value_heads": 16,
}


def test_a_gate_or_router_that_does_not_divide_stays_whole(graph):
    """A shared expert's gate is one column, and six experts do not divide among four ranks."""
    share = tensor_parallel(graph(GATED), 4)
    routers = [init.type.shape for name, init in share.initializers.items() if "router" in name]
    assert sorted(sorted(shape) for shape in routers) == [[1, 512], [1, 512], [6, 512], [6, 512]]


def test_a_tied_embedding_is_split_by_words_for_the_head_as_well(graph):
    """The head's input is a part where a dense layer and a norm come before it: it is gathered."""
    config = {k: v for k, v in TIED.items() if k not in ("num_key_value_heads", "head_dim")}
    whole = graph({**config, "vocab_size": 32768})
    share = tensor_parallel(whole, 2)
    assert _named(share, "token_embedding") == _named(whole, "token_embedding") / 2
    assert _flops(share, "Gemm", "MatMul") == _flops(whole, "Gemm", "MatMul") / 2


@pytest.mark.parametrize("ranks", [2, 4])
def test_each_rank_has_its_heads_of_linear_attention_and_their_states(graph, ranks):
    whole = graph({**HYBRID, "linear_num_key_heads": 4})
    share = tensor_parallel(whole, ranks)
    for kind in ("LinearAttention", "CausalConvWithState"):
        assert _flops(share, kind) == _flops(whole, kind) / ranks
    for name in ("past_state_0", "present_state_0"):
        batch, heads, *rest = whole.type_of(name).shape
        assert share.type_of(name).shape == (batch, heads // ranks, *rest)
    gathered = [op.inputs[0] for op in share.ops if op.op_type == "AllGather"]
    assert not [name for name in gathered if name != "logits"]


def test_a_key_head_that_all_queries_share_is_on_every_rank():
    g = Builder("shared", opset=24)
    x, hidden = g.input("x", (2, 64, 256)), 256
    angles = [g.input(name, (2, 64, 16)) for name in ("cos", "sin")]
    query = g.linear(x, 8 * 32, bias=False, name="query")
    key = g.linear(x, 32, bias=False, name="key")
    query = g.op("RotaryEmbedding", query, *angles, num_heads=8)
    key = g.op("RotaryEmbedding", key, *angles, num_heads=1)
    mixed = g.op("Attention", query, key, key, q_num_heads=8, kv_num_heads=1)
    share = tensor_parallel(g.build(g.linear(mixed, hidden, bias=False, name="output")), 4)
    sizes = {name.partition(".")[0]: init.type.shape for name, init in share.initializers.items()}
    assert sizes["key"] == (hidden, 32)
    assert sizes["query"] == (hidden, 8 * 32 // 4)
    attention = next(op for op in share.ops if op.op_type == "Attention")
    assert (attention.attrs["q_num_heads"], attention.attrs["kv_num_heads"]) == (2, 1)
    assert not [op for op in share.ops if op.op_type == "AllGather"]
