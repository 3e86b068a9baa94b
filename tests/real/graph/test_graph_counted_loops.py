"""Iterations of loops that only a condition ends, against those that ONNX Runtime runs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h

from lydite.graph import body_runs, total_work
from lydite.graph.onnx_reader import read_onnx

ort = pytest.importorskip("onnxruntime")


def loop(start, step, limit, compare="Less", *, early=False, swapped=False, stated=None, also=None):
    """A while loop that adds a row of ones in each iteration, as TensorFlow's are exported.

    Args:
        start, step, limit: Of the counter; the limit is read off the shape of an input.
        compare: How counter and limit are compared.
        early: Whether the counter is compared as it was before it was made larger.
        swapped: Whether the limit stands on the left side.
        stated: Trip count; None for none.
        also: Limit of a second condition on the number of the iteration.
    """

    def value(name, kind, *shape):
        return h.make_tensor_value_info(name, kind, list(shape))

    def constant(name, number, kind=np.int32):
        return onnx.numpy_helper.from_array(np.array(number, kind), name)

    sides = ["counted" if not early else "counter", "limit"]
    nodes = [
        h.make_node("Add", ["counter", "step"], ["counted"]),
        h.make_node("Cast", [sides[0]], ["left"], to=T.INT64),
        h.make_node("Cast", [sides[1]], ["right"], to=T.INT64),
        h.make_node(compare, ["right", "left"] if swapped else ["left", "right"], ["goes"]),
        h.make_node("Add", ["sum", "one"], ["summed"]),
        h.make_node("Identity", ["limit"], ["kept"]),
    ]
    condition = "goes"
    if also is not None:
        nodes += [
            h.make_node("Less", ["number", "most"], ["within"]),
            h.make_node("And", ["goes", "within"], ["both"]),
        ]
        condition = "both"
    body = h.make_graph(
        nodes,
        "body",
        [
            value("number", T.INT64),
            value("before", T.BOOL),
            value("counter", T.INT32),
            value("limit", T.INT32),
            value("sum", T.FLOAT, 1, 8),
        ],
        [
            value(condition, T.BOOL),
            value("counted", T.INT32),
            value("kept", T.INT32),
            value("summed", T.FLOAT, 1, 8),
        ],
        [
            constant("step", step),
            constant("one", np.ones((1, 8)), np.float32),
            constant("most", also or 0, np.int64),
        ],
    )
    outer = [
        h.make_node("Shape", ["rows"], ["sizes"]),
        h.make_node("Slice", ["sizes", "zero", "first"], ["length"]),
        h.make_node("Squeeze", ["length"], ["scalar"]),
        h.make_node("Cast", ["scalar"], ["limit0"], to=T.INT32),
        h.make_node(
            "Loop",
            ["trips" if stated else "", "true", "start", "limit0", "sum0"],
            ["last", "same", "answer"],
            body=body,
        ),
    ]
    graph = h.make_graph(
        outer,
        "loop",
        [value("rows", T.FLOAT, limit, 2), value("sum0", T.FLOAT, 1, 8)],
        [value("answer", T.FLOAT, 1, 8)],
        [
            constant("start", start),
            constant("zero", [0], np.int64),
            constant("first", [1], np.int64),
            constant("true", True, bool),
            constant("trips", stated or 0, np.int64),
        ],
    )
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], ir_version=8)


CASES = {
    "as TensorFlow's": {"start": 0, "step": 1, "limit": 7},
    "in steps": {"start": 0, "step": 3, "limit": 10},
    "in steps that fit": {"start": 0, "step": 5, "limit": 10},
    "from elsewhere": {"start": -4, "step": 2, "limit": 9},
    "to the limit": {"start": 0, "step": 1, "limit": 7, "compare": "LessOrEqual"},
    "before it grows": {"start": 0, "step": 2, "limit": 7, "early": True},
    "the other way round": {
        "start": 1,
        "step": 2,
        "limit": 8,
        "compare": "Greater",
        "swapped": True,
    },
    "to the limit, round": {
        "start": 1,
        "step": 2,
        "limit": 9,
        "compare": "GreaterOrEqual",
        "swapped": True,
    },
    "at once over": {"start": 9, "step": 1, "limit": 3},
    "a trip count is less": {"start": 0, "step": 1, "limit": 9, "stated": 4},
    "a trip count without end": {"start": 0, "step": 1, "limit": 9, "stated": 2**31 - 1},
    "two conditions": {"start": 0, "step": 1, "limit": 9, "also": 4},
    "two conditions, the other": {"start": 0, "step": 1, "limit": 5, "also": 40},
}


@pytest.mark.parametrize("case", CASES)
def test_a_condition_that_counts_says_how_often_a_loop_runs(case, tmp_path):
    model = loop(**CASES[case])
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {
        "rows": np.zeros((CASES[case]["limit"], 2), np.float32),
        "sum0": np.zeros((1, 8), np.float32),
    }
    (answer,) = session.run(None, feeds)
    onnx.save(model, tmp_path / "loop.onnx")
    graph = read_onnx(tmp_path / "loop.onnx")
    op = next(op for op in graph.ops if op.op_type == "Loop")
    runs = body_runs(op, graph)
    assert runs is not None
    assert runs.times == answer[0, 0]
    assert total_work(graph).total.flops >= 8 * answer[0, 0]


@pytest.mark.parametrize(
    "changes",
    [
        {"compare": "Equal"},
        {"step": 0},
        {"step": -1},
    ],
)
def test_other_conditions_are_not_counted(changes, tmp_path):
    onnx.save(loop(**({"start": 0, "step": 1, "limit": 7} | changes)), tmp_path / "loop.onnx")
    graph = read_onnx(tmp_path / "loop.onnx")
    op = next(op for op in graph.ops if op.op_type == "Loop")
    runs = body_runs(op, graph)
    assert runs is not None
    assert runs.times is None
    assert op.name in total_work(graph).unknown
