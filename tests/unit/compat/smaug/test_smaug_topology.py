"""SMAUG's files: its own topologies, both ways, and what is refused."""

import contextlib
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lydite.compat.smaug as sg
from lydite.compat.smaug.topology.layout import stored_variance, variance_of
from lydite.compat.smaug.topology.network import network_of_file, network_of_message, topology_text
from lydite.compat.smaug.topology.reader import graph_of_network, read_smaug
from lydite.compat.smaug.topology.writer import network_of_graph, write_smaug
from lydite.errors import InputError, LyditeError
from lydite.graph import Builder, Graph, keys_of, total_work
from lydite.graph.formats.pbtxt import parse_pbtxt
from lydite.models import build_model

TOPOLOGIES = {  # file, and our model
    "minerva": "minerva",
    "lenet5": "lenet5",
    "cnn": "cifar10-cnn",
    "vgg": "cifar10-vgg",
    "elu": "cifar100-elu",
    "large_elu": "large-elu",
    "resnet": "imagenet-resnet",
    "lstm": "smaug-lstm",
}
RENAMED = {"conv0_stack4_1": "conv1_stack4"}


def same(one: Graph, other: Graph) -> None:
    assert one.ops == other.ops
    assert one.tensors == other.tensors
    assert (one.inputs, one.outputs) == (other.inputs, other.outputs)
    assert one.initializers.keys() == other.initializers.keys()
    for name, weight in one.initializers.items():
        if weight.has_data:
            np.testing.assert_array_equal(weight.array(), other.initializers[name].array(), name)


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_a_topology_is_read_typed_and_printed_as_it_was(topologies, name):
    path = topologies / f"{name}_smv_topo.pbtxt"
    assert topology_text(network_of_file(path)) == path.read_text()
    graph = read_smaug(path)
    assert all(type_.is_static and type_.dtype for type_ in graph.tensors.values())
    assert total_work(graph).unknown == ()
    nodes = re.findall(r"^  op: (?!Data|Reorder)(\w+)", path.read_text(), re.M)
    fused = re.findall(r"activation: ", path.read_text())
    flattened = path.read_text().count("op: Reorder")
    assert len(graph.ops) == len(nodes) + len(fused) + flattened


def layers(path):
    """Logical output sizes by node, straight from the text."""
    for block in path.read_text().split("\nnodes {")[1:]:
        name, op = re.search(r'name: "([^"]+)"\n  op: (\w+)', block).groups()
        output = block.split("output_tensors {")[1]
        dims = [int(dim) for dim in re.findall(r"dims: (\d+)", output)]
        if "NHWC" in output:
            dims = [dims[0], dims[3], dims[1], dims[2]]
        if op != "Data":
            yield name, op, tuple(dims)


@pytest.mark.parametrize(("name", "model"), TOPOLOGIES.items())
def test_our_model_has_the_same_layers_of_the_same_sizes(topologies, name, model):
    graph = build_model(model)
    ours = {op.name: graph.output_types(op)[0].shape for op in graph.ops}
    theirs = {
        RENAMED.get(n, n): shape for n, _, shape in layers(topologies / f"{name}_smv_topo.pbtxt")
    }
    assert {n: ours[n] for n in theirs} == theirs
    assert {n.rpartition(".")[0] for n in ours.keys() - theirs.keys()} <= theirs.keys()


@pytest.mark.parametrize(("name", "model"), TOPOLOGIES.items())
def test_our_model_does_the_same_work(topologies, name, model):
    theirs, ours = (
        read_smaug(topologies / f"{name}_smv_topo.pbtxt"),
        build_model(model, dtype="float16"),
    )
    assert total_work(ours) == total_work(theirs)
    assert ours.parameter_count == theirs.parameter_count
    assert sorted(k.text for k in keys_of(ours).values()) == sorted(
        k.text for k in keys_of(theirs).values()
    )


