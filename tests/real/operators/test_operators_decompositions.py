"""What an operator decomposes into computes the same: ONNX Runtime and PyTorch are the judges."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import onnxruntime.capi.onnxruntime_pybind11_state as native
import pytest
from onnx import TensorProto, helper, numpy_helper

from lydite.backends import Settings, find_backend
from lydite.graph import Builder, Initializer, graph_from_model, model_to_proto
from lydite.graph.operators import BY_DECOMPOSITION, ZERO, Known, Missing, facet, operator
from lydite.graph.passes.decompose import decomposed

torch = pytest.importorskip("torch")
pytest.importorskip("lydite.backends.torch")  # registers how PyTorch runs operators
aten_graph = pytest.importorskip("lydite.backends.torch_aten").aten_graph

RANDOM = ("Bernoulli", "RandomNormal")
REDUCTIONS = ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp")
"""Operators with gradient rules of their own, as older opsets have no bodies for them; the bodies
that newer ones have are checked like others."""
UNSUPPORTED = (native.NotImplemented, native.InvalidGraph, native.Fail, native.InvalidArgument)


def by_standard(op) -> bool:
    row = operator(op.qualified_type)
    own = row is not None and row.decomposition is not None
    return not own and follows(op.qualified_type)


def follows(kind) -> bool:
    """Whether facets of an operator follow from its function body, or the body is checked too."""
    facets = (facet(kind, name) for name in ("gradient", "split", "torch"))
    return BY_DECOMPOSITION in facets or kind in REDUCTIONS


def run(model, feeds):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    names = [value.name for value in session.get_inputs()]
    return session.run(None, {name: feeds[name] for name in names})


def function_cases():
    """Models of ONNX's suite with a single operator whose facets follow from its function body."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        cases = load_model_tests(kind="node")
    for case in cases:
        model, data = case.model, case.data_sets
        if model is None:
            folder = Path(case.model_dir)
            model = onnx.load(str(folder / "model.onnx"))
            data = [[stored(folder, "input"), stored(folder, "output")]]
        if len(model.graph.node) != 1 or "expanded" in case.name or not data:
            continue
        kind = model.graph.node[0].op_type
        if follows(kind) and model.opset_import[0].version >= 13 and kind not in RANDOM:
            yield case.name, model, data[0]


def stored(folder, stem):
    paths = sorted(folder.glob(f"test_data_set_0/{stem}_*.pb"))
    return [numpy_helper.to_array(onnx.load_tensor(str(path))) for path in paths]


def test_function_bodies_of_the_standard_compute_the_same():
    compared, kinds = 0, set()
    for name, model, (given, expected) in function_cases():
        try:
            flat = decomposed(graph_from_model(model), by_standard)
            names = [value.name for value in model.graph.input]
            feeds = {n: np.asarray(a) for n, a in zip(names, given, strict=False)}
            found = run(model_to_proto(flat), feeds)
        except UNSUPPORTED:
            continue  # a type that ONNX Runtime has no kernel for
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-4, err_msg=name)
        compared += 1
        kinds.add(model.graph.node[0].op_type)
    assert compared > 90
    assert len(kinds) >= 12


def test_gradients_that_follow_end_in_operators_with_gradients():
    seen = set()
    for _, model, _ in function_cases():
        kind = model.graph.node[0].op_type
        if facet(kind, "gradient") != BY_DECOMPOSITION and kind not in REDUCTIONS:
            continue
        flat = decomposed(graph_from_model(model), by_standard)
        seen.add(kind)
        for op in flat.ops:
            floats = [n for n in op.outputs if n and "float" in flat.type_of(n).dtype]
            found = facet(op.qualified_type, "gradient")
            fine = found == ZERO or not isinstance(found, Known | Missing)
            assert fine or not floats, (kind, op.op_type, found)
    assert len(seen) >= 8


def f32(*shape, low=-1.0, high=1.0):
    return np.random.default_rng(7).uniform(low, high, shape).astype(np.float32)


