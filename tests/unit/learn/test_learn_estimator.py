"""The learned estimator: trees against LightGBM, physics as properties, files that are wrong."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lydite as ly
from lydite.errors import InputError
from lydite.estimate import Rows
from lydite.estimate.assemble import usual_chain
from lydite.estimate.learned.estimator import Learned
from lydite.estimate.learned.families import FAMILIES
from lydite.estimate.learned.model import read_model, shipped
from lydite.estimate.learned.physics import streams
from lydite.estimate.learned.products import tensor_products
from lydite.estimate.learned.sheet import sheet_note, sheet_of
from lydite.estimate.learned.trees import read_trees
from lydite.graph import Builder, key_of
from lydite.hardware import find_device, known_devices
from lydite.opkey import OpKey

GPUS = sorted(
    name
    for name, device in known_devices().items()
    if device.vendor == "NVIDIA" and device.kind == "gpu"
)
SIDES = st.sampled_from([1, 13, 64, 96, 128, 500, 768, 1024, 3072, 4096])


def product(m: int, n: int, k: int, dtype: str = "float32", count: int = 0) -> OpKey:
    g = Builder("net", dtype=dtype)
    if count:
        out = g.op("MatMul", g.input("x", (count, m, k)), g.input("y", (count, k, n)))
    else:
        out = g.op("MatMul", g.input("x", (m, k)), g.weight((k, n), "w"))
    graph = g.build(out)
    return key_of(graph.ops[-1], graph)


def unary(rows: int, width: int, op_type: str = "Relu", dtype: str = "float32") -> OpKey:
    g = Builder("net", dtype=dtype)
    x = g.input("x", (rows, width))
    graph = g.build(g.op(op_type, x, axis=-1) if op_type == "Softmax" else g.op(op_type, x))
    return key_of(graph.ops[-1], graph)


def seconds(key: OpKey, device) -> float:
    (found,) = Learned(shipped()).estimate([key], device)
    assert found is not None
    return found.seconds


def test_trees_are_those_of_lightgbm():
    lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed")
    draw = np.random.default_rng(0)
    x = draw.normal(size=(4000, 3))
    y = np.sin(x[:, 0]) + x[:, 1] * (x[:, 2] > 0)
    parameters = {"num_leaves": 9, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(x, y, feature_name=["a", "b", "c"]), 25)
    trees = read_trees(booster.model_to_string(), "here")
    assert trees.names == ("a", "b", "c")
    np.testing.assert_allclose(trees.values(x), booster.predict(x), rtol=1e-12, atol=1e-12)


def test_the_base_time_by_hand():
    """One full wave of 256 x 128 tiles on an A100, which its power does not hold back."""
    sheet = sheet_of(find_device("a100-80"), "bfloat16")
    assert sheet.sustained == sheet.peak
    one = np.ones(1)
    m, n, k = 256.0 * 12, 128.0 * 9, 1 << 20
    found = tensor_products(one, one * m, one * n, one * k, sheet)
    compute_s = 2 * m * n * k / 312e12
    assert found.bound_s[0] == pytest.approx(compute_s)
    assert found.base_s[0] == pytest.approx(compute_s / 0.935, rel=0.02)
    moved = one * 1e9
    stream = streams(one * 0, moved, one * 1024, one * 1e5, one, sheet)
    assert stream.bound_s[0] == pytest.approx(1e9 / 2039e9)
    assert stream.base_s[0] == pytest.approx(1e9 / 2039e9 / 0.8 + 3e-6)


@pytest.mark.parametrize("name", GPUS)
def test_every_gpu_of_the_catalog_has_what_a_sheet_needs(name):
    sheet = sheet_of(find_device(name), "float32")
    assert 0.1 < sheet.sustained / sheet.peak <= 1


@settings(max_examples=60)
@given(st.sampled_from(GPUS), SIDES, SIDES, SIDES, st.sampled_from([0, 4, 96]))
def test_no_product_beats_the_peak(name, m, n, k, count):
    device = find_device(name)
    for dtype in ("float32", "float16"):
        if dtype not in device.peak_flops:
            continue
        bound_s = 2 * max(count, 1) * m * n * k / device.peak_flops[dtype]
        (found,) = Learned(shipped()).estimate([product(m, n, k, dtype, count)], device)
        assert found is not None
        assert found.low <= found.seconds <= found.high
        assert found.seconds >= bound_s
        assert found.low >= min(bound_s, found.seconds) * (1 - 1e-9)


@settings(max_examples=40)
@given(st.sampled_from(GPUS), st.sampled_from([64, 1000, 50_000, 1_000_000]), SIDES)
def test_no_stream_beyond_the_caches_beats_the_memory(name, rows, width):
    device = find_device(name)
    moved = 8 * rows * width
    if moved > max(cache.size_bytes for cache in device.caches):
        assert seconds(unary(rows, width), device) >= moved / device.memory_bandwidth


def test_boards_without_ecc_have_the_bandwidth_that_its_bits_take():
    """NVIDIA: inline ECC takes 6.25 % of GDDR memory; GeForce boards have it off."""
    without = find_device("rtx-4090")
    with_it = replace(without, title="NVIDIA L40S", memory_bandwidth=without.memory_bandwidth)
    assert sheet_of(with_it, "bfloat16").bandwidth == without.memory_bandwidth
    key = product(1, 16384, 16384, "bfloat16")  # 512 MB of weights: a matter of bandwidth alone
    assert seconds(key, with_it) / seconds(key, without) == pytest.approx(16 / 15, rel=0.01)
    key = product(8192, 8192, 8192, "bfloat16")
    assert seconds(key, with_it) == pytest.approx(seconds(key, without), rel=0.01)


@pytest.mark.parametrize("name", GPUS)
def test_more_work_of_one_kind_takes_longer(name):
    device = find_device(name)
    times = [seconds(product(1024 * f, 1024, 1024), device) for f in (1, 2, 4, 8, 16)]
    assert times == sorted(times)
    times = [seconds(unary(1024 * f, 1024), device) for f in (1, 4, 16, 64, 256)]
    assert times == sorted(times)


def test_what_was_not_learned_is_left_to_others():
    h100 = find_device("h100")
    g = Builder("net")
    conv = g.conv(g.input("x", (1, 8, 32, 32)), 8, 3, pad=1)
    graph = g.build(conv)
    keys = [
        key_of(graph.ops[-1], graph),
        product(64, 64, 64, "float64"),
        unary(0, 8),
    ]
    assert Learned(shipped()).estimate(keys, h100) == [None] * 3
    known = product(512, 512, 512)
    for other in (find_device("mi210"), replace(h100, process_m=None), replace(h100, power_w=None)):
        assert Learned(shipped()).estimate([known], other) == [None]
    with pytest.raises(InputError, match="states no process"):
        sheet_of(replace(h100, process_m=None), "float32")


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        ({"power_w": 700_000.0}, "states a power of 700,000 W; allowed: 5 to 5,000 W"),
        ({"power_w": 0.7}, "states a power of 0.7 W"),
        ({"process_m": 5e-6}, "states a process of 5,000 nm"),
        ({"clock_hz": None, "caches": ()}, "states no clock, no cache"),
    ],
)
def test_figures_that_are_absent_or_in_another_unit_are_told(figure, message):
    h100 = find_device("h100")
    wrong = replace(h100, **figure)
    assert sheet_note(h100) == ""
    assert message in sheet_note(wrong)
    assert Learned(shipped()).estimate([product(64, 64, 64)], wrong) == [None]
    found = ly.predict("resnet18", on="h100", dtype="float32")
    told = replace(found, prediction=replace(found.prediction, device=wrong)).notes
    assert told[-1].startswith("not predicted from other GPUs")


def test_predictions_say_that_they_are_learned_and_from_what():
    chain, _ = usual_chain([], find_device("h100"), Rows("torch", 1, "wall"))
    (found,) = chain.estimate([product(512, 512, 512, "bfloat16")], find_device("h100"))
    (other,) = chain.estimate([product(512, 512, 512)], find_device("h100"))
    assert found is not None
    assert other is not None
    assert found.source == "learned"
    assert found.detail == "learned from 3 GPUs, it was among them"
    assert other.detail == "learned from 5 GPUs, none of them this one"


@pytest.fixture
def copied(tmp_path):
    source = files("lydite.estimate.learned") / "shipped"
    folder = tmp_path / "model"
    shutil.copytree(Path(str(source)), folder)
    return folder


def test_the_shipped_model_is_small_text_with_its_sources(copied):
    model = read_model(copied)
    assert model.families.keys() == FAMILIES.keys()
    assert sum(path.stat().st_size for path in copied.iterdir()) < 1 << 20
    assert {row["license"].split(",")[0] for row in model.about["data"]} == {"MIT", "Apache-2.0"}


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        ("stream.txt", lambda text: text.replace("leaf_value=", "leaf_value=9 ", 1), "sha256"),
        ("manifest.json", lambda text: text.replace('"version": 3', '"version": 2'), "version 2"),
        (
            "stream.seen.low.txt",
            lambda text: text.replace("leaf_value=", "leaf_value=9 ", 1),
            "sha256",
        ),
        ("manifest.json", lambda _: "[]", "manifest cannot be read"),
        ("manifest.json", lambda text: text.replace('"stream"', '"steam"'), "unknown family"),
        ("manifest.json", lambda text: text.replace('"unseen"', '"unsaid"'), "lacks 'unseen'"),
        ("manifest.json", lambda text: text.replace('"open": 0', '"open": -9'), "does not hold 1"),
    ],
)
def test_a_changed_model_is_refused(copied, name, edit, message):
    path = copied / name
    path.write_text(edit(path.read_text()))
    with pytest.raises(InputError, match=message):
        read_model(copied)


TREE = """tree
version=v4
feature_names=a b

