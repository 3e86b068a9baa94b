"""Binary GraphDefs and SavedModels, encoded here byte by byte after protobuf's wire format."""

from __future__ import annotations

import struct

import pytest

from lydite.errors import InputError
from lydite.graph import total_work
from lydite.graph.formats import graph_of_graphdef, parse_pbtxt, read_file
from lydite.graph.formats.graphdef_binary import read_graphdef_bytes


def varint(number: int) -> bytes:
    number %= 1 << 64
    parts = []
    while True:
        parts.append(number & 127 | (128 if number > 127 else 0))
        number >>= 7
        if not number:
            return bytes(parts)


def message(*fields) -> bytes:
    """Fields as (number, int or bytes or float)."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        elif isinstance(value, float):
            out += varint(number << 3 | 5) + struct.pack("<f", value)
        else:
            raw = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(raw)) + raw
    return out


def shape(*sizes):
    return message(*((2, message((1, size))) for size in sizes))


def node(name, op, *inputs, **attrs):
    entries = [(5, message((1, key), (2, value))) for key, value in attrs.items()]
    return (1, message((1, name), (2, op), *((3, i) for i in inputs), *entries))


FLOAT = message((6, 1))
WEIGHTS = struct.pack("<6f", *range(6))
GRAPH = message(
    node("x", "Placeholder", dtype=FLOAT, shape=message((7, shape(4, 3)))),
    node(
        "w",
        "Const",
        dtype=FLOAT,
        value=message((8, message((1, 1), (2, shape(3, 2)), (4, WEIGHTS)))),
    ),
    node("b", "Const", dtype=FLOAT, value=message((8, message((1, 1), (2, shape(2)), (5, 0.5))))),
    node(
        "mm", "MatMul", "x", "w", T=FLOAT, transpose_a=message((5, 0)), transpose_b=message((5, 0))
    ),
    node("add", "BiasAdd", "mm", "b", T=FLOAT, unknown=message((99, "skipped"))),
    (4, message((1, 134))),
)
TEXT = """
node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } }
  attr { key: "shape" value { shape { dim { size: 4 } dim { size: 3 } } } } }
node { name: "w" op: "Const" attr { key: "dtype" value { type: DT_FLOAT } }
  attr { key: "value" value { tensor { dtype: DT_FLOAT tensor_shape { dim { size: 3 }
    dim { size: 2 } } float_val: 0 float_val: 1 float_val: 2 float_val: 3 float_val: 4
    float_val: 5 } } } }
node { name: "b" op: "Const" attr { key: "dtype" value { type: DT_FLOAT } }
  attr { key: "value" value { tensor { dtype: DT_FLOAT tensor_shape { dim { size: 2 } }
    float_val: 0.5 } } } }
node { name: "mm" op: "MatMul" input: "x" input: "w" attr { key: "T" value { type: DT_FLOAT } }
  attr { key: "transpose_a" value { b: false } } attr { key: "transpose_b" value { b: false } } }
node { name: "add" op: "BiasAdd" input: "mm" input: "b" attr { key: "T" value { type: DT_FLOAT } }
  attr { key: "unknown" value { } } }
"""


def test_a_frozen_graph_is_the_graph_of_its_text(tmp_path):
    path = tmp_path / "frozen.pb"
    path.write_bytes(GRAPH)
    binary, text = read_file(path), graph_of_graphdef(parse_pbtxt(TEXT))
    assert [op.op_type for op in binary.ops] == [op.op_type for op in text.ops]
    assert binary.tensors == text.tensors
    assert binary.initializers["w"].array().tolist() == [[0, 1], [2, 3], [4, 5]]
    assert binary.initializers["b"].array().tolist() == [0.5, 0.5]
    assert total_work(binary).total.flops == 2 * 4 * 3 * 2 + 4 * 2


def test_a_saved_model_is_a_folder_or_its_file(tmp_path):
    saved = message((1, 1), (2, message((1, b""), (2, GRAPH))))
    (tmp_path / "saved_model.pb").write_bytes(saved)
    for path in (tmp_path, tmp_path / "saved_model.pb"):
        assert len(read_file(path).ops) == 2


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "no GraphDef"),
        (GRAPH[:-40], "no GraphDef"),
        (b"\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "no GraphDef"),
        (message((1, 1), (2, message((2, b"")))), "no GraphDef"),
        (message(node("call", "StatefulPartitionedCall")), "keeps its operators in functions"),
    ],
)
def test_what_is_none(tmp_path, raw, reason):
    path = tmp_path / "broken.pb"
    path.write_bytes(raw)
    with pytest.raises(InputError, match=reason):
        read_graphdef_bytes(path)


def test_errors_count_nodes(tmp_path):
    path = tmp_path / "bad.pb"
    path.write_bytes(message(node("a", "Relu", "nobody", T=FLOAT)))
    with pytest.raises(InputError, match=r"bad.pb, node 1: a \(Relu\).*nobody"):
        read_file(path)
