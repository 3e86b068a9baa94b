"""Small known values, propagated through the operators that compute shapes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lydite.graph.graph import constant_value
from lydite.graph.op import Op
from lydite.graph.operators import operator
from lydite.graph.shapes.folds import in_numpy
from lydite.opkey import TensorType

_LIMIT = 256
_LEFT_OUT = {""}
_REFUSED = (
    ValueError,
    TypeError,
    LookupError,
    RuntimeError,
    AttributeError,
    ArithmeticError,
)
"""Exceptions of the reference evaluator for inputs that contradict an operator."""


def _folds(op: Op) -> bool:
    row = operator(op.qualified_type)
    return row is not None and row.folds


class Values:
    """Known small tensors by name, starting at the outputs of `Shape` with known sizes.

    The operators that exporters write for a dynamic reshape (Shape, Gather, Mul, Concat) are
    folded here, so that the types that depend on them are known once the input sizes are.

    Args:
        known: Initial values.
        opset: Version of the standard's operators.
    """

    def __init__(self, known: Mapping[str, np.ndarray], opset: int) -> None:
        self._known, self._opset = dict(known), opset

    def get(self, name: str) -> np.ndarray | None:
        """Value of a tensor, None if it is unknown."""
        return self._known.get(name)

    def learn(self, name: str, value: np.ndarray) -> None:
        """Set the value of a tensor."""
        self._known[name] = value

    def record(self, op: Op, types: Mapping[str, TensorType], *, every: bool = False) -> None:
        """Record the outputs of `op` if they follow from known values.

        Args:
            op: Operator.
            types: Types of its outputs and inputs.
            every: Whether to evaluate any operator, not only those that compute shapes.
        """
        if op.domain or not op.outputs:
            return
        if op.op_type == "Constant":
            value = constant_value(op)
            if value is not None and value.size <= _LIMIT:
                self._known[op.outputs[0]] = value
        elif op.op_type in ("Shape", "Size"):
            self._shape(op, types.get(op.inputs[0]) if op.inputs else None)
        elif self._known.keys() >= {*op.inputs} - _LEFT_OUT and (
            _folds(op) or (every and op.inputs and not op.subgraphs)
        ):
            self._fold(op, types)

    def _shape(self, op: Op, source: TensorType | None) -> None:
        if source is None or source.shape is None or not source.is_static:
            return
        dims = np.array(source.shape, np.int64)
        if op.op_type == "Size":
            self._known[op.outputs[0]] = np.array(dims.prod(), np.int64)
            return
        start, end = op.attrs.get("start", 0), op.attrs.get("end")
        if isinstance(start, int) and (end is None or isinstance(end, int)):
            self._known[op.outputs[0]] = dims[start:end]

    def _fold(self, op: Op, types: Mapping[str, TensorType]) -> None:
        out = types.get(op.outputs[0])
        if out is not None and (out.numel or 0) > _LIMIT:
            return
        inputs = {name: self._known[name] for name in op.inputs if name}
        outputs = in_numpy(op, inputs) or _evaluated(op, inputs, self._opset)
        for name, value in zip(op.outputs, outputs, strict=False):
            if isinstance(value, np.ndarray) and value.size <= _LIMIT:
                self._known[name] = value


def _evaluated(op: Op, inputs: Mapping[str, np.ndarray], opset: int) -> list[object]:
    """Outputs computed by ONNX's reference evaluator; empty if it fails."""
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    from lydite.graph.attributes import attr_to_proto, schema
    from lydite.graph.onnx_writer import graph_to_proto

    known = schema(op.op_type, "", opset)
    node = helper.make_node(op.op_type, list(op.inputs), list(op.outputs))
    node.attribute.extend(attr_to_proto(k, v, graph_to_proto, known) for k, v in op.attrs.items())
    names = [name for name in op.outputs if name]
    function = helper.make_function(
        "lydite", "fold", list(inputs), names, [node], [helper.make_opsetid("", opset)]
    )
    try:
        with np.errstate(all="ignore"):
            outputs = ReferenceEvaluator(function).run(op.outputs, dict(inputs), attributes={})
    except (
        ValueError,
        TypeError,
        IndexError,
        KeyError,
        RuntimeError,
        AttributeError,
        ArithmeticError,
    ):
        return []
    return list(outputs)
