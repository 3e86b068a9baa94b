"""AISim's files, both flavours, and whatever may have become of them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lydite.compat.aisim import read_aisim
from lydite.errors import InputError, LyditeError
from lydite.opkey import Operand, OpKey, TensorType
from lydite.store import Database

CONV = (
    "Conv2D%input%[32,224,224,3]%input%[7,7,3,64]%T%1%dilations%[1,1,1,1]"
    "%explicit_paddings%[]%strides%[1,2,2,1]%use_cudnn_on_gpu%1"
)
TENSORFLOW = {
    CONV: {"avg": 1234.5, "std_err": 12.25},
    "MatMul%input%[32,2048]%input%[2048,1000]%T%19%transpose_a%False%transpose_b%True": {
        "avg": 88.125,
        "std_err": 0.5,
    },
    "Reshape%input%[32,1,1,2048]%input%[2]%T%1%Tshape%3": {"avg": 2, "std_err": 0},
    "FusedBatchNormV3%input%[8,56,56,64]%input%[64]%T%1%U%1%epsilon%1.001e-05": {"avg": 40.0},
    "Cast%input%[]%DstT%10%SrcT%9%Truncate%0": {"avg": 1.5, "std_err": 0.1},
    "IteratorGetNext%input%[]%output_types%[1,3]": {"avg": 9.0, "std_err": 0.1},
    "NoOp": {"avg": 0.75, "std_err": 0.1},
    "Allreduce%endpoints%8%numElements%25557032": {"avg": 15000.0, "std_err": 100.0},
}
TORCH = {"x": 0, "conv1": 0.0021, "layer1_0_conv1": 0.00075, "AddmmBackward00": 5.25e-05}
VARIANCES = {"x": 0, "conv1": 1.5e-12, "layer1_0_conv1": 2.5e-13, "AddmmBackward00": 1e-14}


@pytest.fixture
def tensorflow(tmp_path) -> Path:
    path = tmp_path / "ops.json"
    path.write_text(json.dumps(TENSORFLOW, indent=4))
    return path


@pytest.fixture
def torch(tmp_path) -> Path:
    (tmp_path / "net_b16_db.json").write_text(json.dumps(TORCH, indent=4))
    (tmp_path / "net_b16_var.json").write_text(json.dumps(VARIANCES, indent=4))
    return tmp_path / "net_b16_db.json"


def test_tensorflow(tensorflow):
    found = {m.key.op_type: m for m in read_aisim(tensorflow, device="v100")}
    conv = found["Conv2D"]
    assert conv.key == OpKey(
        "Conv2D",
        (
            Operand(TensorType("float32", (32, 224, 224, 3))),
            Operand(TensorType("float32", (7, 7, 3, 64))),
        ),
        attrs={
            "T": "float32",
            "dilations": [1, 1, 1, 1],
            "explicit_paddings": [],
            "strides": [1, 2, 2, 1],
            "use_cudnn_on_gpu": 1,
        },
        domain="tensorflow",
    )
    assert conv.samples_s.tolist() == [1234.5 * 1e-6]
    assert conv.environment["std_err_s"] == pytest.approx(12.25e-6)
    assert "padding and data_format" in conv.environment["warning"]
    assert (conv.device, conv.software.backend, conv.source) == (
        "v100",
        "tensorflow",
        "imported:aisim",
    )
    assert found["MatMul"].key.attrs == {"T": "float16", "transpose_a": False, "transpose_b": True}
    assert found["Reshape"].key.attrs == {"T": "float32", "Tshape": "int32"}
    assert [str(operand) for operand in found["Reshape"].key.inputs] == [
        "float32[32,1,1,2048]",
        "[2]",
    ]
    assert found["FusedBatchNormV3"].key.attrs["epsilon"] == 1.001e-05
    assert "std_err_s" not in found["FusedBatchNormV3"].environment
    assert found["Cast"].key.attrs == {"DstT": "bool", "SrcT": "int64", "Truncate": 0}
    assert found["IteratorGetNext"].key.attrs == {"output_types": ["float32", "int32"]}
    assert found["NoOp"].key.attrs == {}
    assert found["Allreduce"].key.attrs == {"endpoints": 8, "numElements": 25557032}
    assert len(found) == len(TENSORFLOW)


def test_torch(torch):
    found = {m.key.attrs["node"]: m for m in read_aisim(torch, device="a100")}
    conv = found["conv1"]
    assert conv.key == OpKey(
        "node", attrs={"node": "conv1", "model": "net_b16"}, domain="aisim.torch"
    )
    assert conv.samples_s.tolist() == [0.0021]
    assert conv.environment["variance_s2"] == 1.5e-12
    assert conv.software.backend == "torch"
    assert found["x"].status == "skipped"
    assert math.isnan(found["x"].median_s)
    named = read_aisim(torch, device="a100", model="my net")
    assert {m.key.attrs["model"] for m in named} == {"my net"}


def test_torch_without_its_twin(torch):
    torch.with_name("net_b16_var.json").unlink()
    assert all("variance_s2" not in m.environment for m in read_aisim(torch, device="a100"))
    with pytest.raises(InputError, match=r"other\.json: cannot be read"):
        read_aisim(torch, device="a100", variances=torch.with_name("other.json"))


def test_the_same_file_twice_makes_no_new_rows(tensorflow, torch):
    with Database.in_memory() as database:
        for path in (tensorflow, torch):
            items = read_aisim(path, device="v100")
            assert database.add(items) == len(items)
            assert database.add(read_aisim(path, device="v100")) == 0
        assert set(database.query()) == {*read_aisim(tensorflow, device="v100"), *items}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("Relu%input%[1]", 5.0, "is not an object"),
        ("Relu%input%[1]", {"std_err": 1}, "avg is None"),
        ("Relu%input%[1]", {"avg": "5"}, "avg is '5'"),
        ("Relu%input%[1]", {"avg": True}, "avg is True"),
        ("Relu%input%[1]", {"avg": math.nan}, "avg is nan"),
        ("Relu%input%[1]", {"avg": math.inf}, "avg is inf"),
        ("Relu%input%[1]", {"avg": 10**400}, "avg is 1000"),
        ("Relu%input%[1]", {"avg": -1}, "avg is -1"),
        ("Relu%input%[1]", {"avg": 0}, "avg is 0"),
        ("Relu%input%[1]", {"avg": 1e-320}, "avg is 0"),
        ("Relu%input%[1]", {"avg": 1, "std_err": -1}, "std_err is -1"),
        ("Relu%input", {"avg": 1}, "names and values"),
        ("Relu%input%1,2", {"avg": 1}, "is not a shape"),
        ("Relu%input%[1,a]", {"avg": 1}, "is not a shape"),
        ("Relu%input%[1,-2]", {"avg": 1}, "is not a shape"),
        ("Relu%T%1%T%1", {"avg": 1}, "stands twice"),
        ("Relu%%1", {"avg": 1}, "has no name"),
        ("", {"avg": 1}, "op_type is ''"),
        ("Re\0lu", {"avg": 1}, "op_type is"),
        ("Relu%name%\ud800", {"avg": 1}, "operator key has no text"),
    ],
)
def test_wrong_tensorflow_entries(tmp_path, key, value, said):
    path = tmp_path / "ops.json"
    path.write_text(json.dumps({CONV: {"avg": 1.0, "std_err": 0}, key: value}))
    with pytest.raises(InputError) as caught:
        read_aisim(path, device="v100")
    assert str(caught.value).startswith(f"{path}: {key!r}: ")
    assert said in str(caught.value)


@pytest.mark.parametrize("value", ["1", None, [1], -1.0, math.nan, math.inf, True, 10**400])
def test_wrong_torch_entries(torch, value):
    for path, good in ((torch, TORCH), (torch.with_name("net_b16_var.json"), VARIANCES)):
        before = path.read_text()
        path.write_text(json.dumps(good | {"conv1": value}))
        with pytest.raises(InputError) as caught:
            read_aisim(torch, device="a100")
        assert str(caught.value).startswith(f"{path}: 'conv1': ")
        path.write_text(before)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "1", '{"a": 1, "a": 2}', "[" * 100_000, '{"a": ' + "1" * 5000 + "}"]
)
def test_wrong_files(tmp_path, text):
    path = tmp_path / "ops.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"ops\.json: "):
        read_aisim(path, device="v100")


def test_no_file(tmp_path):
    for path in (tmp_path / "none.json", tmp_path, tmp_path / "a\0b.json"):
        with pytest.raises(InputError, match="cannot be read"):
            read_aisim(path, device="v100")


def test_an_empty_file_holds_nothing(tmp_path):
    (tmp_path / "ops.json").write_text("{}")
    assert read_aisim(tmp_path / "ops.json", device="v100") == []


edits = st.lists(
    st.tuples(
        st.sampled_from(["put", "insert", "delete", "repeat", "cut"]),
        st.integers(0, 10**4),
        st.binary(min_size=1, max_size=3)
        | st.sampled_from(
            [
                b"%",
                b"[",
                b"]",
                b"{",
                b"}",
                b'"',
                b",",
                b":",
                b"-",
                b"0",
                b"NaN",
                b"1e999",
                b"null",
                b"true",
                b"\\u0000",
                b"\\ud800",
                b"Infinity",
            ]
        ),
    ),
    min_size=1,
    max_size=6,
)


def mutate(data: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    for kind, number, piece in changes:
        place = number % (len(data) + 1)
        if kind == "put":
            data = data[:place] + piece + data[place + len(piece) :]
        elif kind == "insert":
            data = data[:place] + piece + data[place:]
        elif kind == "delete":
            data = data[:place] + data[place + len(piece) :]
        elif kind == "repeat":
            data = data[:place] + data[place : place + 40] * 2 + data[place + 40 :]
        else:
            data = data[:place]
    return data


@pytest.mark.parametrize("flavour", ["tensorflow", "torch", "variances"])
@settings(
    max_examples=150,
    suppress_health_check=[
        *settings.default.suppress_health_check,
        HealthCheck.function_scoped_fixture,
    ],
)
@given(changes=edits)
def test_no_mutation_gives_more_than_one_clear_error(tmp_path, flavour, changes):
    main, twin = tmp_path / "net_db.json", tmp_path / "net_var.json"
    main.write_text(json.dumps(TENSORFLOW if flavour == "tensorflow" else TORCH, indent=4))
    twin.write_text(json.dumps(VARIANCES, indent=4))
    mutated = twin if flavour == "variances" else main
    mutated.write_bytes(mutate(mutated.read_bytes(), changes))
    try:
        found = read_aisim(main, device="v100")
        with Database.in_memory() as database:
            assert database.add(found) == len(set(found))
            assert set(database.query()) == set(found)
    except LyditeError as error:
        assert str(tmp_path) in str(error)
        str(error).encode()
        return
    assert all(m.status == "skipped" or m.median_s > 0 for m in found)
