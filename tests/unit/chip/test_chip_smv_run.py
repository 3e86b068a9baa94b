"""SMV on numbers: tiled operators and whole graphs against ONNX Runtime and plain numpy."""

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lydite.chip.smv import (
    KERNELS,
    SMV,
    Activation,
    SmvOp,
    lower,
    schedule,
    schedule_graph,
    smv_constraints,
)
from lydite.chip.smv.activations import activated
from lydite.chip.smv.functional import execute
from lydite.chip.smv.numeric import run_graph
from lydite.chip.tiling import batch_norm, convolution, flat, inner_product, pooling, rows
from lydite.errors import GraphError, InputError
from lydite.graph.builder import Builder
from lydite.graph.graph import Graph
from lydite.graph.onnx_writer import model_to_proto


def runtime(graph: Graph, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The graph in float32 by ONNX Runtime."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        model_to_proto(graph).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [np.asarray(found) for found in session.run(None, feeds)]


def feeds_of(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {name: graph.type_of(name).shape or () for name in graph.inputs}
    return {
        name: rng.standard_normal([int(dim) for dim in shape]).astype(np.float16).astype(np.float32)
        for name, shape in shapes.items()
    }


def check(graph: Graph, scratchpad: int = 32768, accelerators: int = 1) -> None:
    """Within the errors that fp16 makes in operands and results, by the largest number."""
    feeds = feeds_of(graph)
    found = run_graph(graph, feeds, smv_constraints(scratchpad), accelerators)
    for name, wanted in zip(graph.outputs, runtime(graph, feeds), strict=True):
        assert found[name].dtype == np.float16 and found[name].shape == wanted.shape
        error = np.abs(found[name].astype(float) - wanted).max()
        assert error <= 2**-9 * max(1.0, np.abs(wanted).max()), graph.name


def network(height: int, channels: int, kernel: int, stride: int) -> Graph:
    g = Builder("network")
    x = g.input("x", (2, 5, height, height + 3))
    x = g.relu(g.conv(x, channels, kernel, stride=stride, pad=kernel // 2, bias=False))
    x = g.pool("Max", x, 2)
    x = g.op("Elu", g.batch_norm(x), alpha=0.1)
    x = g.op("LeakyRelu", g.conv(x, 40, 3, pad=1), alpha=0.2)
    x = g.pool("Average", x, 2, stride=1)
    x = g.linear(g.flatten(x), 20, bias=False)
    return g.build(g.softmax(g.op("Sigmoid", g.linear(g.relu(x), 12))))


@pytest.mark.parametrize("accelerators", [1, 3])
@pytest.mark.parametrize(
    ("scratchpad", "height", "channels", "kernel", "stride"),
    [
        (32768, 12, 24, 3, 1),
        (8192, 20, 70, 5, 2),
        (6144, 20, 36, 3, 2),
        (6144, 13, 100, 1, 1),
    ],
)
def test_networks_agree_with_onnx_runtime(
    scratchpad, height, channels, kernel, stride, accelerators
):
    check(network(height, channels, kernel, stride), scratchpad, accelerators)


def test_element_wise_operators_agree_with_onnx_runtime():
    g = Builder("lines")
    x, y = g.input("x", (1, 3, 90, 70)), g.input("y", (1, 3, 90, 70))
    total = g.op("Tanh", g.op("Add", x, y))
    scaled = g.op("Selu", g.op("Mul", total, x))
    graph = g.build(g.clip(scaled, -0.5, 0.25), total)
    assert not lower(graph).host
    check(graph)


@pytest.mark.parametrize("op", ["Less", "LessOrEqual", "Greater", "GreaterOrEqual"])
def test_comparisons_agree_with_onnx_runtime(op):
    g = Builder(op)
    graph = g.build(g.op(op, g.input("x", (3, 900)), g.input("y", (3, 900))))
    feeds = {name: np.round(array) for name, array in feeds_of(graph).items()}
    found = run_graph(graph, feeds)[graph.outputs[0]]
    assert found.dtype == bool and (found == runtime(graph, feeds)[0]).all()
    plan = schedule_graph(graph).invocations
    assert plan.input_load_bytes.sum() == 2 * plan.store_bytes.sum()


def test_a_projection_over_a_batch_agrees_with_onnx_runtime():
    g = Builder("projection")
    x = g.input("x", (2, 30, 100))
    graph = g.build(g.linear(g.op("Relu", g.linear(x, 300, bias=False)), 40, bias=False))
    plan = schedule_graph(graph, smv_constraints(8192)).invocations
    assert len(np.unique(plan.output_tile[plan.layer == 0])) > 1
    check(graph, 8192)


# --- operators --------------------------------------------------------------------------------


def windows(image: np.ndarray, kernel, stride, pads) -> np.ndarray:
    """All windows [N, rows, columns, C, kernel rows, kernel columns]."""
    sides = ((0, 0), pads[:2], pads[2:], (0, 0))
    seen = np.lib.stride_tricks.sliding_window_view(np.pad(image, sides), kernel, axis=(1, 2))
    return seen[:, :: stride[0], :: stride[1]]


@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 2), st.integers(6, 40), st.integers(6, 30), st.integers(1, 80)),
    st.integers(1, 70),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.booleans(),
    st.sampled_from([16384, 32768]),
    st.integers(1, 3),
)
def test_convolutions_and_poolings_are_right_under_any_tiling(
    image, channels, kernel, stride, padded, scratchpad, accelerators
):
    pads = (kernel[0] // 2, (kernel[0] - 1) // 2, kernel[1] - 1, 0) if padded else (0, 0, 0, 0)
    constraints, rng = smv_constraints(scratchpad), np.random.default_rng(0)
    problem = convolution(image, channels, kernel, stride, pads)
    # Small whole numbers are exact in fp16 and fp32, so that any mistake shows.
    x, w = rng.integers(-2, 3, problem.input), rng.integers(-1, 2, problem.weights)
    conv = SmvOp("conv", KERNELS[0], problem, (), "y")
    found = execute(conv, [x, w], constraints, accelerators)
    wanted = np.einsum("nhwcij,oijc->nhwo", windows(x, kernel, stride, pads), w, optimize=True)
    assert (found.writes == 1).all() and (found.output == wanted).all()
    pool = SmvOp("pool", KERNELS[2], pooling(image, kernel, stride), (), "y")
    found = execute(pool, [x], constraints)
    wanted = windows(x, kernel, stride, (0, 0, 0, 0)).max(axis=(4, 5))
    assert (found.writes == 1).all() and (found.output == wanted).all()


@settings(max_examples=40)
@given(
    st.integers(1, 40),
    st.integers(1, 3000),
    st.integers(1, 200),
    st.integers(1, 4),
    st.sampled_from([4096, 32768]),
)
def test_inner_products_are_right_under_any_tiling(
    batch, inputs, outputs, accelerators, scratchpad
):
    constraints, rng = smv_constraints(scratchpad), np.random.default_rng(0)
    problem = inner_product((batch, inputs), outputs)
    x, w = rng.integers(-1, 2, problem.input), rng.integers(-1, 2, problem.weights)
    op = SmvOp("fc", KERNELS[1], problem, (), "y", Activation("relu"))
    found = execute(op, [x, w], constraints, accelerators)
    assert (found.writes == 1).all() and (found.output == np.maximum(x @ w.T, 0)).all()


@pytest.mark.parametrize("shape", [(3, 20, 18, 130), (1, 5, 5, 8), (12, 9000), (5, 50)])
def test_batch_norms_are_right_under_any_tiling(shape):
    rng = np.random.default_rng(0)
    problem = batch_norm(shape)
    x, w = rng.integers(-4, 5, shape), rng.integers(-3, 4, problem.weights)
    op = SmvOp("bn", KERNELS[4 if len(shape) == 4 else 5], problem, (), "y")
    found = execute(op, [x, w], accelerators=2)
    assert (found.writes == 1).all() and (found.output == (x - w[0]) * w[1] * w[2] + w[3]).all()


def test_partial_sums_stay_in_fp32():
    # In fp16 4096 + 1 is 4096: rounded tile by tile, none of the ones would count.
    problem = convolution((1, 4, 4, 4096), 8, (1, 1))
    op = SmvOp("conv", KERNELS[0], problem, (), "y")
    assert schedule(op).sends.tolist() == [False, False, False, True]
    x = np.zeros(problem.input)
    x[..., 0] = 4096
    x[..., [1, 1024, 2048, 3072]] = 1
    assert (execute(op, [x, np.ones(problem.weights)]).output == 4100).all()


def test_activations_follow_their_formulas():
    x = np.array([-3.0, -0.5, 0.0, 0.5, 3.0], np.float32)
    wanted = {
        Activation("relu"): [0, 0, 0, 0.5, 3],
        Activation("lrelu", 0.2): [-0.6, -0.1, 0, 0.5, 3],
        Activation("elu", 0.1): [-0.0950213, -0.0393469, 0, 0.5, 3],
        Activation("hard_tanh"): [-1, -0.5, 0, 0.5, 1],
        Activation("sigmoid"): [0.0474259, 0.3775407, 0.5, 0.6224593, 0.9525741],
        Activation("tanh"): [-0.9950548, -0.4621172, 0, 0.4621172, 0.9950548],
        Activation("selu", 1.6733, 1.0507): [-1.670604, -0.691773, 0, 0.52535, 3.1521],
    }
    for activation, values in wanted.items():
        np.testing.assert_allclose(activated(x, activation), values, atol=1e-5)


def test_softmax_counts_the_last_elements():
    x = np.zeros((5, 11))
    found = execute(SmvOp("s", KERNELS[13], rows((5, 11)), (), "y"), [x]).output
    np.testing.assert_allclose(found, 1 / 11, rtol=1e-3)


# --- bad input --------------------------------------------------------------------------------


def test_operands_of_other_shapes_are_refused():
    problem = inner_product((1, 16), 8)
    op = SmvOp("fc", KERNELS[1], problem, (), "y")
    with pytest.raises(InputError, match="operands have the shapes"):
        execute(op, [np.ones((1, 16)), np.ones((16, 8))])
    line = SmvOp("add", KERNELS[6], flat(16), (), "y")
    with pytest.raises(InputError, match="add: operands"):
        execute(line, [np.ones((2, 8)), np.ones((1, 16))])


def test_inputs_without_numbers_and_open_shapes_are_refused():
    g = Builder("open")
    graph = g.build(g.relu(g.input("x", ("batch", 8))))
    with pytest.raises(GraphError, match="fixed sizes"):
        lower(graph)
    with pytest.raises(InputError, match="no array for"):
        run_graph(graph, {}, SMV)
