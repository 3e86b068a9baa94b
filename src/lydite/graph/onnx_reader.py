"""Read an ONNX model as a `Graph`: opset 7 and up, external data left on disk, functions kept."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, numpy_helper, shape_inference

from lydite.errors import GraphError, InputError, unknown_name
from lydite.files import inside
from lydite.graph.attributes import attr_from_proto
from lydite.graph.dtypes import dtype_name, is_made_up, type_from_proto
from lydite.graph.graph import UNKNOWN, Graph, Initializer
from lydite.graph.guard import (
    check_attributes,
    check_domains,
    check_functions,
    check_text,
    is_external,
    safe_as_a_whole,
)
from lydite.graph.onnx_writer import SUBNORMAL, UNALLOCATED
from lydite.graph.op import Attr, Op
from lydite.graph.shapes.control import typed
from lydite.graph.shapes.functions import reads_models
from lydite.graph.shapes.infer import SMALL
from lydite.graph.shapes.propagate import Values
from lydite.opkey import Dim, TensorType


def read_onnx(path: Path | str, *, dims: Mapping[str, int] | None = None) -> Graph:
    """Read a model file; `dims` binds symbolic sizes by name.

    Raises:
        InputError: no such file, not an ONNX model, an opset older than 7, a domain that nobody
            knows, missing or escaping external data, or a name in `dims` that the model lacks.
        GraphError: the graph contradicts itself.
    """
    path = Path(path)
    try:
        model = onnx.load_model(str(path), load_external_data=False)
    except FileNotFoundError:
        raise InputError("no such file", where=str(path)) from None
    except IsADirectoryError:
        raise InputError("is a folder, not a model", where=str(path)) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (DecodeError, ValueError, RuntimeError) as error:
        raise InputError(
            "not an ONNX model, or a truncated one", where=str(path), hint="export it again"
        ) from error
    if not model.HasField("graph") or not model.opset_import:
        raise InputError(
            "not an ONNX model: it has no graph or no opset",
            where=str(path),
            hint="export it again",
        )
    try:
        return graph_from_model(model, folder=path.parent, dims=dims, where=str(path))
    except GraphError as error:
        raise GraphError(error.what, where=f"{path}: {error.where}") from error


def graph_from_model(
    model: onnx.ModelProto,
    *,
    folder: Path | None = None,
    dims: Mapping[str, int] | None = None,
    where: str = "model",
) -> Graph:
    """Read a model that lies in memory; see `read_onnx`.

    The model is taken over: its Constant nodes become initializers.
    """
    check_text(model, where)
    check_attributes(model, where)
    check_functions(model, where)
    _hoist_constants(model.graph)
    opsets = {
        "" if item.domain == "ai.onnx" else item.domain: item.version for item in model.opset_import
    }
    check_domains(model, opsets, where)
    inputs = _bound_inputs(model.graph, dims or {}, where)
    reader = _Reader(opsets, folder, where, model.functions)
    weights = reader.initializers(model.graph)
    nodes = _ordered(model.graph)
    shapes = _inferred(model, nodes, inputs, opsets)
    shapes |= {value.name: type_from_proto(value.type) for value in inputs}
    name = model.graph.name or Path(where).stem
    return reader.graph(model.graph, nodes, shapes, name, weights)


reads_models(graph_from_model)


_CONSTANT_FIELDS = {
    "value_float": TensorProto.FLOAT,
    "value_floats": TensorProto.FLOAT,
    "value_int": TensorProto.INT64,
    "value_ints": TensorProto.INT64,
}


def _hoist_constants(graph: onnx.GraphProto) -> None:
    """Turn Constant nodes into initializers, in bodies of control flow too.

    Exporters write weights either way (Paddle2ONNX as nodes); here they are one thing.
    """
    taken = {item.name for item in (*graph.initializer, *graph.input, *graph.output)}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        for body in _bodies(node):
            _hoist_constants(body)
        _say_default(node)
        tensor = _constant_tensor(node)
        if tensor is None or tensor.name in taken:
            kept.append(node)
        else:
            taken.add(tensor.name)
            graph.initializer.append(tensor)
    if len(kept) < len(graph.node):
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
        del graph.node[:]
        graph.node.extend(nodes)


def _say_default(node: onnx.NodeProto) -> None:
    """ONNX's inference takes an STFT for two-sided where it does not say, against the standard."""
    if node.op_type == "STFT" and not any(a.name == "onesided" for a in node.attribute):
        node.attribute.append(onnx.helper.make_attribute("onesided", 1))


