"""PyTorch modules: what they compute, their weights in place, and what has no translation."""

import numpy as np
import onnxruntime
import pytest

from lydite.errors import GraphError, InputError
from lydite.graph import bind_dims, model_to_proto, total_work
from lydite.graph.formats.torch_reader import read_exported, read_torch

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.dense = torch.nn.Linear(8, 4)

    def forward(self, x):
        return self.dense(torch.relu(self.norm(self.conv(x))).mean((2, 3)))


class Inner(torch.nn.Module):
    def forward(self, x):
        return torch.linalg.eigh(x)[0]


class Outer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner()

    def forward(self, x):
        return self.inner(x + 1)


@pytest.fixture(scope="module")
def net():
    return Net().eval()


def test_the_graph_computes_what_the_module_does(net):
    x = torch.randn(2, 3, 8, 8)
    graph = read_torch(net, x)
    assert graph.name == "Net"
    assert [op.op_type for op in graph.ops] == [
        "Conv",
        "BatchNormalization",
        "Relu",
        "ReduceMean",
        "Gemm",
    ]
    session = onnxruntime.InferenceSession(model_to_proto(graph).SerializeToString())
    got = session.run(None, {graph.inputs[0]: x.numpy()})[0]
    np.testing.assert_allclose(got, net(x).detach().numpy(), atol=1e-5)


def test_weights_are_looked_at_and_not_copied(net):
    graph = read_torch(net, torch.randn(2, 3, 8, 8))
    weight = graph.initializers["conv.weight"]
    assert weight.value is None
    assert weight.array().ctypes.data == net.conv.weight.data_ptr()
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())


def test_bfloat16_weights(net):
    graph = read_torch(Net().eval().bfloat16(), torch.randn(1, 3, 8, 8).bfloat16())
    assert str(graph.initializers["dense.weight"].type) == "bfloat16[4,8]"
    assert graph.initializers["dense.weight"].array().dtype.name == "bfloat16"


def test_the_meta_device_and_open_sizes():
    module = Net().eval().to("meta")
    graph = read_torch(module, torch.randn(2, 3, 8, 8), dynamic=({0: torch.export.Dim("n")},))
    assert not graph.initializers["conv.weight"].has_data
    assert len(graph.open_dims) == 1
    assert graph.type_of(graph.outputs[0]).shape == (graph.open_dims[0], 4)
    fixed = read_torch(module, torch.randn(2, 3, 8, 8))
    assert total_work(fixed).unknown == ()


def test_an_operator_without_translation_is_named_with_its_place():
    with pytest.raises(GraphError) as caught:
        read_torch(Outer(), torch.randn(4, 4))
    message = str(caught.value)
    assert "PyTorch has no translation of aten._linalg_eigh.default to ONNX" in message
    assert "inner" in message
    assert "test_formats_torch.py" in message


def test_what_cannot_be_exported():
    class Branch(torch.nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(GraphError, match="Branch: cannot be exported"):
        read_torch(Branch(), torch.randn(3))


def test_saved_programs_are_not_unpickled(tmp_path):
    with pytest.raises(InputError, match=r"torch\.export\.load unpickles"):
        read_exported(tmp_path / "model.pt2")
    with pytest.raises(InputError, match="int is not an exported program"):
        read_exported(3)


class _Buffered(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.randn(1, 128, 64))
        self.dense = torch.nn.Linear(64, 64)

    def forward(self, x):
        return self.dense(x + self.table[:, : x.shape[1]])


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (_Buffered(), (1, 32, 64)),
        (torch.nn.LSTM(64, 64, batch_first=True), (1, 20, 64)),
        (torch.nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), (2, 32, 64)),
    ],
)
def test_parameters_are_the_module_s_and_not_its_buffers(module, shape):
    graph = read_torch(module.eval(), torch.zeros(shape))
    assert graph.parameter_count == sum(p.numel() for p in module.parameters())


def test_a_dim_keeps_its_name():
    batch = torch.export.Dim("batch")
    graph = read_torch(torch.nn.Linear(8, 8), torch.zeros(2, 8), dynamic=({0: batch},))
    assert graph.open_dims == ["batch"]
    assert bind_dims(graph, {"batch": 4}).type_of(graph.outputs[0]).shape == (4, 8)