MS, NHWC = "com.microsoft", "com.ms.internal.nhwc"
U8, ONE = np.uint8, np.float32(0.02)
BYTES = np.arange(8, dtype=U8)
IMAGE = np.arange(64, dtype=U8).reshape(1, 1, 8, 8)
LEFT, RIGHT = np.arange(6, dtype=U8).reshape(2, 3), np.arange(12, dtype=U8).reshape(3, 4)
PAIR = [BYTES, ONE, U8(3), BYTES, ONE, U8(1), ONE, U8(2)]
ALONE = [BYTES, ONE, U8(3), ONE, U8(2)]
FILTERS = np.arange(54, dtype=np.int8).reshape(2, 3, 3, 3)
CONVOLUTION = [
    np.arange(75, dtype=U8).reshape(1, 3, 5, 5),
    ONE,
    U8(1),
    FILTERS,
    np.array([0.02, 0.03], np.float32),
    np.zeros(2, np.int8),
    np.float32(0.5),
    U8(3),
    np.array([5, 9], np.int32),
]
STRIDED = {"activation": "LeakyRelu", "activation_params": [0.3], "strides": [2, 2]}
CONTRIBUTED = [
    (MS, "Gelu", [f32(2, 8)], {}),
    (MS, "BiasGelu", [f32(2, 8), f32(8)], {}),
    (MS, "FastGelu", [f32(2, 8), f32(8)], {}),
    (MS, "FastGelu", [f32(2, 8)], {}),
    (MS, "QuickGelu", [f32(2, 8)], {"alpha": 1.5}),
    (MS, "FusedMatMul", [f32(2, 4, 3), f32(2, 4, 5)], {"transA": 1, "alpha": 0.5}),
    (MS, "FusedMatMul", [f32(2, 3, 4), f32(5, 4)], {"transB": 1}),
    (MS, "FusedMatMul", [f32(3, 2, 4), f32(2, 4, 5)], {"transBatchA": 1}),
    (MS, "TransposeMatMul", [f32(4, 3), f32(4, 5)], {"transA": 1}),
    (MS, "FusedGemm", [f32(3, 4), f32(5, 4), f32(5)], {"transB": 1, "activation": "Relu"}),
    (MS, "FusedConv", [f32(1, 3, 8, 8), f32(4, 3, 3, 3), f32(4)], {"activation": "Relu"}),
    (MS, "FusedConv", [f32(1, 3, 8, 8), f32(4, 3, 3, 3), f32(4)], STRIDED),
    (MS, "SkipLayerNormalization", [f32(2, 3, 8), f32(2, 3, 8), f32(8), f32(8), f32(8)], {}),
    (MS, "SkipSimplifiedLayerNormalization", [f32(2, 3, 8), f32(2, 3, 8), f32(8)], {}),
    (MS, "GatherND", [f32(3, 4), np.array([[0, 1], [2, 3]])], {}),
    (MS, "Trilu", [f32(4, 4)], {"upper": 0}),
    (MS, "QLinearAdd", PAIR, {}),
    (MS, "QLinearMul", PAIR, {}),
    (MS, "QLinearSigmoid", ALONE, {}),
    (MS, "QLinearLeakyRelu", ALONE, {"alpha": 0.2}),
    (MS, "QLinearAveragePool", [IMAGE, *ALONE[1:3], ONE, U8(3)], {"kernel_shape": [2, 2]}),
    (MS, "QLinearGlobalAveragePool", [IMAGE, *ALONE[1:3], ONE, U8(3)], {}),
    (MS, "MatMulIntegerToFloat", [LEFT, RIGHT, ONE, ONE, U8(1), U8(2), f32(4)], {}),
    (MS, "QuantizeLinear", [f32(8), ONE, U8(3)], {}),
    (MS, "DequantizeLinear", [BYTES, ONE, U8(3)], {}),
    ("", "QLinearMatMul", [LEFT, ONE, U8(1), RIGHT, ONE, U8(2), ONE, U8(3)], {}),
    ("", "QLinearConv", CONVOLUTION, {}),
    ("", "SimplifiedLayerNormalization", [f32(2, 8), f32(8)], {"axis": -1, "epsilon": 1e-5}),
]
"""An operator, its inputs and attributes: a row for each form that is written differently."""


@pytest.mark.parametrize(
    ("domain", "op_type", "arrays", "attrs"),
    CONTRIBUTED,
    ids=[f"{row[1]}-{number}" for number, row in enumerate(CONTRIBUTED)],
)
def test_operators_of_onnx_runtime_compute_what_they_decompose_into(domain, op_type, arrays, attrs):
    model = single(domain, op_type, arrays, attrs)
    graph = graph_from_model(model)
    assert graph.type_of("y").is_static, "its output has no type"
    flat = decomposed(graph, lambda op: (op.domain, op.op_type) == (domain, op_type))
    assert (domain, op_type) not in {(op.domain, op.op_type) for op in flat.ops}
    newer = {"": 23, **{name: v for name, v in flat.opsets.items() if name}}
    first = run(model_to_proto(graph), {"x0": arrays[0]})[0].astype(float)
    second = run(model_to_proto(replace(flat, opsets=newer)), {"x0": arrays[0]})[0]
    tolerance = 1 if second.dtype.kind in "iu" else 1e-4
    np.testing.assert_allclose(first, second.astype(float), rtol=1e-3, atol=tolerance)


