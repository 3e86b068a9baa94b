"""AISim's PyTorch graphs: a data-parallel training step written by hand, and what is refused."""

import contextlib
import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lydite.compat.aisim.graph_reader import graph_of_aisim, read_aisim_graph
from lydite.errors import InputError, LyditeError
from lydite.graph import total_work, work_of


def node(name, op, sources, targets, inputs, outputs, **rest):
    return {
        "name": name,
        "op": op,
        "input_nodes": sources,
        "output_nodes": targets,
        "input_types": ["torch.float32"] * len(inputs),
        "input_shapes": inputs,
        "output_types": ["torch.float32"] * len(outputs),
        "output_shapes": outputs,
        **rest,
    }


def weights(shape, bias=None):
    found = {"weight_type": "torch.float32", "weight_shape": shape}
    return found | ({"bias_type": "torch.float32", "bias_shape": bias} if bias else {})


X, Y, P = [2, 3, 16, 16], [2, 8, 16, 16], [2, 8, 8, 8]
STEP = [
    node("optimizer_zero", "optimizer_zero", [], ["x"], [[8, 3, 3, 3]], []),
    node("x", "x", ["optimizer_zero"], ["conv1"], [], [X]),
    node(
        "conv1",
        "torch.nn.modules.conv.Conv2d",
        ["x"],
        ["bn1"],
        [X],
        [Y],
        **weights([8, 3, 3, 3]),
        attrs={"stride": [1, 1], "padding": [1, 1], "dilation": [1, 1], "groups": 1},
    ),
    node(
        "bn1",
        "torch.nn.modules.batchnorm.BatchNorm2d",
        ["conv1"],
        ["relu"],
        [Y],
        [Y],
        **weights([8], [8]),
        attrs={"eps": 1e-5, "momentum": 0.1},
    ),
    node(
        "relu",
        "torch.nn.modules.activation.ReLU",
        ["bn1"],
        ["maxpool", "add"],
        [Y],
        [Y],
        attrs={"inplace": True},
    ),
    node(
        "maxpool",
        "torch.nn.modules.pooling.MaxPool2d",
        ["relu"],
        ["flatten"],
        [Y],
        [P],
        attrs={"kernel_size": 2, "stride": 2, "padding": 0, "dilation": 1, "ceil_mode": False},
    ),
    node("add", "_operator.add", ["relu", "relu"], ["pow"], [Y, Y], [Y]),
    node("pow", "torch.pow", ["add"], [], [Y], [Y]),
    node("size", "size", ["maxpool"], ["flatten"], [P], []),
    node("flatten", "torch.flatten", ["maxpool", "size"], ["fc"], [P], [[2, 512]]),
    node(
        "fc",
        "torch.nn.modules.linear.Linear",
        ["flatten"],
        ["AddmmBackward00"],
        [[2, 512]],
        [[2, 10]],
        **weights([10, 512], [10]),
        attrs={"in_features": 512},
    ),
    node("h_0_weight", "h.0.weight", ["optimizer_zero"], ["mm"], [], [[10, 4]]),
    node("mm", "torch.matmul", ["fc", "h_0_weight"], [], [[2, 10], [10, 4]], [[2, 4]]),
    node(
        "AddmmBackward00",
        "AddmmBackward0",
        ["fc"],
        ["AccumulateGrad0", "c_back", "AccumulateGrad1"],
        [[2, 10]],
        [[10], [2, 512], [512, 10]],
    ),
    node("AccumulateGrad0", "AccumulateGrad", ["AddmmBackward00"], ["ddp_pre_0"], [[10]], []),
    node("AccumulateGrad1", "AccumulateGrad", ["AddmmBackward00"], ["ddp_pre_0"], [[10, 512]], []),
    node("c_back", "ViewBackward0", ["AddmmBackward00"], ["conv_back"], [[2, 512]], [P]),
    node(
        "conv_back",
        "CudnnConvolutionBackward0",
        ["c_back"],
        ["e", "AccumulateGrad2"],
        [Y],
        [X, [8, 3, 3, 3]],
        attrs={"stride": [1, 1], "groups": 1, "padding_mode": "zeros"},
    ),
    node("AccumulateGrad2", "AccumulateGrad", ["conv_back"], ["ddp_pre_1"], [[8, 3, 3, 3]], []),
    node(
        "ddp_pre_0",
        "ddp_pre",
        ["AccumulateGrad0", "AccumulateGrad1"],
        ["ddp_Allreduce_0"],
        [],
        [],
        attrs={"bucket_size": 5130},
    ),
    node(
        "ddp_Allreduce_0",
        "ddp_Allreduce",
        ["ddp_pre_0"],
        ["ddp_pre_1"],
        [],
        [],
        attrs={"bucket_size": 5130},
    ),
    node(
        "ddp_pre_1",
        "ddp_pre",
        ["AccumulateGrad2", "ddp_Allreduce_0"],
        [],
        [],
        [],
        attrs={"bucket_size": 216},
    ),
    node(
        "optimizer_step",
        "optimizer_step",
        ["ddp_pre_1"],
        [],
        [[8, 3, 3, 3]],
        [],
        attrs={"lr": 0.01, "nesterov": False},
    ),
]


@pytest.fixture
def graph():
    return graph_of_aisim(STEP, "step.json")


