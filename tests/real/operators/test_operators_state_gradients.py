"""Gradients of layers with a state, counted by PyTorch on their recurrences written out."""

from __future__ import annotations

import pytest

from lydite.graph import Builder
from lydite.graph.training import training_step
from lydite.graph.work import work_of

torch = pytest.importorskip("torch")
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

BATCH, TOKENS, HEADS, KEY, VALUE = 2, 5, 3, 16, 8
ENTRIES = BATCH * TOKENS * HEADS * KEY * VALUE


def recurrence(rule: str) -> tuple[int, int]:
    """Products of a forward and of a backward pass, of ONNX's LinearAttention token by token."""

    def leaf(*shape):
        return torch.randn(BATCH * HEADS, *shape, requires_grad=True)

    state = leaf(KEY, VALUE)
    with FlopCounterMode(display=False) as forward:
        answers = []
        for _ in range(TOKENS):
            query, key, value = leaf(1, KEY), leaf(KEY, 1), leaf(1, VALUE)
            if "gated" in rule:
                state = state * leaf(1, 1).sigmoid()
            if "delta" in rule:
                value = value - torch.bmm(key.transpose(1, 2), state)
            state = state + torch.bmm(key, value)
            answers.append(torch.bmm(query, state))
    # the last state leads on, as it does to the next token of a longer text
    loss = sum(answer.sum() for answer in answers) + state.sum()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    return forward.get_total_flops(), backward.get_total_flops()


def gradient_of(rule: str):
    """The operator that trains linear attention of this rule, in its graph."""
    g = Builder("states", opset=27)
    x = g.input("x", (BATCH, TOKENS, 32))
    widths = (HEADS * KEY, HEADS * KEY, HEADS * VALUE)
    parts = [g.linear(x, width, bias=False, name=f"part_{i}") for i, width in enumerate(widths)]
    decay = g.linear(x, HEADS, bias=False, name="decay") if "gated" in rule else None
    beta = g.linear(x, HEADS, bias=False, name="beta") if "delta" in rule else None
    mixed, _ = g.ops(
        "LinearAttention",
        *parts,
        None,
        decay,
        beta,
        outputs=2,
        q_num_heads=HEADS,
        kv_num_heads=HEADS,
        update_rule=rule,
    )
    step = training_step(g.build(mixed), loss="sum").graph
    return step, next(op for op in step.ops if op.op_type == "LinearAttentionGrad")


@pytest.mark.parametrize("rule", ["linear", "gated", "delta", "gated_delta"])
def test_linear_attention_s_gradient_takes_the_products_of_its_recurrence(rule):
    forward, backward = recurrence(rule)
    reading = 2 * ENTRIES
    graph, op = gradient_of(rule)
    again = forward - reading  # states are computed once more, their answers are not
    elementwise = {"gated": 3 * ENTRIES}.get(rule.removesuffix("_delta"), 0)
    small = 6 * ENTRIES / KEY * ("delta" in rule)  # of the corrected value's size
    assert work_of(op, graph).flops == backward + again + elementwise + small


def test_every_input_of_linear_attention_gets_a_gradient_of_its_shape():
    graph, op = gradient_of("gated_delta")
    of = [graph.type_of(name).shape for name in op.outputs]
    assert of == [
        (BATCH, TOKENS, HEADS * KEY),
        (BATCH, TOKENS, HEADS * KEY),
        (BATCH, TOKENS, HEADS * VALUE),
        (BATCH, TOKENS, HEADS),
        (BATCH, TOKENS, HEADS),
    ]


@pytest.mark.parametrize("bias", [False, True])
def test_a_causal_convolution_s_gradient_is_twice_its_products(bias):
    channels, taps = 12, 4
    g = Builder("convolution", opset=27)
    x = g.linear(g.input("x", (BATCH, channels, 8)), TOKENS, bias=False, name="x")
    weight = g.weight((channels, 1, taps), "taps")
    biases = g.weight((channels,), "shift") if bias else None
    mixed, _ = g.ops("CausalConvWithState", x, weight, biases, outputs=2)
    graph = training_step(g.build(mixed), loss="sum").graph
    op = next(op for op in graph.ops if op.op_type == "CausalConvWithStateGrad")

    given = torch.randn(BATCH, channels, TOKENS, requires_grad=True)
    weights = torch.randn(channels, 1, taps, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        padded = torch.nn.functional.pad(given, (taps - 1, 0))
        answer = torch.nn.functional.conv1d(padded, weights, groups=channels)
    products = counter.get_total_flops()
    assert answer.shape == (BATCH, channels, TOKENS)
    assert work_of(op, graph).flops == 2 * products + bias * answer.numel()
    assert len(op.outputs) == 2 + bias
