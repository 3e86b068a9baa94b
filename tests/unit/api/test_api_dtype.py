"""One default dtype for one model on one device, whatever the verb; said, with its reason."""

from __future__ import annotations

import json

import pytest

import lydite as ly
from lydite.hardware import Device, find_device
from lydite.models.table import ALIASES


def told(result: ly.Result) -> tuple[str, str]:
    document = result.to_dict()
    return document["dtype"], document["dtype_reason"]


def without(device: Device, *dtypes: str) -> Device:
    from dataclasses import replace

    kept = {k: v for k, v in device.peak_flops.items() if k not in dtypes}
    return replace(device, peak_flops=kept)


def test_language_models_take_the_best_half_precision_that_the_device_states():
    h100 = find_device("h100")
    cases = {(): "bfloat16", ("bfloat16",): "float16", ("bfloat16", "float16"): "float32"}
    for missing, dtype in cases.items():
        result = ly.predict("gpt2", on=without(h100, *missing))
        assert told(result)[0] == dtype
        assert f"weights in {dtype}: " in result.summary()


@pytest.mark.parametrize(("model", "dtype"), [("gpt2", "bfloat16"), ("resnet18", "float32")])
def test_the_verbs_agree_on_one_device(model, dtype):
    predicted = ly.predict(model, on="nvidia-a100-sxm4-40gb")
    simulated = ly.simulate(model, on="dgx-a100")
    assert told(predicted) == told(simulated)
    assert told(predicted)[0] == dtype


def test_on_a_chip_it_is_the_chips():
    assert told(ly.chip("lenet5", chip="smv")) == ("float16", "smv computes it")
    with pytest.raises(ly.InputError, match="smv computes float16, not float32"):
        ly.chip(ly.load("lenet5", dtype="float32"), chip="smv")


def test_here_the_default_backend_decides():
    """ONNX Runtime has no bfloat16 kernels for processors, and computes float16 in float32."""
    dtype, reason = told(ly.predict("gpt2", sequence=16))
    assert dtype == "float32"
    assert reason.endswith("runs neither bfloat16 nor float16")


def test_what_was_asked_for_stands():
    for how in ({"dtype": "float16"}, {"options": ly.ModelOptions(dtype="float16")}):
        assert told(ly.predict("gpt2", on="h100", **how)) == ("float16", "asked for")
    loaded = ly.load("gpt2", dtype="float16")
    assert told(ly.predict(loaded, on="h100")) == ("float16", "asked for")


def test_a_loaded_model_keeps_its_options_in_every_verb():
    loaded = ly.load("gpt2", train=True, sequence=64, optimizer="sgd")
    by_name = {"train": True, "sequence": 64, "optimizer": "sgd"}
    where = {"on": "dgx-a100", "batch": 16, "tp": 2}
    assert (
        ly.simulate(loaded, **where).to_dict() == ly.simulate("gpt2", **by_name, **where).to_dict()
    )
    assert ly.inspect(loaded, batch=2).to_dict() == ly.inspect("gpt2", **by_name, batch=2).to_dict()


def test_files_and_graphs_are_as_they_are(tmp_path):
    from lydite.graph import write_onnx

    graph = ly.load("lenet5").graph
    path = write_onnx(graph, tmp_path / "net.onnx", weights=False)
    own = ly.load(graph).dtype
    assert told(ly.predict(str(path), on="h100")) == (own, "as the file has it")
    assert told(ly.predict(graph, on="h100")) == (own, "as the model has it")


def test_a_configuration_is_a_language_model_only_if_it_has_phases(tmp_path):
    bert = {"model_type": "bert", "hidden_size": 64, "num_attention_heads": 2}
    bert |= {"num_hidden_layers": 1, "intermediate_size": 64, "vocab_size": 100}
    (tmp_path / "config.json").write_text(json.dumps(bert))
    assert told(ly.predict(str(tmp_path), on="h100")) == ("float32", "as the file has it")


MANUALS = {
    "AISim": "vgg16 resnet50 inception3 alexnet lstm seq2seq deepspeech bert bert_large",
    "OpBench": "resnet-18",
    "scorecard": "llama3 bert ernie3 clip stablediffusionv1_5 stable-diffusion-v1-5 mobilenetv2 "
    "resnet ViT ghostnet yolov5s bisenetv2 unet stable-diffusion",
    "SMAUG": "minerva",
    "Sinian": "ResNet50",
}


@pytest.mark.parametrize("manual", MANUALS)
def test_the_manuals_names_are_known(manual):
    from lydite.models import describe, model_names

    for name in MANUALS[manual].split():
        assert describe(name).name in model_names()
    assert set(ALIASES.values()) <= set(model_names())


def test_a_torch_module_wants_example_inputs():
    torch = pytest.importorskip("torch")
    net = torch.nn.Linear(8, 4)
    with pytest.raises(ly.InputError, match=r"load\(module, example="):
        ly.load(net)
    model = ly.load(net, example=(torch.ones(2, 8),))
    assert ly.inspect(model).parameters == 36
    assert ly.predict(model, on="h100").seconds > 0
    with pytest.raises(ly.InputError, match="a int is not a model"):
        ly.load(3)


def test_an_option_that_does_not_exist_is_named():
    with pytest.raises(ly.InputError, match=r"unknown option 'bacth'.*did you mean 'batch'"):
        ly.predict("resnet18", bacth=3)
    with pytest.raises(ly.InputError, match="batch is 0; allowed: 1 and more"):
        ly.load("resnet18", batch=0)
