"""Accuracy runs under LoadGen: verdict, reference, and what a performance run says of it."""

import json
import re

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import lydite as ly
from lydite.errors import InputError
from lydite.mlperf.dataset import checksum, save

pytest.importorskip("mlperf_loadgen", reason="LoadGen has no wheel here")


def net(path, outlier=1.0):
    """A matrix product of 16 features into 4 classes.

    Some weights of the hidden layer are large and cancel, so that bytes cannot hold both them and
    the small ones: a network that quantisation ruins.
    """
    draw = np.random.default_rng(0)
    hidden = draw.standard_normal((16, 32)).astype(np.float32)
    last = draw.standard_normal((32, 4)).astype(np.float32)
    hidden[:, 0] = hidden[:, 1] = draw.standard_normal(16) * outlier
    last[0] = draw.standard_normal(4)
    last[1] = -last[0]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"], "hidden"),
            helper.make_node("MatMul", ["h", "v"], ["y"], "last"),
        ],
        "net",
        [value("x", TensorProto.FLOAT, ["n", 16])],
        [value("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(hidden, "w"), numpy_helper.from_array(last, "v")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.fixture
def labelled(tmp_path):
    """A net and 400 samples, of which it gets 380 right."""
    model = net(tmp_path / "net.onnx")
    x = np.random.default_rng(1).standard_normal((400, 16)).astype(np.float32)
    labels = onnxruntime.InferenceSession(model).run(None, {"x": x})[0].argmax(axis=1)
    labels[:20] = (labels[:20] + 1) % 4
    save(tmp_path / "data", "d", {"x": x}, labels.astype(np.int64), {})
    return model, tmp_path / "data"


def run_of(model, **given):
    (run,) = ly.mlperf_run(str(model), **given).to_dict()["runs"]
    return run


@pytest.mark.parametrize("scenario", ["Offline", "SingleStream", "MultiStream"])
def test_the_accuracy_of_the_whole_set_is_judged(labelled, tmp_path, scenario):
    model, data = labelled
    given = {"scenario": scenario, "out": tmp_path / "out", "data": data, "batch_size": 3}
    run = run_of(model, mode="accuracy", **given)
    assert run["verdict"] == "VALID"
    assert run["quality"]["value"] == pytest.approx(0.95)
    assert run["quality"]["samples"] == 400
    assert run["quality"]["passed_999"]
    folder = tmp_path / "out" / "net" / scenario / "accuracy"
    text = (folder / "accuracy.txt").read_text()
    assert re.match(r"accuracy=95.000%, good=380, total=400\n", text)
    assert text.splitlines()[-1] == f"hash={checksum(folder / 'mlperf_log_accuracy.json')}"


def test_a_performance_run_says_what_is_known_of_its_engine(labelled, tmp_path):
    model, data = labelled
    given = {"data": data, "out": tmp_path / "out", "batch_size": 2, "min_duration": 0.2}
    before = run_of(model, **given)
    assert before["accuracy"].startswith("none: not measured with this engine")
    assert before["quality"] is None
    run_of(model, mode="accuracy", **given)
    after = run_of(model, **given)
    assert after["accuracy"].startswith("top1 95.000% of 400 samples")
    record = json.loads((tmp_path / "out/net/Offline/performance/run_1/verdict.json").read_text())
    assert record["quality"]["engine"] == after["engine"]
    other = run_of(model, **{**given, "batch_size": 4})  # another engine
    assert other["accuracy"].startswith("none")
    drawn = run_of(model, **{**given, "data": None})  # other data
    assert drawn["accuracy"].startswith("none")


def test_the_gate_fails_an_int8_engine_that_deserves_it(tmp_path):
    model = net(tmp_path / "net.onnx", outlier=300.0)
    x = np.random.default_rng(1).standard_normal((400, 16)).astype(np.float32)
    labels = onnxruntime.InferenceSession(model).run(None, {"x": x})[0].argmax(axis=1)
    save(tmp_path / "data", "d", {"x": x}, labels.astype(np.int64), {})
    given = {"data": tmp_path / "data", "out": tmp_path / "out"}
    found = ly.mlperf_calibrate(str(model), **given, search=False).to_dict()
    assert not found["passed"]
    run = run_of(model, mode="accuracy", precision="int8", **given)
    assert run["verdict"] == "INVALID"
    assert run["quality"]["value"] == pytest.approx(found["int8_score"], abs=0.02)
    assert run["quality"]["reference"] == pytest.approx(1.0)
    assert "lydite mlperf calibrate" in run["next_steps"][0]
    searched = ly.mlperf_calibrate(str(model), **given).to_dict()
    assert searched["kept_passed"]
    assert 1 <= len(searched["keep_fp32"]) <= 2
    again = run_of(model, mode="accuracy", precision="int8", **given)
    assert again["verdict"] == "VALID"
    assert again["engine"] != run["engine"]


def test_without_labels_it_is_fidelity(labelled, tmp_path):
    model, _ = labelled
    x = np.random.default_rng(3).standard_normal((50, 16)).astype(np.float32)
    save(tmp_path / "bare", "b", {"x": x}, None, {})
    given = {"data": tmp_path / "bare", "out": tmp_path / "out"}
    run = run_of(model, mode="accuracy", precision="fp16", **given)
    assert run["quality"]["kind"] == "fidelity"
    assert run["quality"]["passed"] is None
    assert run["quality"]["others"]["least_cosine"] > 0.999
    assert run["accuracy"].startswith("none: no labels; fidelity to the fp32 engine")
    text = (tmp_path / "out/net/Offline/accuracy/accuracy.txt").read_text()
    assert text.startswith("fidelity=")


def test_an_adapter_scores_its_own_samples(tmp_path, monkeypatch):
    import lydite_blobs

    draw = np.random.default_rng(1)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["f"]),
            helper.make_node("MatMul", ["f", "w"], ["y"]),
        ],
        "flat",
        [value("x", TensorProto.FLOAT, ["n", 2, 8, 8])],
        [value("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(draw.standard_normal((128, 3)).astype(np.float32), "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    model = tmp_path / "flat.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), model)
    x = draw.standard_normal((40, 128)).round(3)
    feed = {"x": x.reshape(-1, 2, 8, 8).astype(np.float32)}
    labels = onnxruntime.InferenceSession(model).run(None, feed)[0].argmax(axis=1)
    labels[0] = (labels[0] + 1) % 3
    (tmp_path / "raw").mkdir()
    rows = [f"{label} {' '.join(map(str, row))}" for label, row in zip(labels, x, strict=True)]
    (tmp_path / "raw" / "rows.txt").write_text("\n".join(rows))
    given = {"data": tmp_path / "raw", "out": tmp_path / "out", "mode": "accuracy"}
    run = run_of(model, adapter="lydite_blobs:BLOBS", **given)
    assert run["verdict"] == "VALID"
    assert run["quality"]["value"] == pytest.approx(39 / 40)
    assert run["quality"]["metric"] == "score"
    run = run_of(model, adapter="lydite_blobs:STRICT", **given)
    assert (run["verdict"], run["quality"]["floor"]) == ("INVALID", lydite_blobs.STRICT.target)
    run = run_of(model, adapter="lydite_blobs:USUAL", **given)
    assert run["quality"]["metric"] == "top1"


def test_a_short_set_and_a_damaged_one_are_refused_before_anything_runs(labelled, tmp_path):
    model, data = labelled
    with pytest.raises(InputError, match=r"has 400 samples, and resnet has 50,000"):
        ly.mlperf_run("resnet50", mode="accuracy", data=data)
    with pytest.raises(InputError, match=r"accuracy of resnet needs its data set.*50,000"):
        ly.mlperf_run("resnet50", mode="accuracy")
    with pytest.raises(InputError, match=r"has 400 samples.*--samples"):
        ly.mlperf_run(str(model), data=data, samples=500)
    raw = bytearray((data / "x.npy").read_bytes())
    raw[-2] ^= 1
    (data / "x.npy").write_bytes(raw)
    with pytest.raises(InputError, match="differs from its checksum"):
        ly.mlperf_run(str(model), data=data, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
