"""What a file is, is told by its suffix and its content."""

import json

import pytest

from lydite.compat.smaug import write_smaug
from lydite.errors import InputError
from lydite.graph import Builder, write_onnx
from lydite.graph.formats import read_file


def tiny(batch=1):
    g = Builder("tiny", dtype="float16")
    return g.build(g.relu(g.linear(g.input("x", (batch, 8)), 4, bias=False)))


def test_onnx_with_sizes(tmp_path):
    path = write_onnx(tiny("N"), tmp_path / "x.onnx")
    assert read_file(path, dims={"N": 3}).type_of("relu.out").shape == (3, 4)
    with pytest.raises(InputError, match="ONNX has no parameter file"):
        read_file(path, params=path)


def test_smaug_with_and_without_weights(tmp_path):
    topology, params = write_smaug(tiny(), tmp_path)
    assert read_file(topology).ops == tiny().ops
    assert not read_file(topology).initializers["fc.weight"].has_data
    assert read_file(topology, params=params).initializers["fc.weight"].has_data


def test_tensorflow(tmp_path):
    path = tmp_path / "g.pbtxt"
    path.write_text(
        'node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } } '
        'attr { key: "shape" value { shape { dim { size: -1 } dim { size: 3 } } } } }'
        'node { name: "y" op: "Relu" input: "x" attr { key: "T" value { type: DT_FLOAT } } }'
    )
    assert str(read_file(path).type_of("y")) == "float32[x.0,3]"
    assert str(read_file(path, dims={"x.0": 5}).type_of("y")) == "float32[5,3]"
    with pytest.raises(InputError, match="TensorFlow has no parameter file"):
        read_file(path, params=path)


def test_aisim(tmp_path):
    path = tmp_path / "g.json"
    node = {
        "name": "x",
        "op": "x",
        "input_nodes": [],
        "output_nodes": [],
        "output_types": ["torch.float32"],
        "output_shapes": [[2]],
    }
    path.write_text(json.dumps([node]))
    assert read_file(path).inputs == ("x",)
    path.write_text('{"x": 1}')
    with pytest.raises(
        InputError, match="has content that no reader recognises; allowed: AISim's list"
    ):
        read_file(path)
    path.write_text("[")
    with pytest.raises(InputError, match="is not JSON"):
        read_file(path)


def test_what_is_not_read(tmp_path):
    path = tmp_path / "x.pbtxt"
    path.write_text("a: 1")
    with pytest.raises(
        InputError, match=r"x.pbtxt: has content that no reader recognises; allowed: SMAUG"
    ):
        read_file(path)
    with pytest.raises(InputError, match=r"torch\.export\.load unpickles"):
        read_file(tmp_path / "x.pt2")
    (tmp_path / "x.h5").write_bytes(b"")
    with pytest.raises(InputError, match=r"unknown format; allowed: \*.onnx \(ONNX\), \*.json"):
        read_file(tmp_path / "x.h5")
    with pytest.raises(InputError, match="no such file"):
        read_file(tmp_path / "y")
    with pytest.raises(InputError, match="is a folder"):
        read_file(tmp_path)
