import math
from dataclasses import replace

import numpy as np
import pytest

from lydite.estimate import Interpolated, Measured, Roofline, Rows, fit_efficiency, predict
from lydite.estimate.assemble import call_within_network, usual_chain
from lydite.estimate.roofline import roofline_seconds
from lydite.graph import Builder, keys_of
from lydite.graph.work import work_of_key
from lydite.hardware import Device, find_device
from lydite.opkey import (
    CALL_KEY,
    DISPATCH_KEY,
    LARGE_NETWORK_KEY,
    SMALL_NETWORK_KEY,
    Operand,
    OpKey,
    TensorType,
)
from lydite.store import Conditions, Database, Measurement, Software

CPU = Device("toy", "Toy", "cpu", "nobody", {"float32": 1e11}, 8e9, 1e10, units=2, clock_hz=2e9)
SOFTWARE = Software("replay", {"replay": "1"})


def gemm(m, n, k):
    t = lambda *s: TensorType("float32", s)  # noqa: E731
    operands = (Operand(t(m, k)), Operand(t(k, n), const=True))
    return OpKey("MatMul", operands, (t(m, n),), version=13)


def row(key, samples, cache="hot", **environment):
    return Measurement(
        key, "toy", SOFTWARE, Conditions(1, cache), np.array(samples), environment=environment
    )


def law(key):
    """A machine that runs at a quarter of its peak, and spends 3 us on each call."""
    return work_of_key(key).flops / 0.25e11 + 3e-6


SHAPES = [(m, n, k) for m in (32, 64, 128, 256) for n in (48, 96, 192) for k in (64, 256, 512)]


def test_measured_takes_the_median_and_prefers_rotated_weights():
    key = gemm(8, 8, 8)
    with Database.in_memory() as db:
        db.add([row(key, [5.0, 5.0, 5.0]), row(key, [1.0, 2.0, 3.0], "rotated")])
        (answer,) = Measured(db, Rows("replay")).estimate([key], CPU)
    assert answer.seconds == 2.0
    assert answer.source == "measured"
    assert answer.low <= 1.1
    assert answer.high >= 2.9


def test_measured_claims_no_less_than_two_percent():
    key = gemm(8, 8, 8)
    with Database.in_memory() as db:
        db.add([row(key, [1.0, 1.0, 1.0])])
        (answer,) = Measured(db, Rows("replay")).estimate([key], CPU)
    assert (answer.low, answer.high) == pytest.approx((0.98, 1.02))


def test_measured_takes_drift_out_by_the_pace():
    key = gemm(8, 8, 8)
    slow = row(key, [2.0, 4.0, 2.0], pace_s=[0.2, 0.4, 0.2], pace_usual_s=0.1)
    with Database.in_memory() as db:
        db.add([slow])
        (answer,) = Measured(db, Rows("replay")).estimate([key], CPU)
    assert answer.seconds == pytest.approx(1.0)


@pytest.mark.parametrize("change", [{"backend": "other"}, {"threads": 2}, {"clock": "process"}])
def test_measured_knows_only_its_conditions(change):
    key = gemm(8, 8, 8)
    with Database.in_memory() as db:
        db.add([row(key, [1.0])])
        assert Measured(db, replace(Rows("replay"), **change)).estimate([key], CPU) == [None]
        assert Measured(db, Rows("replay")).estimate([key], find_device("h100")) == [None]


def test_failures_are_not_times():
    key = gemm(8, 8, 8)
    bad = Measurement(key, "toy", SOFTWARE, Conditions(), np.array([]), status="crash", error="x")
    with Database.in_memory() as db:
        db.add([bad])
        assert Measured(db, Rows("replay")).estimate([key], CPU) == [None]


def test_roofline_is_the_larger_of_arithmetic_and_traffic():
    key = gemm(1000, 1000, 1000)
    work = work_of_key(key)
    assert roofline_seconds(work, CPU, "float32", 2) == pytest.approx(2e9 / 1e11)
    thin = gemm(1, 1000, 1000)
    moved = 4 * (1000 + 1_000_000 + 1000)
    assert roofline_seconds(work_of_key(thin), CPU, "float32", 2) == pytest.approx(moved / 1e10)
    assert roofline_seconds(work, CPU, "float32", 1) == pytest.approx(2 * 2e9 / 1e11)


def test_more_bandwidth_or_peak_is_never_slower():
    for shape in SHAPES:
        key = gemm(*shape)
        slow = roofline_seconds(work_of_key(key), CPU, "float32", 2)
        for change in ({"memory_bandwidth": 2e10}, {"peak_flops": {"float32": 2e11}}):
            faster = roofline_seconds(work_of_key(key), replace(CPU, **change), "float32", 2)
            assert faster <= slow


def test_fitted_efficiency_recovers_the_law():
    rows = [(gemm(*s), law(gemm(*s))) for s in SHAPES if math.prod(s) > 1_000_000]
    fitted = fit_efficiency(rows, CPU, 2, 3e-6)
    assert fitted["MatMul"].median == pytest.approx(0.25, rel=0.01)
    key = gemm(300, 300, 300)
    (answer,) = Roofline(threads=2, dispatch_s=3e-6, efficiency=fitted).estimate([key], CPU)
    assert answer.seconds == pytest.approx(law(key), rel=0.01)
    assert "fitted over" in answer.detail


def test_an_unfitted_roofline_says_so_and_is_wide():
    key = gemm(300, 300, 300)
    (answer,) = Roofline(threads=2).estimate([key], CPU)
    assert "assumed" in answer.detail
    assert answer.high / answer.low > 10