def test_the_weights_of_minerva(topologies):
    stem = str(topologies / "minerva_smv_")
    graph = read_smaug(stem + "topo.pbtxt", stem + "params.pb")
    weight = graph.initializers["data_1"]
    assert weight.value is None
    assert str(weight.type) == "float16[256,784]"
    raw = (topologies / "minerva_smv_params.pb").read_bytes()
    assert weight.array().dtype == np.float16
    # the numbers are uniform in [0, 0.005)
    assert 0 <= weight.array().min() < 1e-5
    assert 0.0049 < weight.array().max() <= 0.005
    assert len(raw) > 2 * graph.parameter_count


@pytest.mark.parametrize("backend", ["SMV", "Reference"])
@pytest.mark.parametrize("name", ["minerva", "cnn", "lenet5", "lstm", "elu"])
def test_writing_and_reading_gives_the_same_graph(topologies, tmp_path, name, backend):
    stem = str(topologies / f"{name}_smv_")
    params = stem + "params.pb" if name == "minerva" else None
    graph = read_smaug(stem + "topo.pbtxt", params)
    topology, params = write_smaug(graph, tmp_path, backend=backend, mem_policy="AllAcp", seed=1)
    again = read_smaug(topology, params)
    same(graph, again)
    same(again, read_smaug(*write_smaug(again, tmp_path)))
    text = write_smaug(graph, tmp_path, backend=backend, mem_policy="AllAcp")[0].read_text()
    assert text.endswith(f'backend: "{backend}"\nmem_policy: AllAcp\n')


@pytest.mark.parametrize("name", ["minerva", "lenet5", "cifar10-cnn", "smaug-lstm", "smaug-bilstm"])
def test_our_own_models_are_written(tmp_path, name):
    graph = build_model(name, dtype="float16", batch=2)
    again = read_smaug(*write_smaug(graph, tmp_path))
    assert again.inputs == graph.inputs
    assert {op.name: (op.op_type, op.attrs) for op in again.ops if "squeeze" not in op.name} == {
        op.name: (op.op_type, op.attrs) for op in graph.ops if "squeeze" not in op.name
    }
    assert [k.text for k in keys_of(again).values()] == [k.text for k in keys_of(graph).values()]


@pytest.mark.parametrize("backend", ["SMV", "Reference"])
def test_depthwise_convolutions_and_averages(tmp_path, backend):
    g = Builder("mobile", dtype="float16")
    x = g.conv(g.input("x", (1, 8, 6, 6)), 8, 3, pad=1, group=8, bias=False)
    x = g.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = g.linear(g.op("Relu", g.flatten(x)), 5, bias=False)
    graph = g.build(x)
    weights = {
        name: replace(init, value=init.array(seed))
        for seed, (name, init) in enumerate(graph.initializers.items())
    }
    graph = replace(graph, initializers=weights)
    topology, params = write_smaug(graph, tmp_path, backend=backend)
    again = read_smaug(topology, params)
    assert "op: ConvolutionDepthwise" in topology.read_text()
    assert [op.op_type for op in again.ops] == [op.op_type for op in graph.ops]
    assert {n: op.attrs for n, op in zip("abcde", again.ops, strict=True)} == {
        n: op.attrs for n, op in zip("abcde", graph.ops, strict=True)
    }
    for name, weight in weights.items():
        np.testing.assert_array_equal(weight.array(), again.initializers[name].array())


def test_variances_come_back_bit_by_bit():
    stored = np.geomspace(0.01, 200, 500).astype(np.float16)
    variance = variance_of(stored)
    np.testing.assert_array_equal(variance_of(stored_variance(variance)), variance)
    np.testing.assert_allclose(variance_of(np.float64(np.ones(1))), 1 - 1e-5)


def refused(build) -> str:
    g = Builder("tiny", dtype="float16")
    graph = g.build(build(g))
    with pytest.raises(InputError) as caught:
        network_of_graph(graph)
    return str(caught.value)


