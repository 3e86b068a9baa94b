"""The table of models, gathered from the rows of each field."""

from __future__ import annotations

from lydite.models import rows_recurrent, rows_smaug, rows_text, rows_vision

_FIELDS = (rows_vision, rows_text, rows_recurrent, rows_smaug)

MODELS = {row.name: row for field in _FIELDS for row in field.ROWS}

ALIASES = {
    "bert": "bert-base",
    "deepspeech": "deepspeech2",
    "inception3": "inceptionv3",
    "nasnet": "nasnet-large",
    "nasnetalarge": "nasnet-large",
    "vit-b-16": "vit",
}
"""Other systems' names (AISim's, the scorecard's, OpBench's) of models of the set."""
