"""Imported tables in predictions: what is looked up, what lies between, and whose it is."""

from __future__ import annotations

import math

import numpy as np
import pytest

import lydite as ly
from lydite.estimate.canonical import canonical
from lydite.estimate.imported import Imported
from lydite.graph import Builder, OpKey, all_keys
from lydite.hardware import find_device
from lydite.opkey import Operand, TensorType
from lydite.store import Database, Software
from lydite.store.foreign import forms
from lydite.store.rows import ForeignRows

H100 = "nvidia-h100-sxm5-80gb"


def put(database, keys, seconds, *, software="vllm", version="0.24.0", device=H100, **more):
    """Rows of operators of one type."""
    rows = ForeignRows(
        device,
        Software(software, {software: version} | more),
        "aiconfigurator",
        keys[0].domain,
        keys[0].op_type,
        [key.text for key in keys],
        [key.digest for key in keys],
        np.array(seconds),
    )
    with database.foreign_writer() as writer:
        writer(rows)


def of_a_model(name="gpt2", **options):
    return set(all_keys(ly.load(name, dtype="bfloat16", **options).graph))


def typed(*dims, const=False, dtype="bfloat16"):
    return Operand(TensorType(dtype, dims), const=const)


def test_models_spell_products_in_many_ways():
    model = {key.text: canonical(key) for key in of_a_model()}
    found = [form for text, form in model.items() if form is not None and '"MatMul"' in text]
    assert forms.product("bfloat16", 512, 768, 2304) in found
    gemm = OpKey(
        "Gemm",
        (typed(512, 768), typed(64, 768, const=True)),
        (TensorType("bfloat16", (512, 64)),),
        {"transB": 1},
        version=13,
    )
    assert canonical(gemm) == forms.product("bfloat16", 512, 768, 64)


def test_attention_with_four_axes_is_that_with_three():
    four = OpKey(
        "Attention",
        (typed(2, 32, 64, 128), typed(2, 8, 64, 128), typed(2, 8, 64, 128)),
        (TensorType("bfloat16", (2, 32, 64, 128)),),
        {"is_causal": 1},
        version=24,
    )
    wanted = forms.attention("bfloat16", 2, 64, 32, 8, (4096, 1024, 1024, 4096))
    assert canonical(four) == wanted
    assert canonical(wanted) == wanted


@pytest.mark.parametrize("kept", [0, 511])
def test_a_models_attention_is_canonical(kept):
    options = {"phase": "decode", "context": kept} if kept else {"phase": "prefill"}
    keys = [key for key in _fused("llama3-8b", **options) if key.op_type == "Attention"]
    (form,) = {canonical(key) for key in keys}
    if kept:
        wanted = forms.cached_attention("bfloat16", 1, 1, 32, 8, (4096, 1024, 128), kept, kept + 1)
    else:
        wanted = forms.attention("bfloat16", 1, 512, 32, 8, (4096, 1024, 1024, 4096))
    assert form == wanted


def _fused(name, **options):
    from lydite.estimate.runtimes import fuse_for_runtime

    return all_keys(fuse_for_runtime(ly.load(name, dtype="bfloat16", **options).graph))


def test_a_models_experts_are_canonical():
    (key,) = [key for key in _fused("mixtral-8x7b", phase="prefill") if key.op_type == "MoE"]
    assert canonical(key) == forms.experts("bfloat16", 512, (4096, 8, 28672, 14336), 2)


def test_attention_of_another_sequence_or_with_a_mask_has_no_form():
    whole = forms.attention("bfloat16", 2, 64, 8, 8, (1024, 1024, 1024, 1024))
    masked = OpKey(
        "Attention", (*whole.inputs, typed(64, 64, dtype="bool")), whole.outputs, whole.attrs
    )
    other = OpKey(
        "Attention", (whole.inputs[0], typed(2, 9, 1024), typed(2, 9, 1024)), whole.outputs
    )
    softened = OpKey("Attention", whole.inputs, whole.outputs, {**whole.attrs, "softcap": 50.0})
    assert [canonical(key) for key in (masked, other, softened)] == [None] * 3


def test_streams_keep_their_rows_and_width():
    g = Builder("streams")
    x = g.input("x", (2, 16, 64))
    graph = g.build(g.relu(x) * x)
    found = {canonical(key) for key in all_keys(graph)}
    assert forms.elementwise("Relu", "float32", 32, 64) in found
    assert forms.elementwise("Mul", "float32", 32, 64) in found


def grid():
    sizes = [1, 4, 16, 64, 256, 1024, 4096]
    keys = [forms.product("bfloat16", m, k, n) for m in sizes for k in sizes for n in sizes]
    device = find_device(H100)
    seconds = [
        3e-6 + 2 * math.prod(_mkn(key)) / device.peak_flops["bfloat16"] / 0.6 for key in keys
    ]
    return keys, seconds


def _mkn(key):
    (m, k), (_, n) = (key.inputs[at].type.shape for at in (0, 1))
    return m, k, n


@pytest.fixture
def table():
    with Database.in_memory() as database:
        put(database, *grid())
        yield database


def test_a_row_of_the_table_is_measured(table):
    key = forms.product("bfloat16", 256, 4096, 1024)
    estimator = Imported([table], "any")
    (found,) = estimator.estimate([key], find_device("h100"))
    keys, seconds = grid()
    assert found.seconds == pytest.approx(seconds[keys.index(key)])
    assert found.source == "measured"
    assert found.detail == "vllm 0.24.0, imported from aiconfigurator"
    assert found.low < found.seconds < found.high


