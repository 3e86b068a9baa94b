"""Gradients of experts: what they read, by hand."""

from __future__ import annotations

import pytest

from lydite.graph import Builder
from lydite.graph.training import training_step
from lydite.graph.work import work_of

TOKENS, HIDDEN, INNER, EXPERTS, CHOSEN = 64, 32, 48, 4, 2


@pytest.mark.parametrize("biases", [False, True])
def test_the_weights_gradient_reads_no_weights(biases):
    g = Builder("experts", opset=24)
    tokens = g.linear(g.input("x", (TOKENS, 16)), HIDDEN, bias=False, name="in")
    router = g.linear(tokens, EXPERTS, bias=False, name="router")
    up, down = (
        g.weight((EXPERTS, *shape), name)
        for name, shape in (("up", (INNER, HIDDEN)), ("down", (HIDDEN, INNER)))
    )
    of_up = g.weight((EXPERTS, INNER), "of_up") if biases else None
    of_down = g.weight((EXPERTS, HIDDEN), "of_down") if biases else None
    inputs = (tokens, router, up, of_up, down, of_down)
    mixed = g.op("MoE", *inputs, domain="com.microsoft", k=CHOSEN, activation_type="relu")
    graph = training_step(g.build(mixed), loss="sum", optimizer="adam").graph
    data, weights = (
        next(op for op in graph.ops if op.op_type == f"MoE{kind}Grad")
        for kind in ("Input", "Weight")
    )
    routed, matrices = TOKENS * CHOSEN, 2 * EXPERTS * INNER * HIDDEN
    shifts = biases * EXPERTS * (INNER + HIDDEN)
    work = work_of(weights, graph)
    # tokens, dy, and of each routed token what the first product made and its gradient
    assert work.bytes_read == 4 * (2 * TOKENS * HIDDEN + 2 * routed * INNER + shifts)
    assert work.bytes_written == 4 * (matrices + shifts)
    assert work_of(data, graph).bytes_read > 4 * matrices
    assert work.flops == work_of(data, graph).flops == 2 * routed * 2 * INNER * HIDDEN
    assert len(weights.outputs) == (4 if biases else 2)
