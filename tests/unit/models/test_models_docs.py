"""The reference page of the models says what is so."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from lydite.models import model_names

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reference" / "models.md"


@pytest.fixture
def benchmark(monkeypatch):
    """What the benchmark defines."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return runpy.run_path(str(ROOT / "benchmarks" / "models.py"))


def test_the_table_of_models_is_the_one_that_the_benchmark_writes(default_graph, benchmark):
    page = PAGE.read_text()
    assert page == benchmark["with_table"](page, benchmark["table"](default_graph)), (
        "type: python benchmarks/models.py"
    )


def test_the_listed_figures_are_those_that_the_benchmark_writes(default_graph, benchmark):
    assert benchmark["FIGURES"].read_text() == benchmark["figures"](default_graph), (
        "type: python benchmarks/models.py"
    )


def test_every_model_has_a_row():
    first = [line.split(" | ")[0].removeprefix("| ") for line in PAGE.read_text().splitlines()]
    names = model_names()
    assert [name for name in first if name in names] == names
