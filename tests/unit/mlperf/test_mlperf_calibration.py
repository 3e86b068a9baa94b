"""The calibration table, ONNX Runtime's quantiser, and the search for nodes to keep in fp32."""

import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

import lydite as ly
from lydite.backends import Settings, find_backend
from lydite.errors import InputError
from lydite.mlperf.calibration import METHODS, Table, indices_listed, parse_table, read_table
from lydite.mlperf.keeping import search
from lydite.mlperf.quantiser import Quantiser

TABLE = Table(
    "m1",
    "entropy",
    True,
    ("Conv", "Gemm"),
    ("node 1",),
    "d1",
    7,
    "onnxruntime 1",
    {"b": (0.0, 0.1), "a\tx": (-1.5, 3e-7)},
)


def test_a_table_is_sorted_text_that_reads_back():
    text = TABLE.to_text()
    again = parse_table(text, "t")
    assert again.to_text() == text
    assert (again.keep, again.operators, again.per_channel) == (("node 1",), ("Conv", "Gemm"), True)
    assert again.digest == TABLE.digest
    assert text.splitlines()[-2:] == ["range\t-1.5\t3e-07\ta\tx", "range\t0.0\t0.1\tb"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("# Lydite", "# other"), "is no calibration table"),
        (("method\tentropy\n", ""), "lacks 'method'"),
        (("method\t", "methd\t"), r"t:3: unknown line 'methd'"),
        (("range\t0.0\t0.1", "range\t1.0\t0.1"), r"t:\d+: the range 1 to 0.1 is impossible"),
        (("range\t0.0\t0.1", "range\tnan\t0.1"), r"is impossible"),
        (("range\t0.0\t0.1", "range\tx\t0.1"), r"is no range.*LOW, HIGH and NAME"),
        (("samples\t7", "samples\tmany"), "lacks"),
    ],
)
def test_a_table_that_was_damaged_names_the_line(change, message):
    text = TABLE.to_text()
    assert change[0] in text
    with pytest.raises(InputError, match=message):
        parse_table(text.replace(*change), "t")


def test_no_table_says_what_makes_one(tmp_path):
    with pytest.raises(InputError, match=r"no such calibration table.*lydite mlperf calibrate"):
        read_table(tmp_path / "none")


def test_a_list_that_names_absent_samples_is_refused_with_their_names(tmp_path):
    path = tmp_path / "cal_map.txt"
    path.write_text("b.jpg 3\n\na.jpg 1\nb.jpg 3\n")
    assert indices_listed(path, ("a.jpg", "b.jpg")) == [1, 0]
    path.write_text("b.jpg 3\nc.jpg\nd.jpg\n")
    with pytest.raises(InputError, match=r"names 2 of 3 samples .* not hold: c.jpg, d.jpg"):
        indices_listed(path, ("a.jpg", "b.jpg"))
    path.write_text("\n")
    with pytest.raises(InputError, match="is empty"):
        indices_listed(path, ("a.jpg",))
    with pytest.raises(InputError, match="have no names"):
        indices_listed(path, ())


