"""SMAUG's API: scripts as for SMAUG itself, what they mean as ONNX, and what is refused."""

import numpy as np
import onnxruntime
import pytest

import lydite.compat.smaug as sg
from lydite.compat.smaug.topology.reader import read_smaug
from lydite.compat.smaug.topology.writer import write_smaug
from lydite.errors import GraphError, InputError
from lydite.graph import Graph, model_to_proto, total_work

RANDOM = np.random.default_rng(0)


def tensor(*dims, layout=sg.NHWC, dtype="float16"):
    data = (RANDOM.random(dims) - 0.5).astype(dtype)
    return sg.Tensor(data_layout=layout, tensor_data=data)


def same(one: Graph, other: Graph) -> None:
    assert one.ops == other.ops
    assert one.tensors == other.tensors
    assert (one.inputs, one.outputs) == (other.inputs, other.outputs)
    for name, weight in one.initializers.items():
        if weight.has_data:
            np.testing.assert_array_equal(weight.array(), other.initializers[name].array(), name)


def checked(graph: sg.Graph, folder) -> Graph:
    """The logical graph, after both ways over SMAUG's files."""
    found = graph.to_graph()
    same(found, read_smaug(*graph.write_graph(folder=folder)))
    same(found, read_smaug(*write_smaug(found, folder, backend=graph.backend)))
    return found


def run(graph: Graph, *inputs: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model_to_proto(graph).SerializeToString())
    return session.run(None, dict(zip(graph.inputs, inputs, strict=True)))


def test_the_script_of_the_tutorial(tmp_path, capsys):
    with sg.Graph(name="my_model", backend="SMV") as graph:
        x = sg.input_data(tensor(1, 28, 28, 1))
        x = sg.nn.convolution(x, tensor(32, 3, 3, 1), stride=[1, 1], padding="same")
        x = sg.nn.max_pool(x, pool_size=[2, 2], stride=[2, 2])
        sg.nn.mat_mul(x, tensor(10, 6272, layout=sg.NC))
        graph.print_summary()
    printed = capsys.readouterr().out
    # the summary that SMAUG's documentation prints of this network
    for name, op, dims in [
        ("data", "Data", "1, 28, 28, 1"),
        ("data_1", "Data", "32, 3, 3, 1"),
        ("data_2", "Data", "10, 6272"),
        ("conv", "Convolution3d", "1, 28, 28, 32"),
        ("max_pool", "MaxPooling", "1, 14, 14, 32"),
        ("reorder", "Reorder", "1, 6272"),
        ("mat_mul", "InnerProduct", "1, 10"),
    ]:
        assert f"{name} ({op})\n" in printed
        assert f"output: {name}/output0 float16" in printed
        assert f"[{dims}] alignment 8" in printed
    found = checked(graph, tmp_path)
    assert found.parameter_count == 288 + 62720
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "my_model_params.pb",
        "my_model_topo.pbtxt",
    ]


@pytest.mark.parametrize("backend", ["SMV", "Reference"])
def test_numbers_are_those_of_the_layouts(tmp_path, backend):
    """An NHWC image that is flattened meets weights in NHWC's order, as in SMAUG."""
    image, weight = tensor(2, 3, 5, 4, layout=sg.NHWC), tensor(6, 60, layout=sg.NC)
    with sg.Graph("flat", backend) as graph:
        sg.nn.mat_mul(sg.nn.relu(sg.array.flatten(sg.input_data(image))), weight)
    found = checked(graph, tmp_path)
    assert [op.op_type for op in found.ops] == ["Flatten", "Relu", "Gemm"]
    data = image.data.astype(np.float32)
    got = run(found, image.data.transpose(0, 3, 1, 2))[0]
    expected = np.maximum(data.reshape(2, -1), 0) @ weight.data.astype(np.float32).T
    np.testing.assert_allclose(got, expected, atol=2e-2)


