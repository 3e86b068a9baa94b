"""Recurrent nets against torch.nn.LSTM: equal parameters, FLOPs and numbers."""

from __future__ import annotations

from dataclasses import replace
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from lydite.errors import InputError
from lydite.graph import Initializer, total_work, write_onnx
from lydite.models import build_model
from lydite.models.counts import multiply_adds
from lydite.models.dimensions_recurrent import LanguageModel, Speech, Translator
from lydite.models.recurrent import deep_speech, language_model, translator

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as fn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402


class Words(nn.Module):
    def __init__(self, layers: int, hidden: int, vocabulary: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, hidden)
        self.lstm = nn.LSTM(hidden, hidden, layers, batch_first=True)
        self.fc = nn.Linear(hidden, vocabulary)

    def forward(self, ids):
        return self.fc(self.lstm(self.words(ids))[0])


class Attending(nn.Module):
    def __init__(self, layers: int, hidden: int, vocabulary: int) -> None:
        super().__init__()
        self.source = nn.Embedding(vocabulary, hidden)
        self.encoder = nn.LSTM(hidden, hidden, layers, batch_first=True)
        self.target = nn.Embedding(vocabulary, hidden)
        self.decoder = nn.LSTM(hidden, hidden, layers, batch_first=True)
        self.query = nn.Linear(hidden, hidden, bias=False)
        self.both = nn.Linear(2 * hidden, hidden, bias=False)
        self.fc = nn.Linear(hidden, vocabulary)

    def forward(self, source, target):
        seen, state = self.encoder(self.source(source))
        said, _ = self.decoder(self.target(target), state)
        weights = torch.softmax(self.query(said) @ seen.transpose(1, 2), -1)
        return self.fc(torch.tanh(self.both(torch.cat([weights @ seen, said], -1))))


