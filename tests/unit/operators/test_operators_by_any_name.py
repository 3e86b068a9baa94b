"""The same work costs the same whatever an operator is called, and what is unknown is said."""

from __future__ import annotations

import numpy as np
import pytest

from lydite.chip import run_chip
from lydite.cluster import filled, simulate_step
from lydite.cluster.tensor import rank_share
from lydite.estimate.roofline import Roofline
from lydite.graph import Builder, Initializer, TensorType
from lydite.hardware.chip import read_chip
from lydite.hardware.cluster import read_cluster

MS = "com.microsoft"
M, K, N = 128, 768, 3072


def product(kind: str):
    g = Builder(kind)
    if kind in ("MatMul", "FusedMatMul"):
        x = g.input("x", (M, K))
        domain = MS if kind == "FusedMatMul" else ""
        return g.build(g.op(kind, x, g.weight((K, N)), domain=domain))
    if kind == "Gemm":
        return g.build(g.op(kind, g.input("x", (M, K)), g.weight((K, N))))
    if kind == "Einsum":
        x = g.input("x", (M, K))
        return g.build(g.op(kind, x, g.weight((K, N)), equation="mk,kn->mn"))
    if kind == "MatMulNBits":
        x = g.input("x", (M, K))
        packed = g.declare("w", Initializer(TensorType("uint8", (N, K // 32, 16))))
        scales = g.weight((N * K // 32,))
        attrs = {"K": K, "N": N, "bits": 4, "block_size": 32}
        return g.build(g.op(kind, x, packed, scales, domain=MS, **attrs))
    x = g.input("x", (M, K), "uint8")
    w = g.declare("w", Initializer(TensorType("uint8", (K, N))))
    scale, zero = g.constant(0.1, "s", "float32"), g.constant(1, "z", "uint8")
    if kind == "MatMulInteger":
        return g.build(g.op(kind, x, w))
    assert kind == "QGemm"
    return g.build(g.op(kind, x, scale, zero, w, scale, zero, domain=MS))


PRODUCTS = ("MatMul", "Gemm", "Einsum", "FusedMatMul", "MatMulNBits", "MatMulInteger", "QGemm")


@pytest.mark.parametrize("kind", PRODUCTS)
def test_a_product_by_any_name_runs_on_the_array(kind):
    chip = read_chip("systolic-128")
    usual = run_chip(product("MatMul"), chip, soc=False)
    found = run_chip(product(kind), chip, soc=False)
    assert found.macs == M * K * N
    assert found.seconds == pytest.approx(usual.seconds, rel=0.01)


def ffn(activation: str, blocks: int = 4):
    g = Builder(activation)
    x = g.input("x", (8, 512, 1024), "float16")
    for _ in range(blocks):
        up = g.op("MatMul", x, g.weight((1024, 4096), dtype="float16"))
        domain = MS if activation in ("QuickGelu", "FastGelu") else ""
        mid = g.op(activation, up, domain=domain)
        x = g.op("Add", x, g.op("MatMul", mid, g.weight((4096, 1024), dtype="float16")))
    return g.build(x)


ACTIVATIONS = ("Relu", "Gelu", "Mish", "Softplus", "HardSigmoid", "Tan", "QuickGelu", "Elu")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_tensor_parallelism_shares_every_activation(activation):
    share = rank_share(ffn(activation), 8)
    assert share.whole == {}
    kinds = [op.op_type for op in share.graph.ops]
    assert "AllGather" not in kinds
    assert kinds.count("AllReduce") == 4


def test_mish_is_as_fast_as_its_work_says():
    cluster = read_cluster("dgx-a100")
    plan = filled(8, tp=8)
    took = {
        name: simulate_step(ffn(name), cluster, plan, Roofline(), optimizer=None).seconds
        for name in ("Gelu", "Mish")
    }
    assert took["Mish"] == pytest.approx(took["Gelu"], rel=0.05)


def test_what_is_not_shared_is_named():
    g = Builder("net")
    x = g.op("MatMul", g.input("x", (8, 64)), g.weight((64, 64)))
    graph = g.build(g.op("Det", g.op("Reshape", x, g.constant([8, 8, 8]))))
    result = simulate_step(
        graph, read_cluster("dgx-a100"), filled(8, tp=8), Roofline(), optimizer=None
    )
    assert result.computed_whole
    from lydite.report.text.step import step_text

    assert "tensor-parallel rank, from gathered inputs: " in step_text(result)


def test_decode_moves_the_same_bytes_everywhere():
    """Work, a cluster and a chip agree on what attention with a cache reads and writes."""
    from lydite.chip.mapped import moved_bytes
    from lydite.graph import work_of
    from lydite.models import build_model

    graph = build_model("gpt2", phase="decode", context=900, dtype="float16")
    op = next(op for op in graph.ops if op.op_type == "Attention")
    work = work_of(op, graph)
    assert moved_bytes(op, graph, 2) == pytest.approx((work.bytes_read, work.bytes_written))
    new_rows = 2 * 2 * 768
    assert work.bytes_written == pytest.approx(2 * 768 + new_rows)
    assert np.isclose(work.bytes_read, 2 * (3 * 768 + 2 * 900 * 768), rtol=0.01)
