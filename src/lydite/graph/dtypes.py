"""Names of element types: ONNX's number, Lydite's text and numpy's dtype."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from lydite.errors import GraphError, unknown_name
from lydite.opkey import Dim, TensorType

_MADE_UP = "unk__"


@cache
def _names() -> dict[str, int]:
    table = {name.lower(): number for name, number in TensorProto.DataType.items() if number}
    table |= {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}
    return {k: v for k, v in table.items() if k not in ("float", "double")}


@cache
def _numbers() -> dict[int, str]:
    return {number: name for name, number in _names().items()}


def dtype_name(number: int) -> str:
    """Text of an ONNX number, such as "float32" for 1; "" for an undefined type."""
    return _numbers().get(number, "")


def dtype_number(name: str) -> int:
    """ONNX's number of a dtype name.

    Raises:
        InputError: there is no such dtype.
    """
    if name not in _names():
        raise unknown_name("data type", name, _names())
    return _names()[name]


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The numpy dtype of a name (from ml_dtypes if numpy has none)."""
    return helper.tensor_dtype_to_np_dtype(dtype_number(name))


def type_from_proto(proto: onnx.TypeProto) -> TensorType:
    """A `TensorType` from protobuf; a dimension without size and name gets the name "?"."""
    field = proto.WhichOneof("value")
    if field in ("tensor_type", "sparse_tensor_type"):
        tensor = getattr(proto, field)
        if not tensor.HasField("shape"):
            return TensorType(dtype_name(tensor.elem_type), None)
        return TensorType(dtype_name(tensor.elem_type), tuple(map(_dim, tensor.shape.dim)))
    if field in ("sequence_type", "optional_type"):
        inner = type_from_proto(getattr(proto, field).elem_type)
        return TensorType(f"{'seq' if field == 'sequence_type' else 'optional'}({inner.dtype})")
    if field == "map_type":
        key, value = dtype_name(proto.map_type.key_type), type_from_proto(proto.map_type.value_type)
        return TensorType(f"map({key},{value.dtype})")
    return TensorType("", None)


def _dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    """A size; "?" for a dimension without a name, or with one that ONNX's inference generated."""
    if dim.HasField("dim_value") and dim.dim_value >= 0:
        return dim.dim_value
    return "?" if is_made_up(dim.dim_param) else dim.dim_param


def is_made_up(name: str) -> bool:
    """Whether a size has no name, or one that a converter or ONNX's inference generated."""
    return not name or name.startswith(_MADE_UP)


def type_to_proto(type_: TensorType) -> onnx.TypeProto:
    """The inverse of `type_from_proto` for tensors, sequences, maps and optionals.

    Raises:
        GraphError: the dtype is unknown.
    """
    for prefix, make in (
        ("seq(", helper.make_sequence_type_proto),
        ("optional(", helper.make_optional_type_proto),
    ):
        if type_.dtype.startswith(prefix):
            return make(type_to_proto(TensorType(type_.dtype[len(prefix) : -1])))
    if type_.dtype.startswith("map("):
        key, _, value = type_.dtype[4:-1].partition(",")
        entries = onnx.TypeProto.Map(
            key_type=dtype_number(key), value_type=type_to_proto(TensorType(value, ()))
        )
        return onnx.TypeProto(map_type=entries)
    if not type_.dtype:
        raise GraphError("a tensor of unknown type cannot be written")
    shape = None if type_.shape is None else [None if d == "?" else d for d in type_.shape]
    return helper.make_tensor_type_proto(dtype_number(type_.dtype), shape)
