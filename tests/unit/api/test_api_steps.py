"""Training steps: what fits, what is refused, and tables of measured steps."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import lydite as ly

TABLE = """\
model,step_ms,devices,schedule,chunks,pp,dp,batch,sequence
gpt2,30,8,1f1b,1,2,4,8,128
gpt2,25,4,1f1b,1,1,4,8,128
"""


def test_a_plan_without_room_says_so_first():
    found = ly.simulate("llama3-70b", train=True, on="dgx-h100", tp=8, micro_batch=1)
    assert not found.fits
    first, second = found.summary().splitlines()[:2]
    assert "does not fit: needs" in first
    assert second.startswith("with room for it: ")


def test_the_default_micro_batch_is_the_largest_half_that_fits():
    train = {"train": True, "on": "dgx-a100", "devices": 1, "sequence": 1024}
    found = ly.simulate("gpt2", batch=512, **train)
    size = found.step.plan.micro_batch
    assert found.fits
    assert 512 % size == 0
    assert not ly.simulate("gpt2", batch=512, micro_batch=2 * size, **train).fits


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"zero": 2}, "--zero 2 shards what only training keeps; add --train"),
        ({"train": True, "sequence_parallel": True}, "has no effect with --tp 1"),
        ({"grid": float("inf")}, "--grid inf; allowed: a finite number"),
        ({"train": True, "arithmetic": "fp8"}, "states no peak for float8e4m3fn"),
        ({"arithmetic": "tf23"}, "unknown arithmetic 'tf23'.*did you mean 'tf32'"),
    ],
)
def test_options_without_effect_or_meaning_are_refused(given, message):
    with pytest.raises(ly.InputError, match=message):
        ly.simulate("gpt2", on="dgx-a100", **given)


def model(path, op, shape):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "small", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), path)
    return path


def test_open_sizes_are_named(tmp_path):
    path = model(tmp_path / "open.onnx", "Relu", [1, "seq"])
    with pytest.raises(ly.InputError, match="symbolic sizes are not bound; add --dim seq=SIZE"):
        ly.simulate(path)
    assert ly.simulate(path, dim={"seq": 1 << 20}).seconds > 0


def test_a_step_without_work_is_refused(tmp_path):
    path = model(tmp_path / "none.onnx", "Identity", [4])
    with pytest.raises(ly.InputError, match="no operator does any work"):
        ly.simulate(path)


def test_a_table_of_steps_is_validated_as_calibrate_reads_it(tmp_path):
    path = tmp_path / "steps.csv"
    path.write_text(TABLE)
    found = ly.validate_steps(path, on="dgx-a100").document()
    assert [(s["model"], s["devices"], s["baseline_s"]) for s in found["steps"]] == [
        ("gpt2", 8, 0.03),
        ("gpt2", 4, 0.025),
    ]
    errors = [s["predicted_s"] / s["baseline_s"] - 1 for s in found["steps"]]
    assert found["average_loss"] == pytest.approx(np.abs(errors).mean())
    assert set(found["accuracy"]) == {"simulated", "sum of operators", "one constant efficiency"}
    with pytest.raises(ly.InputError, match=r"unknown model 'gpt3'.*did you mean 'gpt2'"):
        ly.validate_steps(path, on="dgx-a100", models=["gpt3"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("model,", "modell,", "unknown column 'modell'"),
        ("model,step_ms", "step_ms,chunks", "no column 'model'"),
        (",1f1b,", ",2f2b,", "unknown schedule '2f2b'"),
        ("30,8", "30,nan", "line 2: devices 'nan' is not a number"),
        ("30,8", "30,1e400", "line 2: devices '1e400' is not a number"),
        ("30,8", "30,7.5", "'7.5' is not a whole number"),
    ],
)
def test_rows_that_are_wrong(tmp_path, old, new, message):
    path = tmp_path / "steps.csv"
    path.write_text(TABLE.replace(old, new, 1))
    with pytest.raises(ly.InputError, match=message):
        ly.validate_steps(path, on="dgx-a100")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"offload": "optimizer"}, "--offload optimizer is for training; add --train"),
        ({"lora_rank": 4}, "--lora-rank 4 is for training; add --train"),
        (
            {"train": True, "host_memory_bandwidth": "1 GB/s"},
            "no effect without offload; add --off",
        ),
        (
            {"train": True, "offload": "optimizer", "host_memory_bandwidth": "0 GB/s"},
            "--host-memory-bandwidth 0 GB/s; allowed: above 0",
        ),
    ],
)
def test_options_of_memory_that_lack_something(given, message):
    with pytest.raises(ly.InputError) as caught:
        ly.simulate("gpt2", on="dgx-a100", sequence=64, **given)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"zero": 1}, "--search chooses --zero itself; leave it out"),
        ({"lora_rank": 4}, "--search looks at no plan with --lora-rank; leave out --lora-rank"),
    ],
)
def test_options_that_a_search_does_not_take(given, message):
    with pytest.raises(ly.InputError) as caught:
        ly.search("gpt2", on="dgx-a100", sequence=64, **given)
    assert message in str(caught.value)


def test_the_output_names_what_is_assumed_of_a_host():
    found = ly.simulate(
        "gpt2", train=True, on="dgx-a100", batch=8, sequence=64, zero=1, offload="optimizer"
    )
    told = " ".join(str(found.summary()).split())
    assert "offload optimizer: 1.85 GiB in a host; 13.4 GB/s a rank each way" in told
    assert "host memory of 300 GB/s, assumed (--host-memory-bandwidth for another)" in told
    assert found.document()["host_memory_bytes"] == pytest.approx(16 * 124439808, rel=1e-3)