def _constant_tensor(node: onnx.NodeProto) -> TensorProto | None:
    """The tensor of a Constant node; None for other nodes, and for sparse ones and texts."""
    plain = node.op_type == "Constant" and node.domain in ("", "ai.onnx") and len(node.output) == 1
    if not plain or len(node.attribute) != 1 or not node.output[0]:
        return None
    attribute = node.attribute[0]
    tensor = TensorProto()
    if attribute.name == "value" and attribute.HasField("t"):
        if is_external(attribute.t):  # refused where attributes are read
            return None
        tensor.CopyFrom(attribute.t)
    elif attribute.name in _CONSTANT_FIELDS:
        value = onnx.helper.get_attribute_value(attribute)
        dims = [len(value)] if attribute.name.endswith("s") else []
        numbers = list(value) if dims else [value]
        tensor = onnx.helper.make_tensor("", _CONSTANT_FIELDS[attribute.name], dims, numbers)
    else:
        return None
    tensor.name = node.output[0]
    return tensor


def _bound_inputs(
    graph: onnx.GraphProto, dims: Mapping[str, int], where: str
) -> list[onnx.ValueInfoProto]:
    """The inputs that are no weights, with symbolic sizes bound; nameless ones get a name."""
    weights = {init.name for init in graph.initializer}
    inputs: list[onnx.ValueInfoProto] = []
    seen: set[str] = set()
    for given in graph.input:
        if given.name in weights:
            continue
        value = onnx.ValueInfoProto()
        value.CopyFrom(given)
        inputs.append(value)
        if not value.type.HasField("tensor_type"):
            continue
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.HasField("dim_value") and dim.dim_value >= 0:
                continue
            # "?", a generated name or none at all are not one size that several axes share
            stated = dim.dim_param.strip("?")
            name = f"{value.name}.{axis}" if is_made_up(stated) else stated
            seen.add(name)
            dim.dim_param = name
            if name in dims:
                dim.dim_value = dims[name]
    for name, size in dims.items():
        if name not in seen:
            raise InputError(unknown_name("symbolic dimension", name, seen).args[0], where=where)
        if size < 1:
            raise InputError(f"--dim {name}={size}: a size is at least 1", where=where)
    return inputs


def _inferred(
    model: onnx.ModelProto,
    nodes: Iterable[onnx.NodeProto],
    inputs: Iterable[onnx.ValueInfoProto],
    opsets: Mapping[str, int],
) -> dict[str, TensorType]:
    """Types from ONNX's own whole-graph inference, weights of any size taken by shape alone."""
    light = onnx.ModelProto()
    light.ir_version = max(model.ir_version, 4)
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    source = model.graph
    light.graph.name = source.name
    light.graph.node.extend(nodes)
    light.graph.value_info.extend(source.value_info)
    light.graph.output.extend(source.output)
    light.graph.input.extend(inputs)
    for init in source.initializer:
        if np.prod(init.dims, dtype=np.int64) <= SMALL and not is_external(init):
            light.graph.initializer.append(init)
        else:
            shape = list(init.dims)
            light.graph.input.append(
                onnx.helper.make_tensor_value_info(init.name, init.data_type, shape)
            )
    if not safe_as_a_whole(light, opsets):
        return _types(light.graph)
    # it may be too large for protobuf, or contradict a rule
    with contextlib.suppress(shape_inference.InferenceError, RuntimeError, ValueError):
        light = shape_inference.infer_shapes(light, data_prop=True)
    return _types(light.graph)


def _types(graph: onnx.GraphProto) -> dict[str, TensorType]:
    values = itertools.chain(graph.input, graph.value_info, graph.output)
    known: dict[bytes, TensorType] = {}  # most tensors have a type that others have too
    types: dict[str, TensorType] = {}
    for value in values:
        form = value.type.SerializeToString(deterministic=True)
        found = known.get(form)
        if found is None:
            found = known[form] = type_from_proto(value.type)
        types[value.name] = found
    return types


