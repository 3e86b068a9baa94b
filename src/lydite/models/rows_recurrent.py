"""Models that go through a sequence step by step."""

from __future__ import annotations

from lydite.models.dimensions import lazily
from lydite.models.dimensions_recurrent import LanguageModel, Speech, Translator
from lydite.models.info import ModelInfo, Published

_STEPS = {"sequence": (1, None)}

ROWS = (
    ModelInfo(
        "lstm",
        "LSTM",
        lazily(
            "lydite.models.recurrent:language_model",
            LanguageModel(layers=2, hidden=1500, vocabulary=10_000),
        ),
        {"sequence": 35},
        "Zaremba et al., Recurrent Neural Network Regularization, arXiv:1409.2329: the large one",
        "language model of the Penn Treebank: two layers of 1500, 35 words",
        _STEPS,
        published=Published(66_000_000, None, "the paper, rounded"),
    ),
    ModelInfo(
        "seq2seq",
        "LSTM",
        lazily(
            "lydite.models.recurrent:translator",
            Translator(layers=2, hidden=1024, vocabulary=32_000),
        ),
        {"sequence": 50},
        "Luong et al., Effective Approaches to Attention-based Neural Machine Translation, "
        "arXiv:1508.04025: general score, no input feeding; 2 layers of 1024 on each side",
        "translator: encoder and decoder with attention, the target given",
        _STEPS,
    ),
    ModelInfo(
        "deepspeech2",
        "Deep Speech",
        lazily(
            "lydite.models.recurrent:deep_speech",
            Speech(layers=5, hidden=800, filters=32, frequencies=161, characters=29),
        ),
        {"sequence": 300},
        "Amodei et al., Deep Speech 2, arXiv:1512.02595 (as tf_cnn_benchmarks builds it)",
        "two convolutions over a spectrogram, five LSTM layers in both directions",
        _STEPS,
    ),
)