def single(domain, op_type, arrays, attrs):
    """A model of one operator, its first input fed and all others constants."""
    names = [f"x{i}" for i in range(len(arrays))]
    kind = helper.np_dtype_to_tensor_dtype(np.asarray(arrays[0]).dtype)
    inputs = [helper.make_tensor_value_info("x0", kind, list(np.shape(arrays[0])))]
    weights = [
        numpy_helper.from_array(np.asarray(array), name)
        for name, array in zip(names[1:], arrays[1:], strict=True)
    ]
    node = helper.make_node(op_type, names, ["y"], domain=domain, **attrs)
    output = helper.make_tensor_value_info("y", TensorProto.UNDEFINED, None)
    graph = helper.make_graph([node], "g", inputs, [output], weights)
    imports = [helper.make_opsetid("", 21), helper.make_opsetid(MS, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


X = f32(2, 8)
FORMULAS = [
    ("Affine", [X], {"alpha": 2.0, "beta": 0.5}, 2 * X + 0.5),
    ("ScaledTanh", [X], {"alpha": 2.0, "beta": 0.5}, 2 * np.tanh(0.5 * X)),
    ("ParametricSoftplus", [X], {"alpha": 2.0, "beta": 0.5}, 2 * np.log1p(np.exp(0.5 * X))),
    ("Scale", [X], {"scale": 3.0}, 3 * X),
]


@pytest.mark.parametrize(("op_type", "arrays", "attrs", "expected"), FORMULAS)
def test_old_functions_compute_their_formulas(op_type, arrays, attrs, expected):
    graph = graph_from_model(single("", op_type, arrays, attrs))
    flat = decomposed(graph, lambda op: op.op_type == op_type)
    (found,) = run(model_to_proto(flat), {"x0": arrays[0]})
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.norm = torch.nn.BatchNorm2d(4)
        self.group = torch.nn.GroupNorm(2, 4)
        self.first, self.second = torch.nn.Linear(4, 8), torch.nn.Linear(8, 6)
        self.layer = torch.nn.LayerNorm(6)

    def forward(self, x):
        f = torch.nn.functional
        x = f.silu(self.norm(self.conv(x)))
        x = self.group(f.max_pool2d(x, 2)) + 0.5
        x = f.hardtanh(f.avg_pool2d(x, 2), -0.7, 0.7)
        x = f.adaptive_avg_pool2d(x, 1).flatten(1)
        x = f.leaky_relu(self.first(x), 0.2).clamp(min=-0.5)
        x = torch.cat([self.second(x), torch.rsqrt(x[:, :6].abs() + 1.0)], 0)
        x = self.layer(x).softmax(-1)
        x = torch.stack([x, x * 2 - 1.0], 0).transpose(0, 1).contiguous()
        x = torch.log1p(x.abs()) + torch.exp2(x) - torch.lerp(x, x + 1, 0.3)
        return torch.addcmul(x, x, x, value=0.5).sum(-1, keepdim=True) + x.mean()


def test_aten_operators_compute_what_they_decompose_into():
    torch.manual_seed(0)
    module = Net().eval()
    x = torch.rand(2, 3, 32, 32)
    program = torch.export.export(module, (x,), strict=False)
    graph = aten_graph(program, "net")
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    places = {
        spec.arg.name: tensors[spec.target].detach().numpy()
        for spec in program.graph_signature.input_specs
        if spec.target in tensors
    }
    weights = {
        name: Initializer(init.type, value=places.get(name))
        for name, init in graph.initializers.items()
    }
    graph = replace(graph, initializers=weights, opsets={"": 21, "aten": 1})
    flat = decomposed(graph, lambda op: op.domain == "aten")
    left = {op.qualified_type for op in flat.ops if op.domain == "aten"}
    assert left == set()
    flat = replace(flat, opsets={"": 21})
    (found,) = run(model_to_proto(flat), {graph.inputs[0]: x.numpy()})
    np.testing.assert_allclose(found, module(x).detach().numpy(), rtol=1e-3, atol=1e-4)


def test_pytorch_runs_what_decomposes():
    g = Builder("fused")
    x = g.op("BiasGelu", g.input("x", (2, 8)), g.weight((8,)), domain=MS)
    graph = g.build(g.op("FusedMatMul", x, g.weight((4, 8)), domain=MS, transB=1))
    prepared = find_backend("torch").prepare(graph, Settings())
    prepared.run()
    prepared.close()
