"""What passes change computes the same on ONNX Runtime, or nearly where digits are given up."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest

from lydite.graph import Builder, Graph, model_to_proto, total_work
from lydite.graph.passes import fused, in_precision
from lydite.graph.passes.attention import written_out
from lydite.graph.passes.fold import folded
from lydite.graph.passes.quantise import quantised
from lydite.models import build_model
from lydite.models.bert import bert
from lydite.models.decoder import decoder
from lydite.models.dimensions import Decoder
from lydite.models.dimensions_encoders import Encoder

ENCODER = Encoder(layers=4, hidden=256, heads=4, feed_forward=1024, vocabulary=2000, positions=64)
NETS = {
    "resnet50": lambda: build_model("resnet50", image_size=64),
    "mobilenetv2": lambda: build_model("mobilenetv2", image_size=64),
    "bert": lambda: bert(ENCODER, sequence=8, batch=2),
}


def with_numbers(graph: Graph) -> Graph:
    """Weights drawn once, so that every form of the net has the same."""
    drawn = {
        name: init if init.has_data else replace(init, value=init.array(seed))
        for seed, (name, init) in enumerate(graph.initializers.items())
    }
    return replace(graph, initializers=drawn)


@pytest.fixture(scope="module", params=NETS)
def net(request):
    """A net, and what it computes."""
    graph = with_numbers(NETS[request.param]())
    return graph, run(graph)


def run(graph: Graph, also: tuple[str, ...] = ()) -> list[np.ndarray]:
    """Outputs on ONNX Runtime without its own optimisations, then further tensors."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    whole = replace(graph, outputs=(*graph.outputs, *also))
    session = ort.InferenceSession(model_to_proto(whole).SerializeToString(), options)
    rng = np.random.default_rng(0)
    feeds = {}
    for name in graph.inputs:
        type_ = graph.type_of(name)
        feeds[name] = (
            np.ones(type_.shape, np.int64)
            if type_.dtype == "int64"
            else rng.standard_normal(type_.shape).astype(type_.dtype)
        )
    return session.run(None, feeds)


def difference(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """Largest difference, as a share of the largest number."""
    return max(
        float(np.abs(a.astype(np.float32) - b).max() / np.abs(b).max())
        for a, b in zip(ours, theirs, strict=True)
    )


def test_fusion_changes_no_number(net):
    net, expected = net
    found = fused(net)
    assert len(found.ops) < 0.6 * len(net.ops)
    assert total_work(found).unknown == ()
    assert total_work(found).total.bytes_moved < total_work(net).total.bytes_moved
    assert difference(run(found), expected) < 1e-4


@pytest.mark.parametrize("precision", ["float16", "autocast-float16"])
def test_half_precision_changes_the_fourth_digit(net, precision):
    net, expected = net
    found = in_precision(net, precision)
    assert difference(run(found), expected) < 5e-3
    held = "float32" if precision.startswith("autocast") else "float16"
    assert {found.initializers[name].type.dtype for name in found.parameters} == {held}


def calibrated(net: Graph) -> dict[str, float]:
    """The largest magnitude of every activation."""
    plain = folded(net)
    names = tuple(
        name
        for name in plain.producers
        if plain.type_of(name).dtype == "float32" and name not in plain.outputs
    )
    values = run(plain, names)[len(plain.outputs) :]
    largest = {name: float(np.abs(value).max()) for name, value in zip(names, values, strict=True)}
    return largest | {name: 5.0 for name in plain.inputs}


@pytest.mark.parametrize("name", ["resnet50", "mobilenetv2"])
def test_eight_bits_stay_near(name):
    net = with_numbers(NETS[name]())
    low = quantised(net, calibrated(net))
    exact, rough = run(net)[0], run(low)[0]
    assert np.corrcoef(exact.ravel(), rough.ravel())[0, 1] > 0.98
    kernels = fused(low)
    types = Counter(op.qualified_type for op in kernels.ops)
    assert types["QLinearConv"] == sum(op.op_type == "Conv" for op in net.ops)
    assert types["QuantizeLinear"] + types["DequantizeLinear"] <= 4
    assert total_work(kernels).unknown == ()
    assert np.corrcoef(exact.ravel(), run(kernels)[0].ravel())[0, 1] > 0.98
    assert kernels.parameter_bytes < 0.3 * net.parameter_bytes


def test_eight_bits_leave_softmax_and_norms_alone():
    low = in_precision(build_model("bert-base", sequence=8), "int8")
    kept = ("Softmax", "LayerNormalization", "Gelu", "Tanh")
    for op in low.ops:
        if op.op_type in kept:
            assert low.type_of(op.outputs[0]).dtype == "float32"
    products = [op for op in low.ops if op.op_type == "MatMul"]
    assert all(
        low.producers[name].op_type == "DequantizeLinear" for op in products for name in op.inputs
    )


def test_attention_with_a_mask_for_all_queries_and_one_for_each():
    for rows in (1, 6):
        g = Builder("attention")
        x, mask = g.input("x", (2, 6, 32)), g.input("mask", (2, 1, rows, 6))
        parts = [g.reshape(g.linear(x, 32), [0, 0, 4, 8]) for _ in range(3)]
        query, key, value = (
            g.transpose(part, perm)
            for part, perm in zip(parts, ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3)), strict=True)
        )
        scores = g.op("MatMul", query, key) * g.constant(0.3, "scale", "float32") + mask
        mixed = g.transpose(g.op("MatMul", g.softmax(scores), value), (0, 2, 1, 3))
        net = with_numbers(g.build(g.reshape(mixed, [0, 0, 32])))
        found = fused(net)
        assert [op.op_type for op in found.ops].count("MultiHeadAttention") == 1
        assert "Softmax" not in {op.op_type for op in found.ops}
        assert difference(run(found), run(net)) < 1e-5


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_attention_written_out_changes_no_number(kv_heads):
    size = Decoder(
        layers=2,
        hidden=32,
        heads=4,
        kv_heads=kv_heads,
        feed_forward=64,
        vocabulary=50,
        positions=16,
    )
    graph = with_numbers(decoder(size, batch=2, sequence=8, phase="forward"))
    found = written_out(graph)
    assert "Attention" in {op.op_type for op in graph.ops}
    assert "Attention" not in {op.op_type for op in found.ops}
    assert difference(run(found), run(graph)) < 1e-5
