"""Conversion of attributes between ONNX's protobuf and plain Python values."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, defs, helper, numpy_helper

from lydite.graph.dtypes import type_from_proto, type_to_proto
from lydite.graph.graph import Graph
from lydite.graph.op import Attr, Op
from lydite.opkey import TensorType

_A = AttributeProto
_LARGEST = float(np.finfo(np.float32).max)


def attr_from_proto(proto: AttributeProto, read_graph: Callable[[onnx.GraphProto], Graph]) -> Attr:
    """An attribute as int, float, str, bytes, tuple, array, `Graph` or `TensorType`.

    Raises:
        ValueError: the attribute's type is unknown, or it is a tensor that contradicts itself.
    """
    if proto.type == _A.GRAPH:
        return read_graph(proto.g)
    if proto.type == _A.GRAPHS:
        return tuple(read_graph(item) for item in proto.graphs)
    if proto.type not in _READ:
        raise ValueError(f"'{proto.name}' has the unknown type {proto.type}")
    return _READ[proto.type](proto)


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


_READ: dict[int, Callable[[AttributeProto], Attr]] = {
    _A.INT: lambda proto: proto.i,
    _A.INTS: lambda proto: tuple(proto.ints),
    _A.FLOAT: lambda proto: short_float(proto.f),
    _A.FLOATS: lambda proto: tuple(map(short_float, proto.floats)),
    _A.STRING: lambda proto: _text(proto.s),
    _A.STRINGS: lambda proto: tuple(map(_text, proto.strings)),
    _A.TENSOR: lambda proto: numpy_helper.to_array(proto.t),
    _A.TENSORS: lambda proto: tuple(map(numpy_helper.to_array, proto.tensors)),
    _A.TYPE_PROTO: lambda proto: type_from_proto(proto.tp),
    _A.TYPE_PROTOS: lambda proto: tuple(map(type_from_proto, proto.type_protos)),
    _A.SPARSE_TENSOR: lambda proto: proto.sparse_tensor.SerializeToString(),
}


def short_float(value: float) -> float:
    """The shortest decimal that rounds to the same float32: 1e-05, not 9.9999997e-06."""
    return float(str(np.float32(value))) if abs(value) <= _LARGEST else value


def attr_to_proto(
    name: str, value: Attr, write_graph: Callable[[Graph], onnx.GraphProto], op_schema: object
) -> AttributeProto:
    """The protobuf of an attribute; the schema determines the type of an empty list."""
    declared = _declared_type(op_schema, name)
    if isinstance(value, tuple):
        items = [_to_proto(item, write_graph, declared) for item in value]
        if items:
            return helper.make_attribute(name, items)
        return helper.make_attribute(
            name, items, attr_type=declared if declared in _LISTS else _A.INTS
        )
    return helper.make_attribute(name, _to_proto(value, write_graph, declared))


_LISTS = (_A.INTS, _A.FLOATS, _A.STRINGS, _A.TENSORS, _A.GRAPHS, _A.TYPE_PROTOS)


def _to_proto(
    value: Attr, write_graph: Callable[[Graph], onnx.GraphProto], declared: int | None
) -> Any:
    if isinstance(value, Graph):
        return write_graph(value)
    if isinstance(value, TensorType):
        return type_to_proto(value)
    if isinstance(value, np.ndarray):
        return numpy_helper.from_array(value)
    if declared == _A.SPARSE_TENSOR and isinstance(value, bytes):
        return onnx.SparseTensorProto.FromString(value)
    if declared in (_A.FLOAT, _A.FLOATS) and isinstance(value, int):
        return float(value)
    return value


def _declared_type(op_schema: object, name: str) -> int | None:
    if isinstance(op_schema, defs.OpSchema) and name in op_schema.attributes:
        declared: Any = op_schema.attributes[name].type
        return int(declared.value)
    return None


_ADDED = {"Attention": ("window",), "Loop": ("trips",)}
"""Attributes that standard operators have here and not in the standard.

`window` is the number of keys that a query attends to; a file says so by a mask. `trips` is the
number of iterations that follows from known values; a file has the values.
"""


def standard_attrs(op: Op) -> dict[str, Attr]:
    """The attributes of an operator that its schema knows."""
    added = _ADDED.get(op.op_type, ()) if not op.domain else ()
    return {name: value for name, value in op.attrs.items() if name not in added}


@lru_cache(maxsize=4096)
def schema(op_type: str, domain: str, opset: int) -> defs.OpSchema | None:
    """ONNX's schema of an operator at an opset; None for operators outside the standard."""
    try:
        return defs.get_schema(op_type, opset, domain)
    except defs.SchemaError:
        return None


@lru_cache(maxsize=4096)
def default_attrs(op_type: str, domain: str, opset: int) -> dict[str, Attr]:
    """Default values of attributes, from the operator's schema."""
    op_schema = schema(op_type, domain, opset)
    if op_schema is None:
        return {}
    return {
        name: attr_from_proto(attribute.default_value, lambda _: Graph("", (), {}, (), ()))
        for name, attribute in op_schema.attributes.items()
        if attribute.default_value.name
    }
