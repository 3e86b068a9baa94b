"""Binary GraphDefs and SavedModels as the tree of messages that the text form gives.

The schema is the part of TensorFlow's protocol (tensorflow/core/framework/{graph,node_def,
attr_value,tensor,tensor_shape}.proto and protobuf/saved_model.proto) that the reader needs, given
to protobuf, which skips all other fields and refuses nesting beyond 100 messages. A frozen graph is
a GraphDef; a SavedModel holds one in its first meta graph.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from lydite.errors import InputError
from lydite.graph.formats.pbtxt import Name, TextMessage, Value

SAVED_MODEL = "saved_model.pb"
MOST_BYTES = 1 << 31
"""Protobuf's own limit on a file."""

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_DTYPES = (
    "INVALID FLOAT DOUBLE INT32 UINT8 INT16 INT8 STRING COMPLEX64 INT64 BOOL QINT8 QUINT8 QINT32 "
    "BFLOAT16 QINT16 QUINT16 UINT16 COMPLEX128 HALF RESOURCE VARIANT UINT32 UINT64"
)
_TYPE_NAMES = {number: Name(f"DT_{name}") for number, name in enumerate(_DTYPES.split())}
"""tensorflow/core/framework/types.proto."""

# message: {field: (number, type)}; "*" for a repeated field, a capital for a message.
_SCHEMA: dict[str, dict[str, tuple[int, str]]] = {
    "GraphDef": {"node": (1, "*NodeDef")},
    "NodeDef": {
        "name": (1, "string"),
        "op": (2, "string"),
        "input": (3, "*string"),
        "device": (4, "string"),
        "attr": (5, "*Attr"),
    },
    "Attr": {"key": (1, "string"), "value": (2, "AttrValue")},
    "AttrValue": {
        "list": (1, "ListValue"),
        "s": (2, "bytes"),
        "i": (3, "int64"),
        "f": (4, "float"),
        "b": (5, "bool"),
        "type": (6, "int32"),
        "shape": (7, "TensorShapeProto"),
        "tensor": (8, "TensorProto"),
    },
    "ListValue": {
        "s": (2, "*bytes"),
        "i": (3, "*int64"),
        "f": (4, "*float"),
        "b": (5, "*bool"),
        "type": (6, "*int32"),
        "shape": (7, "*TensorShapeProto"),
    },
    "TensorShapeProto": {"dim": (2, "*Dim"), "unknown_rank": (3, "bool")},
    "Dim": {"size": (1, "int64")},
    "TensorProto": {
        "dtype": (1, "int32"),
        "tensor_shape": (2, "TensorShapeProto"),
        "tensor_content": (4, "bytes"),
        "half_val": (13, "*int32"),
        "float_val": (5, "*float"),
        "double_val": (6, "*double"),
        "int_val": (7, "*int32"),
        "string_val": (8, "*bytes"),
        "int64_val": (10, "*int64"),
        "bool_val": (11, "*bool"),
        "uint32_val": (16, "*uint32"),
        "uint64_val": (17, "*uint64"),
    },
    "MetaGraphDef": {"graph_def": (2, "GraphDef")},
    "SavedModel": {"schema_version": (1, "int64"), "meta_graphs": (2, "*MetaGraphDef")},
}
_TYPED = {"type", "dtype"}


class BinaryMessage(TextMessage):
    """A message whose values stand at a node of the file, counted from 1, not on a line."""

    unit = "node"


def read_graphdef_bytes(path: Path | str) -> TextMessage:
    """The GraphDef of a frozen graph or a SavedModel (a file, or the folder that holds it).

    Raises:
        InputError: there is no such file, it is no such message, or it keeps its operators in
            functions, as TensorFlow 2 does.
    """
    path = Path(path)
    path = path / SAVED_MODEL if path.is_dir() else path
    try:
        if path.stat().st_size >= MOST_BYTES:
            raise InputError("is too large", where=str(path), allowed="less than 2 GiB")
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    graph = _parsed(raw, path)
    root = BinaryMessage(str(path), 1)
    root.fields["node"] = [
        Value(_message(node, str(path), at), at) for at, node in enumerate(graph.node, 1)
    ]
    calls = sorted({node.name for node in graph.node if node.op in _CALLS})
    if calls:
        raise InputError(
            f"keeps its operators in functions that '{calls[0]:.60}' calls (TensorFlow 2)",
            where=str(path),
            allowed="a frozen graph, or TensorFlow 1's SavedModel",
            hint="freeze it (convert_variables_to_constants_v2) or convert it to ONNX with tf2onnx",
        )
    return root


def is_graphdef(path: Path | str) -> bool:
    """Whether a file, or the SavedModel of a folder, begins as such a message does."""
    path = Path(path)
    path = path / SAVED_MODEL if path.is_dir() else path
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(64)
    # Field 1 of a GraphDef is a node whose field 1 is its name; a SavedModel's is its version, 1.
    node = start[:1] == b"\n" and b"\n" in start[2:7]
    return node or start[:3] == b"\x08\x01\x12"


def _parsed(raw: bytes, path: Path) -> Any:
    from google.protobuf.message import DecodeError

    classes = _classes()
    try:
        if raw[:3] == b"\x08\x01\x12":
            saved = classes["SavedModel"].FromString(raw)
            graph = saved.meta_graphs[0].graph_def if saved.meta_graphs else None
        else:
            graph = classes["GraphDef"].FromString(raw)
    except DecodeError:
        graph = None
    if graph is None or not graph.node:
        raise InputError(
            "is no GraphDef", where=str(path), allowed="a frozen graph or a SavedModel"
        )
    return graph


def _message(message: Any, where: str, node: int) -> TextMessage:
    """A parsed message as a tree; its fields that are absent are left out."""
    found = BinaryMessage(where, node)
    for descriptor, value in message.ListFields():
        name = descriptor.name
        items = value if descriptor.is_repeated else (value,)
        found.fields[name] = [Value(_value(name, item, where, node), node) for item in items]
    return found


def _value(name: str, value: Any, where: str, node: int) -> Any:
    if isinstance(value, bool):
        return Name("true" if value else "false")
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, int):
        # Types beyond 100 are references to variables of the type.
        return _TYPE_NAMES.get(value % 100, Name(f"DT_{value}")) if name in _TYPED else value
    return value if isinstance(value, float | bytes) else _message(value, where, node)


@cache
def _classes() -> dict[str, Any]:
    """Protobuf's classes of the schema, in a pool of their own."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field_proto: Any = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="lydite_graphdef.proto", package="lydite_graphdef", syntax="proto2"
    )
    for message, fields in _SCHEMA.items():
        described = file.message_type.add(name=message)
        for name, (number, type_) in fields.items():
            plain = type_.removeprefix("*")
            field = described.field.add(
                name=name,
                number=number,
                label=field_proto.LABEL_REPEATED
                if type_.startswith("*")
                else field_proto.LABEL_OPTIONAL,
            )
            if plain[0].isupper():
                field.type = field_proto.TYPE_MESSAGE
                field.type_name = f".lydite_graphdef.{plain}"
            else:
                field.type = getattr(field_proto, f"TYPE_{plain.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"lydite_graphdef.{name}"))
        for name in _SCHEMA
    }
