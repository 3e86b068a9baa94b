"""Bodies of If, Loop and Scan run on chips as the operators that they are, once per iteration."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from lydite.api.chip import chip as chip_verb
from lydite.api.session import Session
from lydite.chip import run_chip
from lydite.chip.figures import energy_of
from lydite.errors import GraphError, InputError
from lydite.graph import graph_from_model
from lydite.hardware.chip import SystolicArray, read_chip

WIDTH = 256
FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def value(name, shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def weight(name, *shape):
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def scalar(name, number, dtype: Any = np.int64):
    return numpy_helper.from_array(np.array(number, dtype), name)


def graph(nodes, inputs, outputs, weights=(), functions=(), extra=()):
    made = helper.make_graph(nodes, "net", inputs, outputs, list(weights))
    opsets = [helper.make_opsetid("", 20), *extra]
    model = helper.make_model(made, opset_imports=opsets, functions=list(functions))
    return graph_from_model(model)


def step(x, y, tag=""):
    """Two products and an activation, with a weight of the body and one from around it."""
    return [
        helper.make_node("MatMul", [x, "own"], [f"{tag}a"], name=f"{tag}first"),
        helper.make_node("Relu", [f"{tag}a"], [f"{tag}b"], name=f"{tag}relu"),
        helper.make_node("MatMul", [f"{tag}b", "around"], [y], name=f"{tag}second"),
    ]


def loop(trips, *, body=None, inner=(), condition="go"):
    """A Loop that hands its state through `step`."""
    nodes = body or step("state", "next")
    nodes = [*nodes, helper.make_node("Identity", ["going"], ["again"])]
    ins = [value("i", [], INT), value("going", [], BOOL), value("state", [8, WIDTH])]
    outs = [value("again", [], BOOL), value("next", [8, WIDTH])]
    made = helper.make_graph(nodes, "body", ins, outs, list(inner) or [weight("own", WIDTH, WIDTH)])
    node = helper.make_node("Loop", ["trips", condition, "x"], ["y"], name="loop", body=made)
    weights = [weight("around", WIDTH, WIDTH), scalar("go", True, bool)]
    inputs = [value("x", [8, WIDTH])]
    if trips is None:
        inputs.append(value("trips", [], INT))
    else:
        weights.append(scalar("trips", trips))
    return graph([node], inputs, [value("y", [8, WIDTH])], weights)


def unrolled(times):
    nodes, x, going = [], "x", "go"
    for at in range(times):
        nodes += step(x, f"y{at}", f"{at}/")
        nodes.append(helper.make_node("Identity", [going], [f"go{at}"]))
        x, going = f"y{at}", f"go{at}"
    weights = [weight(name, WIDTH, WIDTH) for name in ("own", "around")]
    weights.append(scalar("go", True, bool))
    return graph(nodes, [value("x", [8, WIDTH])], [value(x, [8, WIDTH])], weights)


def cached():
    """A systolic array behind a cache that holds the body's weights from the first iteration on."""
    chip, smv = read_chip("systolic-128"), read_chip("smv")
    assert smv.cache is not None
    cache = replace(smv.cache, bytes=1 << 20)
    return replace(chip, cache=cache, interface=replace(chip.interface, kind="acp"))


CHIPS = {
    "systolic": lambda: read_chip("systolic-128"),
    "dma": lambda: replace(
        read_chip("systolic-128"),
        interface=replace(read_chip("systolic-128").interface, kind="dma"),
    ),
    "cached": cached,
    "smv": lambda: read_chip("smv"),
    "row stationary": lambda: read_chip("eyeriss"),
}


