"""Conversion between an operator in a graph and its key."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np

from lydite.errors import GraphError
from lydite.graph.attributes import default_attrs, schema, short_float
from lydite.graph.graph import Graph, Initializer
from lydite.graph.op import Attr, Op
from lydite.graph.operators import fixed_inputs
from lydite.graph.shapes.functions import is_function_call
from lydite.opkey import Operand, OpKey, TensorType

STEERING_ELEMENTS = 64
"""Integer constants up to this many elements (shapes, bounds, axes) are in the key by value."""

MODEL_DOMAIN = "lydite.model"


def key_of(op: Op, graph: Graph) -> OpKey:
    """The canonical identity of `op`: attributes at their default are dropped, constants marked.

    Raises:
        GraphError: the type of an operand is unknown, so that the key would not be lossless.
    """
    return graph.of_op("key of op", op, _key_of)


def _key_of(op: Op, graph: Graph) -> OpKey:
    alike = _alike(op, graph)
    if alike is None:
        return _made(op, graph)
    known: dict[Hashable, OpKey] = graph.memo("keys")
    key = known.get(alike)
    if key is None:
        key = known[alike] = _made(op, graph)
    return key


def _alike(op: Op, graph: Graph) -> Hashable:
    """What operators of a graph have in common that have one key; None if that is not cheap."""
    if graph.functions:
        return None
    operands: list[Hashable] = []
    for name in op.inputs:
        operands.append(graph.tensors.get(name) if name else "")
        if name and graph.is_constant(name):
            value = graph.constant(name)
            if value is None or value.size > STEERING_ELEMENTS:
                about = None if value is None else (value.dtype.str, value.size)
                operands.append((about, _subnormal(name, graph)))
            else:
                operands.append((value.dtype.str, value.shape, value.tobytes()))
    several = len(op.inputs) > 1 and len(set(op.inputs)) < len(op.inputs)
    repeated = several and tuple(map(op.inputs.index, op.inputs))
    attrs: tuple[Hashable, ...] = ()
    if op.attrs:
        attrs = tuple((name, repr(value)) for name, value in op.attrs.items() if _is_plain(value))
        if len(attrs) < len(op.attrs):
            return None
    outputs = tuple([graph.tensors.get(name) for name in op.outputs if name])
    return op.op_type, op.domain, tuple(operands), repeated, outputs, attrs


def _is_plain(value: Attr) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, int | float | str | bytes | TensorType)


def _made(op: Op, graph: Graph) -> OpKey:
    opset = graph.opsets.get(op.domain, 1)
    known = schema(op.op_type, op.domain, opset)
    defaults = default_attrs(op.op_type, op.domain, opset)
    attrs = {
        name: plain_attr(value)
        for name, value in op.attrs.items()
        if name not in defaults or plain_attr(defaults[name]) != plain_attr(value)
    }
    if is_function_call(op, graph):
        attrs["function"] = {"graph": _functions_digest(graph)}
    version = int(known.since_version) if known is not None else opset
    outputs = tuple(graph.output_types(op))
    if any(not t.dtype for t in outputs) or any(
        t is not None and not t.dtype for t in graph.input_types(op)
    ):
        raise GraphError(
            f"the types of '{op.name}' ({op.qualified_type}) are unknown", where=graph.name
        )
    return OpKey(op.op_type, _operands(op, graph), outputs, attrs, op.domain, version)


def _operands(op: Op, graph: Graph) -> tuple[Operand, ...]:
    first: dict[str, int] = {}
    operands: list[Operand] = []
    for index, name in enumerate(op.inputs):
        if not name:
            operands.append(Operand(None))
        elif name in first:
            operands.append(Operand(None, same_as=first[name]))
        else:
            first[name] = index
            operands.append(
                Operand(
                    graph.type_of(name),
                    const=graph.is_constant(name),
                    value=_steering(graph.constant(name), _setting_sizes(op, graph, index)),
                    subnormal=_subnormal(name, graph),
                )
            )
    while operands and operands[-1] == Operand(None):
        operands.pop()
    return tuple(operands)


def _subnormal(name: str, graph: Graph) -> float:
    weight = graph.initializers.get(name)
    return weight.subnormal if weight is not None else 0.0


def _setting_sizes(op: Op, graph: Graph, index: int) -> tuple[int, ...]:
    """Numbers of floats by which an input counts as a setting: one or two for each axis.

    Scales and regions of a Resize decide its work, and runtimes read them as they load it.
    """
    shape = graph.type_of(op.inputs[0]).shape if op.inputs[0] else None
    fixed = range(len(op.inputs))[fixed_inputs(op.qualified_type)]
    return (1, len(shape), 2 * len(shape)) if shape is not None and index in fixed else (1,)


def _steering(value: np.ndarray | None, floats: tuple[int, ...]) -> tuple[Any, ...] | None:
    if value is None or value.dtype.kind not in "iubf":
        return None
    known = value.size in floats if value.dtype.kind == "f" else value.size <= STEERING_ELEMENTS
    return tuple(value.ravel().tolist()) if known else None


def plain_attr(value: Attr) -> Any:
    """An attribute as JSON; a tensor or body is represented by a digest of its content."""
    if isinstance(value, np.ndarray):
        raw = (
            np.ascontiguousarray(value).tobytes() if value.dtype != object else str(value).encode()
        )
        content = (
            value.ravel().tolist()
            if value.size <= 16 and value.dtype.kind in "iufb"
            else (hashlib.sha256(raw).hexdigest()[:32])
        )
        return {"tensor": f"{value.dtype.name}{list(value.shape)}", "value": content}
    if isinstance(value, Graph):
        return {"graph": graph_digest(value)}
    if isinstance(value, TensorType):
        return {"type": str(value)}
    if isinstance(value, tuple):
        return [plain_attr(item) for item in value]
    if isinstance(value, float):
        return short_float(value)
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    return value


def graph_digest(graph: Graph) -> str:
    """Digest (32 hexadecimal digits) of the computation, independent of tensor names."""
    numbers: dict[str, int] = {}

    def number(name: str) -> int:
        return numbers.setdefault(name, len(numbers)) if name else -1

    state = hashlib.sha256()
    state.update(f"{sorted(graph.opsets.items())} {_functions_digest(graph)}\n".encode())
    for name in graph.inputs:
        state.update(f"in {number(name)} {graph.type_of(name)}\n".encode())
    for op in graph.ops:
        attrs = sorted((k, plain_attr(v)) for k, v in op.attrs.items())
        operands = [
            (number(n), str(o)) for n, o in zip(op.inputs, _operands(op, graph), strict=False)
        ]
        outs = [(number(n), str(graph.type_of(n))) for n in op.outputs if n]
        state.update(f"{op.qualified_type} {attrs} {operands} {outs}\n".encode())
    state.update(f"out {[number(n) for n in graph.outputs]}".encode())
    return state.hexdigest()[:32]


def _functions_digest(graph: Graph) -> str:
    """Digest of all model-local functions together, because they may call each other."""
    state = hashlib.sha256()
    for function in graph.functions:
        state.update(function.SerializeToString(deterministic=True))
    return state.hexdigest()[:32]


def keys_of(graph: Graph) -> dict[str, OpKey]:
    """Key by operator name, for all operators whose types are known."""
    keys: dict[str, OpKey] = {}
    for op in graph.ops:
        try:
            keys[op.name] = key_of(op, graph)
        except GraphError:
            continue
    return keys


def all_keys(graph: Graph) -> list[OpKey]:
    """Distinct keys of all operators whose types are known, those of bodies included."""
    keys = dict.fromkeys(
        key for op, key in _keyed(graph) if op.qualified_type not in ("If", "Loop", "Scan")
    )
    for op in graph.ops:
        for body in op.subgraphs:
            keys |= dict.fromkeys(all_keys(body))
    return list(keys)


def _keyed(graph: Graph) -> Iterator[tuple[Op, OpKey]]:
    keys = keys_of(graph)
    return ((op, keys[op.name]) for op in graph.ops if op.name in keys)


def model_key(graph: Graph) -> OpKey:
    """The key of a whole model as one operator, so that its time is stored like any other's."""
    return OpKey(
        op_type=graph.name,
        inputs=tuple(Operand(graph.type_of(name)) for name in graph.inputs),
        outputs=tuple(graph.type_of(name) for name in graph.outputs),
        attrs={"graph": graph_digest(graph)},
        domain=MODEL_DOMAIN,
    )


