"""Reuse distances within the body of a loop, whose matrices come round in every iteration."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h

from lydite.graph import all_keys, spans_of
from lydite.graph.onnx_reader import read_onnx

SIDE = 128
MATRIX = 4 * SIDE * SIDE


@pytest.mark.parametrize("carried", [True, False])
def test_matrices_of_a_body_are_apart_by_all_that_an_iteration_reads(carried, tmp_path):
    """Two of 64 KiB: handed on from iteration to iteration, or taken from the graph around."""

    def value(name, kind, *shape):
        return h.make_tensor_value_info(name, kind, list(shape))

    matrices = ["first", "second"]
    own = [f"{name}_in" for name in matrices] if carried else matrices
    nodes = [
        h.make_node("Identity", ["go"], ["goes"]),
        h.make_node("MatMul", ["x_in", own[0]], ["between"]),
        h.make_node("MatMul", ["between", own[1]], ["x_out"]),
    ]
    extra = [value(name, T.FLOAT, SIDE, SIDE) for name in own] if carried else []
    body = h.make_graph(
        nodes,
        "body",
        [value("i", T.INT64), value("go", T.BOOL), value("x_in", T.FLOAT, 1, SIDE), *extra],
        [value("goes", T.BOOL), value("x_out", T.FLOAT, 1, SIDE), *extra],
    )
    outer = ["trips", "true", "x", *(matrices if carried else [])]
    names = ["y", *(f"{name}_last" for name in matrices if carried)]
    scalars = [
        h.make_tensor("trips", T.INT64, [], [5]),
        h.make_tensor("true", T.BOOL, [], [True]),
    ]
    weights = [h.make_tensor(n, T.FLOAT, [SIDE, SIDE], [0.5] * SIDE * SIDE) for n in matrices]
    graph = h.make_graph(
        [h.make_node("Loop", outer, names, body=body)],
        "loop",
        [value("x", T.FLOAT, 1, SIDE)],
        [value("y", T.FLOAT, 1, SIDE)],
        [*scalars, *weights],
    )
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 13)]), tmp_path / "loop.onnx")
    read = read_onnx(tmp_path / "loop.onnx")
    spans = spans_of(read)
    products = [key for key in all_keys(read) if key.op_type == "MatMul"]
    assert products
    for key in products:
        assert 2 * MATRIX <= spans[key] <= 2 * MATRIX + 8 * 4 * SIDE
