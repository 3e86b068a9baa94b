"""ONNX Runtime: what it really runs, operator by operator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lydite.backends import Settings, find_backend
from lydite.backends.isolate import replicated
from lydite.backends.lowered import lowered
from lydite.errors import BackendError, InputError
from lydite.graph import (
    Builder,
    Graph,
    Initializer,
    Op,
    TensorType,
    keys_of,
    read_onnx,
    total_work,
    write_onnx,
)
from lydite.models import build_model
from lydite.models.bert import bert
from lydite.models.dimensions_encoders import Encoder

TWO_LAYERS = Encoder(
    layers=2, hidden=128, heads=2, feed_forward=512, vocabulary=30522, positions=512
)


@pytest.fixture(scope="module")
def backend():
    return find_backend("onnxruntime")


def convolutions() -> Graph:
    g = Builder("convolutions")
    x = g.input("image", (1, 16, 16, 16))
    y = g.relu(g.batch_norm(g.conv(x, 16, 3, pad=1)))
    y = g.relu(g.conv(y, 16, 3, pad=1) + y)
    return g.build(g.linear(g.flatten(g.global_average_pool(y)), 10))


def test_a_convolutional_net_is_fused_and_laid_out(backend):
    low = backend.lower(convolutions(), Settings())
    kinds = [op.qualified_type for op in low.ops]
    assert len(kinds) < len(convolutions().ops)
    assert "BatchNormalization" not in kinds
    assert any(
        kind.startswith("com.microsoft.nchwc:Conv") or kind == "com.microsoft:FusedConv"
        for kind in kinds
    )
    assert low.name == "convolutions"
    assert low.inputs == ("image",)


@pytest.mark.parametrize("name", ["convolutions", "mobilenetv2", "bert"])
def test_a_lowered_graph_is_wholly_typed(backend, name):
    graph = graph_called(name)
    low = backend.lower(graph, Settings())
    names = [op.name for op in low.ops]
    assert len(names) == len(set(names))
    assert set(keys_of(low)) == set(names)
    for op in low.ops:
        for tensor in op.outputs:
            assert not tensor or low.type_of(tensor).is_static


def test_lowering_twice_gives_the_same_keys(backend):
    graph = convolutions()
    assert keys_of(backend.lower(graph, Settings())) == keys_of(backend.lower(graph, Settings()))


def graph_called(name: str) -> Graph:
    if name == "convolutions":
        return convolutions()
    if name == "bert":
        return bert(TWO_LAYERS, batch=1, sequence=16)
    return build_model(name, image_size=64)


@pytest.mark.parametrize("name", ["mobilenetv2", "bert"])
def test_every_operator_of_a_lowered_graph_runs_alone(backend, name):
    low = lowered(backend, graph_called(name), Settings())
    keys = set(keys_of(low).values())
    assert len(keys) > 5
    for key in keys:
        prepared = backend.prepare_op(key, Settings(), 1)
        prepared.run()
        prepared.synchronize()
        shapes = [tuple(array.shape) for array in prepared.outputs().values()]
        assert shapes == [t.shape for t in key.outputs if t.dtype], key.text
        prepared.close()


def test_a_lowered_graph_computes_what_the_graph_did(backend):
    graph = convolutions()
    first = backend.prepare(graph, Settings(optimise=False))
    second = backend.prepare(graph, Settings())
    for prepared in (first, second):
        prepared.run()
    one, other = (next(iter(made.outputs().values())) for made in (first, second))
    assert other == pytest.approx(one, rel=1e-4, abs=1e-5)
    assert np.ptp(next(iter(first.outputs().values()))) > 0


def test_the_seed_decides_weights_and_inputs(backend):
    def output(seed):
        prepared = backend.prepare(convolutions(), Settings(seed=seed))
        prepared.run()
        return next(iter(prepared.outputs().values()))

    assert np.array_equal(output(1), output(1))
    assert not np.array_equal(output(1), output(2))


def test_copies_draw_distinct_weights(backend):
    key = next(k for k in keys_of(build_model("alexnet")).values() if k.op_type == "Gemm")
    graph = replicated(key, 3)
    arrays = [
        init.array(number)
        for number, init in enumerate(graph.initializers.values())
        if len(init.type.shape) == 2
    ]
    assert len(arrays) == 3
    assert not np.array_equal(arrays[0][0], arrays[1][0])
    prepared = backend.prepare_op(key, Settings(), 3)
    prepared.run()
    assert len(prepared.outputs()) == 1


@pytest.mark.parametrize("device", ["cuda", "rocm", "warp"])
def test_a_provider_that_is_not_here_is_an_error(backend, device):
    if device in backend.capabilities().devices:
        pytest.skip(f"this machine has {device}")
    with pytest.raises(BackendError, match=r"ONNX Runtime has no .* here; allowed: cpu"):
        backend.prepare(convolutions(), Settings(device=device))


def test_a_silent_fall_back_is_an_error(backend, monkeypatch):
    ort = backend._ort
    present = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: present)

    class FallenBack:
        def __init__(self, model, options, providers, provider_options=None):
            assert providers == ["CUDAExecutionProvider"]

        def get_providers(self):
            return ["CPUExecutionProvider"]

    monkeypatch.setattr(ort, "InferenceSession", FallenBack)
    with pytest.raises(BackendError, match="fell back from CUDAExecutionProvider to CPU"):
        backend.prepare(convolutions(), Settings(device="cuda"))


def test_a_graph_that_is_refused(backend):
    g = Builder("odd")
    x = g.input("x", (4, 4))
    graph = g.build(g.relu(x))
    bad = Graph(
        "odd",
        (Op("r", "NotThere", ("x",), ("y",), {}, "com.microsoft"),),
        {"x": graph.type_of("x"), "y": graph.type_of("x")},
        ("x",),
        ("y",),
        opsets={"": 20, "com.microsoft": 1},
    )
    with pytest.raises(BackendError, match=r"^odd: .*NotThere") as caught:
        backend.prepare(bad, Settings())
    assert "\n" not in str(caught.value)


def test_a_weight_that_nothing_reads_is_left_out(backend):
    """Exporters leave such weights behind; the runtime removes them before it is given them."""
    graph = convolutions()
    weight = Initializer(TensorType("float32", (64, 64)))
    unread = replace(
        graph,
        initializers={**graph.initializers, "unread": weight},
        tensors={**graph.tensors, "unread": weight.type},
    )
    found = []
    for net in (unread, graph):
        prepared = backend.prepare(net, Settings())
        prepared.run()
        found.extend(prepared.outputs().values())
        prepared.close()
    assert np.array_equal(*found)


def test_open_sizes_are_named(backend):
    g = Builder("open")
    with pytest.raises(InputError, match="--dim n=SIZE"):
        backend.lower(g.build(g.relu(g.input("x", ("n", 4)))), Settings())


def test_the_profiler_sees_each_operator_of_each_run(backend):
    low = lowered(backend, convolutions(), Settings())
    runs = backend.profile(low, Settings(), 3)
    assert len(runs) == 3
    for nodes in runs:
        assert {node.op_name for node in nodes} == {op.name for op in low.ops}
        assert all(node.seconds >= 0 for node in nodes)
        starts = [node.start_s for node in nodes]
        assert starts == sorted(starts)


def test_a_resize_by_scales_runs_alone(backend):
    """The runtime reads scales as it loads a Resize: a place in memory does not do."""
    g = Builder("g", opset=13)
    x = g.input("x", (1, 6, 8, 8))
    scales = g.constant([1, 1, 2, 2], "scales", "float32")
    low = backend.lower(g.build(g.op("Resize", x, None, scales, mode="nearest")), Settings())
    (key,) = keys_of(low).values()
    prepared = backend.prepare_op(key, Settings(), 3)
    prepared.run()
    assert next(iter(prepared.outputs().values())).shape == (1, 6, 16, 16)
    prepared.close()


@pytest.mark.parametrize("threads", [1, 2])
def test_chains_of_calls_run(backend, threads):
    for chain in ("same", "mixed"):
        prepared = backend.prepare_calls(Settings(threads=threads), 24, chain)
        prepared.run()
        prepared.close()


@pytest.fixture(scope="module")
def quantised(tmp_path_factory):
    """A small network as onnxruntime.quantization writes it: by format."""
    quantization = pytest.importorskip("onnxruntime.quantization")
    folder = tmp_path_factory.mktemp("int8")
    g = Builder("small")
    x = g.input("x", (1, 8, 16, 16))
    y = g.relu(g.conv(x, 8, 3, pad=1))
    y = g.concat([y, g.conv(y, 8, 3, pad=1)], 1)
    path = write_onnx(g.build(g.conv(y, 8, 1)), folder / "small.onnx")

    class Reader(quantization.CalibrationDataReader):
        left = 4

        def get_next(self):
            self.left -= 1
            if self.left < 0:
                return None
            rng = np.random.default_rng(self.left)
            return {"x": rng.normal(size=(1, 8, 16, 16)).astype(np.float32)}

    made = {}
    for name in ("QDQ", "QOperator"):
        made[name] = folder / f"{name}.onnx"
        quantization.quantize_static(
            path, made[name], Reader(), quant_format=getattr(quantization.QuantFormat, name)
        )
    return made


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_statically_quantised_networks_lower_and_run(backend, quantised, form):
    graph = read_onnx(quantised[form])
    assert total_work(graph).unknown == ()
    assert total_work(graph).total.flops > 2 * (8 * 72 * 256 * 2 + 16 * 8 * 256)
    low = backend.lower(graph, Settings())
    assert len(keys_of(low)) == len(low.ops)
    backend.prepare(low, Settings(optimise=False)).run()


def test_a_classifier_of_the_runtime_s_own_is_lowered(backend):
    import onnxruntime

    path = Path(onnxruntime.__file__).parent / "datasets" / "logreg_iris.onnx"
    graph = read_onnx(path)
    assert total_work(graph).unknown == ()
    backend.prepare(backend.lower(graph, Settings()), Settings(optimise=False)).run()