Tree=0
num_leaves=2
split_feature=0
threshold=1.5
decision_type=2
left_child=-1
right_child=-2
leaf_value=1 2

end of trees
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("left_child=-1", "left_child=0"),  # a circle
        ("right_child=-2", "right_child=-9"),
        ("split_feature=0", "split_feature=5"),
        ("decision_type=2", "decision_type=1"),
        ("leaf_value=1 2", "leaf_value=1 nan"),
        ("threshold=1.5", "threshold=x"),
        ("version=v4", "version=v3"),
        ("Tree=0", "Bush=0"),
    ],
)
def test_a_tree_that_contradicts_itself_is_refused(old, new):
    found = read_trees(TREE, "x").values(np.array([[1.5, 0.0], [1.6, 0.0]]))
    assert found.tolist() == [1.0, 2.0]
    with pytest.raises(InputError):
        read_trees(TREE.replace(old, new), "x")


def test_a_folder_of_ones_own(copied, monkeypatch, tmp_path):
    from lydite.estimate.learned import model

    model.usual_model.cache_clear()
    monkeypatch.setenv("LYDITE_LEARNED", str(copied))
    assert model.usual_model().digest == shipped().digest
    model.usual_model.cache_clear()
    monkeypatch.setenv("LYDITE_LEARNED", str(tmp_path))
    with pytest.raises(InputError, match="holds no learned model"):
        Learned()
    model.usual_model.cache_clear()


def test_the_manifest_is_plain_json(copied):
    manifest = json.loads((copied / "manifest.json").read_text())
    for family in manifest["families"].values():
        (low, high), (wide_low, wide_high) = family["seen"]["usual"], family["unseen"]["usual"]
        assert 0 < wide_low < low <= 1 <= high < wide_high
        assert family["rows"] > 1000
