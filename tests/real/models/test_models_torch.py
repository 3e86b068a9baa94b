"""The same nets in PyTorch: equal weights give equal outputs, and FlopCounterMode equal FLOPs."""

from __future__ import annotations

from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime as ort
import pytest

from lydite.graph import Graph, read_onnx, total_work, write_onnx
from lydite.models import build_model

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as fn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402


def alexnet() -> nn.Module:
    def conv(*args, **kwargs):
        return nn.Sequential(nn.Conv2d(*args, **kwargs), nn.ReLU())

    return nn.Sequential(
        conv(3, 64, 11, stride=4, padding=2),
        nn.MaxPool2d(3, 2),
        conv(64, 192, 5, padding=2),
        nn.MaxPool2d(3, 2),
        conv(192, 384, 3, padding=1),
        conv(384, 256, 3, padding=1),
        conv(256, 256, 3, padding=1),
        nn.MaxPool2d(3, 2),
        nn.AdaptiveAvgPool2d(6),
        nn.Flatten(),
        nn.Linear(9216, 4096),
        nn.ReLU(),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Linear(4096, 1000),
    )


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, group: int = 1):
    pad = kernel // 2
    conv = nn.Conv2d(inputs, outputs, kernel, stride, pad, groups=group, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        reshaped = stride != 1 or inputs != 4 * width
        self.shortcut = conv_bn(inputs, 4 * width, 1, stride) if reshaped else nn.Identity()
        self.main = nn.Sequential(
            conv_bn(inputs, width, 1),
            nn.ReLU(),
            conv_bn(width, width, 3, stride),
            nn.ReLU(),
            conv_bn(width, 4 * width, 1),
        )

    def forward(self, x):
        return fn.relu(self.main(x) + self.shortcut(x))


def resnet50() -> nn.Module:
    blocks, channels = [], 64
    for stage, count in enumerate((3, 4, 6, 3)):
        for block in range(count):
            stride = 2 if stage and not block else 1
            blocks.append(Bottleneck(channels, 64 << stage, stride))
            channels = 256 << stage
    return nn.Sequential(
        conv_bn(3, 64, 7, 2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2048, 1000),
    )


class Inverted(nn.Module):
    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        width = inputs * expansion
        wide = [conv_bn(inputs, width, 1), nn.ReLU6()] if expansion > 1 else []
        self.main = nn.Sequential(
            *wide, conv_bn(width, width, 3, stride, width), nn.ReLU6(), conv_bn(width, outputs, 1)
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.main(x) if self.adds else self.main(x)


def mobilenet_v2() -> nn.Module:
    stages = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    blocks, channels = [], 32
    for expansion, width, count, stride in stages:
        for block in range(count):
            blocks.append(Inverted(channels, width, expansion, 1 if block else stride))
            channels = width
    return nn.Sequential(
        conv_bn(3, 32, 3, 2),
        nn.ReLU6(),
        *blocks,
        conv_bn(320, 1280, 1),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(1280, 1000),
    )


class Layer(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(hidden, hidden) for _ in range(3))
        self.output, self.first = nn.Linear(hidden, hidden), nn.LayerNorm(hidden, 1e-12)
        self.up, self.down = nn.Linear(hidden, 4 * hidden), nn.Linear(4 * hidden, hidden)
        self.second = nn.LayerNorm(hidden, 1e-12)

    def forward(self, x, penalty):
        def heads(y):
            return y.unflatten(-1, (-1, 64)).transpose(1, 2)

        query, key, value = (heads(f(x)) for f in (self.query, self.key, self.value))
        scores = torch.softmax(query @ key.transpose(2, 3) / 8 + penalty, -1)
        x = self.first(x + self.output((scores @ value).transpose(1, 2).flatten(2)))
        return self.second(x + self.down(fn.gelu(self.up(x))))


class Bert(nn.Module):
    def __init__(self, layers: int, hidden: int) -> None:
        super().__init__()
        self.words, self.kinds = nn.Embedding(30522, hidden), nn.Embedding(2, hidden)
        self.places, self.norm = nn.Embedding(512, hidden), nn.LayerNorm(hidden, 1e-12)
        self.layers = nn.ModuleList(Layer(hidden) for _ in range(layers))
        self.pooler = nn.Linear(hidden, hidden)

    def forward(self, ids, mask, kinds):
        places = self.places(torch.arange(ids.shape[1]))
        x = self.norm(self.words(ids) + self.kinds(kinds) + places)
        for layer in self.layers:
            x = layer(x, (1 - mask[:, None, None].float()) * -10000)
        return x, torch.tanh(self.pooler(x[:, 0]))


NETS = {
    "alexnet": (alexnet, {"image_size": 96}),
    "resnet50": (resnet50, {"image_size": 64}),
    "mobilenetv2": (mobilenet_v2, {"image_size": 64}),
    "bert-base": (lambda: Bert(12, 768), {"sequence": 12}),
}


def inputs_of(graph: Graph):
    generator = torch.Generator().manual_seed(0)
    found = []
    for name in graph.inputs:
        type_ = graph.type_of(name)
        if type_.dtype == "int64":
            high = {"input_ids": 30000, "token_type_ids": 2}.get(name)
            draw = torch.randint(0, high or 1, type_.shape, generator=generator)
            found.append(draw if high else torch.ones(type_.shape, dtype=torch.int64))
        else:
            found.append(torch.randn(type_.shape, generator=generator))
    return found


def with_weights(net: nn.Module, graph: Graph) -> nn.Module:
    """The graph's weights in the order in which it was built, which the nets here follow."""
    arrays = [
        graph.initializers[name].array()
        for name in graph.initializers
        if graph.initializers[name].type.dtype == "float32" and graph.type_of(name).shape
    ]
    state = {k: v for k, v in net.state_dict().items() if "num_batches" not in k}
    assert len(state) == len(arrays)
    turned = {
        key: torch.tensor(array if array.shape == tuple(state[key].shape) else array.T)
        for key, array in zip(state, arrays, strict=True)
    }
    square = [k for k, v in state.items() if v.ndim == 2 and v.shape[0] == v.shape[1]]
    if isinstance(net, Bert):  # MatMul keeps [in, out], Gemm (the pooler) [out, in]
        turned |= {key: turned[key].T for key in square if not key.startswith("pooler")}
    net.load_state_dict(turned, strict=False)
    return net.eval()


@pytest.mark.parametrize("name", NETS)
def test_equal_weights_give_equal_outputs(name):
    make, sizes = NETS[name]
    graph = build_model(name, batch=2, **sizes)
    with TemporaryDirectory() as folder:
        path = write_onnx(graph, f"{folder}/m.onnx", seed=1)
        net = with_weights(make(), read_onnx(path))
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = inputs_of(graph)
    given = dict(zip(graph.inputs, (x.numpy() for x in inputs), strict=True))
    with torch.no_grad():
        expected = net(*inputs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for ours, theirs in zip(session.run(None, given), expected, strict=True):
        scale = np.abs(theirs.numpy()).max()
        np.testing.assert_allclose(ours / scale, theirs.numpy() / scale, atol=2e-4)


@pytest.mark.parametrize("name", NETS)
def test_flop_counter_mode_agrees(name):
    make, sizes = NETS[name]
    graph = build_model(name, batch=2, **sizes)
    with torch.device("meta"):
        net = make().eval()
    inputs = [x.to("meta") for x in inputs_of(graph)]
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(*inputs)
    by_type = total_work(graph).by_type
    ours = sum(by_type[t].flops for t in ("Conv", "Gemm", "MatMul") if t in by_type)
    assert ours == pytest.approx(counter.get_total_flops(), rel=5e-3)