class _Reader:
    def __init__(
        self, opsets: Mapping[str, int], folder: Path | None, where: str, functions: Iterable[Any]
    ) -> None:
        self.opsets, self.folder, self.where = opsets, folder, where
        self.functions = tuple(functions)

    def initializers(self, proto: onnx.GraphProto) -> dict[str, Initializer]:
        """The weights of a graph, small ones with their numbers."""
        found = {init.name: self._initializer(init) for init in proto.initializer}
        for sparse in proto.sparse_initializer:
            dense = TensorType(dtype_name(sparse.values.data_type), tuple(sparse.dims))
            found[sparse.values.name] = Initializer(dense)
        return found

    def graph(
        self,
        proto: onnx.GraphProto,
        nodes: Iterable[onnx.NodeProto],
        shapes: Mapping[str, TensorType],
        name: str,
        initializers: Mapping[str, Initializer],
        outer: Mapping[str, TensorType] | None = None,
    ) -> Graph:
        """A graph, or with `outer` the body of control flow inside it."""
        inputs = [value for value in proto.input if value.name not in initializers]
        tensors = {
            value.name: shapes.get(value.name) or type_from_proto(value.type) for value in inputs
        }
        tensors |= {key: init.type for key, init in initializers.items()}
        visible = {**(outer or {}), **tensors}
        known = {k: i.value for k, i in initializers.items() if i.value is not None}
        values = Values(known, self.opsets.get("", 1))
        given = _settled(tensors[value.name] for value in inputs)
        ops: list[Op] = []
        used: set[str] = set()
        for index, node in enumerate(nodes):
            op = self._op(node, index, used, {**visible} if _bodies(node) else visible)
            types = [shapes.get(n, UNKNOWN) if n else UNKNOWN for n in op.outputs]
            settled = all(not n or given(t) for n, t in zip(op.outputs, types, strict=True))
            if not settled or op.subgraphs:
                op, own = typed(op, visible, values, self.opsets)
                types = [_better(a, b) for a, b in zip(types, own, strict=True)]
            found = {n: t for n, t in zip(op.outputs, types, strict=True) if n}
            tensors |= found
            visible |= found
            values.record(op, visible)
            ops.append(op)
        outputs = tuple(value.name for value in proto.output)
        free = _free(ops, outputs, tensors, outer) if outer else set()
        tensors |= {n: visible[n] for n in sorted(free)}
        return Graph(
            name=name,
            ops=tuple(ops),
            tensors=tensors,
            inputs=tuple(value.name for value in inputs),
            outputs=outputs,
            initializers=initializers,
            opsets=self.opsets,
            functions=self.functions if outer is None else (),
            outer=frozenset(free),
        )

    def _op(
        self, node: onnx.NodeProto, index: int, used: set[str], visible: Mapping[str, TensorType]
    ) -> Op:
        name = node.name or f"{node.op_type}_{index}"
        while name in used:
            name = f"{name}_{index}"
        used.add(name)
        attrs = self._attrs(node, name, visible) if node.attribute else {}
        domain = "" if node.domain == "ai.onnx" else node.domain
        return Op(name, node.op_type, tuple(node.input), tuple(node.output), attrs, domain)

    def _attrs(
        self, node: onnx.NodeProto, name: str, visible: Mapping[str, TensorType]
    ) -> dict[str, Attr]:
        def read_body(body: onnx.GraphProto) -> Graph:
            nodes, weights = _ordered(body), self.initializers(body)
            return self.graph(body, nodes, {}, body.name or name, weights, visible)

        try:
            return {a.name: attr_from_proto(a, read_body) for a in node.attribute}
        except (ValueError, TypeError, LookupError) as error:
            raise GraphError(f"an attribute cannot be read: {error}", where=name) from error

    def _initializer(self, proto: TensorProto) -> Initializer:
        type_ = TensorType(dtype_name(proto.data_type), tuple(proto.dims))
        if not type_.dtype or any(dim < 0 for dim in proto.dims):
            raise GraphError("has no valid type", where=f"weight '{proto.name}'")
        if is_external(proto):
            load = self._external(proto, type_)
            return Initializer(type_, load=load, subnormal=0.0 if load else _subnormal(proto))
        if (type_.numel or 0) <= SMALL:
            return Initializer(type_, value=self._decode(proto))
        return Initializer(type_, load=lambda: self._decode(proto))

    def _decode(self, proto: TensorProto) -> np.ndarray:
        try:
            return numpy_helper.to_array(proto)
        except (ValueError, TypeError) as error:
            raise GraphError(
                "its data do not fit its shape", where=f"weight '{proto.name}'"
            ) from error

    def _external(self, proto: TensorProto, type_: TensorType):
        info = {entry.key: entry.value for entry in proto.external_data}
        location, where = info.get("location", ""), f"{self.where}: weight '{proto.name}'"
        if location == UNALLOCATED:
            return None
        if self.folder is None or not location:
            raise InputError("its external data have no location", where=where)
        path = inside(self.folder, location, where)
        if not path.is_file():
            raise InputError(
                f"the external data file '{location}' is missing",
                where=where,
                hint="put it beside the model",
            )
        offset, nbytes = _number(info, "offset", where), type_.nbytes or 0
        if path.stat().st_size < offset + nbytes:
            raise InputError(f"the external data file '{location}' is truncated", where=where)

        def load() -> np.ndarray:
            try:
                with path.open("rb") as file:
                    file.seek(offset)
                    raw = file.read(nbytes)
            except OSError as error:
                raise InputError(
                    f"the external data file '{location}' cannot be read: {error.strerror}",
                    where=where,
                ) from error
            filled = TensorProto(data_type=proto.data_type, dims=proto.dims, raw_data=raw)
            return numpy_helper.to_array(filled)

        return load


