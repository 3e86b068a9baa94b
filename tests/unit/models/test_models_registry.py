"""The table of models: what it lists, builds and refuses."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

import lydite.models as models
from lydite.errors import InputError, LyditeError
from lydite.graph import Builder, Graph, graph_from_model, keys_of, model_to_proto, total_work
from lydite.models import ModelInfo, build_model, describe, model_names

VISION = ("alexnet", "inceptionv3", "mobilenetv2", "resnet50", "vgg16")


def test_models_are_listed_in_order_and_once():
    names = model_names()
    assert names == sorted(set(names))
    assert {*VISION, "bert-base", "bert-large", "gpt2", "llama3-8b", "sd15-unet"} <= set(names)


@pytest.mark.parametrize("name", model_names())
def test_a_model_says_where_it_comes_from(name):
    info = describe(name)
    assert info.name == name
    assert info.family
    assert len(info.source) > 10
    assert info.about
    for option, value in info.defaults.items():
        if isinstance(value, str):
            assert value in info.choices[option]
        else:
            low, high = info.limits[option]
            assert low <= value <= (high or value)


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("ResNet-50", "resnet50"),
        ("MobileNet_V2", "mobilenetv2"),
        ("BERT_base", "bert-base"),
        ("Inception-v3", "inceptionv3"),
        ("bert", "bert-base"),
        ("inception3", "inceptionv3"),
        ("bert_large", "bert-large"),
        ("deepspeech", "deepspeech2"),
    ],
)
def test_spelling_is_free_in_case_and_dashes(spelled, name):
    assert describe(spelled).name == name


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(InputError, match=r"unknown model 'resnet51'.*did you mean 'resnet50'") as e:
        build_model("resnet51")
    assert ".onnx" in str(e.value)


REFUSED = [
    ("gpt2", {"phase": "training"}, "unknown phase 'training'; allowed: decode, forward, prefill"),
    ("gpt2", {"sequence": 1025}, "sequence 1025 is impossible; allowed: 0 to 1024"),
    ("gpt2", {"sequence": 1000, "context": 25}, "1000 new tokens and 25 before them are more"),
    ("gpt2", {"phase": "forward", "context": 9}, "the phase 'forward' has no cache"),
    ("vit", {"image_size": 256}, "image_size 256 is impossible; allowed: 224 to 224"),
    ("sd15-unet", {"image_size": 96}, "image_size 96 is impossible; allowed: a multiple of 64"),
    ("sd15-vae-decoder", {"image_size": 63}, "allowed: a multiple of 8"),
    ("resnet50", {"sequence": 128}, "takes no sequence; allowed: batch, image_size, dtype"),
    ("bert-base", {"image_size": 224}, "takes no image_size; allowed: batch, sequence, dtype"),
    ("bert-base", {"sequence": 513}, "sequence 513 is impossible; allowed: 1 to 512"),
    ("bert-base", {"sequence": 0}, "sequence 0 is impossible"),
    ("resnet50", {"batch": 0}, "batch 0 is impossible; allowed: 1 and more"),
    ("inceptionv3", {"image_size": 74}, "image_size 74 is impossible; allowed: 75 and more"),
    ("vgg16", {"image_size": 330}, "image leaves 10x10 positions before the classifier"),
    ("resnet50", {"dtype": "float23"}, "unknown precision 'float23'"),
    ("resnet50", {"dtype": "int8"}, "unknown precision 'int8'; allowed: bfloat16, float16"),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSED)
def test_options_that_do_not_fit(name, options, message):
    with pytest.raises(InputError) as caught:
        build_model(name, **options)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", VISION)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_batch_and_precision_reach_every_tensor(name, dtype):
    graph = build_model(name, batch=3, dtype=dtype)
    assert graph.name == name
    assert graph.type_of(graph.inputs[0]).shape[0] == 3
    assert str(graph.type_of(graph.outputs[0])) == f"{dtype}[3,1000]"
    floats = {t.dtype for t in graph.tensors.values() if "float" in t.dtype}
    assert floats == {dtype}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_bert_takes_tokens_and_gives_states_and_a_summary(dtype):
    graph = build_model("bert-base", batch=2, sequence=9, dtype=dtype)
    assert graph.inputs == ("input_ids", "attention_mask", "token_type_ids")
    assert {str(graph.type_of(name)) for name in graph.inputs} == {"int64[2,9]"}
    assert [str(graph.type_of(n)) for n in graph.outputs] == [
        f"{dtype}[2,9,768]",
        f"{dtype}[2,768]",
    ]


OUTPUTS = {
    "bert-large-squad": ["float32[2,384]", "float32[2,384]"],
    "ernie3": ["float32[2,256,768]", "float32[2,768]"],
    "vit": ["float32[2,1000]"],
    "clip-image": ["float32[2,512]"],
    "clip-text": ["float32[2,512]"],
    "sd15-text-encoder": ["float32[2,77,768]"],
    "sd15-unet": ["float32[2,4,64,64]"],
    "sd15-vae-decoder": ["float32[2,3,512,512]"],
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_transformers_give_what_their_heads_promise(name):
    graph = build_model(name, batch=2)
    assert [str(graph.type_of(output)) for output in graph.outputs] == OUTPUTS[name]


@pytest.mark.parametrize(("name", "size"), [("alexnet", 96), ("vgg16", 32), ("resnet50", 65)])
def test_other_image_sizes(name, size):
    graph = build_model(name, image_size=size)
    assert graph.type_of(graph.inputs[0]).shape == (1, 3, size, size)
    assert graph.type_of(graph.outputs[0]).shape == (1, 1000)
    assert graph.parameter_count == build_model(name).parameter_count


@pytest.mark.parametrize("name", model_names())
def test_all_work_is_known_and_grows_with_the_batch(name, default_work):
    one, three = default_work(name), total_work(build_model(name, batch=3))
    assert one.unknown == three.unknown == ()
    assert three.total.flops == pytest.approx(3 * one.total.flops, rel=1e-3)
    assert three.total.parameters == one.total.parameters


@pytest.mark.parametrize("name", model_names())
def test_no_weight_is_allocated(name, default_graph):
    graph = default_graph(name)
    allocated = sum(i.type.numel for i in graph.initializers.values() if i.has_data)
    assert allocated < 20_000 + 20 * len(graph.ops)
    assert not any(graph.initializers[weight].has_data for weight in graph.parameters)


PUBLISHED_IN = {"deepseek-v3": ["float8e4m3fn"]}
"""Types of weights that are published in few bits."""


@pytest.mark.parametrize("name", model_names())
def test_half_precision_reaches_every_weight_and_input(name):
    graph = build_model(name, dtype="float16")
    types = [graph.type_of(tensor) for tensor in (*graph.parameters, *graph.inputs)]
    expected = {"float16", *PUBLISHED_IN.get(name, ())}
    assert {type_.dtype for type_ in types if "float" in type_.dtype} == expected


@pytest.mark.parametrize("name", model_names())
def test_writing_and_reading_gives_the_same_graph(name, default_graph):
    graph = default_graph(name)
    again = graph_from_model(model_to_proto(graph, with_data=False))
    assert again.ops == graph.ops
    assert again.tensors == graph.tensors
    assert (again.inputs, again.outputs) == (graph.inputs, graph.outputs)
    assert keys_of(again) == keys_of(graph)


def test_listing_names_imports_neither_onnx_nor_numpy():
    code = (
        "import sys, lydite.models as m; m.model_names(); m.describe('resnet50');"
        "sys.exit(bool({'onnx', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def tiny(batch: int, dtype: str) -> Graph:
    g = Builder("whatever", dtype=dtype)
    return g.build(g.relu(g.input("x", (batch, 3))))


TINY = ModelInfo("tiny", "Tiny", tiny, {}, "a test")


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, f"{__name__}:{value}", "lydite.models")


@pytest.fixture
def installed(monkeypatch):
    """A way to pretend that packages with models are installed."""

    def install(*entries: EntryPoint) -> None:
        found = EntryPoints(entries)
        monkeypatch.setattr(models, "entry_points", lambda **q: found.select(**q))

    return install


def test_a_package_adds_a_model(installed):
    installed(entry("tiny", "TINY"))
    assert "tiny" in model_names()
    graph = build_model("tiny", batch=2)
    assert (graph.name, str(graph.type_of(graph.outputs[0]))) == ("tiny", "float32[2,3]")
    with pytest.raises(InputError, match="takes no image_size"):
        build_model("tiny", image_size=8)


def test_two_packages_with_one_name_are_told_apart_by_an_error(installed):
    installed(entry("resnet50", "TINY"))
    with pytest.raises(LyditeError, match="two packages give a model of this name"):
        describe("resnet50")
    assert describe("vgg16").name == "vgg16"


def test_an_entry_that_is_no_model(installed):
    installed(entry("tiny", "tiny"))
    with pytest.raises(LyditeError, match="is no ModelInfo"):
        describe("tiny")
