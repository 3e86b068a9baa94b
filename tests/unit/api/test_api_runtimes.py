"""`--runtime`: one table of what is fused, which attention, and what a launch costs."""

from __future__ import annotations

from collections import Counter

import pytest

import lydite as ly
from lydite.estimate.runtimes import RUNTIMES

NAMES = (
    "eager sdpa compile graphs megatron megatron-deepspeed onnxruntime tensorrt vllm sglang trtllm"
)


def kinds(runtime: str | None, model: str = "gpt2") -> Counter[str]:
    found = ly.predict(model, on="h100", runtime=runtime)
    return Counter(op["op_type"] for op in found.document()["ops"])


def test_the_runtimes_are_these():
    assert list(RUNTIMES) == NAMES.split()
    assert all(row.launch_s > 0 and row.launch_source for row in RUNTIMES.values())


def test_without_one_all_is_fused_and_no_launch_is_added():
    assert kinds(None, "resnet18") == kinds("onnxruntime", "resnet18")
    usual = ly.predict("resnet18", on="h100")
    assert usual.seconds < ly.predict("resnet18", on="h100", runtime="onnxruntime").seconds
    assert usual.to_dict()["runtime"] is None


def test_eager_writes_attention_out_and_sdpa_does_not():
    eager, sdpa = kinds("eager"), kinds("sdpa")
    assert eager["Softmax"] > sdpa["Softmax"]
    assert sum(eager.values()) > sum(sdpa.values()) > sum(kinds("compile").values())


def test_no_kernel_is_shorter_than_its_launch():
    found = ly.predict("resnet18", on="h100", runtime="eager")
    assert min(op["seconds"] or 1 for op in found.document()["ops"]) == RUNTIMES["eager"].launch_s
    assert any("launch 4 us, assumed" in op["detail"] for op in found.document()["ops"])


def test_a_graph_of_kernels_saves_launches_and_flash_attention_memory():
    decode = {"phase": "decode", "context": 512, "on": "dgx-h100"}
    sdpa, graphs = (ly.simulate("gpt2", runtime=name, **decode) for name in ("sdpa", "graphs"))
    assert graphs.seconds < sdpa.seconds
    assert graphs.to_dict()["runtime"] == "graphs"
    train = {"train": True, "batch": 8, "sequence": 512}
    eager, megatron = (ly.simulate("gpt2", runtime=n, **train) for n in ("eager", "megatron"))
    assert eager.step.plan.attention == "written"
    assert megatron.step.peak_memory_bytes < eager.step.peak_memory_bytes
    assert ly.simulate("gpt2", **train).seconds == megatron.seconds


def test_what_is_refused():
    with pytest.raises(ly.InputError, match=r"unknown runtime 'eagre'.*did you mean 'eager'"):
        ly.predict("resnet18", on="h100", runtime="eagre")
    with pytest.raises(ly.InputError, match="is for accelerators"):
        ly.predict("resnet18", runtime="eager")
    with pytest.raises(ly.GraphError, match="attention with a cache"):
        ly.predict("gpt2", on="h100", phase="decode", runtime="eager")
