"""Weights of few bits and LoRA adapters: closed forms of bytes and times."""

from __future__ import annotations

import json

import numpy as np
import pytest

import lydite as ly
from lydite.api.load import RankOptions, resolve
from lydite.cluster import tensor_parallel
from lydite.errors import InputError
from lydite.estimate.runtimes import RUNTIMES, fuse_for_runtime
from lydite.graph.passes import WEIGHTS, with_weights
from lydite.hardware import find_device
from lydite.serving.lora import Adapters, adapted, adapter_bytes, adapter_s

HIDDEN, INNER, LAYERS, VOCABULARY, KV = 256, 512, 2, 512, 128
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
# query and output, key and value, gate, up and down
PRODUCTS = 2 * HIDDEN * HIDDEN + 2 * HIDDEN * KV + 3 * HIDDEN * INNER
COLUMNS = HIDDEN + 2 * KV + HIDDEN + 2 * INNER + HIDDEN
NORMS = (2 * LAYERS + 1) * HIDDEN


@pytest.fixture
def llama(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))
    return str(path)


def graph_of(model, ranks=1, weights=None, fused=True):
    options = RankOptions(dtype="bfloat16", phase="decode", context=32, batch=4)
    graph = resolve(model, options, find_device("h100")).graph
    graph = with_weights(graph, weights) if weights else graph
    graph = tensor_parallel(graph, ranks)
    return fuse_for_runtime(graph, RUNTIMES["vllm"]) if fused else graph


