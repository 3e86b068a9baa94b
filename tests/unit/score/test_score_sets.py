"""Sets of models, four-bit weights, fidelity, and the journal of a run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lydite.backends import Settings, find_backend
from lydite.errors import GraphError, InputError
from lydite.graph import Builder
from lydite.graph.passes import in_precision
from lydite.graph.passes.nbits import quantised_blocks
from lydite.models import describe
from lydite.score.fidelity import compared, fidelity
from lydite.score.journal import Amount, Journal, Measured
from lydite.score.pipeline import Pipeline, Task, calls_of, float_graph, task_of
from lydite.score.runner import groups, run
from lydite.score.sets import Part, at_least_as_wide, find_set, prompt_tokens

OWN = "name: own\ntitle: Own\nmodels:\n  a:\n    title: A\n    parts: [{model: mobilenetv2}]\n"


def a_task(**changes) -> Task:
    given = {"name": "net", "precision": "fp32", "batch": 1, "new_tokens": 0, "prompt_tokens": 32}
    return Task(**{**given, "parts": (Part(model="mobilenetv2", image_size=32),), **changes})


@pytest.mark.parametrize("name", ["full", "small"])
def test_shipped_sets_name_models_that_exist(name):
    chosen = find_set(name)
    assert len(chosen.models) == 12
    for entry in chosen.models.values():
        for part in entry.parts:
            takes = {"batch", *describe(part.model).defaults}
            given = part.model_dump(exclude={"model", "calls", "dim"}, exclude_none=True)
            assert given.keys() <= takes, part.model


def test_the_full_set_has_the_manuals_input_sizes():
    sizes = {
        "yolov5s": 640,
        "ghostnet": 640,
        "unet": 640,
        "resnet": 256,
        "mobilenetv2": 256,
        "bisenetv2": 1024,
        "vit": 224,
    }
    models = find_set("full").models
    for name, size in sizes.items():
        assert models[name].parts[0].image_size == size
    assert [models[name].parts[0].sequence for name in ("bert", "ernie3")] == [256, 256]
    image, text = models["clip"].parts
    assert (image.image_size, text.batch, text.sequence) == (224, 3, 77)
    task = task_of("clip", models["clip"], "fp32", 1, 32)
    assert float_graph(text, task).type_of("input_ids").shape == (3, 77)


def test_a_language_model_is_prefilled_once_and_decoded_for_each_token():
    entry = find_set("small").models["llama3"]
    task = task_of("llama3", entry, "int4", 1, 32)
    prefill, decode = entry.parts
    assert (calls_of(prefill, task), calls_of(decode, task)) == (1, 16)
    assert task.units == 16
    assert float_graph(prefill, task).type_of("input_ids").shape == (1, 32)
    cache = next(name for name in float_graph(decode, task).inputs if name.startswith("past_key"))
    assert float_graph(decode, task).type_of(cache).shape[2] == 32 + 8


def test_sets_of_ones_own(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    assert find_set(str(path)).named("MobileNetV2") == "a"
    path.write_text(OWN.replace("own", "full"))
    with pytest.raises(InputError, match="shipped set"):
        find_set(str(path))
    path.write_text(OWN + "    unit: token\n")
    with pytest.raises(InputError, match="new_tokens"):
        find_set(str(path))
    path.write_text(OWN.replace("title: Own", "titel: Own"))
    with pytest.raises(InputError, match="titel"):
        find_set(str(path))
    with pytest.raises(InputError, match="did you mean 'small'"):
        find_set("smal")
    with pytest.raises(InputError, match="did you mean 'resnet'"):
        find_set("full").chosen(("resnt",))


def test_questions(tmp_path):
    path = tmp_path / "questions.csv"
    path.write_text("Who?\n" + "x" * 200 + "\n")
    assert prompt_tokens(path) == 64  # 50 tokens, filled up to a multiple of 32
    path.write_text("\n\n")
    with pytest.raises(InputError, match="no question"):
        prompt_tokens(path)
    path.write_bytes(b"x" * (1 << 20) + b"yy")
    with pytest.raises(InputError, match="1 MiB"):
        prompt_tokens(path)
    assert prompt_tokens() == 32


def test_which_precision_rounds_no_more_than_which():
    assert at_least_as_wide("fp32", "fp16")
    assert at_least_as_wide("bf16", "bf16")
    assert not at_least_as_wide("bf16", "fp16")
    assert not at_least_as_wide("int8", "fp16")


def test_four_bits_are_what_the_runtime_multiplies():
    """MatMulNBits against the weight rounded by hand: levels of a block, times its scale."""
    draw = np.random.default_rng(0)
    weight = draw.standard_normal((64, 48)).astype(np.float32)
    g = Builder("net")
    x = g.op("MatMul", g.input("x", (5, 64)), g.constant(weight, "w", "float32"), name="first")
    net = g.build(g.op("MatMul", x, g.constant(np.eye(48), "eye", "float32"), name="last"))
    low = in_precision(net, "int4")
    assert [op.op_type for op in low.ops] == ["MatMulNBits", "MatMul"]
    packed, scales = quantised_blocks(weight)
    levels = np.empty((48, 2, 32))
    levels[..., 0::2], levels[..., 1::2] = packed & 15, packed >> 4
    rounded = ((levels - 8) * scales[..., None]).reshape(48, 64).T
    assert np.abs(rounded - weight).max() <= np.abs(scales).max()  # at most a step, at +8
    prepared = find_backend("onnxruntime").prepare(low, Settings())
    feed = draw.standard_normal((5, 64)).astype(np.float32)
    prepared.bind({"x": feed})
    prepared.run()
    said = next(iter(prepared.outputs().values()))
    prepared.close()
    np.testing.assert_allclose(said, feed @ rounded, rtol=2e-2, atol=2e-2 * np.abs(said).max())
    with pytest.raises(GraphError, match="four bits"):
        in_precision(low, "int4")


def test_fidelity_of_a_precision():
    exact = fidelity(a_task())
    assert exact.cosine == pytest.approx(1, abs=1e-6)
    low = fidelity(a_task(precision="int8"))
    assert 0.98 < low.cosine < 1
    assert low.relative_error > exact.relative_error


def test_what_cannot_be_compared_is_said():
    one = np.array([[1.0, 2.0]])
    assert compared(one, one * np.nan).reason == "float32's output is not finite"
    assert compared(one * np.inf, one).cosine == 0
    assert compared(one, np.ones((2, 2))).reason.startswith("2 outputs")
    far = compared(np.array([[101.0, 100.0]]), np.array([[100.0, 101.0]]))
    assert far.cosine == pytest.approx(-1)  # a common offset hides nothing


def test_a_pipeline_runs_every_call():
    part = Part(model="mobilenetv2", image_size=32, calls=3)
    pipeline = Pipeline(a_task(parts=(part, Part(model="mobilenetv2", image_size=32))))
    three, one = np.median([pipeline.iterate() for _ in range(20)], axis=0)
    pipeline.close()
    assert three > 1.5 * one


def test_models_alternate_as_far_as_memory_goes():
    items = [Measured(a_task(name=name), Amount(1, 1)) for name in "abcd"]
    assert [len(group) for group in groups(items, 1 << 40)] == [4]
    assert [len(group) for group in groups(items, 700 << 20)] == [2, 2]
    assert [len(group) for group in groups(items, 1)] == [1, 1, 1, 1]


class Ended(Exception):
    pass


def test_a_run_goes_on_where_it_was_cut_off(tmp_path):
    path, amount = tmp_path / "journal", Amount(0.04, 4, rounds=2, warm_s=0.1, check=False)
    tasks = [a_task(name="a"), a_task(name="b", parts=(Part(model="nothing"),))]
    items = [Measured(task, amount) for task in tasks]
    steps = []

    def stop_at_second_turn(_done, _total, name):
        steps.append(name)
        if "turn 2" in name:
            raise Ended

    journal = Journal(path, "d")
    with pytest.raises(Ended):
        run(items, journal, progress=stop_at_second_turn)
    assert items[1].status == "refused"
    assert "nothing" in items[1].reason
    with path.open("a") as file:
        file.write('{"key": "a/fp32/1", "turn": {"beg')  # a kill in the middle of a line

    again = [Measured(task, amount) for task in tasks]
    restored = Journal(path, "d")
    assert restored.restore({item.task.key: item for item in again}) == 1
    run(again, restored, progress=lambda *_: None)
    assert [item.status for item in again] == ["ok", "refused"]
    assert again[0].turns[0] == items[0].turns[0]
    assert len(again[0].turns) == 2
    assert sum(turn["grouped"] * len(turn["stage_ns"][0]) for turn in again[0].turns) >= 4
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == {"digest": "d"}
    assert sum("turn" in line for line in lines) == 2
    assert Journal(path, "other").records == []
