"""Parameters that a token meets, against those of transformers' modules."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def benchmark():
    """What the benchmark of configs defines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        return runpy.run_path(str(ROOT / "benchmarks" / "configs.py"))


@pytest.mark.parametrize(
    "name",
    [
        "mixtral",
        "qwen2_moe",
        "deepseek_v3",
        "gpt_oss",
        "llama4",
        "ernie4_5_vl_moe",
        "jetmoe",
        "zaya",
    ],
)
def test_of_routed_experts_a_token_meets_the_share_that_it_goes_through(name, benchmark, tmp_path):
    row = benchmark["of_type"](name, tmp_path)
    assert row.ours_active == row.theirs_active
    assert 0 < row.ours_active < row.ours == row.theirs


def test_a_type_without_experts_has_no_such_figure(benchmark, tmp_path):
    row = benchmark["of_type"]("gpt2", tmp_path)
    assert (row.ours_active, row.theirs_active) == (0, 0)


def test_parameters_that_no_token_can_reach_are_told_apart(benchmark, tmp_path):
    """LongCat-Flash's experts that do nothing have a first matrix in transformers all the same."""
    row = benchmark["of_type"]("longcat_flash", tmp_path)
    layers, idle, inner, hidden = 28, 256, 2048, 6144
    assert row.unread == layers * idle * 2 * inner * hidden
    assert row.ours == row.theirs
