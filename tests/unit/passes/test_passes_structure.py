"""What passes leave alone, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lydite.errors import GraphError, InputError
from lydite.graph import Builder, Graph, total_work
from lydite.graph.passes import PRECISIONS, fused, in_precision
from lydite.graph.training import training_step
from lydite.models import build_model


def test_an_unknown_precision_gets_the_nearest():
    with pytest.raises(InputError, match=r"unknown precision 'bfloat61'.*did you mean 'bfloat16'"):
        in_precision(build_model("alexnet"), "bfloat61")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["resnet50", "bert-base"])
def test_no_work_is_lost_and_inputs_and_outputs_keep_their_names(name, precision):
    graph = build_model(name, batch=2)
    if (name, precision) == ("resnet50", "int4"):
        with pytest.raises(GraphError, match="no MatMul with a weight"):
            in_precision(graph, precision)
        return
    found = in_precision(graph, precision)
    assert found.inputs == graph.inputs
    assert len(found.outputs) == len(graph.outputs)
    assert total_work(found).unknown == ()
    products = ("Conv", "Gemm", "MatMul")
    before, after = total_work(graph).by_type, total_work(found).by_type
    for op_type in products:
        if op_type in before:
            packed = after.get("com.microsoft:MatMulNBits") if op_type == "MatMul" else None
            flops = after[op_type].flops + (packed.flops if packed else 0.0)
            assert flops == pytest.approx(before[op_type].flops, rel=5e-3)  # biases; scales


def test_autocast_lowers_products_and_keeps_what_loses_digits():
    graph = in_precision(build_model("bert-base"), "autocast-bfloat16")
    by_type: dict[str, set[str]] = {}
    for op in graph.ops:
        by_type.setdefault(op.op_type, set()).add(graph.type_of(op.outputs[0]).dtype)
    assert by_type["MatMul"] == {"bfloat16"}
    assert by_type["Gemm"] == {"bfloat16"}
    assert by_type["Softmax"] == by_type["LayerNormalization"] == {"float32"}
    assert by_type["Gelu"] == {"bfloat16"}
    assert {graph.initializers[name].type.dtype for name in graph.parameters} == {"float32"}


def test_autocast_casts_each_weight_once():
    g = Builder("twice")
    x, w = g.input("x", (2, 4)), g.weight((4, 4), "w")
    graph = g.build(g.op("MatMul", g.op("MatMul", x, w), w))
    found = in_precision(graph, "autocast-float16")
    assert [op.name for op in found.ops if op.op_type == "Cast"] == ["x/cast", "w/cast"]


def test_training_in_autocast_gives_gradients_in_float32():
    step = training_step(in_precision(build_model("resnet50"), "autocast-bfloat16"))
    types = {step.graph.type_of(name).dtype for name in step.gradients.values()}
    assert types == {"float32"}


def test_a_normalisation_whose_convolution_is_read_elsewhere_stays():
    g = Builder("shared")
    y = g.conv(g.input("x", (1, 3, 8, 8)), 4, 3)
    graph = g.build(g.batch_norm(y), g.relu(y))
    assert [op.op_type for op in fused(graph).ops] == ["Conv", "BatchNormalization", "Relu"]


def test_a_sum_that_is_read_later_comes_out_of_the_fused_norm():
    g = Builder("residual")
    x, y = g.input("x", (1, 4, 8)), g.input("y", (1, 4, 8))
    total = x + y
    graph = g.build(g.op("Tanh", g.layer_norm(total)) + total)
    found = fused(graph)
    assert [op.op_type for op in found.ops] == ["SkipLayerNormalization", "Tanh", "Add"]
    assert found.ops[0].outputs[3] in found.ops[2].inputs


def test_control_flow_is_left_alone_with_a_reason():
    inner = Builder("body")
    body = inner.build(inner.relu(inner.input("z", (1,))))
    g = Builder("outer")
    x = g.input("x", (1, 3))
    graph = g.build(g.relu(x))
    held = Graph(
        "held", (*graph.ops,), graph.tensors, graph.inputs, graph.outputs, functions=(object(),)
    )
    assert body.ops
    with pytest.raises(GraphError, match="control flow or functions"):
        in_precision(held, "autocast-float16")


@pytest.mark.parametrize("name", ["resnet50", "bert-base", "gpt2", "yolov5n", "vit-b16"])
def test_types_that_passes_carry_over_are_those_inferred(name):
    for graph in (fused(build_model(name)), in_precision(build_model(name), "autocast-bfloat16")):
        again = Builder.on(
            replace(
                graph,
                ops=(),
                outputs=(),
                tensors={
                    known: graph.type_of(known) for known in (*graph.inputs, *graph.initializers)
                },
            )
        )
        for op in graph.ops:
            again.append(op)
            for output in filter(None, op.outputs):
                assert again.tensor(output).type == graph.type_of(output)
