"""Files that would crash native code, open other files or never end."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lydite.errors import GraphError, InputError
from lydite.graph.guard import MOST_INLINED
from lydite.graph.onnx_reader import graph_from_model
from lydite.graph.upgrade import upgraded


def value(name, shape=(4,)):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def model(nodes, *, functions=(), opset=17, domains=()):
    graph = helper.make_graph(nodes, "net", [value("x")], [value("y")])
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions))


def test_data_of_an_attribute_in_another_file_are_refused():
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    nodes = [
        helper.make_node("Constant", [], ["w"], name="k", value=tensor),
        helper.make_node("Add", ["x", "w"], ["y"]),
    ]
    with pytest.raises(InputError, match="model: k: a tensor in an attribute has its data in"):
        graph_from_model(model(nodes))


def doubling(levels: int):
    """Functions each of which calls the one before twice."""
    functions = []
    for level in range(levels):
        called = ("Relu", "") if not level else (f"f{level - 1}", "own")
        nodes = [
            helper.make_node(called[0], ["a"], ["b"], domain=called[1]),
            helper.make_node(called[0], ["b"], ["c"], domain=called[1]),
        ]
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        functions.append(helper.make_function("own", f"f{level}", ["a"], ["c"], nodes, opsets))
    return functions


def test_functions_that_multiply_are_refused():
    nodes = [helper.make_node("f39", ["x"], ["y"], domain="own")]
    with pytest.raises(InputError, match=f"stand for {2**40} operators; allowed: {MOST_INLINED}"):
        graph_from_model(model(nodes, functions=doubling(40), domains=("own",)))
    nodes = [helper.make_node("f3", ["x"], ["y"], domain="own")]
    graph = graph_from_model(model(nodes, functions=doubling(4), domains=("own",)))
    assert len(graph.ops) == 1


def test_functions_that_nest_too_deeply_are_refused():
    nodes = [helper.make_node("f2999", ["x"], ["y"], domain="own")]
    with pytest.raises(InputError, match="call each other too deeply"):
        graph_from_model(model(nodes, functions=doubling(3000), domains=("own",)))


@pytest.mark.parametrize("version", [0, -1, 2**62])
def test_impossible_opsets(version):
    broken = model([helper.make_node("Relu", ["x"], ["y"])])
    broken.opset_import[0].version = version
    with pytest.raises(InputError, match=r"opset .* is impossible"):
        graph_from_model(broken)


def test_a_crash_of_onnx_s_converter_is_an_error():
    """An axis list that is no list: the converter reads what is not there."""
    node = helper.make_node("Unsqueeze", ["x"], ["y"])
    node.attribute.append(helper.make_attribute("axes", 1.5))
    broken = helper.make_graph([node], "net", [value("x")], [value("y", (1, 4))])
    made = helper.make_model(broken, opset_imports=[helper.make_opsetid("", 9)])
    graph = graph_from_model(onnx.ModelProto.FromString(made.SerializeToString()))
    with pytest.raises(GraphError, match="has opset 9 and cannot be converted to 13"):
        upgraded(graph)
