"""Language models and other operators with products inside: bounds, and traffic by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import lydite
from lydite.chip import run_chip
from lydite.chip.operators import products_inside
from lydite.chip.sensitivity import sensitivity
from lydite.errors import InputError
from lydite.graph import Builder, Op, TensorType
from lydite.hardware.chip import read_chip
from lydite.models import build_model

SYSTOLIC = read_chip("systolic-128")


def bound_s(model: str, chip, batch: int, context: int, layers: int, width: int) -> float:
    """Weights and the whole cache through DRAM once, in two bytes a number; embeddings stay."""
    graph = build_model(model, phase="decode", batch=batch, context=context)
    table = max(w.type.numel or 0 for w in graph.initializers.values())
    cache = 2 * layers * width * context * batch
    size = 2 * (graph.parameter_count - table + cache)
    return size / chip.dram.stream_bytes_per_s(64)


@pytest.mark.parametrize(("batch", "context"), [(1, 32768), (32, 4096)])
def test_decoding_comes_near_the_bound_of_its_memory(batch, context):
    """Llama 3 8B: 32 layers with 8 heads of 128 keys."""
    graph = build_model("llama3-8b", phase="decode", batch=batch, context=context)
    bound = bound_s("llama3-8b", SYSTOLIC, batch, context, 32, 8 * 128)
    assert bound < run_chip(graph, SYSTOLIC).seconds < 1.15 * bound


def attention(batch=1, queries=1, past=0, heads=8, groups=2, size=64):
    g = Builder("net", dtype="float16")
    inputs = [g.input("q", (batch, queries, heads * size))]
    inputs += [g.input(name, (batch, queries, groups * size)) for name in "kv"]
    attrs = {"q_num_heads": heads, "kv_num_heads": groups}
    if past:
        cached = [g.input(f"past_{name}", (batch, groups, past, size)) for name in "kv"]
        return g.build(*g.ops("Attention", *inputs, None, *cached, outputs=3, **attrs))
    return g.build(g.op("Attention", *inputs, **attrs))


def test_queries_that_share_keys_are_rows_of_one_product():
    graph = attention(batch=3, queries=5, past=100)
    found = products_inside(graph.ops[0], graph)
    assert found is not None
    sizes = [(p.m, p.k, p.n, p.count) for p in found.products]
    assert sizes == [(4 * 5, 64, 105, 3 * 2), (4 * 5, 105, 64, 3 * 2)]
    assert found.macs == 2 * 3 * 8 * 5 * 105 * 64  # as many as if nothing were shared


def test_a_decoding_step_stores_what_is_new():
    graph = attention(batch=2, past=1000)
    (cost,) = run_chip(graph, SYSTOLIC, fuse=False).plan.costs
    new = 2 * 2 * 64  # of two samples, two heads of keys and as many of values
    assert cost.store_bytes == 2 * (2 * 8 * 64 + 2 * new)
    assert cost.load_bytes == pytest.approx(2 * (2 * 8 * 64 + 2 * 1001 * 2 * 2 * 64), rel=1e-3)


def test_scores_never_leave_the_chip_and_keys_are_loaded_for_each_block_of_queries():
    """Scores of 16 heads of 4,096 are 537 MB in float16; the scratchpads hold 12 MiB."""
    graph = attention(queries=4096, heads=16, groups=16, size=64)
    (cost,) = run_chip(graph, SYSTOLIC, fuse=False).plan.costs
    once = 2 * 3 * 4096 * 16 * 64
    assert cost.invocations > 100
    assert once <= cost.load_bytes < 32 * once
    assert cost.store_bytes == 2 * 4096 * 16 * 64
    assert cost.macs == 2 * 16 * 4096 * 4096 * 64
    small = replace(
        SYSTOLIC, scratchpads=tuple(replace(p, bytes=p.bytes // 8) for p in SYSTOLIC.scratchpads)
    )
    (less,) = run_chip(graph, small, fuse=False).plan.costs
    assert less.load_bytes > cost.load_bytes  # fewer queries stay at a time


def test_attention_of_the_runtime_keeps_its_projection():
    g = Builder("net", dtype="float16")
    x, width = g.input("x", (2, 32, 256)), 256
    w = g.weight((width, 3 * width), "w")
    graph = g.build(g.op("Attention", x, w, domain="com.microsoft", num_heads=4))
    (cost,) = run_chip(graph, SYSTOLIC, fuse=False).plan.costs
    assert cost.macs == 2 * 32 * width * 3 * width + 2 * 2 * 32 * 32 * width
    assert cost.load_bytes == pytest.approx(2 * (2 * 32 * width + width * 3 * width))


def test_experts_load_only_those_that_are_chosen():
    g = Builder("net", dtype="float16")
    x, router = g.input("x", (1, 64)), g.input("r", (1, 16))
    up, down = g.weight((16, 64, 256), "up"), g.weight((16, 256, 64), "down")
    graph = g.build(g.op("MoE", x, router, up, None, down, domain="com.microsoft", k=2))
    (cost,) = run_chip(graph, SYSTOLIC, fuse=False).plan.costs
    assert cost.on == "array"
    assert cost.macs == 2 * 2 * 64 * 256
    assert cost.load_bytes == pytest.approx(2 * (2 * 2 * 64 * 256 + 64), rel=0.01)


def test_weights_of_four_bits_move_in_four_bits_with_their_scales():
    g, k, n = Builder("net", dtype="float16"), 1024, 512
    x = g.input("x", (8, k))
    packed = g.weight((n, k // 32, 16), "w", dtype="uint8")
    scales = g.weight((n * k // 32,), "s")
    attrs = {"K": k, "N": n, "bits": 4, "block_size": 32, "domain": "com.microsoft"}
    graph = g.build(g.op("MatMulNBits", x, packed, scales, **attrs))
    (cost,) = run_chip(graph, SYSTOLIC, fuse=False).plan.costs
    assert cost.macs == 8 * k * n
    assert cost.load_bytes == pytest.approx(2 * 8 * k + k * n / 2 + 2 * n * k / 32)


def test_recurrent_weights_stay_while_they_fit():
    """The state's weights are loaded once for all steps, unless the scratchpad is too small."""
    g, steps, width = Builder("net", dtype="float16"), 20, 128
    x = g.input("x", (steps, 4, width))
    w, r = (g.weight((1, 4 * width, width), name) for name in "wr")
    graph = g.build(g.op("LSTM", x, w, r, hidden_size=width))
    (cost,) = run_chip(graph, SYSTOLIC, fuse=False).plan.costs
    one = 4 * width * width
    assert cost.on == "array"
    assert cost.macs == 2 * steps * 4 * one
    assert cost.load_bytes == pytest.approx(2 * (2 * one + steps * 4 * width))
    tight = replace(
        SYSTOLIC, scratchpads=tuple(replace(p, bytes=128 * 1024) for p in SYSTOLIC.scratchpads)
    )
    (cost,) = run_chip(graph, tight, fuse=False).plan.costs
    assert cost.load_bytes >= 2 * steps * one