@pytest.mark.parametrize(("stride", "kernel"), [(1, 3), (2, 3), (1, 2), (2, 7), (3, 4)])
def test_same_padding_is_smaugs_own(stride, kernel):
    """k - 1 in all, the larger half before, whatever the stride."""
    image, filters = (
        tensor(1, 9, 9, 2, dtype="float32"),
        tensor(3, kernel, kernel, 2, dtype="float32"),
    )
    with sg.Graph("conv", "SMV") as graph:
        sg.nn.convolution(sg.input_data(image), filters, [stride, stride], "same")
    before = kernel // 2
    padded = np.pad(image.data[0], [(before, kernel - 1 - before)] * 2 + [(0, 0)])
    places = range(0, padded.shape[0] - kernel + 1, stride)
    expected = [
        [
            np.tensordot(
                padded[i : i + kernel, j : j + kernel], filters.data, ((0, 1, 2), (1, 2, 3))
            )
            for j in places
        ]
        for i in places
    ]
    got = run(graph.to_graph(), image.data.transpose(0, 3, 1, 2))[0]
    np.testing.assert_allclose(got[0].transpose(1, 2, 0), expected, atol=1e-5)


def test_batch_norm_takes_the_reciprocal_root():
    x, parts = (
        tensor(4, 6, layout=sg.NC, dtype="float32"),
        [
            sg.Tensor(data_layout=sg.NC, tensor_data=RANDOM.random((1, 6), dtype=np.float32) + 0.5)
            for _ in range(4)
        ],
    )
    with sg.Graph("bn") as graph:
        sg.nn.batch_norm(sg.input_data(x), *parts, activation="tanh")
    mean, root, gamma, beta = (part.data for part in parts)
    expected = np.tanh((x.data - mean) * root * gamma + beta)
    np.testing.assert_allclose(run(graph.to_graph(), x.data)[0], expected, rtol=1e-4, atol=1e-5)


