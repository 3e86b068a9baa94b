"""SMAUG's `_params.pb`: a TensorDataArray, with two float16 numbers packed into each int32."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from lydite.compat.smaug.topology.network import Network, Spec
from lydite.errors import InputError

_FIELDS = {  # dtype: (field, its number, its protobuf type, numpy's type of what is stored)
    "float16": ("half_data", 2, "TYPE_INT32", np.int32),
    "float32": ("float_data", 3, "TYPE_FLOAT", np.float32),
    "float64": ("double_data", 4, "TYPE_DOUBLE", np.float64),
    "int32": ("int_data", 5, "TYPE_INT32", np.int32),
    "int64": ("int64_data", 6, "TYPE_INT64", np.int64),
    "bool": ("bool_data", 7, "TYPE_BOOL", np.bool_),
}


@cache
def _array_type() -> Any:
    """The message type TensorDataArray, made from its field numbers."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="lydite_smaug.proto", package="lydite_smaug")
    file.syntax = "proto3"
    tensor = file.message_type.add(name="TensorData")
    tensor.field.add(name="name", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    for name, number, kind, _ in _FIELDS.values():
        tensor.field.add(
            name=name, number=number, type=getattr(kinds, kind), label=kinds.LABEL_REPEATED
        )
    array = file.message_type.add(name="TensorDataArray")
    array.field.add(
        name="data_array",
        number=1,
        type=kinds.TYPE_MESSAGE,
        label=kinds.LABEL_REPEATED,
        type_name=".lydite_smaug.TensorData",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("lydite_smaug.TensorDataArray")
    )


def load_params(network: Network, path: Path | str) -> None:
    """Add the values in `path` to `network.data`, to be decoded on demand.

    Raises:
        InputError: the file does not exist, is truncated, or does not fit the network (names the
            tensor).
    """
    message = _parsed(path)
    specs = {node.inputs[0].name: node.inputs[0] for node in network.nodes if node.op == "Data"}
    tensors: dict[str, Any] = {}
    for tensor in message.data_array:
        if tensor.name in tensors:
            raise InputError(f"has the tensor '{tensor.name}' twice", where=str(path))
        tensors[tensor.name] = tensor
    for name in tensors:
        if name not in specs:
            raise InputError(
                f"has the tensor '{name}', which '{network.where}' does not have", where=str(path)
            )
    for name, spec in specs.items():
        if name not in tensors:
            raise InputError(f"has no tensor '{name}' {spec}", where=str(path))
        _check_count(spec, tensors[name], str(path))
        network.data[name] = _lazy(spec, tensors[name])


def _parsed(path: Path | str) -> Any:
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    message = _array_type()()
    try:
        message.ParseFromString(raw)
    except (DecodeError, UnicodeDecodeError) as error:
        raise InputError(
            "is not a TensorDataArray of SMAUG, or is truncated", where=str(path)
        ) from error
    return message


def _check_count(spec: Spec, tensor: Any, where: str) -> None:
    filled = [name for name, *_ in _FIELDS.values() if len(getattr(tensor, name))]
    wanted, _, _, _ = _FIELDS[spec.dtype]
    stored = int(np.prod(spec.stored_dims, dtype=object))
    words = (stored + 1) // 2 if spec.dtype == "float16" else stored
    if filled != [wanted] or len(getattr(tensor, wanted)) != words:
        held = ", ".join(f"{len(getattr(tensor, name))} of {name}" for name in filled) or "nothing"
        raise InputError(
            f"tensor '{spec.name}' holds {held}",
            where=where,
            allowed=f"{words} of {wanted} for {spec.dtype} {spec} stored as "
            f"{list(spec.stored_dims)}",
        )


def _lazy(spec: Spec, tensor: Any):
    name, _, _, stored_type = _FIELDS[spec.dtype]

    def load() -> np.ndarray:
        flat = np.array(getattr(tensor, name), stored_type)
        if spec.dtype == "float16":
            flat = flat.view(np.float16)[: int(np.prod(spec.stored_dims))]
        return flat.reshape(spec.stored_dims)[..., : spec.dims[-1]]

    return load


def params_bytes(tensors: Iterable[tuple[Spec, np.ndarray]]) -> bytes:
    """The `_params.pb` of tensors, each given in its layout and without padding."""
    message = _array_type()()
    for spec, array in tensors:
        entry = message.data_array.add(name=spec.name)
        getattr(entry, _FIELDS[spec.dtype][0]).extend(_stored(spec, array))
    return message.SerializeToString()


def _stored(spec: Spec, array: np.ndarray) -> Iterator[Any]:
    padding = [(0, full - dim) for dim, full in zip(spec.dims, spec.stored_dims, strict=True)]
    flat = np.pad(np.asarray(array, spec.dtype).reshape(spec.dims), padding).ravel()
    if spec.dtype == "float16":
        flat = np.append(flat, np.float16(0)) if flat.size % 2 else flat
        flat = flat.view(np.int32)
    return iter(flat.tolist())
