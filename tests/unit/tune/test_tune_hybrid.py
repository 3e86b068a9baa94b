"""How a net is cut, and where its tensors lie."""

from __future__ import annotations

import numpy as np

from lydite.backends.tuned.choice import Choice
from lydite.backends.tuned.hybrid import buffers, can_be_cut, plan
from lydite.backends.tuned.space import Config
from lydite.graph import Builder, Graph

GAIN = Choice(Config("matmul", ()), 1e-3)
TINY = Choice(Config("matmul", ()), 1e-7)


def chain() -> Graph:
    """fc0 relu fc1 reshape fc2 relu, each dense layer tunable."""
    g = Builder("chain")
    x = g.input("x", (4, 32))
    x = g.relu(g.linear(x, 32, name="fc0"))
    x = g.linear(x, 32, name="fc1")
    x = g.op("Reshape", x, g.constant([8, 16], "shape"))
    return g.build(g.relu(g.linear(x, 32, name="fc2")))


def names(graph: Graph) -> list[str]:
    return [op.name for op in graph.ops if op.op_type == "Gemm"]


def test_segments_and_kernels_take_turns():
    graph = chain()
    made = plan(graph, dict.fromkeys(names(graph), GAIN))
    kinds = ["tuned" if step.choice else step.ops[0].op_type for step in made.steps]
    assert kinds == ["tuned", "Relu", "tuned", "tuned", "Relu"]
    assert [op.op_type for step in made.steps for op in step.ops].count("Reshape") == 0
    for step in made.steps:
        assert all(name not in graph.initializers for name in step.reads)


def test_a_kernel_that_gains_less_than_a_call_stays_out():
    graph = chain()
    made = plan(graph, dict.fromkeys(names(graph), TINY))
    assert all(step.choice is None for step in made.steps)
    first, *_ = names(graph)
    made = plan(graph, {**dict.fromkeys(names(graph), TINY), first: GAIN})
    assert [step.ops[0].name for step in made.steps if step.choice] == [first]


def test_every_read_follows_its_write():
    graph = chain()
    made = plan(graph, dict.fromkeys(names(graph), GAIN))
    there = set(graph.inputs)
    for step in made.steps:
        assert all(made.memory_of(name) in there for name in step.reads)
        there |= set(step.writes)
    assert {made.memory_of(name) for name in graph.outputs} <= there


def test_a_view_of_what_a_segment_makes_is_in_that_segment():
    """Else the segment would read what it is about to write."""
    graph = chain()
    first, *_ = names(graph)
    made = plan(graph, {first: GAIN})
    assert [op.op_type for op in made.steps[1].ops] == ["Relu", "Gemm", "Reshape", "Gemm", "Relu"]
    for step in made.steps:
        written = {made.memory_of(name) for name in step.writes}
        assert not written & {made.memory_of(name) for name in step.reads}


def test_memory_is_used_again_but_never_by_what_is_still_read():
    graph = chain()
    made = plan(graph, dict.fromkeys(names(graph), GAIN))
    memory = buffers(graph, made)
    for step in made.steps:
        for read in step.reads:
            for write in step.writes:
                a, b = memory[made.memory_of(read)], memory[made.memory_of(write)]
                assert not np.shares_memory(a, b)
    owners = {array.ctypes.data for array in memory.values()}
    assert len(owners) < len(memory)
    assert all(array.ctypes.data % 64 == 0 for array in memory.values())


def test_bodies_and_unknown_sizes_are_not_cut():
    assert can_be_cut(chain())
    g = Builder("open")
    assert not can_be_cut(g.build(g.relu(g.input("x", ("n", 4)))))