def test_activations_and_arithmetic():
    a, b = (tensor(*dims, layout=sg.NC, dtype="float32") for dims in [(3, 4), (3, 1)])
    with sg.Graph("math") as graph:
        x, y = sg.input_data(a), sg.input_data(b)
        for name in ("relu", "lrelu", "elu", "selu", "tanh", "hard_tanh", "sigmoid", "softmax"):
            getattr(sg.nn, name)(x)
        sg.nn.hard_tanh(x, min=-0.1, max=0.2)
        sg.math.add(x, y)
        sg.math.mul(y, x)
        sg.math.less(x, y)
        sg.math.less_equal(x, x)
        sg.math.greater(y, x)
        sg.math.greater_equal(x, y)
    a, b = a.data, b.data
    exponential = np.exp(a) - 1
    expected = [
        np.maximum(a, 0),
        np.where(a > 0, a, 0.2 * a),
        np.where(a > 0, a, 0.1 * exponential),
        1.0507 * np.where(a > 0, a, 1.6733 * exponential),
        np.tanh(a),
        np.clip(a, -1, 1),
        1 / (1 + np.exp(-a)),
        np.exp(a) / np.exp(a).sum(1, keepdims=True),
        np.clip(a, -0.1, 0.2),
        a + b,
        a * b,
        a < b,
        a <= a,
        b > a,
        a >= b,
    ]
    for got, wanted in zip(run(graph.to_graph(), a, b), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def lstm(x, kernel, recurrent, backwards=False):
    """Outputs [time, batch, units] of an LSTM, straight from its equations."""

    def sigmoid(v):
        return 1 / (1 + np.exp(-v))

    units = recurrent.shape[1]
    h = c = np.zeros((1, units))
    outputs = []
    for step in x[:, ::-1].swapaxes(0, 1) if backwards else x.swapaxes(0, 1):
        i, f, g, o = np.split(step @ kernel.T + h @ recurrent.T, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs), c


def test_lstm_in_both_directions(tmp_path):
    x = tensor(1, 4, 8, layout=sg.NTC, dtype="float32")
    weights = [tensor(20, width, layout=sg.NC, dtype="float32") for width in (8, 5, 8, 5)]
    with sg.Graph("lstm") as graph:
        given = sg.input_data(x)
        outputs, state = sg.nn.LSTM(weights[:2])(given, concat_output=True)
        sg.nn.relu(outputs), sg.nn.relu(state)
        both, *_ = sg.nn.BidirectionalLSTM(weights[:2], weights[2:])(given)
    found = checked(graph, tmp_path)
    assert [str(found.type_of(n).shape) for n in found.inputs[1:]] == ["(1, 5)"] * 6
    zeros = [np.zeros((1, 5), np.float32)] * 6
    got = dict(zip(found.outputs, run(found, x.data, *zeros), strict=True))
    data = [weight.data for weight in weights]
    forward, last = lstm(x.data, *data[:2])
    np.testing.assert_allclose(got["relu/output0"][0], np.maximum(forward[:, 0], 0), atol=1e-5)
    np.testing.assert_allclose(got["relu_1/output0"], np.maximum(last, 0), atol=1e-5)
    backward, _ = lstm(x.data, *data[2:], backwards=True)
    for f, b, tensor_ in zip(forward, backward, both, strict=True):
        expected = np.concatenate([f, b], axis=1)
        np.testing.assert_allclose(got[tensor_.name], expected, atol=1e-5)


def test_attention(tmp_path):
    memory, query = (
        tensor(2, 3, 8, layout=sg.NTC, dtype="float32"),
        tensor(2, 8, layout=sg.NC, dtype="float32"),
    )
    w_encoder, w_decoder, w_alignment = (
        tensor(*dims, layout=sg.NC, dtype="float32") for dims in [(8, 8), (8, 8), (1, 8)]
    )
    with sg.Graph("attention") as graph:
        given, asked = sg.input_data(memory), sg.input_data(query)
        sg.nn.BahdanauAttention(given, w_encoder, w_decoder, w_alignment)(asked)
    keys = memory.data @ w_encoder.data.T
    fit = np.tanh(keys + (query.data @ w_decoder.data.T)[:, None]) @ w_alignment.data[0]
    weights = np.exp(fit) / np.exp(fit).sum(1, keepdims=True)
    expected = (weights[:, :, None] * memory.data).sum(1)
    got = run(checked(graph, tmp_path), memory.data, query.data)[0]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_arrays(tmp_path):
    image = tensor(2, 3, 4, 5, layout=sg.NHWC, dtype="float32")
    with sg.Graph("arrays", "Reference") as graph:
        x = sg.input_data(image)
        first, _, last = sg.array.split(x, 3, axis=1)
        sg.array.concat([first, last], axis=-1)
        sg.array.padding(x, [0, 0, 1, 2, 3, 4, 0, 0])
        sg.tensor.repeat(x, [1, 2, 1, 3])
        sg.array.reshape(x, [2, 60], sg.NC)
        sg.array.reshape(x, [2, 5, 3, 4], sg.NHWC)
        sg.array.reorder(x, sg.NCHW)
        sg.array.flatten(x)
    found = checked(graph, tmp_path)
    data = image.data
    expected = [
        np.concatenate([data[:, :1], data[:, 2:]], axis=-1),
        np.pad(data, [(0, 0), (1, 2), (3, 4), (0, 0)]),
        np.tile(data, (1, 2, 1, 3)),
        data.reshape(2, 60),
        data.reshape(2, 5, 3, 4),
        data.reshape(2, 60),
    ]
    got = run(found, data.transpose(0, 3, 1, 2))
    got = [array.transpose(0, 2, 3, 1) if array.ndim == 4 else array for array in got]
    assert len(got) == len(expected)
    for mine, wanted in zip(got, expected, strict=True):
        np.testing.assert_array_equal(mine, wanted)


def test_stack_and_unstack():
    x = tensor(2, 8, layout=sg.NC)
    with sg.Graph("stack") as graph:
        wide = sg.array.stack(sg.input_data(x), 3, 1)
        assert (wide.dims, wide.shape.dims, wide.shape.layout) == ((2, 3, 8), [2, 3, 8], sg.NTC)
        assert [part.dims for part in sg.array.unstack(wide, 1)] == [(2, 8)] * 3
        assert sg.array.squeeze(sg.array.expand_dims(x, 2), 2).dims == (2, 8)
    assert all(t.is_static for t in graph.to_graph().tensors.values())


@pytest.mark.parametrize("backend", ["SMV", "Reference"])
def test_a_condition_switches_what_comes_from_outside(tmp_path, backend):
    with sg.Graph("cond", backend) as graph:
        x = sg.input_data(tensor(1, 8, layout=sg.NC))
        pred = sg.math.less(tensor(1, 1, layout=sg.NC), tensor(1, 1, layout=sg.NC))
        result = sg.control_flow.cond(pred, lambda: sg.math.add(x, x), lambda: sg.nn.tanh(x))
        assert [tensor_.dims for tensor_ in result] == [(1, 8)]
    found = checked(graph, tmp_path)
    assert [op.op_type for op in found.ops].count("Switch") == 3
    assert found.outputs == ("merge/output0",)
    work = total_work(found)
    assert work.unknown == ()
    assert work.by_type["smaug:Switch"].flops == work.by_type["smaug:Merge"].flops == 0


def test_layers_in_a_branch_keep_their_weights(tmp_path):
    weight = tensor(4, 8, layout=sg.NC)
    norm = [tensor(1, 8, layout=sg.NC) for _ in range(4)]
    with sg.Graph("cond", "SMV") as graph:
        x = sg.input_data(tensor(1, 8, layout=sg.NC))
        pred = sg.math.less(tensor(1, 1, layout=sg.NC), tensor(1, 1, layout=sg.NC))
        sg.control_flow.cond(
            pred,
            lambda: sg.nn.mat_mul(sg.nn.batch_norm(x, *norm), weight),
            lambda: sg.array.split(x, 2, axis=1)[0],
        )
    found = checked(graph, tmp_path)
    assert found.parameter_count == 32 + 2 * 8
    assert [op.op_type for op in found.ops].count("Switch") == 2


def test_subgraphs_merge_under_unique_names():
    with sg.Graph("outer") as outer:
        x = sg.nn.relu(tensor(1, 8, layout=sg.NC))
        with sg.Graph("inner"):
            x = sg.nn.relu(x)
        with sg.Graph("apart") as apart:
            apart.merge_into_parent_graph = False
            sg.nn.relu(tensor(1, 8, layout=sg.NC))
        sg.nn.relu(x)
    assert [op.name for op in outer.to_graph().ops] == ["relu", "relu_1", "relu_3"]
    assert [op.name for op in apart.to_graph().ops] == ["relu_2"]
    with pytest.raises(GraphError, match="no graph is open"):
        sg.nn.relu(tensor(1, 8, layout=sg.NC))


def test_a_reordering_is_made_once_and_only_where_it_is_wanted():
    with sg.Graph("layouts", "SMV") as graph:
        x = sg.input_data(tensor(1, 8, 6, 6, layout=sg.NCHW))
        for _ in range(2):
            sg.nn.max_pool(x, [2, 2], [2, 2])
    assert [node.op for node in graph.network.nodes].count("Reorder") == 1
    with sg.Graph("layouts", "SMV") as graph:
        graph.disable_layout_transform()
        sg.nn.max_pool(tensor(1, 8, 6, 6, layout=sg.NCHW), [2, 2], [2, 2])
        graph.enable_layout_transform()
        assert graph.layout_trans_enabled
    assert [node.op for node in graph.network.nodes] == ["Data", "MaxPooling"]
    assert graph.to_graph().type_of("max_pool/output0").shape == (1, 8, 3, 3)


def test_tensors_without_numbers(tmp_path):
    with sg.Graph("sizes", "SMV") as graph:
        x = sg.input_data(sg.Tensor([1, 64], data_layout=sg.NC, data_type=sg.Float16), name="x")
        sg.nn.mat_mul(x, sg.Tensor([8, 64], data_layout=sg.NC, data_type=sg.Float16))
    found = graph.to_graph()
    assert not found.initializers["data"].has_data
    assert read_smaug(*graph.write_graph("other", tmp_path)).initializers["data"].has_data
    assert (tmp_path / "other_params.pb").exists()


REFUSED = [
    (
        lambda: sg.nn.convolution(tensor(1, 8, 8, 4), tensor(8, 3, 3, 5), [1, 1], "same"),
        r"conv \(Convolution3d\): cannot take .*\[1, 8, 8, 4\] and .*\[8, 3, 3, 5\]; allowed: as",
    ),
    (
        lambda: sg.nn.convolution(tensor(1, 2, 2, 4), tensor(8, 3, 3, 4), [1, 1], "valid"),
        "filters no larger than the image",
    ),
    (lambda: sg.nn.convolution(tensor(1, 8, 8, 4), tensor(8, 3, 3, 4), [0, 1], "same"), "stride"),
    (
        lambda: sg.nn.convolution(tensor(1, 8, 8, 4), tensor(8, 3, 3, 4), [1, 1], "full"),
        "unknown padding 'full'; allowed: same, valid",
    ),
    (
        lambda: sg.nn.convolution(tensor(1, 8, 8, 4), tensor(8, 3, 3, 4), [1, 1], "same", "gelu"),
        "unknown activation 'gelu'.*did you mean 'elu'",
    ),
    (
        lambda: sg.nn.mat_mul(
            tensor(1, 8, layout=sg.NC), tensor(4, 9, layout=sg.NC), "elu", {"a": 1}
        ),
        "as many channels",
    ),
    (
        lambda: sg.nn.mat_mul(
            tensor(1, 8, layout=sg.NC), tensor(4, 8, layout=sg.NC), "elu", {"a": 1}
        ),
        "unknown parameter 'a' of elu",
    ),
    (lambda: sg.nn.max_pool(tensor(1, 2, 2, 4), [3, 3], [1, 1]), "a window within the image"),
    (
        lambda: sg.nn.batch_norm(tensor(1, 2, 2, 4), *[tensor(1, 5, layout=sg.NC)] * 4),
        r"parameters \[1, 4\]",
    ),
    (
        lambda: sg.math.add(tensor(2, 8, layout=sg.NC), tensor(3, 8, layout=sg.NC)),
        r"add \(EltwiseAdd\): cannot take .*\[2, 8\] and .*\[3, 8\]; allowed: equal sizes, or 1",
    ),
    (
        lambda: sg.array.concat([tensor(2, 8, layout=sg.NC), tensor(3, 8, layout=sg.NC)], 1),
        "equal sizes but along axis 1",
    ),
    (lambda: sg.array.split(tensor(2, 8, layout=sg.NC), 3, 1), "add up to 8"),
    (lambda: sg.array.split(tensor(2, 8, layout=sg.NC), 2, 2), "an axis below 2"),
    (lambda: sg.array.reshape(tensor(2, 8, layout=sg.NC), [3, 5], sg.NC), "as many elements"),
    (lambda: sg.array.reorder(tensor(2, 8, layout=sg.NC), sg.NTC), "NC to CN"),
    (lambda: sg.array.repeat(tensor(2, 8, layout=sg.NC), [2]), "one count per dimension"),
    (lambda: sg.array.padding(tensor(2, 8, layout=sg.NC), [1]), "4 sizes"),
    (lambda: sg.array.squeeze(tensor(2, 3, 8, layout=sg.NTC), 1), "size 1 there"),
    (
        lambda: sg.control_flow.switch(tensor(2, 8, layout=sg.NC), tensor(1, 8, layout=sg.NC)),
        "a predicate of one element",
    ),
    (
        lambda: sg.control_flow.merge([tensor(2, 8, layout=sg.NC), tensor(1, 8, layout=sg.NC)]),
        "equal sizes",
    ),
    (lambda: sg.Tensor([1, 2], data_layout=sg.NHWC, data_type=sg.Float16), "4 positive sizes"),
    (lambda: sg.Tensor([1, 2], data_layout="NX", data_type=sg.Float16), "unknown layout 'NX'"),
    (lambda: sg.Tensor([1, 2], data_layout=sg.NC, data_type="int4"), "unknown data type 'int4'"),
    (lambda: sg.Graph("x", "TPU"), "unknown backend 'TPU'; allowed: Reference, SMV"),
    (lambda: sg.Graph("x", "SMV", "AllCache"), "unknown memory policy 'AllCache'"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED)
def test_impossible_shapes_are_refused_with_both_and_the_rule(build, message):
    with sg.Graph("refused", "SMV"), pytest.raises(InputError, match=message):
        build()