@pytest.mark.parametrize("sizes", [(300, 2048, 900), (2000, 1500, 3000), (90, 3500, 600)])
def test_between_rows_it_is_interpolated(table, sizes):
    key = forms.product("bfloat16", *sizes)
    (found,) = Imported([table], "any").estimate([key], find_device("h100"))
    flops_s = 2 * math.prod(sizes) / find_device("h100").peak_flops["bfloat16"]
    assert found.source == "interpolated"
    assert found.seconds == pytest.approx(3e-6 + flops_s / 0.6, rel=0.25)
    assert found.low <= 3e-6 + flops_s / 0.6 <= found.high


def test_far_from_all_rows_there_is_nothing(table):
    far = forms.product("bfloat16", 1 << 20, 4096, 4096)
    other = forms.product("float16", 256, 4096, 1024)
    unlike = forms.softmax("bfloat16", 64, 64)
    estimator = Imported([table], "any")
    assert estimator.estimate([far, other, unlike], find_device("h100")) == [None] * 3
    assert estimator.estimate([far], find_device("l40s")) == [None]


def test_one_software_answers_and_only_its_newest_version():
    keys, seconds = grid()
    with Database.in_memory() as database:
        put(database, keys, seconds)
        put(database, keys, [9 * s for s in seconds], version="0.9.1")
        put(database, keys[:40], [5 * s for s in seconds[:40]], software="sglang", version="0.5")
        device = find_device("h100")
        most = Imported([database], "any").estimate(keys, device)
        assert {found.detail for found in most} == {"vllm 0.24.0, imported from aiconfigurator"}
        assert [found.seconds for found in most] == pytest.approx(seconds)
        other = Imported([database], "sglang").estimate(keys[:40], device)
        assert [found.seconds for found in other] == pytest.approx([5 * s for s in seconds[:40]])
        put(database, [forms.softmax("bfloat16", 3, 5)], [1e-6], version="0.99")
        newest = Imported([database], "vllm").estimate(keys[:1], device)
        assert [found.seconds for found in newest] == pytest.approx(seconds[:1])
        assert Imported([database], "trtllm").estimate(keys[:1], device) == [None]


@pytest.fixture
def session(tmp_path):
    """A session whose database has GPT-2's products on an H100, from vLLM."""
    with ly.Session(db=tmp_path / "imported.db") as opened:
        keys = {canonical(k) for k in of_a_model() if k.op_type in ("MatMul", "Gemm")}
        products = sorted((k for k in keys if k is not None), key=lambda key: key.text)
        with opened.database() as database:
            put(database, products, [1e-3] * len(products))
        yield opened


def test_a_prediction_uses_them_and_says_so(session):
    told = session.predict("gpt2", on="h100", dtype="bfloat16")
    products = [n for n in told.prediction.nodes if n.op_type in ("MatMul", "Gemm")]
    assert {n.estimate.source for n in products} == {"measured"}
    assert told.seconds > 1e-3 * len(products)
    (note,) = [note for note in told.notes if "imported" in note]
    assert note == (
        f"{len(products)} of {len(told.prediction.nodes)} operators as vllm 0.24.0, imported from "
        "aiconfigurator; --runtime names another"
    )
    covered = session.coverage("gpt2", on="h100", dtype="bfloat16")
    assert covered.models[0]["nodes_measured"] == len(products)


def test_another_runtime_does_not_take_them(session):
    vllm = session.predict("gpt2", on="h100", dtype="bfloat16", runtime="vllm")
    other = session.predict("gpt2", on="h100", dtype="bfloat16", runtime="sglang")
    compiled = session.predict("gpt2", on="h100", dtype="bfloat16", runtime="compile")
    assert vllm.coverage.nodes["measured"] >= 48
    for told in (other, compiled):
        assert "measured" not in told.coverage.nodes
        assert not any("imported" in note for note in told.notes)


def test_rows_of_ones_own_backend_keep_others_out(session):
    from lydite.store import Conditions, Measurement

    key = forms.product("bfloat16", 3, 5, 7)
    with session.database() as database:
        database.add(
            [Measurement(key, H100, Software("onnxruntime"), Conditions(), np.array([1e-3]))]
        )
    told = session.predict("gpt2", on="h100", dtype="bfloat16")
    assert "measured" not in told.coverage.nodes


def test_a_processor_knows_nothing_of_them(session):
    keys, seconds = grid()
    with session.database() as database:
        put(database, keys, seconds, device=find_device("cpu").name)
    told = session.predict("lenet5")
    assert "interpolated" not in told.coverage.nodes


def test_a_prediction_names_the_figures_that_a_device_lacks(tmp_path):
    path = tmp_path / "bare.yaml"
    path.write_text(
        "name: bare\ntitle: Bare\nkind: gpu\nvendor: NVIDIA\npeak: {float32: 10 TFLOP/s}\n"
        "memory: 16 GB\nmemory_bandwidth: 500 GB/s\nunits: 40\nclock: 1 GHz\n"
        "sources: {'': me}\n"
    )
    told = ly.predict("lenet5", on=str(path))
    (note,) = [note for note in told.notes if "bare" in note]
    assert note == (
        "not predicted from other GPUs: bare: states no power, no process, no cache; the maker's "
        "data sheet has them"
    )
    assert set(told.coverage.nodes) == {"roofline"}
    assert not any("states no" in note for note in ly.predict("lenet5", on="h100").notes)
