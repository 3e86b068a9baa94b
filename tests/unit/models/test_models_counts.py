"""Parameters and multiply-adds of the models against what their papers and torchvision publish."""

from __future__ import annotations

import pytest

from lydite.graph import total_work
from lydite.models import build_model

PUBLISHED = [
    ("alexnet", 61_100_840, 0.714e9),
    ("vgg16", 138_357_544, 15.47e9),
    ("resnet50", 25_557_032, 4.09e9),
    ("mobilenetv2", 3_504_872, 0.301e9),
    ("inceptionv3", 27_161_264 - 3_326_696, 5.71e9),  # torchvision's count less its auxiliary head
]
"""Name, parameters, and multiply-adds of convolutions and dense layers (torchvision's GFLOPS)."""


def multiply_adds(name: str, **sizes) -> float:
    by_type = total_work(build_model(name, **sizes)).by_type
    return sum(by_type[t].flops for t in ("Conv", "Gemm", "MatMul") if t in by_type) / 2


@pytest.mark.parametrize(("name", "parameters", "macs"), PUBLISHED)
def test_published_counts(name, parameters, macs):
    graph = build_model(name)
    assert graph.parameter_count == parameters
    assert total_work(graph).total.parameters == parameters
    assert multiply_adds(name) == pytest.approx(macs, rel=5e-3)


def bert_parameters(layers: int, hidden: int) -> int:
    embeddings = (30522 + 512 + 2) * hidden + 2 * hidden
    attention = 4 * (hidden * hidden + hidden)
    dense = 2 * 4 * hidden * hidden + 4 * hidden + hidden
    return embeddings + layers * (attention + dense + 4 * hidden) + hidden * hidden + hidden


def bert_macs(layers: int, hidden: int, sequence: int) -> int:
    projections = 4 * hidden * hidden + 2 * 4 * hidden * hidden
    attention = 2 * sequence * hidden
    return layers * sequence * (projections + attention) + hidden * hidden


@pytest.mark.parametrize(
    ("name", "layers", "hidden", "published"),
    [("bert-base", 12, 768, 109_482_240), ("bert-large", 24, 1024, 335_141_888)],
)
@pytest.mark.parametrize("sequence", [16, 128])
def test_bert_counts(name, layers, hidden, published, sequence):
    graph = build_model(name, sequence=sequence)
    assert graph.parameter_count == published == bert_parameters(layers, hidden)
    expected = bert_macs(layers, hidden, sequence)
    assert multiply_adds(name, sequence=sequence) == pytest.approx(expected, rel=1e-3)


def test_bert_base_at_128_tokens_takes_eleven_billion_multiply_adds():
    assert multiply_adds("bert-base") == pytest.approx(11.17e9, rel=5e-3)
