"""The commonest operators that compute shapes, in numpy.

ONNX's reference evaluator computes all of them, but it takes as long to import as a small model
takes to build. What is not here, or unusual (broken inputs, other types), is left to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lydite.graph.dtypes import dtype_name
from lydite.graph.op import Op

_PLAIN = "iuf"
"""Kinds of the types that numpy has itself."""
_TYPES = ("int32", "int64", "float32", "float64")


def in_numpy(op: Op, inputs: Mapping[str, np.ndarray[Any, Any]]) -> list[object]:
    """The output of an operator; empty if the reference evaluator has to compute it.

    Args:
        op: Operator of the standard.
        inputs: Values of its inputs.
    """
    row = _ROWS.get(op.op_type)
    values = [inputs[name] for name in op.inputs if name in inputs]
    if row is None or len(values) != len(op.inputs):
        return []
    if any(value.dtype.kind not in _PLAIN or value.dtype.itemsize < 4 for value in values):
        return []
    made = row(op, values)
    return [] if made is None else [made]


def _elementwise(function: Callable[..., Any]) -> Callable[[Op, Any], Any]:
    def folded(op: Op, values: Any) -> Any:  # noqa: ARG001
        one, other = values
        return np.asarray(function(one, other)) if one.dtype == other.dtype else None

    return folded


def _range(op: Op, values: Any) -> Any:  # noqa: ARG001
    start, limit, step = values
    is_whole = start.dtype.kind == "i" and start.dtype == limit.dtype == step.dtype
    if not is_whole or any(value.ndim for value in values) or step == 0:
        return None
    return np.arange(int(start), int(limit), int(step), dtype=start.dtype)


def _cast(op: Op, values: Any) -> Any:
    number, value = op.attrs.get("to"), values[0]
    wanted = dtype_name(number) if isinstance(number, int) else ""
    if wanted not in _TYPES or (value.dtype.kind == "f" and wanted.startswith("int")):
        return None  # what does not fit is the evaluator's to decide
    return value.astype(wanted)


def _concat(op: Op, values: Any) -> Any:
    if any(value.ndim != 1 or value.dtype != values[0].dtype for value in values):
        return None
    return np.concatenate(values) if op.attrs.get("axis") in (0, -1) else None


def _gather(op: Op, values: Any) -> Any:
    value, index = values
    if value.ndim != 1 or op.attrs.get("axis", 0) != 0 or index.dtype.kind != "i":
        return None
    size = len(value)
    return np.asarray(value[index]) if ((index >= -size) & (index < size)).all() else None


_ROWS: dict[str, Callable[[Op, Any], Any]] = {
    "Add": _elementwise(np.add),
    "Cast": _cast,
    "Concat": _concat,
    "Gather": _gather,
    "Mul": _elementwise(np.multiply),
    "Pow": _elementwise(np.power),
    "Range": _range,
    "Sub": _elementwise(np.subtract),
}
