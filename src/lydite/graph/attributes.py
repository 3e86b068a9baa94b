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
    if isinstance(value, Graph):
        return helper.make_attribute(name, write_graph(value))
    if isinstance(value, TensorType):
        return helper.make_attribute(name, type_to_proto(value))
    if isinstance(value, np.ndarray):
        return helper.make_attribute(name, numpy_helper.from_array(value))
    declared = _declared_type(op_schema, name)
    if isinstance(value, tuple) and not value:
        return helper.make_attribute(name, [], attr_type=declared or _A.INTS)
    if declared == _A.SPARSE_TENSOR and isinstance(value, bytes):
        return helper.make_attribute(name, onnx.SparseTensorProto.FromString(value))
    if declared == _A.FLOAT and isinstance(value, int):
        value = float(value)
    return helper.make_attribute(name, list(value) if isinstance(value, tuple) else value)


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
