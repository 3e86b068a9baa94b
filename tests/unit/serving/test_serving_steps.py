"""Step times: operators as functions of sizes, tables, messages."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

import lydite as ly
from lydite.cluster import tensor_parallel
from lydite.graph import keys_of
from lydite.graph.work import work_of_key
from lydite.hardware import find_device
from lydite.opkey import Operand, OpKey, TensorType
from lydite.serving.estimated import Shape, estimated_times, in_float8
from lydite.serving.messages import message_times, own_all_reduce_s
from lydite.serving.template import patterns, verifying

LLAMA = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 512,
    "max_position_embeddings": 16384,
}
WINDOWED = {**LLAMA, "model_type": "mistral", "sliding_window": 64}
EXPERTS = {**LLAMA, "model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}
CONFIGS = {"llama": LLAMA, "windowed": WINDOWED, "experts": EXPERTS}
FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3"}


@pytest.fixture
def graphs(tmp_path):
    """Graphs of a config by phase, tokens and context."""

    def of(name: str, phase: str, ranks: int = 1, **changes: object):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(CONFIGS[name] | changes))

        def graph_of(count: int, context: int):
            sizes = {"batch": count} if phase == "decode" else {"sequence": count}
            given = {"phase": phase, "context": context, "dtype": "bfloat16", **sizes}
            return tensor_parallel(ly.load(str(folder), **given).graph, ranks)

        return graph_of

    return of


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(
    ("phase", "count", "context"),
    [
        ("decode", 1, 1),
        ("decode", 5, 40),
        ("decode", 64, 63),
        ("decode", 3, 700),
        ("prefill", 9, 5),
        ("prefill", 33, 50),
        ("prefill", 33, 1000),
    ],
)
def test_operators_of_a_step_are_those_of_its_graph(graphs, name, phase, count, context, ranks):
    graph_of = graphs(name, phase, ranks)
    written = Counter()
    for pattern in patterns(graph_of, 16384):
        written[_shapes(pattern.at(count, context))] += pattern.count
    built = Counter(_shapes(key) for key in keys_of(graph_of(count, context)).values())
    assert written == built


CHOSEN = {
    "model_type": "deepseek_v32",
    "hidden_size": 256,
    "intermediate_size": 512,
    "moe_intermediate_size": 128,
    "num_hidden_layers": 2,
    "first_k_dense_replace": 1,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "kv_lora_rank": 64,
    "q_lora_rank": 96,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16,
    "v_head_dim": 32,
    "index_n_heads": 4,
    "index_head_dim": 32,
    "index_topk": 2048,
    "vocab_size": 512,
    "max_position_embeddings": 65536,
}
WIDE = {**LLAMA, "model_type": "mistral", "sliding_window": 4096, "max_position_embeddings": 65536}


@pytest.mark.parametrize("config", [CHOSEN, WIDE], ids=["chosen", "wide"])
@pytest.mark.parametrize("phase", ["decode", "prefill"])
@pytest.mark.parametrize("context", [61, 1001, 2601, 6001, 40001])
def test_keys_that_are_chosen_or_within_a_window_are_attended_to(graphs, config, phase, context):
    """The work of a step behind short and long contexts is that of its graph."""
    CONFIGS["other"] = config
    try:
        graph_of = graphs("other", phase)
        made = [p for p in patterns(graph_of, 65536) if p.runs(context)]
        work = [(work_of_key(p.at(5, context)), p.count) for p in made]
        built = [work_of_key(key) for key in keys_of(graph_of(5, context)).values()]
    finally:
        del CONFIGS["other"]
    flops = sum(w.flops for w in built if w)
    assert sum(w.flops * count for w, count in work if w) == pytest.approx(flops, rel=0.02)
    moved = sum(w.bytes_moved or 0 for w in built if w)
    assert sum((w.bytes_moved or 0) * c for w, c in work if w) == pytest.approx(moved, rel=0.02)


def _shapes(key: OpKey) -> tuple[object, ...]:
    """Type and shapes; values of constants, such as positions, do not change the work."""
    types = [*key.operand_types(), *key.outputs]
    return key.qualified_type, *(None if t is None else (t.dtype, t.shape) for t in types)


class Bytes:
    """An estimator that charges a nanosecond a byte."""

    name = "bytes"

    def estimate(self, keys, device):
        from lydite.estimate import Estimate
        from lydite.graph.work import work_of_key

        del device
        work = [work_of_key(key) for key in keys]
        seconds = [max(1e-12, (w.bytes_moved or 0) * 1e-9) if w else 1e-12 for w in work]
        return [Estimate(s, s, s, "roofline", "bytes") for s in seconds]


def test_tables_add_up_to_the_graph(graphs):
    """Dense, attention and head of a decoding step are the sum over its operators."""
    decode, prefill = graphs("llama", "decode"), graphs("llama", "prefill")
    h100 = find_device("h100")
    shape = Shape(decode, prefill, 16384, 4096, 512, tokens=512, sequences=64, captured=())
    times = estimated_times(shape, Bytes(), h100, lambda *_: 0.0)
    for count, context in ((1, 64), (16, 256), (64, 1024)):
        keys = keys_of(decode(count, context)).values()
        whole = sum(e.seconds for e in Bytes().estimate(list(keys), h100))
        head = times.head_s[count] - (30e-6 + 8 * 512 * count / h100.memory_bandwidth)
        attention = times.decode_attention_s(count, context, beside=False)
        assert times.dense_s[count] + attention + head == pytest.approx(whole, rel=0.02)
    assert (np.diff(times.dense_s[1:]) >= 0).all()
    assert (np.diff(times.decode_s, axis=0) > 0).all()
    assert (np.diff(times.decode_s, axis=1) > 0).all()


def test_steps_are_padded_to_captured_sizes(graphs):
    decode, prefill = graphs("llama", "decode"), graphs("llama", "prefill")
    shape = Shape(decode, prefill, 16384, 4096, 512, 512, 64, captured=(1, 8, 64))
    times = estimated_times(shape, Bytes(), find_device("h100"), lambda *_: 0.0)
    assert times.dense_s[2] == times.dense_s[8] > times.dense_s[1]
    assert times.dense_s[9] == times.dense_s[64] < times.dense_s[65]


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("llama", {"quantization_config": FP8}),
        ("llama", {"quantization_config": {**FP8, "weight_block_size": [32, 32]}}),
        ("experts", {}),
        ("experts", {"quantization_config": FP8}),
    ],
)
def test_ranks_share_weights_of_few_bits_and_experts(graphs, ranks, name, changes):
    changes = {**changes, "vocab_size": 16384}  # tables this long are divided
    whole = graphs(name, "decode", 1, **changes)(4, 32)
    part = graphs(name, "decode", ranks, **changes)(4, 32)
    # norms and routers are small and whole; everything else is divided
    assert part.parameter_bytes == pytest.approx(whole.parameter_bytes / ranks, rel=0.04)
    sums = [op for op in part.ops if op.op_type == "AllReduce"]
    assert len(sums) >= 4  # two a layer


def test_products_in_float8_where_the_device_multiplies_them():
    x, weight = TensorType("bfloat16", (8, 256)), TensorType("float8e4m3fn", (512, 1, 256))
    key = OpKey(
        "MatMulNBits",
        (Operand(x), Operand(weight, const=True)),
        (TensorType("bfloat16", (8, 512)),),
        {"K": 256, "N": 512, "bits": 8, "block_size": 256},
        "com.microsoft",
    )
    product = in_float8(key, find_device("h100"))
    assert product.op_type == "MatMul"
    assert [str(o) for o in product.inputs] == [
        "float8e4m3fn[8,256]",
        "const float8e4m3fn[256,512]",
    ]
    assert in_float8(key, find_device("nvidia-a100-sxm4-80gb")) is key


def test_own_all_reduces():
    """One shot: others' bytes over 0.6 of 450 GB/s each way, and 4 us (closed form)."""
    from lydite.cluster.collectives.group import group_of
    from lydite.hardware.cluster.select import read_cluster

    group = group_of(read_cluster("dgx-h100", 4), [range(4)])
    assert own_all_reduce_s(group, 270e3) == pytest.approx(4e-6 + 3e-6)
    told: list[str] = []
    times = message_times(find_device("h100"), 4, told.append)
    assert times("AllReduce", 270e3) == pytest.approx(7e-6)
    assert times("AllReduce", 1e9) == group.seconds("AllReduce", 1e9)
    assert not told
    message_times(find_device("rtx-4090"), 2, told.append)
    assert told == [
        "no host of nvidia-rtx-4090 is known: its ranks are taken to have a port of 50 GB/s each"
    ]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_what_runs_as_one_kernel_computes_the_same(graphs, name, phase):
    graph_of = graphs(name, phase, 2)
    flops = []
    for as_run in (False, True):
        made = patterns(graph_of, 16384, as_run=as_run)
        products = [p for p in made if p.key.op_type in ("MatMul", "MatMulNBits", "MoE")]
        flops.append(sum(p.count * work_of_key(p.at(8, 100)).flops for p in products))
    assert flops[0] == pytest.approx(flops[1], rel=1e-3)


