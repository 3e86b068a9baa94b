"""Values of an operator's integer inputs that its output's sizes call for.

An operator out of a network often gets its sizes or indices from another operator. Measured alone
it would get ones, and a Reshape to ones fails: so what the known sizes of inputs and outputs say
about such an input is given to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from lydite.graph.dtypes import numpy_dtype
from lydite.opkey import OpKey, TensorType

Values: TypeAlias = "Mapping[int, list[int]]"
"""Values by input."""
_Rule: TypeAlias = Callable[[OpKey, tuple[int, ...], tuple[int, ...]], Values]
"""From an operator and the sizes of its first input and of its first output."""


def steering(key: OpKey) -> dict[int, np.ndarray]:
    """Values of the operator's inputs that are not constants, by index, where sizes decide them."""
    rule = _RULES.get(key.qualified_type)
    first = key.inputs[0].type if key.inputs else None
    out = key.outputs[0] if key.outputs else None
    if rule is None or first is None or out is None or not (first.is_static and out.is_static):
        return {}
    found: dict[int, np.ndarray] = {}
    for index, values in rule(key, _sizes(first), _sizes(out)).items():
        operand = key.inputs[index] if index < len(key.inputs) else None
        if operand is None or operand.type is None or operand.const or operand.value is not None:
            continue
        shape = _sizes(operand.type)
        array = np.array(values, numpy_dtype(operand.type.dtype))
        if operand.type.is_static and (array.size == 1 or array.size == np.prod(shape)):
            found[index] = np.full(shape, array) if array.size == 1 else array.reshape(shape)
    return found


def _sizes(type_: TensorType) -> tuple[int, ...]:
    return tuple(dim for dim in type_.shape or () if isinstance(dim, int))


def _to_output(index: int) -> _Rule:
    """An input that holds the sizes of the output."""
    return lambda _key, _first, out: {index: list(out)}


def _repeats(_key: OpKey, first: tuple[int, ...], out: tuple[int, ...]) -> Values:
    return {1: [b // max(1, a) for a, b in zip(first, out, strict=False)]}


def _slice(key: OpKey, first: tuple[int, ...], out: tuple[int, ...]) -> Values:
    """From the beginning, as much as the output holds, along the axes that are stated or cut."""
    cut = [axis for axis, (a, b) in enumerate(zip(first, out, strict=False)) if a != b]
    axes = list(range(len(first)))
    if len(key.inputs) > 3:
        stated = key.inputs[3].value
        axes = cut if stated is None else [int(axis) for axis in stated]
    ends = [out[axis] for axis in axes]
    return {1: [0] * len(ends), 2: ends, 3: axes, 4: [1] * len(ends)}


def _indices(key: OpKey, first: tuple[int, ...], _out: tuple[int, ...]) -> Values:
    """Ones are indices, unless an axis has a single entry."""
    axis = key.attrs.get("axis")
    along = first[axis : axis + 1 or None] if isinstance(axis, int) and first else first[:1]
    everywhere = key.op_type.endswith("ND")
    single = 1 in (first if everywhere else along)
    return {1: [0]} if single else {}


def _picked(key: OpKey, first: tuple[int, ...], out: tuple[int, ...]) -> Values:
    axis = key.attrs.get("axis", -1)
    return {1: [out[axis]]} if isinstance(axis, int) and first else {}


def _parts(key: OpKey, _first: tuple[int, ...], _out: tuple[int, ...]) -> Values:
    axis = key.attrs.get("axis", 0)
    known = [t for t in key.outputs if t is not None and t.is_static]
    if not isinstance(axis, int) or len(known) != len(key.outputs):
        return {}
    return {1: [_sizes(part)[axis] for part in known]}


_RULES: Mapping[str, _Rule] = {
    "Reshape": _to_output(1),
    "Expand": _to_output(1),
    "ConstantOfShape": _to_output(0),
    "Tile": _repeats,
    "Slice": _slice,
    "TopK": _picked,
    "Split": _parts,
    **dict.fromkeys(
        ("Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND"), _indices
    ),
}