def test_modules_are_onnx_operators_with_their_weights(graph):
    ops = {op.name: op for op in graph.ops}
    assert graph.inputs == ("x",)
    assert {n: op.qualified_type for n, op in ops.items() if not op.domain} == {
        "conv1": "Conv",
        "bn1": "BatchNormalization",
        "relu": "Relu",
        "maxpool": "MaxPool",
        "add": "Add",
        "fc": "Gemm",
        "mm": "MatMul",
    }
    assert ops["conv1"].inputs == ("conv1.wait", "conv1.weight")
    assert ops["conv1"].attrs == {
        "kernel_shape": (3, 3),
        "strides": (1, 1),
        "dilations": (1, 1),
        "group": 1,
        "pads": (1, 1, 1, 1),
    }
    assert ops["flatten"].qualified_type == "aten:flatten"
    assert ops["pow"].qualified_type == "aten:pow"
    assert graph.parameter_count == 216 + 16 + 5130 + 40
    assert all(t.is_static for t in graph.tensors.values())


def test_what_nothing_flows_out_of_is_waited_for(graph):
    ops = {op.name: op for op in graph.ops}
    assert ops["conv1.wait"].attrs == {"control": ("optimizer_zero",)}
    assert ops["flatten.wait"].attrs == {"control": ("size",)}
    assert ops["ddp_pre_0"].attrs == {
        "bucket_size": 5130,
        "control": ("AccumulateGrad0", "AccumulateGrad1"),
    }
    assert ops["optimizer_step"].attrs["control"] == ("ddp_pre_1",)
    assert {op.domain for op in graph.ops if op.op_type.startswith("ddp")} == {"aisim"}


def test_outputs_go_to_the_readers_in_order(graph):
    ops = {op.name: op for op in graph.ops}
    assert ops["AccumulateGrad0"].inputs == ("AddmmBackward00",)
    assert ops["c_back"].inputs == ("AddmmBackward00:1",)
    assert ops["AccumulateGrad1"].inputs == ("AddmmBackward00:2",)
    assert ops["AccumulateGrad2"].inputs == ("conv_back:1",)


def test_gradients_take_twice_the_work(graph):
    ops = {op.name: op for op in graph.ops}
    assert work_of(ops["AddmmBackward00"], graph).flops == 2 * (2 * 2 * 512 * 10) + 20
    assert work_of(ops["AccumulateGrad2"], graph).flops == 216
    assert set(total_work(graph).unknown) == {
        "optimizer_zero",
        "optimizer_step",
        "ddp_Allreduce_0",
    }


def test_a_file_is_read(tmp_path, graph):
    path = tmp_path / "step.json"
    path.write_text(json.dumps(STEP))
    assert read_aisim_graph(path).ops == graph.ops
    path.write_text(json.dumps(STEP)[:-9])
    with pytest.raises(InputError, match="is not JSON"):
        read_aisim_graph(path)
    path.write_text("[" * 100_000)
    with pytest.raises(InputError, match="is not JSON"):
        read_aisim_graph(path)


CHANGES = [
    (2, {"input_nodes": ["y"]}, r"node 2 'conv1' \(.*Conv2d\): unknown input node 'y'"),
    (0, {"input_nodes": ["fc"]}, "wait for each other in a cycle"),
    (2, {"name": "x"}, "there is a node 'x' already"),
    (2, {"output_types": ["torch.float33"]}, "node 2: unknown type 'torch.float33'"),
    (2, {"output_types": []}, "has 0 output types and 1 shapes"),
    (2, {"output_shapes": [[2, -8, 16, 16]]}, "is no shape"),
    (
        2,
        {"output_shapes": [[2, 8, 16, 15]]},
        r"node 2 .*states float32\[2,8,16,15\], but its inputs",
    ),
    (2, {"weight_shape": [8, 4, 3, 3]}, "node 2 'conv1'"),
    (2, {"attrs": {"stride": "2"}}, "stride is '2'"),
    (2, {"attrs": {"groups": float("inf")}}, "groups is inf"),
    (2, {"attrs": [1]}, "attrs that are no object"),
    (2, {"input_nodes": "x"}, "'input_nodes' is no list"),
    (2, {"name": 3}, "holds a name that is no printable text"),
    (2, {"input_nodes": [{}]}, "holds a name that is no printable text"),
]


@pytest.mark.parametrize(("index", "change", "message"), CHANGES)
def test_a_node_that_contradicts_itself_is_named(index, change, message):
    nodes = copy.deepcopy(STEP)
    nodes[index] |= change
    with pytest.raises(InputError, match=message):
        graph_of_aisim(nodes, "step.json")


@pytest.mark.parametrize("content", [{}, [], [1], [{"name": "x"}], None, "x"])
def test_other_json_is_refused(content):
    with pytest.raises(InputError, match=r"is no graph of AISim|is no node"):
        graph_of_aisim(content)


ODD = st.sampled_from([None, -1, 0, 1.5, "x", "torch.int64", [], [[]], [[2, 3]], ["x"], {}, True])


@settings(max_examples=150)
@given(st.integers(0, len(STEP) - 1), st.data(), ODD)
def test_a_damaged_node_gives_a_graph_or_one_of_our_errors(index, data, odd):
    nodes = copy.deepcopy(STEP)
    target = nodes[index]
    if data.draw(st.booleans()) and target.get("attrs"):
        target = target["attrs"]
    target[data.draw(st.sampled_from(sorted(target)))] = odd
    with contextlib.suppress(LyditeError):
        graph_of_aisim(nodes)