def test_a_dense_layer_has_four_products_and_one_rotation(graphs):
    graph_of = graphs("llama", "decode", 2)
    made = patterns(graph_of, 16384, as_run=True)
    shapes = {
        tuple(p.at(8, 100).inputs[1].type.shape): p.count
        for p in made
        if p.key.op_type == "MatMul" and not p.head
    }
    attended = (8 + 2 * 4) * 32 // 2
    assert attended == 256  # so that query, key and value have the shape of down
    assert shapes == {(256, 256): 2 * 2, (128, 256): 2, (256, 512): 2}
    rotations = [p for p in made if p.key.op_type == "RotaryEmbedding"]
    (rotation,) = rotations
    assert rotation.count == 2
    assert rotation.key.inputs[0].type.shape[-1] == (8 + 4) * 32 // 2
    assert not any(p.key.op_type in ("Swish", "Silu") for p in made)


def test_the_router_of_experts_is_a_product_of_its_own(graphs):
    made = patterns(graphs("experts", "decode"), 16384, as_run=True)
    outputs = [p.key.outputs[0].shape[-1] for p in made if p.key.outputs[0].shape and not p.head]
    assert EXPERTS["num_local_experts"] in outputs
    assert not any(size % 32 for size in outputs if size > 32)


@pytest.mark.parametrize("name", ["llama", "windowed"])
def test_verifying_attention_reads_the_cache_once_and_multiplies_for_every_token(graphs, name):
    """Three tokens: three times the arithmetic, and but for queries and outputs the same bytes."""
    one = next(p for p in patterns(graphs(name, "decode"), 16384, as_run=True) if p.contextual)
    three = verifying(one, 3)
    for count, context in ((4, 40), (16, 700)):
        alone, drafted = (work_of_key(p.at(count, context)) for p in (one, three))
        assert alone is not None
        assert drafted is not None
        assert drafted.flops == pytest.approx(3 * alone.flops)
        moved = 2 * (count * 256 * 2) * 2  # two more queries and outputs, 16 bits, 256 wide
        assert drafted.bytes_moved == pytest.approx(alone.bytes_moved + moved)
