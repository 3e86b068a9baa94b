"""Output types of classical machine learning, which ONNX's inference leaves open in part."""

from __future__ import annotations

from lydite.graph.op import Op
from lydite.graph.operators.typing.contrib import InputTypes, Std, TypeRule
from lydite.opkey import Dim, TensorType

_LABELS = {
    "int64": ("classlabels_ints", "classlabels_int64s"),
    "string": ("classlabels_strings",),
}


def _rows(inputs: InputTypes) -> Dim:
    """Number of samples: the first of two sizes, or one where there is a single axis."""
    shape = inputs[0].shape if inputs and inputs[0] is not None else None
    if shape is None:
        raise ValueError("the number of samples is not known")
    return shape[0] if len(shape) > 1 else 1


def _labels(op: Op) -> tuple[str, int]:
    """Type and number of the classes."""
    for dtype, names in _LABELS.items():
        for name in names:
            labels = op.attrs.get(name)
            if isinstance(labels, tuple) and labels:
                return dtype, len(labels)
    raise ValueError("it names no classes")


def classified(op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
    """A label [N], and a score for each class [N, classes]."""
    rows = _rows(inputs)
    dtype, count = _labels(op)
    return [TensorType(dtype, (rows,)), TensorType("float32", (rows, count))][: len(op.outputs)]


def regressed(attribute: str) -> TypeRule:
    """As many numbers of each sample as an attribute says: [N, targets]."""

    def rule(op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
        targets = op.attrs.get(attribute, 1)
        if not isinstance(targets, int):
            raise ValueError(f"{attribute} is not a number")
        return [TensorType("float32", (_rows(inputs), targets))]

    return rule


def as_float(_op: Op, inputs: InputTypes, _: Std) -> list[TensorType]:
    """As many float32 as elements go in."""
    source = inputs[0] if inputs else None
    return [TensorType("float32", source.shape if source is not None else None)]
