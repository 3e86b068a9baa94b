"""Dimensions of the recurrent families; nothing here builds a graph, as in `dimensions`."""

from __future__ import annotations

from lydite.records import dataclass


@dataclass(frozen=True)
class LanguageModel:
    """LSTM layers over words.

    Attributes:
        layers, hidden: their number and width; the embedding has the same width.
        vocabulary: words.
    """

    layers: int
    hidden: int
    vocabulary: int


@dataclass(frozen=True)
class Translator(LanguageModel):
    """An encoder and a decoder, each like a `LanguageModel`, with attention between them."""


@dataclass(frozen=True)
class Speech:
    """Convolutions over a spectrogram, then bidirectional LSTM layers.

    Attributes:
        layers, hidden: LSTM layers, and the width of each direction.
        filters: of both convolutions.
        frequencies: bins of the spectrogram.
        characters: that are told apart, the blank one included.
    """

    layers: int
    hidden: int
    filters: int
    frequencies: int
    characters: int
