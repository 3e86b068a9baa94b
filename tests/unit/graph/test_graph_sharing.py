"""Weights that several parts of a graph have in common, and those that nothing reads."""

from __future__ import annotations

import pytest

from lydite.errors import GraphError
from lydite.graph import Builder


def test_weights_of_a_key_are_declared_once():
    g = Builder("net")
    x = g.input("x", (2, 8))
    for _ in range(3):
        with g.sharing("part"):
            x = g.linear(g.linear(x, 16), 8)
        x = g.linear(x, 8, bias=False)
    graph = g.build(x)
    assert graph.parameter_count == (8 * 16 + 16) + (16 * 8 + 8) + 3 * 8 * 8
    readers = [len(graph.consumers[name]) for name in graph.parameters]
    assert sorted(readers) == [1, 1, 1, 3, 3, 3, 3]


def test_a_part_inside_may_have_weights_of_its_own():
    g = Builder("net")
    x = g.input("x", (2, 8))
    for _ in range(2):
        with g.sharing(0):
            with g.sharing(None):
                y = g.linear(x, 8, bias=False)
            x = g.linear(x, 8, bias=False) + y
    assert g.build(x).parameter_count == 3 * 8 * 8


def test_weights_in_common_have_one_shape():
    g = Builder("net")
    x = g.input("x", (2, 8))
    with g.sharing("part"):
        g.linear(x, 4)
    with g.sharing("part"), pytest.raises(GraphError, match="a weight in common is"):
        g.linear(x, 5)


def test_a_weight_that_nothing_reads_is_no_active_one():
    g = Builder("net")
    g.weight((100,), "asleep")
    graph = g.build(g.linear(g.input("x", (2, 8)), 4))
    assert graph.parameter_count == 100 + 8 * 4 + 4
    assert graph.active_parameter_count == 8 * 4 + 4
