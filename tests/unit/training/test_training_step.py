"""The training graph: what it holds, what it refuses, what it keeps in memory."""

from __future__ import annotations

import numpy as np
import pytest

from lydite.errors import GraphError, InputError
from lydite.graph import Builder, total_work
from lydite.graph.training import OPTIMIZERS, memory_of, training_step
from lydite.models import build_model

CALM = ("resnet50", "bert-base", "gpt2", "lstm", "ghostnet", "unet", "clip-image", "sd15-unet")


def mlp(batch: int = 2, width: int = 4, layers: int = 3):
    g = Builder("mlp")
    x = g.input("x", (batch, width))
    for number in range(layers):
        x = g.relu(g.linear(x, width, name=f"fc{number}"))
    return g.build(x)


@pytest.mark.parametrize("name", CALM)
def test_every_weight_gets_a_gradient_of_its_own_shape(name):
    graph = build_model(name)
    step = training_step(graph)
    assert set(step.gradients) == set(graph.parameters)
    for weight, gradient in step.gradients.items():
        assert step.graph.type_of(weight) == step.graph.type_of(gradient)
    assert total_work(step.graph).unknown == ()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_optimiser_keeps_so_many_numbers_a_weight(optimizer):
    step = training_step(mlp(), optimizer=optimizer)
    states = {"sgd": 0, "momentum": 1, "nesterov": 1, "adagrad": 1, "adam": 2, "adamw": 2}[
        optimizer.removesuffix("-8bit")
    ]
    assert len(step.states) == states * len(step.gradients)
    for state, weight in step.states.items():
        assert step.graph.type_of(state).shape == step.graph.type_of(weight).shape
    updates = step.ops_of("optimizer")
    assert len(updates) == len(step.gradients)
    assert len(step.graph.outputs) == 1 + len(updates) * (1 + states)
    assert total_work(step.graph).unknown == ()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_kept_by_weights_gradients_and_states(dtype):
    step = training_step(build_model("gpt2", phase="forward", dtype=dtype), optimizer="adam")
    tensors = (*step.gradients, *step.gradients.values(), *step.states)
    assert {step.graph.type_of(name).dtype for name in tensors} == {dtype}


def test_phases_follow_each_other_and_cover_every_operator():
    step = training_step(build_model("resnet50"), optimizer="adam")
    order = [step.phases[op.name] for op in step.graph.ops]
    firsts = [order.index(phase) for phase in ("forward", "loss", "backward", "optimizer")]
    assert firsts == sorted(firsts)
    assert len(order) == len(step.phases)


def test_data_and_weight_gradients_are_operators_of_their_own():
    step = training_step(build_model("alexnet"))
    types = [op.op_type for op in step.ops_of("backward")]
    assert types.count("ConvWeightGrad") == 5
    assert types.count("ConvInputGrad") == 4  # nobody asks for the image's gradient


def test_a_weight_used_twice_gets_the_sum():
    g = Builder("tied")
    x, w = g.input("x", (2, 4)), g.weight((4, 4), "w")
    step = training_step(g.build(g.op("MatMul", g.op("Tanh", g.op("MatMul", x, w)), w)))
    last = step.graph.producers[step.gradients["w"]]
    assert last.op_type == "Add"
    assert step.in_place[last.name] == [(last.outputs[0], last.inputs[0])]


def test_usual_losses():
    assert training_step(build_model("resnet50")).loss == "cross_entropy"
    assert training_step(build_model("gpt2", phase="forward")).loss == "cross_entropy"
    assert training_step(build_model("bert-base")).loss == "mean_square"


def test_memory_of_a_chain_by_hand():
    """At the last Relu: what the first two gave, the product before it, and its own output.

    Each Relu's output stays, for its gradient and the next weight's; products go at once.
    """
    found = memory_of(training_step(mlp(batch=100_000), loss="sum"))
    tensor = 100_000 * 4 * 4
    assert found.at_peak["inputs"] == tensor
    computed = found.at_peak["activations"] + found.at_peak["temporaries"]
    assert computed == pytest.approx(4 * tensor, rel=1e-4)
    assert found.at_peak["weights"] < 1000
    assert found.peak_bytes == pytest.approx(5 * tensor, rel=1e-3)


def test_memory_in_inference_is_less_than_in_training_and_grows_with_the_batch():
    sizes = {}
    for batch in (1, 8):
        graph = build_model("resnet50", batch=batch)
        sizes[batch] = memory_of(graph).peak_bytes, memory_of(training_step(graph)).peak_bytes
    assert sizes[1][0] < sizes[1][1]
    assert sizes[1][0] < sizes[8][0] < 8 * sizes[1][0]
    assert sizes[8][1] - sizes[1][1] > 6 * (sizes[8][0] - sizes[1][0])


@pytest.mark.parametrize("name", ["resnet50", "gpt2"])
def test_recomputation_trades_work_for_memory(name):
    graph = build_model(name, batch=8, **({"phase": "forward"} if name == "gpt2" else {}))
    plain, again = training_step(graph), training_step(graph, recompute=4)
    memory = [memory_of(step).at_peak["activations"] for step in (plain, again)]
    work = [total_work(step.graph).total.flops for step in (plain, again)]
    forward = total_work(graph).total.flops
    assert memory[1] < 0.6 * memory[0]
    assert work[0] < work[1] < work[0] + forward
    assert again.ops_of("recompute")
    assert not plain.ops_of("recompute")


def test_a_cache_is_counted_once():
    graph = build_model("gpt2", phase="decode", context=900)
    size = 12 * 2 * 901 * 768 * 4
    found = memory_of(graph).at_peak
    assert found["inputs"] == pytest.approx(size, rel=1e-3)
    assert found["activations"] < 0.05 * size


def test_what_cannot_be_trained():
    g = Builder("lost")
    x = g.linear(g.input("x", (4, 4)), 4)
    reason = r"no gradient is known for Det \(no gradient rule yet\), which lies between"
    with pytest.raises(GraphError, match=reason):
        training_step(g.build(g.op("Det", x)), loss="sum")
    g = Builder("nothing")
    with pytest.raises(GraphError, match="the loss depends on no weight"):
        training_step(g.build(g.relu(g.input("x", (2, 4)))), loss="sum")
    g = Builder("open")
    with pytest.raises(GraphError, match=r"training needs every size; unknown: n.*--dim NAME=SIZE"):
        training_step(g.build(g.linear(g.input("x", ("n", 4)), 4)))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"loss": "huber"}, "unknown loss 'huber'"),
        ({"optimizer": "lion"}, "unknown optimizer 'lion'"),
        ({"recompute": 50}, "cannot cut into 50 segments; allowed: 2 to"),
    ],
)
def test_unknown_options(options, text):
    with pytest.raises(InputError, match=text):
        training_step(mlp(), **options)


def test_gradient_of_a_convolution_by_hand():
    """One number in, a kernel of one: dw = dy x, checked through the key and its work."""
    g = Builder("one")
    y = g.conv(g.input("x", (2, 3, 5, 7)), 4, (3, 3), pad=1, bias=False)
    step = training_step(g.build(y), loss="sum")
    (weight,) = (op for op in step.graph.ops if op.op_type == "ConvWeightGrad")
    flops = total_work(step.graph).by_type["lydite:ConvWeightGrad"].flops
    assert flops == 2 * np.prod((2, 4, 5, 7)) * 3 * 3 * 3
    assert step.graph.type_of(weight.outputs[0]).shape == (4, 3, 3, 3)