def test_an_operator_without_a_rule_stays_unknown():
    odd = OpKey("Mystery", (), (TensorType("float32", (1,)),), domain="nobody.knows")
    assert Roofline().estimate([odd], CPU) == [None]


def test_interpolation_recovers_a_law_between_its_points():
    rows = [(gemm(*s), law(gemm(*s))) for s in SHAPES]
    wanted = [gemm(48, 64, 128), gemm(100, 150, 300), gemm(200, 96, 400)]
    for key, answer in zip(wanted, Interpolated(rows, CPU, 2).estimate(wanted, CPU), strict=True):
        assert answer.seconds == pytest.approx(law(key), rel=0.1)
        assert answer.source == "interpolated"


def test_interpolation_holds_what_its_interval_promises():
    """Times with 10 % noise: at least 85 % of 100 unseen shapes lie inside the 90 % interval."""
    rng = np.random.default_rng(3)
    noisy = [(gemm(*s), law(gemm(*s)) * math.exp(rng.normal(0, 0.1))) for s in SHAPES]
    keys = [gemm(*(int(v) for v in rng.integers(32, 256, 3))) for _ in range(100)]
    answers = Interpolated(noisy, CPU, 2).estimate(keys, CPU)
    truth = [law(key) * math.exp(rng.normal(0, 0.1)) for key in keys]
    inside = [a.low <= t <= a.high for a, t in zip(answers, truth, strict=True)]
    assert np.mean(inside) >= 0.85
    assert np.median([a.high / a.low for a in answers]) < 2.0


def test_interpolation_needs_enough_shapes_and_the_same_device():
    rows = [(gemm(*s), law(gemm(*s))) for s in SHAPES[:4]]
    assert Interpolated(rows, CPU, 2).estimate([gemm(9, 9, 9)], CPU) == [None]
    many = [(gemm(*s), law(gemm(*s))) for s in SHAPES]
    assert Interpolated(many, CPU, 2).estimate([gemm(9, 9, 9)], find_device("v100")) == [None]


def small_net():
    g = Builder("small")
    x = g.input("x", (1, 64))
    return g.build(g.relu(g.linear(g.relu(g.linear(x, 128)), 128)))


def test_prediction_is_the_sum_over_nodes_and_one_call():
    graph = small_net()
    keys = keys_of(graph)
    times = {key: (i + 1) * 1e-3 for i, key in enumerate(dict.fromkeys(keys.values()))}
    with Database.in_memory() as db:
        db.add([row(key, [t]) for key, t in times.items()])
        db.add([row(CALL_KEY, [5e-6]), row(DISPATCH_KEY, [1e-6])])
        estimator, call = usual_chain([db], CPU, Rows("replay"))
        found = predict(graph, CPU, estimator, call)
    assert found.total.seconds == pytest.approx(sum(times[k] for k in keys.values()) + 5e-6)
    assert found.complete
    assert found.coverage.node_coverage == found.coverage.type_coverage == 1.0
    assert found.coverage.time_share("measured") == 1.0


@pytest.mark.parametrize(
    ("nodes", "added_s"),
    [
        (16, 16 * 0.25 * 1e-7),
        (64, 64e-7),
        (181, 181 * 2e-7),
        (512, 512 * 3e-7),
        (4096, 4096 * 3e-7),
    ],
)
def test_nodes_of_a_network_cost_what_was_measured_in_networks_of_their_number(nodes, added_s):
    """64 nodes cost 0.1 us each, 512 nodes 0.3 us; 181 lie half-way in the logarithm."""
    rows = Rows("replay")
    with Database.in_memory() as db:
        db.add([row(CALL_KEY, [5e-6]), row(DISPATCH_KEY, [1e-6])])
        _, call = usual_chain([db], CPU, rows)
        assert call_within_network(call, [db], CPU, rows, nodes) == call
        db.add([row(SMALL_NETWORK_KEY, [1e-7]), row(LARGE_NETWORK_KEY, [3e-7])])
        found = call_within_network(call, [db], CPU, rows, nodes)
    assert found.seconds - 5e-6 == pytest.approx(added_s, rel=2e-3)
    assert found.low < found.seconds < found.high


def test_what_nobody_knows_is_reported_and_never_zero():
    from lydite.graph.graph import Graph, Op

    t = TensorType("float32", (4,))
    ops = (Op("a", "Relu", ("x",), ("y",)), Op("b", "Mystery", ("y",), ("z",), {}, "nobody.knows"))
    graph = Graph("odd", ops, {"x": t, "y": t, "z": t}, ("x",), ("z",), opsets={"": 13})
    with Database.in_memory() as db:
        estimator, call = usual_chain([db], CPU, Rows("replay"))
        found = predict(graph, CPU, estimator, call)
    assert not found.complete
    assert found.nodes[1].estimate is None
    assert found.coverage.uncovered == {"nobody.knows:Mystery": 1}


def test_coverage_follows_aisims_definitions():
    """AISim's manual: alexnet has 96 nodes, 90 of them known, and 21 types, 17 without a miss."""
    from lydite.estimate import Estimate, PredictedNode, coverage

    known = Estimate(1e-3, 1e-3, 1e-3, "measured")
    missed = {"Conv2D": 2, "Mul": 1, "Conv2DBackpropInput": 1, "Conv2DBackpropFilter": 2}
    nodes = [PredictedNode(f"{t}{i}", t, None, None) for t, n in missed.items() for i in range(n)]
    nodes += [PredictedNode(f"n{i}", f"type{i % 17}", None, known) for i in range(90)]
    found = coverage(nodes)
    assert round(100 * found.node_coverage, 1) == 93.8
    assert round(100 * found.type_coverage, 1) == 81.0
    assert found.uncovered == missed