def graph_of_key(key: OpKey, *, opsets: Mapping[str, int] | None = None) -> Graph:
    """The one-operator graph of a key, with inputs of its types, and constants as initializers.

    Raises:
        GraphError: an attribute is a body or a large tensor, which a key keeps only by digest.
    """
    tensors: dict[str, TensorType] = {}
    initializers: dict[str, Initializer] = {}
    names: list[str] = []
    for index, operand in enumerate(key.inputs):
        if operand.same_as is not None:
            names.append(names[operand.same_as])
            continue
        if operand.type is None:
            names.append("")
            continue
        name = f"in{index}"
        names.append(name)
        tensors[name] = operand.type
        if operand.const or operand.value is not None:
            initializers[name] = Initializer(
                operand.type, value=_array(operand), subnormal=operand.subnormal
            )
    outputs = tuple(f"out{i}" for i in range(len(key.outputs)))
    tensors |= dict(zip(outputs, key.outputs, strict=True))
    attrs = {name: _attr(value, key) for name, value in key.attrs.items()}
    op = Op("op", key.op_type, tuple(names), outputs, attrs, key.domain)
    return Graph(
        name=key.op_type,
        ops=(op,),
        tensors=tensors,
        inputs=tuple(n for n in dict.fromkeys(names) if n and n not in initializers),
        outputs=outputs,
        initializers=initializers,
        opsets=dict(opsets or {"": max(key.version, 7), key.domain: key.version}),
    )


def _array(operand: Operand) -> np.ndarray | None:
    from lydite.graph.dtypes import numpy_dtype

    if operand.value is None or operand.type is None or operand.type.shape is None:
        return None
    dims = [int(dim) for dim in operand.type.shape]
    return np.array(operand.value, numpy_dtype(operand.type.dtype)).reshape(dims)


def _attr(value: Any, key: OpKey) -> Attr:
    if isinstance(value, list):
        return tuple(_attr(item, key) for item in value)
    if not isinstance(value, dict):
        return value
    if "type" in value:
        return TensorType.parse(value["type"])
    if "bytes" in value:
        return base64.b64decode(value["bytes"])
    content = value.get("value")
    if isinstance(content, list):
        dtype, _, shape = value["tensor"].partition("[")
        dims = [int(d) for d in shape.rstrip("]").split(",") if d.strip()]
        return np.array(content, dtype).reshape(dims)
    raise GraphError(
        f"'{key.op_type}' holds a body or a large tensor, which its key keeps only by digest"
    )
