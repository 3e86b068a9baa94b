"""Recurrent nets of ONNX's LSTM: a language model, a translator with attention, speech.

ONNX's LSTM has the sequence first and two biases a gate, as PyTorch's. All states start at zero
where nothing is said.
"""

from __future__ import annotations

from lydite.graph import Builder, Graph, Tensor
from lydite.models.dimensions_recurrent import LanguageModel, Speech, Translator
from lydite.models.parts import classic


def language_model(size: LanguageModel, *, batch: int, sequence: int, dtype: str) -> Graph:
    """Scores of each next word [batch, sequence, vocabulary], from words [batch, sequence]."""
    g = classic("lstm", dtype)
    x = _embedded(g, "input_ids", size, (batch, sequence))
    x, _ = _layers(g, x, size)
    return g.build(g.linear(g.transpose(x, (1, 0, 2)), size.vocabulary))


def translator(size: Translator, *, batch: int, sequence: int, dtype: str) -> Graph:
    """Scores of each next word of the target [batch, sequence, vocabulary], which is given.

    The decoder begins with the encoder's last states. Its own attend to all of the encoder's
    (the "general" score of arXiv:1508.04025, global attention) after the recurrence, so that both
    are products over all words.
    """
    g = classic("seq2seq", dtype)
    source = _embedded(g, "source_ids", size, (batch, sequence))
    source, states = _layers(g, source, size)
    target = _embedded(g, "target_ids", size, (batch, sequence))
    target, _ = _layers(g, target, size, states)
    query = g.linear(g.transpose(target, (1, 0, 2)), size.hidden, bias=False, name="attention")
    scores = g.op("MatMul", query, g.transpose(source, (1, 2, 0)))
    context = g.op("MatMul", g.softmax(scores), g.transpose(source, (1, 0, 2)))
    both = g.concat([context, g.transpose(target, (1, 0, 2))], -1)
    x = g.op("Tanh", g.linear(both, size.hidden, bias=False, name="attention_output"))
    return g.build(g.linear(x, size.vocabulary))


def deep_speech(size: Speech, *, batch: int, sequence: int, dtype: str) -> Graph:
    """Scores of the characters [batch, a quarter of the frames, characters].

    Args:
        size: dimensions.
        batch: utterances at once.
        sequence: frames of the spectrogram [batch, 1, frames, frequencies].
        dtype: of weights and activations.
    """
    g = classic("deepspeech2", dtype)
    x = g.input("spectrogram", (batch, 1, sequence, size.frequencies))
    x = _heard(g, x, size.filters, (41, 11), (2, 2))
    x = _heard(g, x, size.filters, (21, 11), (2, 1))
    _, channels, steps, bins = x.shape
    x = g.reshape(g.transpose(x, (2, 0, 3, 1)), [steps, batch, bins * channels])
    for layer in range(size.layers):
        if layer:
            x = g.reshape(_normalised(g, x), list(x.shape))
        x, _ = _lstm(g, x, size.hidden, both_ways=True)
    x = g.linear(_normalised(g, x), size.characters)
    return g.build(g.transpose(g.reshape(x, [steps, batch, -1]), (1, 0, 2)))


State = tuple[Tensor, Tensor]
"""State and cell of an LSTM, [directions, batch, hidden] each."""


def _embedded(g: Builder, name: str, size: LanguageModel, shape: tuple[int, int]) -> Tensor:
    """Words [batch, sequence] as vectors [sequence, batch, hidden]."""
    table = g.weight((size.vocabulary, size.hidden), "embedding")
    return g.op("Gather", table, g.transpose(g.input(name, shape, "int64"), (1, 0)))


def _layers(
    g: Builder, x: Tensor, size: LanguageModel, states: list[State] | None = None
) -> tuple[Tensor, list[State]]:
    """LSTM layers, each perhaps from a state, and the states that they end with."""
    last = []
    for layer in range(size.layers):
        x, state = _lstm(g, x, size.hidden, states[layer] if states else None)
        last.append(state)
    return x, last


def _lstm(
    g: Builder, x: Tensor, hidden: int, state: State | None = None, *, both_ways: bool = False
) -> tuple[Tensor, State]:
    """States [sequence, batch, directions x hidden] of x [sequence, batch, features]."""
    directions = 2 if both_ways else 1
    weights = [
        g.weight((directions, 4 * hidden, x.shape[2]), "lstm.weight"),
        g.weight((directions, 4 * hidden, hidden), "lstm.recurrence"),
        g.weight((directions, 8 * hidden), "lstm.bias"),
    ]
    start = (None, *state) if state else ()
    y, last, cell = g.ops(
        "LSTM",
        x,
        *weights,
        *start,
        outputs=3,
        hidden_size=hidden,
        direction="bidirectional" if both_ways else "forward",
    )
    y = g.transpose(y, (0, 2, 1, 3)) if both_ways else y
    return g.reshape(y, [x.shape[0], x.shape[1], directions * hidden]), (last, cell)


def _heard(
    g: Builder, x: Tensor, filters: int, kernel: tuple[int, int], stride: tuple[int, int]
) -> Tensor:
    """A convolution over time and frequency, limited to [0, 6], then normalised."""
    pad = (kernel[0] // 2, kernel[1] // 2)
    x = g.conv(x, filters, kernel, stride=stride, pad=pad, bias=False)
    return g.batch_norm(g.clip(x, 0.0, 6.0))


def _normalised(g: Builder, x: Tensor) -> Tensor:
    """Batch normalisation of the features of all steps: [sequence x batch, features]."""
    return g.batch_norm(g.reshape(x, [-1, x.shape[2]]))