def _number(info: Mapping[str, str], key: str, where: str) -> int:
    text = info.get(key) or "0"
    if not re.fullmatch(r"\d{1,18}", text):
        raise InputError(f"{key} '{text}' is not a whole number", where=where)
    return int(text)


def _ordered(graph: onnx.GraphProto) -> Sequence[onnx.NodeProto]:
    """The nodes, sorted if they do not stand in an order in which they can run.

    A cycle is left as it is: `Graph` names it.
    """
    nodes = graph.node
    made = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    if all(made.get(name, -1) < i for i, node in enumerate(nodes) for name in _reads(node)):
        return nodes
    reads = [{made[name] for name in _reads(node) if name in made} for node in nodes]
    with contextlib.suppress(CycleError):
        return [nodes[i] for i in TopologicalSorter(dict(enumerate(reads))).static_order()]
    return nodes


def _subnormal(proto: TensorProto) -> float:
    """Share of subnormal numbers that `write_onnx` noted for a weight without values."""
    text = next((e.value for e in proto.external_data if e.key == SUBNORMAL), "0")
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise GraphError(f"'{text[:20]}' is no share", where=f"weight '{proto.name}'")
    return share


def _reads(node: onnx.NodeProto) -> Iterable[str]:
    """Names that a node takes, those of its bodies included (and their own, which do not harm)."""
    if not node.attribute:
        return node.input
    names = list(node.input)
    for body in _bodies(node):
        names += (name for inner in body.node for name in _reads(inner))
        names += (value.name for value in body.output)
    return names


def _bodies(node: onnx.NodeProto) -> Sequence[onnx.GraphProto]:
    """The graphs in a node's attributes."""
    if not node.attribute:
        return ()
    return [
        body
        for attribute in node.attribute
        for body in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs)
    ]


def _settled(inputs: Iterable[TensorType]) -> Callable[[TensorType], bool]:
    """Whether each size of a type is a number or one of an input's, so that none is left to infer.

    Exporters name sizes that they do not know, too.
    """
    names = {dim for type_ in inputs for dim in type_.shape or () if isinstance(dim, str)} - {"?"}

    @cache
    def known(shape: tuple[Dim, ...]) -> bool:
        return all(isinstance(dim, int) or dim in names for dim in shape)

    return lambda type_: bool(type_.dtype) and type_.shape is not None and known(type_.shape)


def _free(
    ops: Iterable[Op],
    outputs: Iterable[str],
    tensors: Mapping[str, TensorType],
    outer: Mapping[str, TensorType],
) -> set[str]:
    """Names that a body takes from the graph around it."""
    made = {n for op in ops for n in op.outputs}
    read = {n for op in ops for n in (*op.inputs, *(o for b in op.subgraphs for o in b.outer))}
    return ({*read, *outputs} - made - tensors.keys()) & outer.keys()


def _better(first: TensorType, second: TensorType) -> TensorType:
    if second.is_static or not first.dtype or (first.shape is None and second.shape is not None):
        return second if second.dtype else first
    return first