@pytest.mark.parametrize(
    ("form", "bits", "block"), [("fp8", 8, 0), ("int8", 8, 0), ("int4", 4, 128)]
)
def test_weights_take_their_bits_and_a_scale_a_block(llama, form, bits, block):
    kept = 2 * (2 * VOCABULARY * HIDDEN + NORMS)
    scales = LAYERS * (PRODUCTS // block if block else COLUMNS)
    whole, packed = graph_of(llama, fused=False), graph_of(llama, 1, form, fused=False)
    rest = whole.parameter_bytes - kept - 2 * LAYERS * PRODUCTS  # constants of the graph
    assert packed.parameter_bytes == kept + rest + LAYERS * PRODUCTS * bits // 8 + 2 * scales
    assert {packed.type_of(name).shape for name in packed.outputs} == {
        whole.type_of(name).shape for name in whole.outputs
    }


@pytest.mark.parametrize("form", WEIGHTS)
def test_experts_are_stored_so_and_routers_are_not(form):
    graph = graph_of("mixtral-8x7b", 2, form)
    types = [op.op_type for op in graph.ops]
    assert (types.count("QMoE"), types.count("MoE")) == (32, 0)
    routers = [op for op in graph.ops if "router" in op.name]
    assert routers
    assert not any("NBits" in op.op_type for op in routers)


def test_what_has_few_bits_already_is_refused(llama):
    with pytest.raises(InputError, match="few bits already"):
        with_weights(graph_of(llama, 1, "fp8", fused=False), "int4")
    with pytest.raises(InputError, match="did you mean 'fp8'"):
        with_weights(graph_of(llama, fused=False), "fp9")


@pytest.mark.parametrize("weights", [None, "fp8"])
def test_adapters_take_a_and_b_of_every_product(llama, weights):
    """A [K, r] of each product, B [r, N]; cut over two ranks as the weight is."""
    pair = Adapters(8, 3, 1.0)
    inputs = 3 * HIDDEN + HIDDEN + 2 * HIDDEN + INNER
    whole = adapter_bytes(adapted(graph_of(llama, 1, weights), "all"), pair)
    assert whole == 3 * LAYERS * 8 * (inputs + COLUMNS) * 2
    # query, key, value, gate and up keep their inputs, output and down their outputs
    cut = 3 * HIDDEN + HIDDEN // 2 + 2 * HIDDEN + INNER // 2
    cut += (HIDDEN + 2 * KV) // 2 + HIDDEN + 2 * INNER // 2 + HIDDEN
    half = adapter_bytes(adapted(graph_of(llama, 2, weights), "all"), pair)
    assert half == 3 * LAYERS * 8 * cut * 2
    near = adapter_bytes(adapted(graph_of(llama, 1, weights), "attention"), pair)
    assert near == 3 * LAYERS * 8 * (4 * HIDDEN + HIDDEN + 2 * KV + HIDDEN) * 2


def test_adapters_of_latent_attention_are_of_all_its_products():
    near = adapted(graph_of("deepseek-v3"), "attention")
    # down to the latents of queries and keys (one kernel), up from those of queries, and the output
    widths = {(each.slices, each.inner, each.outer) for each in near}
    assert widths == {(2, 7168, 1536 + 512 + 64), (1, 1536, 128 * 192), (1, 128 * 128, 7168)}


def test_time_of_adapters_is_of_their_products_and_bytes(llama):
    """With operators that take no time, what is left is other adapters and what is added to."""
    products, bandwidth = adapted(graph_of(llama), "all"), 1e9
    free = adapter_s(
        products, Adapters(8, 1, 1.0), lambda keys: np.zeros(len(keys)), bandwidth, np.array([5])
    )
    assert free[0] == pytest.approx(LAYERS * 5 * COLUMNS * 2 / bandwidth)
    inputs = 3 * HIDDEN + HIDDEN + 2 * HIDDEN + INNER
    two = adapter_s(
        products, Adapters(8, 4, 0.5), lambda keys: np.ones(len(keys)), bandwidth, np.array([3])
    )
    rows, different = 2, 4 * (1 - 0.75**2)
    extra = (different - 1) * 8 * (inputs + COLUMNS) + rows * COLUMNS
    kernels = 4 * LAYERS * 2  # of qkv, output, gate and up, down
    assert two[0] == pytest.approx(kernels + LAYERS * extra * 2 / bandwidth)
    none = adapter_s(
        products, Adapters(8, 4, 0.0), lambda keys: np.ones(len(keys)), bandwidth, np.array([3])
    )
    assert none[0] == 0.0


@pytest.fixture(scope="module")
def load():
    return {"on": "h100", "rate": 20.0, "requests": 40, "isl": 100, "osl": 20}


def test_a_table_compares_weights(llama, load):
    result = ly.serve(llama, compare="tp1:bf16,tp1:fp8,tp2:int4,pd1:1:fp8,pd1:1", **load)
    rows = result.served["deployments"]
    sizes = [row["weights_bytes"] or 0.0 for row in rows]
    assert [row["weights"] for row in rows] == ["bfloat16", "fp8", "int4", "fp8", "bfloat16"]
    assert sizes[0] > sizes[1] > sizes[2] > 0
    alone = ly.serve(llama, weights="fp8", **load).served["deployments"][0]
    assert alone["figures"] == rows[1]["figures"]
    assert "fp8" in result.summary()


def test_adapters_cost_memory_and_time(llama, load):
    without = ly.serve(llama, **load).served["deployments"][0]
    result = ly.serve(llama, lora=16, adapters=4, lora_share=0.5, **load)
    row = result.served["deployments"][0]
    added = (row["weights_bytes"] or 0.0) - (without["weights_bytes"] or 0.0)
    assert row["lora"] is not None
    assert row["lora"]["bytes_per_rank"] == added > 0
    assert row["lora"]["step_s"] > 0
    assert row["figures"]["tpot_s"]["mean"] > without["figures"]["tpot_s"]["mean"]
    assert "4 adapters of rank 16" in result.summary()
    halves = ly.serve(llama, lora=16, adapters=4, lora_share=0.5, pp=2, **load)
    on_a_stage = halves.served["deployments"][0]["lora"]
    assert on_a_stage is not None
    assert on_a_stage["bytes_per_rank"] == added / 2
    unused = ly.serve(llama, lora=16, adapters=4, lora_share=0.0, **load)
    assert unused.served["deployments"][0]["figures"] == without["figures"]
