"""PyTorch: its aten operators, and the same numbers as ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lydite.backends import Settings, find_backend  # noqa: E402
from lydite.backends.lowered import lowered  # noqa: E402
from lydite.errors import BackendError, InputError  # noqa: E402
from lydite.graph import Builder, Op, keys_of, work_of_key  # noqa: E402
from lydite.graph.graph import Graph  # noqa: E402
from lydite.models import build_model  # noqa: E402
from lydite.models.bert import bert  # noqa: E402
from lydite.models.dimensions_encoders import Encoder  # noqa: E402

TWO_LAYERS = Encoder(
    layers=2, hidden=128, heads=2, feed_forward=512, vocabulary=30522, positions=512
)


@pytest.fixture(scope="module")
def backend():
    return find_backend("torch")


@pytest.fixture(scope="module")
def alexnet():
    return find_backend("torch").lower(build_model("alexnet"), Settings())


def test_alexnet_becomes_aten_operators(alexnet):
    keys = keys_of(alexnet)
    assert set(keys) == {op.name for op in alexnet.ops}
    assert {key.domain for key in keys.values()} == {"aten"}
    kinds = [op.op_type.partition(".")[0] for op in alexnet.ops]
    assert sum(kind in ("conv2d", "convolution") for kind in kinds) == 5
    assert sum(kind in ("linear", "addmm") for kind in kinds) == 3


def test_each_aten_operator_runs_alone_and_has_its_work(backend, alexnet):
    for key in set(keys_of(alexnet).values()):
        for copies in (1, 2):
            prepared = backend.prepare_op(key, Settings(), copies)
            prepared.run()
            prepared.synchronize()
            prepared.close()
        assert work_of_key(key) is not None, key.text


def test_flops_are_those_of_the_onnx_graph(alexnet):
    from lydite.graph import total_work

    onnx = total_work(build_model("alexnet")).total.flops
    assert total_work(alexnet).total.flops == pytest.approx(onnx, rel=0.01)


def test_a_kept_lowering_comes_back_equal(backend):
    g = Builder("small")
    graph = g.build(g.relu(g.linear(g.input("x", (2, 8)), 4)))
    first, again = (lowered(backend, graph, Settings()) for _ in range(2))
    assert keys_of(again) == keys_of(first)


def outputs_of(name, graph):
    """Outputs with the inputs and weights that the seed gives, which both backends draw alike."""
    if name == "onnxruntime":
        prepared = find_backend(name).prepare(graph, Settings())
        prepared.run()
        return list(prepared.outputs().values())
    from lydite.backends.torch import _Net

    module = _Net(graph, Settings())
    with torch.inference_mode():
        return [value.numpy() for value in module(*module.feeds)]


@pytest.mark.parametrize("name", ["mobilenetv2", "bert"])
def test_numbers_agree_with_onnx_runtime(name, monkeypatch):
    if name == "bert":
        graph = bert(TWO_LAYERS, batch=1, sequence=16)
    else:
        graph = build_model(name, image_size=64)
    from lydite.backends import onnxruntime
    from lydite.backends import torch as torch_backend

    # Both get the same floats: each draws its own otherwise.
    def floats(type_, *_, **__):
        count = int(np.prod(type_.shape))
        if type_.dtype != "float32":
            return np.ones(type_.shape, type_.dtype)
        return np.linspace(-1, 1, count, dtype=np.float32).reshape(type_.shape)

    monkeypatch.setattr(onnxruntime, "input_array", floats)
    monkeypatch.setattr(
        torch_backend, "_operand", lambda type_, *_, **__: torch.from_numpy(floats(type_))
    )
    theirs, ours = outputs_of("onnxruntime", graph), outputs_of("torch", graph)
    assert len(theirs) == len(ours) > 0
    for a, b in zip(theirs, ours, strict=True):
        scale = float(np.abs(a).max())
        assert scale > 0
        assert float(np.abs(a - b).max()) < 1e-4 * scale


def test_a_lowered_graph_runs_and_is_profiled(backend, alexnet):
    prepared = backend.prepare(alexnet, Settings())
    prepared.run()
    runs = backend.profile(alexnet, Settings(), 2)
    assert [node.op_name for node in runs[0]] == [op.name for op in alexnet.ops]
    assert len(runs) == 2


def test_threads_are_set_and_given_back(backend):
    before = torch.get_num_threads()
    g = Builder("small")
    prepared = backend.prepare(g.build(g.relu(g.input("x", (2, 8)))), Settings(threads=1))
    prepared.run()
    prepared.close()
    assert torch.get_num_threads() == before


def test_refusals_are_one_line(backend):
    g = Builder("open")
    with pytest.raises(InputError, match="--dim n=SIZE"):
        backend.lower(g.build(g.relu(g.input("x", ("n", 4)))), Settings())
    if not torch.cuda.is_available():
        with pytest.raises(BackendError, match="PyTorch has no device 'cuda' here; allowed: cpu"):
            backend.prepare(build_model("alexnet"), Settings(device="cuda"))
    g = Builder("odd")
    x = g.input("x", (4,))
    t = g.type_of(x)
    bad = Graph(
        "odd",
        (Op("r", "FusedThing", ("x",), ("y",), {}, "com.microsoft"),),
        {"x": t, "y": t},
        ("x",),
        ("y",),
        opsets={"": 20, "com.microsoft": 1},
    )
    with pytest.raises(BackendError, match=r"no translation to PyTorch .*use --backend onnxrun"):
        backend.lower(bad, Settings())
