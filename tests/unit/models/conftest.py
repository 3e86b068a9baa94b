"""Graphs of the model set, each built once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from lydite.graph import Graph, GraphWork, total_work
from lydite.models import build_model


@pytest.fixture(scope="session")
def default_graph() -> Callable[[str], Graph]:
    """A model at its defaults, by name."""
    return cache(build_model)


@pytest.fixture(scope="session")
def default_work(default_graph) -> Callable[[str], GraphWork]:
    """The work of a model at its defaults, by name."""
    return cache(lambda name: total_work(default_graph(name)))
