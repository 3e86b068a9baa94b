"""Finding backends, what they say of themselves, and the one that only replays."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import psutil
import pytest

from lydite import backends, registry
from lydite.backends import Backend, Prepared, Settings, backend_names, find_backend
from lydite.backends.base import check_runnable
from lydite.backends.isolate import calls, replicated
from lydite.backends.lowered import lowered
from lydite.backends.replay import ReplayBackend
from lydite.errors import BackendError, InputError, MissingExtra
from lydite.graph import Builder, Graph, keys_of
from lydite.opkey import Operand, OpKey, TensorType
from lydite.store import Conditions, Database, Measurement, Software


def net() -> Graph:
    g = Builder("net")
    x = g.relu(g.linear(g.input("x", (2, 16)), 32))
    return g.build(g.linear(x, 8))


def recorded(graph: Graph) -> dict[str, float]:
    return {key.digest: 1e-4 * (n + 1) for n, key in enumerate(set(keys_of(graph).values()))}


def test_own_and_outside_backends_are_listed():
    assert set(backend_names()) >= {"onnxruntime", "replay", "torch", "villain"}


def test_an_outside_backend_comes_by_its_entry_point():
    villain = find_backend("villain")
    assert type(villain).__module__ == "villain"
    assert isinstance(villain, Backend)
    (key, *_) = keys_of(net()).values()
    assert villain.prepare_op(key, Settings(), 1).device_seconds(1) == pytest.approx(1e-3 + 2e-6)


def test_an_outside_backend_cannot_take_the_name_of_an_own_one(monkeypatch):
    from importlib.metadata import EntryPoint

    group = backends.BACKENDS.group
    fake = EntryPoint("replay", "villain:VillainBackend", group)
    monkeypatch.setattr("lydite.registry.entry_points", lambda group: [fake])
    fresh = registry.Registry(group, "backend", {"replay": "lydite.backends.replay:ReplayBackend"})
    assert fresh.find("replay") is ReplayBackend


@pytest.mark.parametrize("name", ["onnxruntime", "replay", "torch"])
def test_a_backend_fits_the_protocol(name):
    if name == "torch":
        pytest.importorskip("torch")
    backend = find_backend(name)
    assert isinstance(backend, Backend)
    assert backend.name == name
    found = backend.capabilities()
    assert found.available
    assert found.versions[name]
    assert "cpu" in found.devices
    assert "float32" in found.dtypes
    prepared = backend.prepare_calls(Settings(), 3)
    assert isinstance(prepared, Prepared)
    prepared.run()
    prepared.synchronize()
    prepared.close()


def test_a_typo_gets_the_nearest_name():
    with pytest.raises(InputError, match=r"unknown backend 'torh'.*did you mean 'torch'"):
        find_backend("torh")


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"'onnxruntime' is not installed"):
        find_backend("onnxruntime")


def test_replay_says_what_was_recorded(tmp_path, monkeypatch):
    graph = net()
    keys = list(keys_of(graph).values())
    path = tmp_path / "recorded.db"
    with Database.open(path) as database:
        database.add(
            Measurement(key, "d", Software("x", {}), Conditions(), np.array([1e-3 * (n + 1)] * 3))
            for n, key in enumerate(keys)
        )
    monkeypatch.setenv("LYDITE_REPLAY", str(path))
    backend = find_backend("replay")
    whole = backend.prepare(graph, Settings()).device_seconds(1)
    assert whole == pytest.approx(6e-3 + backend.call_s)
    assert backend.lower(graph, Settings()) is graph
    nodes = backend.profile(graph, Settings(), 2)
    assert [node.op_name for node in nodes[1]] == [op.name for op in graph.ops]
    assert nodes[0][2].start_s == pytest.approx(nodes[0][0].seconds + nodes[0][1].seconds)


def test_replay_copies_cost_a_dispatch_between_them():
    graph = net()
    backend = ReplayBackend(recorded(graph), call_s=1.0, dispatch_s=0.1)
    (key, *_) = keys_of(graph).values()
    one, three = (backend.prepare_op(key, Settings(), n).device_seconds(1) for n in (1, 3))
    assert three - one == pytest.approx(2 * backend.seconds[key.digest] + 0.2)


def test_replay_knows_nothing_else():
    with pytest.raises(BackendError, match="replay: no time is recorded for Gemm"):
        ReplayBackend({}).prepare(net(), Settings())


def test_what_cannot_run_here_is_refused_before_anything_is_allocated(monkeypatch):
    g = Builder("open")
    with pytest.raises(InputError, match="--dim n=SIZE --dim m=SIZE"):
        check_runnable(g.build(g.relu(g.input("x", ("n", "m")))))
    g = Builder("huge")
    huge = g.build(g.linear(g.input("x", (1, 1 << 20)), 1 << 21))
    assert huge.parameter_bytes > psutil.virtual_memory().total / 2
    for name in ("onnxruntime", "replay"):
        with pytest.raises(BackendError, match=r"huge: needs about .* GiB are free; use a"):
            find_backend(name).prepare(huge, Settings())


WIDE = OpKey(
    "MatMul",
    (Operand(TensorType("float32", (4, 64))), Operand(TensorType("float32", (64, 64)), const=True)),
    (TensorType("float32", (4, 64)),),
    version=13,
)


def test_copies_of_an_operator_have_weights_of_their_own_and_a_reader_between():
    graph = replicated(WIDE, 3)
    products = [op for op in graph.ops if op.op_type == "MatMul"]
    assert len({op.inputs[1] for op in products}) == 3
    assert len({op.inputs[0] for op in products}) == 1
    assert {op.inputs[1] for op in products} == set(graph.initializers)
    taps = [op for op in graph.ops if op.op_type == "Shape"]
    assert [tap.inputs for tap in taps] == [op.outputs for op in products[:-1]]
    assert graph.outputs == products[-1].outputs
    assert {key for name, key in keys_of(graph).items() if name.startswith("op_")} == {WIDE}


def _conv(height: int, residual: bool) -> OpKey:
    image = TensorType("float32", (1, 16, height, 1024))
    weights = Operand(TensorType("float32", (16, 16, 1, 1)), const=True)
    bias = Operand(TensorType("float32", (16,)), const=True)
    operands = (Operand(image), weights, bias, Operand(image))
    return OpKey(
        "Conv",
        operands if residual else operands[:3],
        (image,),
        domain="com.microsoft.nchwc",
        attrs={"kernel_shape": (1, 1)},
        version=1,
    )


def test_a_sum_that_is_overwritten_comes_from_the_copy_before():
    graph = replicated(_conv(8, residual=True), 3, turns=2)
    copies = [op for op in graph.ops if op.name.startswith("op_")]
    sums = [op.inputs[3] for op in copies]
    assert sums[0] in graph.inputs
    assert sums[1:] == [op.outputs[0] for op in copies[:-1]]
    # Nothing else may read them, or the runtime would copy what it could overwrite.
    readers = [name for op in graph.ops for name in op.inputs]
    assert all(readers.count(name) == 1 for name in sums)
    assert len({op.inputs[0] for op in copies}) == 2


def test_large_outputs_live_until_some_copies_later():
    for height, late in ((64, False), (128, True)):  # 4 and 8 MiB
        graph = replicated(_conv(height, residual=False), 6)
        copies = [op for op in graph.ops if op.name.startswith("op_")]
        views = [op for op in graph.ops if op.op_type == "Reshape"]
        assert bool(views) == late
        made = {op.outputs[0]: op for op in graph.ops}
        for at, view in enumerate(views):
            assert view.inputs[0] == copies[at].outputs[0]
            needs = made[view.inputs[1]].inputs[0]
            assert needs == copies[min(at + 3, 5)].outputs[0]
        taps = [op for op in graph.ops if op.name.startswith("tap_")]
        assert len(taps) == 5


def test_chains_of_calls():
    graph = calls(4)
    assert [op.op_type for op in graph.ops] == ["Abs"] * 4
    mixed = calls(24, "mixed")
    kinds = [op.op_type for op in mixed.ops]
    assert len(set(kinds)) == 12
    assert kinds[:12] == kinds[12:]
    assert all(set(op.inputs) == {"x"} for op in mixed.ops)


class Counting(ReplayBackend):
    lowerings = 0

    def lower(self, graph, settings):
        self.lowerings += 1
        return super().lower(graph, settings)


def test_a_lowered_graph_is_kept_and_comes_back_equal():
    backend, graph = Counting({}), net()
    first = lowered(backend, graph, Settings())
    again = lowered(backend, graph.renamed("other"), Settings())
    assert backend.lowerings == 1
    assert again.name == "other"
    assert keys_of(again) == keys_of(first)
    assert again.ops == first.ops
    assert {n: i.type for n, i in again.initializers.items()} == {
        n: i.type for n, i in first.initializers.items()
    }
    lowered(backend, graph, replace(Settings(), threads=2))
    assert backend.lowerings == 2


def test_a_kept_graph_that_is_damaged_is_made_again(tmp_path):
    backend, graph = Counting({}), net()
    lowered(backend, graph, Settings())
    (path,) = (tmp_path / "cache").rglob("*.onnx")
    path.write_bytes(b"nonsense")
    assert keys_of(lowered(backend, graph, Settings())) == keys_of(graph)
    assert backend.lowerings == 2


@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
def test_inputs_from_outside_and_outputs(name):
    if name == "torch":
        pytest.importorskip("torch")
    g = Builder("sum")
    x = g.input("x", (2, 3))
    graph = g.build(g.op("Add", x, x))
    prepared = find_backend(name).prepare(graph, Settings())
    fed = np.arange(6, dtype=np.float32).reshape(2, 3)
    prepared.bind({"x": fed})
    prepared.run()
    (found,) = prepared.outputs().values()
    assert (found == 2 * fed).all()
    with pytest.raises(BackendError, match="'y' is not an input; allowed: x"):
        prepared.bind({"y": fed})
    with pytest.raises(
        BackendError, match=r"'x' has the type float32\[6\]; allowed: float32\[2,3\]"
    ):
        prepared.bind({"x": fed.ravel()})
    prepared.close()


def test_a_backend_without_buffers_says_so():
    prepared = ReplayBackend(recorded(net())).prepare(net(), Settings())
    with pytest.raises(BackendError, match="does not accept inputs: x"):
        prepared.bind({"x": np.zeros((2, 16), np.float32)})
    with pytest.raises(BackendError, match="does not return outputs"):
        prepared.outputs()
