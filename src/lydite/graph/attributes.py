"""Attributes between ONNX's protobuf and plain Python values."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, defs, helper, numpy_helper

from lydite.graph.dtypes import type_from_proto, type_to_proto
from lydite.graph.graph import Attr, Graph
from lydite.opkey import TensorType

_A = AttributeProto


def attr_from_proto(proto: AttributeProto, read_graph: Callable[[onnx.GraphProto], Graph]) -> Attr:
    """An attribute as int, float, str, bytes, tuple, array, `Graph` or `TensorType`."""
    kind = proto.type
    if kind == _A.STRING:
        return _text(proto.s)
    if kind == _A.STRINGS:
        return tuple(_text(item) for item in proto.strings)
    if kind == _A.TENSOR:
        return numpy_helper.to_array(proto.t)
    if kind == _A.GRAPH:
        return read_graph(proto.g)
    if kind == _A.GRAPHS:
        return tuple(read_graph(item) for item in proto.graphs)
    if kind == _A.TYPE_PROTO:
        return type_from_proto(proto.tp)
    if kind == _A.SPARSE_TENSOR:
        return proto.sparse_tensor.SerializeToString()
    if kind == _A.TENSORS:
        return tuple(numpy_helper.to_array(item) for item in proto.tensors)
    if kind == _A.TYPE_PROTOS:
        return tuple(type_from_proto(item) for item in proto.type_protos)
    if kind not in (_A.INT, _A.FLOAT, _A.INTS, _A.FLOATS):
        raise ValueError(f"'{proto.name}' has the unknown type {kind}")
    value = helper.get_attribute_value(proto)
    return tuple(value) if kind in (_A.INTS, _A.FLOATS) else value


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def attr_to_proto(
    name: str, value: Attr, write_graph: Callable[[Graph], onnx.GraphProto], op_schema: object
) -> AttributeProto:
    """The protobuf of an attribute; the schema settles the type of an empty list."""
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
        kind: Any = op_schema.attributes[name].type
        return int(kind.value)
    return None


@lru_cache(maxsize=4096)
def schema(op_type: str, domain: str, opset: int) -> defs.OpSchema | None:
    """ONNX's schema of an operator at an opset; None outside the standard."""
    try:
        return defs.get_schema(op_type, opset, domain)
    except defs.SchemaError:
        return None


@lru_cache(maxsize=4096)
def default_attrs(op_type: str, domain: str, opset: int) -> dict[str, Attr]:
    """Attribute defaults that the schema states."""
    found = schema(op_type, domain, opset)
    if found is None:
        return {}
    return {
        name: attr_from_proto(attribute.default_value, lambda _: Graph("", (), {}, (), ()))
        for name, attribute in found.attributes.items()
        if attribute.default_value.name
    }
