"""Control flow costs its most expensive body, as often as it runs, in predictions and steps."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import lydite
from lydite.cluster import Plan, simulate_step
from lydite.cluster.constants import ASSUMED, Constants
from lydite.errors import InputError
from lydite.estimate import Estimate, predict
from lydite.graph import total_work
from lydite.graph.onnx_reader import graph_from_model
from lydite.hardware import find_device
from lydite.hardware.cluster import read_cluster

SECONDS = {"MatMul": 3e-6, "Relu": 1e-6, "Identity": 5e-7}


class Fixed:
    """An estimator with one time for every type."""

    name = "fixed"

    def estimate(self, keys, device):
        del device
        return [
            Estimate(s, s / 2, 2 * s, "measured") if (s := SECONDS.get(key.op_type)) else None
            for key in keys
        ]


def value(name, shape, dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def branch(name, *types):
    weight = numpy_helper.from_array(np.ones((4, 4), np.float32), f"{name}_w")
    nodes, last = [], "x"
    for index, op_type in enumerate(types):
        inputs = [last, f"{name}_w"] if op_type == "MatMul" else [last]
        last = f"{name}_{index}"
        nodes.append(helper.make_node(op_type, inputs, [last]))
    return helper.make_graph(nodes, name, [], [value(last, [4, 4])], [weight])


def conditional(first, second):
    node = helper.make_node(
        "If", ["c"], ["y"], then_branch=branch("a", *first), else_branch=branch("b", *second)
    )
    return net([node], [value("c", [], TensorProto.BOOL)])


def loop(trips: int | None):
    body = helper.make_graph(
        [
            helper.make_node("Relu", ["state"], ["next"]),
            helper.make_node("Identity", ["cond"], ["go"]),
        ],
        "body",
        [
            value("i", [], TensorProto.INT64),
            value("cond", [], TensorProto.BOOL),
            value("state", [4, 4]),
        ],
        [value("go", [], TensorProto.BOOL), value("next", [4, 4])],
    )
    node = helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)
    if trips is None:
        return net([node], [value("n", [], TensorProto.INT64)])
    return net([helper.make_node("Constant", [], ["n"], value_int=trips), node], [])


def net(nodes, inputs):
    graph = helper.make_graph(nodes, "net", [value("x", [4, 4]), *inputs], [value("y", [4, 4])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    return graph_from_model(onnx.ModelProto.FromString(model.SerializeToString()))


def predicted(graph):
    return predict(graph, find_device("h100"), Fixed())


def test_an_if_costs_its_dearer_branch():
    prediction = predicted(conditional(["Relu", "MatMul"], ["MatMul", "MatMul"]))
    (node,) = prediction.nodes
    assert node.estimate.seconds == pytest.approx(6e-6)
    assert node.estimate.detail == "the slower of 2 branches"
    assert prediction.complete
    assert node.estimate.low <= 4e-6


def test_a_loop_costs_its_body_each_time():
    assert predicted(loop(10)).total.seconds == pytest.approx(10 * 1.5e-6)
    unknown = predicted(loop(None))
    assert not unknown.complete
    assert unknown.coverage.uncovered == {"Loop": 1}


def test_a_body_with_an_unknown_part_is_unknown():
    prediction = predicted(conditional(["Relu"], ["MatMul", "Tanh"]))
    assert prediction.nodes[0].estimate is None
    assert prediction.coverage.uncovered == {"If": 1}


def test_a_loop_that_never_runs_costs_nothing():
    prediction = predicted(loop(0))
    assert prediction.complete
    assert prediction.total.seconds < 1e-11
    assert total_work(loop(0)).unknown == ()


def simulated(graph, constants=ASSUMED, *, tp=1):
    plan, cluster = Plan(dp=8 // tp, tp=tp), read_cluster("dgx-h100 x 1")
    return simulate_step(graph, cluster, plan, Fixed(), optimizer=None, constants=constants)


def test_a_step_prices_control_flow_as_a_prediction_does():
    exact = Constants(dispatch_s=0.0)
    for graph in (conditional(["Relu", "MatMul"], ["MatMul", "MatMul"]), loop(10)):
        step = simulate_step(
            graph,
            read_cluster("dgx-h100 x 1"),
            Plan(dp=8),
            Fixed(),
            optimizer=None,
            constants=exact,
        )
        assert step.seconds == pytest.approx(predicted(graph).nodes[0].estimate.seconds, rel=1e-6)


def test_each_run_of_a_body_launches_its_kernels():
    step = simulated(loop(10), Constants(dispatch_s=1e-3))
    assert step.seconds == pytest.approx(10e-3, rel=0.01)


@pytest.mark.parametrize(
    ("graph", "degrees", "said"),
    [
        (loop(None), {}, r"Loop\) runs as often as its data say; set its trip count"),
        (loop(10**7), {}, "runs its body 10000000 times; allowed: up to 100000 kernels"),
        (conditional(["Relu"], ["Tanh"]), {}, r"If\) has no time estimate for Tanh"),
        (loop(3), {"tp": 2}, "is control flow, which tensor parallelism cannot split"),
    ],
)
def test_control_flow_that_a_step_cannot_price_is_named(graph, degrees, said):
    with pytest.raises(InputError, match=said):
        simulated(graph, **degrees)


def test_weights_of_bodies_take_memory():
    step = simulated(conditional(["Relu", "MatMul"], ["MatMul", "MatMul"]))
    assert step.memory[0]["weights"] == 2 * 16 * 4


@pytest.mark.parametrize("chip", ["smv", "systolic-128"])
def test_a_chip_names_a_loop_whose_runs_are_unknown(chip):
    result = lydite.chip(loop(None), chip=chip)
    assert "at least" in result.summary()
    assert result.document()["unknown_work"] == [loop(None).ops[0].name]
    assert lydite.chip(loop(3), chip=chip).document()["unknown_work"] == []


def test_a_comparison_names_what_the_prediction_lacks():
    """A loop of unknown length beside an operator that is known."""
    from lydite.api.validate import ValidateResult
    from lydite.measure.whole import Validation

    body = loop(None)
    relu = conditional(["Relu"], ["Relu"])
    samples = np.full(5, 1e-3)
    made = [Validation(predicted(graph), 1e-3, samples, 0) for graph in (body, relu)]
    result = ValidateResult(tuple(made), find_device("h100"), "onnxruntime", 1)
    (without, complete) = result.rows()
    assert without["notes"] == [
        "1 operator has no estimate, so the prediction is a lower bound: Loop (1)"
    ]
    assert complete["notes"] == []
