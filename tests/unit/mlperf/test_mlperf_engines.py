"""Engines, adapters and data sets: what names them, and what is refused."""

import json

import numpy as np
import onnx
import pytest
from test_mlperf_calibration import small_net

import lydite as ly
from lydite.api.mlperf.options import RunOptions
from lydite.errors import InputError, LyditeError
from lydite.graph import Builder, write_onnx
from lydite.mlperf.accuracy import known
from lydite.mlperf.adapter import ADAPTERS, find_adapter, prepared
from lydite.mlperf.dataset import read, save
from lydite.mlperf.engine import MANIFEST, Loaded, answers, model_digest, read_spec


@pytest.fixture
def net(tmp_path):
    onnx.save(small_net(17), tmp_path / "small.onnx")
    return tmp_path / "small.onnx"


@pytest.fixture
def rows(tmp_path):
    draw = np.random.default_rng(1)
    lines = [
        f"{draw.integers(3)} {' '.join(map(str, draw.standard_normal(128).round(4)))}"
        for _ in range(9)
    ]
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "rows.txt").write_text("\n".join(lines))
    return tmp_path / "raw"


def build(net, **given):
    (engine,) = ly.mlperf_build(str(net), **given).document()["engines"]
    return engine


def test_an_engine_is_built_once_and_answers_as_the_model(net):
    import onnxruntime

    first, again = build(net, batch_size=4), build(net, batch_size=4)
    assert (first["built"], again["built"]) == (True, False)
    assert first["engine"] == again["engine"]
    assert first["batch_sizes"] == [1, 2, 4]
    spec = read_spec(ly.mlperf_build(str(net), batch_size=4).engines[0][2].folder)
    assert spec.optimised
    x = np.random.default_rng(4).standard_normal((7, 2, 8, 8)).astype(np.float32)
    said = answers(spec, {"x": x}, 1)
    wanted = onnxruntime.InferenceSession(net).run(None, {"x": x})[0]
    np.testing.assert_allclose(np.stack(said), wanted, atol=1e-5)
    largest = answers(spec, {"x": x}, 1, "largest")
    assert np.concatenate(largest).tolist() == wanted.argmax(axis=1).tolist()


def test_warming_up_runs_each_batch_size_once(net, monkeypatch):
    spec = read_spec(ly.mlperf_build(str(net), batch_size=4).engines[0][2].folder)
    engine = Loaded(spec, {"x": np.zeros((1, 2, 8, 8), np.float32)}, 1)
    ran = []
    for size, session in engine._prepared.items():
        monkeypatch.setattr(session, "run", lambda size=size: ran.append(size))
        monkeypatch.setattr(session, "outputs", lambda size=size: {"y": np.zeros((size, 2))})
    engine.warm_up()
    assert ran == [1, 2, 4]
    engine.close()


def test_other_weights_make_another_engine(net, tmp_path):
    model = onnx.load(net)
    weight = next(init for init in model.graph.initializer if init.name == "w")
    data = bytearray(weight.raw_data)
    data[3] ^= 1
    weight.raw_data = bytes(data)
    other = tmp_path / "other" / "small.onnx"
    other.parent.mkdir()
    onnx.save(model, other)
    assert build(net)["engine"] != build(other)["engine"]
    assert model_digest(ly.load(net).graph) != model_digest(ly.load(other).graph)


def test_precisions_make_engines_of_their_own(net):
    names = {precision: build(net, precision=precision)["engine"] for precision in ("fp32", "fp16")}
    assert len(set(names.values())) == 2
    with pytest.raises(InputError, match=r"unknown precision 'fp8'.*fp16"):
        build(net, precision="fp8")
    with pytest.raises(InputError, match=r"no such calibration table.*lydite mlperf calibrate"):
        build(net, precision="int8")


