"""Output types of one operator, from ONNX's own inference or from the operator's row.

Operators outside the standard (fused and blocked-layout ones of ONNX Runtime, gradients) are typed
by their rows (see `lydite.graph.operators`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np
import onnx
from onnx import checker, helper, numpy_helper, shape_inference

from lydite.errors import GraphError
from lydite.graph.attributes import attr_to_proto, schema, standard_attrs
from lydite.graph.dtypes import type_from_proto, type_to_proto
from lydite.graph.graph import UNKNOWN, Graph
from lydite.graph.guard import IR_VERSION, check_node
from lydite.graph.op import Attr, Op
from lydite.graph.operators import Known, Missing, operator
from lydite.opkey import TensorType

SMALL = 1024
"""Constants of at most this many elements are kept in memory and used for inference."""


UPDATES = "ai.onnx.preview.training"
"""ONNX's domain of optimisers."""

_REFUSED = (
    shape_inference.InferenceError,
    checker.ValidationError,
    RuntimeError,
    LookupError,
    TypeError,
    ValueError,
)
"""Exceptions of ONNX's inference and the rules for inputs that contradict an operator."""


def infer_outputs(
    op: Op,
    inputs: Sequence[TensorType | None],
    values: Sequence[np.ndarray | None],
    opsets: Mapping[str, int],
    *,
    strict: bool = False,
) -> list[TensorType]:
    """Types of all outputs of `op`, in order, omitted ones ("") included.

    Args:
        op: Operator, whose subgraphs must be typed already.
        inputs: Type of each input, None for an omitted one.
        values: Small constant value of each input, None if unknown.
        opsets: Opset by domain.
        strict: Whether to raise instead of returning UNKNOWN.

    Raises:
        GraphError: with `strict`, if the shapes contradict the operator or no rule types it.
    """
    rule = _typing_rule(op)
    try:
        if op.domain == UPDATES and rule is not None:  # ONNX's own do not support half precision
            return _padded(rule(op, inputs, None), len(op.outputs))
        if schema(op.op_type, op.domain, opsets.get(op.domain, 1)) is not None:
            types = _by_schema(op, inputs, values, opsets, rule is not None)
            if types is not None:
                return types
        if rule is not None:
            return _padded(rule(op, inputs, _delegate(opsets, values)), len(op.outputs))
        if op.domain == "":  # ONNX Runtime emits some newer operators under older opsets
            return _by_onnx(op, inputs, values, {**opsets, "": onnx.defs.onnx_opset_version()})
    except _REFUSED as error:
        if strict:
            raise GraphError(_reason(error, inputs), where=f"{op.name} ({op.op_type})") from error
        return [UNKNOWN] * len(op.outputs)
    if strict:
        raise GraphError("no rule for its output types", where=f"{op.name} ({op.op_type})")
    return [UNKNOWN] * len(op.outputs)


def _by_schema(
    op: Op,
    inputs: Sequence[TensorType | None],
    values: Sequence[np.ndarray | None],
    opsets: Mapping[str, int],
    has_rule: bool,
) -> list[TensorType] | None:
    """Types that ONNX infers; None if the row's own rule has to be used instead."""
    try:
        types = _by_onnx(op, inputs, values, opsets)
    except _REFUSED:
        if has_rule:
            return None
        raise
    return types if not has_rule or (types and types[0].shape is not None) else None


def _typing_rule(op: Op) -> Callable[..., list[TensorType]] | None:
    """The row's own rule; None if ONNX's inference or nothing types the operator."""
    row = operator(op.qualified_type)
    if row is None or isinstance(row.types, Known | Missing):
        return None
    return row.types


def _reason(error: Exception, inputs: Sequence[TensorType | None]) -> str:
    text = str(error).strip().splitlines()[-1] if str(error).strip() else "shapes do not fit"
    return f"{text} (inputs: {', '.join(str(t) if t else '-' for t in inputs)})"


def _padded(types: Sequence[TensorType], count: int) -> list[TensorType]:
    return [*types[:count], *[UNKNOWN] * (count - len(types))]


def _delegate(
    opsets: Mapping[str, int], values: Sequence[np.ndarray | None]
) -> Callable[..., list[TensorType]]:
    """The `std` argument of rules that type an operator like a standard one."""
    latest = {**opsets, "": max(opsets.get("", 0), 13)}

    def as_standard(
        op_type: str,
        inputs: Sequence[TensorType | None],
        attrs: Mapping[str, Attr],
        outputs: int = 1,
    ) -> list[TensorType]:
        known = schema(op_type, "", latest[""])
        kept = {k: v for k, v in attrs.items() if known is not None and k in known.attributes}
        op = Op(
            "as",
            op_type,
            tuple(f"i{n}" if t else "" for n, t in enumerate(inputs)),
            tuple(f"o{n}" for n in range(outputs)),
            kept,
        )
        return _by_onnx(op, inputs, list(values)[: len(inputs)], latest)

    return as_standard


_KNOWN: dict[Hashable, list[TensorType]] = {}
"""What ONNX inferred of calls, most of which recur in every layer of a model."""
_MOST_KNOWN = 10_000


def _by_onnx(
    op: Op,
    inputs: Sequence[TensorType | None],
    values: Sequence[np.ndarray | None],
    opsets: Mapping[str, int],
) -> list[TensorType]:
    if any(isinstance(value, Graph | np.ndarray) for value in op.attrs.values()):
        return _inferred(op, inputs, values, opsets)
    call = (
        *(op.op_type, op.domain, tuple(opsets.items()), tuple(inputs)),
        tuple(None if v is None else (v.dtype.str, v.shape, _content(v)) for v in values),
        tuple(map(bool, op.inputs)),
        tuple(map(bool, op.outputs)),
        tuple((name, repr(value)) for name, value in op.attrs.items()),
    )
    if call not in _KNOWN:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[call] = _inferred(op, inputs, values, opsets)
    return list(_KNOWN[call])


def _content(value: np.ndarray) -> Hashable:
    """The content as far as inference sees it."""
    if value.size > SMALL:
        return None
    return str(value.tolist()) if value.dtype == object else value.tobytes()


def _inferred(
    op: Op,
    inputs: Sequence[TensorType | None],
    values: Sequence[np.ndarray | None],
    opsets: Mapping[str, int],
) -> list[TensorType]:
    opset = opsets.get(op.domain, 1)
    op_schema = schema(op.op_type, op.domain, opset)
    if op_schema is None:
        raise KeyError(f"{op.op_type} is not in opset {opset}")
    if any(t is not None and not t.dtype for t in inputs):
        return [UNKNOWN] * len(op.outputs)
    node = helper.make_node(op.op_type, list(op.inputs), list(op.outputs), domain=op.domain)
    node.attribute.extend(
        attr_to_proto(k, v, _body_to_proto, op_schema) for k, v in standard_attrs(op).items()
    )
    check_node(node, opsets)
    types = {n: type_to_proto(t) for n, t in zip(op.inputs, inputs, strict=True) if n and t}
    data = {
        n: numpy_helper.from_array(v)
        for n, v in zip(op.inputs, values, strict=False)
        if n and v is not None and v.size <= SMALL
    }
    inferred = shape_inference.infer_node_outputs(
        op_schema,
        node,
        types,
        data,
        opset_imports=[helper.make_opsetid(d, v) for d, v in opsets.items()],
        ir_version=IR_VERSION,
    )
    return [type_from_proto(inferred[n]) if n in inferred else UNKNOWN for n in op.outputs]


def _body_to_proto(graph: Graph) -> onnx.GraphProto:
    from lydite.graph.onnx_writer import graph_to_proto

    return graph_to_proto(graph)