def test_what_smaug_has_no_form_for_is_named():
    image = (1, 8, 6, 6)
    assert "tiny: conv (Conv) for SMAUG: has a bias" in refused(
        lambda g: g.conv(g.input("x", image), 4, 3)
    )
    assert "conv (Conv) for SMAUG: pads [2, 2, 2, 2]; allowed: none, or [1, 1, 1, 1]" in refused(
        lambda g: g.conv(g.input("x", image), 4, 3, pad=2, bias=False)
    )
    assert "has groups" in refused(lambda g: g.conv(g.input("x", image), 8, 3, group=2, bias=False))
    assert "fc (Gemm) for SMAUG: is not x W^T" in refused(
        lambda g: g.linear(g.input("x", (1, 8)), 4)
    )
    assert "SMAUG has no such operator; allowed: Add" in refused(
        lambda g: g.op("Exp", g.input("x", (1, 8)))
    )
    assert "broadcasts (4, 8) and (1, 8)" in refused(
        lambda g: g.input("x", (4, 8)) + g.input("y", (1, 8))
    )
    assert "is float32[1,8]; allowed: for the backend SMV float16" in refused(
        lambda g: g.relu(g.input("x", (1, 8), "float32"))
    )
    assert "is float16[N,8]; allowed: 1 to 4 fixed sizes" in refused(
        lambda g: g.relu(g.input("x", ("N", 8)))
    )


def test_an_output_that_is_read_is_refused():
    g = Builder("tiny", dtype="float16")
    x = g.relu(g.input("x", (1, 8)))
    with pytest.raises(InputError, match=r"the tensors that no operator reads: tanh.out"):
        network_of_graph(g.build(x, g.op("Tanh", x)))


# --- damaged files --------------------------------------------------------------------------------


@pytest.fixture
def tiny(tmp_path):
    """A small network's two files."""
    g = Builder("tiny", dtype="float16")
    x = g.conv(g.input("x", (1, 3, 4, 4)), 5, 3, pad=1, bias=False)
    x = g.op("Relu", g.batch_norm(x), name="bn.relu")
    x = g.linear(g.flatten(x), 7, bias=False)
    return write_smaug(g.build(x), tmp_path)


CHANGES = [
    ('parents: "x"', 'parents: "y"', r"line \d+: conv \(Convolution3d\): unknown parent 'y'"),
    ("src_tensors_indices: 0", "src_tensors_indices: 1", "source index 1: 'x' has 1 outputs"),
    ("src_tensors_indices: 0", "src_tensors_indices: -1", "source index -1"),
    ("op: Convolution3d", "op: Convolution9d", "unknown op 'Convolution9d'; allowed: Conv"),
    ("op: Convolution3d", "op: Softmax", "Softmax"),
    ("op: Convolution3d", "op: Merge", "is stated as float16 NHWC"),
    ("layout: NHWC", "layout: NC", r"do not fit the layout 'NC'"),
    ("data_type: Float16", "data_type: Float32", "holds 64 of half_data; allowed: 128"),
    ("padding: SamePadding", "padding: ValidPadding", "output 0 is stated as float16 NHWC"),
    ("stride: 1", "stride: 0", "stride"),
    ('name: "conv"', 'name: "x"', "there is a node 'x' already"),
    ('backend: "SMV"', 'backend: "TPU"', "unknown backend 'TPU'"),
    ("mem_policy: AllDma", "mem_policy: None", "unknown mem_policy 'None'"),
    ("dims: 5", "dims: -5", "do not fit"),
    ("activation: ReLU", "activation: Data", "'Data' is not an activation"),
]


@pytest.mark.parametrize(("old", "new", "message"), CHANGES)
def test_a_topology_that_contradicts_itself(tiny, old, new, message):
    text = tiny[0].read_text()
    assert old in text
    tiny[0].write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        read_smaug(*tiny)


def test_a_cycle_is_named(tmp_path):
    g = Builder("tiny", dtype="float16")
    graph = g.build(g.op("Tanh", g.op("Relu", g.input("x", (1, 8)), name="a"), name="b"))
    topology, _ = write_smaug(graph, tmp_path)
    topology.write_text(topology.read_text().replace('parents: "x"', 'parents: "b"', 1))
    with pytest.raises(InputError, match=r"line \d+: .*'a', 'b'.* wait for each other in a cycle"):
        read_smaug(topology)


