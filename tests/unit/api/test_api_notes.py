"""What a reader could not honour of a config is said by every verb that uses the model."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import lydite
from lydite.graph import Builder, Initializer, write_onnx

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


def test_subnormal_weights_are_named(tmp_path):
    """Half of the rows of a stored weight are below the smallest normal number."""
    graph = _product(tmp_path)
    session = lydite.Session(db=str(tmp_path / "rows.db"))
    found = session.predict(str(graph), on="cpu")
    (note,) = [note for note in found.notes if "subnormal" in note]
    assert note.startswith("1 operator has weights of which a part is subnormal (under 1.2e-38)")
    assert note.endswith("lydite profile measures that, estimates assume ordinary weights")
    session.profile(str(graph), budget=0.05)
    (note,) = [n for n in session.predict(str(graph), on="cpu").notes if "subnormal" in n]
    assert "% of the time; set such weights to 0 in the file" in note
    assert not [n for n in session.predict(str(graph), on="h100").notes if "subnormal" in n]


def _product(folder):
    g = Builder("product")
    x = g.input("x", (4, 64))
    graph = g.build(g.op("MatMul", x, g.weight((64, 64))))
    values = np.ones((64, 64), np.float32)
    values[::2] = 1e-40
    (name,) = graph.initializers
    weight = Initializer(graph.type_of(name), value=values)
    return write_onnx(replace(graph, initializers={name: weight}), folder / "net.onnx")