@pytest.mark.parametrize("times", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("name", CHIPS)
def test_a_loop_takes_as_long_as_its_iterations_in_line(name, times):
    chip = CHIPS[name]()
    folded, written = (run_chip(net, chip) for net in (loop(times), unrolled(times)))
    assert folded.seconds == pytest.approx(written.seconds, rel=1e-9)
    assert folded.macs == written.macs == times * 2 * 8 * WIDTH**2
    assert energy_of(folded).joules == pytest.approx(energy_of(written).joules, rel=1e-9)
    parts, whole = (sum(each.by_part().values()) for each in (folded, written))
    assert parts == pytest.approx(whole, rel=1e-9) == pytest.approx(folded.cycles, rel=1e-6)
    alone = [run_chip(net, chip, soc=False).seconds for net in (loop(times), unrolled(times))]
    assert alone[0] == pytest.approx(alone[1], rel=1e-9)


def test_a_cache_keeps_weights_of_the_body_from_one_iteration_to_the_next():
    plan = run_chip(loop(9), cached()).plan
    hits = {cost.name: cost.hit_bytes for cost in plan.costs}
    loaded = {cost.name: cost.load_bytes for cost in plan.costs}
    assert hits["loop[0] > first"] < loaded["loop[0] > first"]
    assert hits["loop[1] > first"] == pytest.approx(loaded["loop[1] > first"])


def test_many_iterations_cost_no_more_to_simulate():
    few, many = (run_chip(loop(times), read_chip("systolic-128")) for times in (5, 10**6))
    assert len(many.plan.costs) == len(few.plan.costs)
    each = next(cost.runs for cost in many.plan.costs if cost.runs > 1)
    assert each == 10**6 - 2
    assert many.macs == 10**6 * 2 * 8 * WIDTH**2


@pytest.mark.parametrize("name", ["systolic", "smv"])
@pytest.mark.parametrize("trips", [None, 2**63 - 1])
def test_an_unknown_trip_count_is_named_with_the_work_of_an_iteration(name, trips):
    chip = CHIPS[name]()
    found, one = run_chip(loop(trips), chip), run_chip(loop(1), chip)
    (body,) = found.open
    assert (body.name, body.op_type, body.macs) == ("loop", "Loop", 2 * 8 * WIDTH**2)
    assert found.is_least and not one.is_least
    assert found.seconds == pytest.approx(one.seconds, rel=0.01)
    told = chip_verb(Session(), loop(trips), design=chip)
    assert told.headline().count("at least") == 1
    assert "how many iterations" in told.summary() and "1.05 MMAC" in told.summary()
    assert told.document()["open_control_flow"][0]["macs"] == body.macs


def test_a_loop_that_never_runs_costs_nothing():
    assert run_chip(loop(0), read_chip("systolic-128")).macs == 0


def test_loops_in_loops_multiply():
    body = [*step("inner_state", "inner_next"), helper.make_node("Identity", ["ongoing"], ["more"])]
    ins = [value("j", [], INT), value("ongoing", [], BOOL), value("inner_state", [8, WIDTH])]
    outs = [value("more", [], BOOL), value("inner_next", [8, WIDTH])]
    inner = helper.make_graph(body, "inner", ins, outs)
    inputs = ["five", "going", "state"]
    node = helper.make_node("Loop", inputs, ["next"], name="inner", body=inner)
    net = loop(4, body=[node], inner=[weight("own", WIDTH, WIDTH), scalar("five", 5)])
    chip = read_chip("systolic-128")
    found, written = run_chip(net, chip), run_chip(unrolled(20), chip)
    assert found.macs == written.macs == 20 * 2 * 8 * WIDTH**2
    dispatched = 4 * chip.cpu.operator_cycles / chip.cpu.clock_hz  # the outer loop's own Identity
    assert found.seconds == pytest.approx(written.seconds + dispatched, rel=1e-9)


def test_sizes_that_grow_are_followed_from_iteration_to_iteration():
    body = [
        helper.make_node("Concat", ["state", "row"], ["longer"], axis=0),
        helper.make_node("MatMul", ["longer", "own"], ["next"]),
    ]
    inner = [weight("own", WIDTH, WIDTH), weight("row", 1, WIDTH)]
    found = run_chip(loop(5, body=body, inner=inner), read_chip("systolic-128"))
    assert found.macs == sum(8 + at for at in range(1, 6)) * WIDTH**2
    with pytest.raises(GraphError, match="change from iteration to iteration"):
        run_chip(loop(5000, body=body, inner=inner), read_chip("systolic-128"))


def scan(steps):
    nodes = [
        helper.make_node("Add", ["state", "part"], ["sum"], name="add"),
        helper.make_node("MatMul", ["sum", "own"], ["next"], name="product"),
        helper.make_node("Relu", ["next"], ["made"], name="relu"),
    ]
    ins = [value("state", [8, WIDTH]), value("part", [8, WIDTH])]
    outs = [value("next", [8, WIDTH]), value("made", [8, WIDTH])]
    body = helper.make_graph(nodes, "body", ins, outs, [weight("own", WIDTH, WIDTH)])
    node = helper.make_node(
        "Scan", ["x", "parts"], ["last", "all"], name="scan", body=body, num_scan_inputs=1
    )
    after = helper.make_node("MatMul", ["all", "w"], ["y"], name="after")
    inputs = [value("x", [8, WIDTH]), value("parts", [steps, 8, WIDTH])]
    return graph([node, after], inputs, [value("y", [steps, 8, 16])], [weight("w", WIDTH, 16)])


@pytest.mark.parametrize("name", CHIPS)
def test_a_scan_runs_its_body_for_each_slice(name):
    chip = CHIPS[name]()
    runs = {steps: run_chip(scan(steps), chip) for steps in (4, 5, 6)}
    after = {steps: steps * 8 * WIDTH * 16 for steps in runs}
    for steps, run in runs.items():
        assert run.macs == steps * 8 * WIDTH**2 + after[steps]
    body = [
        sum(
            sum(parts.values())
            for cost, parts in zip(run.plan.costs, run.stalls(), strict=True)
            if " > " in cost.name
        )
        for run in runs.values()
    ]
    assert body[2] - body[1] == pytest.approx(body[1] - body[0], rel=1e-9) and body[1] > body[0]


def branches(*, chosen=None, widths=(16, 512)):
    """An If between products of two widths."""
    made: dict[str, Any] = {}
    for name, width in zip(("then_branch", "else_branch"), widths, strict=True):
        nodes = [
            helper.make_node("MatMul", ["x", f"{name}_w"], [f"{name}_a"], name=f"{name}_up"),
            helper.make_node("MatMul", [f"{name}_a", f"{name}_v"], [f"{name}_y"], name="down"),
        ]
        weights = [weight(f"{name}_w", WIDTH, width), weight(f"{name}_v", width, WIDTH)]
        made[name] = helper.make_graph(nodes, name, [], [value(f"{name}_y", [8, WIDTH])], weights)
    node = helper.make_node("If", ["c"], ["y"], name="if", **made)
    inputs = [value("x", [8, WIDTH])]
    if chosen is None:
        inputs.append(value("c", [], BOOL))
    known = [] if chosen is None else [scalar("c", chosen, bool)]
    return graph([node], inputs, [value("y", [8, WIDTH])], known)


@pytest.mark.parametrize("name", ["systolic", "smv", "row stationary"])
@pytest.mark.parametrize(("chosen", "width"), [(None, 512), (True, 16), (False, 512)])
def test_an_if_costs_its_dearer_branch_or_the_one_that_is_known(name, chosen, width):
    found = run_chip(branches(chosen=chosen), CHIPS[name]())
    assert found.macs == 2 * 8 * WIDTH * width
    assert not found.is_least
    turned = run_chip(branches(chosen=chosen, widths=(512, 16)), CHIPS[name]())
    assert turned.macs == 2 * 8 * WIDTH * (512 if chosen is None or chosen else 16)


def test_what_follows_the_taken_branch_is_known():
    """Branches of different sizes: the product behind has those of the one that is taken."""
    made: dict[str, Any] = {
        name: helper.make_graph(
            [helper.make_node("MatMul", ["x", f"{name}_w"], [f"{name}_y"])],
            name,
            [],
            [value(f"{name}_y", [8, width])],
            [weight(f"{name}_w", WIDTH, width)],
        )
        for name, width in (("then_branch", 64), ("else_branch", 512))
    }
    nodes = [
        helper.make_node("If", ["c"], ["z"], name="if", **made),
        helper.make_node("Transpose", ["z"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["z", "t"], ["y"]),
    ]
    inputs = [value("x", [8, WIDTH]), value("c", [], BOOL)]
    net = graph(nodes, inputs, [value("y", [8, 8])])
    assert run_chip(net, read_chip("systolic-128")).macs == 8 * WIDTH * 512 + 8 * 512 * 8


def test_a_branch_that_cannot_be_sized_is_named():
    free = helper.make_graph(
        [
            helper.make_node("NonZero", ["x"], ["places"]),
            helper.make_node("Cast", ["places"], ["as_float"], to=FLOAT),
            helper.make_node("Transpose", ["as_float"], ["rows"]),
            helper.make_node("MatMul", ["rows", "w"], ["free_y"]),
        ],
        "free",
        [],
        [value("free_y", ["n", WIDTH])],
        [weight("w", 2, WIDTH)],
    )
    plain = helper.make_graph(
        [helper.make_node("MatMul", ["x", "v"], ["plain_y"])],
        "plain",
        [],
        [value("plain_y", [8, WIDTH])],
        [weight("v", WIDTH, WIDTH)],
    )
    node = helper.make_node("If", ["c"], ["y"], name="if", then_branch=free, else_branch=plain)
    inputs = [value("x", [8, WIDTH]), value("c", [], BOOL)]
    found = run_chip(graph([node], inputs, [value("y", None)]), read_chip("systolic-128"))
    (body,) = found.open
    assert body.name == "if" and body.macs == found.macs == 8 * WIDTH**2
    assert "another branch is not known" in body.reason


def test_weights_of_bodies_count_against_dram():
    chip = read_chip("systolic-128")
    own_and_around = 2 * WIDTH**2 * 2  # bytes of float16
    for size, fits in ((1.1 * own_and_around, True), (0.9 * own_and_around, False)):
        small = replace(chip, dram=replace(chip.dram, bytes=size))
        if fits:
            assert run_chip(loop(2), small).macs
            continue
        with pytest.raises(InputError, match="GB of weights"):
            run_chip(loop(2), small)


def test_functions_of_a_model_run_as_their_bodies():
    body = helper.make_function(
        "own",
        "Twice",
        ["x", "w"],
        ["y"],
        [
            helper.make_node("MatMul", ["x", "w"], ["z"]),
            helper.make_node("MatMul", ["z", "w"], ["y"]),
        ],
        [helper.make_opsetid("", 20)],
    )
    node = helper.make_node("Twice", ["x", "w"], ["y"], domain="own", name="twice")
    net = graph(
        [node],
        [value("x", [8, WIDTH])],
        [value("y", [8, WIDTH])],
        [weight("w", WIDTH, WIDTH)],
        [body],
        [helper.make_opsetid("own", 1)],
    )
    assert run_chip(net, read_chip("systolic-128")).macs == 2 * 8 * WIDTH**2


def product_or_functions():
    """An If between a product and a chain of functions for the vector unit."""
    product = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["product_y"], name="product")],
        "product",
        [],
        [value("product_y", [8, WIDTH])],
        [weight("w", WIDTH, WIDTH)],
    )
    names = ["x", *(f"f{at}" for at in range(12)), "functions_y"]
    pairs = pairwise(names)
    functions = helper.make_graph(
        [helper.make_node("Tanh", [a], [b], name=f"tanh_{b}") for a, b in pairs],
        "functions",
        [],
        [value("functions_y", [8, WIDTH])],
    )
    branches: dict[str, Any] = {"then_branch": product, "else_branch": functions}
    node = helper.make_node("If", ["c"], ["y"], name="if", **branches)
    inputs = [value("x", [8, WIDTH]), value("c", [], BOOL)]
    return graph([node], inputs, [value("y", [8, WIDTH])])


def test_each_chip_takes_the_branch_that_is_dearer_there():
    wide = read_chip("systolic-128")
    tiny = replace(wide, array=SystolicArray(2, 2, "ws", "none"))
    shared = product_or_functions()
    for chip, macs in ((wide, 0), (tiny, 8 * WIDTH**2), (wide, 0)):
        found, fresh = run_chip(shared, chip), run_chip(product_or_functions(), chip)
        assert found.macs == fresh.macs == macs
        assert found.seconds == fresh.seconds
