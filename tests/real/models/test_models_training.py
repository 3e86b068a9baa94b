"""Training graphs against PyTorch: FLOPs, gradient shapes, memory (see benchmarks/training.py)."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs PyTorch: pip install torch")
pytest.importorskip("transformers", reason="needs transformers: pip install transformers")

CASES = ("alexnet", "resnet50", "bert-base", "lstm", "llama3-8b, 4 layers")


@pytest.fixture(scope="module")
def benchmark():
    folder = str(Path(__file__).parents[3] / "benchmarks")
    sys.path.insert(0, folder)
    yield importlib.import_module("training")
    sys.path.remove(folder)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_backward_flops_and_gradient_shapes_are_those_of_autograd(benchmark, name):
    backward, forward, apart = benchmark.flops(name)
    assert backward == pytest.approx(1, rel=0.01)
    assert forward == pytest.approx(1, rel=1e-6)
    assert apart == 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "optimizer", "batch", "rel"),
    [
        ("resnet50", "adam", 1, 0.05),
        ("resnet50", None, 1, 0.05),
        ("bert, 4 narrow layers", "adam", 1, 0.02),
        ("bert, 4 narrow layers", None, 4, 0.02),
    ],
)
def test_peak_memory_of_a_step_is_what_pytorch_allocates(
    benchmark, monkeypatch, name, optimizer, batch, rel
):
    """BERT's is mostly activations, or with Adam the update of its table of tokens."""
    monkeypatch.setattr(benchmark, "BATCH", batch)
    ours, theirs = benchmark.memory(name, optimizer)
    assert ours == pytest.approx(theirs, rel=rel)