def test_fp16_answers_are_close_and_said_as_float32(net):
    result = ly.mlperf_build(str(net), precision="fp16")
    x = np.random.default_rng(4).standard_normal((3, 2, 8, 8)).astype(np.float32)
    half = np.stack(answers(result.engines[0][2], {"x": x}, 1))
    full = np.stack(answers(ly.mlperf_build(str(net)).engines[0][2], {"x": x}, 1))
    assert half.dtype == np.float32
    assert 0 < np.abs(half - full).max() < 0.02


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("processor", "Other CPU 9000", "was built on another processor, Other CPU 9000"),
        ("versions", {"onnxruntime": "0.1"}, "was built for onnxruntime 0.1"),
    ],
)
def test_an_engine_built_elsewhere_is_refused(net, field, value, message):
    folder = ly.mlperf_build(str(net)).engines[0][2].folder
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, field: value}))
    with pytest.raises(InputError, match=f"{message}.*lydite mlperf build"):
        read_spec(folder)


def test_a_missing_engine_is_an_error_where_that_is_asked_for(net):
    with pytest.raises(InputError, match=r"in Offline is not built.*lydite mlperf build"):
        ly.mlperf_build(str(net), built_only=True)
    build(net)
    assert not build(net, built_only=True)["built"]


def save_blobs(folder, count=60, **given):
    x = np.random.default_rng(8).standard_normal((count, 2, 8, 8)).astype(np.float32)
    labels = np.arange(count) % 3
    names = [f"s{i}" for i in range(count)]
    return save(folder, "blobs", {"x": x}, labels, {}, names=names, **given)


def test_a_calibration_is_judged_and_makes_the_int8_engine(net, tmp_path):
    save_blobs(tmp_path / "data")
    (tmp_path / "cal_map.txt").write_text("s3 0\ns5 2\ns7 1\n")
    result = ly.mlperf_calibrate(
        str(net),
        data=tmp_path / "data",
        calibration_list=tmp_path / "cal_map.txt",
        out=tmp_path / "out",
    )
    told = result.to_dict()
    assert told["calibration_samples"] == 3
    assert told["metric"] == "top1"
    assert told["operators"] == ["Conv", "MatMul", "Gemm"]
    assert told["trials"][0]["kept"] == "none"
    assert (tmp_path / "out" / "small.calibration.txt").read_text() == result.table.to_text()
    engine = build(net, precision="int8", data=tmp_path / "data")
    assert engine["calibration"] == result.table.digest
    explicit = build(net, precision="int8", calibration=tmp_path / "out" / "small.calibration.txt")
    assert explicit["engine"] == engine["engine"]


def test_the_table_of_another_model_is_refused(net, tmp_path):
    save_blobs(tmp_path / "data")
    ly.mlperf_calibrate(str(net), data=tmp_path / "data", out=tmp_path / "out")
    table = tmp_path / "out" / "small.calibration.txt"
    text = table.read_text()
    model = next(line for line in text.splitlines() if line.startswith("model"))
    table.write_text(text.replace(model, "model\tother"))
    with pytest.raises(InputError, match=r"table is for the model other; allowed: \w+ \(small\)"):
        build(net, precision="int8", calibration=table)


def test_calibration_needs_data_that_fit(net, tmp_path):
    with pytest.raises(InputError, match="calibration needs a data set"):
        ly.mlperf_calibrate(str(net))
    save(tmp_path / "data", "d", {"x": np.zeros((4, 3, 8, 8), np.float32)}, None, {})
    with pytest.raises(InputError, match=r"input x is float32\[3, 8, 8\].*float32\[2, 8, 8\]"):
        ly.mlperf_calibrate(str(net), data=tmp_path / "data")
    save(tmp_path / "data", "d", {"y": np.zeros((4, 2, 8, 8), np.float32)}, None, {})
    with pytest.raises(InputError, match=r"has the inputs y.*x float32"):
        ly.mlperf_calibrate(str(net), data=tmp_path / "data")
    save_blobs(tmp_path / "data")
    with pytest.raises(InputError, match=r"'--keep'|--keep: nothing is no node"):
        ly.mlperf_calibrate(str(net), data=tmp_path / "data", keep="nothing")


def test_a_data_set_without_a_metric_here_is_refused(net, tmp_path):
    save_blobs(tmp_path / "data", metric="top5")
    with pytest.raises(InputError, match="unknown metric 'top5'"):
        ly.mlperf_calibrate(str(net), data=tmp_path / "data")


