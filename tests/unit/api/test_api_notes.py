"""What a reader could not honour of a config is said by every verb that uses the model."""

from __future__ import annotations

import json

import pytest

import lydite

NOTES = [
    "the language model alone; its other parts: --part vision",
    "fields that were not understood and may matter: strange_thing",
]


@pytest.fixture
def seeing(tmp_path):
    """A language model that sees, of one small layer."""
    text = {
        "model_type": "gemma3_text",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "vocab_size": 99,
        "tie_word_embeddings": True,
        "strange_thing": 3,
    }
    vision = {"model_type": "siglip_vision_model"}
    fields = {"model_type": "gemma3", "text_config": text, "vision_config": vision}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(fields))
    return path


VERBS = {
    "predict": {"on": "h100"},
    "simulate": {"on": "dgx-h100 x 1"},
    "chip": {"chip": "systolic-128"},
    "bench": {"budget": 0.05},
    "profile": {"budget": 0.001},
    "validate": {"budget": 0.001},
}


@pytest.mark.parametrize("verb", VERBS)
def test_notes_are_in_the_text_and_in_the_document(verb, seeing, tmp_path):
    with lydite.Session(db=tmp_path / "notes.db") as session:
        result = getattr(session, verb)(seeing, sequence=4, **VERBS[verb])
    for note in NOTES:
        assert note in result.summary()
    document = result.document()
    document = document["models"][0] if "models" in document else document
    assert document["notes"] == NOTES
