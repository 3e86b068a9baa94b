"""Nodes of a TensorFlow GraphDef in text form: names, inputs and decoded attributes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lydite.graph.formats.pbtxt import Name, TextMessage, Value
from lydite.graph.op import Attr
from lydite.records import dataclass

DTYPES = {
    "DT_FLOAT": "float32",
    "DT_DOUBLE": "float64",
    "DT_INT32": "int32",
    "DT_UINT8": "uint8",
    "DT_INT16": "int16",
    "DT_INT8": "int8",
    "DT_STRING": "string",
    "DT_COMPLEX64": "complex64",
    "DT_INT64": "int64",
    "DT_BOOL": "bool",
    "DT_BFLOAT16": "bfloat16",
    "DT_UINT16": "uint16",
    "DT_COMPLEX128": "complex128",
    "DT_HALF": "float16",
    "DT_UINT32": "uint32",
    "DT_UINT64": "uint64",
}
"""Element types; other types, such as DT_RESOURCE, are not numeric tensors."""

_VALUES = {
    "float32": "float_val",
    "float64": "double_val",
    "int32": "int_val",
    "int16": "int_val",
    "int8": "int_val",
    "uint8": "int_val",
    "uint16": "int_val",
    "int64": "int64_val",
    "bool": "bool_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "float16": "half_val",
}


@dataclass(slots=True)
class TfNode:
    """One node.

    Attributes:
        inputs: Node and output index of every data input, in order.
        controls: Nodes that must run before.
        attrs: Decoded attributes; those that cannot be decoded are kept as text.
        line: Line number in the file.
    """

    name: str
    op: str
    inputs: list[tuple[str, int]]
    controls: list[str]
    attrs: dict[str, Attr]
    line: int


def node_of(message: TextMessage) -> TfNode:
    """Decode a node.

    Raises:
        InputError: the node has no name, no operator, or an invalid input; the error gives the
            line.
    """
    name, op = message.text("name"), message.text("op")
    if not name or not op:
        raise message.error("a node needs a name and an op")
    node = TfNode(name, op, [], [], {}, message.line)
    for text in message.texts("input"):
        if text.startswith("^"):
            node.controls.append(text[1:])
            continue
        source, colon, index = text.rpartition(":")
        if colon and not (index.isdecimal() and index.isascii() and len(index) < 6 and source):
            raise message.error(
                f"'{name}' has the invalid input '{text}'", allowed="node or node:number"
            )
        node.inputs.append((source, int(index)) if colon else (text, 0))
    for entry in message.messages("attr"):
        value = entry.message("value")
        if value is not None and entry.text("key"):
            node.attrs[entry.text("key")] = attr_of(value)
    return node


def attr_of(value: TextMessage) -> Attr:
    """An attribute: number, text, type name, shape (-1 for an unknown size), tuple or array."""
    for field, read in _READ.items():
        if value.all(field):
            return read(value)
    if (inner := value.message("list")) is not None:
        return tuple(
            _scalar_or_shape(item, field) for field, items in inner.fields.items() for item in items
        )
    return as_text(value)


def _scalar_or_shape(item: Value, field: str) -> Any:
    holder = TextMessage("", item.line, {field: [item]})
    return _READ[field](holder) if field in _READ else as_text(holder)


def _bool(value: TextMessage) -> bool:
    return value.name("b", ("true", "false")) == "true"


def _string(value: TextMessage) -> str:
    raw = value.all("s")[-1].value
    return raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else str(raw)


def _type(value: TextMessage) -> str:
    return DTYPES.get(value.name("type"), value.name("type"))


def _shape(value: TextMessage) -> tuple[int, ...] | str:
    shape = value.message("shape")
    return shape_of(shape) if shape is not None else ""


def shape_of(shape: TextMessage) -> tuple[int, ...] | str:
    """Sizes of a TensorShapeProto, -1 for an unknown one; "unknown" for an unknown rank."""
    if shape.name("unknown_rank") == "true":
        return "unknown"
    sizes = ((dim.ints("size") or [0])[-1] for dim in shape.messages("dim"))
    return tuple(size if size >= 0 else -1 for size in sizes)


def _tensor(value: TextMessage) -> np.ndarray | str:
    tensor = value.message("tensor")
    assert tensor is not None
    dtype, shape = DTYPES.get(tensor.name("dtype"), ""), tensor.message("tensor_shape")
    dims = shape_of(shape) if shape is not None else ()
    if dtype not in _VALUES or isinstance(dims, str) or -1 in dims or math.prod(dims) >= 1 << 40:
        return as_text(tensor)
    count = math.prod(dims)
    content = b"".join(v.value for v in tensor.all("tensor_content") if isinstance(v.value, bytes))
    if content:
        flat = (
            np.frombuffer(content, dtype)
            if len(content) == count * np.dtype(dtype).itemsize
            else None
        )
    else:
        flat = _listed(tensor, dtype, count)
    if flat is None or flat.size != count:
        raise tensor.error(f"its content does not match {dtype}{list(dims)}")
    return np.broadcast_to(flat[0], dims) if 0 in flat.strides and count else flat.reshape(dims)


def _listed(tensor: TextMessage, dtype: str, count: int) -> np.ndarray | None:
    """Values that are listed; the last one is repeated for those omitted, without using memory."""
    field = _VALUES[dtype]
    words = {"true": 1.0, "false": 0.0}
    if any(isinstance(value.value, Name) and value.value in words for value in tensor.all(field)):
        numbers = [words.get(str(value.value), 0.0) for value in tensor.all(field)]
    else:
        numbers = tensor.numbers(field)
    if len(numbers) > count:
        return None
    with np.errstate(all="ignore"):
        given = np.array(numbers or [0.0])
        values = (
            given.astype(np.uint16).view(np.float16) if dtype == "float16" else given.astype(dtype)
        )
    if len(numbers) <= 1:
        return np.broadcast_to(values[0], (count,))
    return np.pad(values, (0, min(count - len(numbers), 1 << 20)), mode="edge")


def as_text(message: TextMessage) -> str:
    """A message that is not decoded, on one line."""
    parts = []
    for name, values in message.fields.items():
        for value in values:
            inner = value.value
            if isinstance(inner, TextMessage):
                parts.append(f"{name} {{ {as_text(inner)} }}")
            else:
                text = (
                    inner.decode("utf-8", "backslashreplace") if isinstance(inner, bytes) else inner
                )
                parts.append(f"{name}: {text}")
    return " ".join(parts)


_READ: dict[str, Any] = {
    "type": _type,
    "shape": _shape,
    "s": _string,
    "i": lambda value: value.ints("i")[-1],
    "f": lambda value: value.numbers("f")[-1],
    "b": _bool,
    "tensor": _tensor,
}