def small_net(opset):
    draw = np.random.default_rng(2)
    arrays = {
        "w": draw.standard_normal((4, 2, 3, 3)),
        "b": draw.standard_normal(4),
        "v": draw.standard_normal((3, 4 * 36)) * 0.1,
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv"),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Flatten", ["r"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "v"], ["y"], "gemm", transB=1),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "small",
        [value("x", TensorProto.FLOAT, ["n", 2, 8, 8])],
        [value("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


class _Reader(CalibrationDataReader):
    def __init__(self, batches):
        self._left = iter(batches)

    def get_next(self):
        return next(self._left, None)


def samples(count):
    draw = np.random.default_rng(3)
    return [{"x": draw.standard_normal((1, 2, 8, 8)).astype(np.float32)} for _ in range(count)]


@pytest.fixture(params=[11, 17])
def model_file(request, tmp_path):
    onnx.save(small_net(request.param), tmp_path / "small.onnx")
    return tmp_path / "small.onnx"


@pytest.mark.parametrize("method", METHODS)
def test_the_int8_model_is_that_of_onnxruntimes_own_quantize_static(model_file, tmp_path, method):
    from onnxruntime.quantization import CalibrationMethod

    quantiser = Quantiser(ly.load(model_file, batch=1, dtype="float32").graph)
    operators = ("Conv", "MatMul", "Gemm")
    ranges = quantiser.ranges(iter(samples(16)), method, operators)
    table = Table("m", method, True, operators, (), "d", 16, "t", ranges)
    again = parse_table(table.to_text(), "t")  # through its text
    prepared = find_backend("onnxruntime").prepare(quantiser.quantised(again), Settings())
    # The same by the official entry point, from the file at opset 17.
    onnx.save(small_net(17), tmp_path / "17.onnx")
    names = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
    quantize_static(
        tmp_path / "17.onnx",
        tmp_path / "int8.onnx",
        _Reader(samples(16)),
        per_channel=True,
        op_types_to_quantize=list(operators),
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=getattr(CalibrationMethod, names[method]),
    )
    official = onnxruntime.InferenceSession(tmp_path / "int8.onnx")
    exact = onnxruntime.InferenceSession(tmp_path / "17.onnx")
    spread = 0.0
    for feed in samples(26)[16:]:
        prepared.bind(feed)
        prepared.run()
        (mine,) = prepared.outputs().values()
        np.testing.assert_allclose(mine, official.run(None, feed)[0], atol=1e-5)
        spread = max(spread, float(np.abs(mine - exact.run(None, feed)[0]).max()))
    assert 1e-4 < spread < 1.0  # it is quantised indeed, and not nonsense


def test_nodes_are_kept_and_chosen_by_name(model_file):
    quantiser = Quantiser(ly.load(model_file, batch=1, dtype="float32").graph)
    assert set(quantiser.nodes.values()) >= {"Conv", "Gemm"}
    ranges = quantiser.ranges(iter(samples(4)), "minmax", ("Conv", "Gemm"))
    table = Table("m", "minmax", True, ("Conv", "Gemm"), (), "d", 4, "t", ranges)

    def weights_in_bytes(keep):
        graph = quantiser.quantised(Table(**{**table.__dict__, "keep": keep}))
        return {
            name
            for name, init in graph.initializers.items()
            if init.type.dtype == "int8" and len(init.type.shape or ()) > 1
        }

    conv, gemm = quantiser.chosen(("Conv",)), quantiser.chosen(("Gemm",))
    assert len(weights_in_bytes(())) == 2
    assert len(weights_in_bytes(tuple(conv))) == len(weights_in_bytes(tuple(gemm))) == 1
    assert weights_in_bytes((*conv, *gemm)) == set()
    with pytest.raises(InputError, match=r"has no LSTM.*Conv"):
        quantiser.chosen(("LSTM",))
    with pytest.raises(InputError, match=r"unknown calibration method 'max'.*minmax"):
        quantiser.ranges(iter(samples(1)), "max", ("Conv",))
    with pytest.raises(InputError, match="no calibration samples"):
        quantiser.ranges(iter(()), "minmax", ("Conv",))


def test_the_search_keeps_the_fewest_nodes_that_pass():
    """Against brute force, where each node costs an accuracy of its own and these add up."""
    draw = np.random.default_rng(7)
    for _ in range(60):
        count = int(draw.integers(2, 9))
        nodes = {f"n{i}": str(draw.choice(["Conv", "Gemm"])) for i in range(count)}
        cost = {name: float(draw.choice([0, 0.001, 0.004, 0.02, 0.1])) for name in nodes}

        def score(kept, cost=cost):
            return 1 - sum(loss for name, loss in cost.items() if name not in kept)

        found = search(nodes, score, cost.__getitem__, 0.99)
        assert found.passed
        assert score(found.keep) >= 0.99
        fewest = min(
            len(kept)
            for size in range(count + 1)
            for kept in itertools.combinations(nodes, size)
            if score(kept) >= 0.99 - 1e-12
        )
        families = [n for n in nodes if nodes[n] in {nodes[k] for k in found.keep}]
        within = [
            len(kept)
            for size in range(len(families) + 1)
            for kept in itertools.combinations(families, size)
            if score(kept) >= 0.99 - 1e-12
        ]
        assert len(found.keep) == min(within)  # the fewest within the guilty families
        assert len(found.keep) >= fewest


def test_a_search_that_nothing_helps_says_so():
    found = search({"a": "Conv", "b": "Gemm"}, lambda kept: 0.5, lambda name: 1.0, 0.99)
    assert not found.passed
    assert found.trials[0].what == "none"
    assert not found.trials[0].passed


def test_a_bias_that_is_a_row_is_quantised_by_channel(tmp_path):
    """ONNX Runtime's quantiser raises "truth value of an array" for it."""
    model = small_net(17)
    bias = np.random.default_rng(5).standard_normal((1, 3)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(bias, "row"))
    model.graph.node[-1].input.append("row")
    onnx.save(model, tmp_path / "row.onnx")
    quantiser = Quantiser(ly.load(tmp_path / "row.onnx", batch=1, dtype="float32").graph)
    ranges = quantiser.ranges(iter(samples(4)), "minmax", ("Conv", "Gemm"))
    table = Table("m", "minmax", True, ("Conv", "Gemm"), (), "d", 4, "t", ranges)
    prepared = find_backend("onnxruntime").prepare(quantiser.quantised(table), Settings())
    exact = onnxruntime.InferenceSession(tmp_path / "row.onnx")
    for feed in samples(4):
        prepared.bind(feed)
        prepared.run()
        (mine,) = prepared.outputs().values()
        np.testing.assert_allclose(mine, exact.run(None, feed)[0], atol=0.3)
