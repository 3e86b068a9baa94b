"""Every model is exported, passes ONNX's checker and runs on ONNX Runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from lydite.graph import Graph, Initializer, model_to_proto, read_onnx, total_work, write_onnx
from lydite.models import build_model

SMALL = {
    "alexnet": {"image_size": 63},
    "vgg16": {"image_size": 32},
    "resnet50": {"image_size": 64},
    "mobilenetv2": {"image_size": 64},
    "inceptionv3": {"image_size": 75},
    "bert-base": {"sequence": 8},
}


def session(path: Path, optimised: Path | None = None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@contextmanager
def exported(graph: Graph) -> Iterator[Path]:
    """The model as a file, gone afterwards: some are half a gigabyte."""
    with TemporaryDirectory() as folder:
        yield write_onnx(graph, Path(folder) / "model.onnx")


def feed(graph: Graph) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found: dict[str, np.ndarray] = {}
    for name in graph.inputs:
        type_ = graph.type_of(name)
        if type_.dtype == "int64":
            high = {"input_ids": 30000, "token_type_ids": 2}.get(name)
            found[name] = (
                np.ones(type_.shape, np.int64)
                if high is None
                else rng.integers(0, high, type_.shape)
            )
        else:
            found[name] = rng.standard_normal(type_.shape).astype(type_.dtype)
    return found


@pytest.mark.parametrize("name", SMALL)
def test_a_model_is_exported_checked_and_runs(name):
    graph = build_model(name, batch=2, **SMALL[name])
    with exported(graph) as path:
        onnx.checker.check_model(str(path), full_check=True)
        again = read_onnx(path)
        assert again.ops == graph.ops
        outputs = session(path).run(None, feed(graph))
    expected = [graph.type_of(output).shape for output in graph.outputs]
    assert [output.shape for output in outputs] == expected
    for output in outputs:
        assert np.isfinite(output).all()
        assert output.std() > 1e-3


@pytest.mark.parametrize("name", ["mobilenetv2", "bert-base"])
def test_half_precision_runs(name):
    graph = build_model(name, dtype="float16", **SMALL[name])
    with exported(graph) as path:
        onnx.checker.check_model(str(path), full_check=True)
        outputs = session(path).run(None, feed(graph))
    assert all(output.dtype == np.float16 and np.isfinite(output).all() for output in outputs)


def checkable(graph: Graph) -> onnx.ModelProto:
    """The model with its weights as inputs, so that nothing has to be drawn."""
    model = model_to_proto(graph, with_data=False)
    large = [w for w in model.graph.initializer if w.data_location == onnx.TensorProto.EXTERNAL]
    for weight in large:
        model.graph.initializer.remove(weight)
        model.graph.input.append(
            onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims)
        )
    return model


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", [*SMALL, "bert-large"])
def test_other_precisions_pass_the_checker(name, dtype):
    graph = build_model(name, dtype=dtype)
    onnx.checker.check_model(checkable(graph), full_check=True)


def test_bert_large_passes_the_checker():
    onnx.checker.check_model(checkable(build_model("bert-large")), full_check=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet50", {"com.microsoft.nchwc:Conv": 53}),
        ("mobilenetv2", {"com.microsoft.nchwc:Conv": 52}),
        ("bert-base", {"com.microsoft:SkipLayerNormalization": 25, "Gelu": 12}),
    ],
)
def test_onnx_runtime_fuses_what_is_emitted_and_all_of_it_is_known(name, expected, tmp_path):
    graph = build_model(name, **SMALL[name])
    with exported(graph) as path:
        session(path, path.with_name("optimised.onnx"))
        lowered = read_onnx(path.with_name("optimised.onnx"))
    counts = Counter(op.qualified_type for op in lowered.ops)
    assert counts | Counter(expected) == counts
    found, before = total_work(lowered), total_work(graph)
    assert found.unknown == ()
    assert found.total.flops == pytest.approx(before.total.flops, rel=0.1)


def lively(graph: Graph) -> Graph:
    """BERT with embeddings and biases that let a single token matter, as trained ones do."""
    rng = np.random.default_rng(1)
    fresh = dict(graph.initializers)
    for name, weight in graph.initializers.items():
        shape = weight.type.shape
        if ".bias" in name:
            fresh[name] = Initializer(weight.type, value=np.zeros(shape, np.float32))
        elif name.endswith("_embedding"):
            value = rng.standard_normal(shape, dtype=np.float32)
            fresh[name] = Initializer(weight.type, value=value)
    return replace(graph, initializers=fresh)


def test_masked_tokens_do_not_change_the_others():
    graph = build_model("bert-base", sequence=8)
    with exported(lively(graph)) as path:
        runner = session(path)
    inputs = feed(graph)
    inputs["attention_mask"][:, 5:] = 0
    first = runner.run(None, inputs)[0]
    inputs["input_ids"][:, 5:] += 7
    second = runner.run(None, inputs)[0]
    np.testing.assert_allclose(first[:, :5], second[:, :5], atol=1e-4)
    assert np.abs(first[:, 5:] - second[:, 5:]).max() > 0.1
    inputs["attention_mask"][:] = 1
    assert np.abs(first[:, :5] - runner.run(None, inputs)[0][:, :5]).max() > 0.1
