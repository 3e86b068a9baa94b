"""More tensor-parallel ranks than key and value heads, in a step and in a search of plans."""

from __future__ import annotations

import json

import pytest

import lydite as ly
from lydite.cluster.search import search
from lydite.estimate import Roofline
from lydite.hardware.cluster import read_cluster
from lydite.models.huggingface import graph_from_config

FEW = {
    "model_type": "qwen3",
    "hidden_size": 512,
    "intermediate_size": 1024,
    "num_hidden_layers": 4,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 1024,
    "max_position_embeddings": 4096,
}


@pytest.mark.parametrize("kind", [{"train": True}, {"phase": "forward"}])
def test_ranks_share_key_and_value_heads(kind):
    """Each rank has the whole of its head: the weights of Llama 3 8B by hand, of 16 ranks."""
    answer = ly.simulate("llama3-8b", on="dgx-h100 x 2", tp=16, sequence=256, **kind)
    hidden, inner, words, layers, heads, size, ranks = 4096, 14336, 128256, 32, 32, 128, 16
    attention = hidden * (2 * heads // ranks + 2) * size  # queries, output; a key and a value
    layer = attention + 3 * hidden * inner // ranks + 2 * hidden
    parameters = layers * layer + 2 * words * hidden // ranks + hidden
    assert answer.step.memory[0]["weights"] == 2 * parameters


def test_a_search_takes_plans_with_more_ranks_than_heads(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(FEW))
    asked: list[int] = []

    def build(micro_batch: int, _: int, tp: int):
        asked.append(tp)
        return graph_from_config(path, batch=micro_batch, phase="forward", kv_ranks=tp)

    found = search(build, read_cluster("dgx-h100"), 8, Roofline(), keep=10**6)
    assert {result.plan.tp for result in found.best} == {1, 2, 4, 8}
    assert set(asked) == {1, 4, 8}  # two heads do for two ranks