def test_depthwise_convolutions_run_where_they_are_cheaper():
    g = Builder("net", dtype="float16")
    x = g.input("x", (1, 256, 28, 28))
    graph = g.build(g.conv(x, 256, 3, pad=1, group=256, bias=False))
    (cost,) = run_chip(graph, SYSTOLIC).plan.costs
    assert cost.on == "vector"
    assert cost.macs == 9 * 256 * 28 * 28
    assert cost.total_cycles == cost.macs / SYSTOLIC.vector.lanes
    narrow = replace(SYSTOLIC, vector=replace(SYSTOLIC.vector, lanes=1))
    assert run_chip(graph, narrow).plan.costs[0].on == "array"


def test_the_reason_is_what_more_of_helps():
    """Decoding waits for DRAM, and more of it helps; a large product is computed."""
    decode = build_model("gpt2", phase="decode", context=1023)
    parts = run_chip(decode, SYSTOLIC).by_part()
    changes = sensitivity(decode, SYSTOLIC)
    dram, clock = changes["DRAM bandwidth"], changes["clock of the accelerator"]
    assert dram and clock
    assert max(parts, key=parts.__getitem__) == "DRAM"
    assert dram["time"] < clock["time"]
    g = Builder("net", dtype="float16")
    graph = g.build(g.linear(g.input("x", (8192, 4096)), 4096, bias=False))
    parts = run_chip(graph, SYSTOLIC).by_part()
    assert max(parts, key=parts.__getitem__) == "compute"


def test_open_sizes_are_refused_with_what_binds_them():
    g = Builder("net")
    graph = g.build(g.relu(g.input("x", ("batch", 5))))
    with pytest.raises(InputError, match=r"sizes are not bound.*--dim batch=SIZE"):
        lydite.chip(graph, chip="systolic-128")


def test_unknown_work_is_named():
    g = Builder("net")
    x = g.input("x", (4, 4))
    op = Op("riddle", "NobodyKnows", (x.name,), ("y",), {}, "some.where")
    g.allow("some.where")
    graph = g.build(*g.append(op, [TensorType("float32", (4, 4))]))
    result = lydite.chip(graph, chip="systolic-128")
    assert result.document()["unknown_work"] == ["riddle"]
    assert "at least" in result.summary() and "at least" in result.headline()
    assert "of unknown work" in result.summary()


def test_tokens_and_cache_are_told():
    result = lydite.chip("gpt2", chip="systolic-128", phase="decode", context=1023, batch=2)
    found = result.document()["language_model"]
    assert found is not None
    assert found["tokens_per_s"] == pytest.approx(2 / result.seconds)
    assert found["kv_cache_bytes"] == 2 * 2 * 12 * 768 * 1024 * 2
    assert "tokens/s; KV cache of" in result.summary()
    assert lydite.chip("lenet5", chip="systolic-128").document()["language_model"] is None


def test_work_of_all_blocks_adds_up():
    """Blocks by brute force: cycles of attention grow with what is cut, its products stay."""
    graph = attention(batch=1, queries=300, heads=4, groups=4)
    costs = [
        run_chip(graph, replace(SYSTOLIC, accelerators=count), fuse=False).plan.costs[0]
        for count in (1, 2, 4)
    ]
    assert len({cost.macs for cost in costs}) == 1
    assert all(np.isclose(cost.store_bytes, 2 * 300 * 256) for cost in costs)
