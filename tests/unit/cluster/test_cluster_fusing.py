"""Which operators of a step share a kernel."""

from __future__ import annotations

import pytest

from lydite.cluster import Plan
from lydite.cluster.constants import ASSUMED
from lydite.cluster.fusing import Share, shares_of
from lydite.cluster.rank import launching, rank_step
from lydite.estimate.runtimes import RUNTIMES
from lydite.graph.builder import Builder
from lydite.models import build_model


def chain():
    """x w -> + bias -> gelu -> * 2 (float32, 8 x 16)."""
    g = Builder("chain")
    x = g.input("x", (8, 16))
    product = g.op("MatMul", x, g.weight((16, 16), "w"), name="product")
    biased = g.op("Add", product, g.weight((16,), "b"), name="bias")
    g_out = g.op("Gelu", biased, name="gelu")
    doubled = g.op("Mul", g_out, g.constant(2.0, "two", "float32"), name="double")
    return g.build(doubled)


def test_a_bias_runs_in_its_product_and_a_chain_reads_and_writes_once():
    graph = chain()
    places = {op.name: (0, "forward") for op in graph.ops}
    found = shares_of(graph, places, chains=True)
    assert found["bias"] == Share(leads=False, scale=0.0)
    # 512 bytes read, 512 written, 4 of the constant; alone each reads and writes 512.
    scale = pytest.approx((512 + 512 + 4) / (4 * 512 + 4))
    assert (found["gelu"].leads, found["gelu"].scale) == (True, scale)
    assert (found["double"].leads, found["double"].scale) == (False, scale)
    assert "gelu" not in shares_of(graph, places, chains=False)


def test_a_chain_ends_where_its_phase_does():
    graph = chain()
    places = {op.name: (int(op.name == "double"), "forward") for op in graph.ops}
    assert "gelu" not in shares_of(graph, places, chains=True)


@pytest.mark.parametrize(
    ("dtype", "attention", "runtime"),
    [
        ("float32", "fused", "sdpa"),
        ("float32", "written", "eager"),
        ("bfloat16", "fused", "megatron"),
        ("float16", "written", "megatron-deepspeed"),
    ],
)
def test_the_usual_runtime_follows_precision_and_attention(dtype, attention, runtime):
    graph = build_model("gpt2", batch=1, sequence=64, phase="forward", dtype=dtype)
    rank = rank_step(graph, Plan(attention=attention))
    assert rank.runtime.name == runtime
    assert launching(ASSUMED, rank).dispatch_s == RUNTIMES[runtime].training_launch_s
    asked = rank_step(graph, Plan(attention=attention, runtime="graphs"))
    assert launching(ASSUMED, asked).dispatch_s == RUNTIMES["graphs"].training_launch_s


def test_chains_and_updates_save_kernels():
    graph = build_model("gpt2", batch=1, sequence=64, phase="forward")
    eager, compiled = (
        sum(
            slot.share.leads
            for slot in rank_step(graph, Plan(runtime=name, attention="written")).shape.slots
        )
        for name in ("eager", "compile")
    )
    assert compiled < eager
    updates = [slot for slot in rank_step(graph, Plan()).shape.slots if slot.phase == "optimizer"]
    assert sum(slot.share.leads for slot in updates) == len({slot.block for slot in updates})