class Hearing(nn.Module):
    def __init__(self, layers, hidden, filters, frequencies, characters) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, filters, (41, 11), (2, 2), (20, 5), bias=False)
        self.first_norm = nn.BatchNorm2d(filters)
        self.second = nn.Conv2d(filters, filters, (21, 11), (2, 1), (10, 5), bias=False)
        self.second_norm = nn.BatchNorm2d(filters)
        widths = [filters * ((frequencies + 1) // 2), *[2 * hidden] * (layers - 1)]
        self.layers = nn.ModuleList()
        for width in widths:
            norm = nn.BatchNorm1d(width) if len(self.layers) else nn.Identity()
            lstm = nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
            self.layers += [norm, lstm]
        self.last_norm = nn.BatchNorm1d(2 * hidden)
        self.fc = nn.Linear(2 * hidden, characters)

    def forward(self, x):
        x = self.first_norm(fn.relu6(self.first(x)))
        x = self.second_norm(fn.relu6(self.second(x)))
        x = x.permute(0, 2, 3, 1).flatten(2)
        for norm, lstm in zip(self.layers[::2], self.layers[1::2], strict=True):
            x, _ = lstm(norm(x.transpose(1, 2)).transpose(1, 2))
        return self.fc(self.last_norm(x.transpose(1, 2)).transpose(1, 2))


NETS = {
    "lstm": (Words, (2, 1500, 10_000)),
    "seq2seq": (Attending, (2, 1024, 32_000)),
    "deepspeech2": (Hearing, (5, 800, 32, 161, 29)),
}
OUTPUTS = {"lstm": (1, 35, 10_000), "seq2seq": (1, 50, 32_000), "deepspeech2": (1, 75, 29)}


def inputs_of(graph):
    rng = np.random.default_rng(0)
    types = [graph.type_of(name) for name in graph.inputs]
    return [
        rng.integers(0, 50, type_.shape)
        if type_.dtype == "int64"
        else rng.standard_normal(type_.shape, np.float32)
        for type_ in types
    ]


@pytest.mark.parametrize("name", NETS)
def test_parameters_flops_and_shapes_are_those_of_pytorch(name):
    graph = build_model(name)
    made, size = NETS[name]
    inputs = [torch.tensor(x).to("meta") for x in inputs_of(graph)]
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        net = made(*size).eval()
        output = net(*inputs)
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    assert multiply_adds(graph) == pytest.approx(counter.get_total_flops() / 2, rel=1e-6)
    assert graph.type_of(graph.outputs[0]).shape == tuple(output.shape) == OUTPUTS[name]


def test_the_language_model_by_hand():
    graph = build_model("lstm", batch=3, sequence=7)
    gates = 4 * 1500 * (1500 + 1500)
    assert multiply_adds(graph) == 3 * 7 * (2 * gates + 1500 * 10_000)
    assert graph.parameter_count == 2 * 10_000 * 1500 + 10_000 + 2 * (gates + 2 * 4 * 1500)


def gates(array: np.ndarray) -> np.ndarray:
    """ONNX's input, output, forget, cell as PyTorch's input, forget, cell, output."""
    i, o, f, c = np.split(array, 4)
    return np.concatenate([i, f, c, o])


def lstm_state(key: str, layer: int, parts: list[np.ndarray]) -> dict[str, np.ndarray]:
    found = {}
    for direction, (weight, recurrence, bias) in enumerate(zip(*parts, strict=True)):
        end = f"l{layer}" + "_reverse" * direction
        inner, outer = np.split(bias, 2)
        found |= {
            f"{key}.weight_ih_{end}": gates(weight),
            f"{key}.weight_hh_{end}": gates(recurrence),
            f"{key}.bias_ih_{end}": gates(inner),
            f"{key}.bias_hh_{end}": gates(outer),
        }
    return found


def state_of(net, arrays):
    """Weights in the order in which both were made; MatMul keeps [in, out]."""
    state, left = {}, iter(arrays)
    for key, module in net.named_modules():
        if isinstance(module, nn.LSTM):
            for layer in range(module.num_layers):
                state |= lstm_state(key, layer, [next(left) for _ in range(3)])
        elif not list(module.children()):
            for part, value in module.state_dict().items():
                if part != "num_batches_tracked":
                    array = next(left)
                    turned = isinstance(module, nn.Linear) and value.ndim == 2
                    state[f"{key}.{part}"] = array.T if turned and net.turns else array
    assert next(left, None) is None
    return {key: torch.tensor(array) for key, array in state.items()}


def drawn(graph):
    """Weights of PyTorch's usual size, so that the gates neither close nor saturate."""
    rng, fresh = np.random.default_rng(1), dict(graph.initializers)
    for name, init in graph.initializers.items():
        if not init.has_data:
            low, high = (0.5, 1.5) if name.startswith("bn") else (-0.5, 0.5)
            value = rng.uniform(low, high, init.type.shape).astype(np.float32)
            fresh[name] = Initializer(init.type, value=value)
    return replace(graph, initializers=fresh)


SMALL = {
    "lstm": (language_model, LanguageModel(2, 12, 50), Words),
    "seq2seq": (translator, Translator(2, 12, 50), Attending),
    "deepspeech2": (deep_speech, Speech(3, 12, 4, 21, 7), Hearing),
}


@pytest.mark.parametrize("name", SMALL)
def test_equal_weights_give_equal_numbers(name):
    build, size, made = SMALL[name]
    graph = drawn(build(size, batch=3, sequence=21, dtype="float32"))
    net = made(*vars(size).values())
    net.turns = name != "deepspeech2"  # its last layer is a Gemm, which keeps [out, in]
    weights = [graph.initializers[n] for n in graph.initializers]
    arrays = [w.array() for w in weights if w.type.dtype == "float32" and w.type.shape]
    net.load_state_dict(state_of(net, arrays), strict=False)
    with TemporaryDirectory() as folder:
        path = write_onnx(graph, f"{folder}/m.onnx")
        onnx.checker.check_model(str(path), full_check=True)
        runner = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        inputs = inputs_of(graph)
        ours = np.asarray(runner.run(None, dict(zip(graph.inputs, inputs, strict=True)))[0])
    with torch.no_grad():
        theirs = net.eval()(*map(torch.tensor, inputs)).numpy()
    assert np.abs(np.diff(theirs, axis=1)).max() > 1e-2  # what came before matters
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("frames", [1, 2, 299, 301])
def test_any_number_of_frames_leaves_a_quarter_rounded_up(frames):
    graph = build_model("deepspeech2", sequence=frames)
    assert graph.type_of(graph.outputs[0]).shape == (1, -(-frames // 4), 29)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_weight_has_the_asked_precision(name, dtype):
    graph = build_model(name, dtype=dtype)
    assert {graph.type_of(p).dtype for p in graph.parameters} == {dtype}
    assert total_work(graph).unknown == ()


def test_no_steps_are_refused():
    with pytest.raises(InputError, match="sequence 0 is impossible; allowed: 1 and more"):
        build_model("lstm", sequence=0)