def test_an_adapter_prepares_its_data(rows, tmp_path):
    adapter = find_adapter("lydite_blobs:BLOBS")
    data = prepared(adapter, rows, tmp_path / "data")
    assert data.samples == 9
    assert data.inputs["x"].shape == (9, 2, 8, 8)
    assert read(tmp_path / "data").digest == data.digest
    again = prepared(adapter, rows, tmp_path / "again")
    assert again.digest == data.digest


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("benchmark.py:BLOBS", "is a path; an adapter is imported by its module's name"),
        ("./x/benchmark:BLOBS", "is a path"),
        ("lydite_nowhere:BLOBS", "module 'lydite_nowhere' cannot be imported.*PYTHONPATH"),
        ("lydite_blobs:BLOB", "has no 'BLOB'; allowed: BLOBS"),
        ("lydite_blobs:NO_ADAPTER", "is a int; allowed: an instance of"),
        ("nobody", "unknown adapter 'nobody'"),
    ],
)
def test_what_is_no_adapter_is_refused(name, message):
    with pytest.raises(InputError, match=message):
        find_adapter(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("RAISING", "adapter raising: raised KeyError at sample 0: 'pixel'"),
        ("UNEVEN", r"adapter uneven: input x of sample \d is float32"),
        ("EMPTY", "adapter empty: gives no samples"),
        ("HALF", "adapter half: 8 of 9 samples have no label"),
    ],
)
def test_what_an_adapter_does_wrong_is_said(rows, tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        prepared(find_adapter(f"lydite_blobs:{name}"), rows, tmp_path / "data")
    with pytest.raises(InputError, match="holds no prepared data set"):
        read(tmp_path / "data")


def test_an_adapter_of_a_package_is_a_benchmark_by_name(net, rows):
    with ADAPTERS.added("blobs", "lydite_blobs:BLOBS"):
        told = ly.mlperf_explain("blobs", data=rows).to_dict()
    values = {row["setting"]: row["value"] for row in told["settings"]}
    assert not told["official"]
    assert values["total_samples"] == values["samples"] == 9
    engine = build(net, adapter="lydite_blobs:BLOBS", data=rows)
    assert engine["scenario"] == "Offline"


def test_half_a_data_set_does_not_look_whole(tmp_path, monkeypatch):
    from lydite.mlperf import dataset

    save_blobs(tmp_path / "data")

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dataset.np, "save", lambda *given, **more: full(given))
    with pytest.raises(LyditeError, match="No space left"):
        save_blobs(tmp_path / "data")
    with pytest.raises(InputError, match="holds no prepared data set"):
        read(tmp_path / "data")


def test_nothing_is_known_of_an_engine_that_never_ran():
    assert known("e", "d") is None
    assert RunOptions().built_only is False


def test_sizes_that_nobody_says_are_asked_for(tmp_path):
    """As the nets of OCR packages have them: height and width are symbols."""
    g = Builder("open")
    x = g.input("x", ("n", 3, "height", "width"))
    path = str(write_onnx(g.build(g.relu(x)), tmp_path / "open.onnx", weights=True))
    wanted = r"open: its inputs have sizes.*--dim height=SIZE, --dim width=SIZE.*--data"
    for verb in (ly.mlperf_build, ly.mlperf_run):
        with pytest.raises(InputError, match=wanted):
            verb(path, scenario="offline")
    with pytest.raises(InputError, match=r"--dim width=SIZE"):
        ly.mlperf_build(path, scenario="offline", dim=("height=8",))
    built = ly.mlperf_build(path, scenario="offline", dim=("height=8", "width=16"))
    other = ly.mlperf_build(path, scenario="offline", dim=("height=8", "width=32"))
    assert built.document()["engines"][0]["engine"] != other.document()["engines"][0]["engine"]
    data = save(tmp_path / "d", "d", {"x": np.zeros((4, 3, 8, 16), np.float32)}, None, {}).folder
    same = ly.mlperf_build(path, scenario="offline", data=data)
    assert same.document()["engines"][0]["engine"] == built.document()["engines"][0]["engine"]
    given = {"scenario": "offline", "virtual": True, "on": "a100", "dim": ("height=8", "width=16")}
    assert ly.mlperf_run(path, **given).runs[0].queries >= 1
