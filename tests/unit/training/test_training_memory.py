"""Memory of graphs against every operator's live tensors, found one by one."""

from __future__ import annotations

import numpy as np
import pytest

from lydite.graph import Builder, Graph
from lydite.graph.training import memory_of, training_step

FLOAT_BYTES = 4
TEMPORARIES = {"sgd": 0, "momentum": 0, "nesterov": 1, "adagrad": 1, "adam": 2, "adamw": 2}
"""Tensors of a weight's size that the step of torch.optim's plain loops makes and drops.

Adam's makes the root of the second moment and its quotient, Adagrad's the root, Nesterov's the
gradient that looks ahead; momentum and gradient descent write in place.
"""


def random_net(seed: int) -> Graph:
    """Matrices of several widths that are added, multiplied and read again at random distances."""
    rng = np.random.default_rng(seed)
    g = Builder(f"random {seed}")
    made = [g.input("x", (3, 8)), g.relu(g.input("y", (3, 5)))]
    for number in range(20):
        tensor = made[rng.integers(len(made))]
        match rng.integers(4):
            case 0:
                weight = g.weight((tensor.shape[1], int(rng.integers(2, 40))), f"w{number}")
                made.append(g.op("MatMul", tensor, weight))
            case 1:
                alike = [other for other in made if other.shape == tensor.shape]
                made.append(g.op("Add", tensor, alike[rng.integers(len(alike))]))
            case 2:
                made.append(g.op("Identity", tensor))  # a view
            case _:
                made.append(g.relu(tensor))
    return g.build(made[-1], made[-4])


def alive_bytes(graph: Graph) -> list[int]:
    """Bytes alive during each operator: what is held throughout, written before, or read later."""
    storage = {name: name for name in (*graph.inputs, *graph.initializers)}
    for op in graph.ops:
        for name in op.outputs:
            storage[name] = storage[op.inputs[0]] if op.op_type == "Identity" else name
    held = {storage[name] for name in (*graph.inputs, *graph.initializers, *graph.outputs)}
    totals = []
    for now in range(len(graph.ops)):
        begun = {storage[name] for op in graph.ops[: now + 1] for name in op.outputs}
        begun |= set(graph.inputs) | set(graph.initializers)
        used = {
            storage[name] for op in graph.ops[now:] for name in (*op.inputs, *op.outputs) if name
        }
        alive = begun & (used | held)
        totals.append(sum(FLOAT_BYTES * int(np.prod(graph.type_of(n).shape)) for n in alive))
    return totals


@pytest.mark.parametrize("seed", range(12))
def test_what_is_alive_during_each_operator(seed):
    graph = random_net(seed)
    assert memory_of(graph).bytes_alive.tolist() == alive_bytes(graph)


def test_two_operators_by_hand():
    """A tensor lives until its last reader has run: both of Relu's and Exp's tensors at once."""
    g = Builder("two")
    x = g.input("x", (1, 10))
    graph = g.build(g.op("Tanh", g.op("Exp", g.relu(x))))
    assert memory_of(graph).bytes_alive.tolist() == [80, 120, 120]


@pytest.mark.parametrize("optimizer", TEMPORARIES)
def test_temporaries_of_an_update_are_of_its_weights_size(optimizer):
    g = Builder("two weights")
    x = g.input("x", (2, 16))
    step = training_step(
        g.build(g.op("MatMul", g.op("MatMul", x, g.weight((16, 32))), g.weight((32, 8)))),
        optimizer=optimizer,
    )
    memory = memory_of(step)
    temporaries = dict(zip(memory.names, memory.bytes_by_kind["temporaries"], strict=True))
    sizes = sorted(
        temporaries[op.name] / FLOAT_BYTES
        for op in step.graph.ops
        if step.phases[op.name] == "optimizer"
    )
    assert sizes == [TEMPORARIES[optimizer] * 32 * 8, TEMPORARIES[optimizer] * 16 * 32]


def test_the_peak_of_a_large_weights_update():
    """Adam holds weight, gradient, two moments and two temporaries: six times the weight."""
    g = Builder("wide")
    graph = g.build(g.op("MatMul", g.input("x", (1, 1000)), g.weight((1000, 1000))))
    memory = memory_of(training_step(graph, optimizer="adam"))
    assert memory.peak_bytes == pytest.approx(6 * FLOAT_BYTES * 1000**2, rel=0.01)