def test_nodes_in_any_order_are_read(tmp_path):
    g = Builder("tiny", dtype="float16")
    graph = g.build(g.op("Tanh", g.op("Relu", g.input("x", (1, 8)), name="a"), name="b"))
    network = network_of_graph(graph)
    network.nodes.reverse()
    same(graph_of_network(network), graph)


def test_an_operator_without_translation_is_named(tiny):
    text = tiny[0].read_text().replace("op: InnerProduct", "op: Reorder", 1)
    tiny[0].write_text(text)
    with pytest.raises(InputError, match=r"line \d+: fc \(Reorder\)"):
        read_smaug(tiny[0])


def test_parameters_of_another_network(tiny, tmp_path):
    other = Builder("other", dtype="float16")
    x = other.linear(other.input("x", (1, 8)), 7, bias=False)
    _, params = write_smaug(other.build(x), tmp_path)
    with pytest.raises(InputError, match=r"tensor 'x/input0' holds 4 of half_data; allowed: 64"):
        read_smaug(tiny[0], params)
    y = other.op("Tanh", x)
    _, params = write_smaug(Graph("z", (), {}, (), ()), tmp_path)
    with pytest.raises(InputError, match="has no tensor 'x/input0'"):
        read_smaug(tiny[0], params)
    topology, _ = write_smaug(other.build(y).renamed("w"), tmp_path)
    with pytest.raises(
        InputError, match=r"has the tensor .*, which '.*w_topo.pbtxt' does not have"
    ):
        read_smaug(topology, tiny[1])


def test_truncated_parameters(tiny):
    raw = tiny[1].read_bytes()
    tiny[1].write_bytes(raw[: len(raw) // 2])
    with pytest.raises(InputError, match=r"truncated|holds|has no tensor"):
        read_smaug(*tiny)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_smaug(tmp_path / "none.pbtxt")
    (tmp_path / "x.pbtxt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        read_smaug(tmp_path / "x.pbtxt")
    (tmp_path / "y.pbtxt").write_text('name: "x"')
    with pytest.raises(InputError, match="has no 'nodes'"):
        read_smaug(tmp_path / "y.pbtxt")


def test_deep_chains_do_not_exhaust_the_stack(tmp_path):
    with sg.Graph("deep", "SMV") as graph:
        x = sg.input_data(sg.Tensor([1, 4, 4, 8], data_layout=sg.NHWC, data_type=sg.Float16))
        x = sg.array.flatten(x)
        for _ in range(3000):
            x = sg.nn.relu(x)
        sg.nn.mat_mul(x, sg.Tensor([8, 128], data_layout=sg.NC, data_type=sg.Float16))
    found = graph.to_graph()
    assert len(found.ops) == 3002
    same(found, graph_of_network(network_of_graph(found)))


def small() -> str:
    g = Builder("tiny", dtype="float16")
    a = g.op("Concat", *(g.conv(g.input(n, (1, 2, 2, 2)), 2, 2, bias=False) for n in "xy"), axis=1)
    return topology_text(network_of_graph(g.build(g.relu(a))))


TEXT = small()


@settings(max_examples=150)
@given(st.data())
def test_a_damaged_topology_gives_a_graph_or_one_of_our_errors(data):
    at = data.draw(st.integers(0, len(TEXT) - 1))
    length = data.draw(st.integers(0, 30))
    patch = data.draw(
        st.sampled_from(
            ["", "0", "7", "-1", "9" * 30, "}", "{", '"', "NC", "Split", "dims: 3", "Reorder", "\0"]
        )
    )
    damaged = TEXT[:at] + patch + TEXT[at + length :]
    with contextlib.suppress(LyditeError):
        graph_of_network(network_of_message(parse_pbtxt(damaged)))
